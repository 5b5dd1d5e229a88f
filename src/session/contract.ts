/**
 * What the stateless Worker asks of a session's object: its operations, and the upgrade requests
 * that it makes. Only the Worker can reach the object, so every request here was validated before.
 * VER8: either side may have another version. It ignores fields that it does not know, and a field
 * that may be null may be missing.
 */

import {
  type Author,
  CLOSE,
  type Execution,
  type Failure,
  type LoggedEvent,
  type OnBusy,
  type Result,
  type SessionSummary,
  type TerminalSize,
  type WaitReason,
} from '../../protocol/index.ts';
import type { NormalAnswer } from '../core/asking.ts';
import type { Claim } from '../core/assignment.ts';
import type { ExecutionRecord } from '../core/execution.ts';
import type { NormalInput } from '../core/input.ts';
import type { ClaimAnswer, RecallAnswer, RecallRequest } from '../core/pool-messages.ts';
import type { ExecutionQuery } from '../core/ports.ts';

/**
 * A validated start request: every field is set, but for those that an older Worker does not know.
 */
export type NormalStart = Pick<
  ExecutionRecord,
  | 'id'
  | 'command'
  | 'cwd'
  | 'env'
  | 'stdin'
  | 'openStdin'
  | 'format'
  | 'launcher'
  | 'labels'
  | 'policy'
  | 'callbackUrl'
  | 'traceparent'
  | 'origin'
  | 'secretNames'
> & {
  digest: string;
  /** What 0.1.0 made of the request where `runner` was the default launcher. Null: it names one. */
  digestOfRunner?: string | null;
  onBusy: OnBusy;
} & Partial<
    Pick<
      ExecutionRecord,
      | 'callbackEvents'
      | 'merge'
      | 'output'
      | 'terminal'
      | 'maxActive'
      | 'continues'
      | 'pool'
      | 'requires'
      | 'priority'
      | 'concurrency'
      | 'waitMs'
    >
  >;

export type StartResult = Result<{ execution: Execution; created: boolean }>;

export interface ReadQuery {
  after: number;
  limit: number;
  generation?: string | undefined;
}

/** The calls of the Worker. Expected outcomes are results; an exception comes from the platform. */
export interface SessionCalls {
  /**
   * `refusal`: why the Worker would start nothing new for the request, if so. An execution that
   * exists is returned all the same (LIF28).
   */
  startExecution(request: NormalStart, refusal?: Failure | null): Promise<StartResult>;
  /** `generation`: the log that the reader means, if it names one. */
  getExecution(id: string, generation?: string | null): Promise<Result<{ execution: Execution }>>;
  listExecutions(query: ExecutionQuery): Promise<Result<{ data: Execution[]; next: number | null }>>;
  interruptExecution(
    id: string,
    options: { reason: string; force: boolean },
  ): Promise<Result<{ execution: Execution; settled: boolean; accepted: boolean }>>;
  failExecution(id: string, failed: { code: string; message: string }): Promise<Result<{ settled: boolean; execution: Execution }>>;
  /** For the pool. It has its lease, or `gone`. Idempotent by lease. */
  claimLaunch(id: string, claim: Claim): Promise<ClaimAnswer>;
  recallLease(id: string, request: RecallRequest): Promise<RecallAnswer>;
  noteWaitReason(id: string, reason: WaitReason): Promise<void>;
  /** What an object of 0.1.0 cannot do; it does not have this method. */
  acceptInput(id: string, input: NormalInput): Promise<Result<{ commandId: number }>>;
  /**
   * A plain text, also by an object of 0.1.0, which reads the first two arguments. A Worker of
   * 0.1.0 does not give the third (VER8).
   */
  sendInput(id: string, text: string, input?: NormalInput): Promise<Result<{ commandId: number }>>;
  /** An object of an earlier version does not have this method. */
  answerQuestion(id: string, answer: NormalAnswer): Promise<Result<{ commandId: number }>>;
  /** An object of an earlier version does not have this method. */
  resizeTerminal(id: string, size: TerminalSize, by: Author): Promise<Result<{ terminal: TerminalSize; changed: boolean }>>;
  /** One body of a wrapper that posts. The answers are lines. */
  postIngest(execution: string, body: string): Promise<Result<{ lines: string[] }>>;
  deleteSession(): Promise<Result<object>>;
  getSession(): Promise<Result<{ session: SessionSummary }>>;
  readEvents(query: ReadQuery): Promise<Result<{ events: LoggedEvent[]; next: number; head: number; generation: string }>>;
  /** Upgrades only, made by `openSocket`. */
  fetch(request: Request): Promise<Response>;
}

/** The same from the object's side, where an answer may be synchronous. */
export type SessionOperations = {
  [M in keyof SessionCalls]: (
    ...args: Parameters<SessionCalls[M]>
  ) => ReturnType<SessionCalls[M]> | Awaited<ReturnType<SessionCalls[M]>>;
};

// ── upgrades ─────────────────────────────────────────────────────────────────────────────────────

/** The request of a stream reader. */
export interface ViewerRequest {
  after: number | null;
  tail: number | null;
  executions: string[] | null;
  types: string[] | null;
  flow: boolean;
  /**
   * `screen`: begin with the newest screen of the one execution. An object of an earlier version
   * does not read it, and begins at `after`, which is 0.
   */
  from?: 'screen' | null;
  /** The log that the reader means. Absent: the current one. */
  generation?: string | null;
  /** When the reader's ticket expires, in milliseconds. Absent for an API key. */
  until?: number | null;
}

/**
 * `answerRefusals`: the object answers a refusal without an upgrade, and the Worker closes the
 * socket. The object must not close it itself. When the object closes a hibernatable socket before
 * its first message, `workerd` keeps two file descriptors until it evicts the object. A socket that
 * is accepted without hibernation keeps the object awake until its client answers the close (both
 * measured on 1.20261023.1). Workers of 0.1.0 do not send this flag; for them the object accepts
 * and closes.
 */
export type SocketRequest =
  | { kind: 'ingest'; execution: string; answerRefusals?: true }
  | { kind: 'stream'; request: ViewerRequest; answerRefusals?: true };

/** The close of a wrapper's socket whose upgrade is refused. A viewer's refusal is a `Failure`. */
export interface Refusal {
  closeCode: number;
  reason: string;
}

/** The header of an upgrade request that holds its `SocketRequest` as JSON. */
export const REQUEST_HEADER = 'x-holdfast-request';

/** Asks for a socket. `protocol`: our subprotocol, if the peer offered one. */
export function openSocket(
  stub: Pick<SessionCalls, 'fetch'>,
  wanted: SocketRequest,
  protocol: string | null = null,
): Promise<Response> {
  const headers: Record<string, string> = {
    upgrade: 'websocket',
    [REQUEST_HEADER]: JSON.stringify({ ...wanted, answerRefusals: true } satisfies SocketRequest),
  };
  if (protocol) headers['sec-websocket-protocol'] = protocol;
  return stub.fetch(new Request('https://session/', { headers }));
}

/**
 * The refusal in an answer. Null for an upgrade (101), and for the answer of an object of another
 * version that does not know the request.
 */
export async function refusalIn<T extends Refusal | Failure>(answer: Response): Promise<T | null> {
  return answer.status === 200 ? ((await answer.json()) as T) : null;
}

/**
 * A browser cannot read the status of a refused upgrade, so refusals of viewers are close codes.
 */
export function closeCodeOfRefusedViewer({ code }: Failure): number {
  switch (code) {
    case 'offset_ahead':
    case 'offset_expired':
    case 'log_replaced':
      return CLOSE.offsetUnavailable;
    case 'overloaded':
      return CLOSE.tooManyConnections;
    default:
      return CLOSE.notFound;
  }
}

/** The reason of a 4401 close, when a ticket has expired during the connection or before it. */
export const TICKET_EXPIRED = 'ticket_expired';
