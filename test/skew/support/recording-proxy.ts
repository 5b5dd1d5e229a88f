/**
 * Sits between a real caller (wrapper, viewer, Worker) and a real callee (coordinator, runner), and
 * records their traffic: WebSocket messages, closes, requests and responses. It can lose, duplicate
 * and replace messages, which a TCP proxy cannot.
 *
 * Owns both connections of each pair. The recording is raw. The recorder removes secrets (scrub.ts)
 * before anything is stored.
 */

import { once } from 'node:events';
import {
  createServer,
  request as dial,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocket, WebSocketServer } from 'ws';
import type { Entry } from './fixtures.ts';

/**
 * What happens to a message in transit. `lose`: it is not delivered. `lose_and_cut`: it is not
 * delivered, and the connection is cut. `replace`: it is lost, and the callee gets this in its
 * place.
 */
export type Fate = 'pass' | 'lose' | 'lose_and_cut' | 'double' | { replace: string };

export interface Passing {
  path: string;
  connection: number;
  frame: string;
}

/**
 * Left out: headers that the transport adds, and those that differ between runs without a reason in
 * our code.
 */
const HEADERS_LEFT_OUT = new Set([
  ...['host', 'connection', 'date', 'content-length', 'transfer-encoding', 'user-agent', 'accept-encoding', 'keep-alive'],
  ...['accept-language', 'sec-fetch-mode', 'cf-connecting-ip', 'x-request-id', 'mf-loopback'],
]);

export class RecordingProxy {
  url = '';
  readonly entries: Entry[] = [];
  /** From the caller to the callee, and back. */
  onUp: (passing: Passing) => Fate = () => 'pass';
  onDown: (passing: Passing) => Fate = () => 'pass';
  /** Bodies are recorded, not changed. */
  onRequest: (request: { path: string; body: string }) => void = () => {};
  readonly #target: string;
  readonly #begunAt = Date.now();
  readonly #server: Server;
  readonly #pairs = new Set<{ path: string; cut: () => void }>();
  readonly #sockets = new WebSocketServer({ noServer: true, handleProtocols: (offered) => [...offered][0] ?? false });
  #connections = 0;

  private constructor(target: string) {
    this.#target = target;
    this.#server = createServer((request, response) => void this.#forward(request, response));
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
  }

  static async start(target: string): Promise<RecordingProxy> {
    const proxy = new RecordingProxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    proxy.url = `http://127.0.0.1:${(proxy.#server.address() as AddressInfo).port}`;
    return proxy;
  }

  async close(): Promise<void> {
    for (const { cut } of this.#pairs) cut();
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #note(connection: number, what: object): void {
    this.entries.push({ at: Date.now() - this.#begunAt, connection, ...what } as Entry);
  }

  // ── requests ──────────────────────────────────────────────────────────────────────────────────

  async #forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const connection = ++this.#connections;
    const { method = 'GET', url: path = '/', headers } = request;
    const body = await textOf(request);
    this.#note(connection, { request: { method, path, headers: kept(headers), body } });
    this.onRequest({ path, body });
    const { 'accept-encoding': _, host: __, ...passed } = headers;
    const far = dial(new URL(path, this.#target), { method, headers: passed });
    far.on('error', () => response.destroy());
    far.on('response', (answer) => {
      const { statusCode: status = 0 } = answer;
      response.writeHead(status, answer.headers);
      const parts: Buffer[] = [];
      answer.on('data', (part: Buffer) => {
        parts.push(part);
        response.write(part);
      });
      answer.on('end', () => {
        // Recorded before it is sent, so that a caller with the response finds it here.
        this.#note(connection, { response: { status, headers: kept(answer.headers), body: Buffer.concat(parts).toString() } });
        response.end();
      });
      answer.on('error', () => response.destroy());
    });
    far.end(body);
  }

  // ── sockets ───────────────────────────────────────────────────────────────────────────────────

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const connection = ++this.#connections;
    const { url: path = '/', headers } = request;
    socket.on('error', () => {});
    const offered = (headers['sec-websocket-protocol'] ?? '').split(',').map((item) => item.trim());
    const { authorization, origin } = headers;
    const far = new WebSocket(
      new URL(path, this.#target.replace(/^http/, 'ws')),
      offered.filter((protocol) => protocol !== ''),
      { perMessageDeflate: false, headers: { ...(authorization ? { authorization } : {}), ...(origin ? { origin } : {}) } },
    );
    far.on('error', () => socket.destroy());
    far.on('unexpected-response', async (_, answer: IncomingMessage) => {
      const { statusCode: status = 0 } = answer;
      const body = await textOf(answer);
      this.#note(connection, { refused: { path, status, headers: kept(answer.headers), body } });
      const lines = Object.entries({ ...kept(answer.headers), 'content-length': Buffer.byteLength(body), connection: 'close' });
      socket.end(`HTTP/1.1 ${status} Refused\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`);
    });
    far.on('open', () => {
      this.#sockets.handleUpgrade(request, socket as Socket, head, (near) => this.#join(connection, path, near, far));
    });
  }

  #join(connection: number, path: string, near: WebSocket, far: WebSocket): void {
    this.#note(connection, { open: { path, protocol: far.protocol } });
    let over = false;
    const pair = {
      path,
      cut: () => {
        if (over) return;
        over = true;
        this.#pairs.delete(pair);
        near.terminate();
        far.terminate();
      },
    };
    this.#pairs.add(pair);
    const cut = () => {
      this.#note(connection, { cut: true });
      pair.cut();
    };

    const pass = (from: 'caller' | 'callee', to: WebSocket, frame: string, fate: Fate) => {
      if (over) return;
      const lost = fate === 'pass' || fate === 'double' ? {} : { lost: true };
      this.#note(connection, { from, frame, ...lost });
      if (typeof fate === 'object') {
        this.#note(connection, { from, frame: fate.replace, by: 'recorder' });
        to.send(fate.replace);
      } else if (fate === 'double') {
        to.send(frame);
        this.#note(connection, { from, frame, by: 'recorder' });
        to.send(frame);
      } else if (fate === 'pass') {
        to.send(frame);
      } else if (fate === 'lose_and_cut') {
        cut();
      }
    };
    near.on('message', (data) => {
      const frame = data.toString();
      pass('caller', far, frame, this.onUp({ path, connection, frame }));
    });
    far.on('message', (data) => {
      const frame = data.toString();
      pass('callee', near, frame, this.onDown({ path, connection, frame }));
    });
    const closes = (from: 'caller' | 'callee', to: WebSocket) => (code: number, reason: Buffer) => {
      if (over) return;
      over = true;
      this.#pairs.delete(pair);
      this.#note(connection, { from, close: { code, reason: reason.toString() } });
      if (code === 1006) to.terminate();
      else if (code === 1005) to.close();
      else to.close(code, reason);
    };
    near.on('close', closes('caller', far));
    far.on('close', closes('callee', near));
    near.on('error', () => {});
  }
}

async function textOf(message: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  for await (const part of message) parts.push(part as Buffer);
  return Buffer.concat(parts).toString();
}

const kept = (headers: IncomingHttpHeaders): Record<string, string> =>
  Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]) =>
      value === undefined || HEADERS_LEFT_OUT.has(name) ? [] : [[name, Array.isArray(value) ? value.join(', ') : value]],
    ),
  );
