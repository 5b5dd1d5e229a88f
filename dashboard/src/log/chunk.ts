/**
 * A run of neighbouring lines: one string with the texts end to end, and one typed array for each
 * fact of a line. No object per line: a million lines are a few hundred chunks, 21 bytes of facts
 * per line, and the text itself.
 *
 * Every change raises `version`. Everything derived from a chunk (rows of a filter, matches of a
 * search, parsed lines) is stored with the version that it was made from. So an unchanged chunk is
 * never scanned again, and a changed one is recomputed.
 */

export const STDOUT = 0;
export const STDERR = 1;
export const AGENT = 2;
export const STATUS = 3;
/** An index into KINDS. */
export type Kind = 0 | 1 | 2 | 3;
export type OutputKind = typeof STDOUT | typeof STDERR;
export const KINDS = ['stdout', 'stderr', 'agent', 'status'] as const;
export type KindName = (typeof KINDS)[number];

/**
 * A chunk accepts no more lines beyond either bound: small enough to search or filter in well under
 * a millisecond, large enough to be few.
 */
export const CHUNK_LINES_MAX = 4096;
export const CHUNK_CHARS_MAX = 64 * 1024;

/** Cached decoded texts: those of a view, and some around it. */
const DECODED_MAX = 32;
const decoded = new Map<Chunk, string>();
const utf8 = new TextEncoder();
const fromUtf8 = new TextDecoder('utf-8', { ignoreBOM: true });

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const NOT_LATIN1 = /[^\u0000-\u00ff]/;

export class Chunk {
  /** Id of the first line; see the model for the meaning of an id. */
  first = 0;
  version = 0;
  /** Number of the first output line, once known. */
  firstNumber: number | null = null;
  /**
   * Where an event had another number than counting gives (lines were lost in between): rank among
   * the output lines → number.
   */
  readonly numberAt = new Map<number, number>();
  /** Null while packed. */
  #text: string | null = '';
  /**
   * The text in UTF-8. One arrow or emoji makes an engine store a whole string in two bytes per
   * character; packed, the rest stays at one. A lone surrogate becomes U+FFFD, which it is shown as
   * anyway, so all positions in the text stay the same.
   */
  #packed: Uint8Array | null = null;
  #count = 0;
  #ends = new Uint32Array(16);
  #kinds = new Uint8Array(16);
  #offsets = new Float64Array(16);
  #times = new Float64Array(16);
  /**
   * Text that was appended to a line after it was no longer the last one: index → appended text.
   */
  readonly #tails = new Map<number, string>();
  #outputs = 0;

  get count(): number {
    return this.#count;
  }

  /** Number of output lines. */
  get outputs(): number {
    return this.#outputs;
  }

  get full(): boolean {
    return this.#count >= CHUNK_LINES_MAX || (this.#ends[this.#count - 1] ?? 0) >= CHUNK_CHARS_MAX;
  }

  /**
   * The texts end to end with their line ends, without tails. `ends[i]` is where line `i` stops.
   */
  get text(): string {
    if (this.#text !== null) return this.#text;
    const known = decoded.get(this);
    if (known !== undefined) return known;
    const text = fromUtf8.decode(this.#packed ?? new Uint8Array(0));
    const [oldest] = decoded.keys();
    if (decoded.size >= DECODED_MAX && oldest !== undefined) decoded.delete(oldest);
    decoded.set(this, text);
    return text;
  }
  get ends(): Uint32Array {
    return this.#ends;
  }
  get hasTails(): boolean {
    return this.#tails.size > 0;
  }

  kind(index: number): Kind {
    return (this.#kinds[index] ?? 0) as Kind;
  }
  offset(index: number): number {
    return this.#offsets[index] ?? 0;
  }
  time(index: number): number {
    return this.#times[index] ?? 0;
  }
  start(index: number): number {
    return index === 0 ? 0 : (this.#ends[index - 1] ?? 0);
  }

  /** The line as received, including escape sequences, without its line feed. */
  line(index: number): string {
    let text = this.text.slice(this.start(index), this.#ends[index]);
    const tail = this.#tails.get(index);
    if (tail !== undefined) text += tail;
    return text.endsWith('\n') ? text.slice(0, -1) : text;
  }

  /** Adds one line, with its line feed if it has one. */
  push(text: string, kind: Kind, offset: number, time: number): void {
    if (this.#count === this.#ends.length) this.#resize(this.#count * 2);
    const index = this.#count++;
    const whole = this.#unpack() + text;
    this.#text = whole;
    this.#ends[index] = whole.length;
    this.#kinds[index] = kind;
    this.#offsets[index] = offset;
    this.#times[index] = time;
    if (kind <= STDERR) this.#outputs++;
    this.version++;
  }

  /** Appends text to an unfinished line. */
  extend(index: number, text: string): void {
    this.version++;
    if (index === this.#count - 1 && this.#text !== null) {
      this.#text += text;
      this.#ends[index] = this.#text.length;
      return;
    }
    this.#tails.set(index, (this.#tails.get(index) ?? '') + text);
  }

  /** Replaces a line's text: for a line so long that overwritten text is dropped. */
  replace(index: number, text: string): void {
    this.#rebuild(this.#lines().with(index, text));
  }

  /**
   * Removes a line and returns its text, line feed included: it was the end of a line that began in
   * an older chunk. `counted`: its number was known to be that of the older line, so the one after
   * it has the next; otherwise the number taken for it belongs to the line after it.
   */
  remove(index: number, counted: boolean): string {
    const lines = this.#lines();
    const [text = ''] = lines.splice(index, 1);
    if (this.kind(index) <= STDERR) {
      const rank = this.rank(index);
      const before = [...this.numberAt];
      this.numberAt.clear();
      for (const [at, number] of before) {
        if (at === rank) this.numberAt.set(rank, counted ? number + 1 : number);
      }
      for (const [at, number] of before) if (at !== rank) this.numberAt.set(at > rank ? at - 1 : at, number);
      this.#outputs--;
    }
    for (const array of [this.#kinds, this.#offsets, this.#times]) array.copyWithin(index, index + 1, this.#count);
    this.#count--;
    this.#rebuild(lines);
    return text;
  }

  /** No further line is expected: frees the reserve. */
  seal(): void {
    this.#resize(this.#count);
    if (this.#text === null || !NOT_LATIN1.test(this.#text)) return;
    this.#packed = utf8.encode(this.#text);
    this.#text = null;
  }

  /** Bytes used, as an engine with one-byte and two-byte strings stores them. */
  get bytes(): number {
    let chars = this.#packed?.byteLength ?? (this.#text ?? '').length * (NOT_LATIN1.test(this.#text ?? '') ? 2 : 1);
    for (const tail of this.#tails.values()) chars += tail.length * 2;
    return chars + this.#ends.byteLength + this.#kinds.byteLength + this.#offsets.byteLength + this.#times.byteLength;
  }

  /** Number of output lines before this one in the chunk. */
  rank(index: number): number {
    if (this.#outputs === this.#count) return index;
    let rank = 0;
    for (let i = 0; i < index; i++) if (this.kind(i) <= STDERR) rank++;
    return rank;
  }

  /** Index of the output line of this rank; -1 without one. */
  atRank(rank: number): number {
    if (this.#outputs === this.#count) return rank < this.#count ? rank : -1;
    let left = rank;
    for (let i = 0; i < this.#count; i++) if (this.kind(i) <= STDERR && left-- === 0) return i;
    return -1;
  }

  /** Characters of the line, its line feed included. */
  lengthOf(index: number): number {
    return (this.#ends[index] ?? 0) - this.start(index) + (this.#tails.get(index)?.length ?? 0);
  }

  #lines(): string[] {
    return Array.from({ length: this.#count }, (_, index) => this.#raw(index));
  }

  #unpack(): string {
    const { text } = this;
    this.#packed = null;
    decoded.delete(this);
    return text;
  }

  #raw(index: number): string {
    return this.text.slice(this.start(index), this.#ends[index]) + (this.#tails.get(index) ?? '');
  }

  #rebuild(lines: readonly string[]): void {
    this.#tails.clear();
    this.#unpack();
    this.#text = lines.join('');
    let end = 0;
    for (let i = 0; i < lines.length; i++) {
      end += lines[i]?.length ?? 0;
      this.#ends[i] = end;
    }
    this.version++;
  }

  #resize(capacity: number): void {
    const size = Math.max(capacity, 1);
    const grow = <T extends { set(from: T): void; subarray(a: number, b: number): T }>(from: T, to: T): T => {
      to.set(from.subarray(0, this.#count));
      return to;
    };
    this.#ends = grow(this.#ends, new Uint32Array(size));
    this.#kinds = grow(this.#kinds, new Uint8Array(size));
    this.#offsets = grow(this.#offsets, new Float64Array(size));
    this.#times = grow(this.#times, new Float64Array(size));
  }
}
