/**
 * Removes secrets from one output stream. Pure: bytes in, bytes out.
 *
 *   RD5  However the reads are split, the output is the stream in which each longest run of matched
 *        bytes is replaced by one marker.
 *   RD6  Only an end of the stream that may begin a secret is held back: less than the longest
 *        secret, and never across a line end.
 *
 *   RD7  A terminal shows what is typed, so a short beginning of a secret is not held back for ever
 *        there (terminal-stream). What was released is not removed any more.
 *
 * It works on bytes, before they are decoded. A secret consists of whole UTF-8 characters, so the
 * remaining bytes are as valid as before.
 */

import { type PatternSearch, SEARCH_START, type SearchState } from './redaction-search.ts';

const NOTHING = Buffer.alloc(0);

export class RedactedStream {
  readonly #search: PatternSearch;
  readonly #marker: Buffer;
  #state: SearchState = SEARCH_START;
  #held: Buffer = NOTHING;
  /**
   * Begin and end of what is covered within `held`: it will be removed, but its beginning is not
   * known yet.
   */
  #runs: [begin: number, end: number][] = [];
  /** The byte before `held` was covered, so a run that continues there already has its marker. */
  #covered = false;

  constructor(search: PatternSearch, marker: Buffer) {
    this.#search = search;
    this.#marker = marker;
  }

  /** Returns the bytes that are final now. May be a part of `bytes` itself. */
  push(bytes: Buffer): Buffer {
    const all = this.#held.length > 0 ? Buffer.concat([this.#held, bytes]) : bytes;
    const found: number[] = [];
    this.#state = this.#search.scan(all, this.#held.length, this.#state, found);
    for (let each = 0; each < found.length; each += 2) this.#cover(found[each] as number, found[each + 1] as number);
    return this.#give(all, Math.max(0, all.length - this.#search.open(this.#state)));
  }

  /** How many bytes at the end may be the beginning of a secret, with those that were released. */
  get openBytes(): number {
    return this.#held.length === 0 ? 0 : this.#search.open(this.#state);
  }

  /**
   * RD7: returns the bytes that are held back, unless some of them are covered. If a secret
   * continues them, only its rest is removed.
   */
  release(): Buffer {
    if (this.#runs.length > 0) return NOTHING;
    const held = this.#held;
    this.#held = NOTHING;
    if (held.length > 0) this.#covered = false;
    return held;
  }

  /** The stream has ended: returns the bytes that were held back. */
  end(): Buffer {
    this.#state = SEARCH_START;
    return this.#give(this.#held, this.#held.length);
  }

  /** Ends arrive in order, so what overlaps or touches is at the end of the list. */
  #cover(begin: number, end: number): void {
    let from = begin;
    for (let last = this.#runs.at(-1); last && last[1] >= begin; last = this.#runs.at(-1)) {
      from = Math.min(from, last[0]);
      this.#runs.pop();
    }
    this.#runs.push([from, end]);
  }

  /** Returns `all` up to `to` and holds the rest. */
  #give(all: Buffer, to: number): Buffer {
    // A copy: a slice would keep the whole read in memory.
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
