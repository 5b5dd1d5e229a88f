/**
 * Messages to a person while attempts fail: the cause at the first failure, once a minute while it
 * lasts, and its end. Pure except for its state; `now` is of the monotonic clock.
 */
export class Outage {
  readonly #everyMs: number;
  #began: number | null = null;
  #toldAt = 0;

  constructor(everyMs: number) {
    this.#everyMs = everyMs;
  }

  failed(why: string, now: number): string | null {
    if (this.#began !== null && now - this.#toldAt < this.#everyMs) return null;
    const since = this.#began === null ? '' : ` for ${seconds(now - this.#began)}`;
    this.#began ??= now;
    this.#toldAt = now;
    return `no connection to the coordinator${since}: ${why}; trying again`;
  }

  over(now: number): string | null {
    if (this.#began === null) return null;
    const lasted = now - this.#began;
    this.#began = null;
    return `connected to the coordinator after ${seconds(lasted)}`;
  }
}

const seconds = (ms: number): string => `${Math.max(1, Math.round(ms / 1000))} s`;
