/**
 * Follows a session: one async iterable over every event, through cuts, redeploys and expired
 * tickets.
 *
 *   options           what the user gives and sees; the address of a connection
 *   connection-state  what the connection does next, as a pure state machine       R6 L1–L5
 *   buffer            events received and not yet taken, acks, ends                R1 R2 R5 R7
 *   link              one connection attempt, its socket and its timer             R3 R4 H1–H3
 *   page-lifecycle    a page that is hidden or comes back                          P1–P4
 *   socket            the interface of a WebSocket implementation
 *
 * This file owns the current link, the retry timer, the subscription to the page and the waiting
 * loops. The phase of the connection decides which of them exist: `#enter` makes them, `#leave`
 * releases them.
 *
 * R4  No attempt while an earlier one is open: every phase but `open` releases the link first.
 * R5  A lost connection is replaced only when the buffer is empty.
 * R6  After close() nothing reconnects. From `failed` only reconnect() leads back; close() works.
 * W1  A waiting loop looks again whenever it is woken. A wake too many does no harm.
 * W2  Leaving a loop closes the stream, but a failure leaves it open for reconnect().
 *
 * A listener may call close() or reconnect(). `#dispatch` therefore checks after the call whether
 * the connection is still the one that it made.
 */

import { type LoggedEvent, monotonicNow, type StreamHello, type TerminalStatus } from '../../protocol/index.ts';
import { StreamBuffer } from './buffer.ts';
import { callSafely } from './call-safely.ts';
import { type Connection, type ConnectionEvent, newConnection, type Phase, transition } from './connection-state.ts';
import { StreamLink } from './link.ts';
import {
  addressOf,
  checkOptions,
  type SessionStreamOptions,
  StreamFailure,
  type StreamSettings,
  type StreamState,
} from './options.ts';
import { decideOnPage, type PageChange, type PageLifecycle, pageOf } from './page-lifecycle.ts';

export class SessionStream implements AsyncIterable<LoggedEvent> {
  readonly #settings: StreamSettings;
  readonly #buffer: StreamBuffer;
  readonly #page: PageLifecycle | null;
  #connection: Connection;
  #link: StreamLink | null = null;
  #retryTimer: ReturnType<typeof setTimeout> | null = null;
  #unwatchPage: (() => void) | null = null;
  #waiting: (() => void)[] = [];
  readonly #onAbort = () => this.close();

  constructor(options: SessionStreamOptions) {
    const { signal, pageLifecycle } = options;
    this.#settings = checkOptions(options);
    this.#buffer = new StreamBuffer(this.#settings);
    this.#page = pageLifecycle === undefined ? pageOf() : pageLifecycle;
    const closed = signal?.aborted ?? false;
    this.#connection = newConnection(monotonicNow(), closed);
    if (closed) return;
    signal?.addEventListener('abort', this.#onAbort);
    this.#dispatch({ type: 'start' });
  }

  get state(): StreamState {
    return this.#connection.phase.shown;
  }

  /**
   * Newest offset that the consumer has taken, or that was filtered out before it. Resume from
   * here, together with `hello.generation`. Null until a tail has begun.
   */
  get lastOffset(): number | null {
    return this.#buffer.taken;
  }

  /**
   * The hello of the newest connection: the head of the log, and the executions with their status
   * at that time.
   */
  get hello(): StreamHello | null {
    return this.#buffer.hello;
  }

  /** Executions whose end the consumer has reached. */
  get ends(): ReadonlyMap<string, TerminalStatus> {
    return this.#buffer.ends;
  }

  /**
   * Drops the connection, if there is one, and makes a new one at once, on a hidden page too.
   * Callers who ask together share one attempt. Also the way back from `failed`; iterate again
   * then.
   */
  reconnect(): void {
    this.#buffer.forgetGap();
    this.#dispatch({ type: 'reconnect' });
  }

  /**
   * Ends a wait for the next attempt, and makes a silent connection prove that it is alive. Unlike
   * reconnect() it keeps a sound connection. For signals that the page lifecycle does not know.
   */
  probe(): void {
    const { status } = this.state;
    if (status === 'reconnecting' || status === 'paused') this.reconnect();
    else if (this.#connection.phase.kind === 'open') this.#link?.probe();
  }

  /** Ends the stream for good. Drops what was received but not taken. */
  close(): void {
    this.#dispatch({ type: 'end', shown: { status: 'closed' } });
  }

  /** All iterators take from the same buffer. Leaving a loop closes the stream. */
  [Symbol.asyncIterator](): AsyncGenerator<LoggedEvent, void, undefined> {
    return this.#iterate((first) => first);
  }

  /** The same events, as many at a time as are there: one rendering for a whole replay. */
  batches(): AsyncGenerator<LoggedEvent[], void, undefined> {
    return this.#iterate((first) => {
      const batch = [first];
      for (let event = this.#take(); event !== null; event = this.#take()) batch.push(event);
      return batch;
    });
  }

  // ── the consumer ─────────────────────────────────────────────────────────────────────────────

  /**
   * W2: a generator's own `return()` waits for a pending `next()`, and before the first `next()` it
   * runs no code. So the stream is closed first, which ends the wait. After a failure there is
   * none.
   */
  #iterate<T>(shape: (first: LoggedEvent) => T): AsyncGenerator<T, void, undefined> {
    const events = this.#generate(shape);
    const leave = events.return.bind(events);
    events.return = (value) => {
      if (this.state.status !== 'failed') this.close();
      return leave(value);
    };
    return events;
  }

  async *#generate<T>(shape: (first: LoggedEvent) => T): AsyncGenerator<T, void, undefined> {
    let wasLeft = true;
    try {
      for (let event = await this.#next(); event !== null; event = await this.#next()) yield shape(event);
      wasLeft = false;
    } catch (error) {
      wasLeft = !(error instanceof StreamFailure);
      throw error;
    } finally {
      if (wasLeft) this.close(); // W2
    }
  }

  async #next(): Promise<LoggedEvent | null> {
    for (;;) {
      const event = this.#take();
      if (event) return event;
      const { kind, shown } = this.#connection.phase;
      if (kind === 'failed') throw new StreamFailure(shown.code, shown.reason);
      if (kind === 'over') return null;
      await new Promise<void>((resolve) => this.#waiting.push(resolve)); // W1
    }
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  /** The next event; null when the buffer is empty. The listener gets the controls before it. */
  #take(): LoggedEvent | null {
    for (let taken = this.#buffer.next(); taken; taken = this.#buffer.next()) {
      const { event, controls, last } = taken;
      if (event) this.#afterTaking();
      for (const control of controls) callSafely(this.#settings.options.onControl, control);
      if (last) {
        const { execution, status } = last;
        this.#dispatch({ type: 'end', shown: { status: 'ended', execution, executionStatus: status } });
      }
      if (event) return event;
    }
    this.#afterTaking();
    return null;
  }

  /** R5: the ack that opens the window, and the attempt that had to wait for room. */
  #afterTaking(): void {
    const { kind } = this.#connection.phase;
    const ack = this.#buffer.takeAck();
    if (ack !== null && kind === 'open') this.#link?.ack(ack);
    if (kind === 'draining' && this.#buffer.drained) this.#dispatch({ type: 'drained' });
  }

  // ── the connection ───────────────────────────────────────────────────────────────────────────

  #dispatch(event: ConnectionEvent): void {
    const before = this.#connection;
    const facts = { now: monotonicNow(), date: Date.now(), hidden: this.#isHidden, buffer: this.#buffer };
    const next = transition(before, event, facts, this.#settings);
    if (next === before) return;
    this.#connection = next;
    const { phase } = next;
    if (phase.kind !== 'open') this.#leave(phase); // R4
    if (phase.shown !== before.phase.shown) callSafely(this.#settings.options.onState, phase.shown);
    if (next === this.#connection) this.#enter(phase);
    this.#wake();
  }

  /** Releases what the phases before had. Nothing of it is heard again (R3). */
  #leave({ kind, shown }: Phase): void {
    if (this.#retryTimer) clearTimeout(this.#retryTimer);
    this.#retryTimer = null;
    if (this.#link) {
      this.#buffer.forgetAck();
      const link = this.#link;
      this.#link = null;
      link.release(shown.status === 'closed' ? 'closed by the viewer' : shown.status === 'ended' ? 'ended' : 'lost');
    }
    if (kind === 'over') {
      this.#buffer.clear();
      // A signal may outlive many streams.
      this.#settings.options.signal?.removeEventListener('abort', this.#onAbort);
    }
    if (kind === 'over' || kind === 'failed') {
      this.#unwatchPage?.();
      this.#unwatchPage = null;
    } else {
      this.#unwatchPage ??= this.#page?.onChange((change) => this.#onPage(change)) ?? null;
    }
  }

  #enter(phase: Phase): void {
    if (phase.kind === 'connecting') this.#connect();
    if (phase.kind === 'retrying') {
      this.#retryTimer = setTimeout(() => {
        this.#retryTimer = null;
        this.#dispatch({ type: 'retry' });
      }, phase.delayMs);
    }
  }

  #connect(): void {
    this.#link = new StreamLink(this.#settings, {
      frame: (frame, chars) => {
        const outcome = this.#buffer.accept(frame, chars);
        // STR11: the first ack shows that this side reads, and acknowledges only what was taken.
        if (outcome?.type === 'caught_up') this.#link?.ack(this.#buffer.taken ?? 0);
        if (outcome) this.#dispatch(outcome);
        this.#wake();
      },
      lost: (end, lastEnd) => {
        // A ticket may allow less than was asked for. Then only the coordinator knows the end.
        if (lastEnd) this.#buffer.addEnd(lastEnd, true);
        this.#dispatch({ type: 'lost', end });
      },
    });
    // R2: the place is read when the socket is made.
    void this.#link.open(() => addressOf(this.#settings, this.#buffer.place));
  }

  get #isHidden(): boolean {
    return this.#page?.hidden ?? false;
  }

  #onPage(change: PageChange): void {
    const { kind } = this.#connection.phase;
    if (kind === 'complete') return;
    const link = kind === 'connecting' ? 'opening' : kind === 'open' ? 'open' : 'none';
    const facts = { hidden: this.#isHidden, link, quietMs: this.#link?.quietMs ?? 0 } as const;
    const action = decideOnPage(change, facts, this.#settings.timings.staleMs);
    if (action === 'probe') this.#link?.probe();
    else if (action !== 'none') this.#dispatch({ type: action });
  }
}

export function connectSession(options: SessionStreamOptions): SessionStream {
  return new SessionStream(options);
}
