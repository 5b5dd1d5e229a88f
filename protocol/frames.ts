/**
 * Frames of the ingest protocol: their form on the wire, and strict, total parsers for both
 * directions.
 *
 *   A frame is text: one JSON header line; an `events` frame has one JSON event per line after it
 *   (NDJSON).
 *
 * The event lines are kept as received. Storing, acking, broadcasting and replaying never encode
 * them again, so the parser returns the text together with the parsed header. `parse…` returns a
 * frame or a tagged refusal for any input; it never throws.
 */

import { type AnswerChoice, isQuestionId } from './asking.ts';
import { checkFact, type HoldfastEvent, isTerminalFact, isTerminalSize, type TerminalSize } from './events.ts';
import { isId } from './ids.ts';
import { isCount, isObject, type JsonObject, parseJson } from './json.ts';
import { exceedsUtf8Bytes, FRAME_BYTES_MAX, HEADER_BYTES_MAX } from './limits.ts';
import { POLICY_KEYS, type Policy } from './policy.ts';

export const PROTOCOL_VERSION = 1;
export const INGEST_SUBPROTOCOL = 'holdfast.ingest.v1';
/**
 * In `hello.features`: the values of the variables that `welcome.job.secretNames` names are
 * redacted.
 */
export const FEATURE_SECRET_NAMES = 'secretNames';
/**
 * In both: a wrapper that was away for longer than its grace delivers what it has after the
 * verdict, and the coordinator stores it as late.
 */
export const FEATURE_LATE = 'late';
/** In both: input as bytes, and the end of input. */
export const FEATURE_INPUT2 = 'input2';
/** In both: output that is not UTF-8 may be `base64` in `output` events (`job.output`). */
export const FEATURE_BYTES = 'bytes';
/** In `hello.features`: the job's stdout and stderr can share one pipe (`job.merge`). */
export const FEATURE_MERGE = 'merge';
/** In both: the job can run in a terminal (`job.terminal`). */
export const FEATURE_TTY = 'tty';
/**
 * In both: the wrapper reports the questions of an agent, and takes `answer`.
 */
export const FEATURE_ASKING = 'asking';
/** In `hello.features` of this version's wrapper. */
export const WRAPPER_FEATURES: readonly string[] = [
  FEATURE_SECRET_NAMES,
  FEATURE_LATE,
  FEATURE_INPUT2,
  FEATURE_BYTES,
  FEATURE_MERGE,
  FEATURE_TTY,
  FEATURE_ASKING,
];
/** In `welcome.features` of this version's coordinator. */
export const COORDINATOR_FEATURES: readonly string[] = [
  FEATURE_SECRET_NAMES,
  FEATURE_LATE,
  FEATURE_INPUT2,
  FEATURE_BYTES,
  FEATURE_MERGE,
  FEATURE_TTY,
  FEATURE_ASKING,
];
export const STREAM_SUBPROTOCOL = 'holdfast.stream.v1';
/**
 * A browser cannot set headers on a WebSocket: the ticket may be sent as a second subprotocol with
 * this prefix.
 */
export const TICKET_SUBPROTOCOL_PREFIX = 'holdfast.ticket.';

/** Plain text; the platform answers it without waking the object. */
export const PING = 'ping';
export const PONG = 'pong';

// ── wrapper → coordinator ────────────────────────────────────────────────────────────────────────

export interface HelloFrame {
  type: 'hello';
  protocol: number;
  wrapperId: string;
  bootId: string;
  /**
   * The seq of the wrapper's next new event: everything below it exists or is counted in `lost`.
   */
  nextSeq: number;
  /** Events that this wrapper lost since its last welcome. */
  lost: number;
  /** Optional features of this wrapper. Absent: none. */
  features?: readonly string[];
  /**
   * This wrapper has had a welcome for its job before. If the execution has its verdict by now, the
   * wrapper can deliver the rest late (ING22).
   */
  late?: true;
}

export interface EventsFrame {
  type: 'events';
  /** Seq of the first event. */
  seq: number;
  count: number;
  /** The event lines as received, joined by \n, without a trailing one. */
  body: string;
  /** Which of the lines is the last `screen`, from 0 on. Null: none is. */
  lastScreen: number | null;
  /** The lines that are an `asking` or `asking_ended`, from 0 on. Absent: none is. */
  questions?: readonly number[];
  /** Parsed from the lines on each access. The coordinator needs only the last one. */
  readonly events: HoldfastEvent[];
}

/** The last event of a parsed frame: the only one that may end a run. */
export const lastEventOf = ({ body }: Pick<EventsFrame, 'body'>): HoldfastEvent =>
  JSON.parse(body.slice(body.lastIndexOf('\n') + 1)) as HoldfastEvent;

export interface CommandAckFrame {
  type: 'command_ack';
  id: number;
}

export type WrapperFrame = HelloFrame | EventsFrame | CommandAckFrame;

// ── coordinator → wrapper ────────────────────────────────────────────────────────────────────────

export interface InterruptCommand {
  id: number;
  command: 'interrupt';
  data: { signal: 'SIGINT' | 'SIGTERM' | 'SIGKILL'; forceAfterMs: number; reason: string };
}
/** Text or bytes for the job's stdin, its end, or both. `base64` and `eof` need `input2`. */
export interface InputCommandData {
  text?: string;
  base64?: string;
  eof?: true;
}
export interface InputCommand {
  id: number;
  command: 'input';
  data: InputCommandData;
}
/** The terminal gets this size. */
export interface ResizeCommand {
  id: number;
  command: 'resize';
  data: TerminalSize;
}
/**
 * The answer to an open question of the job's agent. The wrapper writes it to the job's stdin in
 * the form of the agent. Exactly one of `option`, `options` and `text`.
 */
export interface AnswerCommandData extends AnswerChoice {
  /** Of the question. */
  question: string;
}
export interface AnswerCommand {
  id: number;
  command: 'answer';
  data: AnswerCommandData;
}
export type Command = InterruptCommand | InputCommand | ResizeCommand | AnswerCommand;
/** The commands that are carried out in order, when the job's stdin has room. */
export type StdinCommand = InputCommand | AnswerCommand;

export interface WelcomeFrame {
  type: 'welcome';
  protocol: number;
  epoch: number;
  ackedSeq: number;
  /**
   * Bytes of this execution's events that are durable, up to `ackedSeq`. Absent from coordinators
   * before 0.2.0.
   */
  logBytes?: number;
  policy: Policy;
  limits: { frameBytes: number; windowBytes: number };
  commands: Command[];
  /** Optional features of this coordinator. Absent: none. */
  features?: readonly string[];
  /**
   * The execution has its verdict. The wrapper stops its job and delivers what it has, which is
   * stored as late.
   */
  late?: true;
  /**
   * What the job learns about its execution, and which of its variables are secret. Absent: the
   * coordinator is older.
   */
  job?: JobTerms;
}
export interface JobTerms {
  session: string;
  execution: string;
  /** Address of the run's page. */
  url: string;
  /** The time limit of the run, in milliseconds since the epoch. */
  deadline?: number;
  secretNames?: string[];
  /** Stdout and stderr share one pipe. Absent: they do not. */
  merge?: true;
  /** Output that is not UTF-8 is sent as base64. Absent: U+FFFD replaces it. */
  output?: 'bytes';
  /** The job runs in a terminal of this size. Absent: it has pipes. */
  terminal?: TerminalSize;
}
export interface AckFrame {
  type: 'ack';
  seq: number;
}
export interface NackFrame {
  type: 'nack';
  expected: number;
}
export type CommandFrame = { type: 'command' } & Command;

/** Only in the answer to a POST: the close that a socket would have received. */
export interface CloseFrame {
  type: 'close';
  code: number;
  reason: string;
}

export type CoordinatorFrame = WelcomeFrame | AckFrame | NackFrame | CommandFrame | CloseFrame;

// ── refusals ─────────────────────────────────────────────────────────────────────────────────────

export type FrameRefusalCode =
  | 'binary'
  | 'not_utf8'
  | 'too_long'
  | 'not_json'
  | 'wrong_shape'
  | 'unknown_type'
  | 'count_mismatch'
  | 'bad_event'
  | 'terminal_not_last';

export interface FrameRefusal {
  ok: false;
  code: FrameRefusalCode;
  /**
   * One English sentence without the frame's content, so that it can be logged and put in a close
   * reason.
   */
  detail: string;
}
export type FrameResult<Frame> = { ok: true; frame: Frame } | FrameRefusal;

const refuse = (code: FrameRefusalCode, detail: string): FrameRefusal => ({ ok: false, code, detail });

// ── parsing ──────────────────────────────────────────────────────────────────────────────────────

const isPositive = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 1;

const strictUtf8 = /* @__PURE__ */ new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Bytes to text, or a refusal: too long, or not UTF-8. A string with a lone surrogate has no UTF-8
 * form, so it could not be stored as received.
 */
export function decodeFrameText(
  input: string | Uint8Array,
  limit: number = FRAME_BYTES_MAX,
): { ok: true; text: string } | FrameRefusal {
  if (typeof input === 'string') {
    if (exceedsUtf8Bytes(input, limit)) return refuse('too_long', `a frame may have at most ${limit} bytes`);
    return input.isWellFormed() ? { ok: true, text: input } : refuse('not_utf8', 'a frame must be UTF-8 text');
  }
  if (input.byteLength > limit) return refuse('too_long', `a frame may have at most ${limit} bytes`);
  try {
    return { ok: true, text: strictUtf8.decode(input) };
  } catch {
    return refuse('not_utf8', 'a frame must be UTF-8 text');
  }
}

/** Splits the header line from the rest. Unknown header fields are ignored (ING10). */
function splitHeader(text: string): { ok: true; header: JsonObject; body: string } | FrameRefusal {
  const lineEnd = text.indexOf('\n');
  const line = lineEnd === -1 ? text : text.slice(0, lineEnd);
  if (exceedsUtf8Bytes(line, HEADER_BYTES_MAX))
    return refuse('too_long', `a header line may have at most ${HEADER_BYTES_MAX} bytes`);
  const header = parseJson(line);
  if (header === undefined) return refuse('not_json', 'the header line is not JSON');
  if (!isObject(header)) return refuse('wrong_shape', 'the header line must be a JSON object');
  return { ok: true, header, body: lineEnd === -1 ? '' : text.slice(lineEnd + 1) };
}

/**
 * The frames of an HTTP body, in order: an `events` header takes as many of the following lines as
 * it counts. Malformed input is yielded unchanged, so that the parser can reject it.
 */
export function* splitFrames(text: string): Generator<string> {
  const lineEnd = (from: number): number => {
    const end = text.indexOf('\n', from);
    return end === -1 ? text.length : end;
  };
  for (let at = 0; at < text.length; ) {
    let end = lineEnd(at);
    const header = parseJson(text.slice(at, end));
    const lines = isObject(header) && header.type === 'events' && isPositive(header.count) ? header.count : 0;
    for (let line = 0; line < lines && end < text.length; line += 1) end = lineEnd(end + 1);
    yield text.slice(at, end);
    at = end + 1;
  }
}

/** Frames of a wrapper, as text of a WebSocket message or bytes of an HTTP body. */
export function parseWrapperFrame(input: string | Uint8Array): FrameResult<WrapperFrame> {
  const decoded = decodeFrameText(input);
  if (!decoded.ok) return decoded;
  const split = splitHeader(decoded.text);
  if (!split.ok) return split;
  const { header, body } = split;
  switch (header.type) {
    case 'events':
      return parseEvents(header, body);
    case 'hello':
      return body === '' ? parseHello(header) : refuse('wrong_shape', 'a hello frame is one line');
    case 'command_ack':
      if (body !== '') return refuse('wrong_shape', 'a command_ack frame is one line');
      if (!isPositive(header.id)) return refuse('wrong_shape', 'command_ack.id must be a positive integer');
      return { ok: true, frame: { type: 'command_ack', id: header.id } };
    default:
      return refuse('unknown_type', 'the frame type is not known');
  }
}

function parseHello(header: JsonObject): FrameResult<HelloFrame> {
  const { protocol, wrapperId, bootId, nextSeq } = header;
  const features = featuresIn(header);
  const lost = header.lost ?? 0;
  if (!isPositive(protocol)) return refuse('wrong_shape', 'hello.protocol must be a positive integer');
  if (!isId(wrapperId)) return refuse('wrong_shape', 'hello.wrapperId is not a valid id');
  if (!isId(bootId)) return refuse('wrong_shape', 'hello.bootId is not a valid id');
  if (!isPositive(nextSeq)) return refuse('wrong_shape', 'hello.nextSeq must be a positive integer');
  if (!isCount(lost)) return refuse('wrong_shape', 'hello.lost must be a count');
  return {
    ok: true,
    frame: {
      type: 'hello',
      protocol,
      wrapperId,
      bootId,
      nextSeq,
      lost,
      ...(features.length > 0 ? { features } : {}),
      ...(header.late === true ? { late: true } : {}),
    },
  };
}

/** Anything but a list of names counts as no features. */
const featuresIn = ({ features }: JsonObject): string[] =>
  Array.isArray(features) ? features.filter((each) => typeof each === 'string') : [];

function parseEvents(header: JsonObject, rest: string): FrameResult<EventsFrame> {
  const { seq, count } = header;
  if (!isPositive(seq)) return refuse('wrong_shape', 'events.seq must be a positive integer');
  if (!isPositive(count)) return refuse('wrong_shape', 'events.count must be a positive integer');
  // Not `seq + count - 1`: past the safe integers that sum rounds back into them.
  if (seq > Number.MAX_SAFE_INTEGER - (count - 1)) return refuse('wrong_shape', 'events.seq is too large');
  const body = rest.endsWith('\n') ? rest.slice(0, -1) : rest;
  if (body === '' || lineCount(body) !== count) {
    return refuse('count_mismatch', 'events.count differs from the number of event lines');
  }
  let lastScreen: number | null = null;
  const questions: number[] = [];
  for (let start = 0, line = 1; line <= count; line += 1) {
    PLAIN_OUTPUT.lastIndex = start;
    if (PLAIN_OUTPUT.test(body)) {
      start = PLAIN_OUTPUT.lastIndex;
      continue;
    }
    const lineEnd = body.indexOf('\n', start);
    const checked = checkLine(lineEnd === -1 ? body.slice(start) : body.slice(start, lineEnd), line === count);
    if (!checked.ok) return checked;
    if (checked.event.type === 'screen') lastScreen = line - 1;
    else if (isQuestionFact(checked.event)) questions.push(line - 1);
    start = lineEnd + 1;
  }
  const frame = { type: 'events', seq, count, body, lastScreen, ...(questions.length > 0 ? { questions } : {}) } as const;
  return {
    ok: true,
    frame: {
      ...frame,
      get events() {
        return body.split('\n').map((line) => JSON.parse(line) as HoldfastEvent);
      },
    },
  };
}

const isQuestionFact = ({ type }: HoldfastEvent): boolean => type === 'asking' || type === 'asking_ended';

/**
 * A line that is certainly an `output` event as a wrapper writes it, with its line end. Nearly all
 * lines match, and the match is six times faster than parsing the JSON. It accepts nothing that
 * `checkFact` would refuse (a test compares them); every other line is parsed. The two loops of the
 * text share no character, so it never backtracks more than once.
 */
const PLAIN_OUTPUT =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: JSON allows none of them in a string.
  /\{"type":"output","at":(?:0|[1-9]\d{0,14}),"data":\{"stream":"(?:std(?:out|err)|tty)","text":"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\\x00-\x1f]*)*"(?:,"partial":(?:true|false))?(?:,"line":[1-9]\d{0,14})?\}\}(?:\n|$)/y;

function lineCount(text: string): number {
  let lines = 1;
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) lines += 1;
  return lines;
}

/**
 * What `parseWrapperFrame` would return for one event line, without its line end. `event` is null
 * for plain output, which is not parsed. A wrapper checks lines read back from its disk with this:
 * a frame with one bad line is refused as a whole.
 */
export function checkEventLine(line: Uint8Array): { ok: true; event: HoldfastEvent | null } | FrameRefusal {
  const decoded = decodeFrameText(line, Number.MAX_SAFE_INTEGER);
  if (!decoded.ok) return decoded;
  if (decoded.text.includes('\ufffd')) return refuse('not_utf8', 'U+FFFD itself is written as an escape (ING20)');
  PLAIN_OUTPUT.lastIndex = 0;
  if (PLAIN_OUTPUT.test(decoded.text) && PLAIN_OUTPUT.lastIndex === decoded.text.length) return { ok: true, event: null };
  const value = parseJson(decoded.text);
  if (value === undefined) return refuse('not_json', 'an event line is not JSON');
  const checked = checkFact(value);
  return checked.ok ? checked : refuse('bad_event', checked.detail);
}

function checkLine(line: string, isLast: boolean): { ok: true; event: HoldfastEvent } | FrameRefusal {
  const value = parseJson(line);
  if (value === undefined) return refuse('not_json', 'an event line is not JSON');
  const checked = checkFact(value);
  if (!checked.ok) return refuse('bad_event', checked.detail);
  if (!isLast && isTerminalFact(checked.event)) {
    return refuse('terminal_not_last', 'a terminal fact must be the last event of its frame');
  }
  return checked;
}

/** Frames of a coordinator. A welcome carries commands, so it may be as long as any frame. */
export function parseCoordinatorFrame(input: string | Uint8Array): FrameResult<CoordinatorFrame> {
  const decoded = decodeFrameText(input, COORDINATOR_FRAME_BYTES_MAX);
  if (!decoded.ok) return decoded;
  const header = parseJson(decoded.text);
  if (header === undefined) return refuse('not_json', 'the frame is not JSON');
  if (!isObject(header)) return refuse('wrong_shape', 'the frame must be a JSON object');
  switch (header.type) {
    case 'ack':
      return isCount(header.seq)
        ? { ok: true, frame: { type: 'ack', seq: header.seq } }
        : refuse('wrong_shape', 'ack.seq must be a count');
    case 'nack':
      return isPositive(header.expected)
        ? { ok: true, frame: { type: 'nack', expected: header.expected } }
        : refuse('wrong_shape', 'nack.expected must be a positive integer');
    case 'close':
      return isPositive(header.code) && typeof header.reason === 'string'
        ? { ok: true, frame: { type: 'close', code: header.code, reason: header.reason } }
        : refuse('wrong_shape', 'close needs a code and a reason');
    case 'command': {
      const command = asCommand(header);
      return command ? { ok: true, frame: { type: 'command', ...command } } : refuse('wrong_shape', 'the command is not known');
    }
    case 'welcome':
      return parseWelcome(header);
    default:
      return refuse('unknown_type', 'the frame type is not known');
  }
}

/**
 * A welcome may carry every unacknowledged input command; the coordinator stays below the
 * platform's message limit of 32 MiB.
 */
export const COORDINATOR_FRAME_BYTES_MAX = 16_777_216;

const SIGNALS: ReadonlySet<unknown> = new Set(['SIGINT', 'SIGTERM', 'SIGKILL']);

function asCommand(value: unknown): Command | null {
  if (!isObject(value) || !isPositive(value.id) || !isObject(value.data)) return null;
  const { id, data } = value;
  if (value.command === 'interrupt' && SIGNALS.has(data.signal) && isCount(data.forceAfterMs)) {
    const reason = typeof data.reason === 'string' ? data.reason : '';
    return { id, command: 'interrupt', data: { signal: data.signal as 'SIGINT', forceAfterMs: data.forceAfterMs, reason } };
  }
  if (value.command === 'input') {
    const input = asInput(data);
    return input && { id, command: 'input', data: input };
  }
  if (value.command === 'answer') {
    const answer = asAnswer(data);
    return answer && { id, command: 'answer', data: answer };
  }
  if (value.command === 'resize' && isTerminalSize(data)) {
    return { id, command: 'resize', data: { cols: data.cols, rows: data.rows } };
  }
  return null;
}

/** Null for input that this version does not understand: it is skipped (VER4). */
function asInput({ text, base64, eof }: JsonObject): InputCommandData | null {
  if (text !== undefined && typeof text !== 'string') return null;
  if (base64 !== undefined && typeof base64 !== 'string') return null;
  if (text === undefined && base64 === undefined && eof !== true) return null;
  return {
    ...(text === undefined ? {} : { text }),
    ...(base64 === undefined ? {} : { base64 }),
    ...(eof === true ? { eof } : {}),
  };
}

/** Null for an answer that this version does not understand, as for an input. */
function asAnswer({ question, option, options, text }: JsonObject): AnswerCommandData | null {
  if (!isQuestionId(question)) return null;
  if (typeof text === 'string') return { question, text };
  if (typeof option === 'string') return { question, option };
  const isList = Array.isArray(options) && options.every((each) => typeof each === 'string');
  return isList ? { question, options } : null;
}

function parseWelcome(header: JsonObject): FrameResult<WelcomeFrame> {
  const { protocol, epoch, ackedSeq, logBytes, policy, limits, commands } = header;
  if (!isPositive(protocol)) return refuse('wrong_shape', 'welcome.protocol must be a positive integer');
  if (!isPositive(epoch)) return refuse('wrong_shape', 'welcome.epoch must be a positive integer');
  if (!isCount(ackedSeq)) return refuse('wrong_shape', 'welcome.ackedSeq must be a count');
  if (logBytes !== undefined && !isCount(logBytes)) return refuse('wrong_shape', 'welcome.logBytes must be a count');
  if (
    !isObject(policy) ||
    !POLICY_KEYS.every((key) => isPositive(policy[key]) || (key === 'maxLogBytes' && policy[key] === undefined))
  ) {
    return refuse('wrong_shape', 'welcome.policy is incomplete');
  }
  if (!isObject(limits) || !isPositive(limits.frameBytes) || !isPositive(limits.windowBytes)) {
    return refuse('wrong_shape', 'welcome.limits is incomplete');
  }
  if (!Array.isArray(commands)) return refuse('wrong_shape', 'welcome.commands must be a list');
  const known = commands.map(asCommand).filter((command) => command !== null);
  const job = asJobTerms(header.job);
  const features = featuresIn(header);
  return {
    ok: true,
    frame: {
      type: 'welcome',
      protocol,
      epoch,
      ackedSeq,
      ...(logBytes === undefined ? {} : { logBytes }),
      policy: Object.fromEntries(
        POLICY_KEYS.filter((key) => policy[key] !== undefined).map((key) => [key, policy[key]]),
      ) as unknown as Policy,
      limits: { frameBytes: limits.frameBytes, windowBytes: limits.windowBytes },
      commands: known,
      ...(features.length > 0 ? { features } : {}),
      ...(header.late === true ? { late: true } : {}),
      ...(job ? { job } : {}),
    },
  };
}

/**
 * Invalid fields are treated as absent: a newer coordinator may send more, and an older one sends
 * nothing.
 */
function asJobTerms(value: unknown): JobTerms | null {
  if (!isObject(value) || typeof value.url !== 'string' || !isId(value.session) || !isId(value.execution)) return null;
  const { session, execution, url, deadline, secretNames, merge, output, terminal } = value;
  return {
    session,
    execution,
    url,
    ...(isPositive(deadline) ? { deadline } : {}),
    ...(Array.isArray(secretNames) ? { secretNames: secretNames.filter((name) => typeof name === 'string') } : {}),
    ...(merge === true ? { merge } : {}),
    ...(output === 'bytes' ? { output } : {}),
    ...(isTerminalSize(terminal) ? { terminal: { cols: terminal.cols, rows: terminal.rows } } : {}),
  };
}

// ── encoding ─────────────────────────────────────────────────────────────────────────────────────

/** An events frame from lines that are already encoded, each without its line end. */
export function encodeEventsFrame(seq: number, count: number, body: string): string {
  return `{"type":"events","seq":${seq},"count":${count}}\n${body}`;
}

export function encodeFrame(frame: Exclude<WrapperFrame, EventsFrame> | CoordinatorFrame): string {
  return JSON.stringify(frame);
}
