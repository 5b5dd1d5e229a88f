/**
 * One connection attempt after the other: the link that is there, or what the next one waits for.
 *
 *      ┌────────────────────────── retry timer, buffer drained ───────────────────────────┐
 *      ▼                                                                                  │
 *  connecting ──hello──▶ replaying ──caught_up──▶ live ──lost──▶ reconnecting ◀───────────┤
 *      │  ▲                                                           │                   │
 *      │  └── refreshing-credential ◀── 4401, first time ─────────────┤◀── lost ──────────┘
 *      └──▶ failed (refused for good, or out of budget) ── reconnect() ──▶ connecting
 *
 *  On a hidden page, instead of an attempt or the wait for one:  paused ── visible, or reconnect() ──▶ connecting
 *
 *  ended: every execution that was asked for has its verdict.    closed: close(), the signal, or a loop that was left.
 *
 * Owns the state that is told, the one link, the retry timer, the history of losses and the page. Does not own the consumer's pace, nor what is buffered.
 * What follows a loss is decided in stream-loss, what a page asks for in page-lifecycle, what a frame means in stream-intake.
 *
 * R3  A callback of any but the newest link does nothing: `#letGo` forgets the link before anything else happens to it.
 * R4  No attempt while an earlier one is open: `#letGo` comes before every way to `#connect`, and of the retry timer and the
 *     drained buffer only one is ever waiting to connect.
 * R5  A lost connection is replaced only when the buffer is empty: `#connectOnceDrained`.
 * R6  A state that is the last one comes after `#letGo` and leaves the page: nothing reconnects by itself. From `failed` `reconnect` begins anew.
 *
 * A listener of the state may end the stream or begin it anew: after telling it, nothing is taken for granted.
 */

import { CLOSE, encodeStreamFrame, monotonicNow, type StreamFrame, type StreamHello } from '../../protocol/index.ts';
import { guarded } from './listener.ts';
import { pageOf } from './page-lifecycle.ts';
import type { SocketEnd } from './socket.ts';
import { type Intake, takeIn } from './stream-intake.ts';
import { type LinkOwner, StreamLink } from './stream-link.ts';
import {
  afterConnection,
  afterWaiting,
  cleanHistory,
  decideAfterLoss,
  endOfTicketError,
  isLastWord,
  type LossHistory,
} from './stream-loss.ts';
import { type PagePort, StreamPage } from './stream-page.ts';
import { addressOf, type StreamRequest } from './stream-request.ts';
import { type SessionStreamOptions, STREAM_TIMINGS, type StreamState, type StreamTimings } from './stream-types.ts';

/** Callers who ask for a new connection within this time ask for the same one. */
const SHARED_ATTEMPT_MS = 1_000;

const PAGE_HIDDEN = 'the page is hidden';

export class StreamAttempts {
  readonly #options: SessionStreamOptions;
  readonly #request: StreamRequest;
  readonly #intake: Intake;
  readonly #wake: () => void;
  readonly #timings: Readonly<StreamTimings>;
  readonly #page: StreamPage;
  readonly #linkOwner: LinkOwner = {
    isNewest: (link) => this.#link === link, // R3
    onFrame: (link, frame, chars) => this.#onFrame(link, frame, chars),
    onNoTicket: (link, error) => this.#onNoTicket(link, error),
    onLost: (link, end) => this.#lost(link, end),
  };

  #state: StreamState;
  #link: StreamLink | null = null;
  #hello: StreamHello | null = null;
  #retry: ReturnType<typeof setTimeout> | null = null;
  #connectWhenDrained = false;
  #history: LossHistory = cleanHistory(monotonicNow());

  /** `wake`: there may be something to take, or to end with. */
  constructor(options: SessionStreamOptions, request: StreamRequest, intake: Intake, wake: () => void) {
    this.#options = options;
    this.#request = request;
    this.#intake = intake;
    this.#wake = wake;
    this.#state = options.signal?.aborted ? { status: 'closed' } : { status: 'connecting', attempt: 0 };
    this.#timings = { ...STREAM_TIMINGS, ...options.timings };
    this.#page = new StreamPage(
      options.pageLifecycle === undefined ? pageOf() : options.pageLifecycle,
      {
        facts: () => this.#pageFacts(),
        pause: () => this.#pause(PAGE_HIDDEN),
        comeBack: () => this.#comeBack(),
        probe: () => this.probe(),
      },
      this.#timings.staleMs,
    );
  }

  get state(): StreamState {
    return this.#state;
  }

  get over(): boolean {
    const { status } = this.#state;
    return status === 'ended' || status === 'closed' || status === 'failed';
  }

  /** What the newest connection was greeted with. */
  get hello(): StreamHello | null {
    return this.#hello;
  }

  /** To be called once. */
  start(): void {
    this.#page.watch();
    this.#begin();
  }

  /** A new connection at once, on a hidden page too. An attempt that has only just begun is shared. */
  reconnect(): void {
    if (this.#link && !this.#link.hello && this.#link.quietMs < SHARED_ATTEMPT_MS) return;
    this.#letGo();
    this.#history = cleanHistory(monotonicNow());
    this.#intake.cursor.forgetGap();
    this.#page.watch();
    if (this.#intake.buffer.drained) this.#connect();
    else this.#connectWhenDrained = true;
  }

  /** Makes a connection prove that it lives. */
  probe(): void {
    if (this.#link?.hello) this.#link.probe();
  }

  /**
   * For good (R6): with the connection goes every timer. What was received but not taken is dropped. `why` is for the coordinator. May be called
   * again; the first end counts.
   */
  end(state: StreamState, why: string): void {
    if (this.over) return;
    this.#letGo(why);
    this.#intake.buffer.clear();
    this.#setState(state);
    this.#wake();
  }

  /** R5: the ack that opens the window, and the connection that had to wait for room. */
  taken(ack: number | null, drained: boolean): void {
    if (ack !== null && this.#link?.hello) this.#link.send(encodeStreamFrame({ type: 'ack', offset: ack }));
    if (drained && this.#connectWhenDrained) {
      this.#connectWhenDrained = false;
      // The consumer's time is not the connection's.
      this.#history = afterWaiting(this.#history, monotonicNow());
      this.#begin();
    }
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
    this.#lost(link, endOfTicketError(error));
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
        this.#wake();
        return;
      case 'caught_up':
        // STR11: shows that this side reads, and acknowledges no more than what was taken.
        this.taken(this.#intake.buffer.taken ?? 0, false);
        this.#setState({ status: 'live' });
        this.#wake();
        return;
      case 'end':
        this.#wake();
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

  /** R5: a coordinator of before STR12, without flow control, and a consumer that is slower than the stream. */
  #onNoRoom(): void {
    this.#letGo();
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
    if (this.over || !(link || waiting)) return null;
    return { link: link ? (link.hello ? 'open' : 'opening') : 'none', quietMs: link?.quietMs ?? 0 };
  }

  /** P2. */
  #comeBack(): void {
    this.#letGo();
    if (this.#state.status === 'paused') this.#history = afterWaiting(this.#history, monotonicNow());
    this.#history = { ...this.#history, attempt: 0 };
    this.#connectOnceDrained();
  }

  /** P1: no link, no timer. */
  #pause(reason: string): void {
    this.#letGo();
    if (this.#state.status !== 'paused') this.#setState({ status: 'paused', reason });
  }

  // ── loss ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Releases the connection and every timer. From here on nothing of it is heard again (R3). */
  #letGo(reason = 'lost'): void {
    const link = this.#link;
    this.#link = null;
    this.#connectWhenDrained = false;
    if (this.#retry) clearTimeout(this.#retry);
    this.#retry = null;
    if (!link) return;
    this.#intake.buffer.forgetAck();
    link.release(CLOSE.done, reason);
  }

  #lost(link: StreamLink, end: SocketEnd): void {
    const now = monotonicNow();
    const { progressed } = link;
    this.#history = afterConnection(this.#history, { helloAt: link.hello?.at ?? null, progressed }, now, this.#timings.soundMs);
    this.#letGo();

    // A ticket may be narrower than what was asked for: then only the coordinator knows that this was all.
    if (link.end && isLastWord(end)) {
      this.#intake.buffer.addEnd(link.end.execution, link.end.status, true);
      this.#wake();
      return;
    }
    // A stream whose end is already in the buffer is complete; the consumer has yet to come to it.
    if (this.#intake.ends.complete(this.#intake.buffer.endedExecutions())) return;
    this.#replace(end, now, link.beganAt);
  }

  #replace(end: SocketEnd, now: number, beganAt: number): void {
    const { hidden } = this.#page;
    const after = decideAfterLoss(
      this.#history,
      end,
      { now, beganAt, hidden, welcomed: this.#hello !== null },
      this.#options,
      this.#timings,
    );
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

  /** What was received can still be taken before the failure is thrown. */
  #fail(code: string, reason: string): void {
    this.#letGo();
    this.#setState({ status: 'failed', code, reason });
    this.#wake();
  }

  #setState(state: StreamState): void {
    this.#state = state;
    if (this.over) this.#page.leave();
    guarded(this.#options.onState, state);
  }
}
