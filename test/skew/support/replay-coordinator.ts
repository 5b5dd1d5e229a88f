/**
 * A coordinator of another version, as recorded: it sends what that one sent, word for word, when
 * its peer has progressed as far as the recorded peer had. It decides nothing, and stores what it
 * receives for comparison.
 *
 * The progress of a peer is counted, not compared: hellos, unacknowledged events, and acknowledged
 * commands, on this connection; of a viewer, its acks. So a wrapper that cuts its frames
 * differently still gets its responses in the recorded order. Where it sends less in a frame than
 * was recorded, that part is acknowledged (ING5).
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { connectionsOf, type Entry, type Exchange, type Fixture } from './fixtures.ts';
import { lastSeqIn } from './jobs.ts';

interface Progress {
  hellos: number;
  events: number;
  acks: number;
  acked: number;
}

type Action = { after: Progress } & ({ send: string } | { close: { code: number; reason: string } } | { cut: true });

const reached = (now: Progress, wanted: Progress): boolean =>
  now.hellos >= wanted.hellos && now.events >= wanted.events && now.acks >= wanted.acks;

/**
 * Counts what a caller's frame adds, in place. The progress of a viewer is the offset that it
 * acknowledged.
 */
function count(progress: Progress, frame: string): void {
  if (!frame.startsWith('{')) return;
  const header = JSON.parse(frame.split('\n')[0] ?? '') as { type?: string; count?: number; offset?: number };
  if (header.type === 'hello') progress.hellos += 1;
  else if (header.type === 'events') progress.events += Math.min(header.count ?? 0, Math.max(0, lastSeqIn(frame) - progress.acked));
  else if (header.type === 'ack') progress.acks = Math.max(progress.acks, header.offset ?? 0);
  else progress.acks += 1;
}

/**
 * What the callee claims to have. A peer may resend it all the same, with later events in the same
 * frame.
 */
function noteAcked(progress: Progress, frame: string): void {
  const { type, seq, ackedSeq } = JSON.parse(frame) as { type?: string; seq?: number; ackedSeq?: number };
  if (type === 'welcome' || type === 'ack') progress.acked = Math.max(progress.acked, seq ?? ackedSeq ?? 0);
}

/**
 * What the recorded coordinator did on a connection, each with the progress of its peer at that
 * time.
 */
function actionsOf(entries: readonly Entry[]): Action[] {
  const progress: Progress = { hellos: 0, events: 0, acks: 0, acked: 0 };
  const actions: Action[] = [];
  for (const entry of entries) {
    const after = { ...progress };
    if ('frame' in entry && entry.from === 'caller') {
      if (!entry.by) count(progress, entry.frame);
    } else if ('frame' in entry) {
      if (entry.frame.startsWith('{')) noteAcked(progress, entry.frame);
      if (!entry.lost) actions.push({ after, send: entry.frame });
    } else if ('close' in entry && entry.from === 'callee') actions.push({ after, close: entry.close });
    else if ('cut' in entry) actions.push({ after, cut: true });
  }
  return actions;
}

export class ReplayCoordinator {
  url = '';
  /** Event lines by seq, as they first arrived. */
  readonly lines = new Map<number, string>();
  readonly hellos: Record<string, unknown>[] = [];
  readonly commandAcks: number[] = [];
  readonly faults: string[] = [];
  /** Connections and posts so far. */
  dials = 0;
  /** Responses to requests other than posts of a wrapper, by method and path. */
  exchanges: readonly Exchange[] = [];
  readonly #scripts: Entry[][];
  readonly #server: Server;
  readonly #ws = new WebSocketServer({ noServer: true, handleProtocols: (offered) => [...offered][0] ?? false });
  readonly #sockets = new Set<Duplex>();
  /** Changes the messages, to make a version that never existed. */
  readonly #reword: (frame: string) => string[];

  constructor(fixture: Fixture, reword: (frame: string) => string[] = (frame) => [frame]) {
    this.#scripts = connectionsOf(fixture);
    this.#reword = reword;
    this.#server = createServer((request, response) =>
      request.url?.endsWith('/ingest') ? this.#post(request, response) : this.#answer(request, response),
    );
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
  }

  /** Every connection of the recording was replayed. */
  get played(): boolean {
    return this.dials >= this.#scripts.length;
  }

  get sent(): number {
    return Math.max(0, ...this.lines.keys());
  }

  async start(path: string): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}${path}`;
    return this;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #next(): Entry[] {
    // A wrapper doubts a refusal for some seconds (SPL30): what was refused is refused again.
    const last = this.#scripts.at(-1);
    const script = this.#scripts[this.dials] ?? (last?.some((entry) => 'refused' in entry) ? last : undefined);
    this.dials += 1;
    if (!script) this.faults.push(`connection ${this.dials} was never recorded`);
    return script ?? [];
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => {});
    const script = this.#next();
    const [first] = script;
    if (!first) return void socket.destroy();
    if ('refused' in first) {
      const { status, headers, body } = first.refused;
      const lines = Object.entries({ ...headers, 'content-length': Buffer.byteLength(body), connection: 'close' });
      socket.end(`HTTP/1.1 ${status} No\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`);
      return;
    }
    this.#ws.handleUpgrade(request, socket as Socket, head, (ws) => this.#play(ws, actionsOf(script)));
  }

  #play(ws: WebSocket, actions: Action[]): void {
    const progress: Progress = { hellos: 0, events: 0, acks: 0, acked: 0 };
    const goOn = (): void => {
      for (let next = actions[0]; next && reached(progress, next.after); next = actions[0]) {
        actions.shift();
        if ('send' in next) {
          if (next.send.startsWith('{')) noteAcked(progress, next.send);
          for (const frame of this.#reword(next.send)) ws.send(frame);
        } else if ('close' in next) ws.close(next.close.code, next.close.reason);
        else ws.terminate();
      }
    };
    ws.on('message', (data) => {
      const frame = data.toString();
      if (frame === 'ping') return ws.send('pong');
      count(progress, frame);
      this.#take(frame);
      const left = actions.length;
      goOn();
      const waiting = actions[0];
      // The recorded peer had these events and more in one frame, so the recording has no ack for
      // them alone. Without one the wrapper would wait for ever.
      if (actions.length === left && waiting && lastSeqIn(frame) > 0 && waiting.after.events > progress.events) {
        progress.acked = lastSeqIn(frame);
        ws.send(`{"type":"ack","seq":${progress.acked}}`);
      }
    });
    goOn();
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const wanted = `${request.method} ${request.url}`;
    const known = this.exchanges.find(({ request: { method, path } }) => `${method} ${path}` === wanted);
    if (!known) this.faults.push(`${wanted} was never recorded`);
    response.writeHead(known?.response.status ?? 404, known?.response.headers).end(known?.response.body);
  }

  #post(request: IncomingMessage, response: ServerResponse): void {
    const script = this.#next();
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const lines = Buffer.concat(parts).toString().split('\n');
      for (let at = 0; at < lines.length; ) {
        const header = JSON.parse(lines[at] || '{}') as { type?: string; count?: number };
        const size = 1 + (header.type === 'events' ? (header.count ?? 0) : 0);
        if (header.type !== undefined) this.#take(lines.slice(at, at + size).join('\n'));
        at += size;
      }
      const answered = script.find((entry) => 'response' in entry);
      if (!answered || !('response' in answered)) return void response.destroy();
      const { status, headers, body } = answered.response;
      const said = body.split('\n').flatMap((line) => (line === '' ? [line] : this.#reword(line)));
      response.writeHead(status, headers).end(said.join('\n'));
    });
  }

  #take(frame: string): void {
    const [head = '', ...lines] = frame.split('\n');
    const header = JSON.parse(head) as Record<string, unknown> & { type?: string };
    if (header.type === 'hello') this.hellos.push(header);
    if (header.type === 'command_ack') this.commandAcks.push(header.id as number);
    if (header.type !== 'events') return;
    const first = lastSeqIn(frame) - lines.length + 1;
    for (const [index, line] of lines.entries()) {
      const known = this.lines.get(first + index);
      if (known !== undefined && known !== line) this.faults.push(`event ${first + index} came again with another content`);
      this.lines.set(first + index, line);
    }
  }
}
