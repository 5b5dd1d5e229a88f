/**
 * Follows a session: one async iterable over every event, through cuts, redeploys and expired tickets.
 *
 *   stream-types     options, states, controls, the failure: what the caller sees
 *   stream-request   the options, checked, and the address of a connection
 *   stream-cursor    what was received: repeats, gaps, the place of a tail          R1 R2
 *   stream-buffer    what was received and not taken, with its acks                 R5
 *   stream-ends      which executions have ended
 *   stream-intake    a frame, through the three above
 *   stream-consumer  what is taken, and what that sets off
 *   stream-reader    the consumer's loops
 *   stream-link      one connection attempt, its socket and timers                  R3 R4
 *   heartbeat        whether a silent connection lives
 *   stream-loss      what follows a lost connection
 *   stream-page      a page that is hidden or comes back; decided in page-lifecycle P1 P2 P3 P4
 *
 * This file is the wiring. It owns the state that is told, the one link and the retry timer. It does not own the consumer's pace.
 *
 *      ┌────────────────────────── retry timer, buffer drained ───────────────────────────┐
 *      ▼                                                                                  │
 *  connecting ──hello──▶ replaying ──caught_up──▶ live ──lost──▶ reconnecting ◀───────────┤
 *      │  ▲                                                           │                   │
 *      │  └── refreshing-credential ◀── 4401, first time ─────────────┤◀── lost ──────────┘
 *      └──▶ failed (refused for good, or out of budget) ── reconnect() ──▶ connecting
 *
 *  On a hidden page, instead of an attempt or the wait for one:  paused ── visible, or reconnect() ──▶ connecting
 *  ended: every execution that was asked for has its verdict.    closed: close(), the signal, or a loop that was left.
 *
 * R4  No attempt while an earlier one is open: `#letGo` comes before every way to `#connect`, and of the retry timer and the
 *     drained buffer only one is ever waiting to connect.
 * R5  A lost connection is replaced only when the buffer is empty: `#connectOnceDrained`.
 * R6  After close() nothing reconnects.
 *
 * A listener (`onState`, `onControl`) may call close() or reconnect(): after telling it, nothing is taken for granted.
 */

import {
  CLOSE,
  encodeStreamFrame,
  type LoggedEvent,
  type StreamFrame,
  type StreamHello,
  type TerminalStatus,
} from '../protocol/index.ts';
import { guarded } from './listener.ts';
import { pageOf } from './page-lifecycle.ts';
import type { SocketEnd } from './socket.ts';
import { StreamBuffer } from './stream-buffer.ts';
import { StreamConsumer } from './stream-consumer.ts';
import { StreamCursor } from './stream-cursor.ts';
import { StreamEnds } from './stream-ends.ts';
import { type Intake, takeIn } from './stream-intake.ts';
import { type LinkOwner, StreamLink } from './stream-link.ts';
import { afterConnection, afterTicketError, afterWaiting, cleanHistory, decideAfterLoss, type LossHistory } from './stream-loss.ts';
import { type PagePort, StreamPage } from './stream-page.ts';
import { StreamReader } from './stream-reader.ts';
import { addressOf, requestOf, type StreamRequest, wantsFlow } from './stream-request.ts';
import { type SessionStreamOptions, STREAM_TIMINGS, StreamFailure, type StreamState, type StreamTimings } from './stream-types.ts';

/** Callers who ask for a new connection within this time ask for the same one. */
const SHARED_ATTEMPT_MS = 1_000;

const PAGE_HIDDEN = 'the page is hidden';

/** With code 1000 right after an `end` frame. Another 1000 may be a proxy's polite way to close an idle connection. */
const ENDED_REASON = 'ended';

export class SessionStream implements AsyncIterable<LoggedEvent> {
  readonly #options: SessionStreamOptions;
  readonly #request: StreamRequest;
  readonly #timings: Readonly<StreamTimings>;
  readonly #intake: Intake;
  readonly #page: StreamPage;
  readonly #consumer: StreamConsumer;
  readonly #reader = new StreamReader({
    take: () => this.#consumer.take(),
    over: () => {
      if (this.#state.status === 'failed') throw new StreamFailure(this.#state.code, this.#state.reason);
      return this.#over;
    },
    leave: () => this.close(),
  });
  readonly #linkOwner: LinkOwner = {
    isNewest: (link) => this.#link === link, // R3
    onFrame: (link, frame, chars) => this.#onFrame(link, frame, chars),
    onNoTicket: (link, error) => this.#onNoTicket(link, error),
    onLost: (link, end) => this.#lost(link, end),
  };

  #state: StreamState = { status: 'connecting', attempt: 0 };
  #link: StreamLink | null = null;
  #hello: StreamHello | null = null;
  #retry: ReturnType<typeof setTimeout> | null = null;
  #connectWhenDrained = false;
  #history: LossHistory = cleanHistory(Date.now());

  constructor(options: SessionStreamOptions) {
    const { after, tail, signal } = options;
    this.#options = options;
    this.#request = requestOf(options);
    this.#timings = { ...STREAM_TIMINGS, ...options.timings };
    const cursor = new StreamCursor({ after, tail, ...this.#request });
    this.#intake = { cursor, buffer: new StreamBuffer(cursor.received), ends: new StreamEnds(this.#request.executions) };
    this.#consumer = new StreamConsumer(this.#intake, {
      tell: (control) => guarded(options.onControl, control),
      finish: (ended, status) => this.#finish(ended, status),
      taken: (ack, drained) => this.#onTaken(ack, drained),
    });
    this.#page = new StreamPage(
      options.pageLifecycle === undefined ? pageOf() : options.pageLifecycle,
      {
        facts: () => this.#pageFacts(),
        pause: () => this.#pause(PAGE_HIDDEN),
        comeBack: () => this.#comeBack(),
        probe: () => this.#link?.probe(),
      },
      this.#timings.staleMs,
    );

    if (signal?.aborted) {
      this.#state = { status: 'closed' };
      return;
    }
    signal?.addEventListener('abort', () => this.close(), { once: true });
    this.#page.watch();
    this.#begin();
  }

  get state(): StreamState {
    return this.#state;
  }

  /** Newest offset that the consumer has taken, or that was filtered out before it: the place to resume from. Null until a tail has begun. */
  get lastOffset(): number | null {
    return this.#intake.buffer.taken;
  }

  /** What the coordinator said at the start of the newest connection: the head of its log, and the executions with their status then. */
  get hello(): StreamHello | null {
    return this.#hello;
  }

  /** Executions whose end the consumer has come to. */
  get ends(): ReadonlyMap<string, TerminalStatus> {
    return this.#intake.ends.all;
  }

  /**
   * Drops the connection, if there is one, and makes a new one at once, on a hidden page too. An attempt that has only just begun is shared, so
   * callers who ask together make one connection. Also the way back from `failed`; then iterate again.
   */
  reconnect(): void {
    if (this.#over && this.#state.status !== 'failed') return; // R6
    if (this.#link && !this.#link.hello && this.#link.quietMs < SHARED_ATTEMPT_MS) return;
    this.#letGo(CLOSE.done, 'reconnecting');
    this.#history = cleanHistory(Date.now());
    this.#intake.cursor.forgetGap();
    this.#page.watch();
    if (this.#intake.buffer.drained) this.#connect();
    else this.#connectWhenDrained = true;
  }

  /**
   * Cuts a waiting time short, and makes a silent connection prove that it lives. Unlike reconnect() it leaves a sound connection alone.
   * For signals of a return that the page lifecycle does not know.
   */
  probe(): void {
    if (this.#state.status === 'reconnecting' || this.#state.status === 'paused') this.reconnect();
    else if (this.#link?.hello) this.#link.probe();
  }

  /** Ends the stream for good. What was received but not taken is dropped. */
  close(): void {
    if (this.#over) return;
    this.#letGo(CLOSE.done, 'closed by the viewer'); // R6: with the connection goes every timer.
    this.#intake.buffer.clear();
    this.#setState({ status: 'closed' });
    this.#reader.wake();
  }

  /** All iterators take from the same buffer; leaving a loop closes the stream. */
  [Symbol.asyncIterator](): AsyncGenerator<LoggedEvent, void, undefined> {
    return this.#reader.iterate((first) => first);
  }

  /** The same events, as many at a time as are there: one rendering for a whole replay. */
  batches(): AsyncGenerator<LoggedEvent[], void, undefined> {
    return this.#reader.iterate((first) => {
      const batch = [first];
      for (let event = this.#consumer.take(); event !== null; event = this.#consumer.take()) batch.push(event);
      return batch;
    });
  }

  // ── consumer ──────────────────────────────────────────────────────────────────────────────────────────────────────

  get #over(): boolean {
    const { status } = this.#state;
    return status === 'ended' || status === 'closed' || status === 'failed';
  }

  /** R5: the ack that opens the window, and the connection that had to wait for room. */
  #onTaken(ack: number | null, drained: boolean): void {
    if (ack !== null && wantsFlow(this.#options) && this.#link?.hello) {
      this.#link.send(encodeStreamFrame({ type: 'ack', offset: ack }));
    }
    if (drained && this.#connectWhenDrained) {
      this.#connectWhenDrained = false;
      // The consumer's time is not the connection's.
      this.#history = afterWaiting(this.#history, Date.now());
      this.#begin();
    }
  }

  #finish(execution: string, status: TerminalStatus): void {
    if (this.#over) return;
    this.#letGo(CLOSE.done, 'ended');
    this.#intake.buffer.clear();
    this.#setState({ status: 'ended', execution, executionStatus: status });
    this.#reader.wake();
  }

  // ── connection ────────────────────────────────────────────────────────────────────────────────────────────────────

  /** R5: what is buffered is taken first; a stalled consumer needs no connection. */
  #connectOnceDrained(): void {
    if (this.#intake.buffer.drained) return this.#begin();
    this.#connectWhenDrained = true;
    if (this.#state.status === 'paused') this.#tellWaitingForConsumer();
  }

  /** P1. An attempt that nobody asked for by name; `reconnect()` goes past this. */
  #begin(): void {
    if (this.#page.hidden) this.#pause(PAGE_HIDDEN);
    else this.#connect();
  }

  #connect(): void {
    const link = new StreamLink(this.#linkOwner, this.#timings);
    this.#link = link;
    if (this.#state.status !== 'refreshing-credential') this.#setState({ status: 'connecting', attempt: this.#history.attempt });
    // R2: the place is read when the socket is made.
    const address = () => addressOf(this.#request, this.#options, this.#intake.cursor.place);
    void link.open(this.#options, this.#request.connectSocket, address);
  }

  #onNoTicket(link: StreamLink, error: unknown): void {
    const after = afterTicketError(error);
    if (after.kind === 'fail') this.#fail(after.code, after.reason);
    else this.#lost(link, after.end);
  }

  #onFrame(link: StreamLink, frame: StreamFrame, chars: number): void {
    const outcome = takeIn(this.#intake, frame, link.hello?.frame, chars);
    switch (outcome.kind) {
      case 'nothing_new':
        return;
      case 'hello':
        this.#hello = link.hello?.frame ?? null;
        this.#history = { ...this.#history, attempt: 0 };
        this.#setState({ status: 'replaying' });
        return;
      case 'events':
        link.progressed = true;
        this.#reader.wake();
        return;
      case 'caught_up':
        this.#setState({ status: 'live' });
        this.#reader.wake();
        return;
      case 'end':
        this.#reader.wake();
        return;
      case 'no_room':
        this.#onNoRoom();
        return;
      case 'lost':
        this.#lost(link, { code: 1006, reason: outcome.reason });
        return;
      case 'fail':
        this.#fail(outcome.code, outcome.reason);
        return;
      default:
        outcome satisfies never;
    }
  }

  /** R5: without flow control, a consumer that is slower than the stream. */
  #onNoRoom(): void {
    this.#letGo(CLOSE.done, 'the viewer is slower than the stream');
    this.#connectWhenDrained = true;
    this.#tellWaitingForConsumer();
  }

  #tellWaitingForConsumer(): void {
    const reason = 'waiting for the consumer';
    this.#setState({ status: 'reconnecting', attempt: 0, retryInMs: 0, code: CLOSE.tooSlow, reason });
  }

  // ── page ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  #pageFacts(): ReturnType<PagePort['facts']> {
    const link = this.#link;
    const waiting = this.#retry !== null || this.#connectWhenDrained || this.#state.status === 'paused';
    if (this.#over || !(link || waiting)) return null;
    return { link: link ? (link.hello ? 'open' : 'opening') : 'none', quietMs: link?.quietMs ?? 0 };
  }

  /** P2. */
  #comeBack(): void {
    this.#letGo(CLOSE.done, 'the page is back');
    if (this.#state.status === 'paused') this.#history = afterWaiting(this.#history, Date.now());
    this.#history = { ...this.#history, attempt: 0 };
    this.#connectOnceDrained();
  }

  /** P1: no link, no timer. */
  #pause(reason: string): void {
    this.#letGo(CLOSE.done, 'paused');
    if (this.#state.status !== 'paused') this.#setState({ status: 'paused', reason });
  }

  // ── loss ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Releases the connection and every timer. From here on nothing of it is heard again (R3). */
  #letGo(code: number, reason: string): void {
    const link = this.#link;
    this.#link = null;
    this.#connectWhenDrained = false;
    if (this.#retry) clearTimeout(this.#retry);
    this.#retry = null;
    if (!link) return;
    this.#intake.buffer.forgetAck();
    link.release(code, reason);
  }

  #lost(link: StreamLink, end: SocketEnd): void {
    const now = Date.now();
    const { progressed } = link;
    this.#history = afterConnection(this.#history, { helloAt: link.hello?.at ?? null, progressed }, now, this.#timings.soundMs);
    this.#letGo(CLOSE.done, 'lost');

    // A ticket may be narrower than what was asked for: then only the coordinator knows that this was all.
    if (link.end && end.code === CLOSE.done && end.reason === ENDED_REASON) {
      this.#intake.buffer.addEnd(link.end.execution, link.end.status, true);
      this.#reader.wake();
      return;
    }
    // A stream whose end is already in the buffer is complete; the consumer has yet to come to it.
    if (this.#intake.ends.complete(this.#intake.buffer.endedExecutions())) return;
    this.#replace(end, now);
  }

  #replace(end: SocketEnd, now: number): void {
    const { hidden } = this.#page;
    const after = decideAfterLoss(this.#history, end, { now, hidden }, this.#options, this.#timings);
    switch (after.kind) {
      case 'fail':
        this.#fail(after.code, after.reason);
        return;
      case 'refresh_credential':
        this.#history = after.history;
        this.#setState({ status: 'refreshing-credential' });
        // The listener may have closed or restarted the stream, here and below.
        if (this.#state.status === 'refreshing-credential' && !this.#link) this.#connectOnceDrained();
        return;
      case 'pause':
        this.#history = after.history;
        this.#pause(after.reason);
        return;
      case 'retry': {
        const { delayMs, reason } = after;
        this.#history = after.history;
        this.#setState({ status: 'reconnecting', attempt: after.history.attempt, retryInMs: delayMs, code: end.code, reason });
        if (this.#state.status !== 'reconnecting' || this.#link || this.#retry || this.#connectWhenDrained) return;
        this.#retry = setTimeout(() => {
          this.#retry = null;
          this.#connectOnceDrained();
        }, delayMs);
        return;
      }
      default:
        after satisfies never;
    }
  }

  #fail(code: string, reason: string): void {
    this.#letGo(CLOSE.done, 'failed');
    this.#setState({ status: 'failed', code, reason });
    this.#reader.wake();
  }

  #setState(state: StreamState): void {
    this.#state = state;
    if (this.#over) this.#page.leave();
    guarded(this.#options.onState, state);
  }
}

export function connectSession(options: SessionStreamOptions): SessionStream {
  return new SessionStream(options);
}
