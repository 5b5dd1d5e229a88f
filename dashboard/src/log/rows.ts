/**
 * Which lines are shown, in which row. With all kinds shown a row is a line; otherwise each chunk
 * has the list of its shown lines, recomputed only when the chunk has changed.
 */

import { type Chunk, KINDS, type KindName } from './chunk.ts';
import type { LogModel } from './model.ts';

/** Set of kinds: bit `k` stands for kind `k`. */
export type Mask = number;
export const ALL: Mask = 0b1111;

/** From `?show=stdout,status`. Empty or unknown: everything. */
export function maskOf(names: string | null): Mask {
  let mask = 0;
  for (const name of (names ?? '').split(',')) if (isKind(name)) mask |= 1 << KINDS.indexOf(name);
  return mask === 0 ? ALL : mask;
}
/** Null for everything: the address stays short. */
export const namesOf = (mask: Mask): string | null =>
  mask === ALL ? null : KINDS.filter((_, kind) => mask & (1 << kind)).join(',');

const isKind = (name: string): name is KindName => (KINDS as readonly string[]).includes(name);

interface Shown {
  version: number;
  lines: Uint16Array;
}

export class Rows {
  readonly #model: LogModel;
  readonly mask: Mask;
  #shown = new WeakMap<Chunk, Shown>();
  /** Rows before each chunk; one more for all of them. */
  #before: number[] = [0];
  #version = -1;

  constructor(model: LogModel, mask: Mask) {
    this.#model = model;
    this.mask = mask;
  }

  get count(): number {
    this.#sync();
    return this.mask === ALL ? this.#model.lines : (this.#before.at(-1) ?? 0);
  }

  #sync(): void {
    if (this.mask === ALL || this.#version === this.#model.version) return;
    this.#version = this.#model.version;
    this.#before = [0];
    let rows = 0;
    for (const chunk of this.#model.chunks) {
      rows += this.#of(chunk).length;
      this.#before.push(rows);
    }
  }

  /** The line in this row. */
  id(row: number): number {
    this.#sync();
    const { chunks, first } = this.#model;
    if (this.mask === ALL) return first + row;
    const at = lastAtMost(this.#before, row, chunks.length);
    const chunk = chunks[at];
    if (chunk === undefined) return -1;
    return chunk.first + (this.#of(chunk)[row - (this.#before[at] ?? 0)] ?? 0);
  }

  /** The row of a line, or of the next shown line if this one is hidden; `count` after the last. */
  row(id: number): number {
    this.#sync();
    const { first, end } = this.#model;
    if (id < first) return 0;
    if (id >= end) return this.count;
    if (this.mask === ALL) return id - first;
    const position = this.#model.position(id);
    if (position === null) return this.count;
    const at = this.#model.chunks.indexOf(position.chunk);
    const lines = this.#of(position.chunk);
    const found = lastAtMost(lines, position.index, lines.length);
    return (this.#before[at] ?? 0) + (found >= 0 && lines[found] === position.index ? found : found + 1);
  }

  #of(chunk: Chunk): Uint16Array {
    const known = this.#shown.get(chunk);
    if (known?.version === chunk.version) return known.lines;
    const lines = new Uint16Array(chunk.count);
    let count = 0;
    for (let index = 0; index < chunk.count; index++) if (this.mask & (1 << chunk.kind(index))) lines[count++] = index;
    const shown = { version: chunk.version, lines: lines.slice(0, count) };
    this.#shown.set(chunk, shown);
    return shown.lines;
  }
}

/**
 * Index of the last of `count` ascending values that is at most `value`; -1 without one. Of equal
 * ones the last.
 */
export function lastAtMost(values: ArrayLike<number>, value: number, count: number): number {
  let low = -1;
  let high = count - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if ((values[middle] ?? 0) <= value) low = middle;
    else high = middle - 1;
  }
  return low;
}
