/**
 * Events: `{type, at, data}`. Facts come from the wrapper, verdicts and connection facts from the
 * coordinator. Unknown types are stored and passed on (ING10); known types are validated, because
 * the coordinator or a page acts on them.
 */

import { askingEndedError, askingError } from './asking.ts';
import type { Author } from './author.ts';
import { isCount, isObject, type JsonObject } from './json.ts';
import {
  EVENT_DEPTH_MAX,
  EVENT_TYPE_PATTERN,
  exceedsUtf8Bytes,
  SCREEN_BYTES_MAX,
  TERMINAL_COLS_MAX,
  TERMINAL_ROWS_MAX,
} from './limits.ts';
import { type Status, TERMINAL_STATUSES, type TerminalStatus } from './statuses.ts';

export type { Author } from './author.ts';
export type { JsonObject } from './json.ts';

export interface HoldfastEvent {
  type: string;
  /**
   * Milliseconds since the epoch, by the clock of the event's author. It does not order events;
   * offsets do.
   */
  at: number;
  data: JsonObject;
}

export interface OutputData {
  /** `tty`: the terminal of an execution that has one. */
  stream: 'stdout' | 'stderr' | 'tty';
  /**
   * Whole lines with their line ends, one or more. Empty where there is `base64`. Of a terminal: it
   * begins and ends anywhere, though never inside a character.
   */
  text: string;
  /**
   * Output that is not UTF-8, in the place of `text`. Only with the start option `output: bytes`.
   */
  base64?: string;
  /** How many bytes were not UTF-8 and became U+FFFD in `text`. Absent: none. */
  replaced?: number;
  /** The text does not end a line; the next output of the same stream continues it. */
  partial?: boolean;
  /**
   * Number of the first line that begins in this text, from 1, both streams counted together
   * (SPL24). Absent when no line begins in it.
   */
  line?: number;
}
/** A part of a JSON line that is too long for one event. The texts, in order, are the line. */
export interface AgentPartData {
  /** From 1 to `parts`. */
  part: number;
  parts: number;
  text: string;
}
export interface ExitData {
  exitCode: number | null;
  signal: string | null;
  /** Whether the job was asked to stop before it ended. A wrapper of 0.1.0 does not report it. */
  toldToStop?: boolean;
  /** Memory ran out, and the kernel killed a process of the job's control group. */
  outOfMemory?: boolean;
  /** What could not be stopped of a job that was asked to stop, in words. */
  left?: string;
}
export interface ErrorData {
  error: string;
  code?: string;
  fatal?: boolean;
}
export interface InterruptedData {
  reason: string;
  /** What could not be stopped, in words. */
  left?: string;
}
/** The size of a terminal in characters. */
export interface TerminalSize {
  cols: number;
  rows: number;
}
/** An accepted change of a terminal's size, as the coordinator logs it. */
export interface ResizeData extends TerminalSize {
  by: Author;
}
/** The screen of a terminal after all of its output before this event. */
export interface ScreenData extends TerminalSize {
  /** Terminal sequences that draw the screen on a terminal of this size that was reset. */
  data: string;
  /** Sequences to be written after `data`: cursor, mouse and keyboard modes. */
  modes: string;
  title?: string;
  /** Colours were left out because of SCREEN_BYTES_MAX. */
  colours?: false;
}
/** An accepted input, as the coordinator logs it. */
export interface InputData {
  by: Author;
  bytes: number;
  /** Absent for bytes, for a secret, and for input to a terminal. */
  text?: string;
  /** Of input that was given as bytes, but not to a terminal: their SHA-256 in hexadecimal. */
  sha256?: string;
  /** The job's stdin ends after it. */
  eof?: true;
  secret?: true;
}

export interface GapData {
  events: number;
  /** Null: unknown. */
  bytes: number | null;
  /** `placeholder`: an event that an earlier gap counts; it only keeps its number. */
  reason: string;
  /** There may be more than the two counts state. */
  unknown?: boolean;
}

/**
 * The description of a gap, without its reason. Null for a placeholder, which readers do not show.
 * A wrapper of 0.1.0 that died reported 0 events and 0 bytes for an unknown amount.
 */
export function gapText(data: JsonObject): string | null {
  const { events, bytes, reason } = data;
  if (reason === 'placeholder') return null;
  const none = events === 0 && (bytes === 0 || bytes === null);
  if (none && (bytes === null || data.unknown === true || reason === 'wrapper_crashed'))
    return 'an unknown amount of output is missing here';
  if (events === 0) return `${data.unknown === true ? 'at least ' : ''}${bytes} bytes of output are missing here`;
  const verb = events === 1 ? 'event is' : 'events are';
  return data.unknown === true || bytes === null
    ? `at least ${events} ${verb} missing here`
    : `${events} ${verb.replace(' ', ` (${bytes} bytes) `)} missing here`;
}

/** The bytes of an `output` event, as the job wrote them unless `replaced` says otherwise. */
export function outputBytes({ text, base64 }: Pick<OutputData, 'text' | 'base64'>): Uint8Array {
  if (base64 === undefined) return new TextEncoder().encode(text);
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

/**
 * Event types that only the coordinator writes. A wrapper that sends one is refused; otherwise it
 * could forge a verdict.
 */
const COORDINATOR_TYPE_PATTERN = /^(execution|wrapper|session)_|^(interrupt_requested|input|resize|answered)$/;

export const isCoordinatorType = (type: string): boolean => COORDINATOR_TYPE_PATTERN.test(type);

export const verdictType = (status: Status): `execution_${Status}` => `execution_${status}`;

const VERDICTS: ReadonlySet<string> = new Set(TERMINAL_STATUSES.map(verdictType));

/** The status that a verdict event announces, or null when the type is not a verdict of an end. */
export function terminalStatusOf(type: string): TerminalStatus | null {
  return VERDICTS.has(type) ? (type.slice('execution_'.length) as TerminalStatus) : null;
}

/** A fact that ends the run: `exit`, `interrupted`, or an `error` marked as fatal. */
export function isTerminalFact(event: HoldfastEvent): boolean {
  return event.type === 'exit' || event.type === 'interrupted' || (event.type === 'error' && event.data.fatal === true);
}

/**
 * Whether objects and arrays nest at most `levels` deep. The recursion is bounded by `levels`,
 * never by the value.
 */
export function nestsWithin(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  if (levels === 0) return false;
  // `for … in`, because this runs for every event: over parsed JSON it visits the same values as
  // Object.values, without allocating a list.
  for (const key in value) {
    const inner = (value as JsonObject)[key];
    if (typeof inner === 'object' && !nestsWithin(inner, levels - 1)) return false;
  }
  return true;
}

/** Whether a terminal can have this size. */
export const isTerminalSize = (value: unknown): value is TerminalSize =>
  isObject(value) &&
  isCount(value.cols) &&
  isCount(value.rows) &&
  value.cols >= 1 &&
  value.rows >= 1 &&
  value.cols <= TERMINAL_COLS_MAX &&
  value.rows <= TERMINAL_ROWS_MAX;

const isBase64 = (value: unknown): boolean =>
  typeof value === 'string' && value.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(value);

/** Whether the data of an `agent_part` is one. */
export const isAgentPart = (data: JsonObject): data is AgentPartData & JsonObject =>
  isCount(data.part) &&
  isCount(data.parts) &&
  data.part >= 1 &&
  data.part <= data.parts &&
  typeof data.text === 'string' &&
  data.text !== '' &&
  !data.text.includes('\n');

/**
 * Validators of the known types. Each returns what is wrong with the data; null when it is valid.
 */
const KNOWN: Readonly<Record<string, (data: JsonObject) => string | null>> = {
  output: ({ stream, text, base64, replaced, partial, line }) =>
    (stream !== 'stdout' && stream !== 'stderr' && stream !== 'tty' && 'output.stream must be stdout, stderr or tty') ||
    (typeof text !== 'string' && 'output.text must be a string') ||
    (base64 !== undefined && !isBase64(base64) && 'output.base64 must be base64 with padding') ||
    (base64 !== undefined && text !== '' && 'output.text must be empty where there is output.base64') ||
    (replaced !== undefined &&
      !(Number.isSafeInteger(replaced) && (replaced as number) > 0) &&
      'output.replaced must be a number of bytes from 1 on') ||
    (partial !== undefined && typeof partial !== 'boolean' && 'output.partial must be a boolean') ||
    (line !== undefined &&
      !(Number.isSafeInteger(line) && (line as number) > 0) &&
      'output.line must be a line number from 1 on') ||
    null,
  agent_part: (data) => (isAgentPart(data) ? null : 'agent_part must be a text without line ends and its part from 1 to parts'),
  exit: ({ exitCode, signal, toldToStop, outOfMemory, left }) =>
    (exitCode !== null &&
      exitCode !== undefined &&
      !Number.isSafeInteger(exitCode) &&
      'exit.exitCode must be an integer or null') ||
    (signal !== null && signal !== undefined && typeof signal !== 'string' && 'exit.signal must be a string or null') ||
    (toldToStop !== undefined && typeof toldToStop !== 'boolean' && 'exit.toldToStop must be a boolean') ||
    (outOfMemory !== undefined && typeof outOfMemory !== 'boolean' && 'exit.outOfMemory must be a boolean') ||
    (left !== undefined && typeof left !== 'string' && 'exit.left must be a string') ||
    (typeof exitCode !== 'number' && typeof signal !== 'string' && 'exit needs an exitCode or a signal') ||
    null,
  error: ({ error, code, fatal }) =>
    (typeof error !== 'string' && 'error.error must be a string') ||
    (code !== undefined && typeof code !== 'string' && 'error.code must be a string') ||
    (fatal !== undefined && typeof fatal !== 'boolean' && 'error.fatal must be a boolean') ||
    null,
  interrupted: ({ reason, left }) =>
    (typeof reason !== 'string' && 'interrupted.reason must be a string') ||
    (left !== undefined && typeof left !== 'string' && 'interrupted.left must be a string') ||
    null,
  started: ({ pid, terminal }) =>
    (pid !== undefined && !Number.isSafeInteger(pid) && 'started.pid must be an integer') ||
    (terminal !== undefined && !isTerminalSize(terminal) && 'started.terminal must be the size of a terminal') ||
    null,
  screen: ({ cols, rows, data, modes, title, colours }) =>
    (exceedsUtf8Bytes(JSON.stringify({ cols, rows, data, modes, title, colours }), SCREEN_BYTES_MAX) &&
      `screen may have at most ${SCREEN_BYTES_MAX} bytes`) ||
    (!isTerminalSize({ cols, rows }) && 'screen needs the cols and rows of a terminal') ||
    (typeof data !== 'string' && 'screen.data must be a string') ||
    (typeof modes !== 'string' && 'screen.modes must be a string') ||
    (title !== undefined && typeof title !== 'string' && 'screen.title must be a string') ||
    (colours !== undefined && typeof colours !== 'boolean' && 'screen.colours must be a boolean') ||
    null,
  gap: ({ events, bytes, reason, unknown }) =>
    (!isCount(events) && 'gap.events must be a count') ||
    (bytes !== null && !isCount(bytes) && 'gap.bytes must be a count or null') ||
    (unknown !== undefined && typeof unknown !== 'boolean' && 'gap.unknown must be a boolean') ||
    (typeof reason !== 'string' && 'gap.reason must be a string') ||
    null,
  asking: askingError,
  asking_ended: askingEndedError,
};

/**
 * What is wrong with the data of a known fact; null when it is valid or the type is not a known
 * fact (`agent`, `status` and `progress` are not checked).
 */
export const factDataError = (type: string, data: JsonObject): string | null =>
  (Object.hasOwn(KNOWN, type) ? KNOWN[type]?.(data) : null) ?? null;

export type EventCheck = { ok: true; event: HoldfastEvent } | { ok: false; detail: string };

/**
 * A fact as a wrapper may send it. Total: any value gives an event or the reason why it is invalid.
 */
export function checkFact(value: unknown): EventCheck {
  if (!isObject(value)) return { ok: false, detail: 'an event must be a JSON object' };
  const { type, at, data } = value;
  if (typeof type !== 'string' || !EVENT_TYPE_PATTERN.test(type))
    return { ok: false, detail: 'event.type is not a valid type name' };
  if (!isCount(at)) return { ok: false, detail: 'event.at must be milliseconds since the epoch' };
  if (!isObject(data)) return { ok: false, detail: 'event.data must be a JSON object' };
  if (isCoordinatorType(type)) return { ok: false, detail: 'this event type is reserved for the coordinator' };
  if (!nestsWithin(data, EVENT_DEPTH_MAX))
    return { ok: false, detail: `event.data may nest at most ${EVENT_DEPTH_MAX} levels deep` };
  const wrong = factDataError(type, data);
  if (wrong) return { ok: false, detail: wrong };
  return { ok: true, event: value as unknown as HoldfastEvent };
}
