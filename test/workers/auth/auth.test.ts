/**
 * Credentials: API keys, ingest tokens and tickets, and a deployment without keys. The Worker
 * decides everything here, so each refusal must also leave every session untouched.
 *
 * Method: refusals are requested from a deployment whose sessions fail the test when they are
 * touched. What another tenant may not learn is compared, response by response, with the responses
 * about a session that never existed.
 */

import { SignJWT, UnsecuredJWT } from 'jose';
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { CLOSE, INGEST_SUBPROTOCOL, STREAM_SUBPROTOCOL } from '../../../protocol/index.ts';
import { app } from '../../../src/http/app.ts';
import type { Env } from '../../../src/platform/env.ts';
import { signIngestToken, signTicket } from '../../../src/platform/tokens.ts';
import { type Answer, ask, deployment, expectProblem, objectCount, request, untouchable } from '../support/http.ts';
import { ACME_KEY, exit, GLOBEX_KEY, get, newSession, type Run, readLog, start, testEnv, WrapperPeer } from '../support/peers.ts';

afterEach(() => void vi.useRealTimers());

const keyOf = (text: string): Uint8Array => new TextEncoder().encode(text);
const SIGNING_KEY = keyOf(String(testEnv.HOLDFAST_SIGNING_KEYS));
const OTHER_KEY = keyOf('another-signing-key-0123456789abcdef');

const now = (): number => Math.floor(Date.now() / 1000);

/**
 * Every route, each with its parameters filled in. A new route is tested here from its first day.
 */
const ROUTES = [...new Set(app.routes.filter(({ method }) => method !== 'ALL').map(({ method, path }) => `${method} ${path}`))]
  .filter((route) => route !== 'GET /healthz' && route !== 'GET /openapi.json')
  .map((route) => route.replace(/:([a-z])\w*/g, '$1').split(' ') as [method: string, path: string]);

/** All routes that a ticket opens; every other route ignores it. */
const TICKET_ROUTES = [
  'GET /v1/sessions/s',
  'GET /v1/sessions/s/stream',
  'GET /v1/sessions/s/events',
  'GET /v1/sessions/s/executions',
  'GET /v1/sessions/s/executions/e',
  'GET /v1/sessions/s/executions/e/log',
  'GET /v1/sessions/s/executions/e/events',
];

const hasOwnCredential = (path: string): boolean => /\/(ingest|stream|connect)$/.test(path);

/** Requests to a deployment without sessions. */
async function refused(method: string, path: string, asking: Parameters<typeof ask>[2] = {}): Promise<Answer> {
  const { touched, ...bindings } = untouchable();
  const answer = await ask(method, path, { ...asking, env: { ...(asking.env ?? testEnv), ...bindings } });
  expect(touched).toEqual([]);
  return answer;
}

interface Dialled {
  status: number;
  answer: Answer | null;
  closed: Promise<{ code: number; reason: string }> | null;
  received: unknown[];
}

/** Upgrades through this deployment, or another. */
async function dial(path: string, headers: Record<string, string>, env: Env = testEnv): Promise<Dialled> {
  const response = await app.fetch(request('GET', path, { key: null, headers: { upgrade: 'websocket', ...headers } }), env);
  const { status, webSocket: ws } = response;
  if (!ws) {
    const text = await response.text();
    return { status, answer: { status, headers: response.headers, text, body: JSON.parse(text) }, closed: null, received: [] };
  }
  const received: unknown[] = [];
  ws.addEventListener('message', ({ data }) => void received.push(data));
  const closed = new Promise<{ code: number; reason: string }>((resolve) => {
    ws.addEventListener('close', ({ code, reason }) => resolve({ code, reason }));
  });
  ws.accept();
  return { status, answer: null, closed, received };
}

const dialIngest = (run: Pick<Run, 'session' | 'execution'>, token: string | null, env: Env = testEnv) =>
  dial(
    `/v1/sessions/${run.session}/executions/${run.execution.id}/ingest`,
    { 'sec-websocket-protocol': INGEST_SUBPROTOCOL, ...(token === null ? {} : { authorization: `Bearer ${token}` }) },
    env,
  );

const HELLO = '{"type":"hello","protocol":1,"wrapperId":"w_1","bootId":"b_1","nextSeq":1,"lost":0}';

const dialStream = (session: string, query: string, headers: Record<string, string> = {}, env: Env = testEnv) =>
  dial(`/v1/sessions/${session}/stream${query}`, { 'sec-websocket-protocol': STREAM_SUBPROTOCOL, ...headers }, env);

describe('HTTP2: the API key', () => {
  test('the list has all routes', () => {
    expect(ROUTES.length).toBeGreaterThanOrEqual(10);
    expect(ROUTES).toContainEqual(['POST', '/v1/sessions/s/executions/e/interrupt']);
  });

  const BAD: [what: string, authorization: string | undefined][] = [
    ['none', undefined],
    ['an empty header', ''],
    ['no scheme', ACME_KEY],
    ['another scheme', `Basic ${btoa(`acme:${ACME_KEY}`)}`],
    ['a scheme without key', 'Bearer '],
    ['two keys', `Bearer ${ACME_KEY} ${GLOBEX_KEY}`],
    ['quotes', `Bearer "${ACME_KEY}"`],
    ['a wrong key', 'Bearer acme-key-0123456789abcdeg'],
    ['a prefix of the key', `Bearer ${ACME_KEY.slice(0, -1)}`],
    ['the key and more', `Bearer ${ACME_KEY}x`],
    ['the key in capitals', `Bearer ${ACME_KEY.toUpperCase()}`],
    ['tenant and key', `Bearer acme=${ACME_KEY}`],
    ['the name of a tenant', 'Bearer acme'],
    ['the whole setting', `Bearer ${testEnv.HOLDFAST_API_KEYS}`],
    ['a signing key', `Bearer ${testEnv.HOLDFAST_SIGNING_KEYS}`],
    ['10 kB', `Bearer ${'x'.repeat(10_000)}`],
  ];
  test.each(BAD)('[HTTP2] %s is answered 401 by every route', async (_, authorization) => {
    for (const [method, path] of ROUTES.filter(([, path]) => !hasOwnCredential(path))) {
      const answer = await refused(method, path, { key: null, headers: authorization === undefined ? {} : { authorization } });
      expectProblem(answer, 'unauthorized');
      expect(answer.text).not.toContain(ACME_KEY);
    }
  });

  test('[HTTP2] an unknown path reveals nothing without a credential, and neither does a path with a bad id', async () => {
    for (const path of ['/v1/nothing', '/v1/sessions/a%2Fb'])
      expectProblem(await refused('GET', path, { key: null }), 'unauthorized');
  });

  test('[HTTP2] a refused request created nothing', async () => {
    const session = newSession();
    const before = await objectCount();
    const path = `/v1/sessions/${session}/executions`;
    expectProblem(await ask('POST', path, { key: 'no-such-key-at-all-here', body: { command: ['job'] } }), 'unauthorized');
    expect(await objectCount()).toBe(before);
    expectProblem(await ask('GET', path), 'session_not_found');
    expect(await objectCount()).toBe(before + 1);
  });

  test('the scheme is case-insensitive, and each of several keys of a tenant opens it', async () => {
    const run = await start(newSession());
    const env = deployment({ HOLDFAST_API_KEYS: `acme=${ACME_KEY}, acme=second-key-0123456789 ,other=third-key-0123456789` });
    const asWith = (authorization: string) =>
      ask('GET', `/v1/sessions/${run.session}`, { key: null, headers: { authorization }, env });
    expect((await asWith(`bearer ${ACME_KEY}`)).status).toBe(200);
    expect((await asWith(`BEARER  ${ACME_KEY}`)).status).toBe(200);
    expect((await asWith('Bearer second-key-0123456789')).status).toBe(200);
    expectProblem(await asWith('Bearer third-key-0123456789'), 'session_not_found');
  });
});

describe('another tenant', () => {
  let run: Run;
  const never = { session: 'never-started', execution: { id: 'e1' } };
  beforeAll(async () => {
    run = await start(newSession(), { id: 'e1' });
    await WrapperPeer.welcomed(run);
  });

  const OPERATIONS: [what: string, method: string, path: string, body?: unknown][] = [
    ['read the session', 'GET', ''],
    ['list', 'GET', '/executions'],
    ['list its running ones', 'GET', '/executions?status=running'],
    ['read the execution', 'GET', '/executions/e1'],
    ['wait for it', 'GET', '/executions/e1?wait=5'],
    ['interrupt it', 'POST', '/executions/e1/interrupt', { force: true }],
    ['fail it', 'POST', '/executions/e1/fail', { code: 'stolen', message: 'x' }],
    ['send input', 'POST', '/executions/e1/input', { data: 'x' }],
    ['delete it', 'DELETE', ''],
  ];
  test.each(OPERATIONS)(
    '[HTTP11] cannot %s, and gets the response for a session that never existed',
    async (_, method, path, body) => {
      const before = [await get(run), await readLog(run.session)];
      const answer = await ask(method, `/v1/sessions/${run.session}${path}`, { key: GLOBEX_KEY, body });
      const unknown = await ask(method, `/v1/sessions/${never.session}${path}`, { key: GLOBEX_KEY, body });
      expectProblem(answer, 'session_not_found');
      const { requestId: _a, ...told } = answer.body;
      const { requestId: _b, ...toldOfNone } = unknown.body;
      expect(told).toEqual(toldOfNone);
      expect([...answer.headers.keys()]).toEqual([...unknown.headers.keys()]);
      expect([await get(run), await readLog(run.session)]).toEqual(before);
    },
  );

  test('[STR17] cannot follow it, by key or by ticket', async () => {
    const ticket = String((await ask('POST', `/v1/sessions/${run.session}/tickets`, { key: GLOBEX_KEY })).body.ticket);
    for (const dialled of [
      await dialStream(run.session, '', { authorization: `Bearer ${GLOBEX_KEY}` }),
      await dialStream(run.session, '?execution=e1', { authorization: `Bearer ${GLOBEX_KEY}` }),
      await dialStream(run.session, `?ticket=${ticket}`),
    ]) {
      expect(await dialled.closed).toEqual({ code: CLOSE.notFound, reason: 'session_not_found' });
      expect(dialled.received).toEqual([]);
    }
  });

  test('has separate sessions and executions of the same names', async () => {
    const path = `/v1/sessions/${run.session}/executions`;
    const theirs = await ask('POST', path, { key: GLOBEX_KEY, body: { id: 'e1', command: ['theirs'] } });
    expect(theirs.status).toBe(201);
    const token = (theirs.body.ingest as { token: string }).token;
    const dialled = await dialIngest(run, token);
    expect(dialled.status).toBe(101);
    expect((await ask('POST', `${path}/e1/fail`, { key: GLOBEX_KEY, body: { code: 'x', message: 'x' } })).body.settled).toBe(true);
    expect(await get(run)).toMatchObject({ status: 'running', command: ['job'] });
    // The other tenant's token, at the path that both share, led to the other tenant.
    expect(await dialled.closed).toEqual({ code: CLOSE.settled, reason: '{"status":"failed"}' });
  });
});

describe('ING11: the ingest token', () => {
  let run: Run;
  let other: Run;
  let elsewhere: Run;
  beforeAll(async () => {
    run = await start(newSession(), { id: 'e1' });
    other = await start(run.session, { id: 'e2', onBusy: 'queue' });
    elsewhere = await start(newSession(), { id: 'e1' });
  });

  const claims = () => ({ tenant: 'acme', session: run.session, execution: 'e1' });
  const jwt = (payload: Record<string, unknown> = {}) =>
    new SignJWT({
      iss: 'holdfast',
      aud: 'holdfast.ingest',
      sub: 'acme',
      sid: run.session,
      eid: 'e1',
      iat: now(),
      exp: now() + 60,
      ...payload,
    });
  const signed = (payload: Record<string, unknown> = {}) => jwt(payload).setProtectedHeader({ alg: 'HS256' }).sign(SIGNING_KEY);
  const parts = (token: string): string[] => token.split('.');
  const encoded = (value: object): string =>
    btoa(JSON.stringify(value)).replaceAll('+', '-').replaceAll('/', '_').replace(/=+$/, '');

  const BAD: [what: string, token: () => string | null | Promise<string | null>, reason?: string][] = [
    ['missing', () => null],
    ['garbage', () => 'garbage', 'invalid'],
    ['three parts of garbage', () => 'a.b.c', 'invalid'],
    ['an API key', () => ACME_KEY, 'invalid'],
    ['without signature', () => `${parts(run.ingest.token).slice(0, 2).join('.')}.`, 'invalid'],
    ['alg none', () => new UnsecuredJWT({ ...payloadOf(run.ingest.token) }).encode(), 'invalid'],
    [
      'alg none with the signature of a good one',
      () => `${encoded({ alg: 'none' })}.${parts(run.ingest.token).slice(1).join('.')}`,
      'invalid',
    ],
    ['of another algorithm', () => jwt().setProtectedHeader({ alg: 'HS512' }).sign(SIGNING_KEY), 'invalid'],
    ['signed by another key', () => signIngestToken([OTHER_KEY], claims(), 60, Date.now()), 'invalid'],
    [
      'with a changed payload',
      () => {
        const [header, payload, signature] = parts(other.ingest.token);
        return [header, encoded({ ...payloadOf(`${header}.${payload}`), eid: 'e1' }), signature].join('.');
      },
      'invalid',
    ],
    ['a ticket of this very execution', () => signTicket([SIGNING_KEY], claims(), 60, Date.now()), 'invalid'],
    ['for two audiences, neither ours', () => signed({ aud: ['holdfast.stream', 'x'] }), 'invalid'],
    ['without audience', () => signed({ aud: undefined }), 'invalid'],
    ['of another issuer', () => signed({ iss: 'somebody' }), 'invalid'],
    ['without an end', () => signed({ exp: undefined }), 'invalid'],
    ['with an end that is text', () => signed({ exp: 'never' }), 'invalid'],
    ['not good yet', () => signed({ nbf: now() + 60 }), 'invalid'],
    ['without tenant', () => signed({ sub: undefined }), 'invalid'],
    ['without session', () => signed({ sid: undefined }), 'invalid'],
    ['without execution', () => signed({ eid: undefined }), 'invalid'],
    ['with an execution that is no text', () => signed({ eid: ['e1'] }), 'invalid'],
    ['expired', () => signed({ iat: now() - 120, exp: now() - 1 }), 'expired'],
    ['expired and signed by another key', () => signIngestToken([OTHER_KEY], claims(), -1, Date.now()), 'invalid'],
    ['of another execution', () => other.ingest.token, 'invalid'],
    ['of the same execution in another session', () => elsewhere.ingest.token, 'invalid'],
  ];
  test.each(BAD)('[ING11] [ING18] %s: 401 to an upgrade and to a post, and no session is touched', async (_, token, reason) => {
    const { SESSIONS, touched } = untouchable();
    const key = await token();
    const { answer } = await dialIngest(run, key, deployment({ SESSIONS }));
    if (!answer) throw new Error('it was accepted');
    expect(expectProblem(answer, 'unauthorized').reason).toBe(reason);
    const posted = await refused('POST', `/v1/sessions/${run.session}/executions/e1/ingest`, { key, body: HELLO });
    expect(expectProblem(posted, 'unauthorized').reason).toBe(reason);
    expect(touched).toEqual([]);
  });

  const payloadOf = (token: string): Record<string, unknown> =>
    JSON.parse(atob(String(parts(token)[1]).replaceAll('-', '+').replaceAll('_', '/')));

  test('[ING11] the unchanged values of the table are accepted: so each row is refused for what it names', async () => {
    expect((await dialIngest(run, await signed())).status).toBe(101);
    expect((await dialIngest(run, run.ingest.token)).status).toBe(101);
    const path = `/v1/sessions/${run.session}/executions/e1/ingest`;
    expect((await ask('POST', path, { key: await signed(), body: HELLO })).text).toContain('"welcome"');
  });

  test('[ING11] a token lasts for the whole run (pending, running, grace), and 8 days for late events', async () => {
    const { session, execution, ingest } = await start(newSession(), {
      policy: { pendingTimeoutMs: 1000, maxRuntimeMs: 2000, disconnectGraceMs: 3000 },
    });
    const { iat, exp } = payloadOf(ingest.token);
    expect(Number(exp) - Number(iat)).toBe(6 + 8 * 24 * 60 * 60);
    const at = Number(exp) * 1000;
    vi.useFakeTimers({ now: at - 1000, toFake: ['Date'] });
    expect((await dialIngest({ session, execution }, ingest.token)).status).toBe(101);
    vi.setSystemTime(at);
    const { SESSIONS } = untouchable();
    const { answer } = await dialIngest({ session, execution }, ingest.token, deployment({ SESSIONS }));
    expect(answer?.body).toMatchObject({ code: 'unauthorized', reason: 'expired' });
  });

  test('[ING11] ids before token, token before upgrade, upgrade before subprotocol; none of them touches a session', async () => {
    const path = `/v1/sessions/${run.session}/executions/e1/ingest`;
    const good = { key: run.ingest.token };
    expectProblem(await refused('GET', '/v1/sessions/a%2Fb/executions/e1/ingest', { key: null }), 'bad_request');
    expectProblem(await refused('GET', `/v1/sessions/s/executions/${'x'.repeat(129)}/ingest`, good), 'bad_request');
    expectProblem(await refused('GET', path, { key: null }), 'unauthorized');
    const answer = await refused('GET', path, good);
    expectProblem(answer, 'upgrade_required');
    expect(answer.headers.get('upgrade')).toBe('websocket');
    for (const protocols of [undefined, 'holdfast.ingest.v2', STREAM_SUBPROTOCOL, `${INGEST_SUBPROTOCOL}x`]) {
      const headers = { upgrade: 'websocket', ...(protocols ? { 'sec-websocket-protocol': protocols } : {}) };
      expectProblem(await refused('GET', path, { ...good, headers }), 'bad_request');
    }
  });

  test('an ingest token opens nothing else: it is neither an API key nor a ticket', async () => {
    for (const [method, path] of ROUTES.filter(([, route]) => !hasOwnCredential(route))) {
      expectProblem(await refused(method, path, { key: run.ingest.token }), 'unauthorized');
    }
    const { SESSIONS, touched } = untouchable();
    const env = deployment({ SESSIONS });
    for (const dialled of [
      await dialStream(run.session, `?ticket=${run.ingest.token}`, {}, env),
      await dialStream(
        run.session,
        '',
        { 'sec-websocket-protocol': `${STREAM_SUBPROTOCOL}, holdfast.ticket.${run.ingest.token}` },
        env,
      ),
    ]) {
      expect(await dialled.closed).toEqual({ code: CLOSE.credentialRefused, reason: 'ticket_invalid' });
    }
    const bearer = await dialStream(run.session, '', { authorization: `Bearer ${run.ingest.token}` }, env);
    expect(await bearer.closed).toEqual({ code: CLOSE.credentialRefused, reason: 'ticket_invalid' });
    expect(touched).toEqual([]);
  });
});

describe('STR15: tickets and readers', () => {
  const ticket = (session: string, ttlSeconds = 60, key = SIGNING_KEY) =>
    signTicket([key], { tenant: 'acme', session }, ttlSeconds, Date.now());

  const BAD: [
    what: string,
    reason: string,
    query: (session: string) => string | Promise<string>,
    headers?: Record<string, string>,
  ][] = [
    ['no credential', 'credential_needed', () => ''],
    ['a wrong API key', 'credential_needed', () => '', { authorization: 'Bearer no-such-key-at-all-here' }],
    ['an empty ticket', 'ticket_invalid', () => '?ticket='],
    ['garbage', 'ticket_invalid', () => '?ticket=a.b.c'],
    ['an API key as ticket', 'ticket_invalid', () => `?ticket=${ACME_KEY}`],
    ['alg none', 'ticket_invalid', (session) => `?ticket=${unsecured(session)}`],
    ['a ticket signed by another key', 'ticket_invalid', async (session) => `?ticket=${await ticket(session, 60, OTHER_KEY)}`],
    ['a ticket of another session', 'ticket_invalid', async () => `?ticket=${await ticket('another')}`],
    ['an expired ticket', 'ticket_expired', async (session) => `?ticket=${await ticket(session, -1)}`],
    ['garbage as Bearer token', 'ticket_invalid', () => '', { authorization: 'Bearer a.b.c' }],
    ['a bad ticket beside a good API key', 'ticket_invalid', () => '?ticket=a.b.c', { authorization: `Bearer ${ACME_KEY}` }],
  ];
  const unsecured = (session: string) =>
    new UnsecuredJWT({ sid: session })
      .setIssuer('holdfast')
      .setAudience('holdfast.stream')
      .setSubject('acme')
      .setExpirationTime(now() + 60)
      .encode();

  test.each(BAD)('[STR15] %s closes 4401, and no session is touched', async (_, reason, query, headers) => {
    const session = newSession();
    const { SESSIONS, touched } = untouchable();
    const dialled = await dialStream(session, await query(session), headers, deployment({ SESSIONS }));
    expect(dialled.status).toBe(101);
    expect(await dialled.closed).toEqual({ code: CLOSE.credentialRefused, reason });
    expect(dialled.received).toEqual([]);
    expect(touched).toEqual([]);
  });

  test.each(BAD)(
    '[STR15] [STR26] %s is answered 401 to a reader over HTTP, and no session is touched',
    async (_, reason, query, headers) => {
      const session = newSession();
      const asEvents = { accept: 'text/event-stream' };
      for (const path of ['stream', 'events', 'executions/e1/events', 'executions/e1/log']) {
        for (const method of ['GET', 'HEAD']) {
          const answer = await refused(method, `/v1/sessions/${session}/${path}${await query(session)}`, {
            key: null,
            headers: { ...asEvents, ...headers },
          });
          expect(answer.status).toBe(401);
          if (method === 'GET') expect(expectProblem(answer, 'unauthorized').reason).toBe(reason);
        }
      }
    },
  );

  test('[HTTP21] a ticket opens the routes that read, and no other, however it comes', async () => {
    const good = await signTicket([SIGNING_KEY], { tenant: 'acme', session: 's' }, 60, Date.now());
    const others = ROUTES.filter(([method, path]) => !TICKET_ROUTES.includes(`${method} ${path}`));
    expect(others.length).toBe(ROUTES.length - TICKET_ROUTES.length);
    for (const [method, path] of others) {
      expectProblem(await refused(method, path, { key: good }), 'unauthorized');
      expectProblem(await refused(method, `${path}?ticket=${good}`, { key: null }), 'unauthorized');
    }
    for (const route of TICKET_ROUTES.filter((one) => !one.endsWith('/stream'))) {
      const [method, path] = route.split(' ') as [string, string];
      expectProblem(await ask(method, path, { key: good }), 'session_not_found');
      expectProblem(await ask(method, `${path}?ticket=${good}`, { key: null }), 'session_not_found');
    }
  });

  test('[STR15] a ticket opens no ingest', async () => {
    const run = await start(newSession(), { id: 'e1' });
    const scoped = await signTicket([SIGNING_KEY], { tenant: 'acme', session: run.session, execution: 'e1' }, 60, Date.now());
    expect((await dialIngest(run, scoped)).answer?.body).toMatchObject({ code: 'unauthorized' });
  });

  test('[STR15] [STR26] a ticket may come as Bearer token, over WebSocket and HTTP', async () => {
    const run = await start(newSession(), { id: 'e1' });
    const good = await ticket(run.session);
    const dialled = await dialStream(run.session, '?execution=e1', { authorization: `Bearer ${good}` });
    await vi.waitFor(() => expect(dialled.received.length).toBeGreaterThan(0));
    expect(JSON.parse(String(dialled.received[0]))).toMatchObject({ type: 'hello', session: run.session });
    for (const path of ['events', 'executions/e1/events', 'executions/e1/log']) {
      expect((await ask('GET', `/v1/sessions/${run.session}/${path}`, { key: good })).status).toBe(200);
    }
  });

  test('[STR15] a bad id in the path closes 4400 before the credential is looked at', async () => {
    const { SESSIONS, touched } = untouchable();
    const dialled = await dialStream('a%2Fb', '', {}, deployment({ SESSIONS }));
    expect(await dialled.closed).toMatchObject({ code: CLOSE.badFrame });
    expect(touched).toEqual([]);
  });

  test('a page of an allowed origin, of this deployment or without an origin is accepted, and no other', async () => {
    const { session } = await start(newSession());
    const env = deployment({
      HOLDFAST_ALLOWED_ORIGINS: 'https://app.example, http://localhost:3000',
      HOLDFAST_PUBLIC_URL: 'https://public.example',
    });
    const from = async (origin: string) => {
      const dialled = await dialStream(session, '', { origin, authorization: `Bearer ${ACME_KEY}` }, env);
      return Promise.race([dialled.closed, scheduler.wait(100).then(() => 'open')]);
    };
    for (const origin of ['https://app.example', 'http://localhost:3000', 'https://holdfast.test', 'https://public.example']) {
      expect(await from(origin)).toBe('open');
    }
    for (const origin of [
      'https://evil.example',
      'http://app.example',
      'https://app.example.evil.example',
      'null',
      'https://app.example:8443',
    ]) {
      expect(await from(origin)).toEqual({ code: CLOSE.credentialRefused, reason: 'forbidden_origin' });
    }
  });
});

describe('HTTP21: what a ticket shows of a session', () => {
  let run: Run;
  const sign = (claims: { session?: string; execution?: string; types?: string[]; tenant?: string } = {}, ttlSeconds = 60) =>
    signTicket([SIGNING_KEY], { tenant: 'acme', session: run.session, ...claims }, ttlSeconds, Date.now());
  const read = async (path: string, key: string, headers: Record<string, string> = {}) =>
    ask('GET', `/v1/sessions/${run.session}${path}`, { key, headers });
  beforeAll(async () => {
    run = await start(newSession(), { id: 'e1', launcher: 'none', env: { SECRET: 'sesame' } });
    await start(run.session, { id: 'e2', onBusy: 'queue' });
  });

  test('[HTTP21] one that is bound to no execution: the session, and all of its executions, as with an API key', async () => {
    const key = await sign();
    for (const path of ['', '/executions', '/executions?status=queued&limit=1', '/executions/e1', '/executions/e2?wait=0']) {
      const shown = await read(path, key);
      expect(shown.status).toBe(200);
      expect(shown.body).toEqual((await read(path, ACME_KEY)).body);
      expect(
        (await ask('GET', `/v1/sessions/${run.session}${path.includes('?') ? `${path}&` : `${path}?`}ticket=${key}`, { key: null }))
          .body,
      ).toEqual(shown.body);
    }
    expectProblem(await read('/executions/e9', key), 'execution_not_found');
  });

  test('[HTTP21] one that is bound to an execution: that one', async () => {
    const key = await sign({ execution: 'e2' });
    expect((await read('/executions/e2', key)).body).toMatchObject({ id: 'e2', status: 'queued' });
    expect((await read('/executions', key)).body).toMatchObject({ data: [{ id: 'e2' }], next: null });
    expect((await read('/executions?limit=1', key)).body).toMatchObject({ data: [{ id: 'e2' }], next: null });
    expect((await read('/executions?status=pending', key)).body).toEqual({ data: [], next: null });
    expect((await read('/executions', await sign({ execution: 'e9' }))).body).toEqual({ data: [], next: null });
    for (const path of ['', '/executions/e1', '/executions/e1?wait=1', '/executions/e9', '/executions/e1/log']) {
      const { requestId: _, ...refusal } = expectProblem(await read(path, key), 'unauthorized');
      expect(refusal.reason).toBe('ticket_scope');
    }
  });

  test('[HTTP21] one that is bound to event types shows events and nothing else', async () => {
    const key = await sign({ types: ['output'] });
    for (const path of ['', '/executions', '/executions/e1']) {
      expect(expectProblem(await read(path, key), 'unauthorized').reason).toBe('ticket_scope');
    }
  });

  test('[HTTP21] of another session, another tenant, or another time: nothing, and no session is touched but that of the tenant', async () => {
    const expired = await sign({}, -1);
    const elsewhere = await sign({ session: 'another' });
    for (const path of ['', '/executions', '/executions/e1', '/executions/e1?wait=1']) {
      for (const [key, reason] of [
        [expired, 'ticket_expired'],
        [elsewhere, 'ticket_invalid'],
        ['a.b.c', 'ticket_invalid'],
      ] as const) {
        const answer = await refused('GET', `/v1/sessions/${run.session}${path}`, { key });
        expect(expectProblem(answer, 'unauthorized').reason).toBe(reason);
      }
      expectProblem(await read(path, await sign({ tenant: 'globex' })), 'session_not_found');
    }
  });

  test('[HTTP21] it waits for the end as an API key does', async () => {
    const mine = await start(newSession(), { id: 'e1' });
    const peer = await WrapperPeer.welcomed(mine);
    const key = await signTicket([SIGNING_KEY], { tenant: 'acme', session: mine.session, execution: 'e1' }, 60, Date.now());
    const waiting = ask('GET', `/v1/sessions/${mine.session}/executions/e1?wait=20`, { key });
    await scheduler.wait(50);
    await peer.deliver(1, [exit(0)]);
    expect((await waiting).body).toMatchObject({ id: 'e1', status: 'completed' });
  });

  test('[HTTP21] [STR27] a page of an allowed origin may read with it; any other page gets 403 and no session is touched', async () => {
    const key = await sign();
    const env = deployment({ HOLDFAST_ALLOWED_ORIGINS: 'https://app.example' });
    for (const path of ['', '/executions', '/executions/e1']) {
      const at = `/v1/sessions/${run.session}${path}`;
      const allowed = await ask('GET', at, { key, env, headers: { origin: 'https://app.example' } });
      expect(allowed.status).toBe(200);
      expect(allowed.headers.get('access-control-allow-origin')).toBe('https://app.example');
      const foreign = await refused('GET', at, { key, env, headers: { origin: 'https://evil.example' } });
      expectProblem(foreign, 'forbidden_origin');
      expect(foreign.headers.get('access-control-allow-origin')).toBeNull();
      const asks = { origin: 'https://app.example', 'access-control-request-method': 'GET' };
      const preflight = await refused('OPTIONS', at, { key: null, env, headers: asks });
      expect([preflight.status, preflight.headers.get('access-control-allow-methods')]).toEqual([204, 'GET, HEAD']);
    }
  });
});

describe('rotation of signing keys', () => {
  const OLD = String(testEnv.HOLDFAST_SIGNING_KEYS);
  const NEW = 'new-signing-key-0123456789abcdef0123';
  const before = deployment({});
  const during = deployment({ HOLDFAST_SIGNING_KEYS: `${NEW}, ${OLD}` });
  const after = deployment({ HOLDFAST_SIGNING_KEYS: NEW });

  const startWith = async (env: Env) => {
    const session = newSession();
    const { body } = await ask('POST', `/v1/sessions/${session}/executions`, { body: { command: ['job'] }, env });
    return { session, ...(body as unknown as Omit<Run, 'session'>) };
  };
  const ticketWith = async (session: string, env: Env) =>
    String((await ask('POST', `/v1/sessions/${session}/tickets`, { env })).body.ticket);

  test('all keys verify, so that no token is cut off', async () => {
    const run = await startWith(before);
    const ticket = await ticketWith(run.session, before);
    for (const [env, status] of [
      [before, 101],
      [during, 101],
      [after, 401],
    ] as const) {
      expect((await dialIngest(run, run.ingest.token, env)).status).toBe(status);
      const { closed } = await dialStream(run.session, `?ticket=${ticket}`, {}, env);
      const seen = await Promise.race([closed, scheduler.wait(100).then(() => 'open')]);
      expect(seen).toEqual(status === 101 ? 'open' : { code: CLOSE.credentialRefused, reason: 'ticket_invalid' });
    }
  });

  test('the first key signs', async () => {
    const run = await startWith(during);
    const ticket = await ticketWith(run.session, during);
    expect((await dialIngest(run, run.ingest.token, after)).status).toBe(101);
    expect((await dialIngest(run, run.ingest.token, before)).status).toBe(401);
    const { closed } = await dialStream(run.session, `?ticket=${ticket}`, {}, before);
    expect(await closed).toEqual({ code: CLOSE.credentialRefused, reason: 'ticket_invalid' });
  });

  test('a token that has expired under the second key is expired, not invalid', async () => {
    const run = await startWith(before);
    const claims = { tenant: 'acme', session: run.session, execution: run.execution.id };
    const token = await signIngestToken([keyOf(OLD)], claims, -1, Date.now());
    expect((await dialIngest(run, token, during)).answer?.body).toMatchObject({ reason: 'expired' });
  });
});

describe('HTTP3: a deployment that is not configured', () => {
  const LACKS: [what: string, names: string, settings: Parameters<typeof deployment>[0]][] = [
    ['no API keys', 'HOLDFAST_API_KEYS', { HOLDFAST_API_KEYS: undefined }],
    ['empty API keys', 'HOLDFAST_API_KEYS', { HOLDFAST_API_KEYS: '' }],
    ['API keys of commas', 'HOLDFAST_API_KEYS', { HOLDFAST_API_KEYS: ' , ,' }],
    ['an API key without tenant', 'HOLDFAST_API_KEYS', { HOLDFAST_API_KEYS: ACME_KEY }],
    ['an API key of an empty tenant', 'HOLDFAST_API_KEYS', { HOLDFAST_API_KEYS: `=${ACME_KEY}` }],
    ['a tenant that is no id', 'HOLDFAST_API_KEYS', { HOLDFAST_API_KEYS: `ac/me=${ACME_KEY}` }],
    ['an API key of 15 characters', 'HOLDFAST_API_KEYS', { HOLDFAST_API_KEYS: 'acme=0123456789abcde' }],
    ['a second API key that is short', 'HOLDFAST_API_KEYS', { HOLDFAST_API_KEYS: `acme=${ACME_KEY},globex=short` }],
    ['no signing keys', 'HOLDFAST_SIGNING_KEYS', { HOLDFAST_SIGNING_KEYS: undefined }],
    ['a signing key of 31 bytes', 'HOLDFAST_SIGNING_KEYS', { HOLDFAST_SIGNING_KEYS: 'x'.repeat(31) }],
    ['a second signing key that is short', 'HOLDFAST_SIGNING_KEYS', { HOLDFAST_SIGNING_KEYS: `${'x'.repeat(32)},short` }],
    ['a launcher that is none', 'HOLDFAST_LAUNCHER', { HOLDFAST_LAUNCHER: 'docker' }],
  ];
  test.each(LACKS)('[HTTP3] %s: every route but /healthz is answered 503, with any credential', async (_, names, settings) => {
    const env = deployment(settings);
    for (const [method, path] of [
      ...ROUTES,
      ['GET', '/openapi.json'],
      ['GET', '/v1/nothing'],
      ['PUT', '/v1/sessions/s'],
    ] as const) {
      for (const asking of [{ key: null }, { key: ACME_KEY }, { headers: { upgrade: 'websocket' } }]) {
        const answer = await refused(method, path, { ...asking, env });
        const problem = expectProblem(answer, 'not_configured');
        expect(problem.retryable).toBe(false);
        expect(problem.detail).toContain(names);
        expect(answer.text).not.toMatch(/acme|0123456789|short/);
      }
    }
    expect(await refused('GET', '/healthz', { key: null, env })).toMatchObject({ status: 200, body: { status: 'ok' } });
  });

  test('[HTTP3] the shortest keys that are allowed serve', async () => {
    const env = deployment({ HOLDFAST_API_KEYS: 'acme=0123456789abcdef', HOLDFAST_SIGNING_KEYS: 'x'.repeat(32) });
    expectProblem(await ask('GET', '/v1/sessions/never', { key: '0123456789abcdef', env }), 'session_not_found');
  });
});

test('a wrapper with a good token works to the end, so the refusals above have other causes', async () => {
  const run = await start(newSession());
  const peer = await WrapperPeer.welcomed(run);
  await peer.deliver(1, [exit(0)]);
  expect((await get(run)).status).toBe('completed');
});
