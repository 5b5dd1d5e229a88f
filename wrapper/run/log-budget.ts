/**
 * How much more of the job's output may go into the log (SPL39). Pure.
 *
 * Owns: how many bytes of events there are in all boots of this execution, and how much was
 * dropped. Does not own: the events, and how they are reported (job, report).
 *
 *   LB1  Once output was dropped, all later output is dropped: a log with single lines after the
 *        cut would look complete.
 *   LB2  The reserve is for the wrapper's own facts. The `gap` and the terminal fact are never
 *        dropped.
 *   LB3  Until the limit is known (the first welcome), or where the coordinator has no limit,
 *        everything is kept.
 */

/** Of the reserve, what questions leave to the facts that end them, and to the others. */
const AFTER_QUESTIONS_BYTES = 16 * 1024;

/**
 * For the wrapper's own facts after the last output, its end included: a few of its longest facts.
 */
export const RESERVE_BYTES = 64 * 1024;

export class LogBudget {
  #limitBytes: number | null = null;
  #usedBytes = 0;
  #full = false;
  #dropped = { events: 0, bytes: 0 };

  /**
   * At a welcome. `storedBytes`: what the coordinator has, plus what is spooled after it. Null: the
   * coordinator does not count.
   */
  limit(limitBytes: number | undefined, storedBytes: number | null): void {
    this.#limitBytes = limitBytes ?? null;
    if (storedBytes !== null) this.#usedBytes = storedBytes;
  }

  get limitBytes(): number | null {
    return this.#limitBytes;
  }

  /** What was dropped so far; null if nothing was. */
  get dropped(): { events: number; bytes: number } | null {
    return this.#dropped.events > 0 ? this.#dropped : null;
  }

  /** An event of the job. `begins`: it is the first that is dropped. */
  takeOutput(bytes: number): { keep: boolean; begins: boolean } {
    const keep = !this.#full && this.#fits(bytes, RESERVE_BYTES);
    if (keep) {
      this.#usedBytes += bytes;
      return { keep, begins: false };
    }
    const begins = !this.#full;
    this.#full = true; // LB1
    this.#drop(bytes);
    return { keep, begins };
  }

  /** A fact of the wrapper that is not its last one. */
  takeFact(bytes: number): boolean {
    if (!this.#fits(bytes, 0)) {
      this.#drop(bytes);
      return false;
    }
    this.#usedBytes += bytes;
    return true;
  }

  /** Further output is left out. */
  get isFull(): boolean {
    return this.#full;
  }

  /** Whether questions of an agent, of this size together, have room. They are taken as facts. */
  fitsQuestions(bytes: number): boolean {
    return this.#fits(bytes, AFTER_QUESTIONS_BYTES);
  }

  /**
   * A screen of a terminal. It repeats output, so one that is left out is not missing and is not
   * counted.
   */
  takeScreen(bytes: number): boolean {
    if (this.#full || !this.#fits(bytes, RESERVE_BYTES)) return false;
    this.#usedBytes += bytes;
    return true;
  }

  #fits(bytes: number, reserve: number): boolean {
    return this.#limitBytes === null || this.#usedBytes + bytes + reserve <= this.#limitBytes;
  }

  #drop(bytes: number): void {
    this.#dropped = { events: this.#dropped.events + 1, bytes: this.#dropped.bytes + bytes };
  }
}
