/**
 * Follows a session: one async iterable over every event, through cuts, redeploys and expired tickets.
 *
 * Owns one connection at a time, its timers, and the buffer between socket and consumer. Does not own the consumer's pace.
 *
 *      ┌────────────────────────── retry timer, buffer drained ───────────────────────────┐
 *      ▼                                                                                  │
 *  connecting ──hello──▶ replaying ──caught_up──▶ live ──lost──▶ reconnecting ◀───────────┤
 *      │  ▲                                                           │                   │
 *      │  └── refreshing-credential ◀── 4401, first time ─────────────┤◀── lost ──────────┘
 *      └──▶ failed (refused for good, or out of budget) ── reconnect() ──▶ connecting
 *  ended: every execution that was asked for has its verdict.    closed: close(), the signal, or a loop that was left.
 *
 * R1  An event is passed on once, in the order of offsets. Only offsets decide what is a repeat, never text.
 * R2  A connection resumes after the last offset that was received; `tail` counts for the first one only (see `#place`).
 * R3  Every connection has a number. A callback of any but the newest does nothing; a socket that opens late is closed.
 * R4  One socket per attempt, and no attempt while an earlier one is open.
 * R5  The buffer is bounded: acks say what the consumer took, and a lost connection is replaced only when the buffer is empty.
 * R6  After close() nothing reconnects.
 */

import {
  CLOSE,
  encodeStreamFrame,
  FRAME_BYTES_MAX,
  isId,
  isTerminal,
  type LoggedEvent,
  type NextStep,
  nextStepAfterClose,
  nextStepAfterStatus,
  offsetOf,
  PING,
  PONG,
  parseStreamFrame,
  retryAfterMs,
  retryDelayMs,
  STREAM_SUBPROTOCOL,
  type StreamEvents,
  type StreamFrame,
  type StreamHello,
  type TerminalStatus,
  TICKET_SUBPROTOCOL_PREFIX,
  terminalStatusOf,
  VIEWER_WINDOW_BYTES,
  withinBudget,
} from '../protocol/index.ts';
import { type ConnectSocket, connectorOf, type SocketEnd, type StreamSocket, type WebSocketConstructor } from './socket.ts';

export interface StreamTimings {
  /** From the start of an attempt, ticket included, to its hello. Half-open handshakes would hang for ever. */
  connectMs: number;
  pingMs: number;
  /** No pong and nothing else for this long after a ping: the connection is dead. */
  pongMs: number;
  retryBaseMs: number;
  retryCapMs: number;
  /** A connection that lived this long after its hello counts as sound, whatever became of it. */
  soundMs: number;
}

export const STREAM_TIMINGS: Readonly<StreamTimings> = {
  connectMs: 20_000,
  pingMs: 15_000,
  pongMs: 10_000,
  retryBaseMs: 500,
  retryCapMs: 8_000,
  soundMs: 5_000,
};

/** Other traffic may hold up a pong on a slow line, but not for ever: the way up may be dead while the way down works. */
const PONG_PATIENCE = 6;
/** A timer that fires this late means that this side slept; the pong may be waiting to be read. */
const SLEPT_MS = 2_000;
/** Consumed text after which an ack goes out although more is buffered. */
const ACK_CHARS = 64 * 1024;
/** With code 1000 right after an `end` frame. Another 1000 may be a proxy's polite way to close an idle connection. */
const ENDED_REASON = 'ended';
/** What an honest coordinator can have on the wire: its window and one batch. More is not buffered (R5). A character is at least a byte. */
const BUFFER_CHARS_MAX = VIEWER_WINDOW_BYTES + 2 * FRAME_BYTES_MAX;

export type StreamState =
  | { status: 'connecting'; attempt: number }
  | { status: 'replaying' }
  | { status: 'live' }
  | { status: 'reconnecting'; attempt: number; retryInMs: number; code: number; reason: string }
  | { status: 'refreshing-credential' }
  | { status: 'ended'; execution: string; executionStatus: TerminalStatus }
  | { status: 'closed' }
  | { status: 'failed'; code: string; reason: string };

/** What is not an event: never mixed with the data, but told in order with it, when the consumer has come that far. */
export type StreamControl = { type: 'caught_up'; offset: number } | { type: 'end'; execution: string; status: TerminalStatus };

export interface SessionStreamOptions {
  /** Base URL of the deployment, http(s) or ws(s). */
  url: string;
  session: string;
  /** A fresh ticket for every connection. Thrown errors with `retryable: false` fail the stream; any other is tried again. */
  getTicket?: () => string | Promise<string>;
  /** Sent as a header, so it needs `connect` or a `WebSocketImpl` that takes headers, such as the `ws` package's. */
  apiKey?: string;
  /** Begin after this offset. Without `after` and `tail`: from the start. */
  after?: number;
  /** Begin with the last so many offsets of the session. */
  tail?: number;
  /** With one or more executions the stream ends when all of them have. */
  execution?: string | readonly string[];
  types?: readonly string[];
  signal?: AbortSignal;
  /** Acknowledge what the consumer took, so that the coordinator never has more than its window under way. Default true. */
  flow?: boolean;
  WebSocketImpl?: WebSocketConstructor;
  connect?: ConnectSocket;
  onState?: (state: StreamState) => void;
  onControl?: (control: StreamControl) => void;
  /** Fails with `unreachable` after so long without a hello. Default: never. */
  giveUpAfterMs?: number;
  timings?: Partial<StreamTimings>;
  random?: () => number;
}

/** Thrown by the iteration when the stream failed, after everything that was received has been taken. */
export class StreamFailure extends Error {
  override readonly name = 'StreamFailure';
  /** `offset_expired`, `offset_ahead`, `unauthorized`, `not_found`, `unreachable`, `gap`, a problem code, or `closed_<code>`. */
  readonly code: string;
  readonly reason: string;
  constructor(code: string, reason: string) {
    super(`the stream failed: ${reason} (${code})`);
    this.code = code;
    this.reason = reason;
  }
}

type Item =
  | { kind: 'events'; frame: StreamEvents; next: number; charsPerEvent: number }
  | { kind: 'caught_up'; offset: number; settled: { id: string; status: TerminalStatus }[] }
  /** `last`: nothing follows, whatever this stream asked for. */
  | { kind: 'end'; execution: string; status: TerminalStatus; last: boolean };

/** One connection attempt and what it owns. */
interface Link {
  readonly generation: number;
  socket: StreamSocket | null;
  hello: { at: number; frame: StreamHello } | null;
  /** The newest frame, if it was an `end`. */
  end: { execution: string; status: TerminalStatus } | null;
  /** An event came that had not come before. */
  progressed: boolean;
  lastMessageAt: number;
  watchdog: Timer | null;
  ping: Timer | null;
}

type Timer = ReturnType<typeof setTimeout>;

/** Where the next connection begins. */
type Place = { after: number } | { tail: number };

export class SessionStream implements AsyncIterable<LoggedEvent> {
  readonly #options: SessionStreamOptions;
  readonly #connectSocket: ConnectSocket;
  readonly #endpoint: URL;
  readonly #timings: StreamTimings;
  readonly #executions: readonly string[];
  readonly #filtered: boolean;
  /** Every offset comes, so a hole is a fault. A ticket may filter more than was asked for. */
  readonly #complete: boolean;

  #state: StreamState = { status: 'connecting', attempt: 0 };
  #generation = 0;
  #link: Link | null = null;
  #retry: Timer | null = null;
  #connectWhenDrained = false;
  /** Attempts without a hello since the last one. */
  #attempt = 0;
  /** Connections in a row that said hello and died at once without bringing anything: a hello alone must not make a hot loop. */
  #barren = 0;
  #refreshed = false;
  #downSince: number = Date.now();

  readonly #tail: number | null;
  /** R1, R2: newest offset received or known to be filtered out. Null only while `tail` has not been resolved. */
  #received: number | null;
  #taken: number | null;
  /** Head of the first hello of a filtered tail: everything after it belongs to this stream, however long the first events take. */
  #tailHead: number | null = null;
  #tailAsks = 0;
  #gapAfter: number | null = null;

  #buffer: Item[] = [];
  #bufferedChars = 0;
  #unackedChars = 0;
  #waiting: (() => void)[] = [];
  readonly #ends = new Map<string, TerminalStatus>();

  constructor(options: SessionStreamOptions) {
    this.#options = options;
    const { url, session, execution, types, after, tail, getTicket, apiKey, WebSocketImpl, connect, signal } = options;
    if (!isId(session)) throw new TypeError('session must be a session id');
    if (after !== undefined && tail !== undefined) throw new TypeError('after and tail exclude each other');
    for (const [name, value] of Object.entries({ after, tail })) {
      if (value !== undefined && !(Number.isSafeInteger(value) && value >= 0))
        throw new TypeError(`${name} must be a whole number`);
    }
    if (!getTicket && apiKey === undefined) throw new TypeError('getTicket or apiKey is needed');
    if (!getTicket && !connect && !WebSocketImpl) {
      throw new TypeError(
        "an API key can not travel on a browser's WebSocket: give getTicket, or a WebSocketImpl that takes headers",
      );
    }
    const Impl = WebSocketImpl ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
    if (!connect && !Impl) throw new TypeError('there is no WebSocket here: give WebSocketImpl or connect');
    this.#connectSocket = connect ?? connectorOf(Impl as WebSocketConstructor);
    this.#executions = execution === undefined ? [] : typeof execution === 'string' ? [execution] : execution;
    this.#filtered = this.#executions.length > 0 || (types?.length ?? 0) > 0;
    this.#complete = !this.#filtered && getTicket === undefined;
    this.#tail = tail ?? null;
    this.#received = tail === undefined ? (after ?? 0) : null;
    this.#taken = this.#received;
    this.#timings = { ...STREAM_TIMINGS, ...options.timings };
    this.#endpoint = new URL(`${url.replace(/\/+$/, '').replace(/^http/, 'ws')}/v1/sessions/${session}/stream`);

    if (signal?.aborted) {
      this.#state = { status: 'closed' };
      return;
    }
    signal?.addEventListener('abort', () => this.close(), { once: true });
    void this.#connect();
  }

  get state(): StreamState {
    return this.#state;
  }

  /** Newest offset that the consumer has taken, or that was filtered out before it: the place to resume from. Null until a tail has begun. */
  get lastOffset(): number | null {
    return this.#taken;
  }

  /** Executions whose end the consumer has come to. */
  get ends(): ReadonlyMap<string, TerminalStatus> {
    return this.#ends;
  }

  /** Drops the connection, if there is one, and makes a new one at once. Also the way back from `failed`; then iterate again. */
  reconnect(): void {
    if (this.#over && this.#state.status !== 'failed') return;
    this.#letGo(CLOSE.done, 'reconnecting');
    this.#attempt = 0;
    this.#barren = 0;
    this.#refreshed = false;
    this.#gapAfter = null;
    this.#downSince = Date.now();
    this.#connectOnceDrained();
  }

  /**
   * For a page that comes back to the front or online: cuts a waiting time short, and makes a silent connection prove that it lives.
   * Unlike reconnect() it leaves a sound connection alone.
   */
  probe(): void {
    if (this.#state.status === 'reconnecting') this.reconnect();
    else if (this.#link?.hello) this.#sendPing(this.#link);
  }

  /** Ends the stream for good. What was received but not taken is dropped. */
  close(): void {
    if (this.#over) return;
    this.#letGo(CLOSE.done, 'closed by the viewer');
    this.#buffer = [];
    this.#bufferedChars = 0;
    this.#setState({ status: 'closed' });
    this.#wake();
  }

  /** All iterators take from the same buffer; leaving a loop closes the stream. */
  async *[Symbol.asyncIterator](): AsyncGenerator<LoggedEvent, void, undefined> {
    let left = true;
    try {
      for (;;) {
        const event = await this.#next();
        if (event === null) break;
        yield event;
      }
      left = false;
    } catch (error) {
      // A failure leaves the way back through reconnect() open.
      left = !(error instanceof StreamFailure);
      throw error;
    } finally {
      if (left) this.close();
    }
  }

  /** The same events, as many at a time as are there: one rendering for a whole replay. */
  async *batches(): AsyncGenerator<LoggedEvent[], void, undefined> {
    let left = true;
    try {
      for (;;) {
        const first = await this.#next();
        if (first === null) break;
        const batch = [first];
        for (let event = this.#take(); event !== null; event = this.#take()) batch.push(event);
        yield batch;
      }
      left = false;
    } catch (error) {
      left = !(error instanceof StreamFailure);
      throw error;
    } finally {
      if (left) this.close();
    }
  }

  // ── consumer ──────────────────────────────────────────────────────────────────────────────────────────────────────

  get #over(): boolean {
    const { status } = this.#state;
    return status === 'ended' || status === 'closed' || status === 'failed';
  }

  async #next(): Promise<LoggedEvent | null> {
    for (;;) {
      const event = this.#take();
      if (event) return event;
      if (this.#state.status === 'failed') throw new StreamFailure(this.#state.code, this.#state.reason);
      if (this.#over) return null;
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  /** The next event in the buffer, with every control item before it told; null when there is none. */
  #take(): LoggedEvent | null {
    for (let item = this.#buffer[0]; item; item = this.#buffer[0]) {
      if (item.kind === 'events') {
        const event = this.#takeFrom(item);
        this.#afterTaking();
        const status = terminalStatusOf(event.type);
        // The verdict is the last event of its execution (G3), so the `end` frame after it may be lost with the connection.
        if (status) this.#tellEnd(event.execution, status);
        return event;
      }
      this.#buffer.shift();
      if (item.kind === 'end') {
        this.#tellEnd(item.execution, item.status);
        if (item.last) this.#finish(item.execution, item.status);
      } else {
        this.#taken = Math.max(this.#taken ?? 0, item.offset);
        this.#tell({ type: 'caught_up', offset: item.offset });
        for (const { id, status } of item.settled) this.#tellEnd(id, status);
      }
    }
    this.#afterTaking();
    return null;
  }

  #takeFrom(item: Extract<Item, { kind: 'events' }>): LoggedEvent {
    const { frame, next } = item;
    const { type, at, data } = frame.events[next] as StreamEvents['events'][number];
    const offset = offsetOf(frame, next);
    item.next += 1;
    if (item.next === frame.events.length) this.#buffer.shift();
    this.#bufferedChars -= item.charsPerEvent;
    this.#unackedChars += item.charsPerEvent;
    this.#taken = offset;
    return { offset, execution: frame.execution, type, at, data };
  }

  /** R5: the ack that opens the window, and the connection that had to wait for room. */
  #afterTaking(): void {
    const empty = this.#drained;
    if (empty) this.#bufferedChars = 0;
    if (this.#unackedChars > 0 && (empty || this.#unackedChars >= ACK_CHARS)) {
      this.#unackedChars = 0;
      if (this.#flow && this.#link?.hello && this.#taken !== null) {
        this.#send(this.#link, encodeStreamFrame({ type: 'ack', offset: this.#taken }));
      }
    }
    if (empty && this.#connectWhenDrained) {
      this.#connectWhenDrained = false;
      // The consumer's time is not the connection's.
      this.#downSince = Date.now();
      void this.#connect();
    }
  }

  /** Control items weigh nothing, and nobody may be there to take them. */
  get #drained(): boolean {
    return !this.#buffer.some(({ kind }) => kind === 'events');
  }

  #tellEnd(execution: string, status: TerminalStatus): void {
    if (this.#ends.has(execution)) return;
    this.#ends.set(execution, status);
    this.#tell({ type: 'end', execution, status });
    if (this.#executions.length > 0 && this.#executions.every((id) => this.#ends.has(id))) this.#finish(execution, status);
  }

  #finish(execution: string, status: TerminalStatus): void {
    if (this.#over) return;
    this.#letGo(CLOSE.done, 'ended');
    this.#buffer = [];
    this.#setState({ status: 'ended', execution, executionStatus: status });
    this.#wake();
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  // ── connection ────────────────────────────────────────────────────────────────────────────────────────────────────

  get #flow(): boolean {
    return this.#options.flow ?? true;
  }

  #isStale(link: Link): boolean {
    return link.generation !== this.#generation || this.#link !== link;
  }

  async #connect(): Promise<void> {
    this.#generation += 1;
    const link: Link = {
      generation: this.#generation,
      socket: null,
      hello: null,
      end: null,
      progressed: false,
      lastMessageAt: 0,
      watchdog: null,
      ping: null,
    };
    this.#link = link;
    const { connectMs } = this.#timings;
    link.watchdog = setTimeout(() => {
      this.#lost(link, { code: 1006, reason: `no hello within ${connectMs / 1000} s` });
    }, connectMs);
    if (this.#state.status !== 'refreshing-credential') this.#setState({ status: 'connecting', attempt: this.#attempt });

    const protocols = [STREAM_SUBPROTOCOL];
    const headers: Record<string, string> = {};
    if (this.#options.getTicket) {
      try {
        protocols.push(TICKET_SUBPROTOCOL_PREFIX + (await this.#options.getTicket()));
      } catch (error) {
        return this.#onTicketError(link, error);
      }
    } else {
      headers.authorization = `Bearer ${this.#options.apiKey}`;
    }
    // R3: an attempt that was given up meanwhile opens nothing.
    if (this.#isStale(link)) return;

    try {
      const socket = this.#connectSocket(
        { url: this.#url(), protocols, headers },
        {
          open: () => {
            // R3: a socket that opens after it was given up would be followed by nobody.
            if (this.#isStale(link)) link.socket?.close(CLOSE.done, 'late');
          },
          message: (text) => {
            if (!this.#isStale(link)) this.#onMessage(link, text);
          },
          close: (end) => this.#lost(link, end),
        },
      );
      link.socket = socket;
      if (this.#isStale(link)) socket.close(CLOSE.done, 'late');
    } catch (error) {
      this.#lost(link, { code: 1006, reason: messageOf(error) });
    }
  }

  #onTicketError(link: Link, error: unknown): void {
    if (this.#isStale(link)) return;
    const { retryable, code } = (error ?? {}) as { retryable?: unknown; code?: unknown };
    if (retryable === false) this.#fail(typeof code === 'string' ? code : 'unauthorized', `no ticket: ${messageOf(error)}`);
    else this.#lost(link, { code: 1006, reason: `no ticket: ${messageOf(error)}` });
  }

  /** R2. */
  #place(): Place {
    if (this.#received !== null) return { after: this.#received };
    return { tail: this.#tail ?? 0 };
  }

  #url(): string {
    const { types } = this.#options;
    const url = new URL(this.#endpoint);
    for (const [name, value] of Object.entries(this.#place())) url.searchParams.set(name, String(value));
    if (this.#executions.length > 0) url.searchParams.set('execution', this.#executions.join(','));
    if (types && types.length > 0) url.searchParams.set('types', types.join(','));
    if (this.#flow) url.searchParams.set('flow', 'ack');
    return url.href;
  }

  #onMessage(link: Link, text: string): void {
    link.lastMessageAt = Date.now();
    if (text === PONG) {
      this.#schedulePing(link, this.#timings.pingMs);
      return;
    }
    const frame = parseStreamFrame(text);
    // Frames of a later protocol are skipped; the offsets of the next one would show a loss.
    if (!frame) return;
    link.end = frame.type === 'end' ? frame : null;
    this.#onFrame(link, frame, text.length);
  }

  #onFrame(link: Link, frame: StreamFrame, chars: number): void {
    switch (frame.type) {
      case 'hello':
        this.#onHello(link, frame);
        return;
      case 'events':
        this.#onEvents(link, frame, chars);
        return;
      case 'caught_up':
        this.#onCaughtUp(link, frame.offset);
        return;
      case 'end':
        this.#buffer.push({ kind: 'end', execution: frame.execution, status: frame.status, last: false });
        this.#wake();
        return;
      default:
        frame satisfies never;
    }
  }

  #onHello(link: Link, frame: StreamHello): void {
    if (link.hello) return;
    link.hello = { at: Date.now(), frame };
    if (link.watchdog) clearTimeout(link.watchdog);
    this.#attempt = 0;
    this.#schedulePing(link, this.#timings.pingMs);
    // R2: without a filter the tail is a place, and known from here on. With one, only events or a caught_up tell it.
    if (this.#received === null && !this.#filtered) this.#begin(Math.max(frame.earliest - 1, frame.head - (this.#tail ?? 0), 0));
    if (this.#received === null) {
      this.#tailHead ??= frame.head;
      this.#tailAsks += 1;
    }
    // "From the start" means from the oldest that is kept.
    if (this.#received === 0 && frame.earliest > 1) this.#begin(frame.earliest - 1);
    this.#setState({ status: 'replaying' });
  }

  #begin(offset: number): void {
    this.#received = offset;
    if (this.#buffer.length === 0) this.#taken = offset;
  }

  #onEvents(link: Link, frame: StreamEvents, chars: number): void {
    const count = frame.events.length;
    if (count === 0) return;
    const first = offsetOf(frame, 0);
    if (this.#tailMovedOn(first)) {
      this.#restartTail(link);
      return;
    }
    // R1: the part of the frame that was received before is skipped.
    let next = 0;
    while (next < count && this.#received !== null && offsetOf(frame, next) <= this.#received) next += 1;
    if (next === count) return;
    if (this.#complete && this.#received !== null && offsetOf(frame, next) !== this.#received + 1) {
      this.#onGap(link);
      return;
    }
    // R5: a coordinator that keeps to the window never comes here with anything buffered; without flow control a slow consumer does.
    if (!this.#drained && this.#bufferedChars + chars > BUFFER_CHARS_MAX) {
      this.#letGo(CLOSE.done, 'the viewer is slower than the stream');
      this.#connectWhenDrained = true;
      this.#setState({
        status: 'reconnecting',
        attempt: 0,
        retryInMs: 0,
        code: CLOSE.tooSlow,
        reason: 'waiting for the consumer',
      });
      return;
    }
    link.progressed = true;
    this.#received = offsetOf(frame, count - 1);
    this.#buffer.push({ kind: 'events', frame, next, charsPerEvent: chars / (count - next) });
    this.#bufferedChars += chars;
    this.#wake();
  }

  /**
   * R2: a filtered tail that was cut before anything came was asked for again, and what comes now begins after what the first hello had
   * promised: something in between may be missing. Reading on from that first head instead brings all of it.
   */
  #tailMovedOn(first: number): boolean {
    return this.#received === null && this.#tailHead !== null && first > this.#tailHead + 1 && this.#tailAsks > 1;
  }

  #restartTail(link: Link): void {
    this.#begin(this.#tailHead ?? 0);
    this.#lost(link, { code: 1006, reason: 'the tail moved on before it was read' });
  }

  /** A hole in the offsets is never passed on. A second one at the same place is no accident of the connection. */
  #onGap(link: Link): void {
    if (this.#gapAfter === this.#received) {
      this.#fail('gap', `the coordinator skipped events after offset ${this.#received}`);
      return;
    }
    this.#gapAfter = this.#received;
    this.#lost(link, { code: 1006, reason: `events after offset ${this.#received} are missing` });
  }

  #onCaughtUp(link: Link, offset: number): void {
    if (this.#tailMovedOn(offset - (this.#tail ?? 0) + 1)) {
      this.#restartTail(link);
      return;
    }
    this.#received = Math.max(this.#received ?? 0, offset);
    // The second source of an end: an execution that was over at the hello has nothing more to come after the replay.
    const settled = (link.hello?.frame.executions ?? []).flatMap(({ id, status }) =>
      this.#executions.includes(id) && isTerminal(status) ? [{ id, status }] : [],
    );
    // Two in a row are one, or the reconnects of a night would pile up in front of an absent consumer.
    if (this.#buffer.at(-1)?.kind === 'caught_up') this.#buffer.pop();
    this.#buffer.push({ kind: 'caught_up', offset, settled });
    this.#setState({ status: 'live' });
    this.#wake();
  }

  // ── liveness ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #schedulePing(link: Link, delayMs: number): void {
    if (link.ping) clearTimeout(link.ping);
    link.ping = setTimeout(() => this.#sendPing(link), delayMs);
  }

  #sendPing(link: Link): void {
    this.#send(link, PING);
    this.#awaitPong(link, Date.now(), this.#timings.pongMs);
  }

  /** A pong replaces this timer; when it fires there was none. */
  #awaitPong(link: Link, pingedAt: number, delayMs: number): void {
    if (link.ping) clearTimeout(link.ping);
    const dueAt = Date.now() + delayMs;
    link.ping = setTimeout(() => {
      const now = Date.now();
      const { pongMs } = this.#timings;
      if (now - dueAt > SLEPT_MS) return this.#sendPing(link);
      const quietMs = now - link.lastMessageAt;
      if (quietMs < pongMs && now - pingedAt < pongMs * PONG_PATIENCE) return this.#awaitPong(link, pingedAt, pongMs - quietMs);
      this.#lost(link, { code: 1006, reason: 'the connection is silent' });
    }, delayMs);
  }

  #send(link: Link, text: string): void {
    try {
      link.socket?.send(text);
    } catch {
      // A socket on its way out. Its close, or the missing pong, says the rest.
    }
  }

  // ── loss ──────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Releases the connection and every timer; the number moves on, so nothing of it is heard again (R3). */
  #letGo(code: number, reason: string): void {
    const link = this.#link;
    this.#generation += 1;
    this.#link = null;
    this.#connectWhenDrained = false;
    if (this.#retry) clearTimeout(this.#retry);
    this.#retry = null;
    if (!link) return;
    if (link.watchdog) clearTimeout(link.watchdog);
    if (link.ping) clearTimeout(link.ping);
    this.#unackedChars = 0;
    try {
      link.socket?.close(code, reason);
    } catch {
      // Already closed.
    }
  }

  #lost(link: Link, end: SocketEnd): void {
    if (this.#isStale(link)) return;
    const now = Date.now();
    const { hello, progressed } = link;
    const sound = hello !== null && (progressed || now - hello.at >= this.#timings.soundMs);
    if (sound) {
      this.#barren = 0;
      this.#downSince = now;
    } else if (hello) {
      this.#barren += 1;
    }
    if (hello && now - hello.at >= this.#timings.soundMs) this.#refreshed = false;
    this.#letGo(CLOSE.done, 'lost');

    // A ticket may be narrower than what was asked for: then only the coordinator knows that this was all.
    if (link.end && end.code === CLOSE.done && end.reason === ENDED_REASON) {
      this.#buffer.push({ kind: 'end', ...link.end, last: true });
      this.#wake();
      return;
    }
    // A stream whose end is already in the buffer is complete; the consumer has yet to come to it.
    if (this.#endIsBuffered()) return;
    const step = nextStepAfter(end);
    if (step === 'stop') {
      this.#fail(failureCode(end), end.refusal?.detail || end.reason || `closed with ${end.code}`);
      return;
    }
    if (step === 'refresh_credential') {
      this.#refreshCredential(end);
      return;
    }
    this.#scheduleRetry(end, now);
  }

  #endIsBuffered(): boolean {
    if (this.#executions.length === 0) return false;
    const ended = new Set(this.#ends.keys());
    for (const item of this.#buffer) {
      if (item.kind === 'end') ended.add(item.execution);
      if (item.kind === 'caught_up') for (const { id } of item.settled) ended.add(id);
      if (item.kind === 'events' && item.frame.events.some(({ type }) => terminalStatusOf(type))) ended.add(item.frame.execution);
    }
    return this.#executions.every((id) => ended.has(id));
  }

  #refreshCredential(end: SocketEnd): void {
    const reason = end.refusal?.detail || end.reason || 'the credential was refused';
    if (!this.#options.getTicket || this.#refreshed) {
      this.#fail('unauthorized', reason);
      return;
    }
    this.#refreshed = true;
    this.#setState({ status: 'refreshing-credential' });
    if (this.#state.status === 'refreshing-credential' && !this.#link) this.#connectOnceDrained();
  }

  #scheduleRetry(end: SocketEnd, now: number): void {
    const { retryBaseMs, retryCapMs } = this.#timings;
    const { random, giveUpAfterMs = Number.POSITIVE_INFINITY } = this.#options;
    this.#attempt += 1;
    const delayMs = retryDelayMs(
      this.#attempt + this.#barren,
      { baseMs: retryBaseMs, capMs: retryCapMs, ...(random ? { random } : {}) },
      retryAfterMs(end.refusal?.retryAfter, now),
    );
    const reason = end.refusal?.detail || (end.refusal ? `HTTP ${end.refusal.status}` : end.reason) || 'the connection was lost';
    if (!withinBudget(this.#downSince, now, delayMs, giveUpAfterMs)) {
      this.#fail('unreachable', reason);
      return;
    }
    this.#setState({ status: 'reconnecting', attempt: this.#attempt, retryInMs: delayMs, code: end.code, reason });
    // The listener may have closed or restarted the stream.
    if (this.#state.status !== 'reconnecting' || this.#link || this.#retry) return;
    this.#retry = setTimeout(() => {
      this.#retry = null;
      this.#connectOnceDrained();
    }, delayMs);
  }

  /** R5: what is buffered is taken first; a stalled consumer needs no connection. */
  #connectOnceDrained(): void {
    if (!this.#drained) this.#connectWhenDrained = true;
    else void this.#connect();
  }

  #fail(code: string, reason: string): void {
    this.#letGo(CLOSE.done, 'failed');
    this.#setState({ status: 'failed', code, reason });
    this.#wake();
  }

  #setState(state: StreamState): void {
    this.#state = state;
    guarded(this.#options.onState, state);
  }

  #tell(control: StreamControl): void {
    guarded(this.#options.onControl, control);
  }
}

export function connectSession(options: SessionStreamOptions): SessionStream {
  return new SessionStream(options);
}

function nextStepAfter({ code, refusal }: SocketEnd): NextStep {
  if (!refusal) return nextStepAfterClose(code);
  // The coordinator's own word goes before the table: 503 not_configured will not cure itself.
  if (refusal.retryable === false && refusal.status !== 401) return 'stop';
  return nextStepAfterStatus(refusal.status);
}

const REASON_IS_CODE = /^[a-z][a-z0-9_]{0,63}$/;

/** A close reason that is itself a code (`offset_expired`) says more than the number. */
function failureCode({ code, reason, refusal }: SocketEnd): string {
  if (refusal) return refusal.code ?? `http_${refusal.status}`;
  if (REASON_IS_CODE.test(reason)) return reason;
  switch (code) {
    case CLOSE.badFrame:
      return 'bad_request';
    case CLOSE.notFound:
      return 'not_found';
    case CLOSE.offsetUnavailable:
      return 'offset_unavailable';
    default:
      return `closed_${code}`;
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** A listener's error is its own: it goes to the platform's handler and does not stop the stream halfway through a step. */
function guarded<T>(listener: ((value: T) => void) | undefined, value: T): void {
  try {
    listener?.(value);
  } catch (error) {
    queueMicrotask(() => {
      throw error;
    });
  }
}
