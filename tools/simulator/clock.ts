/** Simulated time: a queue of scheduled tasks. Tasks of the same moment run in insertion order. */

export interface Timer {
  at: number;
  order: number;
  action: () => void;
  cancelled: boolean;
}

const before = (a: Timer, b: Timer): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

export class Clock {
  /** A realistic date, so that times in a trace are readable. */
  static readonly START = 1_763_650_000_000;
  now = Clock.START;
  steps = 0;
  readonly #heap: Timer[] = [];
  #order = 0;

  after(delayMs: number, action: () => void): Timer {
    const timer = { at: this.now + Math.max(0, delayMs), order: this.#order++, action, cancelled: false };
    const heap = this.#heap;
    let index = heap.push(timer) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!before(timer, heap[parent] as Timer)) break;
      heap[index] = heap[parent] as Timer;
      index = parent;
    }
    heap[index] = timer;
    return timer;
  }

  cancel(timer: Timer | null): null {
    if (timer) timer.cancelled = true;
    return null;
  }

  /** Advances to the next task and runs it. False when the queue is empty. */
  step(): boolean {
    for (let timer = this.#take(); timer; timer = this.#take()) {
      if (timer.cancelled) continue;
      this.now = timer.at;
      this.steps += 1;
      timer.action();
      return true;
    }
    return false;
  }

  #take(): Timer | null {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (!first || !last) return null;
    if (heap.length === 0) return first;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && before(heap[child + 1] as Timer, heap[child] as Timer)) child += 1;
      if (!before(heap[child] as Timer, last)) break;
      heap[index] = heap[child] as Timer;
      index = child;
    }
    heap[index] = last;
    return first;
  }
}
