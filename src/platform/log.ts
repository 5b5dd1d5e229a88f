/**
 * Structured log lines: what happened and to which execution, never what a job said and never a credential.
 *
 * Both the events and the names of fields are closed lists, so that a payload has no field to be in, and docs/operations.md can have every line there is
 * (test/contract/docs-operations.test.ts compares the two).
 */

export type LogLevel = 'info' | 'warn' | 'error';

/** Every line the Worker and its objects write. `error`: somebody has to do something; `warn`: it is tried again, or worth a look when it piles up. */
export const LOG_EVENTS = {
  request_failed: 'error',
  unexpected: 'error',
  rpc_failed: 'error',
  session_call_failed: 'warn',
  directory_call_failed: 'warn',
  rate_limited: 'warn',
  refused_keys_limited: 'warn',
  rate_limiter_failed: 'error',

  execution_ended: 'info',
  wrapper_connected: 'info',
  wrapper_reconnected: 'info',
  wrapper_disconnected: 'warn',
  wrapper_refused: 'warn',
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

  directory_not_told: 'warn',
  announcement_failed: 'warn',
  alarm_not_set: 'error',
  metrics_failed: 'warn',
  sse_reader_left: 'info',
  log_reader_left: 'info',
} as const satisfies Record<string, LogLevel>;

export type LogEvent = keyof typeof LOG_EVENTS;

/**
 * Every field that a line may have, besides `level` and `event`. The words have the meanings of the
 * vocabulary in PROTOCOL.md. A field is absent when it does not apply.
 */
export interface LogFields {
  requestId?: string | undefined;
  tenant?: string | undefined;
  session?: string | undefined;
  execution?: string | undefined;
  /** Id of a callback, `cb_…`. */
  callback?: string | undefined;
  /** Of a client, as far as its requests are counted by it. */
  address?: string | undefined;
  method?: string | undefined;
  /** The pattern of a path, without the ids in it and without its query. */
  route?: string | undefined;
  httpStatus?: number | undefined;
  /** A code of PROBLEMS, or the failure code of an execution. */
  code?: string | undefined;
  /** Of an execution. */
  status?: string | undefined;
  launcher?: string | undefined;
  /** One start of a container. */
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
  /** How long it had been over. */
  lateMs?: number | undefined;
  eventsLost?: number | undefined;
  /** Executions that had not ended. */
  open?: number | undefined;
  /** From 1 on. */
  attempt?: number | undefined;
  outcome?: string | undefined;
  /** Why, in a word or phrase of our own. */
  reason?: string | undefined;
  retryInSeconds?: number | undefined;
  retryable?: boolean | undefined;
  overloaded?: boolean | undefined;
  durableObjectReset?: boolean | undefined;
  /** What the platform said of an error: `messageOf`. */
  message?: string | undefined;
  stack?: string | undefined;
}

/** The level is repeated where the line is written, so that a reader of the code sees it; the compiler compares it with the list. */
export function logLine<E extends LogEvent>(level: (typeof LOG_EVENTS)[E], event: E, fields: LogFields = {}): void {
  console[level](JSON.stringify({ level, event, ...fields }));
}

/** The same for a session, whose every line says whose it is. */
export type SessionLog = typeof logLine;

const MESSAGE_CHARS_MAX = 500;

/**
 * What an error says, without what it was about: the parser of JSON repeats a piece of the text, and drizzle the parameters of its statement, which are
 * commands and variables of jobs.
 */
export function messageOf(error: unknown): string {
  if (error instanceof SyntaxError) return error.name;
  const text = error instanceof Error ? error.message : String(error);
  const cut = text.indexOf('\nparams: ');
  return (cut === -1 ? text : text.slice(0, cut)).slice(0, MESSAGE_CHARS_MAX);
}

/** Where an error came from. Its first line is the message, and is left out (`messageOf` says what may be said of it). */
export const stackOf = (error: unknown): string | undefined =>
  error instanceof Error
    ? error.stack
        ?.split('\n')
        .filter((line) => /^\s+at /.test(line))
        .join('\n')
    : undefined;
