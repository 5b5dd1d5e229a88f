/**
 * The consumer's side: loops over what the buffer holds, and waiting while it holds nothing.
 *
 * Owns who waits. Does not own an event: every loop takes from the same buffer, so an event goes to one of them.
 *
 * W1  A waiting loop looks again whenever it is woken; waking once too often does no harm, so every change that may matter wakes all.
 * W2  A loop that is left closes the stream; one that the stream ended does not, and a failure leaves the way back open.
 */

import type { LoggedEvent } from '../../protocol/index.ts';
import { StreamFailure } from './stream-types.ts';

export interface ReaderPort {
  take(): LoggedEvent | null;
  /** With nothing left to take: whether nothing more will come. Throws `StreamFailure` when that is for a failure. */
  over(): boolean;
  leave(): void;
}

export class StreamReader {
  readonly #port: ReaderPort;
  #waiting: (() => void)[] = [];

  constructor(port: ReaderPort) {
    this.#port = port;
  }

  wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  /** `shape` makes what is yielded from an event that was just taken; it may take more. */
  async *iterate<T>(shape: (first: LoggedEvent) => T): AsyncGenerator<T, void, undefined> {
    let left = true;
    try {
      for (;;) {
        const event = await this.#next();
        if (event === null) break;
        yield shape(event);
      }
      left = false;
    } catch (error) {
      // W2: a failure leaves the way back through reconnect() open.
      left = !(error instanceof StreamFailure);
      throw error;
    } finally {
      if (left) this.#port.leave();
    }
  }

  async #next(): Promise<LoggedEvent | null> {
    for (;;) {
      const event = this.#port.take();
      if (event) return event;
      if (this.#port.over()) return null;
      await new Promise<void>((resolve) => this.#waiting.push(resolve)); // W1
    }
  }
}
