/**
 * Whether a connection that says nothing still lives.
 *
 * Owns one timer and the time of the last message. Does not own the connection: it asks for a ping, and reports silence once.
 *
 *   resting ──pingMs, or probe()──▶ waiting for a pong ──pong──▶ resting
 *                                   │  ▲      │
 *                                   └──┘      └──▶ silent
 *                        slept, or other traffic
 *
 * H1  At most one timer: whatever sets one clears the one before, and a pong is what replaces the timer that would report silence.
 * H2  A timer that fires late proves nothing about the other side; it is asked again.
 * H3  Probes that come together are one, or each would put off the verdict of the one before.
 */

import { monotonicNow } from '../../protocol/index.ts';
import type { StreamTimings } from './stream-types.ts';

/** Other traffic may hold up a pong on a slow line, but not for ever: the way up may be dead while the way down works. */
const PONG_PATIENCE = 6;
/** A timer that fires this late means that this side slept; the pong may be waiting to be read. */
const SLEPT_MS = 2_000;

export interface HeartbeatPort {
  sendPing(): void;
  onSilent(): void;
}

/** What an unanswered ping means at `now`. */
export function judgeSilence(
  { now, dueAt, pingedAt, lastMessageAt }: { now: number; dueAt: number; pingedAt: number; lastMessageAt: number },
  pongMs: number,
): { kind: 'slept' } | { kind: 'busy'; waitMs: number } | { kind: 'silent' } {
  if (now - dueAt > SLEPT_MS) return { kind: 'slept' };
  const quietMs = now - lastMessageAt;
  if (quietMs < pongMs && now - pingedAt < pongMs * PONG_PATIENCE) return { kind: 'busy', waitMs: pongMs - quietMs };
  return { kind: 'silent' };
}

export class Heartbeat {
  readonly #port: HeartbeatPort;
  readonly #timings: Readonly<StreamTimings>;
  #timer: ReturnType<typeof setTimeout> | null = null;
  #lastMessageAt = monotonicNow();
  #probing = false;

  constructor(port: HeartbeatPort, timings: Readonly<StreamTimings>) {
    this.#port = port;
    this.#timings = timings;
  }

  /** Any message, pong or not. */
  heard(): void {
    this.#lastMessageAt = monotonicNow();
  }

  /** After the hello and after every pong: the next ping is a while off. */
  rest(): void {
    this.#probing = false;
    this.#set(() => this.ping(), this.#timings.pingMs);
  }

  ping(): void {
    this.#ask(this.#timings.pongMs);
  }

  /** With the short deadline. Asked again before the answer, it does not ask again (H3). */
  probe(): void {
    if (!this.#probing) this.#ask(this.#timings.probeMs);
    this.#probing = true;
  }

  get quietMs(): number {
    return monotonicNow() - this.#lastMessageAt;
  }

  stop(): void {
    if (this.#timer) clearTimeout(this.#timer);
  }

  #ask(pongMs: number): void {
    this.#port.sendPing();
    this.#awaitPong(monotonicNow(), pongMs, pongMs);
  }

  #awaitPong(pingedAt: number, delayMs: number, pongMs: number): void {
    const dueAt = monotonicNow() + delayMs;
    this.#set(() => {
      const verdict = judgeSilence({ now: monotonicNow(), dueAt, pingedAt, lastMessageAt: this.#lastMessageAt }, pongMs);
      switch (verdict.kind) {
        case 'slept':
          this.#ask(pongMs); // H2
          return;
        case 'busy':
          this.#awaitPong(pingedAt, verdict.waitMs, pongMs);
          return;
        case 'silent':
          this.#port.onSilent();
          return;
        default:
          verdict satisfies never;
      }
    }, delayMs);
  }

  /** H1. */
  #set(task: () => void, delayMs: number): void {
    this.stop();
    this.#timer = setTimeout(task, delayMs);
  }
}
