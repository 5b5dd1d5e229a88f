/**
 * What a session stream is given and what it tells: options, timings, states, controls, the failure. All of it is public, nothing runs.
 */

import type { TerminalStatus } from '../../protocol/index.ts';
import type { PageLifecycle } from './page-lifecycle.ts';
import type { ConnectSocket, WebSocketConstructor } from './socket.ts';

export interface StreamTimings {
  /** From the start of an attempt, ticket included, to its hello. Half-open handshakes would hang for ever. */
  connectMs: number;
  pingMs: number;
  /** No pong and nothing else for this long after a ping: the connection is dead. */
  pongMs: number;
  /** The same for a page that came back, whose connection is more likely dead and whose reader is waiting. */
  probeMs: number;
  /** A connection that heard nothing for so long may have died while its page slept. Above `pingMs`, so that a sound one is heard of before. */
  staleMs: number;
  retryBaseMs: number;
  retryCapMs: number;
  /** A connection that lived this long after its hello counts as sound, whatever became of it. */
  soundMs: number;
  /** How long a stream that was greeted once goes on against `unauthorized` and `not_found`. Covers a restart with another key or folder. */
  refusedMs: number;
}

export const STREAM_TIMINGS: Readonly<StreamTimings> = {
  connectMs: 20_000,
  pingMs: 15_000,
  pongMs: 8_000,
  probeMs: 5_000,
  staleMs: 20_000,
  retryBaseMs: 500,
  retryCapMs: 8_000,
  soundMs: 5_000,
  refusedMs: 10_000,
};

export type StreamState =
  | { status: 'connecting'; attempt: number }
  | { status: 'replaying' }
  | { status: 'live' }
  | { status: 'reconnecting'; attempt: number; retryInMs: number; code: number; reason: string }
  | { status: 'refreshing-credential' }
  /** The page is hidden and there is no connection: nothing is tried until it is visible again, or `reconnect()`. */
  | { status: 'paused'; reason: string }
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
  /** The log that `after` belongs to: `hello.generation` of the stream that it is from. Another log fails with `log_replaced`. */
  generation?: string | undefined;
  /** With one or more executions the stream ends when all of them have. */
  execution?: string | readonly string[];
  types?: readonly string[];
  signal?: AbortSignal;
  /** The coordinator waits for a consumer that is slow. With `false` it closes with 4413 instead, and the stream resumes. Default true. */
  flow?: boolean;
  WebSocketImpl?: WebSocketConstructor;
  connect?: ConnectSocket;
  /** Default: the page this runs in, if any. `null`: none, so a hidden page goes on trying. */
  pageLifecycle?: PageLifecycle | null;
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
  /** `offset_expired`, `offset_ahead`, `log_replaced`, `unauthorized`, `not_found`, `unreachable`, `gap`, a problem code, or `closed_<code>`. */
  readonly code: string;
  readonly reason: string;
  constructor(code: string, reason: string) {
    super(`the stream failed: ${reason} (${code})`);
    this.code = code;
    this.reason = reason;
  }
}
