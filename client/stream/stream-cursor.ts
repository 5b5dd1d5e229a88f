/**
 * How far the stream was received: what of a frame is new, and where the next connection begins.
 *
 * Owns the newest offset received, and what is needed to find the place of a tail. Does not own what the consumer has taken (stream-buffer).
 *
 * R1  An event is passed on once, in the order of offsets. Only offsets decide what is a repeat, never text.
 * R2  A connection resumes after the last offset that was received; `tail` counts for the first one only. A tail's place is known
 *     from its hello when nothing is filtered, else from the first events or `caught_up`; until then the tail is asked for again.
 * R7  An offset belongs to one log. A session that was deleted and made again has another log, which its generation tells; the
 *     stream never goes on in that one.
 */

import { offsetOf, type StreamEvents, type StreamHello } from '../../protocol/index.ts';

/** Where a connection begins. */
export type Place = ({ after: number } | { tail: number }) & { generation?: string };

/** What an `events` frame brings, before anything is done about it. */
export type EventsVerdict =
  | { kind: 'nothing_new' }
  /** From the event at index `next` on. */
  | { kind: 'news'; next: number }
  /** Offsets are missing before the first new event. */
  | { kind: 'gap' }
  | { kind: 'tail_moved_on' };

export interface CursorOptions {
  after?: number | undefined;
  tail?: number | undefined;
  generation?: string | undefined;
  filtered: boolean;
  /** Every offset comes, so a hole is a fault. */
  complete: boolean;
}

export class StreamCursor {
  readonly #filtered: boolean;
  readonly #complete: boolean;
  readonly #tail: number;
  /** R1, R2: newest offset received or known to be filtered out. Null only while `tail` has not been resolved. */
  #received: number | null;
  /** Head of the first hello of a filtered tail: everything after it belongs to this stream, however long the first events take. */
  #tailHead: number | null = null;
  #tailAsks = 0;
  #gapAfter: number | null = null;
  /** R7: empty until a hello or the options named it. */
  #log: { generation?: string } = {};

  constructor({ after, tail, generation, filtered, complete }: CursorOptions) {
    if (generation !== undefined) this.#log = { generation };
    this.#filtered = filtered;
    this.#complete = complete;
    this.#tail = tail ?? 0;
    this.#received = tail === undefined ? (after ?? 0) : null;
  }

  get received(): number | null {
    return this.#received;
  }

  /** R2. */
  get place(): Place {
    return { ...(this.#received === null ? { tail: this.#tail } : { after: this.#received }), ...this.#log };
  }

  /** R7. The coordinator refuses another log itself, unless its object is older than the question. */
  isOtherLog({ generation }: StreamHello): boolean {
    if (generation === undefined) return false;
    const known = this.#log.generation;
    this.#log = { generation: known ?? generation };
    return this.#log.generation !== generation;
  }

  /** The offset after which the stream now begins, when the hello has settled that; else null. */
  hello({ earliest, head }: StreamHello): number | null {
    // R2: without a filter the tail is a place, and known from here on. With one, only events or a caught_up tell it.
    if (this.#received === null && !this.#filtered) {
      this.#received = Math.max(earliest - 1, head - this.#tail, 0);
      return this.#received;
    }
    if (this.#received === null) {
      this.#tailHead ??= head;
      this.#tailAsks += 1;
    }
    // "From the start" means from the oldest that is kept.
    if (this.#received === 0 && earliest > 1) {
      this.#received = earliest - 1;
      return this.#received;
    }
    return null;
  }

  /** Changes nothing: the frame may yet find no room (R5). */
  judge(frame: StreamEvents): EventsVerdict {
    const count = frame.events.length;
    if (count === 0) return { kind: 'nothing_new' };
    if (this.#tailMovedOn(offsetOf(frame, 0))) return { kind: 'tail_moved_on' };
    const received = this.#received;
    // R1: the part of the frame that was received before is skipped.
    let next = 0;
    while (next < count && received !== null && offsetOf(frame, next) <= received) next += 1;
    if (next === count) return { kind: 'nothing_new' };
    if (this.#complete && received !== null && offsetOf(frame, next) !== received + 1) return { kind: 'gap' };
    return { kind: 'news', next };
  }

  /** The news of this frame is in the buffer. */
  commit(frame: StreamEvents): void {
    this.#received = offsetOf(frame, frame.events.length - 1);
  }

  caughtUp(offset: number): 'caught_up' | 'tail_moved_on' {
    if (this.#tailMovedOn(offset - this.#tail + 1)) return 'tail_moved_on';
    this.#received = Math.max(this.#received ?? 0, offset);
    return 'caught_up';
  }

  /** After `tail_moved_on`: the tail becomes the place that the first hello had promised, which is returned. */
  restartTail(): number {
    this.#received = this.#tailHead ?? 0;
    return this.#received;
  }

  /** A hole in the offsets is never passed on. A second one at the same place is no accident of the connection. */
  noteGap(): 'first' | 'again' {
    if (this.#gapAfter === this.#received) return 'again';
    this.#gapAfter = this.#received;
    return 'first';
  }

  forgetGap(): void {
    this.#gapAfter = null;
  }

  /**
   * R2: a filtered tail that was cut before anything came was asked for again, and what comes now begins after what the first hello had
   * promised: something in between may be missing. Reading on from that first head instead brings all of it.
   */
  #tailMovedOn(first: number): boolean {
    return this.#received === null && this.#tailHead !== null && first > this.#tailHead + 1 && this.#tailAsks > 1;
  }
}
