/**
 * Events: `{type, at, data}`. Facts come from the wrapper, verdicts and connection facts from the coordinator.
 * Unknown types are kept and passed on (ING10); the known ones are checked, because the coordinator or a page acts on them.
 */

import { EVENT_DEPTH_MAX, EVENT_TYPE_PATTERN } from './limits.ts';
import { type Status, TERMINAL_STATUSES, type TerminalStatus } from './statuses.ts';

export type JsonObject = { [key: string]: unknown };

export interface HoldfastEvent {
  type: string;
  /** Milliseconds since the epoch, by the clock of whoever made the event. Not an order: offsets are. */
  at: number;
  data: JsonObject;
}

export interface OutputData {
  stream: 'stdout' | 'stderr';
  /** Whole lines with their line ends, one or more. */
  text: string;
  /** The text does not end a line; the next output of the same stream goes on where it stops. */
  partial?: boolean;
  /** Number of the first line that begins in this text, from 1 on, both streams counted together (SPL24). Absent when none does. */
  line?: number;
}
export interface ExitData {
  exitCode: number | null;
  signal: string | null;
  /** Whether anyone had told the job to stop before it ended. A wrapper of 0.1.0 does not say it. */
  toldToStop?: boolean;
}
export interface ErrorData {
  error: string;
  code?: string;
  fatal?: boolean;
}
export interface InterruptedData {
  reason: string;
}
export interface GapData {
  events: number;
  bytes: number;
  /** `placeholder`: an event that an earlier gap counts; it only keeps its number. */
  reason: string;
  /** There may be more than the two counts say. */
  unknown?: boolean;
}

/**
 * What a gap says, without its reason. Null for a placeholder, which readers do not show. A wrapper of 0.1.0 that died said 0 events and 0 bytes and meant that it
 * did not know.
 */
export function gapText(data: JsonObject): string | null {
  const { events, bytes, reason } = data;
  if (reason === 'placeholder') return null;
  const none = events === 0 && bytes === 0;
  if (none && (data.unknown === true || reason === 'wrapper_crashed')) return 'an unknown amount of output is missing here';
  const verb = events === 1 ? 'event is' : 'events are';
  return data.unknown === true
    ? `at least ${events} ${verb} missing here`
    : `${events} ${verb.replace(' ', ` (${bytes} bytes) `)} missing here`;
}

/** Event types that only the coordinator writes. A wrapper that sends one is refused, or it could forge a verdict. */
const COORDINATOR_TYPE_PATTERN = /^(execution|wrapper|session)_|^interrupt_requested$/;

export const isCoordinatorType = (type: string): boolean => COORDINATOR_TYPE_PATTERN.test(type);

export const verdictType = (status: Status): `execution_${Status}` => `execution_${status}`;

const VERDICTS: ReadonlySet<string> = new Set(TERMINAL_STATUSES.map(verdictType));

/** The status that a verdict event announces, or null when the type is no verdict of an end. */
export function terminalStatusOf(type: string): TerminalStatus | null {
  return VERDICTS.has(type) ? (type.slice('execution_'.length) as TerminalStatus) : null;
}

/** A fact that ends the run: `exit`, `interrupted`, or an `error` that says it is fatal. */
export function isTerminalFact(event: HoldfastEvent): boolean {
  return event.type === 'exit' || event.type === 'interrupted' || (event.type === 'error' && event.data.fatal === true);
}

const isObject = (value: unknown): value is JsonObject => typeof value === 'object' && value !== null && !Array.isArray(value);

const isTime = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

/** Whether objects and arrays nest at most `levels` deep. The recursion is bounded by `levels`, never by the value. */
function nestsWithin(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return true;
  if (levels === 0) return false;
  // `for … in`, because this runs for every event: over parsed JSON it sees what Object.values would, without making a list.
  for (const key in value) {
    const inner = (value as JsonObject)[key];
    if (typeof inner === 'object' && !nestsWithin(inner, levels - 1)) return false;
  }
  return true;
}

/** Checks of the known types, each the answer to "what is wrong with this data?", null when nothing is. */
const KNOWN: Readonly<Record<string, (data: JsonObject) => string | null>> = {
  output: ({ stream, text, partial, line }) =>
    (stream !== 'stdout' && stream !== 'stderr' && 'output.stream must be stdout or stderr') ||
    (typeof text !== 'string' && 'output.text must be a string') ||
    (partial !== undefined && typeof partial !== 'boolean' && 'output.partial must be a boolean') ||
    (line !== undefined &&
      !(Number.isSafeInteger(line) && (line as number) > 0) &&
      'output.line must be a line number from 1 on') ||
    null,
  exit: ({ exitCode, signal, toldToStop }) =>
    (exitCode !== null &&
      exitCode !== undefined &&
      !Number.isSafeInteger(exitCode) &&
      'exit.exitCode must be an integer or null') ||
    (signal !== null && signal !== undefined && typeof signal !== 'string' && 'exit.signal must be a string or null') ||
    (toldToStop !== undefined && typeof toldToStop !== 'boolean' && 'exit.toldToStop must be a boolean') ||
    (typeof exitCode !== 'number' && typeof signal !== 'string' && 'exit needs an exitCode or a signal') ||
    null,
  error: ({ error, code, fatal }) =>
    (typeof error !== 'string' && 'error.error must be a string') ||
    (code !== undefined && typeof code !== 'string' && 'error.code must be a string') ||
    (fatal !== undefined && typeof fatal !== 'boolean' && 'error.fatal must be a boolean') ||
    null,
  interrupted: ({ reason }) => (typeof reason !== 'string' && 'interrupted.reason must be a string') || null,
  started: ({ pid }) => (pid !== undefined && !Number.isSafeInteger(pid) && 'started.pid must be an integer') || null,
  gap: ({ events, bytes, reason, unknown }) =>
    (!isTime(events) && 'gap.events must be a count') ||
    (!isTime(bytes) && 'gap.bytes must be a count') ||
    (unknown !== undefined && typeof unknown !== 'boolean' && 'gap.unknown must be a boolean') ||
    (typeof reason !== 'string' && 'gap.reason must be a string') ||
    null,
};

/** What is wrong with the data of a known fact, or null: nothing, or the type is no known fact (`agent`, `status` and `progress` are not checked). */
export const wrongFactData = (type: string, data: JsonObject): string | null =>
  (Object.hasOwn(KNOWN, type) ? KNOWN[type]?.(data) : null) ?? null;

export type EventCheck = { ok: true; event: HoldfastEvent } | { ok: false; detail: string };

/** A fact as a wrapper may send it. Total: any value gives an event or the reason why it is none. */
export function checkFact(value: unknown): EventCheck {
  if (!isObject(value)) return { ok: false, detail: 'an event must be a JSON object' };
  const { type, at, data } = value;
  if (typeof type !== 'string' || !EVENT_TYPE_PATTERN.test(type))
    return { ok: false, detail: 'event.type is not a valid type name' };
  if (!isTime(at)) return { ok: false, detail: 'event.at must be milliseconds since the epoch' };
  if (!isObject(data)) return { ok: false, detail: 'event.data must be a JSON object' };
  if (isCoordinatorType(type)) return { ok: false, detail: 'this event type is reserved for the coordinator' };
  if (!nestsWithin(data, EVENT_DEPTH_MAX))
    return { ok: false, detail: `event.data may nest at most ${EVENT_DEPTH_MAX} levels deep` };
  const wrong = wrongFactData(type, data);
  if (wrong) return { ok: false, detail: wrong };
  return { ok: true, event: value as unknown as HoldfastEvent };
}
