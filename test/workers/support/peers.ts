/**
 * Peers that a test steers: an API caller, a wrapper and a viewer, over real sockets into the
 * Worker.
 */

import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { env, exports } from 'cloudflare:workers';
import {
  type CoordinatorFrame,
  type Execution,
  encodeEventsFrame,
  type HoldfastEvent,
  INGEST_SUBPROTOCOL,
  type IngestAccess,
  offsetOf,
  parseCoordinatorFrame,
  parseStreamFrame,
  STREAM_SUBPROTOCOL,
  type StartRequest,
  type StreamFrame,
} from '../../../protocol/index.ts';
import type { Env } from '../../../src/platform/env.ts';
import { logLine } from '../../../src/platform/log.ts';
import type { SessionCalls } from '../../../src/session/contract.ts';
import type { SessionCoordinator } from '../../../src/session/coordinator.ts';
import { WorkerServices } from '../../../src/session/worker-services.ts';

export const ORIGIN = 'https://holdfast.test';
export const ACME_KEY = 'acme-key-0123456789abcdef';
export const GLOBEX_KEY = 'globex-key-0123456789abcdef';

export const testEnv = env;

let sessions = 0;
/** Storage is isolated per file, not per test, so every test gets a session of its own. */
export const newSession = (): string => `s${++sessions}`;

export function stubOf(session: string, tenant = 'acme'): DurableObjectStub<SessionCoordinator> {
  return testEnv.SESSIONS.getByName(`${tenant}/${session}`) as DurableObjectStub<SessionCoordinator>;
}

/**
 * The object is not in memory from here on, with its sockets kept or (`close`) lost. On a slow
 * machine it may have hibernated already, as it does after about ten idle seconds. That is
 * equivalent, unless its sockets are to be lost: only a running object can lose them.
 */
export async function putToSleep(
  stub: DurableObjectStub,
  { webSockets }: { webSockets?: 'close' | 'hibernate' } = {},
): Promise<void> {
  const options = webSockets === undefined ? {} : { webSockets };
  try {
    await evictDurableObject(stub, options);
  } catch (error) {
    if (!/not currently running/.test(String(error))) throw error;
    if (webSockets !== 'close') return;
    await runInDurableObject(stub, () => {});
    await evictDurableObject(stub, options);
  }
}

export async function api(
  method: string,
  path: string,
  { body, key = ACME_KEY, headers = {} }: { body?: unknown; key?: string | null; headers?: Record<string, string> } = {},
): Promise<{ status: number; body: Record<string, unknown>; headers: Headers }> {
  const response = await exports.default.fetch(`${ORIGIN}${path}`, {
    method,
    headers: { ...(key === null ? {} : { authorization: `Bearer ${key}` }), ...headers },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, headers: response.headers, body: text === '' ? {} : JSON.parse(text) };
}

export interface Run {
  session: string;
  execution: Execution;
  ingest: IngestAccess;
}

export async function start(session: string, request: Partial<StartRequest> = {}): Promise<Run> {
  const { status, body } = await api('POST', `/v1/sessions/${session}/executions`, { body: { command: ['job'], ...request } });
  if (status !== 201 && status !== 200) throw new Error(`start answered ${status}: ${JSON.stringify(body)}`);
  return { session, execution: body.execution as Execution, ingest: body.ingest as IngestAccess };
}

export async function get(run: Pick<Run, 'session' | 'execution'>): Promise<Execution> {
  const { body } = await api('GET', `/v1/sessions/${run.session}/executions/${run.execution.id}`);
  return body as unknown as Execution;
}

export interface Closed {
  code: number;
  reason: string;
}

/** Collects what a socket receives, so that a test can wait for the next message without a race. */
export class Peer<Frame> {
  readonly ws: WebSocket;
  readonly closed: Promise<Closed>;
  readonly received: Frame[] = [];
  readonly #waiting: ((frame: Frame | null) => void)[] = [];
  #taken = 0;
  #over = false;

  constructor(ws: WebSocket, parse: (text: string) => Frame) {
    this.ws = ws;
    this.closed = new Promise((resolve) => {
      ws.addEventListener('close', ({ code, reason }) => {
        this.#over = true;
        for (const waiter of this.#waiting.splice(0)) waiter(null);
        resolve({ code, reason });
      });
    });
    ws.addEventListener('message', ({ data }) => {
      this.received.push(parse(String(data)));
      this.#waiting.shift()?.(this.received[this.#taken++] ?? null);
    });
    ws.accept();
  }

  /** The next frame, or null when the socket closed instead. */
  next(): Promise<Frame | null> {
    const ready = this.received[this.#taken];
    if (ready !== undefined) {
      this.#taken += 1;
      return Promise.resolve(ready);
    }
    return this.#over ? Promise.resolve(null) : new Promise((resolve) => this.#waiting.push(resolve));
  }

  send(text: string | ArrayBuffer | Uint8Array): void {
    this.ws.send(text);
  }

  close(code = 1000, reason = ''): void {
    this.ws.close(code, reason);
  }
}

export async function upgrade(url: string, headers: Record<string, string>): Promise<Response> {
  return exports.default.fetch(url, { headers: { upgrade: 'websocket', ...headers } });
}

export interface Hello {
  wrapperId?: string;
  nextSeq?: number;
  lost?: number;
  features?: readonly string[];
  bootId?: string;
  late?: boolean;
}

export class WrapperPeer extends Peer<CoordinatorFrame | 'pong'> {
  static async connect({ ingest }: Pick<Run, 'ingest'>): Promise<WrapperPeer> {
    const response = await upgrade(ingest.url, {
      authorization: `Bearer ${ingest.token}`,
      'sec-websocket-protocol': INGEST_SUBPROTOCOL,
    });
    if (!response.webSocket) throw new Error(`ingest answered ${response.status}: ${await response.text()}`);
    return new WrapperPeer(response.webSocket, (text) => {
      if (text === 'pong') return 'pong';
      const parsed = parseCoordinatorFrame(text);
      if (!parsed.ok) throw new Error(`a frame that no wrapper understands: ${text}`);
      return parsed.frame;
    });
  }

  /** Connects and says hello; the welcome is the next frame. */
  static async hello(run: Pick<Run, 'ingest'>, hello: Hello = {}): Promise<WrapperPeer> {
    const peer = await WrapperPeer.connect(run);
    peer.sayHello(hello);
    return peer;
  }

  /** Connects, says hello and reads the welcome. */
  static async welcomed(run: Pick<Run, 'ingest'>, hello: Hello = {}): Promise<WrapperPeer> {
    const peer = await WrapperPeer.hello(run, hello);
    const welcome = await peer.next();
    if (welcome === null || welcome === 'pong' || welcome.type !== 'welcome') {
      throw new Error(`no welcome: ${JSON.stringify(welcome ?? (await peer.closed))}`);
    }
    return peer;
  }

  sayHello({ wrapperId = 'w_1', bootId = 'b_1', nextSeq = 1, lost = 0, features, late }: Hello = {}): void {
    this.send(JSON.stringify({ type: 'hello', protocol: 1, wrapperId, bootId, nextSeq, lost, features, late }));
  }

  events(seq: number, events: HoldfastEvent[]): void {
    this.send(encodeEventsFrame(seq, events.length, events.map((event) => JSON.stringify(event)).join('\n')));
  }

  /** Sends and reads the response. */
  async deliver(seq: number, events: HoldfastEvent[]): Promise<CoordinatorFrame | 'pong' | null> {
    this.events(seq, events);
    return this.next();
  }
}

export interface Seen {
  offset: number;
  execution: string;
  type: string;
  data: Record<string, unknown>;
}

export class ViewerPeer extends Peer<StreamFrame> {
  static async connect(
    session: string,
    query = '',
    { key = ACME_KEY, protocols = STREAM_SUBPROTOCOL as string } = {},
  ): Promise<ViewerPeer> {
    const response = await upgrade(`${ORIGIN}/v1/sessions/${session}/stream${query}`, {
      'sec-websocket-protocol': protocols,
      ...(key ? { authorization: `Bearer ${key}` } : {}),
    });
    if (!response.webSocket) throw new Error(`stream answered ${response.status}: ${await response.text()}`);
    return new ViewerPeer(response.webSocket, (text) => {
      const frame = parseStreamFrame(text);
      if (!frame) throw new Error(`a frame that no viewer understands: ${text}`);
      return frame;
    });
  }

  /**
   * Reads until a frame of this type arrives; returns it, or null when the socket closed before.
   */
  async until<T extends StreamFrame['type']>(type: T): Promise<Extract<StreamFrame, { type: T }> | null> {
    for (let frame = await this.next(); frame; frame = await this.next()) {
      if (frame.type === type) return frame as Extract<StreamFrame, { type: T }>;
    }
    return null;
  }

  /** Every event received so far, with its offset. */
  get events(): Seen[] {
    return this.received.flatMap((frame) =>
      frame.type === 'events'
        ? frame.events.map(({ type, data }, index) => ({ offset: offsetOf(frame, index), execution: frame.execution, type, data }))
        : [],
    );
  }

  get offsets(): number[] {
    return this.events.map(({ offset }) => offset);
  }
}

export const output = (text: string, stream: 'stdout' | 'stderr' = 'stdout'): HoldfastEvent => ({
  type: 'output',
  at: 1_763_650_000_000,
  data: { stream, text },
});

export const exit = (exitCode: number | null, signal: string | null = null): HoldfastEvent => ({
  type: 'exit',
  at: 1_763_650_000_001,
  data: { exitCode, signal },
});

/** The session's operations, with their own types. */
/** A session's outside dependencies, with the bindings of the test. */
export const outsideOf = (env: Env, session = 's1'): WorkerServices =>
  new WorkerServices({
    env,
    tenant: 'acme',
    session,
    createdAt: () => 1,
    state: { storage: { sync: async () => {} }, waitUntil: () => {} },
    log: (level, event, fields) => logLine(level, event, { tenant: 'acme', session, ...fields }),
  });

export const callsOf = (session: string, tenant = 'acme'): SessionCalls => stubOf(session, tenant) as unknown as SessionCalls;

/** The whole log of a session, read through the API of another Worker. */
export async function readLog(session: string): Promise<Seen[]> {
  const all: Seen[] = [];
  for (let after = 0; ; ) {
    const page = await callsOf(session).readEvents({ after, limit: 1000 });
    if (!page.ok) throw new Error(page.code);
    all.push(...page.events.map(({ offset, execution, type, data }) => ({ offset, execution, type, data })));
    if (page.events.length === 0 || page.next === page.head) return all;
    after = page.next;
  }
}

export const typesOf = (events: readonly { type: string }[]): string[] => events.map(({ type }) => type);

export const texts = (events: readonly Seen[]): string =>
  events.map(({ type, data }) => (type === 'output' ? (data.text ?? '') : '')).join('');
