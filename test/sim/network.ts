/**
 * Connections between peers and the object, as TCP gives them: what is sent arrives late, in order and once, or not at all, and then nothing behind
 * it does either. Reordering and repetition only happen across connections.
 *
 * N1  A cut is seen by each end on its own: soon, late or never. An end that never sees it is half-open.
 * N2  A blackhole swallows one direction from some moment on; the other goes on.
 * N3  What was abandoned by its client may still be accepted by the object: a zombie.
 * N4  A slow uplink takes at once what a client sends, as a kernel's buffers do, and passes it on at its own pace.
 */

import type { OwnProblem } from '../../protocol/index.ts';
import type { SessionSocket } from '../../src/core/ports.ts';
import type { Clock } from './clock.ts';
import type { Random } from './random.ts';

/** The client's side of a connection. Nothing is called after `closed`, `refused` or an `abandon`. */
export interface ClientEnd {
  opened(): void;
  message(text: string): void;
  closed(code: number, reason: string): void;
  /** The upgrade was answered with an HTTP status instead; 0 for no answer. `problem`: the coordinator itself said it. */
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
  /** Of the uplink (N4); left out for one that is never the bottleneck. */
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

  /** Both ends can still talk. */
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

  /** The client's end is gone without a close frame: its process died, or it gave up. The server sees it soon, late or never (N1). */
  abandon(seen: boolean): void {
    if (this.#clientGone) return;
    this.#clientGone = true;
    if (seen) this.up((server) => server.closed(1006, 'WebSocket disconnected without sending Close frame.'));
  }

  /** The object is gone and its sockets with it, or the path between is. */
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

  /** The server's end does not exist any more: nobody answers, and the client may be told. */
  serverGone(told: boolean): void {
    this.server = null;
    this.cut(told ? 'client_only' : 'neither');
  }

  #finishClient(code: number, reason: string): void {
    this.#clientGone = true;
    this.#client.closed(code, reason);
  }

  /** The server's close frame arrived: the client's end answers it by itself. */
  closedByServer(code: number, reason: string): void {
    this.up((server) => server.closed(code, reason));
    this.#finishClient(code, reason);
  }

  #arrival(previous: number): number {
    return Math.max(previous, this.#clock.now + this.#random.int(this.#timing.minMs, this.#timing.maxMs));
  }

  /** When the uplink has passed on these bytes too (N4). */
  #passed(bytes: number): number {
    const { uplinkBytesPerSecond } = this.#timing;
    if (uplinkBytesPerSecond === undefined) return 0;
    this.#uplinkFreeAt = Math.max(this.#uplinkFreeAt, this.#clock.now) + Math.ceil((bytes * 1000) / uplinkBytesPerSecond);
    return this.#uplinkFreeAt;
  }

  /** From at once to a minute, mostly soon. */
  #later(action: () => void): void {
    this.#clock.after(this.#random.int(0, this.#random.chance(0.2) ? 20_000 : 400), action);
  }
}

/** What the platform knows of a server socket. It outlives an incarnation that hibernates, and dies with one that crashes. */
export class PlatformSocket {
  readonly link: Link;
  readonly tags: readonly string[];
  readonly kind: 'ingest' | 'viewer';
  /** What it was accepted for; checks need it, the session has its own idea in the attachment. */
  readonly execution: string | null;
  attachment: unknown = null;
  readyState = 1;
  lastPingAt: number | null = null;
  lastHeardAt: number;
  /** Epoch of the welcome that left on this socket. */
  epoch: number | null = null;

  constructor(link: Link, tags: readonly string[], kind: 'ingest' | 'viewer', execution: string | null, now: number) {
    this.link = link;
    this.tags = tags;
    this.kind = kind;
    this.execution = execution;
    this.lastHeardAt = now;
  }
}

/** Largest attachment the platform takes. */
const ATTACHMENT_BYTES_MAX = 16_384;

/** Sees what the object says: when it says it, and when it leaves the object (when all that was written before is durable). */
export interface Witness {
  sent(socket: PlatformSocket, text: string): void;
  left(socket: PlatformSocket, text: string): void;
}

/** The socket as one incarnation of the session holds it: a new one after each wake, as on the platform. */
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
