/**
 * What a viewer gets, as pure functions: which part of a stored batch passes its filter, and how much may be on the wire.
 *
 * V1  A live viewer has been sent (or had filtered out) everything up to the head; its position needs no writing down.
 * V2  A viewer that is not live has its position in `sent`, and the rest is read from the log (G2).
 * V3  At most `VIEWER_WINDOW_BYTES` and one frame of events are unacknowledged, for every viewer (STR10, STR12). Then one with flow control waits, and the
 *     rest stays in the log; one without is closed. The platform keeps what a viewer does not read in memory, without a bound of its own (measured).
 *
 * Only an ack is a sign of reading. A ping is not: a viewer that never reads can send pings, and the platform answers them. An accepted weakness: a viewer that
 * acknowledges what it does not read still fills the memory, and nothing here can tell. Only those who may read the session can do that.
 * `end` frames are not counted: they have no offset of their own to acknowledge. SESSION_EXECUTIONS_MAX of them have about 9 MB.
 */

import type { TerminalStatus } from '../../protocol/index.ts';
import {
  encodeStreamBatch,
  encodeStreamSelection,
  terminalStatusOf,
  utf8Bytes,
  VIEWER_WINDOW_BYTES,
} from '../../protocol/index.ts';
import { parseStored } from './stored.ts';

export interface ViewerState {
  /** Null takes all. */
  executions: string[] | null;
  types: string[] | null;
  flow: boolean;
  /** When its credential is over and the connection with it; null, or absent in what an earlier version wrote down: never. */
  until?: number | null;
  live: boolean;
  /** Offset up to which everything was sent or filtered out, while not live. */
  sent: number;
  caughtUp: boolean;
  /** Executions of the filter whose end was not announced yet; the socket closes when none is left. */
  waitingFor: string[];
  /** Unacknowledged bytes by offset, oldest first, in lumps of at least `LUMP_BYTES`: [last offset, bytes]. */
  unacked: [number, number][];
}

/** Window accounting in lumps keeps the state small enough to be written with the socket: at most 1 MiB / 32 KiB of them and a few. */
const LUMP_BYTES = 32 * 1024;

/** Bytes are counted in steps, and the state is written down with each step: a small event costs no write, and a wake forgets nothing that was counted. */
const STEP_BYTES = 4 * 1024;

/**
 * What was counted with the newest step and not used yet. In memory only: after a wake the whole step counts as used. Without this a viewer that gets a little
 * between two sleeps, and reads nothing, would never be found out.
 */
const spareBytes = new WeakMap<Pick<ViewerState, 'unacked'>, number>();

export interface StoredBatch {
  firstOffset: number;
  count: number;
  execution: string;
  body: string;
  /** Of the body, in UTF-8. */
  bytes: number;
}

export interface ViewerFrame {
  text: string;
  /** Of the text, in UTF-8. */
  bytes: number;
  /** Offset of its last event: what the viewer's ack will name. */
  last: number;
}

/** The frame that brings a viewer from `after` over this batch, or null when nothing in it passes the filter. */
export function frameFor(batch: StoredBatch, after: number, filter: Pick<ViewerState, 'executions' | 'types'>): ViewerFrame | null {
  const { firstOffset, count, execution, body, bytes } = batch;
  const frame = (text: string, last: number): ViewerFrame => ({
    text,
    // Most batches are ASCII, whose characters need no counting.
    bytes: body.length === bytes ? text.length : utf8Bytes(text),
    last,
  });
  if (filter.executions && !filter.executions.includes(execution)) return null;
  const skip = Math.max(0, after + 1 - firstOffset);
  if (skip >= count) return null;
  const end = firstOffset + count - 1;
  if (filter.types === null) {
    const rest = skip === 0 ? body : body.split('\n').slice(skip).join('\n');
    return frame(encodeStreamBatch(firstOffset + skip, execution, rest), end);
  }
  const offsets: number[] = [];
  const lines: string[] = [];
  for (const [index, line] of body.split('\n').entries()) {
    if (index < skip || !filter.types.includes(typeOf(line))) continue;
    offsets.push(firstOffset + index);
    lines.push(line);
  }
  const last = offsets.at(-1);
  if (last === undefined) return null;
  const complete = lines.length === count - skip;
  return frame(
    complete
      ? encodeStreamBatch(firstOffset + skip, execution, lines.join('\n'))
      : encodeStreamSelection(offsets, execution, lines),
    last,
  );
}

/** Lines in the log were checked when they came in, so they parse. */
const typeOf = (line: string): string => parseStored<{ type: string }>(line).type;

/** The status that a batch of the coordinator announces as the end of its execution, or null. Verdicts are the last event of their batch. */
export function endAnnouncedBy(batch: Pick<StoredBatch, 'body'>): TerminalStatus | null {
  return terminalStatusOf(typeOf(batch.body.slice(batch.body.lastIndexOf('\n') + 1)));
}

export const unackedBytes = ({ unacked }: Pick<ViewerState, 'unacked'>): number =>
  unacked.reduce((sum, [, bytes]) => sum + bytes, 0);

/** At the very moment it is over. */
export const isOver = ({ until }: Pick<ViewerState, 'until'>, now: number): boolean =>
  until !== null && until !== undefined && until <= now;

export type Room = 'send' | 'wait' | 'close';

/** V3: what becomes of the next frame of events. */
export function roomFor(state: Pick<ViewerState, 'flow' | 'unacked'>): Room {
  if (unackedBytes(state) < VIEWER_WINDOW_BYTES) return 'send';
  return state.flow ? 'wait' : 'close';
}

/** Counts bytes up to `offset` as on the wire. Returns true when the state should be written down: a step was begun. */
export function charge(state: Pick<ViewerState, 'unacked'>, offset: number, bytes: number): boolean {
  const { unacked } = state;
  const spare = unacked.length > 0 ? (spareBytes.get(state) ?? 0) : 0;
  const more = Math.ceil(Math.max(0, bytes - spare) / STEP_BYTES) * STEP_BYTES;
  spareBytes.set(state, spare + more - bytes);
  const last = unacked.at(-1);
  if (last && (more === 0 || last[1] < LUMP_BYTES)) {
    last[0] = offset;
    last[1] += more;
  } else {
    unacked.push([offset, more]);
  }
  return more > 0;
}

/** Everything up to `offset` was taken in. A lump leaves when all of it was. */
export function acknowledge(state: Pick<ViewerState, 'unacked'>, offset: number): void {
  while (state.unacked[0] && state.unacked[0][0] <= offset) state.unacked.shift();
}
