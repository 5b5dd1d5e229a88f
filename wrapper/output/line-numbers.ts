/**
 * Numbers the lines of a job's output, counting both streams together in the order in which lines
 * begin.
 *
 *   LN1  The number of a text is that of the first line that begins in it, from 1. A text in which
 *        no line begins has no number.
 *   LN2  A text without a line end leaves its line open; the next text of the same stream continues
 *        it, whatever the other stream prints in between.
 *
 * The state is in memory only and need not survive this process: a job runs once per spool (SV2),
 * so no later boot appends output.
 */

import type { StreamName } from './event-lines.ts';

const NEWLINE = '\n';
const NEWLINE_BYTE = 0x0a;

const endsLine = (text: string | Buffer): boolean =>
  typeof text === 'string' ? text.endsWith(NEWLINE) : text.at(-1) === NEWLINE_BYTE;

export class LineNumbers {
  /** Lines begun so far. */
  #begun = 0;
  readonly #open: Record<StreamName, boolean> = { stdout: false, stderr: false };

  /** Counts the next text of a stream. Null when no line begins in it. */
  take(stream: StreamName, text: string | Buffer): number | null {
    if (text.length === 0) return null;
    // One native search per line instead of a check per character: this is the hot path.
    let ends = 0;
    for (let at = text.indexOf(NEWLINE); at !== -1; at = text.indexOf(NEWLINE, at + 1)) ends += 1;
    const leftOpen = !endsLine(text);
    // The number of lines that begin is the number of parts between line ends, minus the first part
    // if it continues an older line (LN2).
    const begins = ends + (leftOpen ? 1 : 0) - (this.#open[stream] ? 1 : 0);
    const first = begins > 0 ? this.#begun + 1 : null; // LN1
    this.#begun += begins;
    this.#open[stream] = leftOpen;
    return first;
  }
}
