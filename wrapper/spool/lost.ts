/**
 * Builds what is sent in place of events that are no longer on disk. Pure.
 *
 *   LO1  The seqs of lost events stay taken, so that every other event keeps its number. The first
 *        is a `gap` that counts them all; each other one is a placeholder, a `gap` of 0 events that
 *        readers do not show.
 *   LO2  Events that the coordinator already has (`trim`) are not lost.
 *   LO3  A gap states what is known. `unknown: true` means that there may be more than its counts.
 */

import { encodeEvent } from '../output/event-lines.ts';
import { CHUNK_BYTES_MAX, type Chunk } from './sender.ts';

export interface LostRange {
  firstSeq: number;
  lastSeq: number;
  bytes: number;
  /** Its bytes, or its number of events, may be larger than stated here. */
  unknown: boolean;
}

export const SPOOL_DAMAGED = 'spool_damaged';

export function gapLine({ firstSeq, lastSeq, bytes, unknown }: LostRange, at: number): Buffer {
  const data = { events: lastSeq - firstSeq + 1, bytes, reason: SPOOL_DAMAGED, ...(unknown ? { unknown } : {}) };
  return encodeEvent({ type: 'gap', at, data });
}

export const placeholderLine = (at: number): Buffer =>
  encodeEvent({ type: 'gap', at, data: { events: 0, bytes: 0, reason: 'placeholder' } });

/** No placeholder line is longer. */
const LINE_BYTES_MAX = 160;
const CHUNK_EVENTS = Math.floor(CHUNK_BYTES_MAX / LINE_BYTES_MAX);

export class LostEvents {
  readonly #at: number;
  #ranges: LostRange[] = [];

  /** `at`: the time of their gaps. */
  constructor(at: number, ranges: readonly LostRange[] = []) {
    this.#at = at;
    this.#ranges = [...ranges];
  }

  get count(): number {
    return this.#ranges.reduce((sum, { firstSeq, lastSeq }) => sum + lastSeq - firstSeq + 1, 0);
  }

  add(range: LostRange): void {
    this.#ranges.push(range);
  }

  /** LO2. Call once, before anything is read. */
  trim(ackedSeq: number): void {
    this.#ranges = this.#ranges
      .filter(({ lastSeq }) => lastSeq > ackedSeq)
      .map((range) => (range.firstSeq > ackedSeq ? range : { ...range, firstSeq: ackedSeq + 1, bytes: 0, unknown: true }));
  }

  /** The lines to send for these seqs (LO1). */
  lines(firstSeq: number, count: number): Buffer {
    const placeholder = placeholderLine(this.#at);
    const lines = Array.from({ length: count }, (_, index) => {
      const range = this.#ranges.find((each) => each.firstSeq === firstSeq + index);
      return range ? gapLine(range, this.#at) : placeholder;
    });
    return Buffer.concat(lines);
  }
}

/** Chunks of lost events. They are not on disk: their segment is null. */
export function chunksOfLost(firstSeq: number, lastSeq: number): Chunk[] {
  const chunks: Chunk[] = [];
  for (let seq = firstSeq; seq <= lastSeq; seq += CHUNK_EVENTS) {
    const count = Math.min(CHUNK_EVENTS, lastSeq - seq + 1);
    chunks.push({ firstSeq: seq, count, bytes: count * LINE_BYTES_MAX, segment: null, position: seq });
  }
  return chunks;
}
