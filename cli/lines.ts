/**
 * Job output as lines. Text is printed exactly as received; only counting and time stamps need to
 * know where a line begins. A `partial` output continues in the next one of the same stream, so the
 * line number stays.
 */

export type StreamName = 'stdout' | 'stderr';

/** A part of one line, or the whole of it with its line end. */
export interface LinePiece {
  stream: StreamName;
  text: string;
  /** Each character of the text is a byte of output that is not UTF-8. */
  isBytes?: true;
  at: number;
  /** Number of its line, in the order in which lines begin. */
  line: number;
  startsLine: boolean;
  /** A message of Holdfast, not of the job. `error`: it is shown with --quiet too. */
  remark?: 'note' | 'error';
}

export class LineSplitter {
  /** Lines begun so far. */
  lines = 0;
  readonly #open: Record<StreamName, number | null> = { stdout: null, stderr: null };

  /** True when the latest text of the stream did not end its line. */
  isOpen(stream: StreamName): boolean {
    return this.#open[stream] !== null;
  }

  /** `isBytes`: each character of the text is a byte. */
  split(stream: StreamName, text: string, at: number, isBytes = false): LinePiece[] {
    const pieces: LinePiece[] = [];
    for (let from = 0; from < text.length; ) {
      const lineEnd = text.indexOf('\n', from);
      const to = lineEnd === -1 ? text.length : lineEnd + 1;
      const open = this.#open[stream];
      if (open === null) this.lines += 1;
      const line = open ?? this.lines;
      pieces.push({ stream, text: text.slice(from, to), at, line, startsLine: open === null, ...(isBytes ? { isBytes } : {}) });
      this.#open[stream] = lineEnd === -1 ? line : null;
      from = to;
    }
    return pieces;
  }

  /** A remark that is not a line of the job; it is kept or dropped with the line before it. */
  remark(text: string, at: number, remark: 'note' | 'error'): LinePiece {
    return { stream: 'stderr', text, at, line: this.lines, startsLine: true, remark };
  }
}

/** The maximum that `--tail` keeps, in UTF-16 units: one line may be as long as a log. */
export const TAIL_CHARS_MAX = 1024 * 1024;

/**
 * Where the visible part of the line begins in a terminal: after the last CR that is followed by
 * text. 0 without one.
 */
function lastState(text: string): number {
  for (let at = text.lastIndexOf('\r'); at !== -1; at = at === 0 ? -1 : text.lastIndexOf('\r', at - 1)) {
    const next = text[at + 1];
    if (next !== undefined && next !== '\n' && next !== '\r') return at + 1;
  }
  return 0;
}

/**
 * Keeps the last `count` lines, each as a terminal would show it: without what a CR overwrote. At
 * most the last `TAIL_CHARS_MAX`.
 */
export class LastLines {
  #chars = 0;
  /** The newest line of which something was too long to keep. */
  #overflowed = Number.NEGATIVE_INFINITY;
  readonly #count: number;
  #pieces: LinePiece[] = [];
  #newest = 0;
  #cleanAt = 1024;

  constructor(count: number) {
    this.#count = count;
  }

  /** Some of the last lines were too long to keep. */
  get overflowed(): boolean {
    return this.#overflowed > this.#newest - this.#count;
  }

  push(piece: LinePiece): void {
    this.#newest = Math.max(this.#newest, piece.line);
    this.#pieces.push(this.#asShown(piece));
    this.#chars += (this.#pieces.at(-1) as LinePiece).text.length;
    while (this.#chars > TAIL_CHARS_MAX && this.#pieces.length > 1) {
      const oldest = this.#pieces.shift() as LinePiece;
      this.#chars -= oldest.text.length;
      this.#overflowed = Math.max(this.#overflowed, oldest.line);
    }
    // Compacted each time it has doubled, so that memory follows what is kept and not the log.
    if (this.#pieces.length < this.#cleanAt) return;
    this.#pieces = this.take();
    this.#chars = this.#pieces.reduce((sum, { text }) => sum + text.length, 0);
    this.#cleanAt = 2 * this.#pieces.length + 1024;
  }

  #asShown(piece: LinePiece): LinePiece {
    if (piece.remark || piece.isBytes) return piece;
    const begin = lastState(piece.text);
    const before = this.#pieces.at(-1);
    const goesOn = before?.line === piece.line && before.stream === piece.stream && !before.remark;
    const overwrites = begin > 0 || (goesOn && before.text.endsWith('\r') && !/^[\r\n]/.test(piece.text));
    if (!overwrites) return piece;
    let startsLine = piece.startsLine;
    for (let last = this.#pieces.at(-1); last && last.line === piece.line && last.stream === piece.stream && !last.remark; ) {
      startsLine ||= last.startsLine;
      this.#chars -= last.text.length;
      this.#pieces.pop();
      last = this.#pieces.at(-1);
    }
    return { ...piece, text: piece.text.slice(begin), startsLine };
  }

  take(): LinePiece[] {
    const before = this.#newest - this.#count;
    return this.#pieces.filter(({ line }) => line > before);
  }
}
