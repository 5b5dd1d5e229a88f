/**
 * The job's progress as events, no more often than somebody can see.
 *
 *   PG1  At most one event in `PROGRESS_INTERVAL_MS`. Of those that come faster the newest is held, and goes when the time is over; what it replaces is gone,
 *        because progress is a state and not a record.
 *   PG2  `end` gives what is held: the last progress is in the log, before the fact that ends the run (CH1).
 *   PG3  One that says what the last event said makes none.
 */

import type { ProgressData } from '../../protocol/index.ts';
import { encodeEvent } from '../output/event-lines.ts';

/** Four a second: a bar moves smoothly for the eye, and an event that comes alone costs the coordinator a written row. */
export const PROGRESS_INTERVAL_MS = 250;

interface Progress {
  /** When the job said it. */
  at: number;
  data: ProgressData;
  /** `data` as text, to compare it by. */
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

  /** May be called twice; nothing is offered afterwards. */
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
