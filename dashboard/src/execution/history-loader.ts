/**
 * Loads older events, upwards from what is loaded: the loop around `log-window.ts`.
 *
 * Owns the window and the pending loads. One loop reads while a load is pending; loads differ only
 * in when they are satisfied.
 *
 * O1  One range at a time, prepended whole (W2), before the next is requested.
 * O2  A load is settled once: satisfied, at the start of the log, cancelled, or failed. Cancelling
 *     the last one aborts the current read.
 */

import type { LoggedEvent } from '../../../client/index.ts';
import {
  afterExpiry,
  afterRead,
  atBottom,
  beginRead,
  type EventPage,
  isComplete,
  type LogWindow,
  nextRange,
  type OlderRange,
  type RangeRead,
  takePage,
} from './log-window.ts';

export type LoadKind = 'page' | 'line' | 'all';
export type LoadOutcome = 'content' | 'at_start' | 'cancelled' | 'failed';

export interface HistoryView {
  readonly state: 'none' | 'available' | 'loading';
  /** What a person waits for; null for a page that scrolling requested. */
  readonly goal: 'line' | 'all' | null;
  /** Share of the log that is loaded, 0 to 1. */
  readonly share: number;
  readonly error: unknown;
}

export interface OlderPort {
  read(after: number, signal: AbortSignal): Promise<EventPage>;
  prepend(events: readonly LoggedEvent[]): void;
  onChange(): void;
}

interface PendingLoad {
  kind: LoadKind;
  content: (gained: number) => boolean;
  settle: (outcome: LoadOutcome) => void;
}

export class HistoryLoader {
  readonly #port: OlderPort;
  /** Where loading upwards began, for the share. */
  readonly #top: number;
  #window: LogWindow;
  #pending: PendingLoad[] = [];
  #reading: AbortController | null = null;
  #error: unknown = null;

  constructor(window: LogWindow, newest: number, port: OlderPort) {
    this.#window = window;
    this.#top = newest;
    this.#port = port;
  }

  get window(): LogWindow {
    return this.#window;
  }

  get view(): HistoryView {
    const { floor, bottom } = this.#window;
    const goal = this.#pending.some(({ kind }) => kind === 'all')
      ? 'all'
      : this.#pending.some(({ kind }) => kind === 'line')
        ? 'line'
        : null;
    const all = this.#top - bottom;
    return {
      state: atBottom(this.#window) ? 'none' : this.#reading ? 'loading' : 'available',
      goal,
      share: all <= 0 ? 1 : Math.min(1, Math.max(0, (this.#top - floor) / all)),
      error: this.#error,
    };
  }

  /** `content` is called after every range, with its number of events. */
  load(kind: LoadKind, content: (gained: number) => boolean): Promise<LoadOutcome> {
    if (atBottom(this.#window)) return Promise.resolve('at_start');
    return new Promise((settle) => {
      this.#pending.push({ kind, content, settle });
      this.#error = null;
      if (this.#reading) this.#port.onChange();
      else void this.#run();
    });
  }

  /**
   * Scrolling came near the top: loads one range with events. A second call meanwhile loads no
   * more.
   */
  page(): Promise<LoadOutcome> {
    if (this.#pending.some(({ kind }) => kind === 'page')) return Promise.resolve('content');
    return this.load('page', (gained) => gained > 0);
  }

  cancel(kinds: readonly LoadKind[] = ['page', 'line', 'all']): void {
    this.#settle(({ kind }) => kinds.includes(kind), 'cancelled');
    if (this.#pending.length === 0) this.#reading?.abort();
  }

  async #run(): Promise<void> {
    const reading = new AbortController();
    this.#reading = reading;
    this.#port.onChange();
    try {
      while (this.#pending.length > 0) {
        const range = nextRange(this.#window);
        if (!range) break;
        const read = await this.#read(range, reading.signal);
        if (!read) continue;
        this.#window = afterRead(this.#window, read);
        this.#port.prepend(read.events); // O1
        this.#settle(({ content }) => content(read.events.length), 'content');
        this.#port.onChange();
      }
      this.#settle(() => true, 'at_start');
    } catch (error) {
      if (!reading.signal.aborted) {
        this.#error = error;
        this.#settle(() => true, 'failed');
      }
    } finally {
      this.#reading = null;
      this.#port.onChange();
      // A load that was added while the last read was being aborted.
      if (this.#pending.length > 0) void this.#run();
    }
  }

  /**
   * A complete range, or null when the log now begins further up and the range must be chosen
   * again.
   */
  async #read(range: OlderRange, signal: AbortSignal): Promise<RangeRead | null> {
    let read = beginRead(range);
    while (!isComplete(read)) {
      try {
        const page = await this.#port.read(read.next, signal);
        signal.throwIfAborted();
        read = takePage(read, page);
      } catch (error) {
        const earliest = earliestOf(error);
        // W3; an answer that changes nothing would be requested forever.
        if (signal.aborted || earliest === null || earliest - 1 <= this.#window.bottom) throw error;
        this.#window = afterExpiry(this.#window, earliest);
        this.#port.onChange();
        return null;
      }
    }
    return read;
  }

  #settle(which: (load: PendingLoad) => boolean, outcome: LoadOutcome): void {
    const settled = this.#pending.filter(which);
    this.#pending = this.#pending.filter((load) => !settled.includes(load));
    for (const { settle } of settled) settle(outcome);
  }
}

/** `earliest` of an `offset_expired` answer, otherwise null. */
export function earliestOf(error: unknown): number | null {
  const { code, facts } = (error ?? {}) as { code?: unknown; facts?: { earliest?: unknown } };
  return code === 'offset_expired' && Number.isSafeInteger(facts?.earliest) ? (facts?.earliest as number) : null;
}
