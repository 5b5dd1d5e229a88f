/**
 * A place for lines that wait to be written: one buffer, used around and around. Their own buffers could be kept just as well, but under load they would live just
 * long enough to be collected late, and the process would hold many times of what waits. Pure but for its memory.
 *
 *   LR1  Lines leave in the order in which they came.
 *   LR2  What does not fit is given back as it is. Whoever keeps lines must bound them; this only saves garbage.
 */

export class LineRing {
  readonly #bytes: Buffer;
  /** Where the next line goes, and where the oldest one begins. Equal when there is none. */
  #head = 0;
  #tail = 0;
  #lines = 0;

  constructor(size: number) {
    this.#bytes = Buffer.allocUnsafeSlow(size);
  }

  /** The line, copied, or the line itself. */
  keep(line: Buffer): Buffer {
    const at = this.#placeFor(line.length);
    if (at === null) return line;
    line.copy(this.#bytes, at);
    this.#head = at + line.length;
    this.#lines += 1;
    return this.#bytes.subarray(at, this.#head);
  }

  /** These are not needed any more: the oldest ones that `keep` gave, in their order. */
  release(lines: readonly Buffer[]): void {
    for (const line of lines) {
      if (line.buffer !== this.#bytes.buffer) continue;
      this.#tail = line.byteOffset - this.#bytes.byteOffset + line.length;
      this.#lines -= 1;
    }
    if (this.#lines === 0) {
      this.#head = 0;
      this.#tail = 0;
    }
  }

  /** A line lies in one piece: what is too little at the end is left out. */
  #placeFor(length: number): number | null {
    if (this.#lines === 0) return length <= this.#bytes.length ? 0 : null;
    // The free part is either behind the head and before the tail, or between the two.
    if (this.#head > this.#tail) {
      if (length <= this.#bytes.length - this.#head) return this.#head;
      return length < this.#tail ? 0 : null;
    }
    return length < this.#tail - this.#head ? this.#head : null;
  }
}
