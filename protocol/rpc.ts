/**
 * The Workers RPC for other Workers: the type of a service binding with `entrypoint = "Holdfast"`.
 * See docs/rpc.md.
 */

import type {
  Execution,
  IngestAccess,
  InputRequest,
  LoggedEvent,
  PoolSummary,
  PoolView,
  Result,
  SessionEntry,
  SessionSummary,
  StartRequest,
  TicketRight,
} from './api.ts';
import type { AnswerRequest } from './asking.ts';
import type { TerminalSize } from './events.ts';
import type { Status } from './statuses.ts';

export interface ServiceVersion {
  /** Newest supported version of the ingest protocol. */
  protocol: number;
  /** Of this program; methods and fields are only added within a major version. */
  version: string;
}

export interface ListQuery {
  status?: Status;
  /** Maximum number of items: default 50, at most 200. */
  limit?: number;
  /** `next` of the previous page. */
  cursor?: string;
}

export interface TicketRequest {
  execution?: string;
  types?: string[];
  /** What it allows; `["read"]` by default. */
  can?: TicketRight[];
  /** Default 60, at most 3600. After that no connection can be made with it. */
  ttlSeconds?: number;
  /** After that a connection made with it ends. Not below `ttlSeconds`; an hour more by default. */
  untilSeconds?: number;
}

/**
 * Expected failures are not thrown: they are `{ok: false, code, …}`. A call rejects only when the
 * call itself failed. All may be retried then; `startExecution` if its request has an
 * `id`, `sendInput` if its input has an `inputId`, `answerQuestion` if its answer has an `answerId`.
 */
export interface HoldfastRpc {
  startExecution(
    session: string,
    request: StartRequest,
  ): Promise<Result<{ execution: Execution; ingest: IngestAccess; created: boolean }>>;
  /**
   * `waitSeconds`: answers when it has ended, or with its current state after this time; at most
   * 55.
   */
  getExecution(session: string, execution: string, options?: { waitSeconds?: number }): Promise<Result<{ execution: Execution }>>;
  listExecutions(session: string, query?: ListQuery): Promise<Result<{ data: Execution[]; next: string | null }>>;
  /**
   * `accepted`: it had not ended before. `settled`: it has ended now; a running one ends when its
   * job does.
   */
  interruptExecution(
    session: string,
    execution: string,
    options?: { reason?: string; force?: boolean },
  ): Promise<Result<{ execution: Execution; settled: boolean; accepted: boolean }>>;
  failExecution(
    session: string,
    execution: string,
    failed: { code: string; message: string },
  ): Promise<Result<{ execution: Execution; settled: boolean }>>;
  /** A string is the same as `{data}`. */
  sendInput(session: string, execution: string, input: string | InputRequest): Promise<Result<{ commandId: number }>>;
  /** The answer to an open question of the agent. */
  answerQuestion(session: string, execution: string, answer: AnswerRequest): Promise<Result<{ commandId: number }>>;
  /** `changed: false`: the terminal has this size already. */
  resizeTerminal(
    session: string,
    execution: string,
    size: TerminalSize,
  ): Promise<Result<{ terminal: TerminalSize; changed: boolean }>>;
  /**
   * Events after the offset `after`; `next` is the `after` of the next page, which is empty when it
   * is the `head`. At most 1000. Pass `generation` of the previous page to the next call:
   * `log_replaced` when the session was deleted and created again since.
   */
  readEvents(
    session: string,
    query?: { after?: number; limit?: number; generation?: string },
  ): Promise<Result<{ events: LoggedEvent[]; next: number; head: number; generation: string }>>;
  createTicket(session: string, request?: TicketRequest): Promise<Result<{ ticket: string; expiresAt: number; until?: number }>>;
  getSession(session: string): Promise<Result<{ session: SessionSummary }>>;
  listSessions(query?: ListQuery): Promise<Result<{ data: SessionEntry[]; next: string | null }>>;
  deleteSession(session: string): Promise<Result<object>>;
  /** All pools of the tenant, at most 100. */
  listPools(): Promise<Result<{ data: PoolSummary[] }>>;
  /** With every runner, and the first 50 executions that wait. */
  getPool(pool: string): Promise<Result<{ pool: PoolView }>>;
  /** The runner takes nothing new, and ends when its runs have ended. */
  drainRunner(pool: string, runner: string): Promise<Result<object>>;
  /** The pool forgets a runner that is gone. */
  removeRunner(pool: string, runner: string): Promise<Result<object>>;
  version(): Promise<ServiceVersion>;
}
