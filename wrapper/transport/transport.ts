/**
 * The port from delivery to the coordinator: frames go in, frames come out, and it is open or not.
 * Three implementations: a WebSocket (connection), a series of POSTs (post-transport), and a switch
 * between the two (transport-switch).
 *
 *   TR1  `send` never waits and never keeps a frame for later: what was unacked when a transport
 *        went down is sent again by the sender after the next welcome.
 *   TR2  After `close()` or `ended` no handler is called.
 */

import type { CloseFrame, CoordinatorFrame, HelloFrame, WelcomeFrame } from '../../protocol/index.ts';
import type { Log } from '../log.ts';
import type { WrapperTimes } from '../times.ts';
import type { Attempts, ConnectionEnd } from './connection-loss.ts';
import type { Credential } from './credential.ts';

export interface Transport {
  /** There was a welcome, and no loss since. */
  readonly up: boolean;
  open(): void;
  /**
   * Gives a frame to the network. False when not up; it is then sent again after the next welcome.
   */
  send(frame: string | Buffer): boolean;
  /**
   * The connection is unusable (a protocol fault, a stall): reconnect, after a wait as after any
   * other loss.
   */
  restart(why: string): void;
  /** An ack proves that the other side works. */
  markHealthy(): void;
  /** From now on only the rest has to be delivered. */
  lastFlush(): void;
  /**
   * Closes politely; resolves when the other side has seen it or after a moment. No attempt
   * afterwards.
   */
  close(): Promise<void>;
}

/**
 * `lost`: it was up. `queued`: the coordinator answered, and the execution waits behind another.
 * `beganAt` is of the monotonic clock.
 */
export interface FailedAttempt {
  kind: 'lost' | 'queued' | 'failed';
  why: string;
  beganAt: number;
}

export interface ConnectionHandlers {
  hello(): HelloFrame;
  /**
   * Called before a welcome is accepted: why it cannot be. It is then a refusal (LO4), and has no
   * other effect.
   */
  refusalOf?(frame: WelcomeFrame): string | null;
  welcome(frame: WelcomeFrame): void;
  /** Frames after the welcome. */
  frame(frame: Exclude<CoordinatorFrame, WelcomeFrame | CloseFrame>): void;
  /** The installed connection is lost; the next attempt is scheduled. Only after a welcome. */
  down(why: string): void;
  /** An attempt failed, or a connection was lost; another attempt is scheduled. */
  failed?(failure: FailedAttempt): void;
  /** How long the events in flight may delay the answer to what is sent now. Zero by default. */
  answerDelayMs?(): number;
  /** The coordinator itself asked to retry later (queued, overloaded): it is reachable. */
  askedToWait?(why: string): void;
  ended(end: ConnectionEnd): void;
}

export interface TransportOptions {
  /** http(s) or ws(s) URL. */
  url: string;
  credential: Credential;
  handlers: ConnectionHandlers;
  times: WrapperTimes;
  log: Log;
  /** Failure state that all transports of a run share. Default: one of its own. */
  attempts?: Attempts;
  /** The monotonic clock. */
  now?: () => number;
  random?: () => number;
}

/**
 * A wait extended by the delay, but by the delay at most to the coordinator's own silence timeout.
 */
export const withDelay = (waitMs: number, delayMs: number, silenceTimeoutMs: number): number =>
  Math.round(Math.max(waitMs, Math.min(waitMs + delayMs, silenceTimeoutMs)));

const withScheme = (url: string, from: RegExp, to: string): string => {
  const parsed = new URL(url);
  parsed.hash = '';
  parsed.protocol = parsed.protocol.replace(from, to);
  return parsed.href;
};

export const websocketUrl = (url: string): string => withScheme(url, /^http/, 'ws');
export const httpUrl = (url: string): string => withScheme(url, /^ws/, 'http');
