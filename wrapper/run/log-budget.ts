/**
 * How much of what the job says may still go into the log (SPL39). Pure: bytes in, a word out.
 *
 * Owns: how many bytes of events there are in all boots of this execution, and what was left out. Does not own: the events, and what is said of it (job, report).
 *
 *   LB1  Once output was left out, all later output is: a log with single lines behind the cut would look whole.
 *   LB2  The reserve is for the wrapper's own facts. The `gap` and the terminal fact are never left out.
 *   LB3  Until the limit is known (the first welcome), or where the coordinator has none, everything is kept.
 */

/** For what the wrapper itself says behind the last output, its end included: some of its longest facts. */
export const RESERVE_BYTES = 64 * 1024;

export class LogBudget {
  #limitBytes: number | null = null;
  #usedBytes = 0;
  #full = false;
  #dropped = { events: 0, bytes: 0 };

  /** At a welcome. `storedBytes`: what the coordinator has and what is spooled behind it. Null: the coordinator does not count. */
  limit(limitBytes: number | undefined, storedBytes: number | null): void {
    this.#limitBytes = limitBytes ?? null;
    if (storedBytes !== null) this.#usedBytes = storedBytes;
  }

  get limitBytes(): number | null {
    return this.#limitBytes;
  }

  /** What was left out so far; null for nothing. */
  get dropped(): { events: number; bytes: number } | null {
    return this.#dropped.events > 0 ? this.#dropped : null;
  }

  /** An event of the job. `begins`: it is the first that is left out. */
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

  #fits(bytes: number, reserve: number): boolean {
    return this.#limitBytes === null || this.#usedBytes + bytes + reserve <= this.#limitBytes;
  }

  #drop(bytes: number): void {
    this.#dropped = { events: this.#dropped.events + 1, bytes: this.#dropped.bytes + bytes };
  }
}
