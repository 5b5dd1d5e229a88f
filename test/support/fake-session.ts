/**
 * A coordinator for one session that a test steers: real HTTP and real WebSockets, a log in memory,
 * and faults on demand. Without a fault it follows the protocol: offsets, filters, window,
 * `caught_up`, `end`, close codes.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import {
  CLOSE,
  type Execution,
  type HoldfastEvent,
  isTerminal,
  type LoggedEvent,
  type OutputFormat,
  POLICY_DEFAULTS,
  PROBLEMS,
  type ProblemCode,
  parseViewerFrame,
  STREAM_SUBPROTOCOL,
  type TerminalStatus,
} from '../../protocol/index.ts';

export type Behaviour =
  | 'serve'
  /** The upgrade is never answered. */
  | 'hang'
  /** Accepted, then silent. */
  | 'mute'
  /** Hello, then silent: no replay, no pong, no close. */
  | 'half-open'
  | { status: number; problem?: ProblemCode; headers?: Record<string, string> }
  | { close: number; reason?: string; afterHello?: boolean }
  /** The connection is cut after this many event frames, without a close frame. */
  | { cutAfterFrames: number }
  | { delayMs: number };

export interface Viewer {
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly protocols: string[];
  readonly socket: WebSocket;
  readonly acks: number[];
  pings: number;
  open: boolean;
  sent: number;
  live: boolean;
  unacked: { offset: number; bytes: number }[];
  unackedMax: number;
  frames: number;
  cutAfterFrames: number;
  pongs: boolean;
  frozen: boolean;
  waitingFor: string[];
}

export interface Recorded {
  method: string;
  path: string;
  query: URLSearchParams;
  headers: IncomingMessage['headers'];
  body: unknown;
}

/**
 * A response in place of the usual one: a problem, a raw response, or a connection cut before any
 * response.
 */
export type Override =
  | { problem: ProblemCode; facts?: Record<string, unknown>; headers?: Record<string, string> }
  | { status: number; body: string; headers?: Record<string, string> }
  | 'cut'
  /** No response. */
  | 'silent'
  /** Executed, but the response is lost. */
  | 'cut-after';

export class FakeSession {
  readonly session: string;
  url = '';
  readonly log: LoggedEvent[] = [];
  readonly executions = new Map<string, Execution>();
  readonly viewers: Viewer[] = [];
  readonly upgrades: IncomingMessage[] = [];
  readonly requests: Recorded[] = [];
  /** For the next connections, in turn; then `serve`. */
  readonly behaviours: Behaviour[] = [];
  /** For the next requests that match, in turn. */
  readonly overrides: { match: RegExp; override: Override }[] = [];
  apiKey = 'key';
  earliest = 1;
  batchEvents = 50;
  windowBytes = 1024 * 1024;
  ticketsMade = 0;
  /** The log's generation. Undefined: not sent, as in version 0.1.0. */
  generation: string | undefined;
  checksGeneration = true;
  deleted = false;
  /**
   * Whether `end` frames are sent at all. Without them a viewer must find the end by other means.
   */
  tellsEnds = true;
  acceptTicket = (_ticket: string): boolean => true;
  /** Bearer tokens in addition to the API key. */
  acceptBearer = (_token: string): boolean => false;
  /** Events per response of the events route. */
  pageEvents = 100;
  /** Called with every execution that was started. */
  onStart: (execution: Execution, request: Record<string, unknown>) => void = () => {};
  onInterrupt: (execution: Execution) => void = () => {};
  /** What jobs could read, each input once. */
  readonly inputs: string[] = [];
  /** The accepted requests for it, as they came. */
  readonly inputRequests: Record<string, unknown>[] = [];
  /** The sizes that viewers asked for. */
  readonly sizes: string[] = [];
  readonly endedStdins = new Set<string>();
  readonly answers: Record<string, unknown>[] = [];
  readonly #inputIds = new Map<string, number>();
  readonly #http: Server;
  readonly #ws = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) => (offered.has(STREAM_SUBPROTOCOL) ? STREAM_SUBPROTOCOL : false),
  });
  readonly #sockets = new Set<Socket>();

  constructor(session = 's1') {
    this.session = session;
    this.#http = createServer((request, response) => void this.#onRequest(request, response));
    this.#http.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
      socket.on('error', () => {});
    });
    this.#http.on('upgrade', (request, socket, head) => this.#onUpgrade(request, socket as Socket, head));
  }

  async start(port = 0): Promise<this> {
    await new Promise<void>((resolve) => this.#http.listen(port, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
    return this;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (this.#http.listening) await new Promise<void>((resolve) => this.#http.close(() => resolve()));
  }

  get openViewers(): Viewer[] {
    return this.viewers.filter(({ open }) => open);
  }

  get newest(): Viewer {
    const viewer = this.viewers.at(-1);
    if (!viewer) throw new Error('there is no viewer');
    return viewer;
  }

  /** Cuts every connection without a close frame. */
  cut(): void {
    for (const { socket } of this.openViewers) socket.terminate();
  }

  // ── the log ───────────────────────────────────────────────────────────────────────────────────

  addExecution(id: string, fields: Partial<Execution> = {}): Execution {
    const execution: Execution = {
      id,
      session: this.session,
      status: 'running',
      command: ['job'],
      format: 'text',
      launcher: 'container',
      labels: {},
      policy: { ...POLICY_DEFAULTS },
      createdAt: 1_763_650_000_000,
      epoch: 1,
      firstOffset: this.log.length + 1,
      ...fields,
    };
    this.executions.set(id, execution);
    return execution;
  }

  append(execution: string, events: readonly Omit<HoldfastEvent, 'at'>[], { late = false } = {}): void {
    const first = this.log.length + 1;
    const mark = late ? ({ late: true } as const) : {};
    for (const event of events) this.log.push({ offset: this.log.length + 1, ...mark, execution, at: 1_763_650_000_000, ...event });
    for (const viewer of this.openViewers) {
      if (!viewer.live) continue;
      viewer.sent = first - 1;
      this.#pump(viewer);
    }
  }

  output(execution: string, text: string, stream: 'stdout' | 'stderr' = 'stdout', extra: Record<string, unknown> = {}): void {
    this.append(execution, [{ type: 'output', data: { stream, text, ...extra } }]);
  }

  tty(execution: string, text: string): void {
    this.append(execution, [{ type: 'output', data: { stream: 'tty', text } }]);
  }

  lines(execution: string, count: number, from = 1): void {
    this.append(
      execution,
      Array.from({ length: count }, (_, index) => ({ type: 'output', data: { stream: 'stdout', text: `line ${from + index}\n` } })),
    );
  }

  settle(id: string, status: TerminalStatus, fields: Partial<Execution> = {}): void {
    const execution = this.executions.get(id);
    if (!execution) throw new Error(`no execution ${id}`);
    Object.assign(execution, { status, endedAt: 1_763_650_001_000, lastOffset: this.log.length + 1, ...fields });
    const { exitCode, signal, code, error, reason } = execution;
    this.append(id, [{ type: `execution_${status}`, data: { exitCode, signal, code, error, reason } }]);
    for (const viewer of this.openViewers) if (viewer.live) this.#tellEnd(viewer, id, status);
  }

  // ── viewers ───────────────────────────────────────────────────────────────────────────────────

  #onUpgrade(request: IncomingMessage, socket: Socket, head: Buffer): void {
    this.upgrades.push(request);
    const behaviour = this.behaviours.shift() ?? 'serve';
    if (behaviour === 'hang') return;
    if (typeof behaviour === 'object' && 'status' in behaviour) {
      const { status, problem, headers = {} } = behaviour;
      const body = problem ? JSON.stringify(problemOf(problem).body) : 'refused';
      const type = problem ? { 'content-type': 'application/problem+json' } : {};
      const lines = Object.entries({ 'content-length': Buffer.byteLength(body), ...type, ...headers }).map(
        ([name, value]) => `${name}: ${value}\r\n`,
      );
      socket.end(`HTTP/1.1 ${status} Refused\r\n${lines.join('')}connection: close\r\n\r\n${body}`);
      return;
    }
    const accept = () => this.#ws.handleUpgrade(request, socket, head, (ws) => this.#onViewer(request, ws, behaviour));
    if (typeof behaviour === 'object' && 'delayMs' in behaviour) setTimeout(accept, behaviour.delayMs);
    else accept();
  }

  #onViewer(request: IncomingMessage, socket: WebSocket, behaviour: Behaviour): void {
    const { searchParams: query } = new URL(request.url ?? '/', 'http://fake');
    const protocols = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((item) => item.trim());
    const viewer: Viewer = {
      query,
      headers: request.headers,
      protocols,
      socket,
      acks: [],
      pings: 0,
      open: true,
      sent: 0,
      live: false,
      unacked: [],
      unackedMax: 0,
      frames: 0,
      cutAfterFrames:
        typeof behaviour === 'object' && 'cutAfterFrames' in behaviour ? behaviour.cutAfterFrames : Number.POSITIVE_INFINITY,
      pongs: behaviour !== 'half-open' && behaviour !== 'mute',
      frozen: behaviour === 'half-open',
      waitingFor: query.get('execution')?.split(',') ?? [],
    };
    this.viewers.push(viewer);
    socket.on('error', () => {});
    socket.on('close', () => {
      viewer.open = false;
    });
    socket.on('message', (data) => this.#onMessage(viewer, String(data)));

    const bearer = request.headers.authorization === `Bearer ${this.apiKey}`;
    const ticket = protocols.find((item) => item.startsWith('holdfast.ticket.'))?.slice('holdfast.ticket.'.length);
    if (ticket === undefined ? !bearer : !this.acceptTicket(ticket)) return socket.close(CLOSE.credentialRefused, 'ticket_expired');
    if (behaviour === 'mute') return;
    if (typeof behaviour === 'object' && 'close' in behaviour) {
      if (behaviour.afterHello) this.#hello(viewer);
      return socket.close(behaviour.close, behaviour.reason ?? '');
    }
    const wanted = query.get('generation');
    if (this.checksGeneration && wanted !== null && wanted !== (this.generation ?? wanted))
      return socket.close(CLOSE.offsetUnavailable, 'log_replaced');
    const head = this.log.length;
    const tail = query.get('tail');
    viewer.sent = tail === null ? Number(query.get('after')) : Math.max(this.earliest - 1, head - Number(tail));
    if (query.get('from') === 'screen') viewer.sent = this.#screenOf(query.get('execution')) - 1;
    if (viewer.sent > head) return socket.close(CLOSE.offsetUnavailable, 'offset_ahead');
    if (viewer.sent > 0 && viewer.sent < this.earliest - 1) return socket.close(CLOSE.offsetUnavailable, 'offset_expired');
    viewer.sent = Math.max(viewer.sent, this.earliest - 1);
    this.#hello(viewer);
    this.#pump(viewer);
  }

  /** Offset of the newest screen of this execution, or of its first event. */
  #screenOf(id: string | null): number {
    const screen = this.log.findLast(({ type, execution }) => type === 'screen' && execution === id);
    return screen?.offset ?? this.executions.get(id ?? '')?.firstOffset ?? 1;
  }

  #hello({ socket }: Viewer): void {
    const executions = [...this.executions.values()].map(({ id, status, format }) => ({
      id,
      status,
      ...(format === 'text' ? {} : { format }),
    }));
    const { session, earliest, generation } = this;
    socket.send(JSON.stringify({ type: 'hello', session, earliest, head: this.log.length, generation, executions }));
  }

  #onMessage(viewer: Viewer, text: string): void {
    if (text === 'ping') {
      viewer.pings += 1;
      if (viewer.pongs) viewer.socket.send('pong');
      return;
    }
    const frame = parseViewerFrame(text);
    if (!frame || frame.offset > this.log.length) return viewer.socket.close(CLOSE.badFrame, 'bad viewer frame');
    viewer.acks.push(frame.offset);
    while (viewer.unacked[0] && viewer.unacked[0].offset <= frame.offset) viewer.unacked.shift();
    this.#pump(viewer);
  }

  /** Sends what follows `sent`, as far as the window allows. Then the viewer is live. */
  #pump(viewer: Viewer): void {
    const { query, socket } = viewer;
    const flow = query.get('flow') === 'ack';
    const types = query.get('types')?.split(',');
    const executions = query.get('execution')?.split(',');
    while (viewer.open && !viewer.frozen && viewer.sent < this.log.length) {
      if (flow && viewer.unacked.reduce((sum, { bytes }) => sum + bytes, 0) >= this.windowBytes) {
        viewer.live = false;
        return;
      }
      const first = this.log[viewer.sent] as LoggedEvent;
      const batch: LoggedEvent[] = [];
      for (let at = viewer.sent; at < this.log.length && batch.length < this.batchEvents; at += 1) {
        const event = this.log[at] as LoggedEvent;
        if (event.execution !== first.execution || event.late !== first.late) break;
        batch.push(event);
      }
      viewer.sent += batch.length;
      const kept = batch.filter(
        ({ type, execution }) => (types?.includes(type) ?? true) && (executions?.includes(execution) ?? true),
      );
      if (kept.length === 0) continue;
      const events = kept.map(({ type, at, data }) => ({ type, at, data }));
      const place = kept.length === batch.length ? { offset: first.offset } : { offsets: kept.map(({ offset }) => offset) };
      const mark = first.late ? { late: true } : {};
      const text = JSON.stringify({ type: 'events', ...place, ...mark, execution: first.execution, events });
      socket.send(text);
      viewer.unacked.push({ offset: viewer.sent, bytes: text.length });
      viewer.unackedMax = Math.max(
        viewer.unackedMax,
        viewer.unacked.reduce((sum, { bytes }) => sum + bytes, 0),
      );
      viewer.frames += 1;
      if (viewer.frames >= viewer.cutAfterFrames) {
        viewer.open = false;
        // What was sent is delivered; the cut comes without a close frame.
        (socket as unknown as { _socket: Socket })._socket.end();
        return;
      }
    }
    if (!viewer.open || viewer.frozen || viewer.live) return;
    viewer.live = true;
    socket.send(JSON.stringify({ type: 'caught_up', offset: this.log.length }));
    for (const id of [...viewer.waitingFor]) {
      const status = this.executions.get(id)?.status;
      if (status && isTerminal(status)) this.#tellEnd(viewer, id, status);
    }
  }

  #tellEnd(viewer: Viewer, execution: string, status: TerminalStatus): void {
    if (!this.tellsEnds) return;
    const filtered = viewer.query.has('execution');
    if (filtered && !viewer.waitingFor.includes(execution)) return;
    viewer.waitingFor = viewer.waitingFor.filter((id) => id !== execution);
    viewer.socket.send(JSON.stringify({ type: 'end', execution, status }));
    if (filtered && viewer.waitingFor.length === 0) viewer.socket.close(CLOSE.done, 'ended');
  }

  // ── HTTP ──────────────────────────────────────────────────────────────────────────────────────

  async #onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname: path, searchParams: query } = new URL(request.url ?? '/', 'http://fake');
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const text = Buffer.concat(chunks).toString();
    const body: unknown = text === '' ? undefined : JSON.parse(text);
    const { method = 'GET', headers } = request;
    this.requests.push({ method, path, query, headers, body });

    const at = this.overrides.findIndex(({ match }) => match.test(`${method} ${path}`));
    const override = at === -1 ? null : (this.overrides.splice(at, 1)[0]?.override ?? null);
    if (override === 'cut') return void request.socket.destroy();
    if (override === 'silent') return;
    if (override && override !== 'cut-after') {
      if ('problem' in override) return send(response, problemOf(override.problem, override.facts), override.headers);
      response.writeHead(override.status, override.headers).end(override.body);
      return;
    }
    const bearer = headers.authorization?.replace(/^Bearer /, '') ?? '';
    if (bearer !== this.apiKey && !this.acceptBearer(bearer)) return send(response, problemOf('unauthorized'));
    const answer = await this.#route(method, path, query, body as Record<string, unknown>);
    if (override === 'cut-after') return void request.socket.destroy();
    send(response, answer, answer.headers);
  }

  async #route(method: string, path: string, query: URLSearchParams, body: Record<string, unknown>): Promise<Answer> {
    if (path === '/v1/sessions') {
      const newest = [...this.executions.values()].at(-1) ?? null;
      return { status: 200, body: { data: [{ id: this.session, execution: newest }], next: null } };
    }
    const [, session, rest = ''] = /^\/v1\/sessions\/([^/]+)(\/.*)?$/.exec(path) ?? [];
    if (session === undefined) return problemOf('not_found');
    if (method === 'POST' && rest === '/executions') return this.#startExecution(session, body);
    if (session !== this.session || this.deleted) return problemOf('session_not_found');
    const [, ofExecution] = /^(?:\/executions\/([^/]+))?\/events$/.exec(rest) ?? [];
    if (rest.endsWith('/events')) return this.#readEvents(ofExecution, query);
    if (rest === '' && method === 'DELETE') {
      this.deleted = true;
      return { status: 200, body: {} };
    }
    if (rest === '') {
      const counts = { queued: 0, pending: 0, running: 0, completed: 0, failed: 0, interrupted: 0 };
      return { status: 200, body: { id: session, earliest: this.earliest, head: this.log.length, counts, active: null } };
    }
    if (rest === '/tickets') {
      this.ticketsMade += 1;
      return { status: 201, body: { ticket: `t${this.ticketsMade}`, expiresAt: 0 } };
    }
    if (rest === '/executions') {
      const wanted = query.get('status');
      const data = [...this.executions.values()].reverse().filter(({ status }) => wanted === null || status === wanted);
      const limit = Number(query.get('limit') ?? 50);
      return { status: 200, body: { data: data.slice(0, limit), next: data.length > limit ? 'c1' : null } };
    }
    const [, id, action] = /^\/executions\/([^/]+)(?:\/(\w+))?$/.exec(rest) ?? [];
    const execution = id === undefined ? undefined : this.executions.get(id);
    if (!execution) return problemOf('execution_not_found');
    switch (action) {
      case undefined: {
        const until = Date.now() + Number(query.get('wait') ?? 0) * 1000;
        while (!isTerminal(execution.status) && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 10));
        return { status: 200, body: execution };
      }
      case 'interrupt':
        if (isTerminal(execution.status)) return { status: 200, body: { settled: false, execution } };
        this.onInterrupt(execution);
        return { status: 202, body: { settled: isTerminal(execution.status), execution } };
      case 'fail': {
        const settled = !isTerminal(execution.status);
        if (settled) this.settle(execution.id, 'failed', { code: String(body.code), error: String(body.message) });
        return { status: 200, body: { settled, execution } };
      }
      case 'resize': {
        if (!execution.terminal) return problemOf('not_a_terminal');
        const { cols, rows } = body as { cols: number; rows: number };
        const changed = execution.terminal.cols !== cols || execution.terminal.rows !== rows;
        execution.terminal = { cols, rows };
        this.sizes.push(`${cols}x${rows}`);
        if (changed) this.append(execution.id, [{ type: 'resize', data: { cols, rows, by: { kind: 'key', id: 'key' } } }]);
        return { status: 200, body: { terminal: execution.terminal, changed } };
      }
      case 'answer':
        if (execution.asking?.id !== body.id) return problemOf('not_asking');
        this.answers.push(body);
        delete execution.asking;
        return { status: 202, body: { commandId: this.answers.length } };
      case 'input':
        if (execution.status !== 'running') return problemOf('not_running');
        return this.#input(execution.id, body);
      default:
        return problemOf('not_found');
    }
  }

  /** HTTP34 */
  #input(execution: string, body: Record<string, unknown>): Answer {
    const key = `${execution}/${body.inputId}`;
    const known = this.#inputIds.get(key);
    if (known !== undefined) return { status: 202, body: { commandId: known } };
    if (this.endedStdins.has(execution)) return problemOf('stdin_closed');
    this.inputRequests.push(body);
    const text = body.text ?? body.data;
    if (text !== undefined) this.inputs.push(String(text));
    if (typeof body.base64 === 'string') this.inputs.push(Buffer.from(body.base64, 'base64').toString());
    if (body.eof === true) this.endedStdins.add(execution);
    if (body.inputId !== undefined) this.#inputIds.set(key, this.inputRequests.length);
    return { status: 202, body: { commandId: this.inputRequests.length } };
  }

  /** One page of the Durable Streams route (STR22), without its live modes. */
  #readEvents(id: string | undefined, query: URLSearchParams): Answer {
    const execution = id === undefined ? undefined : this.executions.get(id);
    if (id !== undefined && !execution) return problemOf('execution_not_found');
    const [offset = '-1', named = query.get('generation')] = (query.get('offset') ?? '-1').split('_');
    const { generation } = this;
    if (named !== null && generation !== undefined && named !== generation) return problemOf('log_replaced', { generation });
    if (offset !== '-1' && offset !== 'now' && !/^\d{16}$/.test(offset)) return problemOf('bad_request');
    const after = offset === '-1' ? this.earliest - 1 : offset === 'now' ? this.log.length : Number(offset);
    if (after > this.log.length) return problemOf('offset_ahead', { head: this.log.length });
    if (after < this.earliest - 1) return problemOf('offset_expired', { earliest: this.earliest });
    const kept = this.log.slice(after).filter((event) => id === undefined || event.execution === id);
    const body = kept.slice(0, this.pageEvents);
    const upToDate = body.length === kept.length;
    const settled = execution && isTerminal(execution.status) ? (execution.lastOffset ?? null) : null;
    const reached = upToDate ? this.log.length : (body.at(-1)?.offset ?? after);
    const next = settled === null ? reached : Math.max(after, Math.min(reached, settled));
    return {
      status: 200,
      body,
      headers: {
        'stream-next-offset': String(next).padStart(16, '0') + (generation === undefined ? '' : `_${generation}`),
        ...(upToDate ? { 'stream-up-to-date': 'true' } : {}),
        ...(upToDate && settled !== null ? { 'stream-closed': 'true' } : {}),
      },
    };
  }

  #startExecution(session: string, body: Record<string, unknown>): Answer {
    const id = String(body.id);
    const known = this.executions.get(id);
    const ingest = { url: `${this.url}/v1/sessions/${session}/executions/${id}/ingest`, token: 'token' };
    if (known) return { status: 200, body: { execution: known, ingest } };
    (this as { session: string }).session = session;
    const execution = this.addExecution(id, {
      command: body.command as string[],
      ...(body.format ? { format: body.format as OutputFormat } : {}),
      ...(body.terminal ? { terminal: body.terminal as { cols: number; rows: number } } : {}),
      ...(body.launcher ? { launcher: body.launcher as 'container' } : {}),
    });
    this.append(id, [{ type: 'execution_pending', data: {} }]);
    this.onStart(execution, body);
    return { status: 201, body: { execution, ingest } };
  }
}

interface Answer {
  status: number;
  body: unknown;
  headers?: Record<string, string>;
}

function problemOf(code: ProblemCode, facts: Record<string, unknown> = {}): Answer {
  const { status, retryable, title } = PROBLEMS[code];
  return {
    status,
    body: { type: `urn:${code}`, title, status, detail: `${title}.`, code, retryable, requestId: 'req_1', ...facts },
  };
}

function send(response: ServerResponse, { status, body }: Answer, headers: Record<string, string> = {}): void {
  const type = status >= 400 ? 'application/problem+json' : 'application/json';
  response.writeHead(status, { 'content-type': type, ...headers }).end(JSON.stringify(body));
}

/** Waits until `condition` holds; the failure names the missing condition. */
export async function until(what: string, condition: () => boolean, timeoutMs = 30_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`waited ${timeoutMs} ms in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
