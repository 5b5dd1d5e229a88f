/**
 * The connection of a runner to its pool: one WebSocket at a time, dialled again until the runner
 * ends or the pool refuses it for good.
 *
 * Owns: the socket, its generation, the heartbeat, the wait before the next attempt.
 * Does not own: what is answered to a launch (pool-runner), what counts as final for the process.
 *
 *            open()             hello                welcome
 *     idle ────────► dialing ─────────► greeting ───────────────► up
 *                      ▲  │ error, refusal  │ close, watchdog      │ close, silence
 *          delay over  │  ▼                 ▼                      ▼
 *                     waiting ◄─────────────┴──────────────────────┘
 *                      │
 *                      └──► ended: refused for good, or close()
 *
 *   PL1  At most one socket is installed; a callback of an older one does nothing.
 *   PL2  The retries are spread over the whole delay, also the first: thousands of runners lose
 *        their connection in the same moment when an object restarts.
 *   PL3  The delay begins again only when a connection has lasted `STEADY_MS`.
 *   PL4  A pool that is silent for `SILENCE_MS` is gone. Anything that arrives counts.
 *   PL5  A refused key is read again. With another one the next attempt follows as after any loss;
 *        otherwise the caller decides whether to wait for one, at the longest delay.
 */

import { type RawData, WebSocket } from 'ws';
import { agentFor } from '../../egress/proxy-agent.ts';
import { readRefusalBody } from '../../egress/read-body.ts';
import { trustSystemIfUntrusted } from '../../egress/system-ca.ts';
import {
  BackoffController,
  CLOSE,
  describeConnectionFailure,
  describeForeignAnswer,
  monotonicNow,
  PING,
  PONG,
  readProblem,
  retryAfterMs,
} from '../../protocol/index.ts';
import {
  CLONED_REASON,
  encodeRunnerFrame,
  type PoolFrame,
  parsePoolFrame,
  RUNNER_PING_MS,
  RUNNER_SUBPROTOCOL,
  type RunnerFrameInput,
} from '../../protocol/pool.ts';
import type { Credential } from '../../wrapper/transport/credential.ts';

export interface LinkTimes {
  /** Upgrade and welcome together. */
  watchdogMs: number;
  pingMs: number;
  silenceMs: number;
  steadyMs: number;
  retryBaseMs: number;
  retryCapMs: number;
  closeMs: number;
}

export const LINK_TIMES: LinkTimes = {
  watchdogMs: 20_000,
  pingMs: RUNNER_PING_MS,
  silenceMs: 15_000,
  steadyMs: 10_000,
  retryBaseMs: 1000,
  retryCapMs: 30_000,
  closeMs: 5000,
};

/** A launch of the greatest size, and room for what a later version adds. */
const FRAME_BYTES_MAX = 4 * 1024 * 1024;

/** What the pool, or something between, said at the end of a connection. */
export type LinkEnd =
  | { kind: 'retry'; why: string; retryAfterMs: number | null }
  | { kind: 'key_refused'; why: string }
  | { kind: 'refused'; why: string };

export interface LinkHandlers {
  hello(): RunnerFrameInput;
  frame(frame: PoolFrame): void;
  /** After the welcome. */
  up(): void;
  /** A connection that was up is not any more. */
  down(why: string): void;
  /** An attempt or a connection has ended, and the next attempt comes after `delayMs`. */
  waits(why: string, delayMs: number): void;
  /** PL5. True: try again later. False: the link has ended. */
  keyRefused(why: string): boolean;
  /** Final. */
  refused(why: string): void;
}

type State =
  | { kind: 'idle' }
  | { kind: 'dialing' | 'greeting'; socket: WebSocket; watchdog: NodeJS.Timeout }
  | { kind: 'up'; socket: WebSocket; since: number; heardAt: number; heartbeat: NodeJS.Timeout }
  | { kind: 'waiting'; timer: NodeJS.Timeout }
  | { kind: 'ended' };

export class Link {
  readonly #url: string;
  readonly #credential: Credential;
  readonly #handlers: LinkHandlers;
  readonly #times: LinkTimes;
  readonly #backoff: BackoffController;
  #state: State = { kind: 'idle' };
  #generation = 0;

  constructor(url: string, credential: Credential, handlers: LinkHandlers, times: LinkTimes = LINK_TIMES) {
    this.#url = url;
    this.#credential = credential;
    this.#handlers = handlers;
    this.#times = times;
    const { retryBaseMs: baseMs, retryCapMs: capMs } = times;
    this.#backoff = new BackoffController({ baseMs, capMs, maxAttempts: Number.POSITIVE_INFINITY, spread: 'full' }); // PL2
  }

  get up(): boolean {
    return this.#state.kind === 'up';
  }

  get ended(): boolean {
    return this.#state.kind === 'ended';
  }

  open(): void {
    if (this.#state.kind === 'idle') this.#dial();
  }

  /** False without a connection. Sent is not delivered: see `hello.runs`. */
  send(frame: RunnerFrameInput): boolean {
    if (this.#state.kind !== 'up') return false;
    this.#state.socket.send(encodeRunnerFrame(frame), () => {});
    return true;
  }

  /**
   * Ends the link. Resolves with true when the pool has read everything that was sent: it closes
   * its end only after that.
   */
  async close(): Promise<boolean> {
    const wasUp = this.up;
    const socket = this.#detach({ kind: 'ended' });
    if (!socket) return false;
    if (!wasUp || socket.readyState !== WebSocket.OPEN) {
      socket.terminate();
      return false;
    }
    const isRead = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), this.#times.closeMs);
      socket.on('close', (code) => {
        clearTimeout(timer);
        resolve(code === CLOSE.done);
      });
      socket.close(CLOSE.done, 'done');
    });
    socket.terminate();
    return isRead;
  }

  #dial(): void {
    const generation = ++this.#generation;
    const current = (): boolean => generation === this.#generation; // PL1
    let socket: WebSocket;
    try {
      socket = new WebSocket(this.#url, [RUNNER_SUBPROTOCOL], {
        headers: { authorization: `Bearer ${this.#credential.current()}` },
        perMessageDeflate: false,
        maxPayload: FRAME_BYTES_MAX,
        agent: agentFor(this.#url),
      });
    } catch (error) {
      // The address of a proxy cannot be used, or no header can carry the key.
      this.#lost({ kind: 'retry', why: (error as Error).message, retryAfterMs: null });
      return;
    }
    const { watchdogMs } = this.#times;
    const watchdog = setTimeout(() => {
      if (current()) this.#lost({ kind: 'retry', why: `no welcome within ${watchdogMs} ms`, retryAfterMs: null });
    }, watchdogMs);
    this.#state = { kind: 'dialing', socket, watchdog };
    socket.on('open', () => {
      if (!current()) return;
      this.#state = { kind: 'greeting', socket, watchdog };
      socket.send(encodeRunnerFrame(this.#handlers.hello()), () => {});
    });
    socket.on('message', (data: RawData, binary: boolean) => {
      if (current()) this.#received(binary ? '' : data.toString());
    });
    socket.on('close', (code, reason) => {
      if (current()) this.#lost(endOfClose(code, reason.toString()));
    });
    socket.on('unexpected-response', (request, response) => {
      const { statusCode = 0, headers } = response;
      void readRefusalBody(response).then((body) => {
        request.destroy();
        const retryAfter = retryAfterMs(headers['retry-after'], Date.now());
        if (current()) this.#lost(endOfAnswer(statusCode, headers['content-type'] ?? null, body, retryAfter));
      });
    });
    // After an error on an open socket, `close` follows.
    socket.on('error', (error) => {
      if (!current() || this.#state.kind !== 'dialing') return;
      trustSystemIfUntrusted(error);
      this.#lost({ kind: 'retry', why: describeConnectionFailure(error), retryAfterMs: null });
    });
  }

  #received(text: string): void {
    const state = this.#state;
    if (state.kind === 'up') state.heardAt = monotonicNow(); // PL4
    if (text === PONG) return;
    const parsed = parsePoolFrame(text);
    // A later version may send more: skipped (VER1).
    if (!parsed.ok || parsed.frame === null) return;
    const { frame } = parsed;
    if (state.kind === 'greeting' && frame.type === 'welcome') this.#welcomed(state.socket, state.watchdog);
    if (this.#state.kind === 'up') this.#handlers.frame(frame);
  }

  #welcomed(socket: WebSocket, watchdog: NodeJS.Timeout): void {
    clearTimeout(watchdog);
    const now = monotonicNow();
    const heartbeat = setInterval(() => this.#beat(), this.#times.pingMs);
    this.#state = { kind: 'up', socket, since: now, heardAt: now, heartbeat };
    this.#handlers.up();
  }

  #beat(): void {
    const state = this.#state;
    if (state.kind !== 'up') return;
    const now = monotonicNow();
    const silentMs = Math.round(now - state.heardAt);
    if (silentMs >= this.#times.silenceMs) {
      this.#lost({ kind: 'retry', why: `the pool was silent for ${silentMs} ms`, retryAfterMs: null });
      return;
    }
    if (now - state.since >= this.#times.steadyMs) this.#backoff.recordSuccess(); // PL3
    state.socket.send(PING, () => {});
  }

  #lost(end: LinkEnd): void {
    const wasUp = this.up;
    this.#detach({ kind: 'ended' })?.terminate();
    if (wasUp) this.#handlers.down(end.why);
    if (end.kind === 'refused') return this.#handlers.refused(end.why);
    this.#backoff.recordFailure();
    let delayMs = this.#backoff.nextDelayMs(end.kind === 'retry' ? end.retryAfterMs : null);
    if (end.kind === 'key_refused') {
      const refused = this.#credential.current();
      this.#credential.refresh();
      if (this.#credential.current() === refused) {
        if (!this.#handlers.keyRefused(end.why)) return;
        delayMs = this.#times.retryCapMs; // PL5
      }
    }
    this.#state = { kind: 'waiting', timer: setTimeout(() => this.#dial(), delayMs) };
    this.#handlers.waits(end.why, delayMs);
  }

  /** Takes the socket out of service, and returns it. */
  #detach(next: State): WebSocket | null {
    const state = this.#state;
    this.#state = next;
    this.#generation += 1;
    switch (state.kind) {
      case 'idle':
      case 'ended':
        return null;
      case 'waiting':
        clearTimeout(state.timer);
        return null;
      case 'dialing':
      case 'greeting':
        clearTimeout(state.watchdog);
        break;
      case 'up':
        clearInterval(state.heartbeat);
        break;
      default:
        state satisfies never;
    }
    state.socket.removeAllListeners();
    state.socket.on('error', () => {}); // Aborting an unfinished handshake is reported as an error.
    return state.socket;
  }
}

/** What a close of the pool means. Pure. */
export function endOfClose(code: number, reason: string): LinkEnd {
  const why = `closed with ${code}${reason === '' ? '' : ` (${reason})`}`;
  switch (code) {
    case CLOSE.credentialRefused:
      return { kind: 'key_refused', why: `the pool ended the connection: ${reason || 'the key is not valid any more'}` };
    case CLOSE.superseded:
      return { kind: 'refused', why: 'another connection of this runner id took over' };
    case CLOSE.badFrame:
      return { kind: 'refused', why: `the pool did not understand this runner: ${reason}` };
    case CLOSE.claimed:
      return reason === CLONED_REASON
        ? { kind: 'refused', why: 'another process uses the id of this runner' }
        : { kind: 'retry', why, retryAfterMs: null };
    default:
      return { kind: 'retry', why, retryAfterMs: null };
  }
}

/** What an answer to the upgrade means. Only the coordinator's own refusals count. Pure. */
export function endOfAnswer(status: number, contentType: string | null, body: string, retryAfter: number | null): LinkEnd {
  const problem = readProblem(status, contentType, body);
  if (!problem) {
    return { kind: 'retry', why: describeForeignAnswer(status, contentType), retryAfterMs: null };
  }
  const why = `${problem.detail} (${problem.code})`;
  if (status === 401 || status === 403) return { kind: 'key_refused', why };
  if (problem.retryable || status === 426 || status >= 500) return { kind: 'retry', why, retryAfterMs: retryAfter };
  return { kind: 'refused', why };
}
