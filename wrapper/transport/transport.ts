/**
 * What delivery knows of the way to the coordinator: frames go in, frames come out, and it is open or it is not. Three things are
 * one: a WebSocket (connection), a row of POSTs (post-transport), and whichever of the two gets through (transport-switch).
 *
 *   TR1  `send` never waits and never keeps anything for later: what was not acked when a transport went down is sent again by the sender
 *        after the next welcome.
 *   TR2  After `close()` or `ended` nothing is called any more.
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
  /** Gives a frame to the network. False when not up; it is then sent again after the next welcome. */
  send(frame: string | Buffer): boolean;
  /** It is of no more use (a protocol fault, a stall): begin anew, after a wait like after any other loss. */
  restart(why: string): void;
  /** An ack is proof that the other side works. */
  proven(): void;
  /** From here on only what is left has to be delivered. */
  lastFlush(): void;
  /** The polite end, resolved when the other side has seen it or after a moment. No attempt afterwards. */
  close(): Promise<void>;
}

/** `lost`: it was up. `queued`: the coordinator answered, and the execution waits behind another. `beganAt` is of the monotonic clock. */
export interface FailedAttempt {
  kind: 'lost' | 'queued' | 'failed';
  why: string;
  beganAt: number;
}

export interface ConnectionHandlers {
  hello(): HelloFrame;
  /** Asked before a welcome counts: why it cannot be taken. Then it is a refusal (LO4), and nothing else follows from it. */
  refusalOf?(frame: WelcomeFrame): string | null;
  welcome(frame: WelcomeFrame): void;
  /** Frames after the welcome. */
  frame(frame: Exclude<CoordinatorFrame, WelcomeFrame | CloseFrame>): void;
  /** An installed connection is gone; the next attempt is on its way. Only after a welcome. */
  down(why: string): void;
  /** An attempt failed, or a connection was lost; another attempt is on its way. */
  failed?(failure: FailedAttempt): void;
  /** How long the events in flight may hold up the answer to what is sent now. Nothing when left out. */
  answerDelayMs?(): number;
  /** The coordinator itself asked to come again later (queued, overloaded): it is there. */
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
  /** What all transports of a run know together of their failures. Left out: one of its own. */
  attempts?: Attempts;
  /** The monotonic clock. */
  now?: () => number;
  random?: () => number;
}

/** A wait that is longer by the delay, but not because of the delay longer than the coordinator waits for a word itself. */
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
