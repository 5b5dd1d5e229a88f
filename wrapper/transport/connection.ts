/**
 * The ingest connection: one WebSocket at a time, opened again and again until someone decides otherwise.
 *
 * Owns: the socket, its generation, the watchdog, the heartbeat, the wait before the next attempt, the attempt count.
 * Does not own: what is sent (sender, delivery), how long it is worth going on (budgets), whether a refusal is final for anyone else.
 *
 *            open()                    open + hello                 welcome
 *     idle ─────────► dialing ────────────────────► greeting ─────────────────► up
 *                       ▲  │ error, refusal, watchdog  │ close, watchdog          │ close, silence, restart()
 *          delay over   │  ▼                           ▼                          ▼
 *                      waiting ◄──────────────────────┴──────────────────────────┘   (the table says retry)
 *                       │
 *                       └──► ended: the table says stop, or close() was called. Never left again.
 *     Between a loss and what follows from it lies `aside`, when someone else (transport-switch) tries another way first.
 *
 *   CN1  At most one socket is installed. Each attempt has a generation number, and a callback of an older one does nothing.
 *   CN2  Detach first, close second: no event of a socket that was given up reaches anybody.
 *   CN3  close() ends it for good: no timer, no attempt afterwards.
 *   CN4  The watchdog covers upgrade and welcome together: a peer that accepts and says nothing is not a connection.
 *   CN5  The attempt count is reset by the first ack, or by the first pong after a welcome. Neither `open` nor the welcome alone do:
 *        a coordinator that welcomes and then falls over each time would be called without any pause.
 *   CN6  Whose word counts, and what follows, is decided by the table in protocol/next-step.ts and by loss.ts alone.
 *   CN7  A slow connection is not a dead one. Whatever arrives is as good as a pong, and while events are sent an ack arrives for each
 *        frame. A pong comes behind the answers to what was in flight before its ping, so it has as much more time as those bytes need
 *        (line-rate), up to the silence after which the coordinator gives up. For a line that is slower still, each connection that
 *        ended by a missing pong makes the next one more patient, and each pong less.
 */

import type { IncomingMessage } from 'node:http';
import { type RawData, WebSocket } from 'ws';
import { agentFor } from '../../egress/proxy-agent.ts';
import { noticeUntrusted } from '../../egress/system-ca.ts';
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
import { Attempts, type ConnectionEnd, describe, isQueued, type Loss, lossOfAnswer, wordOf } from './connection-loss.ts';
import { type Transport, type TransportOptions, withDelay } from './transport.ts';

export interface ConnectionOptions extends TransportOptions {
  /** ws(s) URL. */
  url: string;
  /**
   * Asked when an attempt ended without a welcome. True: the caller has another idea; nothing more is done until `goOn`. The good end (4000)
   * is never asked about.
   */
  detour?: (loss: Loss) => boolean;
}

type Phase =
  | { kind: 'idle' }
  | { kind: 'dialing' | 'greeting'; socket: WebSocket; watchdog: NodeJS.Timeout }
  | { kind: 'up'; socket: WebSocket; heartbeat: Heartbeat }
  | { kind: 'waiting'; timer: NodeJS.Timeout }
  | { kind: 'aside' }
  | { kind: 'ended' };

/** A problem document is short; more of a refusal's body is not worth waiting for. */
export const REFUSAL_BODY_BYTES_MAX = 4096;
const REFUSAL_BODY_WAIT_MS = 1000;
/** Four times the 10 s still leave a quarter of the default grace for the reconnect. */
const PATIENCE_MAX = 4;
/** After a close frame of the other side: it has nothing more to say, so its end of the TCP connection is not waited for long. */
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
    // A failure of the write is followed by the close of the socket; nothing is to be done here.
    this.#phase.socket.send(frame, { binary: false }, () => {});
    return true;
  }

  restart(why: string): void {
    if (this.#phase.kind === 'up') this.#lost({ kind: 'transport', message: why });
  }

  proven(): void {
    this.#attempts.proven(this.#now()); // CN5
  }

  /** Nothing changes: it waits for the ack of the last event like for any other. */
  lastFlush(): void {}

  /** After a detour: go on as if this had been the loss. */
  goOn(loss: Loss): void {
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
      // A token that no header can carry, or an invalid URL of the coordinator or a proxy. Only after a first welcome is a retry worth it.
      const why = (error as Error).message;
      if (!this.#attempts.everWelcomed) return this.#end({ kind: 'refused', why });
      credential.refresh();
      this.#lost({ kind: 'transport', message: why });
      return;
    }
    const watchdog = setTimeout(() => {
      if (!current()) return;
      this.#lost({ kind: 'transport', message: `no welcome within ${times.connectWatchdogMs} ms`, sign: 'silence' }); // CN4
    }, times.connectWatchdogMs);
    this.#phase = { kind: 'dialing', socket, watchdog };

    // All listeners are there before anything can arrive: a peer may answer in the same packet as the upgrade.
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
      readRefusal(response, (loss) => {
        request.destroy();
        if (current()) this.#lost(loss);
      });
    });
    // After an error that ends an open socket 'close' follows with a better description, so only a dialing one is lost here.
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (!current() || this.#phase.kind !== 'dialing') return;
      const cut = error.code === 'ECONNRESET' || error.code === 'EPIPE';
      noticeUntrusted(error);
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
        this.proven();
      }
      return;
    }
    const parsed = parseCoordinatorFrame(text);
    if (!parsed.ok) {
      // A newer coordinator may say things that we do not know (ING10). If it was an ack, the stall check brings it back.
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
    // A close frame belongs to the answer of a POST; a socket is closed by closing it.
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

  /** The one way from a lost attempt or connection to what comes next (CN6). */
  #lost(loss: Loss): void {
    const wasUp = this.#phase.kind === 'up';
    this.#detach({ kind: 'aside' })?.terminate();
    if (!wasUp && wordOf(loss) !== 'settled' && this.#options.detour?.(loss)) return;
    this.#follow(loss, wasUp);
  }

  #follow(loss: Loss, wasUp: boolean): void {
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

  /** Takes the socket out of service before anything is done with it (CN2), and hands it over. */
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
    socket.on('error', () => {}); // Giving up an unfinished handshake is reported as an error.
    return socket;
  }
}

/**
 * Tells a dead connection from a quiet one. A half-open TCP connection gives no error for many minutes; only an answer proves the peer.
 */
class Heartbeat {
  readonly #socket: WebSocket;
  /** Of a ping that is sent now. */
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

  /** Anything that arrives is as good as a pong (CN7). */
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

/** Status, Retry-After and what a problem document says, from the answer to a refused upgrade. */
function readRefusal(response: IncomingMessage, done: (loss: Loss) => void): void {
  const { statusCode = 0, headers } = response;
  const retryAfter = retryAfterMs(headers['retry-after'], Date.now());
  let body = '';
  let finished = false;
  const finish = () => {
    if (finished) return;
    finished = true;
    clearTimeout(timer);
    done(lossOfAnswer(statusCode, headers['content-type'] ?? null, body, retryAfter));
  };
  const timer = setTimeout(finish, REFUSAL_BODY_WAIT_MS);
  response.setEncoding('utf8');
  response.on('data', (text: string) => {
    body += text;
    if (body.length > REFUSAL_BODY_BYTES_MAX) finish();
  });
  response.on('end', finish);
  response.on('error', finish);
  response.on('close', finish);
}
