/**
 * The lines of one execution's log: output, agent messages and reports of the coordinator, in log
 * order. Pure: no DOM, no clock.
 *
 * Owns the texts (block.ts, chunk.ts) and the numbers. Does not own: what is shown (rows.ts), what
 * matches (search.ts), colours (carried-style.ts). Those read it by chunk, and compare
 * `chunk.version`.
 *
 * An **id** identifies a loaded line. Ids ascend without holes; the newest line's id never changes,
 * older lines get smaller ones, also below zero. When older events show that a loaded line was only
 * the end of another, it is removed, and the lines before it move up by one: `removed` lists these
 * ids. An id is not a line **number**: numbers count the output lines of the whole run, and links
 * use them.
 */

import type { LoggedEvent } from '../../../client/index.ts';
import { Block } from './block.ts';
import type { Chunk, Kind } from './chunk.ts';

export interface LinePosition {
  chunk: Chunk;
  index: number;
}

export class LogModel {
  #block = new Block();
  #lines = 0;
  #end = 0;
  #firstOffset: number | null = null;
  #fromStart = false;
  #listeners = new Set<() => void>();
  /** Ids of removed lines, in the order of removal, each as the ids were then. */
  readonly removed: number[] = [];
  /** Rises with every change. */
  version = 0;
  /**
   * Rises with every prepend: everything derived from "no line stands before" must be recomputed.
   */
  prepends = 0;

  /** Number of loaded lines. */
  get lines(): number {
    return this.#lines;
  }
  /** Id of the oldest line; `end` when there is no line. */
  get first(): number {
    return this.#end - this.#lines;
  }
  /** One past the id of the newest line. */
  get end(): number {
    return this.#end;
  }
  get chunks(): readonly Chunk[] {
    return this.#block.chunks;
  }
  get firstOffset(): number | null {
    return this.#firstOffset;
  }
  /** The start of the run is loaded. */
  get complete(): boolean {
    return this.#fromStart;
  }

  /** Bytes of text and of the facts of lines. */
  get bytes(): number {
    let bytes = 0;
    for (const chunk of this.#block.chunks) bytes += chunk.bytes;
    return bytes;
  }

  /** Number of the oldest output line loaded, when it is known. */
  get firstLine(): number | null {
    this.#count();
    for (const { outputs, firstNumber } of this.#block.chunks) if (outputs > 0) return firstNumber;
    return null;
  }

  /** Newer than all before, ascending offsets, each once. */
  append(events: readonly LoggedEvent[]): void {
    if (events.length === 0) return;
    const { chunks } = this.#block;
    const from = Math.max(chunks.length - 1, 0);
    const before = chunks[from]?.count ?? 0;
    for (const event of events) this.#block.add(event);
    let added = -before;
    for (let i = from; i < chunks.length; i++) {
      const chunk = chunks[i];
      if (chunk === undefined) break;
      if (i > from || before === 0) chunk.first = this.#end + added;
      added += chunk.count;
    }
    this.#lines += added;
    this.#end += added;
    this.#firstOffset ??= events[0]?.offset ?? null;
    this.#notify();
  }

  /** Older than all before, ascending, ending right before the oldest one known. */
  prepend(events: readonly LoggedEvent[]): void {
    if (events.length === 0) return;
    const older = new Block();
    for (const event of events) older.add(event);
    const newer = this.#block;
    this.removed.push(...older.absorb(newer));
    this.#block = older;
    let first = this.#end;
    for (let i = older.chunks.length - 1; i >= 0; i--) {
      const chunk = older.chunks[i];
      if (chunk === undefined) continue;
      first -= chunk.count;
      chunk.first = first;
    }
    this.#lines = this.#end - first;
    this.#firstOffset = events[0]?.offset ?? null;
    this.prepends++;
    this.#notify();
  }

  /** No older events exist: lines are counted from 1 unless an event says otherwise. */
  atStart(): void {
    if (this.#fromStart) return;
    this.#fromStart = true;
    this.#block.numbersStale = true;
    this.#notify();
  }

  /** Called synchronously after every change; the renderer batches the calls. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  position(id: number): LinePosition | null {
    if (id < this.first || id >= this.#end) return null;
    const { chunks } = this.#block;
    let low = 0;
    let high = chunks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((chunks[middle]?.first ?? 0) <= id) low = middle;
      else high = middle - 1;
    }
    const chunk = chunks[low];
    return chunk === undefined ? null : { chunk, index: id - chunk.first };
  }

  kind(id: number): Kind | null {
    const position = this.position(id);
    return position === null ? null : position.chunk.kind(position.index);
  }

  /** Number of an output line; null for other lines, and while it is unknown. */
  number({ chunk, index }: LinePosition): number | null {
    if (chunk.kind(index) > 1) return null;
    this.#count();
    if (chunk.firstNumber === null) return null;
    return numberAt(chunk, chunk.firstNumber, chunk.rank(index));
  }

  /** The loaded line with this number. */
  idOf(number: number): number | null {
    this.#count();
    for (const chunk of this.#block.chunks) {
      if (chunk.firstNumber === null || chunk.outputs === 0) continue;
      const starts = [[0, chunk.firstNumber] as const, ...[...chunk.numberAt].sort(([a], [b]) => a - b)];
      for (const [i, [rank, first]] of starts.entries()) {
        const until = starts[i + 1]?.[0] ?? chunk.outputs;
        const wanted = rank + number - first;
        if (wanted >= rank && wanted < until) return chunk.first + chunk.atRank(wanted);
      }
    }
    return null;
  }

  /** The first line that began with the event at this offset, or else the last one before it. */
  idAtOffset(offset: number): number | null {
    let low = this.first;
    let high = this.#end;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#offsetOf(middle) < offset) low = middle + 1;
      else high = middle;
    }
    if (low < this.#end && this.#offsetOf(low) === offset) return low;
    return low > this.first ? low - 1 : low < this.#end ? low : null;
  }

  #offsetOf(id: number): number {
    const position = this.position(id);
    return position === null ? Number.POSITIVE_INFINITY : position.chunk.offset(position.index);
  }

  /** The current id, given how many lines had been removed when the id was taken. */
  settle(id: number, removedBefore: number): number {
    let now = id;
    for (let i = removedBefore; i < this.removed.length; i++) if (now < (this.removed[i] ?? now)) now++;
    return now;
  }

  /** Gives every chunk its first number: forward from where it is known, and back from there. */
  #count(): void {
    if (!this.#block.numbersStale) return;
    this.#block.numbersStale = false;
    const { chunks } = this.#block;
    let next: number | null = this.#fromStart ? 1 : null;
    for (const chunk of chunks) {
      chunk.firstNumber = chunk.numberAt.get(0) ?? next;
      const known = [...chunk.numberAt].sort(([a], [b]) => a - b);
      const [earliest] = known;
      if (chunk.firstNumber === null && earliest !== undefined) chunk.firstNumber = earliest[1] - earliest[0];
      if (chunk.firstNumber !== null) next = numberAt(chunk, chunk.firstNumber, chunk.outputs);
    }
    for (let i = chunks.length - 2; i >= 0; i--) {
      const chunk = chunks[i];
      const after = chunks[i + 1]?.firstNumber ?? null;
      if (chunk !== undefined && chunk.firstNumber === null && after !== null) chunk.firstNumber = after - chunk.outputs;
    }
  }

  #notify(): void {
    this.version++;
    for (const listener of [...this.#listeners]) listener();
  }
}

/** The number of the output line of this rank, or of the one that would be there. */
function numberAt(chunk: Chunk, firstNumber: number, rank: number): number {
  let from = 0;
  let number = firstNumber;
  for (const [at, numbered] of chunk.numberAt) {
    if (at > rank || at < from) continue;
    from = at;
    number = numbered;
  }
  return number + rank - from;
}
