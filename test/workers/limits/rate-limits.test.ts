/**
 * Goal: a caller with too many requests is refused on every route, before the request costs an
 * object anything. Other callers are not affected, and wrappers are never limited.
 * Method: limiters with small limits in place of the platform's, which count in the same way (per
 * key, without reporting the remaining number). Sessions fail the test when they are touched. One
 * case here uses the platform's own binding, and test/e2e/rate-limits.long.test.ts the real stack.
 */

import { createExecutionContext } from 'cloudflare:test';
import { afterEach, describe, expect, test, vi } from 'vitest';
import httpApi from '../../../docs/http-api.md?raw';
import { CLOSE, type Failure, INGEST_SUBPROTOCOL, PROBLEMS, STREAM_SUBPROTOCOL } from '../../../protocol/index.ts';
import { app } from '../../../src/http/app.ts';
import type { Env } from '../../../src/platform/env.ts';
import { clientKeyOf, RATE_RETRY_SECONDS } from '../../../src/platform/rate-limits.ts';
import { signIngestToken, signTicket } from '../../../src/platform/tokens.ts';
import { Holdfast, type HoldfastProps } from '../../../src/rpc.ts';
import deployed from '../../../wrangler.toml?raw';
import { type Asking, ask, deployment, expectProblem, request, untouchable } from '../support/http.ts';
import { ACME_KEY, GLOBEX_KEY, newSession, start, testEnv, WrapperPeer } from '../support/peers.ts';

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

class Limiter implements RateLimit {
  readonly asked: string[] = [];
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  async limit({ key }: RateLimitOptions): Promise<RateLimitOutcome> {
    this.asked.push(key);
    return { success: this.asked.filter((asked) => asked === key).length <= this.#limit };
  }
}

interface Limiters {
  RATE_CHANGES: Limiter;
  RATE_READS: Limiter;
  RATE_REFUSED_KEYS: Limiter;
}

/** Limits of a deployment, and its bindings. A missing limiter never limits. */
function limited({ changes = 1e9, reads = 1e9, refused = 1e9 }): { limiters: Limiters; env: Env; idle: Env; touched: string[] } {
  const limiters = {
    RATE_CHANGES: new Limiter(changes),
    RATE_READS: new Limiter(reads),
    RATE_REFUSED_KEYS: new Limiter(refused),
  };
  const { SESSIONS, DIRECTORY, touched } = untouchable();
  return { limiters, env: deployment(limiters), idle: deployment({ ...limiters, SESSIONS, DIRECTORY }), touched };
}

function expectLimited(answer: Awaited<ReturnType<typeof ask>>): void {
  expectProblem(answer, 'rate_limited');
  expect(answer.headers.get('retry-after')).toBe(String(RATE_RETRY_SECONDS));
  expect(answer.body.retryAfterSeconds).toBe(RATE_RETRY_SECONDS);
}

const BODY: Record<string, unknown> = { executions: { command: ['job'] }, fail: { code: 'x', message: 'x' }, input: { data: 'x' } };
const ROUTES = [...new Set(app.routes.filter(({ method }) => method !== 'ALL').map(({ method, path }) => `${method} ${path}`))]
  .map((route) => route.split(' ') as [method: string, path: string])
  .map(([method, path]) => [method, path.replace(':session', 's').replace(':execution', 'e')] as const);
/** Nor are runners counted: a pool of them dials in at once after a deploy. */
const UNLIMITED = ['/healthz', '/openapi.json', '/v1/sessions/s/executions/e/ingest', '/v1/pools/:pool/connect'];
const bodyOf = (method: string, path: string): Asking => {
  if (path.endsWith('/stream')) return { headers: { accept: 'text/event-stream' } };
  return method === 'POST' ? { body: BODY[path.split('/').at(-1) ?? ''] ?? {} } : {};
};

const dial = async (path: string, headers: Record<string, string>, env: Env) => {
  const upgrade = { upgrade: 'websocket', 'sec-websocket-protocol': STREAM_SUBPROTOCOL, ...headers };
  const { webSocket } = await app.fetch(request('GET', path, { key: null, headers: upgrade }), env);
  if (!webSocket) throw new Error('no socket');
  webSocket.accept();
  return new Promise<{ code: number; reason: string }>((resolve) => {
    webSocket.addEventListener('close', ({ code, reason }) => resolve({ code, reason }));
  });
};

const SIGNING_KEY = new TextEncoder().encode(String(testEnv.HOLDFAST_SIGNING_KEYS));

const ticketOf = (session: string, ttlSeconds = 60): Promise<string> =>
  signTicket([SIGNING_KEY], { tenant: 'acme', session }, ttlSeconds, Date.now() - (ttlSeconds < 0 ? 120_000 : 0));

describe('HTTP25: a tenant', () => {
  test.each(ROUTES.filter(([, path]) => !UNLIMITED.includes(path)))(
    '[HTTP25] %s %s: one too many is answered 429, and touches nothing',
    async (method, path) => {
      const { limiters, idle, touched } = limited({ changes: 0, reads: 0 });
      expectLimited(await ask(method, path, { ...bodyOf(method, path), env: idle }));
      expect(touched).toEqual([]);
      const reads = method === 'GET' || path.endsWith('/tickets');
      const key = path.endsWith('/tickets')
        ? 'acme/tickets'
        : method === 'POST' && /\/(input|answer|resize)$/.test(path)
          ? 'acme/inputs'
          : 'acme';
      expect([limiters.RATE_CHANGES.asked, limiters.RATE_READS.asked]).toEqual(reads ? [[], [key]] : [[key], []]);
    },
  );

  test('[HTTP25] has as many changes as the limit says, of all kinds together, independent of its reads and of other tenants', async () => {
    const { env } = limited({ changes: 3 });
    const session = newSession();
    const at = `/v1/sessions/${session}`;
    expect((await ask('POST', `${at}/executions`, { body: { id: 'e1', command: ['job'] }, env })).status).toBe(201);
    expect((await ask('GET', at, { env })).status).toBe(200);
    expect((await ask('POST', `${at}/tickets`, { env })).status).toBe(201);
    expect((await ask('POST', `${at}/executions/e1/fail`, { body: { code: 'x', message: 'x' }, env })).status).toBe(200);
    expect((await ask('POST', `${at}/executions`, { body: { command: [] }, env })).status).toBe(400);
    expectLimited(await ask('DELETE', at, { env }));
    expect((await ask('GET', `${at}/executions/e1`, { env })).body.status).toBe('failed');
    expect((await ask('POST', `${at}/executions`, { body: { command: ['job'] }, key: GLOBEX_KEY, env })).status).toBe(201);
  });

  test('[HTTP25] its inputs are counted apart from its other changes, so that a piped file delays no interrupt', async () => {
    const { env } = limited({ changes: 1 });
    const run = await start(newSession(), { openStdin: true });
    await WrapperPeer.welcomed(run);
    const at = `/v1/sessions/${run.session}/executions/${run.execution.id}`;
    for (const status of [202, 429]) expect((await ask('POST', `${at}/input`, { body: { data: 'x' }, env })).status).toBe(status);
    expect((await ask('POST', `${at}/interrupt`, { body: {}, env })).status).toBe(202);
  });

  test('[HTTP25] its tickets are counted apart from its reads', async () => {
    const { env } = limited({ reads: 1 });
    const { session } = await start(newSession());
    for (const status of [201, 429]) expect((await ask('POST', `/v1/sessions/${session}/tickets`, { env })).status).toBe(status);
    for (const status of [200, 429]) expect((await ask('GET', `/v1/sessions/${session}`, { env })).status).toBe(status);
  });

  test('[HTTP25] a read by ticket counts for its tenant', async () => {
    const { limiters, env } = limited({ reads: 1 });
    const { session } = await start(newSession());
    const query = `?ticket=${await ticketOf(session)}`;
    for (const status of [200, 429]) {
      expect((await ask('GET', `/v1/sessions/${session}${query}`, { key: null, env })).status).toBe(status);
    }
    expect(limiters.RATE_READS.asked).toEqual(['acme', 'acme']);
  });

  test('[STR28] a viewer over the limit is accepted and closed 4429, which it retries', async () => {
    const { idle, touched } = limited({ reads: 0 });
    const headers = { authorization: `Bearer ${ACME_KEY}` };
    expect(await dial('/v1/sessions/s/stream', headers, idle)).toEqual({ code: CLOSE.tooManyConnections, reason: 'rate_limited' });
    const ticket = await ticketOf('s');
    expect((await dial(`/v1/sessions/s/stream?ticket=${ticket}`, {}, idle)).code).toBe(CLOSE.tooManyConnections);
    expect(touched).toEqual([]);
  });

  test('[HTTP25] a page of an allowed origin may read when to retry', async () => {
    const { idle } = limited({ reads: 0 });
    const env = { ...idle, HOLDFAST_ALLOWED_ORIGINS: 'https://page.test' };
    const answer = await ask('GET', '/v1/sessions/s/executions/e/log', { headers: { origin: 'https://page.test' }, env });
    expectLimited(answer);
    expect(answer.headers.get('access-control-allow-origin')).toBe('https://page.test');
    expect(answer.headers.get('access-control-expose-headers')).toContain('retry-after');
  });
});

describe('RPC', () => {
  const bound = (env: Env, props: HoldfastProps = { tenant: 'acme' }): Holdfast =>
    new Holdfast(Object.assign(createExecutionContext(), { props }) as ExecutionContext<HoldfastProps>, env);
  const CALLS: Record<string, (calls: Holdfast) => Promise<unknown>> = {
    startExecution: (calls) => calls.startExecution('s', { command: ['job'] }),
    getExecution: (calls) => calls.getExecution('s', 'e'),
    listExecutions: (calls) => calls.listExecutions('s'),
    interruptExecution: (calls) => calls.interruptExecution('s', 'e'),
    failExecution: (calls) => calls.failExecution('s', 'e', { code: 'x', message: 'x' }),
    sendInput: (calls) => calls.sendInput('s', 'e', 'x'),
    answerQuestion: (calls) => calls.answerQuestion('s', 'e', { id: 'q', option: 'x' }),
    resizeTerminal: (calls) => calls.resizeTerminal('s', 'e', { cols: 80, rows: 24 }),
    readEvents: (calls) => calls.readEvents('s'),
    createTicket: (calls) => calls.createTicket('s'),
    getSession: (calls) => calls.getSession('s'),
    listSessions: (calls) => calls.listSessions(),
    deleteSession: (calls) => calls.deleteSession('s'),
    listPools: (calls) => calls.listPools(),
    getPool: (calls) => calls.getPool('p'),
    drainRunner: (calls) => calls.drainRunner('p', 'r'),
    removeRunner: (calls) => calls.removeRunner('p', 'r'),
  };

  test('every method is here', () => {
    const methods = Object.getOwnPropertyNames(Holdfast.prototype).filter((name) => !['constructor', 'version'].includes(name));
    expect(Object.keys(CALLS).sort()).toEqual(methods.sort());
  });

  test.each(Object.entries(CALLS))('[HTTP25] %s: one too many is an ordinary result, and touches nothing', async (_, call) => {
    const { limiters, idle, touched } = limited({ changes: 0, reads: 0 });
    expect(await call(bound(idle))).toEqual({
      ok: false,
      code: 'rate_limited',
      message: expect.stringContaining(`${RATE_RETRY_SECONDS} s`),
      facts: { retryAfterSeconds: RATE_RETRY_SECONDS },
    } satisfies Failure);
    expect(touched).toEqual([]);
    expect(limiters.RATE_CHANGES.asked.length + limiters.RATE_READS.asked.length).toBe(1);
  });

  test('[HTTP25] shares the limit of its tenant with HTTP; version() has none', async () => {
    const { env } = limited({ changes: 1, reads: 0 });
    expect((await ask('POST', `/v1/sessions/${newSession()}/executions`, { body: { command: ['job'] }, env })).status).toBe(201);
    expect(await bound(env).startExecution(newSession(), { command: ['job'] })).toMatchObject({ code: 'rate_limited' });
    expect(await bound(env, { tenant: 'globex' }).startExecution(newSession(), { command: ['job'] })).toMatchObject({ ok: true });
    expect(await bound(env).version()).toMatchObject({ protocol: 1 });
  });
});

describe('never limited', () => {
  test('[HTTP25] a wrapper: neither its socket nor its posts, with a right token or a wrong one', async () => {
    const { limiters, env } = limited({ changes: 0, reads: 0, refused: 0 });
    const run = await start(newSession());
    const path = new URL(run.ingest.url).pathname;
    const headers = { 'cf-connecting-ip': '198.51.100.1', 'sec-websocket-protocol': INGEST_SUBPROTOCOL, upgrade: 'websocket' };
    const hello = '{"type":"hello","protocol":1,"wrapperId":"w_1","bootId":"b_1","nextSeq":1}';
    const answers = [];
    for (const key of [run.ingest.token, 'wrong', run.ingest.token]) {
      const upgraded = await app.fetch(request('GET', path, { key, headers }), env);
      upgraded.webSocket?.accept();
      upgraded.webSocket?.close(1000);
      const { upgrade: _, ...plain } = headers;
      answers.push([upgraded.status, (await ask('POST', path, { key, headers: plain, body: hello, env })).status]);
    }
    expect(answers).toEqual([
      [101, 200],
      [401, 401],
      [101, 200],
    ]);
    expect(Object.values(limiters).flatMap(({ asked }) => asked)).toEqual([]);
  });

  test.each(['/healthz', '/openapi.json'])('[HTTP25] %s', async (path) => {
    const { limiters, idle } = limited({ changes: 0, reads: 0, refused: 0 });
    expect((await ask('GET', path, { key: null, headers: { 'cf-connecting-ip': '198.51.100.1' }, env: idle })).status).toBe(200);
    expect(Object.values(limiters).flatMap(({ asked }) => asked)).toEqual([]);
  });
});

describe('RL1: a limiter that fails', () => {
  const broken = (limit: () => unknown): RateLimit => ({ limit: async () => limit() }) as unknown as RateLimit;
  const BROKEN: [what: string, limiter: RateLimit | undefined, logged: boolean][] = [
    ['is missing', undefined, false],
    [
      'throws',
      {
        limit: () => {
          throw new Error('broken');
        },
      } as unknown as RateLimit,
      true,
    ],
    ['rejects', broken(() => Promise.reject(new Error('broken'))), true],
    ['hangs', broken(() => new Promise(() => {})), true],
    ['answers nothing', broken(() => undefined), true],
    ['answers something else', broken(() => ({})), false],
  ];
  test.each(BROKEN)('[HTTP25] accepts everything when it %s', async (what, limiter, logged) => {
    // Lines of one kind are logged once in 10 s, and the tests before this one logged theirs.
    vi.useFakeTimers({ now: Date.now() + BROKEN.findIndex(([name]) => name === what) * 20_000, toFake: ['Date'] });
    const error = vi.spyOn(console, 'error').mockImplementation(() => {});
    const env = deployment({ RATE_CHANGES: limiter, RATE_READS: limiter, RATE_REFUSED_KEYS: limiter });
    const session = newSession();
    const body = { command: ['job'] };
    expect((await ask('POST', `/v1/sessions/${session}/executions`, { body, env })).status).toBe(201);
    expect((await ask('GET', `/v1/sessions/${session}`, { env })).status).toBe(200);
    const headers = { 'cf-connecting-ip': '198.51.100.2' };
    expectProblem(await ask('GET', '/v1/sessions', { key: 'wrong', headers, env }), 'unauthorized');
    expect((await ask('GET', '/v1/sessions', { headers, env })).status).toBe(200);
    const lines = error.mock.calls.map(([line]) => JSON.parse(String(line)) as { event: string; reason: string });
    const wanted = logged ? ['RATE_CHANGES', 'RATE_READS', 'RATE_REFUSED_KEYS'] : [];
    expect(lines.filter(({ event }) => event === 'rate_limiter_failed').map(({ reason }) => reason)).toEqual(wanted);
  });
});

describe('RL2: API keys that were refused', () => {
  const PATHS = [
    ['POST', '/v1/sessions/s/executions'],
    ['GET', '/v1/sessions/s'],
    ['GET', '/v1/sessions/s/executions/e/log'],
    ['GET', '/v1/nothing'],
  ] as const;

  test.each(PATHS)(
    '[HTTP26] %s %s: one too many is refused as such; a right key is accepted all the while',
    async (method, path) => {
      const { limiters, idle } = limited({ refused: 2 });
      const headers = { 'cf-connecting-ip': '203.0.113.1' };
      const asking = (key: string): Asking => ({ ...bodyOf(method, path), key, headers, env: idle });
      for (const key of ['guess-1', 'guess-2']) expectProblem(await ask(method, path, asking(key)), 'unauthorized');
      for (const key of ['guess-3', 'guess-4']) expectLimited(await ask(method, path, asking(key)));
      expect((await ask('GET', '/v1/nothing', { key: ACME_KEY, headers, env: idle })).status).toBe(404);
      expect(limiters.RATE_REFUSED_KEYS.asked.length).toBe(4);
    },
  );

  test('[HTTP26] another address, and an unknown one, is not affected', async () => {
    const { idle } = limited({ refused: 0 });
    const from = (address: string | null): Asking => ({
      headers: address === null ? {} : { 'cf-connecting-ip': address },
      env: idle,
    });
    expectLimited(await ask('GET', '/v1/nothing', { ...from('203.0.113.20'), key: 'guess' }));
    const { idle: once } = limited({ refused: 1 });
    for (const address of ['203.0.113.20', '203.0.113.21'])
      expectProblem(await ask('GET', '/v1/nothing', { ...from(address), key: 'guess', env: once }), 'unauthorized');
    expectProblem(await ask('GET', '/v1/nothing', { ...from(null), key: 'guess' }), 'unauthorized');
  });

  test('[HTTP26] tickets of that address are still accepted, and an expired one is reported as expired', async () => {
    const { limiters, env } = limited({ refused: 0 });
    const headers = { 'cf-connecting-ip': '203.0.113.30' };
    const { session } = await start(newSession());
    const path = `/v1/sessions/${session}`;
    expectLimited(await ask('GET', path, { key: 'guess', headers, env }));
    const ticket = await ticketOf(session);
    expect((await ask('GET', path, { key: ticket, headers, env })).status).toBe(200);
    expect((await ask('GET', `${path}?ticket=${ticket}`, { key: null, headers, env })).status).toBe(200);
    expect((await ask('GET', path, { key: await ticketOf(session, -1), headers, env })).body.reason).toBe('ticket_expired');
    expect((await ask('GET', path, { headers, env })).status).toBe(200);
    expect(limiters.RATE_REFUSED_KEYS.asked.length).toBe(1);
  });

  test('[HTTP26] credentials that are no guess are not counted: absent, too long, an old ticket, a refused ticket in the query', async () => {
    const { limiters, idle } = limited({ refused: 0 });
    const headers = { 'cf-connecting-ip': '203.0.113.40' };
    for (const [path, key] of [
      ['/v1/sessions/s', null],
      ['/v1/sessions/s', 'x'.repeat(10_000)],
      ['/v1/sessions/s', await ticketOf('s', -1)],
      ['/v1/sessions/s?ticket=a.b.c', null],
    ] as const)
      expectProblem(await ask('GET', path, { key, headers, env: idle }), 'unauthorized');
    expect(limiters.RATE_REFUSED_KEYS.asked).toEqual([]);
  });

  test('[HTTP26] what this deployment signed is no guess on any route, and the same with another signature is one', async () => {
    const { limiters, env } = limited({ refused: 0 });
    const headers = { 'cf-connecting-ip': '203.0.113.41' };
    const run = await start(newSession());
    const claims = { tenant: 'acme', session: run.session, execution: run.execution.id };
    const signed = [
      run.ingest.token,
      await signIngestToken([SIGNING_KEY], claims, -1, Date.now()),
      await ticketOf(run.session),
      await ticketOf(run.session, -1),
      await ticketOf('another', 60),
    ];
    for (const [method, path] of PATHS) {
      for (const key of signed) {
        expectProblem(await ask(method, path, { ...bodyOf(method, path), key, headers, env }), 'unauthorized');
      }
    }
    expect(limiters.RATE_REFUSED_KEYS.asked).toEqual([]);
    const forged = signed.map((key) => `${key.slice(0, -6)}AAAAAA`);
    forged.push(await signTicket([new TextEncoder().encode('another key of the same length..')], claims, -1, Date.now()));
    for (const [method, path] of PATHS) {
      for (const key of forged) expectLimited(await ask(method, path, { ...bodyOf(method, path), key, headers, env }));
    }
    expect(limiters.RATE_REFUSED_KEYS.asked.length).toBe(forged.length * PATHS.length);
  });

  test('[STR28] [HTTP26] a viewer with a wrong key is closed 4401, and 4429 after too many', async () => {
    const { idle } = limited({ refused: 1 });
    const headers = { 'cf-connecting-ip': '203.0.113.50', authorization: 'Bearer guess' };
    const codes = [];
    for (const _ of [1, 2, 3]) codes.push((await dial('/v1/sessions/s/stream', headers, idle)).code);
    expect(codes).toEqual([CLOSE.credentialRefused, CLOSE.tooManyConnections, CLOSE.tooManyConnections]);
  });

  test.each([
    ['198.51.100.7', '198.51.100.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0DB8:0001:0002::6', '2001:db8:1:2::/64'],
    ['2001:db8::6', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::ffff:198.51.100.7', '198.51.100.7'],
    ['::ffff:c633:6407', '198.51.100.7'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['64:ff9b::198.51.100.7', '64:ff9b:0:0::/64'],
    ['no address', 'unparseable'],
  ])('the address %s is counted as %s', (address, key) => {
    expect(clientKeyOf(new Headers({ 'cf-connecting-ip': address }))).toBe(key);
  });

  test('Workers of other zones share an address and are distinguished by their zone; client-controlled headers are ignored', () => {
    const from = (headers: Record<string, string>) => clientKeyOf(new Headers(headers));
    const shared = { 'cf-connecting-ip': '2a06:98c0:3600::103' };
    const sameAddress = { 'cf-connecting-ip': '2A06:98C0:3600:0::103', 'cf-worker': 'a.test' };
    expect(from(sameAddress)).toBe(from({ ...shared, 'cf-worker': 'a.test' }));
    expect(from({ ...shared, 'cf-worker': 'a.test' })).not.toBe(from({ ...shared, 'cf-worker': 'b.test' }));
    expect(from({ 'cf-connecting-ip': '198.51.100.7', 'cf-worker': 'a.test' })).toBe('198.51.100.7');
    expect(from({ 'x-forwarded-for': '198.51.100.7', 'x-real-ip': '198.51.100.7' })).toBeNull();
  });
});

describe('the deployment', () => {
  const sections = [
    ...deployed.matchAll(
      /^\[\[ratelimits\]\]\nname = "(\w+)"\nnamespace_id = "(\d+)"\nsimple = \{ limit = (\d+), period = (\d+) \}$/gm,
    ),
  ];

  test('has the three limiters, each with counters of its own; the period of the tenants equals their Retry-After', () => {
    expect(sections.map(([, name]) => name)).toEqual(['RATE_CHANGES', 'RATE_READS', 'RATE_REFUSED_KEYS']);
    expect(new Set(sections.map(([, , namespace]) => namespace)).size).toBe(3);
    expect(sections.slice(0, 2).map(([, , , , period]) => Number(period))).toEqual([RATE_RETRY_SECONDS, RATE_RETRY_SECONDS]);
  });

  test('[HTTP25] [HTTP26] its numbers are those of the page', () => {
    const [changes, reads, refused] = sections.map(([, , , limit, period]) => `${limit} in ${period} s`);
    const rules = httpApi.slice(httpApi.indexOf('**HTTP25**'), httpApi.indexOf('**HTTP27**')).replaceAll(/\s+/g, ' ');
    expect(rules).toContain(`changes (start, interrupt, fail, delete) ${changes}`);
    // Inputs have counters of their own behind the same binding.
    expect(rules).toContain(`inputs, answers and resizes ${changes}`);
    expect(rules).toContain(`reads and upgrades of viewers ${reads}`);
    expect(rules).toContain(`tickets ${reads}`);
    expect(rules).toContain(`more than ${refused?.replace(' in ', ' of them in ')}, unless`);
    expect(rules).toContain(`\`Retry-After: ${RATE_RETRY_SECONDS}\``);
    expect(PROBLEMS.rate_limited).toMatchObject({ status: 429, retryable: true });
  });

  test('the binding of the platform exists, and counts', async () => {
    for (const binding of ['RATE_CHANGES', 'RATE_READS', 'RATE_REFUSED_KEYS'] as const) {
      expect(await testEnv[binding]?.limit({ key: 'a tenant' }), binding).toEqual({ success: true });
    }
  });
});
