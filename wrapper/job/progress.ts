/**
 * The job's progress as events, at a limited rate.
 *
 *   PG1  At most one event per `PROGRESS_INTERVAL_MS`. Of faster updates the latest is kept and
 *        sent when the interval ends. Replaced updates are dropped: progress is a state, not a
 *        record.
 *   PG2  `end` flushes the pending update: the last progress is in the log before the terminal fact
 *        (CH1).
 *   PG3  An update that equals the last event creates no event.
 */

import type { ProgressData } from '../../protocol/index.ts';
import { encodeEvent } from '../output/event-lines.ts';

/**
 * Four a second: smooth enough for a progress bar; each single event costs the coordinator a
 * written row.
 */
export const PROGRESS_INTERVAL_MS = 250;

interface Progress {
  /** When the job reported it. */
  at: number;
  data: ProgressData;
  /** `data` as text, for comparison. */
  text: string;
}

export class ProgressEvents {
  readonly #emit: (line: Buffer) => void;
  #held: Progress | null = null;
  #said = '';
  #timer: NodeJS.Timeout | null = null;

  constructor(emit: (line: Buffer) => void) {
    this.#emit = emit;
  }

  offer(data: ProgressData, at: number): void {
    const text = JSON.stringify(data);
    this.#held = text === this.#said ? null : { at, data, text }; // PG3
    if (!this.#timer) this.#give();
  }

  /** May be called twice. `offer` must not be called afterwards. */
  end(): void {
    this.#give();
    this.#rest();
  }

  #rest(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
  }

  #give(): void {
    this.#rest();
    if (!this.#held) return;
    const { at, data, text } = this.#held;
    this.#held = null;
    this.#said = text;
    this.#emit(encodeEvent({ type: 'progress', at, data: { ...data } }));
    this.#timer = setTimeout(() => this.#give(), PROGRESS_INTERVAL_MS);
  }
}
