/** The public types of the HTTP client. */

import type {
  AnswerRequest,
  Execution,
  IngestAccess,
  InputRequest,
  OpenStatus,
  PoolSummary,
  PoolView,
  RunnerKey,
  SessionSummary,
  StartRequest,
  Status,
  TerminalSize,
  TicketRight,
} from '../../protocol/index.ts';
import type { SessionStreamOptions } from '../stream/options.ts';
import type { SessionStream } from '../stream/session-stream.ts';
import type { ClientCredential } from './credential.ts';
import type { EventPage, ReadEventsOptions } from './read-events.ts';
import type { RequestOptions } from './request.ts';

/**
 * An API key; or a ticket, or a function that returns one, for a client that does what it allows.
 */
export type ClientOptions = RequestOptions & ClientCredential & Pick<SessionStreamOptions, 'connect' | 'WebSocketImpl'>;

export interface CallOptions {
  signal?: AbortSignal;
}

export interface Started {
  /** False when this id was started before, with the same request. */
  created: boolean;
  execution: Execution;
  ingest: IngestAccess;
}

export interface Page<T> {
  data: T[];
  next: string | null;
}

export interface Ticket {
  ticket: string;
  expiresAt: number;
}

/** A row of the tenant's sessions: the session and its newest execution. */
export interface SessionItem {
  id: string;
  lastActivityAt: number;
  execution: Execution | null;
  /**
   * How many of its executions are open, `execution` included. Older deployments and entries do not
   * have it.
   */
  open?: Record<OpenStatus, number>;
  /** One of its executions waits for an answer. */
  asking?: true;
  [field: string]: unknown;
}

export interface TicketRequest {
  execution?: string;
  types?: readonly string[];
  /** What it allows; `['read']` by default. */
  can?: readonly TicketRight[];
  ttlSeconds?: number;
  /**
   * How long a connection with this ticket may last. At least `ttlSeconds`; default: an hour more.
   */
  untilSeconds?: number;
}

/** The options of `connectSession`, without those that the client fills in. */
export type EventsOptions = Omit<SessionStreamOptions, 'url' | 'session' | 'getTicket' | 'apiKey'>;

export interface HoldfastClient {
  /** Makes an execution id unless the request has one. */
  start(session: string, request: StartRequest, options?: CallOptions): Promise<Started>;
  /**
   * With `waitSeconds` it resolves when the execution has ended, or after that time with its
   * current state.
   */
  get(session: string, execution: string, options?: CallOptions & { waitSeconds?: number }): Promise<Execution>;
  /**
   * Polls until the execution has ended. Throws after an outage that is longer than the retry
   * budget.
   */
  wait(session: string, execution: string, options?: CallOptions): Promise<Execution>;
  list(session: string, options?: CallOptions & ListQuery): Promise<Page<Execution>>;
  sessions(options?: CallOptions & ListQuery): Promise<Page<SessionItem>>;
  session(session: string, options?: CallOptions): Promise<SessionSummary>;
  /**
   * `accepted: false`: it had ended before. `settled`: this call ended it, because it did not run
   * yet. A running one ends later.
   */
  interrupt(
    session: string,
    execution: string,
    request?: { reason?: string; force?: boolean },
    options?: CallOptions,
  ): Promise<{ accepted: boolean; settled: boolean; execution: Execution }>;
  /** `settled: true`: this call ended it. */
  fail(
    session: string,
    execution: string,
    request: { code: string; message: string },
    options?: CallOptions,
  ): Promise<{ settled: boolean }>;
  /**
   * Input for the job's stdin, its end, or both. An object gets an `inputId` unless it has one, so
   * the call is retried and the job reads the input once. A string is not retried when the answer
   * was lost.
   */
  sendInput(session: string, execution: string, input: string | InputRequest, options?: CallOptions): Promise<void>;
  /**
   * Answers an open question of the agent. Gets an `answerId` unless it has one, so the call is
   * retried. Refused with `not_asking` or `already_answered`.
   */
  answer(session: string, execution: string, answer: AnswerRequest, options?: CallOptions): Promise<void>;
  /**
   * Gives a terminal another size. `changed: false`: it has this size already. Send a size when it
   * has settled, and before the first key.
   */
  resize(
    session: string,
    execution: string,
    size: TerminalSize,
    options?: CallOptions,
  ): Promise<{ terminal: TerminalSize; changed: boolean }>;
  /** The pools of the tenant. */
  pools(options?: CallOptions): Promise<PoolSummary[]>;
  /** A pool with its runners and what waits. Refused with `pool_not_found`. */
  pool(pool: string, options?: CallOptions): Promise<PoolView>;
  runnerKeys(pool: string, options?: CallOptions): Promise<RunnerKey[]>;
  /** The first key makes the pool. `key` is shown only here. Not retried when the answer was lost. */
  createRunnerKey(
    pool: string,
    request: { name: string; expiresAt?: number },
    options?: CallOptions,
  ): Promise<RunnerKey & { key: string }>;
  /** Connected runners with this key are disconnected; what they run goes on. */
  revokeRunnerKey(pool: string, key: string, options?: CallOptions): Promise<void>;
  /** The runner takes nothing new, and ends when its runs have ended. */
  drainRunner(pool: string, runner: string, options?: CallOptions): Promise<void>;
  /**
   * The pool forgets a runner that is gone. Refused with `runner_connected` while it is connected.
   */
  removeRunner(pool: string, runner: string, options?: CallOptions): Promise<void>;
  createTicket(session: string, request?: TicketRequest, options?: CallOptions): Promise<Ticket>;
  /**
   * Deletes the session with its log. Refused with `session_not_found` when there is no such
   * session.
   */
  deleteSession(session: string, options?: CallOptions): Promise<void>;
  /** One page of the log. */
  readEvents(session: string, options: ReadEventsOptions): Promise<EventPage>;
  /**
   * Follows the session with this client's credential. Close a stream that you do not read to its
   * end.
   */
  events(session: string, options?: EventsOptions): SessionStream;
  /**
   * A handle for one execution. Sends nothing by itself, and does not check whether the execution
   * exists.
   */
  execution(session: string, id: string): ExecutionHandle;
}

export interface ListQuery {
  status?: Status;
  limit?: number;
  cursor?: string;
}

/** One execution, by name. */
export interface ExecutionHandle {
  readonly session: string;
  readonly id: string;
  get(options?: CallOptions & { waitSeconds?: number }): Promise<Execution>;
  /** Resolves with the execution when it has ended, in whatever way. */
  wait(options?: CallOptions): Promise<Execution>;
  interrupt(request?: { reason?: string; force?: boolean }, options?: CallOptions): ReturnType<HoldfastClient['interrupt']>;
  fail(request: { code: string; message: string }, options?: CallOptions): Promise<{ settled: boolean }>;
  /** Input for the job's stdin, as `sendInput` of the client. */
  send(input: string | InputRequest, options?: CallOptions): Promise<void>;
  answer(answer: AnswerRequest, options?: CallOptions): Promise<void>;
  resize(size: TerminalSize, options?: CallOptions): ReturnType<HoldfastClient['resize']>;
  events(options?: Omit<EventsOptions, 'execution'>): SessionStream;
  readEvents(options: Omit<ReadEventsOptions, 'execution'>): Promise<EventPage>;
  /** A ticket for reading this execution only. */
  ticket(request?: Omit<TicketRequest, 'execution'>, options?: CallOptions): Promise<Ticket>;
}
