/** Data of the HTTP API and the Workers RPC: plain data, the same in both. */

import type { OpenQuestion } from './asking.ts';
import type { JsonObject, TerminalSize } from './events.ts';
import type { Policy } from './policy.ts';
import type { OpenStatus, Status } from './statuses.ts';

/** How a new start gets a wrapper. */
export const LAUNCHERS = ['none', 'pool', 'container'] as const;
export type LauncherName = (typeof LAUNCHERS)[number];

/** What an execution may have: `runner` was a launcher of 0.1.0, and nothing new begins with it. */
export const RECORDED_LAUNCHERS = [...LAUNCHERS, 'runner'] as const;
export type RecordedLauncher = (typeof RECORDED_LAUNCHERS)[number];

export const ON_BUSY = ['reject', 'queue', 'replace'] as const;
export type OnBusy = (typeof ON_BUSY)[number];

/**
 * What a start can ask to be told of: its job has begun; its agent asks; it waits for a runner, with
 * a new reason; its wrapper is not connected any more; it has its verdict.
 */
export const CALLBACK_EVENTS = ['started', 'asking', 'waiting', 'disconnected', 'settled'] as const;
export type CallbackEvent = (typeof CALLBACK_EVENTS)[number];

/** Where the caller is told, and of what. `events` is `['settled']` if it is absent. */
export interface CallbackTerms {
  url: string;
  events?: CallbackEvent[];
}

/**
 * What the job prints. With all but `text`, lines that are JSON objects become `agent` events; the
 * others say which program prints them (`agent/`).
 */
export const OUTPUT_FORMATS = ['text', 'jsonl', 'claude', 'codex', 'opencode', 'acp', 'auto'] as const;
export type OutputFormat = (typeof OUTPUT_FORMATS)[number];

/** What becomes of output that is not UTF-8: it is replaced by U+FFFD, or kept byte for byte. */
export const OUTPUT_MODES = ['text', 'bytes'] as const;
export type OutputMode = (typeof OUTPUT_MODES)[number];

/** The pool of a start that names none. */
export const DEFAULT_POOL = 'default';

/** At most `limit` executions of a pool with this key run at the same time. */
export interface ConcurrencyLimit {
  key: string;
  limit: number;
}

/**
 * Why an execution waits in its pool: no connected runner has the labels, all that have them are
 * busy, or its concurrency limit is reached.
 */
export const WAIT_REASONS = ['no_runner', 'busy', 'concurrency'] as const;
export type WaitReason = (typeof WAIT_REASONS)[number];

const WAIT_TEXTS: Readonly<Record<WaitReason, string>> = {
  no_runner: 'no connected runner has its labels',
  busy: 'every runner with its labels is busy, or rests after a launch that failed',
  concurrency: 'its concurrency limit is reached',
};

/** For people. A reason of a later version is shown as it is. */
export const waitReasonText = (reason: unknown): string =>
  Object.hasOwn(WAIT_TEXTS, String(reason)) ? WAIT_TEXTS[reason as WaitReason] : String(reason).replaceAll('_', ' ');

/** A start request as a caller writes it. */
export interface StartRequest {
  id?: string;
  command: string[];
  cwd?: string;
  env?: Record<string, string>;
  /** Text for the job's stdin, which then ends. */
  stdin?: string;
  /**
   * Keeps the job's stdin open for `input` calls. Off by default: many programs wait for the end of
   * an open stdin.
   */
  openStdin?: boolean;
  format?: OutputFormat;
  /** Stdout and stderr share one pipe, so their order is kept. All output is then `stdout`. */
  merge?: boolean;
  /**
   * `bytes`: output that is not UTF-8 is kept as base64. Default `text`: it is replaced by U+FFFD.
   */
  output?: OutputMode;
  /**
   * The job runs in a terminal of this size. Its stdin is always open. Excludes `stdin`, `merge`,
   * `format: jsonl` and `output: bytes`.
   */
  terminal?: TerminalSize;
  launcher?: LauncherName;
  /** For the launcher `pool`: the pool whose runners may run it. Default `default`. */
  pool?: string;
  /** Labels that the runner must have, with these values. */
  requires?: Record<string, string>;
  /** From -10 to 10; higher ones go first. Default 0. */
  priority?: number;
  concurrency?: ConcurrencyLimit;
  /** How long it waits for a runner before it fails. Default 24 h. */
  waitMs?: number;
  /**
   * It begins while fewer than this number of executions of the session are active. Default 1: it
   * begins alone. `onBusy` decides otherwise.
   */
  maxActive?: number;
  onBusy?: OnBusy;
  /**
   * The execution of the same session that this one continues: the next turn of a conversation. It
   * waits for nothing, and changes nothing else of the start.
   */
  continues?: string;
  policy?: Partial<Policy>;
  labels?: Record<string, string>;
  callback?: CallbackTerms;
  traceparent?: string;
  /**
   * Names of variables, of the job or of its host, whose values are redacted in the job's output,
   * in addition to those with secret names.
   */
  secretNames?: string[];
}

/** What a ticket may allow. */
export const TICKET_RIGHTS = ['read', 'input', 'interrupt'] as const;
export type TicketRight = (typeof TICKET_RIGHTS)[number];

/**
 * Input for a job's stdin: exactly one of `text`, `data` (the same as `text`) and `base64`, or none
 * of them with `eof: true`.
 */
export interface InputRequest {
  text?: string;
  data?: string;
  base64?: string;
  /** The job's stdin ends after this input. A terminal gets Ctrl-D, and its stdin stays open. */
  eof?: boolean;
  /**
   * A repeat with the same id and content is answered as the first was, and changes nothing. The
   * same id with other content is refused.
   */
  inputId?: string;
  /** Keeps text and hash out of the log. */
  secret?: boolean;
}

/**
 * The public view of an execution. It never carries `env`, `stdin` or a credential. Times are
 * milliseconds since the epoch.
 */
export interface Execution {
  id: string;
  session: string;
  status: Status;
  command: string[];
  cwd?: string;
  format: OutputFormat;
  launcher: RecordedLauncher;
  labels: Record<string, string>;
  /** Whether it was started to accept `input`. */
  openStdin?: boolean;
  /** Its stdin was ended by an input with `eof`. */
  stdinEnded?: boolean;
  /** Stdout and stderr share one pipe. Absent: they do not. */
  merge?: boolean;
  /** `bytes`: output that is not UTF-8 is kept as base64. Absent: `text`. */
  output?: OutputMode;
  /** The current size of its terminal. Absent: it has none. */
  terminal?: TerminalSize;
  /** How many executions of the session may be active, this one among them. Absent: 1. */
  maxActive?: number;
  /** The execution of the same session that it continues. */
  continues?: string;
  policy: Policy;
  createdAt: number;
  pendingAt?: number;
  startedAt?: number;
  endedAt?: number;
  /** Number of ingest connections accepted so far. */
  epoch: number;
  /** Whether a wrapper connection is open now; absent once the execution has ended. */
  connected?: boolean;
  /** Bytes of the wrapper's events in the log: current while it runs, final when it has ended. */
  logBytes?: number;
  /**
   * While a wrapper connection is open: when the wrapper last sent a frame or a heartbeat. Present
   * when a session or an execution is read.
   */
  lastHeardAt?: number;
  /** While a running execution has no wrapper: when it fails without a reconnect. */
  graceUntil?: number;
  interruptRequestedAt?: number;
  /** Offset of its first event in the session's log, and of its verdict once there is one. */
  firstOffset: number;
  lastOffset?: number;
  exitCode?: number;
  signal?: string;
  /** Failure code and message, as in the verdict event. */
  code?: string;
  error?: string;
  /** Why it was interrupted. */
  reason?: string;
  /** The wrapper did not answer the interrupt in time. */
  forced?: boolean;
  traceparent?: string;
  /** The names, never the values. */
  secretNames?: string[];
  /** What its wrapper delivered after the verdict. Absent when nothing came. */
  late?: LateResult;
  /** The pool of an execution with the launcher `pool`, and what it asks of its runner. */
  pool?: string;
  requires?: Record<string, string>;
  priority?: number;
  concurrency?: ConcurrencyLimit;
  waitMs?: number;
  /** While it waits for a runner. */
  waiting?: Waiting;
  /** When it fails if no runner took it. */
  waitUntil?: number;
  /** The runner that it was assigned to. */
  runner?: { id: string; name: string };
  /** The oldest question of its agent that waits for an answer. */
  asking?: OpenQuestion;
  /** How many wait, when that is more than one. */
  askingCount?: number;
}

export interface Waiting {
  pool: string;
  /** Absent until the pool has answered. */
  reason?: WaitReason;
  /**
   * 1 is next. Present when one execution is read, and up to 1000. Those that can run on the same
   * runners are counted.
   */
  position?: number;
}

/** What arrived after a verdict that did not come from the wrapper. The verdict stays as it is. */
export interface LateResult {
  /** How many events of the wrapper were stored after the verdict. */
  events: number;
  /** How the job had ended. Both are null while its end has not arrived, or has neither. */
  exitCode: number | null;
  signal: string | null;
  /** When the newest of these events was stored. */
  at: number;
}

/** For people, below the verdict. */
export function lateText({ events, exitCode, signal }: LateResult): string {
  const arrived = `${events} ${events === 1 ? 'event' : 'events'} arrived after the verdict`;
  if (signal !== null) return `${arrived}; the job had been ended by ${signal}`;
  return exitCode === null
    ? `${arrived}; how the job ended is not known`
    : `${arrived}; the job had ended with exit code ${exitCode}`;
}

/** A pool in its tenant's list. */
export interface PoolSummary {
  id: string;
  createdAt: number;
  /** Connected runners, their slots, and how many of those are taken. */
  runners: number;
  slots: number;
  busy: number;
  waiting: number;
  /** When the execution that has waited longest began to wait. */
  oldestWaitingAt?: number;
}

export interface PoolView extends Omit<PoolSummary, 'runners'> {
  runners: RunnerView[];
  /** The first 50 that wait, in the order in which they get a runner that fits. */
  queue: { session: string; execution: string; priority: number; since: number; reason: WaitReason }[];
}

export const RUNNER_STATES = ['connected', 'draining', 'too_old', 'lost', 'ended'] as const;

export interface RunnerView {
  id: string;
  name: string;
  labels: Record<string, string>;
  slots: number;
  busy: number;
  version: string;
  state: (typeof RUNNER_STATES)[number];
  connectedAt: number;
  lastHeardAt: number;
  /** The last of several launches in a row that came to nothing, and when it gets the next. */
  failing?: { count: number; code: string; restUntil: number };
  runs: { session: string; execution: string; state: 'assigned' | 'starting' | 'running' | 'ended'; since?: number }[];
}

/** A key of a runner, as it is listed. The key itself is shown once, when it is made. */
export interface RunnerKey {
  id: string;
  name: string;
  createdAt: number;
  expiresAt?: number;
  lastUsedAt?: number;
}

export interface SessionSummary {
  id: string;
  createdAt: number;
  lastActivityAt: number;
  earliest: number;
  head: number;
  /** The oldest of `activeExecutionIds`. */
  active: string | null;
  /** The pending and running ones, oldest first. Absent in an answer of 0.1.0. */
  activeExecutionIds?: string[];
  /** One of its executions waits for an answer. */
  asking?: true;
  counts: Record<Status, number>;
}

/** A session in its tenant's list, as it last reported; at most moments old. */
export interface SessionEntry {
  id: string;
  /**
   * When its state last changed: a start, a connect or disconnect, a verdict. Output alone does not
   * change it.
   */
  lastActivityAt: number;
  /** Its newest execution at that time, without its question. */
  execution: Execution | null;
  /** One of its executions waits for an answer. */
  asking?: true;
  /**
   * How many of its executions had not ended then, including that one. Absent if the session's
   * version did not report it.
   */
  open?: Record<OpenStatus, number>;
}

export interface IngestAccess {
  /** The http(s) URL of the ingest path; a wrapper turns it into ws(s). */
  url: string;
  token: string;
}

/** One logged event with its offset, as the plain readers (RPC, SSE, client) return it. */
export interface LoggedEvent {
  offset: number;
  /** It was stored after the verdict of its execution. */
  late?: true;
  execution: string;
  type: string;
  at: number;
  data: JsonObject;
}

/**
 * Error codes of HTTP (`code` of the problem document) and RPC (`code` of a failed result), with
 * the HTTP status each has. Stable: a program may switch on them.
 */
export const PROBLEMS = {
  bad_request: { status: 400, retryable: false, title: 'The request is not valid' },
  unauthorized: { status: 401, retryable: false, title: 'The credential is missing, wrong or expired' },
  forbidden_origin: { status: 403, retryable: false, title: 'This origin is not allowed' },
  not_found: { status: 404, retryable: false, title: 'There is nothing at this path' },
  session_not_found: { status: 404, retryable: false, title: 'There is no such session' },
  execution_not_found: { status: 404, retryable: false, title: 'There is no such execution in this session' },
  pool_not_found: { status: 404, retryable: false, title: 'There is no such pool' },
  key_not_found: { status: 404, retryable: false, title: 'There is no such key' },
  runner_not_found: { status: 404, retryable: false, title: 'There is no such runner' },
  method_not_allowed: { status: 405, retryable: false, title: 'This path does not take that method' },
  pools_full: { status: 409, retryable: false, title: 'The tenant can have no further pools' },
  keys_full: { status: 409, retryable: false, title: 'The pool can have no further keys' },
  runner_connected: { status: 409, retryable: false, title: 'The runner is connected' },
  execution_in_progress: { status: 409, retryable: true, title: 'Another execution of this session is active' },
  execution_id_conflict: { status: 409, retryable: false, title: 'This execution id belongs to a different request' },
  session_full: { status: 409, retryable: false, title: 'The session takes no further executions' },
  storage_full: { status: 409, retryable: false, title: 'The session has no room left' },
  stdin_closed: { status: 409, retryable: false, title: 'The execution takes no input' },
  input_id_conflict: { status: 409, retryable: false, title: 'This input id belongs to a different input' },
  wrapper_too_old: { status: 409, retryable: false, title: 'The wrapper is too old for this' },
  not_a_terminal: { status: 409, retryable: false, title: 'The execution has no terminal' },
  not_asking: { status: 409, retryable: false, title: 'There is no such open question' },
  already_answered: { status: 409, retryable: false, title: 'The question was answered before' },
  not_running: { status: 409, retryable: false, title: 'The execution is not running' },
  offset_ahead: { status: 409, retryable: false, title: 'The offset is ahead of the log' },
  offset_expired: { status: 410, retryable: false, title: 'The log no longer goes back that far' },
  log_replaced: { status: 410, retryable: false, title: 'The session was deleted and made again: this is another log' },
  too_large: { status: 413, retryable: false, title: 'The request is too large' },
  upgrade_required: { status: 426, retryable: false, title: 'This path speaks WebSocket' },
  queue_full: { status: 429, retryable: true, title: 'Too many executions are waiting in this session' },
  input_full: { status: 429, retryable: true, title: 'Too much input is waiting for the wrapper' },
  rate_limited: { status: 429, retryable: true, title: 'Too many requests' },
  internal: { status: 500, retryable: true, title: 'Something went wrong here' },
  overloaded: { status: 503, retryable: true, title: 'The session is overloaded' },
  unavailable: { status: 503, retryable: true, title: 'The session could not be reached' },
  not_configured: { status: 503, retryable: false, title: 'This deployment has no keys yet' },
} as const satisfies Record<string, { status: number; retryable: boolean; title: string }>;

export type ProblemCode = keyof typeof PROBLEMS;

/**
 * The `type` of a problem document is this plus the code. It distinguishes our documents from those
 * of other services.
 */
export const PROBLEM_TYPE_PREFIX = 'https://holdfast.dev/problems/';

export interface Failure {
  ok: false;
  code: ProblemCode;
  message: string;
  /** Facts of the code: `activeExecutionId`, `earliest`, `head`, `field`, … */
  facts?: Record<string, string | number | boolean | string[]>;
}
export type Result<Success extends object> = ({ ok: true } & Success) | Failure;

/** The body of an `application/problem+json` answer (RFC 9457). */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: ProblemCode;
  retryable: boolean;
  requestId: string;
  [fact: string]: unknown;
}
