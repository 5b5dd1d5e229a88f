/**
 * Frames of /stream, between the coordinator and a viewer. Event text goes through unchanged from
 * the log to the viewer.
 */

import type { OutputFormat } from './api.ts';
import type { HoldfastEvent, TerminalSize } from './events.ts';
import { isCount, isObject, type JsonObject, parseJson } from './json.ts';
import { exceedsUtf8Bytes, HEADER_BYTES_MAX } from './limits.ts';
import { isStatus, isTerminal, type Status, type TerminalStatus } from './statuses.ts';

export interface StreamHello {
  type: 'hello';
  session: string;
  /** Oldest offset still kept. */
  earliest: number;
  /** Newest offset at the time of the hello; 0 for an empty log. */
  head: number;
  /** The generation of the log with this name. A coordinator of 0.1.0 does not send it. */
  generation?: string;
  /**
   * `output`, `format`: the options of the start, if not `text`. `terminal`: the current size, if it
   * has one. All of them only of executions that the viewer named.
   */
  executions: { id: string; status: Status; output?: 'bytes'; format?: OutputFormat; terminal?: TerminalSize }[];
}
/** Either `offset` (event i has offset + i) or `offsets` (a filter left holes) is given. */
export interface StreamEvents {
  type: 'events';
  execution: string;
  offset?: number;
  offsets?: number[];
  /** These events were stored after the verdict of their execution. */
  late?: true;
  events: HoldfastEvent[];
}
/** Everything up to this offset was sent or filtered out; what follows is live. */
export interface StreamCaughtUp {
  type: 'caught_up';
  offset: number;
}
/**
 * The execution has its verdict, and the verdict was sent (or filtered out) before this frame. Only
 * late events of the execution may follow.
 */
export interface StreamEnd {
  type: 'end';
  execution: string;
  status: TerminalStatus;
}
export type StreamFrame = StreamHello | StreamEvents | StreamCaughtUp | StreamEnd;

/**
 * The only frame of a viewer. Everything up to `offset` was consumed, which opens the send window.
 */
export interface StreamAck {
  type: 'ack';
  offset: number;
}

/**
 * One stored batch as a frame: NDJSON becomes a JSON array by replacing the line ends, since a JSON
 * line contains none.
 */
export function encodeStreamBatch(offset: number, execution: string, body: string, late = false): string {
  return `{"type":"events","offset":${offset}${lateMember(late)},"execution":${JSON.stringify(execution)},"events":[${body.replaceAll('\n', ',')}]}`;
}

/** As text after the offset, in frames and messages alike. */
export const lateMember = (late: boolean): string => (late ? ',"late":true' : '');

/** A batch of which a filter kept only some lines. */
export function encodeStreamSelection(
  offsets: readonly number[],
  execution: string,
  lines: readonly string[],
  late = false,
): string {
  return `{"type":"events","offsets":[${offsets.join(',')}]${lateMember(late)},"execution":${JSON.stringify(execution)},"events":[${lines.join(',')}]}`;
}

export function encodeStreamFrame(frame: StreamHello | StreamCaughtUp | StreamEnd | StreamAck): string {
  return JSON.stringify(frame);
}

/**
 * The generation of a log: the creation time of its session, in base 36. A session that is deleted
 * and created again under its name has another one, so that a reader of the old log does not
 * continue in the new one.
 */
export const generationOf = (createdAt: number): string => createdAt.toString(36);

/** The largest safe integer has 11 digits in base 36. */
export const GENERATION_PATTERN = /^[0-9a-z]{1,11}$/;

function parseJsonObject(text: string): JsonObject | null {
  const value = parseJson(text);
  return isObject(value) ? value : null;
}

/**
 * A viewer's frame, or null when it is invalid (close 4400). An ack is one number: a long text is
 * refused before it is parsed.
 */
export function parseViewerFrame(text: string): StreamAck | null {
  if (exceedsUtf8Bytes(text, HEADER_BYTES_MAX)) return null;
  const frame = parseJsonObject(text);
  return frame?.type === 'ack' && isCount(frame.offset) ? { type: 'ack', offset: frame.offset } : null;
}

const isEvent = (value: unknown): boolean =>
  isObject(value) && typeof value.type === 'string' && isCount(value.at) && isObject(value.data);

/**
 * Exactly one of `offset` and `offsets`; offsets begin at 1 and ascend, otherwise a reader would
 * resume from an offset that it never saw.
 */
function hasPlaces({ offset, offsets }: Record<string, unknown>, count: number): boolean {
  if (offsets === undefined) return isCount(offset) && offset >= 1 && offset <= Number.MAX_SAFE_INTEGER - count;
  if (offset !== undefined || !Array.isArray(offsets) || offsets.length !== count) return false;
  return offsets.every((place, index) => isCount(place) && place > (index === 0 ? 0 : (offsets[index - 1] as number)));
}

/**
 * A coordinator's stream frame; null if it is broken or of a type that this reader does not know
 * (to be skipped).
 */
export function parseStreamFrame(text: string): StreamFrame | null {
  const frame = parseJsonObject(text);
  switch (frame?.type) {
    case 'hello':
      return typeof frame.session === 'string' &&
        isCount(frame.earliest) &&
        isCount(frame.head) &&
        (frame.generation ?? '') === `${frame.generation ?? ''}` &&
        Array.isArray(frame.executions) &&
        frame.executions.every((item) => isObject(item) && typeof item.id === 'string' && isStatus(item.status))
        ? (frame as unknown as StreamHello)
        : null;
    case 'events': {
      if (typeof frame.execution !== 'string' || !Array.isArray(frame.events) || !frame.events.every(isEvent)) return null;
      return hasPlaces(frame, frame.events.length) ? (frame as unknown as StreamEvents) : null;
    }
    case 'caught_up':
      return isCount(frame.offset) ? { type: 'caught_up', offset: frame.offset } : null;
    case 'end':
      return typeof frame.execution === 'string' && isStatus(frame.status) && isTerminal(frame.status)
        ? (frame as unknown as StreamEnd)
        : null;
    default:
      return null;
  }
}

/** Offset of event `index` of a frame. */
export const offsetOf = (frame: StreamEvents, index: number): number =>
  frame.offsets ? (frame.offsets[index] as number) : (frame.offset as number) + index;
