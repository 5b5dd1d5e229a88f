/**
 * An HTTP proxy that a test steers: it makes tunnels by CONNECT, and knows names that no resolver does. All of them lead to a port of loopback, so what arrives there
 * came through the proxy.
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
  /** What is answered in place of a tunnel; 'hang': nothing. */
  answer: { status: number; text: string } | 'hang' | null = null;
  /** `user:password` that is wanted. */
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

  /** Sockets that are open, those of tunnels included. */
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
    // A peer that hangs up on a refusal resets the connection; that is no error of this side.
    socket.on('error', () => {});
  }

  #connect(request: IncomingMessage, near: Duplex, head: Buffer): void {
    const target = request.url ?? '';
    const authorization = request.headers['proxy-authorization'];
    this.asked.push({ target, authorization });
    const { answer, wanted } = this;
    if (answer === 'hang') {
      // An end is noticed by those who read, and an HTTP server keeps its own half open.
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
