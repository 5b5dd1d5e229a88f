/**
 * One connection attempt, from the ticket to the end of its socket.
 *
 * Owns the socket, the watchdog for the hello, the heartbeat, and what is known of this connection alone. Does not decide what follows
 * its loss (stream-loss), nor what its frames mean.
 *
 * R3  The stream has one link at a time. A callback of any but the newest does nothing; a socket that opens late is closed.
 * R4  One socket per attempt. (That there is no attempt while an earlier one is open is the stream's part.)
 */

import {
  CLOSE,
  monotonicNow,
  PING,
  PONG,
  parseStreamFrame,
  STREAM_SUBPROTOCOL,
  type StreamFrame,
  type StreamHello,
  type TerminalStatus,
  TICKET_SUBPROTOCOL_PREFIX,
} from '../../protocol/index.ts';
import { Heartbeat } from './heartbeat.ts';
import type { ConnectSocket, SocketEnd, StreamSocket } from './socket.ts';
import { messageOf } from './stream-loss.ts';
import type { SessionStreamOptions, StreamTimings } from './stream-types.ts';

/** The stream's side. All but `isNewest` are called for the newest link only (R3). */
export interface LinkOwner {
  isNewest(link: StreamLink): boolean;
  /** `chars` is the length of its text. A hello comes first and once. */
  onFrame(link: StreamLink, frame: StreamFrame, chars: number): void;
  /** `getTicket` threw; nothing was opened. */
  onNoTicket(link: StreamLink, error: unknown): void;
  /** The owner is to release the link, after which nothing of it is heard. */
  onLost(link: StreamLink, end: SocketEnd): void;
}

export class StreamLink {
  readonly beganAt = monotonicNow();
  readonly #owner: LinkOwner;
  readonly #heartbeat: Heartbeat;
  readonly #watchdog: ReturnType<typeof setTimeout>;
  #socket: StreamSocket | null = null;
  #hello: { at: number; frame: StreamHello } | null = null;
  #end: { execution: string; status: TerminalStatus } | null = null;
  /** An event came that had not come before. */
  progressed = false;

  constructor(owner: LinkOwner, timings: Readonly<StreamTimings>) {
    this.#owner = owner;
    this.#heartbeat = new Heartbeat(
      { sendPing: () => this.send(PING), onSilent: () => this.#lost({ code: 1006, reason: 'the connection is silent' }) },
      timings,
    );
    const { connectMs } = timings;
    this.#watchdog = setTimeout(() => this.#lost({ code: 1006, reason: `no hello within ${connectMs / 1000} s` }), connectMs);
  }

  get hello(): { at: number; frame: StreamHello } | null {
    return this.#hello;
  }

  /** The newest frame, if it was an `end`. */
  get end(): { execution: string; status: TerminalStatus } | null {
    return this.#end;
  }

  /** Called once, when the owner takes this link for its newest. With an API key the socket is made before this returns. */
  async open(options: SessionStreamOptions, connectSocket: ConnectSocket, address: () => string): Promise<void> {
    const protocols = [STREAM_SUBPROTOCOL];
    const headers: Record<string, string> = {};
    if (options.getTicket) {
      try {
        protocols.push(TICKET_SUBPROTOCOL_PREFIX + (await options.getTicket()));
      } catch (error) {
        if (!this.#isStale) this.#owner.onNoTicket(this, error);
        return;
      }
    } else {
      headers.authorization = `Bearer ${options.apiKey}`;
    }
    // R3: an attempt that was given up meanwhile opens nothing.
    if (this.#isStale) return;

    try {
      const socket = connectSocket(
        { url: address(), protocols, headers },
        {
          open: () => {
            // R3: a socket that opens after it was given up would be followed by nobody.
            if (this.#isStale) this.#socket?.close(CLOSE.done, 'late');
          },
          message: (text) => {
            if (!this.#isStale) this.#onMessage(text);
          },
          close: (end) => this.#lost(end),
        },
      );
      this.#socket = socket;
      if (this.#isStale) socket.close(CLOSE.done, 'late');
    } catch (error) {
      this.#lost({ code: 1006, reason: messageOf(error) });
    }
  }

  send(text: string): void {
    try {
      this.#socket?.send(text);
    } catch {
      // A socket on its way out. Its close, or the missing pong, says the rest.
    }
  }

  /** Makes a connection prove soon that it lives. */
  probe(): void {
    this.#heartbeat.probe();
  }

  /** Milliseconds since the last message, or since the attempt began. */
  get quietMs(): number {
    return this.#heartbeat.quietMs;
  }

  /** Stops every timer and lets go of the socket. The owner has turned away from this link before (R3). */
  release(code: number, reason: string): void {
    clearTimeout(this.#watchdog);
    this.#heartbeat.stop();
    try {
      this.#socket?.close(code, reason);
    } catch {
      // Already closed.
    }
  }

  get #isStale(): boolean {
    return !this.#owner.isNewest(this);
  }

  #lost(end: SocketEnd): void {
    if (!this.#isStale) this.#owner.onLost(this, end);
  }

  #onMessage(text: string): void {
    this.#heartbeat.heard();
    if (text === PONG) {
      this.#heartbeat.rest();
      return;
    }
    const frame = parseStreamFrame(text);
    // Frames of a later protocol are skipped; the offsets of the next one would show a loss.
    if (!frame) return;
    this.#end = frame.type === 'end' ? frame : null;
    if (frame.type === 'hello') {
      if (this.#hello) return;
      this.#hello = { at: monotonicNow(), frame };
      clearTimeout(this.#watchdog);
      this.#heartbeat.rest();
    }
    this.#owner.onFrame(this, frame, text.length);
  }
}
