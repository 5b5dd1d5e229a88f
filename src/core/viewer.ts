/**
 * What a viewer gets, as pure functions: which part of a stored batch passes its filter, and how much may be on the wire.
 *
 * V1  A live viewer has been sent (or had filtered out) everything up to the head; its position needs no writing down.
 * V2  A viewer that is not live has its position in `sent`, and the rest is read from the log (G2).
 * V3  With flow control at most `VIEWER_WINDOW_BYTES` and one batch are unacknowledged; what is beyond that stays in the log.
 */

import type { TerminalStatus } from '../../protocol/index.ts';
import { encodeStreamBatch, encodeStreamSelection, terminalStatusOf, VIEWER_WINDOW_BYTES } from '../../protocol/index.ts';
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

export interface StoredBatch {
  firstOffset: number;
  count: number;
  execution: string;
  body: string;
}

export interface ViewerFrame {
  text: string;
  /** Offset of its last event: what the viewer's ack will name. */
  last: number;
}

/** The frame that brings a viewer from `after` over this batch, or null when nothing in it passes the filter. */
export function frameFor(batch: StoredBatch, after: number, filter: Pick<ViewerState, 'executions' | 'types'>): ViewerFrame | null {
  const { firstOffset, count, execution, body } = batch;
  if (filter.executions && !filter.executions.includes(execution)) return null;
  const skip = Math.max(0, after + 1 - firstOffset);
  if (skip >= count) return null;
  const end = firstOffset + count - 1;
  if (filter.types === null) {
    const rest = skip === 0 ? body : body.split('\n').slice(skip).join('\n');
    return { text: encodeStreamBatch(firstOffset + skip, execution, rest), last: end };
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
  return {
    text: complete
      ? encodeStreamBatch(firstOffset + skip, execution, lines.join('\n'))
      : encodeStreamSelection(offsets, execution, lines),
    last,
  };
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

export const mayReceive = (state: ViewerState): boolean => !state.flow || unackedBytes(state) < VIEWER_WINDOW_BYTES;

/** Counts bytes up to `offset` as on the wire. Returns true when the state should be written down: a lump was begun. */
export function charge(state: ViewerState, offset: number, bytes: number): boolean {
  if (!state.flow) return false;
  const last = state.unacked.at(-1);
  if (last && last[1] < LUMP_BYTES) {
    last[0] = offset;
    last[1] += bytes;
    return false;
  }
  state.unacked.push([offset, bytes]);
  return true;
}

/** Everything up to `offset` was taken in. A lump leaves when all of it was. */
export function acknowledge(state: ViewerState, offset: number): void {
  while (state.unacked[0] && state.unacked[0][0] <= offset) state.unacked.shift();
}
