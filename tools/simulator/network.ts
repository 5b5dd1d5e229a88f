/**
 * Connections between peers and the object, as TCP provides them: data arrives late, in order and
 * once, or not at all. After a loss, nothing later on that connection arrives. Reordering and
 * repetition happen only across connections.
 *
 * - Each end detects a cut on its own: soon, late or never. An end that never detects it is
 *   half-open.
 * - A blackhole swallows one direction from some moment on. The other direction continues.
 * - The object may still accept a connection that its client abandoned: a zombie.
 * - A slow uplink accepts at once what a client sends, as kernel buffers do, and forwards it at its
 *   own rate.
 */

import type { OwnProblem } from '../../protocol/index.ts';
import type { SessionSocket } from '../../src/core/ports.ts';
import type { Clock } from './clock.ts';
import type { Random } from './random.ts';

/**
 * The client's side of a connection. Nothing is called after `closed`, `refused` or an `abandon`.
 */
export interface ClientEnd {
  opened(): void;
  message(text: string): void;
  closed(code: number, reason: string): void;
  /**
   * The upgrade was answered with an HTTP status instead; 0 for no response. `problem`: the
   * coordinator itself sent it.
   */
  refused(status: number, problem?: OwnProblem | null): void;
}

export interface ServerEnd {
  message(text: string): void;
  closed(code: number, reason: string): void;
}

export type CutMode = 'both' | 'client_only' | 'server_only' | 'neither' | 'up_blackhole' | 'down_blackhole';
export const CUT_MODES: readonly CutMode[] = [
  'both',
  'both',
  'client_only',
  'server_only',
  'neither',
  'up_blackhole',
  'down_blackhole',
];

export interface NetworkTiming {
  minMs: number;
  maxMs: number;
  /** Rate of the slow uplink; undefined for one that is never the bottleneck. */
  uplinkBytesPerSecond?: number;
}

export class Link {
  readonly label: string;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #timing: NetworkTiming;
  readonly #client: ClientEnd;
  server: ServerEnd | null = null;
  #clientGone = false;
  #upDead = false;
  #downDead = false;
  #upArrival = 0;
  #uplinkFreeAt = 0;
  #downArrival = 0;

  constructor(label: string, clock: Clock, random: Random, timing: NetworkTiming, client: ClientEnd) {
    this.label = label;
    this.#clock = clock;
    this.#random = random;
    this.#timing = timing;
    this.#client = client;
  }

  /** Both ends can still communicate. */
  get whole(): boolean {
    return !this.#clientGone && !this.#upDead && !this.#downDead && this.server !== null;
  }

  /** Client → server, in order. */
  up(action: (server: ServerEnd) => void, bytes = 0): void {
    this.#upArrival = this.#arrival(Math.max(this.#upArrival, this.#passed(bytes)));
    this.#clock.after(this.#upArrival - this.#clock.now, () => {
      if (!this.#upDead && this.server) action(this.server);
    });
  }

  /** Server → client, in order. */
  down(action: (client: ClientEnd) => void): void {
    this.#downArrival = this.#arrival(this.#downArrival);
    this.#clock.after(this.#downArrival - this.#clock.now, () => {
      if (!this.#downDead && !this.#clientGone) action(this.#client);
    });
  }

  send(text: string): void {
    this.up((server) => server.message(text), text.length);
  }

  /** The client's close frame. Nothing reaches the client after it. */
  close(code: number, reason: string): void {
    this.#clientGone = true;
    this.up((server) => server.closed(code, reason));
  }

  /**
   * The client's end is gone without a close frame: its process died, or it gave up. The server
   * detects it soon, late or never.
   */
  abandon(seen: boolean): void {
    if (this.#clientGone) return;
    this.#clientGone = true;
    if (seen) this.up((server) => server.closed(1006, 'WebSocket disconnected without sending Close frame.'));
  }

  /** The object is gone with its sockets, or the path between is broken. */
  cut(mode: CutMode): void {
    const lostUp = () => this.#later(() => this.server?.closed(1006, 'WebSocket disconnected without sending Close frame.'));
    const lostDown = () =>
      this.#later(() => {
        if (!this.#clientGone) this.#finishClient(1006, '');
      });
    if (mode !== 'down_blackhole') this.#upDead = true;
    if (mode !== 'up_blackhole') this.#downDead = true;
    switch (mode) {
      case 'both':
        lostUp();
        lostDown();
        return;
      case 'client_only':
        lostDown();
        return;
      case 'server_only':
        lostUp();
        return;
      case 'neither':
      case 'up_blackhole':
      case 'down_blackhole':
        return;
      default:
        mode satisfies never;
    }
  }

  /** The server's end no longer exists: nothing answers, and the client may receive a notice. */
  serverGone(told: boolean): void {
    this.server = null;
    this.cut(told ? 'client_only' : 'neither');
  }

  #finishClient(code: number, reason: string): void {
    this.#clientGone = true;
    this.#client.closed(code, reason);
  }

  /** The server's close frame arrived. The client's end answers it automatically. */
  closedByServer(code: number, reason: string): void {
    this.up((server) => server.closed(code, reason));
    this.#finishClient(code, reason);
  }

  #arrival(previous: number): number {
    return Math.max(previous, this.#clock.now + this.#random.int(this.#timing.minMs, this.#timing.maxMs));
  }

  /** When the slow uplink has forwarded these bytes too. */
  #passed(bytes: number): number {
    const { uplinkBytesPerSecond } = this.#timing;
    if (uplinkBytesPerSecond === undefined) return 0;
    this.#uplinkFreeAt = Math.max(this.#uplinkFreeAt, this.#clock.now) + Math.ceil((bytes * 1000) / uplinkBytesPerSecond);
    return this.#uplinkFreeAt;
  }

  /** From immediately to one minute, usually soon. */
  #later(action: () => void): void {
    this.#clock.after(this.#random.int(0, this.#random.chance(0.2) ? 20_000 : 400), action);
  }
}

/**
 * What the platform knows of a server socket. It outlives an incarnation that hibernates, and is
 * lost with one that crashes.
 */
export class PlatformSocket {
  readonly link: Link;
  readonly tags: readonly string[];
  readonly kind: 'ingest' | 'viewer';
  /**
   * The purpose for which it was accepted. The checks need it; the session has its own value in the
   * attachment.
   */
  readonly execution: string | null;
  attachment: unknown = null;
  readyState = 1;
  lastPingAt: number | null = null;
  lastHeardAt: number;
  /** Epoch of the welcome that was sent on this socket. */
  epoch: number | null = null;

  constructor(link: Link, tags: readonly string[], kind: 'ingest' | 'viewer', execution: string | null, now: number) {
    this.link = link;
    this.tags = tags;
    this.kind = kind;
    this.execution = execution;
    this.lastHeardAt = now;
  }
}

/** Largest attachment that the platform accepts. */
const ATTACHMENT_BYTES_MAX = 16_384;

/**
 * Observes the object's messages: when it sends one, and when it leaves the object (when all
 * earlier writes are durable).
 */
export interface Witness {
  sent(socket: PlatformSocket, text: string): void;
  left(socket: PlatformSocket, text: string): void;
}

/**
 * The socket as one incarnation of the session holds it. Each wake makes a new one, as on the
 * platform.
 */
export class IncarnationSocket implements SessionSocket {
  platform: PlatformSocket | null = null;
  readonly accept: (tags: readonly string[]) => PlatformSocket;
  readonly #emit: (leave: () => void) => void;
  readonly #witness: Witness;

  constructor(
    accept: (tags: readonly string[]) => PlatformSocket,
    emit: (leave: () => void) => void,
    witness: Witness,
    platform: PlatformSocket | null,
  ) {
    this.accept = accept;
    this.#emit = emit;
    this.#witness = witness;
    this.platform = platform;
  }

  get readyState(): number {
    return this.platform?.readyState ?? 0;
  }

  send(text: string): void {
    const { platform } = this;
    if (platform?.readyState !== 1) throw new Error('Can not call send() on a socket that is closed.');
    this.#witness.sent(platform, text);
    this.#emit(() => {
      this.#witness.left(platform, text);
      platform.link.down((client) => client.message(text));
    });
  }

  close(code: number, reason: string): void {
    const { platform } = this;
    if (!platform) throw new Error('Can not close a socket that was not accepted.');
    if (code !== 1000 && (code < 3000 || code > 4999) && code !== 1013 && code !== 1001)
      throw new Error(`Invalid close code ${code}.`);
    if (platform.readyState !== 1) return;
    platform.readyState = 2;
    this.#emit(() => platform.link.down(() => platform.link.closedByServer(code, reason)));
  }

  serializeAttachment(attachment: unknown): void {
    if (!this.platform) throw new Error('a socket must be accepted before it can have an attachment');
    if (JSON.stringify(attachment).length > ATTACHMENT_BYTES_MAX) throw new Error('attachment too large');
    this.platform.attachment = structuredClone(attachment);
  }

  deserializeAttachment(): unknown {
    return structuredClone(this.platform?.attachment ?? null);
  }
}
