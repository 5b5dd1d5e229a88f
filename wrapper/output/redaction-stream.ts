/**
 * One output stream without its secrets. Pure: bytes in, bytes out.
 *
 *   RD5  Whatever the reads are, the bytes given are the stream in which each longest run of bytes that belong to an occurrence is one marker.
 *   RD6  Held back is only an end of the stream that begins a secret: less than the longest, and never over a line end.
 *
 * It works on bytes, before they are cut into text. A secret is whole characters of UTF-8, so what is left is as good UTF-8 as it was.
 */

import { type PatternSearch, SEARCH_START, type SearchState } from './redaction-search.ts';

const NOTHING = Buffer.alloc(0);

export class RedactedStream {
  readonly #search: PatternSearch;
  readonly #marker: Buffer;
  #state: SearchState = SEARCH_START;
  #held: Buffer = NOTHING;
  /** Begin and end of what is covered within `held`: it is known to go, but not yet where it begins. */
  #runs: [begin: number, end: number][] = [];
  /** The byte before `held` was covered, so what goes on from there has its marker. */
  #covered = false;

  constructor(search: PatternSearch, marker: Buffer) {
    this.#search = search;
    this.#marker = marker;
  }

  /** What is certain by now. May be a part of `bytes` itself. */
  push(bytes: Buffer): Buffer {
    const all = this.#held.length > 0 ? Buffer.concat([this.#held, bytes]) : bytes;
    const found: number[] = [];
    this.#state = this.#search.scan(all, this.#held.length, this.#state, found);
    for (let each = 0; each < found.length; each += 2) this.#cover(found[each] as number, found[each + 1] as number);
    return this.#give(all, all.length - this.#search.open(this.#state));
  }

  /** The stream is over: gives what was held back. */
  end(): Buffer {
    this.#state = SEARCH_START;
    return this.#give(this.#held, this.#held.length);
  }

  /** Ends come in order, so what overlaps or touches is at the end of the list. */
  #cover(begin: number, end: number): void {
    let from = begin;
    for (let last = this.#runs.at(-1); last && last[1] >= begin; last = this.#runs.at(-1)) {
      from = Math.min(from, last[0]);
      this.#runs.pop();
    }
    this.#runs.push([from, end]);
  }

  /** Gives `all` up to `to`, and holds the rest. */
  #give(all: Buffer, to: number): Buffer {
    // A copy: the part would keep the whole read in memory.
    this.#held = to < all.length ? Buffer.from(all.subarray(to)) : NOTHING;
    if (this.#runs.length === 0) {
      if (to > 0) this.#covered = false;
      return all.subarray(0, to);
    }
    const parts: Buffer[] = [];
    const later: [number, number][] = [];
    let at = 0;
    for (const [begin, end] of this.#runs) {
      if (begin < to) {
        if (begin > at) {
          parts.push(all.subarray(at, begin));
          this.#covered = false;
        }
        if (!this.#covered) parts.push(this.#marker);
        this.#covered = true;
        at = Math.min(end, to);
      }
      if (end > to) later.push([Math.max(begin, to) - to, end - to]);
    }
    if (at < to) {
      parts.push(all.subarray(at, to));
      this.#covered = false;
    }
    this.#runs = later;
    return Buffer.concat(parts);
  }
}
