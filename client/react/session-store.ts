/**
 * A stream as a store for a user interface: one immutable snapshot at a time.
 *
 * Owns the events that are kept, the reading loop and the pace of notifications. Does not know who
 * uses it (stream-registry).
 *
 * T1  A new snapshot holds everything since the last one: one rendering for a batch.
 * T2  Keeps the newest `maxEvents` and counts the others.
 * T3  A status is the newest one known: from the hello, then from later events. The replay of an
 *     old log does not show old statuses.
 * T4  A snapshot holds events of one log. A session that was deleted and made again has another.
 */

import { isStatus, type LoggedEvent, type Status } from '../../protocol/index.ts';
import { FrameTimer } from '../stream/frame-timer.ts';
import { LOG_REPLACED, type StreamControl, StreamFailure, type StreamState } from '../stream/options.ts';
import type { SessionStream } from '../stream/session-stream.ts';

export interface SessionSnapshot {
  /** The newest `maxEvents`, ascending. */
  readonly events: readonly LoggedEvent[];
  /** Events that were received and are no longer in `events`. */
  readonly dropped: number;
  readonly state: StreamState;
  /** Every event that was in the log when the stream began has been received. */
  readonly caughtUp: boolean;
  /** Newest known status of each execution. */
  readonly statuses: ReadonlyMap<string, Status>;
  /** Why the stream failed. `reconnect()` tries again. */
  readonly error: StreamFailure | null;
}

export const INITIAL_SNAPSHOT: SessionSnapshot = {
  events: [],
  dropped: 0,
  state: { status: 'connecting', attempt: 0 },
  caughtUp: false,
  statuses: new Map(),
  error: null,
};

export interface StreamHooks {
  onState: (state: StreamState) => void;
  onControl: (control: StreamControl) => void;
}

export class SessionStore {
  readonly #maxEvents: number;
  #stream: SessionStream;
  readonly #open: (fresh: boolean) => SessionStream;
  readonly #listeners = new Set<() => void>();
  #snapshot: SessionSnapshot = INITIAL_SNAPSHOT;
  #fresh: LoggedEvent[] = [];
  #droppedFresh = 0;
  #caughtUp = false;
  #statuses = new Map<string, Status>();
  #head = 0;
  #error: StreamFailure | null = null;
  #reading = false;
  /** T1 */
  readonly #timer = new FrameTimer(() => {
    this.#snapshot = this.#take();
    for (const listener of [...this.#listeners]) listener();
  });

  /**
   * Opens the stream. After `log_replaced`, `open` is called again with `fresh`, to read the new
   * log from its beginning.
   */
  constructor(open: (hooks: StreamHooks, fresh: boolean) => SessionStream, maxEvents: number) {
    this.#maxEvents = maxEvents;
    const hooks: StreamHooks = {
      onState: ({ status }) => {
        if (status === 'replaying') this.#onHello();
        this.#timer.request();
      },
      onControl: (control) => this.#onControl(control),
    };
    this.#open = (fresh) => open(hooks, fresh);
    this.#stream = this.#open(false);
    void this.#read();
  }

  get snapshot(): SessionSnapshot {
    return this.#snapshot;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** After `log_replaced` it starts over with the new log (T4). */
  reconnect(): void {
    if (this.#error?.code === LOG_REPLACED) this.#restart();
    else this.#stream.reconnect();
    if (!this.#reading) void this.#read();
  }

  close(): void {
    this.#timer.stop();
    this.#listeners.clear();
    this.#stream.close();
  }

  #restart(): void {
    this.#stream.close();
    this.#snapshot = INITIAL_SNAPSHOT;
    this.#fresh = [];
    this.#droppedFresh = 0;
    this.#caughtUp = false;
    this.#statuses = new Map();
    this.#head = 0;
    this.#stream = this.#open(true);
  }

  async #read(): Promise<void> {
    this.#reading = true;
    this.#error = null;
    try {
      for await (const batch of this.#stream.batches()) {
        for (const event of batch) {
          this.#fresh.push(event);
          this.#learn(event);
        }
        // T2: in a hidden page a minute may pass until the next snapshot.
        const excess = this.#fresh.length - this.#maxEvents;
        if (excess > this.#maxEvents) this.#droppedFresh += this.#fresh.splice(0, excess).length;
        this.#timer.request();
      }
    } catch (error) {
      this.#error = error instanceof StreamFailure ? error : new StreamFailure('internal', String(error));
    }
    this.#reading = false;
    this.#timer.request();
  }

  #onControl(control: StreamControl): void {
    if (control.type === 'caught_up') this.#caughtUp = true;
    else this.#setStatus(control.execution, control.status);
    this.#timer.request();
  }

  /** T3. */
  #learn({ type, execution, offset }: LoggedEvent): void {
    const status = type.startsWith('execution_') ? type.slice('execution_'.length) : '';
    if (isStatus(status) && offset > this.#head) this.#setStatus(execution, status);
  }

  #setStatus(execution: string, status: Status): void {
    if (this.#statuses.get(execution) !== status) this.#statuses = new Map(this.#statuses).set(execution, status);
  }

  #onHello(): void {
    const { hello } = this.#stream;
    this.#head = hello?.head ?? 0;
    for (const { id, status } of hello?.executions ?? []) this.#setStatus(id, status);
  }

  #take(): SessionSnapshot {
    let { events, dropped } = this.#snapshot;
    if (this.#fresh.length > 0) {
      const all = [...events, ...this.#fresh];
      events = all.length > this.#maxEvents ? all.slice(-this.#maxEvents) : all; // T2
      dropped += all.length - events.length + this.#droppedFresh;
      this.#fresh = [];
      this.#droppedFresh = 0;
    }
    return {
      events,
      dropped,
      state: this.#stream.state,
      caughtUp: this.#caughtUp,
      statuses: this.#statuses,
      error: this.#error,
    };
  }
}
