/**
 * A coordinator that a test steers: real HTTP and WebSocket, without the rules of the lifecycle. It
 * stores events by seq like the real one (duplicates dropped, holes refused), and records in
 * `faults` whatever a correct wrapper never does.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import {
  CLAIMED_REASON,
  CLOSE,
  type Command,
  type EventsFrame,
  encodeFrame,
  FRAME_BYTES_MAX,
  type HelloFrame,
  type HoldfastEvent,
  INGEST_SUBPROTOCOL,
  isTerminalFact,
  type JobTerms,
  type OutputData,
  outputBytes,
  PING,
  POLICY_DEFAULTS,
  PONG,
  POST_BODY_BYTES_MAX,
  type Policy,
  PROBLEMS,
  type ProblemCode,
  parseWrapperFrame,
  splitFrames,
  WINDOW_BYTES,
} from '../../protocol/index.ts';

export interface Refusal {
  status: number;
  headers?: Record<string, string>;
  body?: string;
}

/** A response of the coordinator itself: a problem document as `src/http/problem.ts` makes it. */
export function problemAnswer(code: ProblemCode, detail = 'some detail', facts: Record<string, unknown> = {}): Refusal {
  const { status, retryable, title } = PROBLEMS[code];
  const type = `https://holdfast.dev/problems/${code}`;
  return {
    status,
    headers: { 'content-type': 'application/problem+json' },
    body: JSON.stringify({ ...facts, type, title, status, detail, code, retryable, requestId: 'req_1' }),
  };
}

/** What a proxy, a captive portal or a firewall answers in place of the coordinator. */
export const pageAnswer = (status: number): Refusal => ({
  status,
  headers: { 'content-type': 'text/html; charset=utf-8' },
  body: '<!doctype html><title>No</title>',
});

/** What a fake connection needs of its socket. The body of a post has it too. */
type FakeSocket = Pick<WebSocket, 'send' | 'close' | 'terminate'>;

/**
 * A post in place of a socket: it collects the frames, and a close becomes the last line (ING18).
 */
class PostedSocket implements FakeSocket {
  readonly lines: string[] = [];
  closed = false;
  send(frame: string): void {
    if (!this.closed) this.lines.push(frame);
  }
  close(code = 1005, reason: string | Buffer = ''): void {
    if (!this.closed) this.lines.push(JSON.stringify({ type: 'close', code, reason: reason.toString() }));
    this.closed = true;
  }
  terminate(): void {
    this.closed = true;
  }
}

export class FakeConnection {
  readonly socket: FakeSocket;
  readonly token: string;
  readonly openedAt = Date.now();
  hello: HelloFrame | null = null;
  pings = 0;
  frames: { seq: number; count: number }[] = [];
  closed: { code: number; reason: string } | null = null;

  /** Length of the body, when this is a post. */
  readonly posted: number | null;

  constructor(socket: FakeSocket, token: string, posted: number | null = null) {
    this.socket = socket;
    this.token = token;
    this.posted = posted;
  }

  /** The network fails without a close: RST now. */
  cut(): void {
    this.socket.terminate();
  }

  /** Half-open: TCP stays up, but this end no longer reads. */
  freeze(): void {
    (this.socket as unknown as { _socket: Socket })._socket.pause();
  }

  send(frame: string): void {
    this.socket.send(frame);
  }
}

export class FakeCoordinator {
  readonly connections: FakeConnection[] = [];
  readonly posts: FakeConnection[] = [];
  readonly lines: string[] = [];
  readonly faults: string[] = [];
  readonly ackedCommands: number[] = [];
  /** Times of all upgrade requests, including refused ones. */
  readonly dials: number[] = [];
  duplicates = 0;
  ended = false;

  // Settings of the test.
  token = 'secret';
  policy: Policy = { ...POLICY_DEFAULTS };
  /** Sent in each welcome. Null: left out, as a coordinator of 0.1.0 does. */
  job: JobTerms | null = null;
  /** Sent in each welcome. Empty: left out, as a coordinator of 0.1.0 does. */
  features: readonly string[] = [];
  /** What it claims to have stored already; undefined: nothing. */
  logBytes: number | undefined;
  limits = { frameBytes: FRAME_BYTES_MAX, windowBytes: WINDOW_BYTES };
  commands: Command[] = [];
  /** Response to an upgrade instead of accepting it. */
  refuse: (dial: number) => Refusal | 'hang' | null = () => null;
  /**
   * Response to a post instead of accepting it; 'lost' accepts it and cuts the connection before
   * the response.
   */
  refusePost: (post: number) => Refusal | 'hang' | 'lost' | null = () => null;
  /** False: the test answers the hello itself, or the hello stays unanswered. */
  onHello: (connection: FakeConnection, hello: HelloFrame) => boolean = () => true;
  /** Called before a frame is processed; false drops it as if it had never been read. */
  onFrame: (connection: FakeConnection, frame: EventsFrame) => boolean = () => true;
  ackDelayMs = 0;
  acks = true;
  pongs = true;
  /** Close with 4000 after a terminal fact, and answer later hellos with it. */
  settles = true;
  /**
   * The execution got its verdict while the wrapper was away: a hello that says `late` is welcomed
   * late, any other one is closed 4000. `refuses`: as a coordinator of 0.1.0, which knows no
   * `late`.
   */
  overdue: 'takes_late' | 'refuses' | null = null;

  #server: Server | null = null;
  #port = 0;
  #epoch = 0;
  #wrapperId: string | null = null;
  /** The boot whose posts are one connection, while no socket has taken over (ING19). */
  #postingBoot: string | null = null;
  #postCount = 0;
  #hanging: Duplex[] = [];
  #waiting = new Set<() => void>();

  get url(): string {
    return `http://127.0.0.1:${this.#port}/v1/sessions/s1/executions/e1/ingest`;
  }
  get epoch(): number {
    return this.#epoch;
  }
  get ackedSeq(): number {
    return this.lines.length;
  }
  get events(): HoldfastEvent[] {
    return this.lines.map((line) => JSON.parse(line) as HoldfastEvent);
  }
  get last(): FakeConnection {
    const last = this.connections.at(-1);
    if (!last) throw new Error('no connection yet');
    return last;
  }
  /** The same as bytes. */
  bytes(stream: 'stdout' | 'stderr' | 'tty' = 'stdout'): Buffer {
    const output = this.events.filter(({ type, data }) => type === 'output' && data.stream === stream);
    return Buffer.concat(output.map(({ data }) => outputBytes(data as unknown as OutputData)));
  }
  /** The output of the job, concatenated. */
  text(stream: 'stdout' | 'stderr' | 'tty' = 'stdout'): string {
    return this.events
      .filter(({ type, data }) => type === 'output' && data.stream === stream)
      .map(({ data }) => data.text)
      .join('');
  }

  async start(): Promise<this> {
    const sockets = new WebSocketServer({
      noServer: true,
      maxPayload: 2 * FRAME_BYTES_MAX,
      handleProtocols: (offered) => (offered.has(INGEST_SUBPROTOCOL) ? INGEST_SUBPROTOCOL : false),
    });
    const server = createServer((request, response) => this.#post(request, response));
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      // A peer that hangs up on a refusal resets the connection. That is not an error of this side.
      socket.on('error', () => {});
      this.dials.push(Date.now());
      this.#changed();
      const refusal = this.refuse(this.dials.length);
      const token = (request.headers.authorization ?? '').replace('Bearer ', '');
      if (refusal === 'hang') {
        this.#hanging.push(socket);
        return;
      }
      const answer = refusal ?? (token === this.token ? null : problemAnswer('unauthorized', 'The ingest token is invalid.'));
      if (answer) {
        const headers = Object.entries({
          'content-length': String(Buffer.byteLength(answer.body ?? '')),
          connection: 'close',
          ...answer.headers,
        });
        socket.end(
          `HTTP/1.1 ${answer.status} No\r\n${headers.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${answer.body ?? ''}`,
        );
        return;
      }
      sockets.handleUpgrade(request, socket, head, (ws) => this.#accept(ws, token));
    });
    await new Promise<void>((resolve) => server.listen(this.#port, '127.0.0.1', resolve));
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
    return this;
  }

  /**
   * Stops without a close, with the port closed. Acknowledged events stay. `start` restarts it on
   * the same port.
   */
  async crash(): Promise<void> {
    for (const { socket } of this.connections) socket.terminate();
    for (const socket of this.#hanging.splice(0)) socket.destroy();
    this.#server?.closeAllConnections();
    await new Promise((resolve) => this.#server?.close(resolve));
    this.#server = null;
  }

  async stop(): Promise<void> {
    if (this.#server) await this.crash();
  }

  sendCommand(command: Command): void {
    this.commands.push(command);
    this.last.send(JSON.stringify({ type: 'command', ...command }));
  }

  /** Resolves when the condition holds; checked after every event here. */
  async until(condition: () => boolean, what: string, timeoutMs = 40_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!condition()) {
      const left = deadline - Date.now();
      if (left <= 0) throw new Error(`timed out: ${what}; ${this.lines.length} events, faults: ${this.faults.join('; ')}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(left, 50));
        this.#waiting.add(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
  }

  #changed(): void {
    for (const wake of this.#waiting) wake();
    this.#waiting.clear();
  }

  #post(request: IncomingMessage, response: ServerResponse): void {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      this.#postCount += 1;
      const body = Buffer.concat(parts);
      const token = (request.headers.authorization ?? '').replace('Bearer ', '');
      const refusal = request.method === 'POST' ? this.refusePost(this.#postCount) : { status: 404 };
      if (refusal === 'hang') {
        this.#hanging.push(request.socket);
        return;
      }
      const answer =
        refusal === 'lost'
          ? null
          : (refusal ?? (token === this.token ? null : problemAnswer('unauthorized', 'The ingest token is invalid.')));
      if (answer) {
        response.writeHead(answer.status, answer.headers).end(answer.body ?? '');
        return;
      }
      if (body.length > POST_BODY_BYTES_MAX) this.faults.push(`a body of ${body.length} bytes`);
      const socket = new PostedSocket();
      const connection = new FakeConnection(socket, token, body.length);
      this.posts.push(connection);
      for (const frame of splitFrames(body.toString())) if (!socket.closed) this.#received(connection, frame);
      if (refusal === 'lost') request.socket.destroy();
      else response.writeHead(200).end(`${socket.lines.join('\n')}\n`);
      this.#changed();
    });
  }

  #accept(ws: WebSocket, token: string): void {
    const connection = new FakeConnection(ws, token);
    this.connections.push(connection);
    ws.on('error', () => {});
    ws.on('close', (code, reason) => {
      connection.closed = { code, reason: reason.toString() };
      this.#changed();
    });
    ws.on('message', (data, binary) => {
      if (binary) this.faults.push('binary message');
      else this.#received(connection, data.toString());
      this.#changed();
    });
    this.#changed();
  }

  #received(connection: FakeConnection, text: string): void {
    if (text === PING) {
      connection.pings += 1;
      if (this.pongs) connection.send(PONG);
      return;
    }
    const parsed = parseWrapperFrame(text);
    if (!parsed.ok) {
      this.faults.push(parsed.detail);
      connection.socket.close(CLOSE.badFrame, parsed.detail);
      return;
    }
    const { frame } = parsed;
    if (frame.type !== 'hello' && !connection.hello) this.faults.push(`${frame.type} before hello`);
    switch (frame.type) {
      case 'hello':
        connection.hello = frame;
        if (this.onHello(connection, frame)) this.welcome(connection);
        return;
      case 'command_ack':
        this.ackedCommands.push(frame.id);
        this.commands = this.commands.filter(({ id }) => id !== frame.id);
        return;
      case 'events':
        connection.frames.push({ seq: frame.seq, count: frame.count });
        if (this.onFrame(connection, frame)) this.#store(connection, frame);
        return;
      default:
        frame satisfies never;
    }
  }

  welcome(connection: FakeConnection): void {
    const wrapperId = connection.hello?.wrapperId ?? '';
    if (this.ended && this.settles) return connection.socket.close(CLOSE.settled, this.#settledReason);
    const late = this.overdue === 'takes_late' && connection.hello?.late === true;
    if (this.overdue !== null && !late) return connection.socket.close(CLOSE.settled, this.#settledReason);
    if (this.#wrapperId !== null && this.#wrapperId !== wrapperId) return connection.socket.close(CLOSE.claimed, CLAIMED_REASON);
    this.#wrapperId = wrapperId;
    const { bootId = '' } = connection.hello ?? {};
    const continues = connection.posted !== null && this.#postingBoot === bootId;
    this.#postingBoot = connection.posted === null ? null : bootId;
    if (!continues) {
      for (const other of this.connections) if (other !== connection && other.closed === null) other.socket.close(CLOSE.superseded);
      this.#epoch += 1;
    }
    connection.send(
      encodeFrame({
        type: 'welcome',
        protocol: 1,
        epoch: this.#epoch,
        ackedSeq: this.ackedSeq,
        ...(this.logBytes === undefined ? {} : { logBytes: this.logBytes }),
        policy: this.policy,
        limits: this.limits,
        commands: this.commands,
        ...(this.features.length > 0 ? { features: this.features } : {}),
        ...(late ? { late: true } : {}),
        ...(this.job ? { job: this.job } : {}),
      }),
    );
  }

  #store(connection: FakeConnection, frame: EventsFrame): void {
    const lines = frame.body.split('\n');
    if (frame.seq > this.ackedSeq + 1) {
      connection.send(encodeFrame({ type: 'nack', expected: this.ackedSeq + 1 }));
      return;
    }
    for (const [index, line] of lines.entries()) {
      const seq = frame.seq + index;
      if (seq <= this.ackedSeq) {
        this.duplicates += 1;
        if (this.lines[seq - 1] !== line) this.faults.push(`event ${seq} came again with another content`);
      } else {
        if (this.ended) this.faults.push(`event ${seq} after the terminal fact`);
        this.lines.push(line);
        this.ended = isTerminalFact(JSON.parse(line) as HoldfastEvent);
      }
    }
    const seq = this.ackedSeq;
    if (this.acks) {
      const acknowledge = () => connection.send(encodeFrame({ type: 'ack', seq }));
      if (this.ackDelayMs > 0 && connection.posted === null) setTimeout(acknowledge, this.ackDelayMs);
      else acknowledge();
    }
    if (this.ended && this.settles) connection.socket.close(CLOSE.settled, this.#settledReason);
  }

  get #settledReason(): string {
    return this.overdue === null ? '{"status":"completed"}' : '{"status":"failed"}';
  }
}
