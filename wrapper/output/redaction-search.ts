/**
 * Finds any of many byte strings in a stream, in time linear in its length. Pure; knows nothing of
 * secrets.
 *
 *   RS1  `scan` accepts any split of the stream: its state carries a possible beginning of a
 *        pattern from the end of one part.
 *   RS2  At every position where patterns end, the longest of them is reported, so the reports
 *        together cover every occurrence.
 *
 * Aho-Corasick: a trie of the patterns in which each node knows the longest suffix of its text that
 * is a prefix of a pattern. A skip loop (Wu-Manber) runs in front of it. It looks at about every
 * m-th byte, m being the length of the shortest pattern, because a block of three bytes that occurs
 * in no pattern rules out several starts at once. The loop skips most output; the trie sees the
 * rest.
 *
 * Blocks of two bytes would be too short: base64 has 4096 pairs, and the forms of a few dozen
 * secrets contain nearly all of them.
 */

/** Longer windows skip further but contain more blocks, which end a skip. */
const WINDOW_BYTES_MAX = 16;
const BLOCK_BYTES = 3;
/**
 * Blocks with the same hash share an entry of the skip table; the shorter skip counts. 64 KiB stay
 * in the cache and keep the 15,000 blocks of 200 secrets well apart.
 */
const SKIP_TABLE_BITS = 16;
const LINE_END = 0x0a;

/** Position of a scan: 0 is the start of a pattern; other values are internal to the automaton. */
export type SearchState = number;
export const SEARCH_START: SearchState = 0;

export class PatternSearch {
  readonly #window: number;
  /** By the hash of a block: how far the window that ends with it may be moved. */
  readonly #skips: Uint8Array;
  /** The root's children by their byte. All other nodes have short lists. */
  readonly #roots = new Int32Array(256);
  readonly #firstChild: Int32Array;
  readonly #sibling: Int32Array;
  readonly #byte: Uint8Array;
  readonly #fallback: Int32Array;
  readonly #depth: Int32Array;
  /**
   * How much of the end of a node's text may still become a longer pattern. A complete pattern
   * without continuation does not count.
   */
  readonly #open: Int32Array;
  /** Length of the longest pattern that ends at a node; 0 if no pattern ends there. */
  readonly #ends: Int32Array;
  #nodes = 1;

  /** Patterns have at least `BLOCK_BYTES` bytes and no line end: a match never spans lines. */
  constructor(patterns: readonly Buffer[]) {
    const nodesMax = patterns.reduce((sum, { length }) => sum + length, 1);
    this.#firstChild = new Int32Array(nodesMax);
    this.#sibling = new Int32Array(nodesMax);
    this.#byte = new Uint8Array(nodesMax);
    this.#fallback = new Int32Array(nodesMax);
    this.#depth = new Int32Array(nodesMax);
    this.#open = new Int32Array(nodesMax);
    this.#ends = new Int32Array(nodesMax);
    for (const pattern of patterns) this.#add(pattern);
    this.#link();
    this.#window = patterns.reduce((least, { length }) => Math.min(least, length), WINDOW_BYTES_MAX);
    this.#skips = skipTable(patterns, this.#window);
  }

  /** How many bytes at the end of the scanned input may be the beginning of a pattern. */
  open(state: SearchState): number {
    return this.#open[state] as number;
  }

  /**
   * Continues at `from`. Appends begin and end of each match to `found`, ordered by end; a begin
   * may lie before `from` by `open(state)`. Returns the state at the end of the bytes.
   */
  scan(bytes: Uint8Array, from: number, state: SearchState, found: number[]): SearchState {
    const lastWindow = bytes.length - this.#window;
    let at = from;
    let node = state;
    while (at < bytes.length) {
      if (node === SEARCH_START && at <= lastWindow) {
        at = this.#skip(bytes, at, lastWindow);
        // Input that ends with a line end cannot begin a pattern. Most reads end so.
        if (at > lastWindow && bytes[bytes.length - 1] === LINE_END) return SEARCH_START;
      }
      // Runs until no pattern is open, so that no byte is scanned twice here. Near the end there is
      // no window; the trie handles it.
      do {
        node = this.#next(node, bytes[at] as number);
        at += 1;
        const length = this.#ends[node] as number;
        if (length > 0) found.push(at - length, at);
      } while (node !== SEARCH_START && at < bytes.length);
    }
    return node;
  }

  /**
   * The first position at or after `at` where a pattern may begin; `lastWindow` + 1 if there is no
   * such position.
   */
  #skip(bytes: Uint8Array, at: number, lastWindow: number): number {
    const skips = this.#skips;
    const block = this.#window - BLOCK_BYTES;
    let place = at;
    while (place <= lastWindow) {
      const skip = skips[hashOfBlock(bytes, place + block)] as number;
      if (skip === 0) break;
      place += skip;
    }
    return place;
  }

  #next(state: SearchState, byte: number): SearchState {
    let node = state;
    while (node !== SEARCH_START) {
      const child = this.#child(node, byte);
      if (child !== 0) return child;
      node = this.#fallback[node] as number;
    }
    return this.#roots[byte] as number;
  }

  #child(node: number, byte: number): number {
    if (node === SEARCH_START) return this.#roots[byte] as number;
    let child = this.#firstChild[node] as number;
    while (child !== 0 && this.#byte[child] !== byte) child = this.#sibling[child] as number;
    return child;
  }

  #add(pattern: Buffer): void {
    let node = SEARCH_START;
    for (const byte of pattern) {
      let child = this.#child(node, byte);
      if (child === 0) {
        child = this.#nodes++;
        this.#byte[child] = byte;
        this.#depth[child] = (this.#depth[node] as number) + 1;
        if (node === SEARCH_START) this.#roots[byte] = child;
        else {
          this.#sibling[child] = this.#firstChild[node] as number;
          this.#firstChild[node] = child;
        }
      }
      node = child;
    }
    this.#ends[node] = pattern.length;
  }

  /** Breadth first: a node's fallback is less deep, so it is finished first. */
  #link(): void {
    const queue: number[] = [...this.#roots].filter((node) => node !== 0);
    for (let done = 0; done < queue.length; done += 1) {
      const node = queue[done] as number;
      const fallback = this.#fallback[node] as number;
      this.#open[node] = this.#firstChild[node] === 0 ? (this.#open[fallback] as number) : (this.#depth[node] as number);
      if (this.#ends[node] === 0) this.#ends[node] = this.#ends[fallback] as number; // RS2
      for (let child = this.#firstChild[node] as number; child !== 0; child = this.#sibling[child] as number) {
        this.#fallback[child] = this.#next(fallback, this.#byte[child] as number);
        queue.push(child);
      }
    }
  }
}

function hashOfBlock(bytes: Uint8Array, at: number): number {
  const block = ((bytes[at] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at + 2] as number);
  // The golden ratio: neighbouring bytes, as in text, get distant hashes.
  return Math.imul(block, 0x9e3779b1) >>> (32 - SKIP_TABLE_BITS);
}

function skipTable(patterns: readonly Buffer[], window: number): Uint8Array {
  const lastBlock = window - BLOCK_BYTES;
  const skips = new Uint8Array(1 << SKIP_TABLE_BITS).fill(lastBlock + 1);
  for (const pattern of patterns) {
    for (let at = 0; at <= lastBlock; at += 1) {
      const hash = hashOfBlock(pattern, at);
      skips[hash] = Math.min(skips[hash] as number, lastBlock - at);
    }
  }
  return skips;
}
