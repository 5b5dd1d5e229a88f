/**
 * An HTTP proxy that a test steers: it opens tunnels by CONNECT for names that no resolver knows.
 * All names lead to one loopback port, so what arrives there came through the proxy.
 */

import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

export interface Asked {
  /** `host:port` of the CONNECT. */
  target: string;
  authorization: string | undefined;
}

export class ConnectProxy {
  readonly asked: Asked[] = [];
  /** The response in place of a tunnel; 'hang': no response. */
  answer: { status: number; text: string } | 'hang' | null = null;
  /** The required `user:password`. */
  wanted: string | null = null;
  readonly #server: Server;
  readonly #sockets = new Set<Duplex>();

  private constructor() {
    this.#server = createServer((_request, response) => void response.writeHead(405).end('only CONNECT'));
    this.#server.on('connect', (request: IncomingMessage, near: Duplex, head: Buffer) => this.#connect(request, near, head));
    this.#server.on('connection', (socket: Socket) => this.#keep(socket));
  }

  static async start(): Promise<ConnectProxy> {
    const proxy = new ConnectProxy();
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  url(user = ''): string {
    return `http://${user === '' ? '' : `${user}@`}127.0.0.1:${this.port}`;
  }

  /** Open sockets, including those of tunnels. */
  get open(): number {
    return this.#sockets.size;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #keep(socket: Duplex): void {
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    // A peer that hangs up on a refusal resets the connection. That is not an error of this side.
    socket.on('error', () => {});
  }

  #connect(request: IncomingMessage, near: Duplex, head: Buffer): void {
    const target = request.url ?? '';
    const authorization = request.headers['proxy-authorization'];
    this.asked.push({ target, authorization });
    const { answer, wanted } = this;
    if (answer === 'hang') {
      // Only a reader notices an end, and an HTTP server keeps its own half open.
      near.once('end', () => near.destroy());
      near.resume();
      return;
    }
    const missing = wanted !== null && authorization !== `Basic ${Buffer.from(wanted).toString('base64')}`;
    const refusal = missing ? { status: 407, text: 'Proxy Authentication Required' } : answer;
    if (refusal) {
      near.end(`HTTP/1.1 ${refusal.status} ${refusal.text}\r\ncontent-length: 0\r\n\r\n`);
      return;
    }
    const far = connect(Number(target.slice(target.lastIndexOf(':') + 1)), '127.0.0.1');
    this.#keep(far);
    far.once('connect', () => {
      near.write('HTTP/1.1 200 Connection established\r\n\r\n');
      if (head.length > 0) far.write(head);
      near.pipe(far).pipe(near);
    });
    far.once('error', () => near.destroy());
    near.once('close', () => far.destroy());
    far.once('close', () => near.destroy());
  }
}
