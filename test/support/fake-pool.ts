/**
 * A pool that a test steers: real WebSockets, without the rules of assignment. It records the frames
 * of its runners, and answers `draining` with `drained` unless the test holds that back.
 */

import { createServer, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { PING, PONG } from '../../protocol/index.ts';
import { parseRunnerFrame, RUNNER_SUBPROTOCOL, type RunnerFrame, type RunnerHello } from '../../protocol/pool.ts';
import { problemAnswer, type Refusal } from './fake-coordinator.ts';

export const TENANT = 'acme';
export const POOL_KEY = `hfr_${Buffer.from(TENANT).toString('base64url')}.rk_1.${'k'.repeat(43)}`;

export class FakeRunnerConnection {
  readonly socket: WebSocket;
  readonly frames: RunnerFrame[] = [];
  hello: RunnerHello | null = null;
  pings = 0;
  closed: { code: number; reason: string } | null = null;

  constructor(socket: WebSocket) {
    this.socket = socket;
  }

  send(frame: object): void {
    this.socket.send(JSON.stringify(frame));
  }

  of<T extends RunnerFrame['type']>(type: T): Extract<RunnerFrame, { type: T }>[] {
    return this.frames.filter((frame): frame is Extract<RunnerFrame, { type: T }> => frame.type === type);
  }

  /** RST. */
  cut(): void {
    this.socket.terminate();
  }

  /** Half-open: this end reads no more, and answers nothing. */
  freeze(): void {
    (this.socket as unknown as { _socket: Socket })._socket.pause();
  }
}

export class FakePool {
  readonly connections: FakeRunnerConnection[] = [];
  readonly faults: string[] = [];
  readonly attempts: { at: number; authorization: string | undefined; url: string | undefined }[] = [];
  /** The answer to the next upgrades. Null: accepted. */
  refusal: Refusal | null = null;
  answersDraining = true;
  welcomes = true;
  notice: { code: string; message: string } | null = null;
  #server: Server | null = null;
  #sockets: WebSocketServer | null = null;
  #lease = 0;

  async start(port = 0): Promise<this> {
    const server = createServer((_, response) => response.writeHead(404).end());
    const sockets = new WebSocketServer({ noServer: true, handleProtocols: () => RUNNER_SUBPROTOCOL });
    server.on('upgrade', (request, socket: Duplex, head) => {
      this.attempts.push({ at: Date.now(), authorization: request.headers.authorization, url: request.url });
      if (this.refusal) {
        const { status, headers = {}, body = '' } = this.refusal;
        const lines = Object.entries({ ...headers, 'content-length': String(Buffer.byteLength(body)), connection: 'close' });
        socket.end(`HTTP/1.1 ${status} No\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`);
        return;
      }
      sockets.handleUpgrade(request, socket, head, (ws) => this.#accept(ws));
    });
    server.listen(port, '127.0.0.1');
    await new Promise((done) => server.once('listening', done));
    this.#server = server;
    this.#sockets = sockets;
    return this;
  }

  get port(): number {
    if (!this.#server) throw new Error('the pool does not listen');
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** The newest connection. */
  get connection(): FakeRunnerConnection | null {
    return this.connections.at(-1) ?? null;
  }

  /** The newest one that said hello and is open. */
  get runner(): FakeRunnerConnection | null {
    return this.connections.findLast(({ hello, closed }) => hello !== null && closed === null) ?? null;
  }

  refuseKeys(): void {
    this.refusal = problemAnswer('unauthorized', 'The runner key is not valid.');
  }

  launch(request: object, given?: number): number {
    this.#lease += 1;
    const lease = given ?? this.#lease;
    this.runner?.send({ type: 'launch', lease, request });
    return lease;
  }

  /** The answer to a lease, on any connection. */
  answerTo(lease: number): RunnerFrame | undefined {
    return this.connections.flatMap(({ frames }) => frames).find((frame) => 'lease' in frame && frame.lease === lease);
  }

  ends(): string[] {
    return this.connections.flatMap((one) => one.of('ended').map(({ session, execution }) => `${session}/${execution}`));
  }

  async stop(): Promise<void> {
    for (const { socket } of this.connections) socket.terminate();
    this.#sockets?.close();
    this.#server?.closeAllConnections();
    await new Promise((done) => this.#server?.close(done) ?? done(null));
  }

  #accept(ws: WebSocket): void {
    const connection = new FakeRunnerConnection(ws);
    this.connections.push(connection);
    ws.on('close', (code, reason) => {
      connection.closed = { code, reason: reason.toString() };
    });
    ws.on('error', () => {});
    ws.on('message', (data) => {
      const text = data.toString();
      if (text === PING) {
        connection.pings += 1;
        ws.send(PONG);
        return;
      }
      const parsed = parseRunnerFrame(text);
      if (!parsed.ok || !parsed.frame) {
        this.faults.push(parsed.ok ? `unknown frame ${text}` : parsed.detail);
        return;
      }
      const { frame } = parsed;
      connection.frames.push(frame);
      if (frame.type === 'hello') {
        if (connection.hello) this.faults.push('two hellos on one connection');
        connection.hello = frame;
        if (this.welcomes) connection.send({ type: 'welcome', protocol: 1, ...(this.notice ? { notice: this.notice } : {}) });
      }
      if (frame.type === 'draining' && this.answersDraining) connection.send({ type: 'drained' });
    });
  }
}
