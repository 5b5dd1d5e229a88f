/**
 * WebSocket where it works, POST where it does not. Some networks answer upgrades themselves, strip
 * them, or cut them, and let ordinary requests pass; a job there must still be able to report.
 *
 *              upgrades look refused               an answer of the coordinator
 *     websocket ─────────────────────► trying_post ─────────────────────► http
 *       ▲  ▲                                │                             │  ▲
 *       │  └──────── no such answer ────────┘          soon, then rarely  ▼  │ nothing in 5 s
 *       └─────────────────────────── a welcome ─────────────────────── trying_websocket
 *
 *   SW1  Only one of the two is active at a time. A POST while a socket is being welcomed would
 *        supersede it, so posts are held meanwhile.
 *   SW2  POST is tried after UPGRADE_FAILURES_MAX such attempts in a row. For the last flush any
 *        failure counts.
 *   SW3  An answer of the coordinator itself is final for both: it is followed as by any transport.
 *   SW4  Both share one account of their failures (Attempts), so that what one learned counts for
 *        the other.
 *   SW5  A successful POST proves little about upgrades: the line, or the coordinator, may have
 *        recovered in between. So WebSocket is tried again soon after the switch, and then with
 *        backoff.
 */

import { backoffDelayMs, type WelcomeFrame } from '../../protocol/index.ts';
import type { WrapperTimes } from '../times.ts';
import { Connection } from './connection.ts';
import {
  Attempts,
  type ConnectionEnd,
  type ConnectionLoss,
  describe,
  isCoordinators,
  looksLikeNoUpgrades,
} from './connection-loss.ts';
import { PostTransport } from './post-transport.ts';
import { type ConnectionHandlers, httpUrl, type Transport, type TransportOptions, websocketUrl } from './transport.ts';

export const TRANSPORT_KINDS = ['auto', 'websocket', 'http'] as const;
export type TransportKind = (typeof TRANSPORT_KINDS)[number];

export const UPGRADE_FAILURES_MAX = 3;

const SOCKET_RETRY_BASE_MS = 2000;

/**
 * How long after the switch to POST, or after attempt `tried`, the next WebSocket attempt is made.
 * SW5: 2 s, 8 s, 32 s, 128 s, and then at the maximum interval, so each attempt is two steps on the
 * curve. An attempt holds the posts, for 5 s where upgrades hang.
 */
export const socketRetryMs = (tried: number, { websocketRetryMs }: Pick<WrapperTimes, 'websocketRetryMs'>): number =>
  backoffDelayMs(2 * tried, { baseMs: SOCKET_RETRY_BASE_MS, capMs: websocketRetryMs });

type Mode =
  | { kind: 'websocket'; connection: Connection }
  | { kind: 'trying_post'; connection: Connection; post: PostTransport }
  | { kind: 'http'; post: PostTransport; retry: NodeJS.Timeout | null }
  | { kind: 'trying_websocket'; post: PostTransport; connection: Connection; deadline: NodeJS.Timeout }
  | { kind: 'ended' };

export function makeTransport(kind: TransportKind, options: TransportOptions): Transport {
  switch (kind) {
    case 'auto':
      return new TransportSwitch(options);
    case 'websocket':
      return new Connection({ ...options, url: websocketUrl(options.url) });
    case 'http':
      return new PostTransport({ ...options, url: httpUrl(options.url) });
    default:
      return kind satisfies never;
  }
}

export class TransportSwitch implements Transport {
  readonly #options: TransportOptions;
  #mode: Mode;
  /** Consecutive attempts that ended in a way that may not affect POST. */
  #failures = 0;
  /** WebSocket attempts since the switch to POST (SW5). */
  #socketsTried = 0;
  #flushing = false;

  constructor(options: TransportOptions) {
    // SW4
    this.#options = { ...options, attempts: options.attempts ?? new Attempts(options.credential, options.times, options.random) };
    this.#mode = { kind: 'websocket', connection: this.#newConnection() };
  }

  get up(): boolean {
    return this.#current()?.up ?? false;
  }

  open(): void {
    this.#current()?.open();
  }

  send(frame: string | Buffer): boolean {
    return this.#current()?.send(frame) ?? false;
  }

  restart(why: string): void {
    this.#current()?.restart(why);
  }

  markHealthy(): void {
    this.#current()?.markHealthy();
  }

  lastFlush(): void {
    this.#flushing = true;
  }

  async close(): Promise<void> {
    const mode = this.#mode;
    this.#mode = { kind: 'ended' };
    if (mode.kind === 'http' && mode.retry) clearTimeout(mode.retry);
    if (mode.kind === 'trying_websocket') clearTimeout(mode.deadline);
    await Promise.all(['connection' in mode ? mode.connection.close() : null, 'post' in mode ? mode.post.close() : null]);
  }

  /** The active transport (SW1). */
  #current(): Transport | null {
    switch (this.#mode.kind) {
      case 'websocket':
        return this.#mode.connection;
      case 'trying_post':
      case 'http':
      case 'trying_websocket':
        return this.#mode.post;
      case 'ended':
        return null;
      default:
        return this.#mode satisfies never;
    }
  }

  // ── websocket ──────────────────────────────────────────────────────────────────────────────────

  #newConnection(): Connection {
    const connection: Connection = new Connection({
      ...this.#options,
      url: websocketUrl(this.#options.url),
      handlers: this.#handlers((frame) => this.#welcomedBySocket(frame)),
      tryAlternative: (loss) => this.#noSocket(connection, loss),
    });
    return connection;
  }

  #welcomedBySocket(frame: WelcomeFrame): void {
    const mode = this.#mode;
    this.#failures = 0;
    if (mode.kind === 'trying_websocket') {
      clearTimeout(mode.deadline);
      this.#mode = { kind: 'websocket', connection: mode.connection };
      void mode.post.close();
      this.#options.log.fact('transport', { kind: 'websocket' });
    }
    this.#options.handlers.welcome(frame);
  }

  #noSocket(connection: Connection, loss: ConnectionLoss): boolean {
    const mode = this.#mode;
    if (mode.kind === 'trying_websocket') {
      this.#backToPosts(describe(loss));
      return true;
    }
    if (mode.kind !== 'websocket') return true;
    const counts = looksLikeNoUpgrades(loss) || (this.#flushing && !isCoordinators(loss));
    this.#failures = counts ? this.#failures + 1 : 0;
    if (!counts || this.#failures % UPGRADE_FAILURES_MAX !== 0) return false; // SW2
    this.#options.log.fact('trying_post', { why: describe(loss), failures: this.#failures });
    const post: PostTransport = new PostTransport({
      ...this.#options,
      url: httpUrl(this.#options.url),
      handlers: this.#handlers((frame) => this.#welcomedByPost(frame)),
      tryAlternative: (postLoss) => this.#noPost(postLoss),
    });
    this.#mode = { kind: 'trying_post', connection, post };
    post.open();
    return true;
  }

  // ── http ───────────────────────────────────────────────────────────────────────────────────────

  #welcomedByPost(frame: WelcomeFrame): void {
    this.#stayWithPosts();
    this.#options.handlers.welcome(frame);
  }

  #noPost(loss: ConnectionLoss): boolean {
    const mode = this.#mode;
    if (mode.kind !== 'trying_post') return false;
    if (isCoordinators(loss)) {
      this.#stayWithPosts(); // SW3
      return false;
    }
    this.#options.log.fact('no_post', { why: describe(loss) });
    void mode.post.close();
    this.#mode = { kind: 'websocket', connection: mode.connection };
    mode.connection.resumeAfter(loss);
    return true;
  }

  #stayWithPosts(): void {
    const mode = this.#mode;
    if (mode.kind !== 'trying_post') return;
    void mode.connection.close();
    this.#options.log.fact('transport', { kind: 'http' });
    this.#socketsTried = 0;
    this.#mode = { kind: 'http', post: mode.post, retry: this.#retryTimer() };
  }

  #retryTimer(): NodeJS.Timeout {
    return setTimeout(() => this.#trySocket(), socketRetryMs(this.#socketsTried, this.#options.times));
  }

  #trySocket(): void {
    const mode = this.#mode;
    if (mode.kind !== 'http') return;
    const { post } = mode;
    this.#socketsTried += 1;
    this.#mode = { kind: 'http', post, retry: null };
    post.hold(() => {
      if (this.#mode.kind !== 'http') return;
      const connection = this.#newConnection();
      const deadline = setTimeout(() => this.#backToPosts('no welcome in time'), this.#options.times.websocketProbeMs);
      this.#mode = { kind: 'trying_websocket', post, connection, deadline };
      connection.open();
    });
  }

  #backToPosts(why: string): void {
    const mode = this.#mode;
    if (mode.kind !== 'trying_websocket') return;
    this.#options.log.fact('no_websocket', { why });
    clearTimeout(mode.deadline);
    void mode.connection.close();
    this.#mode = { kind: 'http', post: mode.post, retry: this.#retryTimer() };
    mode.post.release();
  }

  // ── both ───────────────────────────────────────────────────────────────────────────────────────

  #handlers(welcome: (frame: WelcomeFrame) => void): ConnectionHandlers {
    const { handlers } = this.#options;
    return {
      hello: () => handlers.hello(),
      refusalOf: (frame) => handlers.refusalOf?.(frame) ?? null,
      welcome,
      frame: (frame) => handlers.frame(frame),
      down: (why) => handlers.down(why),
      failed: (failure) => handlers.failed?.(failure),
      answerDelayMs: () => handlers.answerDelayMs?.() ?? 0,
      askedToWait: (why) => handlers.askedToWait?.(why),
      ended: (end) => this.#ended(end),
    };
  }

  #ended(end: ConnectionEnd): void {
    if (this.#mode.kind === 'ended') return; // TR2
    void this.close();
    this.#options.handlers.ended(end);
  }
}
