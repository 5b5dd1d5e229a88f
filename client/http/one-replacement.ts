/**
 * Something that is made when it is first needed and replaced when it is dead: one at a time, shared by all who ask.
 *
 * Owns the current value and the one attempt to make the next. Does not own how a value is made, nor what its users do with it.
 *
 * O1  A value is given out while it lives by both signals: nobody has said that it failed, and it says itself that it is alive.
 * O2  Otherwise there is exactly one attempt to replace it, and all who ask meanwhile share it, its failure included.
 * O3  A failed attempt leaves nothing behind: who asks next makes a new one.
 * O4  An attempt that takes too long is given up. What it makes after all is never installed; it is disposed of.
 * O5  Saying that a value failed which is no longer the current one changes nothing.
 */

export interface OneReplacementPort<T> {
  make(): T | Promise<T>;
  /** Milliseconds that `make` may take (O4). */
  giveUpMs: number;
  /** Default: always. */
  isAlive?(value: T): boolean;
  /** For a value that came too late to be used (O4). */
  dispose?(value: T): void;
}

export class OneReplacement<T> {
  readonly #port: OneReplacementPort<T>;
  #current: { value: T } | null = null;
  #attempt: Promise<T> | null = null;

  constructor(port: OneReplacementPort<T>) {
    this.#port = port;
  }

  /** Rejects with what `make` threw. */
  get(): Promise<T> {
    const current = this.#current;
    if (current && (this.#port.isAlive?.(current.value) ?? true)) return Promise.resolve(current.value); // O1
    this.#current = null;
    this.#attempt ??= this.#make(); // O2
    return this.#attempt;
  }

  /** Whether it was the current one, which is now given up. */
  failed(value: T): boolean {
    if (this.#current?.value !== value) return false; // O5
    this.#current = null;
    return true;
  }

  #make(): Promise<T> {
    const attempt: Promise<T> = new Promise<T>((resolve, reject) => {
      const over = setTimeout(() => {
        if (this.#attempt === attempt) this.#attempt = null;
        reject(new Error(`nothing came within ${this.#port.giveUpMs / 1000} s`));
      }, this.#port.giveUpMs);
      (async () => this.#port.make())().then(
        (value) => {
          clearTimeout(over);
          if (this.#attempt !== attempt) return this.#port.dispose?.(value); // O4
          this.#attempt = null;
          this.#current = { value };
          resolve(value);
        },
        (error: unknown) => {
          clearTimeout(over);
          if (this.#attempt === attempt) this.#attempt = null; // O3
          reject(error);
        },
      );
    });
    return attempt;
  }
}
