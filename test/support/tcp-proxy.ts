/**
 * A network between two real programs that a test can disturb: a TCP proxy on a free loopback port.
 *
 * Owns both sockets of each connection. It never reads the bytes, so any protocol over TCP can
 * pass.
 */

import { once } from 'node:events';
import { type AddressInfo, createServer, connect as dial, type Server, type Socket } from 'node:net';

export type Direction = 'up' | 'down' | 'both';

export interface TcpProxyOptions {
  targetPort: number;
  targetHost?: string;
  /** 0 (the default) picks a free one. */
  port?: number;
}

interface Link {
  /** The side of the caller, and the side of the target. */
  near: Socket;
  far: Socket;
  /** Directions in which bytes are discarded and no end is forwarded. */
  frozen: { up: boolean; down: boolean };
}

export class TcpProxy {
  /** Connections accepted from callers, including refused ones. */
  accepted = 0;
  refused = 0;
  /** Connections that got the middlebox's own answer in place of the target's. */
  answered = 0;
  /** Connections destroyed by `cut()`. */
  cuts = 0;
  bytesUp = 0;
  bytesDown = 0;

  readonly #server: Server;
  readonly #target: { host: string; port: number };
  readonly #links = new Set<Link>();
  #refusing = false;
  #answer: string | null = null;
  #stalled = { up: false, down: false };
  readonly #bytesPerSecond = { up: Number.POSITIVE_INFINITY, down: Number.POSITIVE_INFINITY };

  private constructor(options: TcpProxyOptions) {
    this.#target = { host: options.targetHost ?? '127.0.0.1', port: options.targetPort };
    this.#server = createServer({ noDelay: true, allowHalfOpen: true, pauseOnConnect: true }, (near) => this.#accept(near));
  }

  static async start(options: TcpProxyOptions): Promise<TcpProxy> {
    const proxy = new TcpProxy(options);
    proxy.#server.listen(options.port ?? 0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Connections that are open now, including frozen ones. */
  get open(): number {
    return this.#links.size;
  }

  /** The target of new connections from now on. Open ones stay. */
  retarget(port: number, host = '127.0.0.1'): void {
    this.#target.port = port;
    this.#target.host = host;
  }

  /**
   * Destroys every connection (or those that `choose` selects) with a reset on both sides, as a
   * crashed router would. New ones are accepted at once.
   */
  cut(choose: () => boolean = () => true): number {
    const links = [...this.#links].filter(choose);
    for (const link of links) this.#destroy(link);
    this.cuts += links.length;
    return links.length;
  }

  /** New connections are reset. Open ones stay. */
  refuse(): void {
    this.#refusing = true;
  }

  accept(): void {
    this.#refusing = false;
  }

  /**
   * New connections get this text as the answer to whatever they send, as from a proxy, a captive
   * portal or a firewall between the two. Null ends it. Open connections stay: call `cut()` first.
   */
  answerWith(text: string | null): void {
    this.#answer = text;
  }

  /**
   * Nothing moves in this direction. The sockets stay open, and TCP applies backpressure to the
   * sender.
   */
  stall(direction: Direction = 'both'): void {
    this.#setStalled(direction, true);
  }

  /** Held-back bytes continue; nothing is lost. */
  resume(direction: Direction = 'both'): void {
    this.#setStalled(direction, false);
  }

  /**
   * The connections that are open now are dead but look alive, as behind a NAT that forgot them: in
   * this direction bytes are discarded, and no end is ever forwarded. New connections work. Only
   * `cut()` or a peer's own timeout ends them.
   */
  halfOpen(direction: Direction = 'both', choose: () => boolean = () => true): number {
    let count = 0;
    for (const { near, far, frozen } of this.#links) {
      if (!choose()) continue;
      const before = { ...frozen };
      if (direction !== 'down') frozen.up = true;
      if (direction !== 'up') frozen.down = true;
      if (before.up !== frozen.up || before.down !== frozen.down) count += 1;
      if (frozen.up) near.resume();
      if (frozen.down) far.resume();
    }
    return count;
  }

  /**
   * At most this many bytes per second through this direction of each connection. `Infinity`
   * removes the limit. What a peer writes beyond that waits in the kernel's buffers, as before a
   * slow uplink: the peer's writes succeed long before the bytes arrive.
   */
  trickle(bytesPerSecond: number, direction: Direction = 'both'): void {
    if (direction !== 'down') this.#bytesPerSecond.up = bytesPerSecond;
    if (direction !== 'up') this.#bytesPerSecond.down = bytesPerSecond;
  }

  async close(): Promise<void> {
    for (const link of [...this.#links]) this.#destroy(link);
    this.#server.close();
    await once(this.#server, 'close');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #accept(near: Socket): void {
    this.accepted += 1;
    near.on('error', () => {});
    if (this.#refusing) {
      this.refused += 1;
      near.resetAndDestroy();
      return;
    }
    const answer = this.#answer;
    if (answer !== null) {
      near.once('data', () => {
        this.answered += 1;
        near.end(answer);
      });
      near.resume();
      return;
    }
    const far = dial({ ...this.#target, noDelay: true, allowHalfOpen: true });
    const link: Link = { near, far, frozen: { up: false, down: false } };
    this.#links.add(link);
    // An error is followed by `close`, which decides.
    far.on('error', () => {});
    far.on('close', (hadError) => this.#closed(link, 'down', hadError));
    near.on('close', (hadError) => this.#closed(link, 'up', hadError));
    far.once('connect', () => {
      this.#pump(link, near, far, 'up');
      this.#pump(link, far, near, 'down');
    });
  }

  #pump(link: Link, from: Socket, to: Socket, direction: 'up' | 'down'): void {
    let trickling = false;
    let full = false;
    let ended = false;
    const flow = () => {
      const held = !link.frozen[direction] && (this.#stalled[direction] || trickling || full);
      if (held) from.pause();
      else from.resume();
    };
    from.on('data', (chunk: Buffer) => {
      if (link.frozen[direction]) return;
      if (direction === 'up') this.bytesUp += chunk.byteLength;
      else this.bytesDown += chunk.byteLength;
      if (Number.isFinite(this.#bytesPerSecond[direction])) {
        trickling = true;
        flow();
        this.#drip(link, direction, chunk, () => {
          trickling = false;
          if (ended) to.end();
          flow();
        });
        return;
      }
      if (!to.write(chunk)) {
        full = true;
        flow();
      }
    });
    to.on('drain', () => {
      full = false;
      flow();
    });
    from.on('end', () => {
      ended = true;
      if (!link.frozen[direction] && !trickling) to.end();
    });
    from.on('holdfast:flow', flow);
    flow();
  }

  /** Forwards a chunk in slices of a twentieth of a second. */
  #drip(link: Link, direction: 'up' | 'down', chunk: Buffer, done: () => void): void {
    const to = direction === 'up' ? link.far : link.near;
    const slice = Math.max(1, Math.floor(this.#bytesPerSecond[direction] / 20));
    if (!Number.isFinite(slice)) {
      to.write(chunk);
      done();
      return;
    }
    if (link.frozen[direction] || to.destroyed) {
      done();
      return;
    }
    to.write(chunk.subarray(0, slice));
    const rest = chunk.subarray(slice);
    setTimeout(() => (rest.byteLength > 0 ? this.#drip(link, direction, rest, done) : done()), 50);
  }

  #setStalled(direction: Direction, stalled: boolean): void {
    if (direction !== 'down') this.#stalled.up = stalled;
    if (direction !== 'up') this.#stalled.down = stalled;
    for (const { near, far } of this.#links) {
      near.emit('holdfast:flow');
      far.emit('holdfast:flow');
    }
  }

  /**
   * The side that this direction comes from is gone. A reset is forwarded at once, an orderly end
   * after the pending bytes. A frozen direction forwards nothing.
   */
  #closed(link: Link, direction: 'up' | 'down', hadError: boolean): void {
    const other = direction === 'up' ? link.far : link.near;
    if (other.destroyed) {
      this.#links.delete(link);
      return;
    }
    if (link.frozen[direction]) return;
    if (hadError) this.#destroy(link);
    else other.end();
  }

  #destroy(link: Link): void {
    this.#links.delete(link);
    for (const socket of [link.near, link.far]) {
      if (!socket.destroyed) socket.resetAndDestroy();
    }
  }
}
