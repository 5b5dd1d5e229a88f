/**
 * The ingest connection: one WebSocket at a time, reconnected until it is closed or refused for
 * good.
 *
 * Owns: the socket, its generation, the watchdog, the heartbeat, the wait before the next attempt,
 * the attempt count. Does not own: what is sent (sender, delivery), how long to keep trying
 * (budgets), whether a refusal is final for others.
 *
 *            open()               open + hello                 welcome
 *     idle ─────────► dialing ──────────────────► greeting ──────────────────► up
 *                      ▲  │ error, refusal, watchdog  │ close, watchdog         │ close, silence,
 *          delay over  │  ▼                           ▼                         ▼ restart()
 *                     waiting ◄───────────────────────┴─────────────────────────┘ (table: retry)
 *                      │
 *                      └──► ended: the table says stop, or close() was called. Final.
 *     After a loss, the phase is `aside` while transport-switch tries another transport first.
 *
 *   CN1  At most one socket is installed. Each attempt has a generation number, and a callback of
 *        an older one does nothing.
 *   CN2  Detach first, close second: events of an abandoned socket are ignored.
 *   CN3  close() is final: no timer, no attempt afterwards.
 *   CN4  The watchdog covers upgrade and welcome together: a peer that accepts and stays silent is
 *        not a connection.
 *   CN5  The attempt count is reset by the first ack, or by the first pong after a welcome. Neither
 *        `open` nor the welcome alone reset it: a coordinator that welcomes and then crashes each
 *        time would be called without any pause.
 *   CN6  Whose answer counts, and what follows, is decided by the table in protocol/next-step.ts
 *        and by connection-loss.ts alone.
 *   CN7  A slow connection is not a dead one. Whatever arrives counts as a pong, and while events
 *        are sent an ack arrives for each frame. A pong arrives after the answers to what was in
 *        flight before its ping, so it gets the time that those bytes need (line-rate) in addition,
 *        up to the silence after which the coordinator closes. For an even slower line, each
 *        connection that ended by a missing pong makes the next one more patient, and each pong
 *        less.
 */

import { type RawData, WebSocket } from 'ws';
import { agentFor } from '../../egress/proxy-agent.ts';
import { readRefusalBody } from '../../egress/read-body.ts';
import { trustSystemIfUntrusted } from '../../egress/system-ca.ts';
import {
  CLOSE,
  COORDINATOR_FRAME_BYTES_MAX,
  describeConnectionFailure,
  encodeFrame,
  INGEST_SUBPROTOCOL,
  monotonicNow,
  PING,
  PONG,
  parseCoordinatorFrame,
  retryAfterMs,
  type WelcomeFrame,
} from '../../protocol/index.ts';
import { Attempts, type ConnectionEnd, type ConnectionLoss, describe, isQueued, lossOfAnswer, wordOf } from './connection-loss.ts';
import { type Transport, type TransportOptions, withDelay } from './transport.ts';

export interface ConnectionOptions extends TransportOptions {
  /** ws(s) URL. */
  url: string;
  /**
   * Called when an attempt ended without a welcome. True: the caller tries another transport;
   * nothing more is done until `resumeAfter`. Not called for the regular end (4000).
   */
  tryAlternative?: (loss: ConnectionLoss) => boolean;
}

type Phase =
  | { kind: 'idle' }
  | { kind: 'dialing' | 'greeting'; socket: WebSocket; watchdog: NodeJS.Timeout }
  | { kind: 'up'; socket: WebSocket; heartbeat: Heartbeat }
  | { kind: 'waiting'; timer: NodeJS.Timeout }
  | { kind: 'aside' }
  | { kind: 'ended' };

/** Four times the 10 s still leave a quarter of the default grace for the reconnect. */
const PATIENCE_MAX = 4;
/**
 * After a close frame of the other side: it sends nothing more, so its end of the TCP connection is
 * not waited for long.
 */
const CLOSE_TIMEOUT_MS = 2000;

export class Connection implements Transport {
  readonly #options: ConnectionOptions;
  readonly #now: () => number;
  readonly #attempts: Attempts;
  #phase: Phase = { kind: 'idle' };
  #generation = 0;
  /** When the newest attempt began. */
  #beganAt = 0;
  /** Factor of the wait for a pong: 1, 2, 4 (CN7). */
  #patience = 1;

  constructor(options: ConnectionOptions) {
    this.#options = options;
    this.#now = options.now ?? monotonicNow;
    this.#attempts = options.attempts ?? new Attempts(options.credential, options.times, options.random);
  }

  get up(): boolean {
    return this.#phase.kind === 'up';
  }

  open(): void {
    if (this.#phase.kind === 'idle') this.#dial();
  }

  send(frame: string | Buffer): boolean {
    if (this.#phase.kind !== 'up') return false;
    // A failed write is followed by the close of the socket; nothing to do here.
    this.#phase.socket.send(frame, { binary: false }, () => {});
    return true;
  }

  restart(why: string): void {
    if (this.#phase.kind === 'up') this.#lost({ kind: 'transport', message: why });
  }

  markHealthy(): void {
    this.#attempts.markHealthy(this.#now()); // CN5
  }

  /** Nothing changes: it waits for the ack of the last event like for any other. */
  lastFlush(): void {}

  /** After another transport was tried: continue as if this had been the loss. */
  resumeAfter(loss: ConnectionLoss): void {
    if (this.#phase.kind === 'aside') this.#follow(loss, false);
  }

  async close(): Promise<void> {
    const socket = this.#detach({ kind: 'ended' }); // CN3
    if (!socket) return;
    if (socket.readyState !== WebSocket.OPEN) return socket.terminate();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, 1000);
      socket.on('close', () => {
        clearTimeout(timer);
        resolve();
      });
      socket.close(CLOSE.done, 'done');
    });
    socket.terminate();
  }

  #dial(): void {
    const { url, credential, times, log, handlers } = this.#options;
    const generation = ++this.#generation;
    this.#beganAt = this.#now();
    const current = (): boolean => generation === this.#generation; // CN1
    log.fact('dialing', { attempt: this.#attempts.count, generation });

    let socket: WebSocket;
    try {
      socket = new WebSocket(url, [INGEST_SUBPROTOCOL], {
        headers: { authorization: `Bearer ${credential.current()}` },
        perMessageDeflate: false,
        maxPayload: COORDINATOR_FRAME_BYTES_MAX,
        closeTimeout: CLOSE_TIMEOUT_MS,
        agent: agentFor(url),
      } as ConstructorParameters<typeof WebSocket>[2]);
    } catch (error) {
      // A token that no header can carry, or an invalid URL of the coordinator or a proxy. Retry
      // only after a first welcome.
      const why = (error as Error).message;
      if (!this.#attempts.everWelcomed) return this.#end({ kind: 'refused', why });
      credential.refresh();
      this.#lost({ kind: 'transport', message: why });
      return;
    }
    const watchdog = setTimeout(() => {
      if (!current()) return;
      // CN4
      this.#lost({ kind: 'transport', message: `no welcome within ${times.connectWatchdogMs} ms`, sign: 'silence' });
    }, times.connectWatchdogMs);
    this.#phase = { kind: 'dialing', socket, watchdog };

    // All listeners are attached before anything can arrive: a peer may answer in the same packet
    // as the upgrade.
    socket.on('open', () => {
      if (!current()) return;
      this.#phase = { kind: 'greeting', socket, watchdog };
      socket.send(encodeFrame(handlers.hello()));
    });
    socket.on('message', (data: RawData, binary: boolean) => {
      if (current()) this.#received(data, binary);
    });
    socket.on('close', (code, reason) => {
      if (current()) this.#lost({ kind: 'closed', code, reason: reason.toString() });
    });
    socket.on('unexpected-response', (request, response) => {
      const { statusCode = 0, headers } = response;
      const retryAfter = retryAfterMs(headers['retry-after'], Date.now());
      void readRefusalBody(response).then((body) => {
        request.destroy();
        if (current()) this.#lost(lossOfAnswer(statusCode, headers['content-type'] ?? null, body, retryAfter));
      });
    });
    // After an error on an open socket, 'close' follows with a better description, so only a
    // dialing one is lost here.
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (!current() || this.#phase.kind !== 'dialing') return;
      const cut = error.code === 'ECONNRESET' || error.code === 'EPIPE';
      trustSystemIfUntrusted(error);
      this.#lost({ kind: 'transport', message: describeConnectionFailure(error), ...(cut ? { sign: 'cut' } : {}) });
    });
  }

  #received(data: RawData, binary: boolean): void {
    const phase = this.#phase;
    if (phase.kind !== 'greeting' && phase.kind !== 'up') return;
    if (phase.kind === 'up') phase.heartbeat.heard();
    const text = binary ? '' : data.toString();
    if (text === PONG) {
      if (phase.kind === 'up') {
        this.#patience = Math.max(1, this.#patience / 2);
        this.markHealthy();
      }
      return;
    }
    const parsed = parseCoordinatorFrame(text);
    if (!parsed.ok) {
      // A newer coordinator may send frames that are unknown here (ING10). If it was an ack, the
      // stall check recovers.
      this.#options.log.fact('frame_ignored', { code: parsed.code, detail: parsed.detail });
      return;
    }
    const { frame } = parsed;
    if (frame.type === 'welcome') {
      if (phase.kind !== 'greeting') return;
      const why = this.#options.handlers.refusalOf?.(frame) ?? null;
      if (why === null) this.#welcomed(phase.socket, phase.watchdog, frame);
      else this.#lost({ kind: 'unfit_welcome', why });
      return;
    }
    // A close frame belongs to the answer of a POST; a WebSocket is closed by closing it.
    if (phase.kind === 'up' && frame.type !== 'close') this.#options.handlers.frame(frame);
  }

  #welcomed(socket: WebSocket, watchdog: NodeJS.Timeout, frame: WelcomeFrame): void {
    clearTimeout(watchdog);
    this.#attempts.welcomed(frame.policy, this.#now());
    const { heartbeatMs, silenceTimeoutMs } = frame.policy;
    const leastMs = this.#options.times.pongWaitMs * this.#patience;
    const pongWaitMs = () => withDelay(leastMs, this.#options.handlers.answerDelayMs?.() ?? 0, silenceTimeoutMs);
    const heartbeat = new Heartbeat(socket, heartbeatMs, pongWaitMs, (why) => {
      this.#patience = Math.min(PATIENCE_MAX, this.#patience * 2);
      this.restart(why);
    });
    this.#phase = { kind: 'up', socket, heartbeat };
    this.#options.log.fact('welcome', { epoch: frame.epoch, ackedSeq: frame.ackedSeq, commands: frame.commands.length });
    this.#options.handlers.welcome(frame);
  }

  /** Every lost attempt or connection passes here (CN6). */
  #lost(loss: ConnectionLoss): void {
    const wasUp = this.#phase.kind === 'up';
    this.#detach({ kind: 'aside' })?.terminate();
    if (!wasUp && wordOf(loss) !== 'settled' && this.#options.tryAlternative?.(loss)) return;
    this.#follow(loss, wasUp);
  }

  #follow(loss: ConnectionLoss, wasUp: boolean): void {
    const { log, handlers } = this.#options;
    const why = describe(loss);
    log.fact('lost', { why, wasUp });
    const beganAt = this.#beganAt;
    const next = this.#attempts.after(loss, { beganAt, now: this.#now() });
    switch (next.kind) {
      case 'ended':
        this.#end(next.end);
        return;
      case 'retry':
        log.fact('retry', { attempt: next.attempt, delayMs: next.delayMs });
        this.#phase = { kind: 'waiting', timer: setTimeout(() => this.#dial(), next.delayMs) };
        if (next.askedToWait) handlers.askedToWait?.(why);
        if (wasUp) handlers.down(why);
        handlers.failed?.({ kind: wasUp ? 'lost' : isQueued(loss) ? 'queued' : 'failed', why, beganAt });
        return;
      default:
        next satisfies never;
    }
  }

  #end(end: ConnectionEnd): void {
    this.#phase = { kind: 'ended' };
    this.#options.handlers.ended(end);
  }

  /** Takes the socket out of service before anything is done with it (CN2), and returns it. */
  #detach(next: Phase): WebSocket | null {
    const phase = this.#phase;
    this.#phase = next;
    this.#generation += 1;
    switch (phase.kind) {
      case 'idle':
      case 'aside':
      case 'ended':
        return null;
      case 'waiting':
        clearTimeout(phase.timer);
        return null;
      case 'dialing':
      case 'greeting':
        clearTimeout(phase.watchdog);
        break;
      case 'up':
        phase.heartbeat.stop();
        break;
      default:
        phase satisfies never;
    }
    const { socket } = phase;
    socket.removeAllListeners();
    socket.on('error', () => {}); // Aborting an unfinished handshake is reported as an error.
    return socket;
  }
}

/**
 * Distinguishes a dead connection from a quiet one. A half-open TCP connection gives no error for
 * many minutes; only an answer proves the peer.
 */
class Heartbeat {
  readonly #socket: WebSocket;
  /** For a ping that is sent now. */
  readonly #pongWaitMs: () => number;
  readonly #dead: (why: string) => void;
  readonly #interval: NodeJS.Timeout;
  #deadline: NodeJS.Timeout | null = null;

  constructor(socket: WebSocket, everyMs: number, pongWaitMs: () => number, dead: (why: string) => void) {
    this.#socket = socket;
    this.#pongWaitMs = pongWaitMs;
    this.#dead = dead;
    this.#interval = setInterval(() => this.#beat(), everyMs);
  }

  /** Anything that arrives counts as a pong (CN7). */
  heard(): void {
    if (this.#deadline) clearTimeout(this.#deadline);
    this.#deadline = null;
  }

  stop(): void {
    clearInterval(this.#interval);
    this.heard();
  }

  #beat(): void {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    this.#socket.send(PING, () => {});
    if (this.#deadline) return;
    const waitMs = this.#pongWaitMs();
    this.#deadline = setTimeout(() => this.#dead(`no pong within ${waitMs} ms`), waitMs);
  }
}
