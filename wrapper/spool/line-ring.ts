/**
 * Holds lines that wait to be written: one circular buffer. Keeping the lines' own buffers would
 * work too, but under load they would live just long enough to be promoted to the old generation,
 * and the process would hold many times the pending bytes. Pure except for its memory.
 *
 *   LR1  Lines leave in the order in which they were added.
 *   LR2  A line that does not fit is returned unchanged. The owner of the lines must bound them;
 *        the ring only reduces garbage.
 */

export class LineRing {
  readonly #bytes: Buffer;
  /** Where the next line goes, and where the oldest one begins. Equal when the ring is empty. */
  #head = 0;
  #tail = 0;
  #lines = 0;

  constructor(size: number) {
    this.#bytes = Buffer.allocUnsafeSlow(size);
  }

  /** Returns a copy of the line in the ring, or the line itself. */
  keep(line: Buffer): Buffer {
    const at = this.#placeFor(line.length);
    if (at === null) return line;
    line.copy(this.#bytes, at);
    this.#head = at + line.length;
    this.#lines += 1;
    return this.#bytes.subarray(at, this.#head);
  }

  /** Frees these lines: the oldest ones that `keep` returned, in order. */
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

  /** A line is contiguous: free space at the end that is too small is skipped. */
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
