/**
 * One connection attempt, from the ticket to the end of its socket.
 *
 * Owns the socket and one timer: the watchdog until the hello, the heartbeat after it. Does not
 * know what a frame means, nor what follows a loss.
 *
 *   resting ──pingMs, or probe()──▶ waiting for a pong ──pong──▶ resting
 *                                   │  ▲      │
 *                                   └──┘      └──▶ silent: lost
 *                        slept, or other traffic
 *
 * R3  A released link reports nothing. A socket that opens after the release is closed.
 * R4  One socket per link.
 * H1  One timer: setting it clears the one before.
 * H2  A timer that fires late proves nothing about the other side, so it sends another ping.
 * H3  Probes share one deadline. Otherwise each would postpone the verdict of the one before.
 */

import {
  CLOSE,
  encodeStreamFrame,
  monotonicNow,
  PING,
  PONG,
  parseStreamFrame,
  STREAM_SUBPROTOCOL,
  type StreamEnd,
  type StreamFrame,
  TICKET_SUBPROTOCOL_PREFIX,
} from '../../protocol/index.ts';
import type { StreamSettings } from './options.ts';
import type { SocketEnd, StreamSocket } from './socket.ts';

/**
 * Other traffic may delay a pong on a slow line, but only for this many deadlines: the way up may
 * be dead while the way down works.
 */
const PONG_PATIENCE = 6;
/** A timer that fires this late means that this side slept. The pong may wait to be read. */
const SLEPT_MS = 2_000;
/**
 * With close code 1000, right after an `end` frame. A proxy may close an idle connection with 1000
 * too.
 */
const ENDED_REASON = 'ended';

export interface LinkEvents {
  /** The hello comes first, and once. `chars` is the length of the text. */
  frame(frame: StreamFrame, chars: number): void;
  /**
   * `lastEnd`: the coordinator has sent everything that this credential may read. Called once;
   * release the link then.
   */
  lost(end: SocketEnd, lastEnd: StreamEnd | null): void;
}

export class StreamLink {
  readonly #settings: StreamSettings;
  readonly #events: LinkEvents;
  #socket: StreamSocket | null = null;
  #released = false;
  #greeted = false;
  /** The newest frame, if it was an `end`. */
  #end: StreamEnd | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #lastMessageAt = monotonicNow();
  #probing = false;

  constructor(settings: StreamSettings, events: LinkEvents) {
    this.#settings = settings;
    this.#events = events;
  }

  /**
   * To be called once. With an API key the socket exists before this returns. `address` is called
   * when the socket is made.
   */
  async open(address: () => string): Promise<void> {
    const { connectMs } = this.#settings.timings;
    this.#setTimer(() => this.#fail(`no hello within ${connectMs / 1000} s`), connectMs);
    const { getTicket, apiKey } = this.#settings.options;
    const protocols = [STREAM_SUBPROTOCOL];
    const headers: Record<string, string> = {};
    if (getTicket) {
      try {
        protocols.push(TICKET_SUBPROTOCOL_PREFIX + (await getTicket()));
      } catch (error) {
        this.#lost(endOfTicketError(error));
        return;
      }
    } else {
      headers.authorization = `Bearer ${apiKey}`;
    }
    if (this.#released) return; // R3

    try {
      const socket = this.#settings.connectSocket(
        { url: address(), protocols, headers },
        {
          open: () => {
            if (this.#released) this.#socket?.close(CLOSE.done, 'late'); // R3
          },
          message: (text) => {
            if (!this.#released) this.#onMessage(text);
          },
          close: (end) => this.#lost(end),
        },
      );
      this.#socket = socket;
      if (this.#released) socket.close(CLOSE.done, 'late');
    } catch (error) {
      this.#fail(messageOf(error));
    }
  }

  ack(offset: number): void {
    this.#send(encodeStreamFrame({ type: 'ack', offset }));
  }

  /** Replaces a dead connection soon: it has to answer within the short deadline. */
  probe(): void {
    if (!this.#probing) this.#ping(this.#settings.timings.probeMs);
    this.#probing = true; // H3
  }

  /** Milliseconds since the last message, or since the attempt began. */
  get quietMs(): number {
    return monotonicNow() - this.#lastMessageAt;
  }

  /** Stops the timer and closes the socket. May be called more than once. */
  release(reason: string): void {
    this.#released = true;
    this.#stopTimer();
    try {
      this.#socket?.close(CLOSE.done, reason);
    } catch {
      // Already closed.
    }
  }

  #onMessage(text: string): void {
    this.#lastMessageAt = monotonicNow();
    if (text === PONG) {
      if (this.#greeted) this.#rest();
      return;
    }
    const frame = parseStreamFrame(text);
    if (!frame && isDamaged(text)) return this.#fail('a frame cannot be read');
    if (!frame || (frame.type === 'hello') === this.#greeted) return;
    this.#end = frame.type === 'end' ? frame : null;
    if (frame.type === 'hello') {
      this.#greeted = true;
      this.#rest();
    }
    this.#events.frame(frame, text.length);
  }

  #fail(reason: string): void {
    this.#lost({ code: 1006, reason });
  }

  #lost(end: SocketEnd): void {
    if (this.#released) return;
    const isLast = end.code === CLOSE.done && end.reason === ENDED_REASON;
    this.#events.lost(end, isLast ? this.#end : null);
  }

  #send(text: string): void {
    try {
      this.#socket?.send(text);
    } catch {
      // The socket is closing. Its close event or the missing pong follows.
    }
  }

  // ── heartbeat ────────────────────────────────────────────────────────────────────────────────

  #rest(): void {
    this.#probing = false;
    this.#setTimer(() => this.#ping(this.#settings.timings.pongMs), this.#settings.timings.pingMs);
  }

  #ping(pongMs: number): void {
    this.#send(PING);
    this.#awaitPong(monotonicNow(), pongMs, pongMs);
  }

  #awaitPong(pingedAt: number, delayMs: number, pongMs: number): void {
    const dueAt = monotonicNow() + delayMs;
    this.#setTimer(() => {
      const now = monotonicNow();
      const quietMs = now - this.#lastMessageAt;
      if (now - dueAt > SLEPT_MS) {
        this.#ping(pongMs); // H2
      } else if (quietMs < pongMs && now - pingedAt < pongMs * PONG_PATIENCE) {
        this.#awaitPong(pingedAt, pongMs - quietMs, pongMs);
      } else {
        this.#fail('the connection is silent');
      }
    }, delayMs);
  }

  /** H1. */
  #setTimer(task: () => void, delayMs: number): void {
    this.#stopTimer();
    this.#timer = setTimeout(task, delayMs);
  }

  #stopTimer(): void {
    if (this.#timer) clearTimeout(this.#timer);
  }
}

/**
 * Whether text that is no frame was one of ours. A filtered stream has holes in its offsets, so
 * only a new connection brings what such a frame held. Types of a later version are skipped.
 */
const isDamaged = (text: string): boolean => /^\{"type":"(hello|events|caught_up|end)"/.test(text);

/**
 * An error of `getTicket` is a refusal only with `retryable: false`. There is no other credential
 * to try, so a 401 is treated like a 404.
 */
function endOfTicketError(error: unknown): SocketEnd {
  const { retryable, code, status } = (error ?? {}) as { retryable?: unknown; code?: unknown; status?: unknown };
  const end: SocketEnd = { code: 1006, reason: `no ticket: ${messageOf(error)}` };
  if (retryable === false) {
    const mayPass = status === 401 || status === 404;
    end.refusal = { status: mayPass ? 404 : 0, retryAfter: null, code: String(code ?? 'unauthorized'), retryable };
  }
  return end;
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
