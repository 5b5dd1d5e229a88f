/**
 * What the pages say about each problem code, close code and limit. The codes, statuses and values
 * come from protocol/; scripts/generate-docs.ts puts both together.
 */

import type { CLOSE, PolicyKey, ProblemCode } from '../protocol/index.ts';

/** For each problem code: what a caller does next, and what the code means to an operator. */
export const PROBLEM_TEXTS: Record<ProblemCode, { next: string; operator: string }> = {
  bad_request: { next: 'Correct what `detail` names.', operator: "A caller's error; `field` names it." },
  unauthorized: {
    next: 'Get a fresh credential, once.',
    operator: 'A wrong or old key. Many of them: an incomplete rotation, or guessing.',
  },
  forbidden_origin: {
    next: 'Add the origin to `HOLDFAST_ALLOWED_ORIGINS`.',
    operator: 'A page whose origin is not in `HOLDFAST_ALLOWED_ORIGINS`.',
  },
  not_found: { next: 'Correct the path.', operator: 'A wrong path.' },
  session_not_found: { next: 'Start an execution in it.', operator: 'Never started, deleted, or 90 days old.' },
  execution_not_found: { next: 'Correct the id.', operator: 'A wrong id.' },
  pool_not_found: {
    next: 'Make the pool with its first key: `POST /v1/pools/{pool}/keys`.',
    operator: 'A start or a read names a pool of which no runner key was ever made.',
  },
  key_not_found: { next: 'List the keys of the pool.', operator: 'A wrong id, or a key that was revoked before.' },
  runner_not_found: {
    next: 'List the runners: `GET /v1/pools/{pool}`.',
    operator: 'A wrong id, or a runner that was removed, or that left more than a day ago.',
  },
  method_not_allowed: { next: 'Correct the method.', operator: 'A wrong method.' },
  pools_full: { next: 'Use one of the pools that there are.', operator: 'A tenant can have 100 pools.' },
  keys_full: {
    next: 'Revoke a key that is not used.',
    operator: 'A pool can have 100 keys. One key can serve many runners.',
  },
  runner_connected: {
    next: 'Drain the runner, and remove it when it has left.',
    operator: 'Only a runner that is gone can be removed. Revoke its key to end its connection at once.',
  },
  execution_in_progress: {
    next: 'Wait for `activeExecutionId`, or start with `onBusy` `queue` or `replace`.',
    operator: 'The session is busy. Callers that run several things at once need several sessions, or `onBusy`.',
  },
  execution_id_conflict: {
    next: 'Use another id: this one belongs to a different request.',
    operator: 'An id was used for two different requests.',
  },
  session_full: {
    next: 'Use another session, or delete this one.',
    operator: '100,000 executions in one session: its caller should use more sessions.',
  },
  storage_full: {
    next: 'Use another session, a smaller `policy.maxLogBytes`, or delete this session.',
    operator:
      'A session holds at most 9 GB, including what its active run was promised (`maxLogBytes`). Its caller should use another session, or a smaller `policy.maxLogBytes`.',
  },
  stdin_closed: {
    next: 'Input needs an execution that was started with `openStdin`, and whose stdin no input has ended.',
    operator: 'Input to a job that was started without `openStdin`, or after the end of its stdin.',
  },
  input_id_conflict: {
    next: 'Use another `inputId`: this one belongs to a different input.',
    operator: "A caller's error: one input id for two inputs.",
  },
  wrapper_too_old: {
    next: 'Send text without `eof`, or upgrade the runner, the image or the wrapper.',
    operator: 'A wrapper before 0.2.0 takes neither bytes, the end of stdin nor answers: upgrade runners and images.',
  },
  not_a_terminal: {
    next: 'Start the execution with `terminal: {cols, rows}`.',
    operator: 'A resize of a job that was started without a terminal.',
  },
  not_asking: {
    next: 'Read the execution: `asking` is the question that waits.',
    operator: 'An answer to a question that its agent withdrew, that ended with its run, or that was never asked.',
  },
  already_answered: {
    next: 'Nothing: the first answer counts. `answeredBy` and `answeredAt` say whose it was.',
    operator: 'Two people, or two programs, answered one question of an agent.',
  },
  not_running: {
    next: 'Input needs a running execution, and a resize one that has not ended.',
    operator: 'Input to a job that does not run.',
  },
  offset_ahead: {
    next: 'Read from `head` or below.',
    operator: 'A reader is ahead of the log: it read another session of this name.',
  },
  offset_expired: { next: 'Read from `earliest`.', operator: 'A reader is before the oldest event that is kept.' },
  log_replaced: {
    next: 'The session was deleted and created again: read its new log from the beginning.',
    operator:
      'A reader resumed in the log of a session that was deleted and created again since. It starts from the beginning of the new log.',
  },
  too_large: { next: 'Send less.', operator: 'Over one of the [limits](../PROTOCOL.md#limits).' },
  upgrade_required: { next: 'Connect with WebSocket.', operator: 'An intermediary without WebSocket, or a plain request.' },
  queue_full: { next: 'Wait until one has settled.', operator: '32 executions wait in one session.' },
  input_full: {
    next: 'Wait until the job has read what was sent before.',
    operator: 'Input accumulates for a job that does not read, or for a wrapper that is away.',
  },
  rate_limited: {
    next: 'Wait as long as `Retry-After` says.',
    operator: "A tenant's limit, or refused keys from one address: log lines `rate_limited`, `refused_keys_limited`.",
  },
  internal: {
    next: 'Try again. Report the `requestId` if it persists.',
    operator: 'A bug in Holdfast. Find the `requestId` in the log, and report it.',
  },
  overloaded: {
    next: 'Wait longer before trying again.',
    operator: "One session's object is overloaded: too many callers poll one session.",
  },
  unavailable: {
    next: 'Try again.',
    operator: 'An object could not be reached in four attempts: a deploy, or the platform.',
  },
  not_configured: {
    next: 'Set the keys of this deployment.',
    operator: 'Keys are missing or unusable; `detail` names the variable.',
  },
};

type CloseName = keyof typeof CLOSE;

/** The rows of the rules CLS1 to CLS10, in their order. */
export const CLOSE_RULES: readonly { name: CloseName; meaning: string; peer: string }[] = [
  {
    name: 'settled',
    meaning: 'settled: the execution has its verdict and takes nothing more (LIF38), the reason is `{"status":"…"}` (CLS16)',
    peer: 'stops; this is the normal end, not a disconnect. A wrapper whose child still runs stops it',
  },
  { name: 'superseded', meaning: 'superseded: a newer connection of the same wrapper took over', peer: 'stops' },
  { name: 'badFrame', meaning: 'bad frame; the reason says what was wrong', peer: 'stops' },
  {
    name: 'credentialRefused',
    meaning: 'credential refused or expired',
    peer: 'gets a fresh credential and tries once more, if it can get one; otherwise stops',
  },
  {
    name: 'notFound',
    meaning: 'no such session or execution; with the reason `deleted` the session was deleted (CLS17)',
    peer: 'stops; a reader that was served before, after CLS19. A wrapper whose job runs stops it at once only when the reason is `deleted` (SPL29)',
  },
  { name: 'helloTimeout', meaning: 'no `hello` in time', peer: 'retries' },
  {
    name: 'claimed',
    meaning: 'claimed by another wrapper; the reason is `another wrapper has this execution` (CLS16)',
    peer: 'stops',
  },
  {
    name: 'offsetUnavailable',
    meaning: 'offset not available; the reason is `offset_expired`, `offset_ahead` or `log_replaced`',
    peer: 'stops; its caller decides where to read from',
  },
  {
    name: 'tooSlow',
    meaning: 'too slow: 1 MiB is not acknowledged (STR12)',
    peer: 'retries after the last offset that it processed; the first retry is immediate',
  },
  {
    name: 'tooManyConnections',
    meaning: 'too many connections, or too many in a short time (`rate_limited`)',
    peer: 'retries',
  },
];

/** What an operator sees: our codes by name, those of the platform and of proxies by number. */
export const CLOSE_OPERATOR: readonly { codes: readonly (CloseName | number)[]; on: string; meaning: string; operator: string }[] =
  [
    {
      codes: ['done'],
      on: 'stream, ingest',
      meaning: "A viewer's stream is complete. On ingest: a proxy closed the connection; the wrapper reconnects.",
      operator: 'Often, at fixed intervals: an idle timeout of an intermediary.',
    },
    { codes: ['goingAway'], on: 'both', meaning: 'Going away.', operator: 'A deploy, or a page that was closed.' },
    {
      codes: [1005, 1006],
      on: 'both',
      meaning: 'No close frame arrived: the connection was cut, or the object was replaced.',
      operator: 'Many at a deploy are normal.',
    },
    {
      codes: [1011, 1012, 1014],
      on: 'both',
      meaning: 'The platform or a proxy failed or was restarted.',
      operator: 'Occasional ones are normal.',
    },
    {
      codes: [1008],
      on: 'both',
      meaning:
        'A proxy or a firewall closed the connection by a rule of its own. Every peer reconnects, as after any code below 4000.',
      operator: 'Find the program that closes it: Holdfast never sends this code.',
    },
    {
      codes: ['tryAgainLater'],
      on: 'ingest',
      meaning: 'Try again later: the execution is still queued, or the connection was silent for `silenceTimeoutMs`.',
      operator: 'Many with `silence`: half-open connections, hosts that sleep.',
    },
    {
      codes: ['settled'],
      on: 'ingest',
      meaning:
        'Settled: the normal end. The reason is `{"status":"…"}`; with any other reason another service answered, and the wrapper reconnects.',
      operator: 'Nothing to do.',
    },
    {
      codes: ['superseded'],
      on: 'ingest',
      meaning: 'A newer connection of the same wrapper took over.',
      operator: 'Nothing to do. Often: an unstable network.',
    },
    {
      codes: ['badFrame'],
      on: 'both',
      meaning: 'A bad frame; the reason says what was wrong.',
      operator: 'A foreign peer, or a bug in one version of ours. Report it.',
    },
    {
      codes: ['credentialRefused'],
      on: 'stream',
      meaning: 'The credential was refused or has expired.',
      operator: 'A page without a working ticket service, or a signing key that was removed too early.',
    },
    {
      codes: ['notFound'],
      on: 'both',
      meaning: 'No such session or execution; with the reason `deleted` the session was deleted.',
      operator:
        'After `deleted` a wrapper stops its job at once. Without it the wrapper continues until its grace is certainly over: check whether this deployment has the right data.',
    },
    {
      codes: ['helloTimeout'],
      on: 'ingest',
      meaning: 'No `hello` within 10 s.',
      operator: 'A program that is not a wrapper connects with a valid token.',
    },
    {
      codes: ['claimed'],
      on: 'ingest',
      meaning: 'Another wrapper has this execution. With any other reason another service answered, and the wrapper reconnects.',
      operator: 'Two wrappers were started for one execution; the first keeps it.',
    },
    {
      codes: ['offsetUnavailable'],
      on: 'stream',
      meaning:
        'The offset is not available, or belongs to the log of a session that was deleted and created again (`log_replaced`).',
      operator: 'A reader with an offset of another session of the same name.',
    },
    {
      codes: ['tooSlow'],
      on: 'stream',
      meaning: 'The viewer has not acknowledged 1 MiB; it resumes.',
      operator: 'Nothing to do. A reader of your own that sees it often should use `flow=ack` and send acks.',
    },
    {
      codes: ['tooManyConnections'],
      on: 'both',
      meaning: 'Too many connections, or `rate_limited`.',
      operator: 'More than 30,000 viewers of one session, or wrappers that open connections and send nothing.',
    },
  ];

/**
 * A row of the limits: a constant of protocol/ with what happens past it, a bound of a policy, or a
 * value without a name.
 */
export type LimitRow =
  | { constant: string; note?: string; past: string }
  | { policy: PolicyKey }
  | { label: string; value: number; past: string };

/** LIM1, LIM2 … in their order, each with its rows. */
export const LIMIT_ROWS: readonly (readonly LimitRow[])[] = [
  [
    { constant: 'FRAME_BYTES_MAX', past: 'close 4400' },
    { constant: 'COORDINATOR_FRAME_BYTES_MAX', past: 'the wrapper refuses the frame' },
  ],
  [{ constant: 'HEADER_BYTES_MAX', note: 'header line; frame of a viewer', past: 'close 4400' }],
  [
    { constant: 'EVENT_BYTES_MAX', note: 'one event line, as a sender makes it', past: 'SPL18' },
    { constant: 'AGENT_LINE_BYTES_MAX', note: 'a JSON line of a job', past: 'AGT6' },
    { constant: 'EVENT_DEPTH_MAX', note: 'levels of objects and arrays in `data`', past: 'close 4400' },
    { constant: 'EVENT_TYPE_PATTERN', past: 'close 4400' },
  ],
  [{ label: 'seq of the last event of a frame', value: Number.MAX_SAFE_INTEGER, past: 'close 4400' }],
  [{ constant: 'ID_PATTERN', past: '400; close 4400' }],
  [{ constant: 'CLOSE_REASON_BYTES_MAX', past: 'cut, never inside a character' }],
  [{ constant: 'FAILURE_CODE_PATTERN', past: '400' }],
  [
    { constant: 'LABELS_MAX', past: '400' },
    { constant: 'LABEL_KEY_PATTERN', past: '400' },
    { constant: 'LABEL_VALUE_CHARS_MAX', past: '400' },
  ],
  [
    { policy: 'pendingTimeoutMs' },
    { policy: 'disconnectGraceMs' },
    { policy: 'silenceTimeoutMs' },
    { policy: 'heartbeatMs' },
    { policy: 'interruptGraceMs' },
    { policy: 'maxRuntimeMs' },
    { policy: 'maxLogBytes' },
  ],
  [
    { constant: 'WINDOW_BYTES', note: 'wrapper, not acknowledged', past: 'SPL4' },
    { constant: 'VIEWER_WINDOW_BYTES', past: 'STR10, STR12' },
    { constant: 'REPLAY_ROUND_BYTES', past: 'STR12' },
  ],
  [
    { constant: 'HELLO_TIMEOUT_MS', past: 'close 4408' },
    { constant: 'UNBOUND_SOCKETS_MAX', past: 'ING16' },
    { constant: 'VIEWERS_MAX', past: 'STR19' },
    { constant: 'QUEUE_LENGTH_MAX', past: 'HTTP15' },
    { constant: 'MAX_ACTIVE_MAX', past: 'LIF20' },
    { constant: 'SESSION_EXECUTIONS_MAX', past: 'HTTP27' },
    { constant: 'QUESTIONS_OPEN_MAX', note: 'of an execution', past: 'ASK2' },
    { constant: 'SESSION_BYTES_MAX', past: 'LIF35' },
    { constant: 'COMMANDS_WAITING_MAX', past: 'HTTP28' },
    { constant: 'COMMANDS_WAITING_BYTES_MAX', note: 'of their data as JSON', past: 'HTTP28' },
    { constant: 'RETRY_AFTER_MS_MAX', past: 'CLS13' },
    { constant: 'LATE_MS_MAX', note: 'after the verdict', past: 'close 4000' },
    { constant: 'FILTER_ITEMS_MAX', past: 'STR6' },
    { constant: 'POOLS_MAX', note: 'of a tenant', past: '`pools_full`' },
    { constant: 'POOL_KEYS_MAX', note: 'of a pool', past: '`keys_full`' },
  ],
  [
    { constant: 'START_BODY_BYTES_MAX', past: '413' },
    { constant: 'COMMAND_ARGS_MAX', past: 'HTTP7' },
    { constant: 'COMMAND_BYTES_MAX', past: 'HTTP7' },
    { constant: 'ENV_VARS_MAX', past: 'HTTP7' },
    { constant: 'SECRET_NAMES_MAX', past: 'HTTP7' },
    { constant: 'ENV_NAME_PATTERN', past: 'HTTP7' },
    { constant: 'ENV_BYTES_MAX', past: 'HTTP7' },
    { constant: 'STDIN_BYTES_MAX', past: 'HTTP7' },
    { constant: 'INPUT_BYTES_MAX', note: 'decoded', past: 'HTTP7' },
    { constant: 'INPUT_BASE64_CHARS_MAX', past: 'HTTP7' },
    { constant: 'QUESTION_BYTES_MAX', note: 'the data of one `asking`, as JSON', past: 'close 4400' },
    { constant: 'QUESTION_OPTIONS_MAX', past: 'close 4400; HTTP7' },
    { constant: 'QUESTION_ID_CHARS_MAX', past: 'close 4400; HTTP7' },
    { constant: 'ANSWER_BYTES_MAX', past: 'HTTP7' },
    { constant: 'CWD_BYTES_MAX', past: 'HTTP7' },
    { constant: 'TERMINAL_COLS_MAX', past: 'TTY1' },
    { constant: 'TERMINAL_ROWS_MAX', past: 'TTY1' },
    { constant: 'SCREEN_BYTES_MAX', note: 'the data of one `screen`, as JSON', past: 'TTY12' },
    { constant: 'CALLBACK_URL_CHARS_MAX', past: 'HTTP7' },
    { constant: 'REASON_CHARS_MAX', past: 'HTTP7' },
    { constant: 'ERROR_MESSAGE_CHARS_MAX', past: 'HTTP7' },
    { constant: 'POST_BODY_BYTES_MAX', past: '413' },
    { constant: 'PRIORITY_MAX', note: 'and its negative', past: 'HTTP7' },
    { constant: 'CONCURRENCY_KEY_CHARS_MAX', past: 'HTTP7' },
    { constant: 'CONCURRENCY_LIMIT_MAX', past: 'HTTP7' },
    { constant: 'WAIT_MS_DEFAULT', past: '' },
    { constant: 'WAIT_MS_MAX', past: 'HTTP7' },
    { constant: 'KEY_NAME_CHARS_MAX', past: 'HTTP7' },
  ],
  [
    { constant: 'LIST_LIMIT_DEFAULT', past: '' },
    { constant: 'LIST_LIMIT_MAX', past: '400' },
    { constant: 'READ_LIMIT_MAX', note: 'RPC', past: '`bad_request`' },
    { constant: 'WAIT_SECONDS_MAX', past: '400' },
    { constant: 'TICKET_TTL_SECONDS_DEFAULT', past: '' },
    { constant: 'TICKET_TTL_SECONDS_MAX', past: '400' },
    { constant: 'TICKET_UNTIL_SECONDS_DEFAULT', note: 'beyond `ttlSeconds`', past: '' },
    { constant: 'TICKET_UNTIL_SECONDS_MAX', past: '400' },
  ],
  [
    { constant: 'URL_CHARS_MAX', past: '413; close 4400' },
    { constant: 'CREDENTIAL_CHARS_MAX', past: '401, close 4401, unread' },
    { constant: 'CURSOR_CHARS_MAX', past: '400' },
    { constant: 'GENERATION_PATTERN', past: '400; close 4400' },
  ],
];
