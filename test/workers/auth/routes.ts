/**
 * Every route of the Worker: one row for each operation of the API, with all its variants (HEAD in
 * addition to GET, an upgrade, an event stream, a wait). The matrix of route-matrix.test.ts is
 * these rows times every kind of credential, and fails when an operation has no row.
 */

import { expect } from 'vitest';
import { CLOSE, INGEST_SUBPROTOCOL, STREAM_SUBPROTOCOL, TICKET_SUBPROTOCOL_PREFIX } from '../../../protocol/index.ts';
import { RUNNER_SUBPROTOCOL } from '../../../protocol/pool.ts';
import { app } from '../../../src/http/app.ts';
import type { Env } from '../../../src/platform/env.ts';
import { expectProblem, request } from '../support/http.ts';

export interface Subject {
  session: string;
  execution: string;
}

export interface Way {
  /** Of OPERATIONS. */
  operation: string;
  name: string;
  /**
   * The kind of credential that opens it; `nothing`: it is refused before a credential is checked.
   */
  opens: 'public' | 'key' | 'actor' | 'reader' | 'ingest' | 'runner' | 'nothing';
  method: string;
  path: (subject: Subject) => string;
  headers?: Record<string, string>;
  /** An upgrade whose refusals are close codes. */
  socket?: true;
  body?: unknown;
  /**
   * The response to a ticket for another execution than that of the path: a refusal, or a response
   * without that execution.
   */
  beyond?: 'refused' | 'narrowed';
  /** The objects that it reaches, where they are not the session's. */
  reaches?: readonly string[];
  /** Reaches no object, whatever the credential. */
  reachesNothing?: true;
}

const SESSION = ({ session }: Subject): string => `/v1/sessions/${session}`;
const EXECUTIONS = (subject: Subject): string => `${SESSION(subject)}/executions`;
const EXECUTION = (subject: Subject): string => `${EXECUTIONS(subject)}/${subject.execution}`;

const UPGRADE = { upgrade: 'websocket' };
const EVENT_STREAM = { accept: 'text/event-stream' };
const HELLO = '{"type":"hello","protocol":1,"wrapperId":"w_2","bootId":"b_2","nextSeq":1,"lost":0}';

type Form = Omit<Way, 'operation' | 'name'>;

const get = (opens: Way['opens'], path: Way['path'], more: Partial<Form> = {}): Form => ({ opens, method: 'GET', path, ...more });
const post = (opens: Way['opens'], path: Way['path'], body: unknown, more: Partial<Form> = {}): Form => ({
  opens,
  method: 'POST',
  path,
  body,
  ...more,
});
const asHead = (form: Form): Form => ({ ...form, method: 'HEAD' });
const at =
  (path: Way['path'], rest: string): Way['path'] =>
  (subject) =>
    `${path(subject)}${rest}`;

/** GET, HEAD, and the queries that lead to another path through the code. */
const readings = (path: Way['path'], queries: string[], beyond: Way['beyond']): Record<string, Form> => {
  const plain = get('reader', path, beyond ? { beyond } : {});
  const others = queries.map((query): [string, Form] => [query, { ...plain, path: at(path, query) }]);
  return { GET: plain, HEAD: asHead(plain), ...Object.fromEntries(others) };
};

/** A pool is asked only if there is one. */
const LISTS = { reaches: ['acme'] };
const ONE_POOL = { reaches: ['acme/default'] };

const ROWS: Record<string, Record<string, Form>> = {
  startExecution: { POST: post('key', EXECUTIONS, { id: 'stolen', command: ['job'], onBusy: 'queue' }) },
  listExecutions: readings(EXECUTIONS, ['?status=running', '?limit=1'], 'narrowed'),
  getExecution: readings(EXECUTION, ['?wait=1'], 'refused'),
  interruptExecution: { POST: post('actor', at(EXECUTION, '/interrupt'), { force: true }) },
  failExecution: { POST: post('key', at(EXECUTION, '/fail'), { code: 'stolen', message: 'x' }) },
  sendInput: { POST: post('actor', at(EXECUTION, '/input'), { data: 'x' }) },
  answerQuestion: { POST: post('actor', at(EXECUTION, '/answer'), { id: 'q1', option: 'allow' }) },
  resizeTerminal: { POST: post('actor', at(EXECUTION, '/resize'), { cols: 80, rows: 24 }) },
  readLog: readings(at(EXECUTION, '/log'), ['?follow=1'], 'refused'),
  readExecutionEvents: readings(at(EXECUTION, '/events'), ['?offset=-1', '?offset=-1&live=sse'], 'refused'),
  readEvents: readings(at(SESSION, '/events'), ['?offset=-1', '?offset=-1&live=sse'], 'narrowed'),
  followSession: {
    WebSocket: get('reader', at(SESSION, '/stream'), {
      headers: { ...UPGRADE, 'sec-websocket-protocol': STREAM_SUBPROTOCOL },
      socket: true,
      beyond: 'narrowed',
    }),
    'WebSocket, one execution': get('reader', (subject) => `${SESSION(subject)}/stream?execution=${subject.execution}`, {
      headers: { ...UPGRADE, 'sec-websocket-protocol': STREAM_SUBPROTOCOL },
      socket: true,
      beyond: 'refused',
    }),
    'event stream': get('reader', at(SESSION, '/stream'), { headers: EVENT_STREAM, beyond: 'narrowed' }),
    'event stream, HEAD': asHead(get('reader', at(SESSION, '/stream'), { headers: EVENT_STREAM, beyond: 'narrowed' })),
    'event stream, one execution': get('reader', (subject) => `${SESSION(subject)}/stream?execution=${subject.execution}`, {
      headers: EVENT_STREAM,
      beyond: 'refused',
    }),
    'neither upgrade nor event stream': get('nothing', at(SESSION, '/stream')),
  },
  dialIn: {
    WebSocket: get('ingest', at(EXECUTION, '/ingest'), { headers: { ...UPGRADE, 'sec-websocket-protocol': INGEST_SUBPROTOCOL } }),
    'WebSocket without subprotocol': get('ingest', at(EXECUTION, '/ingest'), { headers: UPGRADE, reachesNothing: true }),
    'no upgrade': get('ingest', at(EXECUTION, '/ingest'), { reachesNothing: true }),
  },
  postIngest: { POST: post('ingest', at(EXECUTION, '/ingest'), HELLO) },
  listSessions: {
    GET: get('key', () => '/v1/sessions'),
    HEAD: asHead(get('key', () => '/v1/sessions')),
    '?status=running': get('key', () => '/v1/sessions?status=running'),
  },
  getSession: readings(SESSION, [], 'refused'),
  deleteSession: { DELETE: { opens: 'key', method: 'DELETE', path: SESSION } },
  createTicket: { POST: post('key', at(SESSION, '/tickets'), {}, { reachesNothing: true }) },
  listPools: { GET: get('key', () => '/v1/pools', LISTS), HEAD: asHead(get('key', () => '/v1/pools', LISTS)) },
  getPool: { GET: get('key', () => '/v1/pools/default', ONE_POOL), HEAD: asHead(get('key', () => '/v1/pools/default', ONE_POOL)) },
  createRunnerKey: { POST: post('key', () => '/v1/pools/default/keys', { name: 'stolen' }, { reaches: ['acme', 'acme/default'] }) },
  listRunnerKeys: {
    GET: get('key', () => '/v1/pools/default/keys', ONE_POOL),
    HEAD: asHead(get('key', () => '/v1/pools/default/keys', ONE_POOL)),
  },
  drainRunner: { POST: post('key', () => '/v1/pools/default/runners/r_1/drain', {}, ONE_POOL) },
  removeRunner: { DELETE: { opens: 'key', method: 'DELETE', path: () => '/v1/pools/default/runners/r_1', ...ONE_POOL } },
  revokeRunnerKey: { DELETE: { opens: 'key', method: 'DELETE', path: () => '/v1/pools/default/keys/rk_1', ...ONE_POOL } },
  connectRunner: {
    WebSocket: get('runner', () => '/v1/pools/default/connect', {
      headers: { ...UPGRADE, 'sec-websocket-protocol': RUNNER_SUBPROTOCOL },
      ...ONE_POOL,
    }),
    'no upgrade': get('runner', () => '/v1/pools/default/connect', { reachesNothing: true }),
  },
  getMetrics: { GET: get('key', () => '/v1/metrics', LISTS), HEAD: asHead(get('key', () => '/v1/metrics', LISTS)) },
  getHealth: { GET: get('public', () => '/healthz', { reachesNothing: true }) },
  getDescription: { GET: get('public', () => '/openapi.json', { reachesNothing: true }) },
};

export const OPERATIONS_WITH_A_ROW = Object.keys(ROWS);

export const WAYS: readonly Way[] = Object.entries(ROWS).flatMap(([operation, forms]) =>
  Object.entries(forms).map(([form, rest]) => ({ operation, name: `${operation}, ${form}`, ...rest })),
);

/** Where a credential is sent. */
export type Carrier = 'bearer' | 'query' | 'subprotocol';

export interface Answered {
  status: number;
  headers: Headers;
  text: string;
  /** Of a socket that was accepted. */
  closed: { code: number; reason: string } | null;
  received: string[];
}

/** Time after which a socket or a stream counts as open and silent. */
const QUIET_MS = 400;

/**
 * The message that shows a reader is up to date: of the WebSocket, the event stream, and that of
 * Durable Streams.
 */
const HAS_ALL = /caught_up|"upToDate":true/;

/**
 * The next message within this time, or null. Leaves no timer behind: the platform allows 10,000 of
 * them.
 */
async function within<T>(ms: number, work: Promise<T>): Promise<T | null> {
  let timer: ReturnType<typeof setTimeout> | null = null;
  const over = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), ms);
  });
  return Promise.race([work, over]).finally(() => timer !== null && clearTimeout(timer));
}

/** Calls a route, and reads the whole response. */
export async function take(
  way: Way,
  subject: Subject,
  credential: string | null,
  env: Env,
  carrier: Carrier = 'bearer',
  headers: Record<string, string> = {},
): Promise<Answered> {
  const path = way.path(subject);
  const carried =
    carrier === 'query' && credential !== null
      ? `${path}${path.includes('?') ? '&' : '?'}ticket=${encodeURIComponent(credential)}`
      : path;
  const protocols = carrier === 'subprotocol' ? `${STREAM_SUBPROTOCOL}, ${TICKET_SUBPROTOCOL_PREFIX}${credential}` : null;
  const asking = request(way.method, carried, {
    key: carrier === 'bearer' ? credential : null,
    headers: { ...way.headers, ...(protocols ? { 'sec-websocket-protocol': protocols } : {}), ...headers },
    ...(way.body === undefined ? {} : { body: way.body }),
  });
  const response = await app.fetch(asking, env);
  if (response.webSocket) return ofSocket(response, response.webSocket);
  return { status: response.status, headers: response.headers, text: await textOf(response), closed: null, received: [] };
}

async function ofSocket(response: Response, ws: WebSocket): Promise<Answered> {
  const received: string[] = [];
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    ws.addEventListener('close', ({ code, reason }) => resolve({ code, reason }));
  });
  const hasAll = new Promise<null>((resolve) => {
    ws.addEventListener('message', ({ data }) => {
      received.push(String(data));
      if (HAS_ALL.test(String(data))) resolve(null);
    });
  });
  ws.accept();
  const end = await within(QUIET_MS, Promise.race([closed, hasAll]));
  if (!end) ws.close(1000);
  return { status: response.status, headers: response.headers, text: '', closed: end, received };
}

async function textOf({ body }: Response): Promise<string> {
  const reader = body?.getReader();
  if (!reader) return '';
  const decoder = new TextDecoder();
  for (let text = ''; ; ) {
    const piece = HAS_ALL.test(text) ? null : await within(QUIET_MS, reader.read());
    if (!piece || piece.done) {
      await reader.cancel().catch(() => {});
      return text;
    }
    text += decoder.decode(piece.value, { stream: true });
  }
}

/**
 * Asserts the documented refusal of this route: 401 with this reason, or a silent socket that
 * closes 4401 with it.
 */
export function expectUnauthorized(way: Way, answered: Answered, reason: string | undefined): void {
  if (way.socket) {
    expect(answered, way.name).toMatchObject({ status: 101, closed: { code: CLOSE.credentialRefused, reason }, received: [] });
    return;
  }
  expect(answered.status, `${way.name}: ${answered.text}`).toBe(401);
  if (way.method === 'HEAD') {
    expect(answered.text).toBe('');
    return;
  }
  const body = JSON.parse(answered.text) as Record<string, unknown>;
  const problem = expectProblem({ status: answered.status, headers: answered.headers, text: answered.text, body }, 'unauthorized');
  expect(problem.reason, way.name).toBe(reason);
}

export const wasLetIn = ({ status, closed }: Answered): boolean =>
  closed ? closed.code !== CLOSE.credentialRefused : status !== 401 && status !== 403;
