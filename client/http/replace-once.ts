/**
 * A shared value that is made on first use and replaced when it is dead. Concurrent callers share
 * one replacement (single flight).
 *
 * Owns the current value and the one attempt to make the next. Does not know how a value is made,
 * nor how it is used.
 *
 * O1  A value is handed out while it is alive: no caller has reported it as failed, and `isAlive`
 *     says so.
 * O2  Otherwise there is exactly one attempt to replace it. Concurrent callers share the attempt,
 *     and its failure too.
 * O3  A failed attempt leaves nothing behind. The next caller starts a new one.
 * O4  An attempt that takes too long is given up. Its late value is disposed of, never installed.
 * O5  Reporting a value that is no longer the current one changes nothing.
 */

export interface ReplaceOnceOptions<T> {
  make(): T | Promise<T>;
  /** Milliseconds that `make` may take (O4). */
  giveUpMs: number;
  /** Default: always. */
  isAlive?(value: T): boolean;
  /** For a value that came too late (O4). */
  dispose?(value: T): void;
}

export class ReplaceOnce<T> {
  readonly #options: ReplaceOnceOptions<T>;
  #current: { value: T } | null = null;
  #attempt: Promise<T> | null = null;

  constructor(options: ReplaceOnceOptions<T>) {
    this.#options = options;
  }

  /** Rejects with the error of `make`. */
  get(): Promise<T> {
    const current = this.#current;
    if (current && (this.#options.isAlive?.(current.value) ?? true)) return Promise.resolve(current.value); // O1
    this.#current = null;
    this.#attempt ??= this.#make(); // O2
    return this.#attempt;
  }

  /** Reports a value as failed. True when it was the current one. */
  failed(value: T): boolean {
    if (this.#current?.value !== value) return false; // O5
    this.#current = null;
    return true;
  }

  #make(): Promise<T> {
    const attempt: Promise<T> = new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => {
        if (this.#attempt === attempt) this.#attempt = null;
        reject(new Error(`nothing came within ${this.#options.giveUpMs / 1000} s`));
      }, this.#options.giveUpMs);
      (async () => this.#options.make())().then(
        (value) => {
          clearTimeout(timer);
          if (this.#attempt !== attempt) return this.#options.dispose?.(value); // O4
          this.#attempt = null;
          this.#current = { value };
          resolve(value);
        },
        (error: unknown) => {
          clearTimeout(timer);
          if (this.#attempt === attempt) this.#attempt = null; // O3
          reject(error);
        },
      );
    });
    return attempt;
  }
}
