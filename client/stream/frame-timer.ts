/** Passes changes on to a page, at most once a frame. */

import { monotonicNow } from '../../protocol/index.ts';

/** One frame of a 60 Hz screen. */
const FRAME_MS = 16;

export class FrameTimer {
  readonly #due: () => void;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When it was due last, by the monotonic clock. */
  #last = -FRAME_MS;

  constructor(due: () => void) {
    this.#due = due;
  }

  /** At once after a quiet time, else at the next frame with everything until then. */
  request(): void {
    this.#timer ??= setTimeout(
      () => {
        this.#timer = undefined;
        this.#last = monotonicNow();
        this.#due();
      },
      Math.max(0, this.#last + FRAME_MS - monotonicNow()),
    );
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
