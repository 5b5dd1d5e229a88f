/**
 * What a viewer gets, as pure functions: which part of a stored batch passes its filter, and how
 * much may be in flight.
 *
 * V1  A live viewer has been sent (or had filtered out) everything up to the head; its position is
 *     not stored.
 * V2  A viewer that is not live has its position in `sent`; the rest is read from the log (G2).
 * V3  At most `VIEWER_WINDOW_BYTES` and one frame of events are unacknowledged per viewer (STR10,
 *     STR12). With flow control the viewer then waits, and the rest stays in the log; without it
 *     the viewer is closed. The platform buffers unread frames in memory without a limit
 *     (measured).
 *
 * Only an ack shows that a viewer reads. A ping does not: a viewer that never reads can send pings,
 * and the platform answers them. Accepted weakness: a viewer that acknowledges what it does not
 * read still fills the memory, undetected. Only those who may read the session can do that.
 * `end` frames are not counted, because they have no offset to acknowledge.
 * SESSION_EXECUTIONS_MAX of them have about 9 MB.
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
  /** Null: all executions. */
  executions: string[] | null;
  types: string[] | null;
  flow: boolean;
  /**
   * When the credential ends, and the connection with it. Null: never. Absent in attachments of
   * earlier versions, which also means never.
   */
  until?: number | null;
  live: boolean;
  /** Offset up to which everything was sent or filtered out, while not live. */
  sent: number;
  caughtUp: boolean;
  /** Executions of the filter whose end was not sent yet. The socket closes when it is empty. */
  waitingFor: string[];
  /** Unacked bytes, oldest first, in lumps of at least `LUMP_BYTES`: [last offset, bytes]. */
  unacked: [number, number][];
}

/**
 * Window accounting in lumps keeps the state small enough for a socket attachment: a few more than
 * 1 MiB / 32 KiB of them.
 */
const LUMP_BYTES = 32 * 1024;

/**
 * Bytes are counted in steps, and the state is stored with each step: a small event costs no write,
 * and no counted bytes are lost when the object sleeps.
 */
const STEP_BYTES = 4 * 1024;

/**
 * Bytes of the newest step that are not used yet. In memory only: after a wake the whole step
 * counts as used. This catches a viewer that gets a little between two sleeps and never reads.
 */
const spareBytes = new WeakMap<Pick<ViewerState, 'unacked'>, number>();

export interface StoredBatch {
  firstOffset: number;
  count: number;
  execution: string;
  body: string;
  /** Of the body, in UTF-8. */
  bytes: number;
  /** Stored after the verdict of its execution. */
  late: boolean;
}

export interface ViewerFrame {
  text: string;
  /** Of the text, in UTF-8. */
  bytes: number;
  /** Offset of its last event, which the viewer's ack will name. */
  last: number;
}

/** The frame that moves a viewer from `after` past this batch; null if no event passes. */
export function frameFor(batch: StoredBatch, after: number, filter: Pick<ViewerState, 'executions' | 'types'>): ViewerFrame | null {
  const { firstOffset, count, execution, body, bytes, late } = batch;
  const frame = (text: string, last: number): ViewerFrame => ({
    text,
    // Most batches are ASCII, where characters are bytes.
    bytes: body.length === bytes ? text.length : utf8Bytes(text),
    last,
  });
  if (filter.executions && !filter.executions.includes(execution)) return null;
  const skip = Math.max(0, after + 1 - firstOffset);
  if (skip >= count) return null;
  const end = firstOffset + count - 1;
  if (filter.types === null) {
    const rest = skip === 0 ? body : body.split('\n').slice(skip).join('\n');
    return frame(encodeStreamBatch(firstOffset + skip, execution, rest, late), end);
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
      ? encodeStreamBatch(firstOffset + skip, execution, lines.join('\n'), late)
      : encodeStreamSelection(offsets, execution, lines, late),
    last,
  );
}

/** Lines were validated before they were stored, so they parse. */
const typeOf = (line: string): string => parseStored<{ type: string }>(line).type;

/**
 * The terminal status in a batch of the coordinator, or null. A verdict is the last event of its
 * batch.
 */
export function verdictIn(batch: Pick<StoredBatch, 'body'>): TerminalStatus | null {
  return terminalStatusOf(typeOf(batch.body.slice(batch.body.lastIndexOf('\n') + 1)));
}

export const unackedBytes = ({ unacked }: Pick<ViewerState, 'unacked'>): number =>
  unacked.reduce((sum, [, bytes]) => sum + bytes, 0);

/** True from exactly `until` on. */
export const isTicketExpired = ({ until }: Pick<ViewerState, 'until'>, now: number): boolean =>
  until !== null && until !== undefined && until <= now;

export type SendDecision = 'send' | 'wait' | 'close';

/** V3: what happens to the next frame of events. */
export function decideSend(state: Pick<ViewerState, 'flow' | 'unacked'>): SendDecision {
  if (unackedBytes(state) < VIEWER_WINDOW_BYTES) return 'send';
  return state.flow ? 'wait' : 'close';
}

/** Counts bytes up to `offset` as in flight. True when a new step began: store the state. */
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

/** The viewer acknowledged everything up to `offset`. A lump is removed when all of it is. */
export function acknowledge(state: Pick<ViewerState, 'unacked'>, offset: number): void {
  while (state.unacked[0] && state.unacked[0][0] <= offset) state.unacked.shift();
}
