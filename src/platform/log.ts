/**
 * Structured log lines: what happened and to which execution, never job output and never a
 * credential.
 *
 * Events and field names are closed lists: a payload has no field to be logged in, and
 * docs/operations.md can list every line (test/contract/docs-operations.test.ts compares the two).
 */

export type LogLevel = 'info' | 'warn' | 'error';

/**
 * Every line that the Worker and its objects write. `error`: an operator has to act. `warn`: it is
 * retried, or needs attention only when it happens often.
 */
export const LOG_EVENTS = {
  request_failed: 'error',
  unexpected: 'error',
  rpc_failed: 'error',
  session_call_failed: 'warn',
  directory_call_failed: 'warn',
  obsolete_setting: 'warn',
  rate_limited: 'warn',
  refused_keys_limited: 'warn',
  rate_limiter_failed: 'error',

  execution_ended: 'info',
  wrapper_connected: 'info',
  wrapper_reconnected: 'info',
  wrapper_disconnected: 'warn',
  wrapper_refused: 'warn',
  wrapper_late: 'info',
  late_delivered: 'info',
  deadline_renewed: 'warn',
  launched: 'info',
  launch_attempt_failed: 'warn',
  session_deleted: 'info',

  callback_delivered: 'info',
  callback_failed: 'warn',
  callback_given_up: 'error',
  callback_not_queued: 'warn',
  callback_queue_failed: 'warn',
  callback_queue_missing: 'error',

  container_started: 'info',
  container_ended: 'info',
  container_gone: 'warn',
  container_loss_not_told: 'warn',
  container_not_answering: 'warn',
  container_not_released: 'warn',
  container_timeout_not_set: 'warn',

  runner_connected: 'info',
  runner_disconnected: 'info',
  runner_refused: 'warn',
  runner_cloned: 'warn',
  runner_lost: 'warn',
  runner_removed: 'info',
  runner_failing: 'warn',
  runner_frame_ignored: 'info',
  launch_refused: 'info',
  pool_call_failed: 'warn',

  directory_not_told: 'warn',
  announcement_failed: 'warn',
  alarm_not_set: 'error',
  metrics_failed: 'warn',
  sse_reader_left: 'info',
  log_reader_left: 'info',
} as const satisfies Record<string, LogLevel>;

export type LogEvent = keyof typeof LOG_EVENTS;

/**
 * Every field that a line may have, in addition to `level` and `event`. The words have the meanings
 * of the vocabulary in PROTOCOL.md. A field is absent when it does not apply.
 */
export interface LogFields {
  requestId?: string | undefined;
  tenant?: string | undefined;
  session?: string | undefined;
  execution?: string | undefined;
  pool?: string | undefined;
  /** Id of a runner, `r_…`. */
  runner?: string | undefined;
  slots?: number | undefined;
  /** Id of a callback, `cb_…`. */
  callback?: string | undefined;
  /** Client address, as far as requests are counted by it. */
  address?: string | undefined;
  method?: string | undefined;
  /** The pattern of a path: without ids and without the query. */
  route?: string | undefined;
  httpStatus?: number | undefined;
  /** A code of PROBLEMS, or the failure code of an execution. */
  code?: string | undefined;
  /** Status of an execution. */
  status?: string | undefined;
  launcher?: string | undefined;
  /** Id of one start of a container. */
  boot?: string | undefined;
  transport?: string | undefined;
  /** Accepted connections of the execution so far; the number of this one. */
  epoch?: number | undefined;
  wsCloseCode?: number | undefined;
  exitCode?: number | undefined;
  signal?: string | undefined;
  forced?: boolean | undefined;
  runMs?: number | undefined;
  downMs?: number | undefined;
  /** `pending`, `grace` or `interrupt`. */
  deadline?: string | undefined;
  /** How long the deadline was overdue. */
  lateMs?: number | undefined;
  eventsLost?: number | undefined;
  /** Events that arrived after the verdict. */
  lateEvents?: number | undefined;
  /** Executions that had not ended. */
  open?: number | undefined;
  /** Counts from 1. */
  attempt?: number | undefined;
  outcome?: string | undefined;
  /** Why, in fixed words of this code base. */
  reason?: string | undefined;
  retryInSeconds?: number | undefined;
  retryable?: boolean | undefined;
  overloaded?: boolean | undefined;
  durableObjectReset?: boolean | undefined;
  /** The platform's text of an error, through `errorMessage`. */
  message?: string | undefined;
  stack?: string | undefined;
}

/** `level` is repeated at the call for its readers; the compiler compares it with the list. */
export function logLine<E extends LogEvent>(level: (typeof LOG_EVENTS)[E], event: E, fields: LogFields = {}): void {
  console[level](JSON.stringify({ level, event, ...fields }));
}

/** `logLine` with the tenant and session added to every line. */
export type SessionLog = typeof logLine;

/** The same with the tenant and the pool. */
export type PoolLog = typeof logLine;

const MESSAGE_CHARS_MAX = 500;

/**
 * The message of an error without payload. JSON's parser quotes the text, and drizzle appends the
 * parameters of its statement, which are commands and variables of jobs.
 */
export function errorMessage(error: unknown): string {
  if (error instanceof SyntaxError) return error.name;
  const text = error instanceof Error ? error.message : String(error);
  const cut = text.indexOf('\nparams: ');
  return (cut === -1 ? text : text.slice(0, cut)).slice(0, MESSAGE_CHARS_MAX);
}

/** The stack without its first line, which is the message (see `errorMessage`). */
export const errorStack = (error: unknown): string | undefined =>
  error instanceof Error
    ? error.stack
        ?.split('\n')
        .filter((line) => /^\s+at /.test(line))
        .join('\n')
    : undefined;
