/**
 * Every bound of the protocol, in one place, unit in the name, reason in the comment. A peer may
 * rely on each; each is tested at its edge and one past it.
 */

/**
 * One frame is one SQLite row. The platform's row limit is 2 MB; a quarter of it leaves room for
 * headers and for the row's other columns.
 */
export const FRAME_BYTES_MAX = 512 * 1024;

/**
 * A POST to the ingest path: a hello, acks of commands, and a full frame of events, with a margin.
 */
export const POST_BODY_BYTES_MAX = 2 * FRAME_BYTES_MAX;

/** A header line is a few numbers and ids. A longer one is not a header. */
export const HEADER_BYTES_MAX = 8 * 1024;

/** One event with the header in front of it must fit one frame. */
export const EVENT_BYTES_MAX = FRAME_BYTES_MAX - 1024;

/**
 * A JSON line of a job reaches its readers whole up to this size, in parts where it does not fit
 * one event (AGT6). Wrapper and readers hold one such line in memory. Agents print whole files and
 * images as base64 in a line, and an API that they call takes 5 MB for an image.
 */
export const AGENT_LINE_BYTES_MAX = 8 * 1024 * 1024;

/**
 * Levels of objects and arrays inside an event's `data`, `data` itself counted. V8's JSON.parse
 * accepts any depth, but JSON.stringify and the parsers of other peers overflow their stack; common
 * ones stop at 128, and a stream frame adds three levels.
 */
export const EVENT_DEPTH_MAX = 100;

/**
 * Unacknowledged bytes a wrapper may have on the wire: eight full frames, about 0.3 s of a 100
 * Mbit/s line.
 */
export const WINDOW_BYTES = 8 * FRAME_BYTES_MAX;

/**
 * Unacknowledged bytes the coordinator keeps in flight to one viewer. Beyond it, it waits with flow
 * control and closes without.
 */
export const VIEWER_WINDOW_BYTES = 1024 * 1024;

/**
 * A connection that sends nothing after the upgrade holds a socket; ten seconds is far above any
 * legitimate hello.
 */
export const HELLO_TIMEOUT_MS = 10_000;

/**
 * Accepted ingest sockets of one execution that have not sent a hello yet. The oldest is closed
 * when one more comes.
 */
export const UNBOUND_SOCKETS_MAX = 4;

/**
 * A longer Retry-After is cut to this: it is never intended, and past 2^31 ms a timer fires at
 * once.
 */
export const RETRY_AFTER_MS_MAX = 24 * 60 * 60 * 1000;

/**
 * Viewers of one session. The platform allows 32,768 hibernatable sockets per object; some are left
 * for wrappers.
 */
export const VIEWERS_MAX = 30_000;

/** Executions of a session that may wait behind the active one. */
export const QUEUE_LENGTH_MAX = 32;
/** Executions of one session that may be active at the same time: each has a connection. */
export const MAX_ACTIVE_MAX = 16;

/**
 * Executions of one session, over its whole life. Their rows are deleted with the session and not
 * before, its summary counts them all, and long before this many the log of runs of a usual length
 * has filled the 10 GB that the platform gives an object.
 */
export const SESSION_EXECUTIONS_MAX = 100_000;

/**
 * Commands of one execution that its wrapper did not acknowledge yet: minutes of typing. Their
 * bytes, as the JSON text of their data, are bounded too, so that a welcome with all of them stays
 * far below COORDINATOR_FRAME_BYTES_MAX: one more that no wrapper could read would end the run.
 */
export const COMMANDS_WAITING_MAX = 1024;
export const COMMANDS_WAITING_BYTES_MAX = 4 * 1024 * 1024;

/**
 * What a session may store, including the promised space of its active executions. The platform
 * gives an object 10 GB; the rest is for rows other than output, and for what an execution may
 * store beyond its `maxLogBytes`.
 */
export const SESSION_BYTES_MAX = 9_000_000_000;

/** How long after its verdict an execution still takes late events (LIF38). */
export const LATE_MS_MAX = 7 * 24 * 60 * 60 * 1000;

/** Event type names are labels, and are sent in comma-separated lists. */
export const EVENT_TYPE_PATTERN = /^[A-Za-z][A-Za-z0-9_.:-]{0,63}$/;

/** A WebSocket close reason may have 123 bytes; the platform throws past that. */
export const CLOSE_REASON_BYTES_MAX = 123;

/** Pace of one replay round. Between two rounds the object serves other requests. */
export const REPLAY_ROUND_BYTES = 1024 * 1024;

/**
 * Items of a comma-separated list (`types=`, `execution=`): what fits a socket attachment (16,384
 * bytes) with a margin.
 */
export const FILTER_ITEMS_MAX = 32;

/**
 * A request's URL as received. Filters with 32 ids and 32 types and a ticket need about 11,000; the
 * platform's own bound is 16 KB.
 */
export const URL_CHARS_MAX = 16 * 1024;

/**
 * An API key, a ticket or an ingest token. A ticket that names an execution and 32 types has about
 * 3,700; a longer one is refused unread.
 */
export const CREDENTIAL_CHARS_MAX = 8 * 1024;

/** The longest cursor that a list returns has about 200. */
export const CURSOR_CHARS_MAX = 256;

// Start request. The whole request is kept in one row and handed to a runner in one body.
export const START_BODY_BYTES_MAX = 256 * 1024;
export const COMMAND_ARGS_MAX = 1024;
export const COMMAND_BYTES_MAX = 64 * 1024;
export const ENV_VARS_MAX = 256;
export const ENV_BYTES_MAX = 64 * 1024;
export const STDIN_BYTES_MAX = 64 * 1024;
/**
 * Of one input, decoded. A file is sent as many inputs; one of this size is one row, and as base64
 * it fits a request body with room to spare.
 */
export const INPUT_BYTES_MAX = 64 * 1024;
/** The text of an input of that size in base64, with padding. */
export const INPUT_BASE64_CHARS_MAX = 4 * Math.ceil(INPUT_BYTES_MAX / 3);
export const CWD_BYTES_MAX = 4096;
/**
 * The largest terminal. Its screen, with colours left out, fits SCREEN_BYTES_MAX; the emulators of
 * wrappers and pages keep one cell object for each place.
 */
export const TERMINAL_COLS_MAX = 500;
export const TERMINAL_ROWS_MAX = 200;
/** The data of one `screen` event, as JSON. Half a frame, so that output fits next to it. */
export const SCREEN_BYTES_MAX = 256 * 1024;
export const LABELS_MAX = 32;
export const LABEL_KEY_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/;
export const LABEL_VALUE_CHARS_MAX = 256;
export const REASON_CHARS_MAX = 1024;
export const ERROR_MESSAGE_CHARS_MAX = 4096;
/** Common systems accept these variable names; the length is far beyond any real one. */
export const ENV_NAME_PATTERN = /^[A-Za-z_][A-Za-z0-9_]{0,255}$/;
/** The maximum number of variables of a start. */
export const SECRET_NAMES_MAX = ENV_VARS_MAX;
/**
 * Of an address: common servers refuse longer ones, and it is stored in a row and in a message of
 * the queue.
 */
export const CALLBACK_URL_CHARS_MAX = 2048;
/**
 * Failure codes are identifiers: `wrapper_disconnected`, `exit_nonzero`, or one of the caller's
 * own.
 */
export const FAILURE_CODE_PATTERN = /^[a-z][a-z0-9_]{0,63}$/;

/**
 * Questions of an agent. One with its options is shown in views and lists, so it is bounded far
 * below an event; its wrapper cuts a longer one. What it is about (a diff, a plan) is whole in the
 * agent's own line.
 */
export const QUESTION_BYTES_MAX = 16 * 1024;
export const QUESTION_OPTIONS_MAX = 64;
/** An id of a question or an option, which the agent makes. */
export const QUESTION_ID_CHARS_MAX = 512;
/** Open questions of one execution. Its wrapper reports a further one when another has ended. */
export const QUESTIONS_OPEN_MAX = 16;
/** Of the text of an answer. */
export const ANSWER_BYTES_MAX = INPUT_BYTES_MAX;

/** Priorities of a start on a pool. */
export const PRIORITY_MAX = 10;
export const CONCURRENCY_KEY_CHARS_MAX = 128;
export const CONCURRENCY_LIMIT_MAX = 10_000;
/** How long an execution may wait for a runner. */
export const WAIT_MS_DEFAULT = 24 * 60 * 60 * 1000;
export const WAIT_MS_MAX = 7 * 24 * 60 * 60 * 1000;
/** Pools of a tenant, and keys of a pool: their lists have no pages. */
export const POOLS_MAX = 100;
export const POOL_KEYS_MAX = 100;
export const KEY_NAME_CHARS_MAX = 128;

export const LIST_LIMIT_DEFAULT = 50;
export const LIST_LIMIT_MAX = 200;

/**
 * Events of one page over RPC; about 4 MB of them end a page too, so that it fits a message between
 * Workers.
 */
export const READ_LIMIT_MAX = 1000;

/** `?wait=` of a get: under the 60 s after which common proxies give up on a silent request. */
export const WAIT_SECONDS_MAX = 55;

export const TICKET_TTL_SECONDS_DEFAULT = 60;
export const TICKET_TTL_SECONDS_MAX = 3600;
/**
 * How long after its expiry the connections of a ticket without an `until` of its own last: a page
 * that follows a run renews its ticket once an hour.
 */
export const TICKET_UNTIL_SECONDS_DEFAULT = 3600;
export const TICKET_UNTIL_SECONDS_MAX = TICKET_TTL_SECONDS_MAX + TICKET_UNTIL_SECONDS_DEFAULT;

/**
 * UTF-8 length, without encoding where the bounds already decide: a UTF-16 unit is 1 to 3 bytes.
 */
export function exceedsUtf8Bytes(text: string, limit: number): boolean {
  if (text.length > limit) return true;
  if (text.length * 3 <= limit) return false;
  return utf8Bytes(text) > limit;
}

const encoder = /* @__PURE__ */ new TextEncoder();
/**
 * Encoded into and never read: only the length is needed, and a buffer for each text would be
 * garbage of the same size.
 */
// A bundler that cannot see that a product is pure would keep it in a page that does not use it.
const encoded = /* @__PURE__ */ new Uint8Array(65_536);

export function utf8Bytes(text: string): number {
  let bytes = 0;
  for (let at = 0; at < text.length; ) {
    const { read, written } = encoder.encodeInto(at === 0 ? text : text.slice(at), encoded);
    at += read;
    bytes += written;
  }
  return bytes;
}
