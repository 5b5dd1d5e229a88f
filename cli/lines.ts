/**
 * Job output as lines. Text is printed exactly as received; only counting and time stamps need to know where a line begins.
 * A `partial` output goes on in the next one of the same stream, so the line number stays.
 */

export type StreamName = 'stdout' | 'stderr';

/** A part of one line, or the whole of it with its line end. */
export interface Piece {
  stream: StreamName;
  text: string;
  at: number;
  /** Number of the line it is part of, in the order in which lines begin. */
  line: number;
  startsLine: boolean;
  /** Not the job's: what Holdfast says. `error`: it is said with --quiet too. */
  remark?: 'note' | 'error';
}

export class LineSplitter {
  /** Lines begun so far. */
  lines = 0;
  readonly #open: Record<StreamName, number | null> = { stdout: null, stderr: null };

  /** True when the newest text of the stream did not end its line. */
  isOpen(stream: StreamName): boolean {
    return this.#open[stream] !== null;
  }

  split(stream: StreamName, text: string, at: number): Piece[] {
    const pieces: Piece[] = [];
    for (let from = 0; from < text.length; ) {
      const lineEnd = text.indexOf('\n', from);
      const to = lineEnd === -1 ? text.length : lineEnd + 1;
      const open = this.#open[stream];
      if (open === null) this.lines += 1;
      const line = open ?? this.lines;
      pieces.push({ stream, text: text.slice(from, to), at, line, startsLine: open === null });
      this.#open[stream] = lineEnd === -1 ? line : null;
      from = to;
    }
    return pieces;
  }

  /** A remark that is no line of the job's: it stands and falls with the line before it. */
  remark(text: string, at: number, remark: 'note' | 'error'): Piece {
    return { stream: 'stderr', text, at, line: this.lines, startsLine: true, remark };
  }
}

/** Keeps the newest `count` lines. */
export class LastLines {
  readonly #count: number;
  #pieces: Piece[] = [];
  #newest = 0;
  #cleanAt = 1024;

  constructor(count: number) {
    this.#count = count;
  }

  push(piece: Piece): void {
    this.#newest = Math.max(this.#newest, piece.line);
    this.#pieces.push(piece);
    // Cleaned each time it has doubled, so that memory follows what is kept and not the log.
    if (this.#pieces.length < this.#cleanAt) return;
    this.#pieces = this.take();
    this.#cleanAt = 2 * this.#pieces.length + 1024;
  }

  take(): Piece[] {
    const before = this.#newest - this.#count;
    return this.#pieces.filter(({ line }) => line > before);
  }
}
