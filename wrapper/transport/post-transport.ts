/**
 * Ingest by HTTP POST, for networks that block WebSocket (ING18, ING19). Every body is a hello and
 * pending frames; every answer a welcome and pending frames. So a series of posts acts as one
 * connection, and looks like one from outside.
 *
 *            open()        answer with a welcome      frames to send, or a poll is due
 *     idle ─────────► posting ──────────────► resting ──────────────────────► posting …
 *                      │   ▲                              hold() ──► held ── release() ──► posting
 *      no such answer  ▼   │ delay over
 *                     waiting ──► ended: the table says stop, settled, or close() was called
 *
 *   PO1  One post at a time: frames that arrive meanwhile are the next body. The order of frames is
 *        the order of `send`.
 *   PO2  The first post after a loss is a bare hello. Its welcome says where to continue; only then
 *        are events sent again.
 *   PO3  The welcome of a later post is not a new connection: its ackedSeq is an ack, its commands
 *        are commands.
 *   PO4  A body has at most POST_BODY_BYTES_MAX, but always takes one frame. The sender decides how
 *        much of that a line gets: everything in flight is in one body.
 *   PO5  With nothing to send it polls, well within the coordinator's limits of silence and of
 *        unanswered interrupts.
 *   PO6  A post without an answer in time is aborted; its bytes get extra time, as in CN7. The next
 *        one gets more time and, because the sender starts over, a smaller body: a slow line is not
 *        a dead one.
 *   PO7  Each post has a generation number, and results of an older one are ignored.
 */

import { egressFetch } from '../../egress/fetch.ts';
import { REFUSAL_BODY_BYTES_MAX, readBody } from '../../egress/read-body.ts';
import {
  COORDINATOR_FRAME_BYTES_MAX,
  type CoordinatorFrame,
  describeConnectionFailure,
  encodeFrame,
  monotonicNow,
  POLICY_DEFAULTS,
  POST_BODY_BYTES_MAX,
  parseCoordinatorFrame,
  retryAfterMs,
  type WelcomeFrame,
} from '../../protocol/index.ts';
import type { ConnectionEnd } from './connection-loss.ts';
import { Attempts, type ConnectionLoss, describe, isQueued, lossOfAnswer } from './connection-loss.ts';
import { type Transport, type TransportOptions, withDelay } from './transport.ts';

export interface PostTransportOptions extends TransportOptions {
  /** http(s) URL. */
  url: string;
  /** Called when a post failed before any was welcomed. True: nothing more is done here. */
  tryAlternative?: (loss: ConnectionLoss) => boolean;
}

type Phase =
  | { kind: 'idle' }
  | { kind: 'posting'; abort: AbortController }
  | { kind: 'resting' | 'waiting'; timer: NodeJS.Timeout }
  | { kind: 'held' }
  | { kind: 'ended' };

type Answer = { kind: 'frames'; frames: CoordinatorFrame[] } | { kind: 'loss'; loss: ConnectionLoss };

/** A welcome with all its commands is one frame; the acks after it are short. */
const ANSWER_BYTES_MAX = COORDINATOR_FRAME_BYTES_MAX + 64 * 1024;
const PATIENCE_MAX = 4;
const NEWLINE = Buffer.from('\n');

export class PostTransport implements Transport {
  readonly #options: PostTransportOptions;
  readonly #now: () => number;
  readonly #attempts: Attempts;
  #phase: Phase = { kind: 'idle' };
  #generation = 0;
  /** When the newest post began. */
  #beganAt = 0;
  #up = false;
  #everUp = false;
  #queue: Buffer[] = [];
  #pollMs = 0;
  #silenceTimeoutMs = POLICY_DEFAULTS.silenceTimeoutMs;
  #patience = 1;
  /** Resolver that waits for the in-flight POST to finish. */
  #wanted: (() => void) | null = null;

  constructor(options: PostTransportOptions) {
    this.#options = options;
    this.#now = options.now ?? monotonicNow;
    this.#attempts = options.attempts ?? new Attempts(options.credential, options.times, options.random);
  }

  get up(): boolean {
    return this.#up;
  }

  open(): void {
    if (this.#phase.kind === 'idle') this.#post();
  }

  send(frame: string | Buffer): boolean {
    if (!this.#up) return false;
    this.#queue.push(typeof frame === 'string' ? Buffer.from(frame) : frame);
    // After the caller's turn, so that what it sends together is one body.
    if (this.#phase.kind === 'resting') this.#next(0);
    return true;
  }

  restart(why: string): void {
    if (this.#up) this.#lost({ kind: 'transport', message: why });
  }

  markHealthy(): void {
    this.#attempts.markHealthy(this.#now());
  }

  /** Nothing changes: a post is short-lived anyway. */
  lastFlush(): void {}

  async close(): Promise<void> {
    this.#stop({ kind: 'ended' });
    this.#up = false;
    this.#queue = [];
    this.#wanted = null;
  }

  /**
   * Starts no further post until `release`; calls `quiet` when no post is in flight, at once if
   * possible.
   */
  hold(quiet: () => void): void {
    switch (this.#phase.kind) {
      case 'posting':
        this.#wanted = quiet;
        return;
      case 'resting':
      case 'waiting':
        this.#stop({ kind: 'held' });
        quiet();
        return;
      case 'idle':
      case 'held':
      case 'ended':
        return;
      default:
        this.#phase satisfies never;
    }
  }

  release(): void {
    this.#wanted = null;
    if (this.#phase.kind === 'held') this.#post();
  }

  // ── one post ───────────────────────────────────────────────────────────────────────────────────

  #post(): void {
    const { times, handlers, log, credential } = this.#options;
    const generation = ++this.#generation;
    this.#beganAt = this.#now();
    const current = (): boolean => generation === this.#generation; // PO7
    const abort = new AbortController();
    this.#phase = { kind: 'posting', abort };
    let headers: Headers;
    try {
      headers = new Headers({ authorization: `Bearer ${credential.current()}`, 'content-type': 'application/x-ndjson' });
    } catch {
      // The error contains the token, so it is not passed on. Retry only after a first welcome.
      const why = 'the ingest token has characters that no HTTP header can carry';
      if (!this.#attempts.everWelcomed) return this.#end({ kind: 'refused', why });
      credential.refresh();
      this.#lost({ kind: 'transport', message: why });
      return;
    }
    const hello = Buffer.from(encodeFrame(handlers.hello()));
    const body = Buffer.concat([hello, ...this.#takeFrames(hello.length).flatMap((frame) => [NEWLINE, frame])]);
    const delayMs = handlers.answerDelayMs?.() ?? 0;
    const waitMs = withDelay(times.postTimeoutMs * this.#patience, delayMs, this.#silenceTimeoutMs);
    let late = false;
    const watchdog = setTimeout(() => {
      late = true;
      abort.abort();
    }, waitMs);
    log.fact('posting', { generation, bytes: body.length });
    this.#exchange(headers, body, abort.signal)
      .catch((error: Error): Answer => ({ kind: 'loss', loss: { kind: 'transport', message: describeConnectionFailure(error) } }))
      .then((answer) => {
        clearTimeout(watchdog);
        if (!current()) return;
        if (late) {
          this.#patience = Math.min(PATIENCE_MAX, this.#patience * 2); // PO6
          this.#lost({ kind: 'transport', message: `no answer to a post within ${waitMs} ms`, sign: 'silence' });
        } else if (answer.kind === 'loss') {
          this.#lost(answer.loss);
        } else {
          this.#answered(answer.frames, current);
        }
      });
  }

  /** PO4. */
  #takeFrames(helloBytes: number): Buffer[] {
    let bytes = helloBytes;
    let count = 0;
    for (const frame of this.#queue) {
      bytes += 1 + frame.length;
      if (count > 0 && bytes > POST_BODY_BYTES_MAX) break;
      count += 1;
    }
    return this.#queue.splice(0, count);
  }

  async #exchange(headers: Headers, body: Buffer, signal: AbortSignal): Promise<Answer> {
    const response = await egressFetch(this.#options.url, {
      method: 'POST',
      headers,
      body,
      // A redirected post would become a GET, possibly to a host that must not see the token.
      redirect: 'manual',
      signal,
    });
    const { status } = response;
    if (status !== 200) {
      const retryAfter = retryAfterMs(response.headers.get('retry-after'), Date.now());
      const text = await readBody(response.body, REFUSAL_BODY_BYTES_MAX);
      return { kind: 'loss', loss: lossOfAnswer(status, response.headers.get('content-type'), text ?? '', retryAfter) };
    }
    const text = await readBody(response.body, ANSWER_BYTES_MAX);
    const frames: CoordinatorFrame[] = [];
    for (const line of (text ?? '').split('\n')) {
      if (line === '') continue;
      const parsed = parseCoordinatorFrame(line);
      if (parsed.ok) frames.push(parsed.frame);
      else this.#options.log.fact('frame_ignored', { code: parsed.code, detail: parsed.detail });
    }
    const [first] = frames;
    if (first?.type === 'welcome' || first?.type === 'close') return { kind: 'frames', frames };
    return { kind: 'loss', loss: { kind: 'transport', message: 'the answer to a post is not that of a coordinator' } };
  }

  #answered(frames: CoordinatorFrame[], current: () => boolean): void {
    const { handlers } = this.#options;
    this.#patience = Math.max(1, this.#patience / 2);
    for (const frame of frames) {
      switch (frame.type) {
        case 'welcome': {
          const why = handlers.refusalOf?.(frame) ?? null;
          if (why !== null) return this.#lost({ kind: 'unfit_welcome', why });
          this.#welcomed(frame, current);
          break;
        }
        case 'close':
          this.#lost({ kind: 'closed', code: frame.code, reason: frame.reason });
          return;
        default:
          if (this.#up) handlers.frame(frame);
      }
      if (!current()) return; // The handler ended or restarted this transport.
    }
    if (this.#wanted) {
      const quiet = this.#wanted;
      this.#wanted = null;
      this.#phase = { kind: 'held' };
      quiet();
    } else {
      this.#next(this.#queue.length > 0 ? 0 : this.#pollMs);
    }
  }

  #welcomed(frame: WelcomeFrame, current: () => boolean): void {
    const { handlers, log } = this.#options;
    const { policy, epoch, ackedSeq, commands } = frame;
    this.#attempts.welcomed(policy, this.#now());
    this.#silenceTimeoutMs = policy.silenceTimeoutMs;
    // PO5: an interrupt must be received before the coordinator's wait for it ends.
    this.#pollMs = Math.min(policy.heartbeatMs, policy.interruptGraceMs / 2);
    if (!this.#up) {
      this.#up = true;
      this.#everUp = true;
      log.fact('welcome', { epoch, ackedSeq, commands: commands.length });
      handlers.welcome(frame);
      return;
    }
    this.markHealthy(); // Twice in a row: counts as a pong.
    handlers.frame({ type: 'ack', seq: ackedSeq }); // PO3
    for (const command of commands) if (current()) handlers.frame({ type: 'command', ...command });
  }

  #next(afterMs: number): void {
    this.#stop({ kind: 'resting', timer: setTimeout(() => this.#post(), afterMs) });
  }

  // ── loss and end ───────────────────────────────────────────────────────────────────────────────

  #lost(loss: ConnectionLoss): void {
    const wasUp = this.#up;
    this.#stop({ kind: 'idle' });
    this.#up = false;
    this.#queue = []; // TR1
    if (!this.#everUp && this.#options.tryAlternative?.(loss)) return;
    const { log, handlers } = this.#options;
    const why = describe(loss);
    log.fact('lost', { why, wasUp });
    const beganAt = this.#beganAt;
    const next = this.#attempts.after(loss, { beganAt, now: this.#now() });
    switch (next.kind) {
      case 'ended':
        this.#end(next.end);
        return;
      case 'retry': {
        log.fact('retry', { attempt: next.attempt, delayMs: next.delayMs });
        const quiet = this.#wanted;
        this.#wanted = null;
        this.#phase = quiet ? { kind: 'held' } : { kind: 'waiting', timer: setTimeout(() => this.#post(), next.delayMs) };
        if (next.askedToWait) handlers.askedToWait?.(why);
        if (wasUp) handlers.down(why);
        handlers.failed?.({ kind: wasUp ? 'lost' : isQueued(loss) ? 'queued' : 'failed', why, beganAt });
        quiet?.();
        return;
      }
      default:
        next satisfies never;
    }
  }

  #end(end: ConnectionEnd): void {
    this.#phase = { kind: 'ended' };
    this.#options.handlers.ended(end);
  }

  /**
   * Aborts the post in flight. The next phase is set before the abort, so that late results of the
   * post are ignored.
   */
  #stop(next: Phase): void {
    const phase = this.#phase;
    if (phase.kind === 'ended') {
      if (next.kind === 'resting' || next.kind === 'waiting') clearTimeout(next.timer);
      return;
    }
    this.#phase = next;
    switch (phase.kind) {
      case 'posting':
        this.#generation += 1;
        phase.abort.abort();
        return;
      case 'resting':
      case 'waiting':
        clearTimeout(phase.timer);
        return;
      case 'idle':
      case 'held':
        return;
      default:
        phase satisfies never;
    }
  }
}
