/**
 * Numbers the lines of a job's output, both streams counted together in the order in which lines begin.
 *
 *   LN1  The number of a text is that of the first line that begins in it, from 1 on. A text in which none begins has no number.
 *   LN2  A text without a line end leaves its line open; the next text of the same stream goes on there, whatever the other stream says in between.
 *
 * Two small facts in memory are all of it. They need not survive this process: a job runs once per spool (SV2), so no later boot appends output.
 */

import type { StreamName } from './event-lines.ts';

const NEWLINE = '\n';

export class LineNumbers {
  /** Lines begun so far. */
  #begun = 0;
  readonly #open: Record<StreamName, boolean> = { stdout: false, stderr: false };

  /** Takes the next text of a stream into the count. Null when no line begins in it. */
  take(stream: StreamName, text: string): number | null {
    if (text === '') return null;
    // A search per line and not a look at each character: this is the hot path, and the search is native.
    let ends = 0;
    for (let at = text.indexOf(NEWLINE); at !== -1; at = text.indexOf(NEWLINE, at + 1)) ends += 1;
    const leftOpen = !text.endsWith(NEWLINE);
    // As many lines begin as there are parts between line ends, less the first part if it goes on in an older line (LN2).
    const begins = ends + (leftOpen ? 1 : 0) - (this.#open[stream] ? 1 : 0);
    const first = begins > 0 ? this.#begun + 1 : null; // LN1
    this.#begun += begins;
    this.#open[stream] = leftOpen;
    return first;
  }
}
