/** Bytes to lines, each at most once in memory. */

const NEWLINE = 0x0a;

export class LineSplitter {
  readonly #bytesMax: number;
  #parts: Buffer[] = [];
  #bytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  /** The lines that this chunk ends, without their line ends. Null: one is too long. */
  push(chunk: Buffer): Buffer[] | null {
    const lines: Buffer[] = [];
    let from = 0;
    for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, from)) {
      this.#keep(chunk.subarray(from, at));
      if (this.#bytes > this.#bytesMax) return null;
      lines.push(this.rest());
      from = at + 1;
    }
    this.#keep(chunk.subarray(from));
    return this.#bytes > this.#bytesMax ? null : lines;
  }

  /** What came after the last line end. It is forgotten. */
  rest(): Buffer {
    const line = this.#parts.length === 1 ? (this.#parts[0] as Buffer) : Buffer.concat(this.#parts);
    this.#parts = [];
    this.#bytes = 0;
    return line;
  }

  #keep(part: Buffer): void {
    if (part.length === 0) return;
    this.#parts.push(part);
    this.#bytes += part.length;
  }
}
