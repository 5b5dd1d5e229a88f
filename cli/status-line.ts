/**
 * One line at the foot of the terminal that is rewritten: the progress of the job, or that the
 * connection is down.
 *
 * Owns: that line. It is shown only while the cursor is at the beginning of a line; any other text
 * erases it first.
 *
 *   SL1  It goes to stderr, and only if that is a terminal: a pipe or a file never gets it.
 *   SL2  It never shares a line with other text. After text that ended in the middle of a line it
 *        waits for the rest of that line.
 *   SL3  It is erased when the program ends.
 *   SL4  It has no colours, so NO_COLOR does not apply; a terminal that cannot erase (TERM=dumb)
 *        does not get it.
 *
 * It is drawn with a delay (`DRAW_DELAY_MS`), so that continuous output costs one erasure and not
 * one per line.
 */

import type { Output } from './io.ts';
import { escapeControls, truncateToColumns } from './terminal-text.ts';

const DRAW_DELAY_MS = 50;
const ERASE = '\r\u001b[K';

export class StatusLine {
  readonly #stderr: Output;
  readonly #enabled: boolean;
  readonly #texts = { progress: '', connection: '' };
  #drawn = '';
  #midLine = false;
  #timer: NodeJS.Timeout | null = null;

  constructor(stdout: Output, stderr: Output, enabled: boolean) {
    this.#stderr = stderr;
    this.#enabled = enabled && stderr.isTty;
    if (!this.#enabled) return;
    // Both may be the same terminal; text for a file or a pipe does not move the cursor.
    for (const output of [stdout, stderr]) if (output.isTty) output.beforeWrite = (text) => this.#giveWay(text);
  }

  /** Whether there is a terminal to draw on. */
  get enabled(): boolean {
    return this.#enabled;
  }

  /**
   * Sets its text; empty hides it. A lost connection is shown instead of progress, which is then
   * unknown.
   */
  set(kind: 'progress' | 'connection', text: string): void {
    this.#texts[kind] = escapeControls(text);
    this.#drawSoon();
  }

  /** Erases it for good. */
  end(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#texts.progress = '';
    this.#texts.connection = '';
    this.#erase();
  }

  #giveWay(text: string): void {
    this.#erase();
    this.#midLine = !text.endsWith('\n');
    this.#drawSoon();
  }

  #erase(): void {
    if (this.#drawn === '') return;
    this.#drawn = '';
    this.#stderr.writeAside(ERASE);
  }

  #drawSoon(): void {
    if (!this.#enabled || this.#timer) return;
    if (this.#drawn === '' && this.#texts.connection === '' && this.#texts.progress === '') return;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#draw();
    }, DRAW_DELAY_MS);
    this.#timer.unref();
  }

  #draw(): void {
    // One column stays free: a terminal that is filled to its last one may wrap.
    const text = this.#midLine ? '' : truncateToColumns(this.#texts.connection || this.#texts.progress, this.#stderr.columns - 1);
    if (text === this.#drawn) return;
    if (text === '') return this.#erase();
    this.#drawn = text;
    this.#stderr.writeAside(`${ERASE}${text}`);
  }
}

/** `45% (9 of 20) compiling`. Numbers that do not form a share are shown as they are. */
export function progressText({ current, total, message }: Record<string, unknown>): string {
  const share =
    typeof current === 'number' && typeof total === 'number' && total > 0 && current >= 0
      ? `${Math.min(100, Math.floor((current / total) * 100))}% (${current} of ${total})`
      : typeof current === 'number'
        ? String(current)
        : '';
  return [share, typeof message === 'string' ? message : ''].filter((part) => part !== '').join(' ');
}
