/**
 * Keys over time: how each is replaced without interruption, what a key is compared with, and the
 * exact millisecond at which a token expires. auth.test.ts, "rotation of signing keys", covers that
 * old signing keys verify and the first one signs; callback-delivery.test.ts covers keys of
 * callbacks.
 */

import { afterEach, describe, expect, test, vi } from 'vitest';
import { findKeyHolder } from '../../../src/http/auth.ts';
import { type Config, readConfig } from '../../../src/platform/config.ts';
import type { Env } from '../../../src/platform/env.ts';
import { signIngestToken, signTicket, verifyIngestToken, verifyTicket } from '../../../src/platform/tokens.ts';
import { ask, deployment, expectProblem } from '../support/http.ts';
import { ACME_KEY, GLOBEX_KEY, newSession, start, testEnv, ViewerPeer } from '../support/peers.ts';
import { type Subject, take, WAYS, type Way, wasLetIn } from './routes.ts';
import { handMade, watched } from './watched.ts';

afterEach(() => void vi.useRealTimers());

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const way = (name: string): Way => {
  const found = WAYS.find((one) => one.name === name);
  if (!found) throw new Error(`there is no way ${name}`);
  return found;
};

describe('a signing key', () => {
  const [A, B, C] = ['a', 'b', 'c'].map((letter) => `${letter.repeat(8)}-signing-key-0123456789abcdef`) as [string, string, string];
  const withKeys = (...keys: string[]): Env => deployment({ HOLDFAST_SIGNING_KEYS: keys.join(',') });
  const start1 = async (env: Env) => {
    const session = newSession();
    const { body } = await ask('POST', `/v1/sessions/${session}/executions`, { body: { id: 'e1', command: ['job'] }, env });
    const ticket = await ask('POST', `/v1/sessions/${session}/tickets`, { env });
    return { session, execution: 'e1', token: (body.ingest as { token: string }).token, ticket: String(ticket.body.ticket) };
  };
  const opens = async ({ token, ticket, ...subject }: Subject & { token: string; ticket: string }, env: Env) => [
    wasLetIn(await take(way('postIngest, POST'), subject, token, env)),
    wasLetIn(await take(way('followSession, WebSocket'), subject, ticket, env)),
    wasLetIn(await take(way('readEvents, GET'), subject, ticket, env)),
  ];

  test('is replaced in three deploys: each token is valid until its key is removed, and not after that', async () => {
    const first = await start1(withKeys(A));
    const second = await start1(withKeys(B, A));
    for (const [keys, ofFirst, ofSecond] of [
      [[A], true, false],
      [[B, A], true, true],
      [[C, B, A], true, true],
      [[A, B], true, true],
      [[B], false, true],
      [[C, B], false, true],
      [[C], false, false],
    ] as const) {
      expect(await opens(first, withKeys(...keys)), keys.join()).toEqual([ofFirst, ofFirst, ofFirst]);
      expect(await opens(second, withKeys(...keys)), keys.join()).toEqual([ofSecond, ofSecond, ofSecond]);
    }
  });

  test('white space and empty entries in the list are no keys', async () => {
    const run = await start1(withKeys(A));
    expect(await opens(run, deployment({ HOLDFAST_SIGNING_KEYS: ` ,, ${B} ,\n${A}\t,` }))).toEqual([true, true, true]);
    const configured = readConfig(deployment({ HOLDFAST_SIGNING_KEYS: ` ,, ${B} ,\n${A}\t,` })) as { config: Config };
    expect(configured.config.signingKeys).toEqual([bytes(B), bytes(A)]);
  });

  test('after its removal not even the age of a token is revealed', async () => {
    const claims = { tenant: 'acme', session: 's', execution: 'e1' };
    const expired = await signIngestToken([bytes(A)], claims, -1, Date.now());
    expect(await verifyIngestToken([bytes(C), bytes(A)], expired, Date.now())).toEqual({ ok: false, reason: 'expired' });
    expect(await verifyIngestToken([bytes(C), bytes(B)], expired, Date.now())).toEqual({ ok: false, reason: 'invalid' });
  });
});

describe('an API key', () => {
  const OLD = 'old-key-0123456789abcdef';
  const NEW = 'new-key-0123456789abcdef';
  const withKeys = (keys: string): Env => deployment({ HOLDFAST_API_KEYS: keys });

  test('is replaced in three deploys, and both keys are the same tenant meanwhile', async () => {
    const session = newSession();
    const path = `/v1/sessions/${session}`;
    const before = withKeys(`acme=${OLD}`);
    const during = withKeys(`acme=${NEW},acme=${OLD},globex=${GLOBEX_KEY}`);
    const after = withKeys(`acme=${NEW}`);
    expect((await ask('POST', `${path}/executions`, { key: OLD, env: before, body: { command: ['job'] } })).status).toBe(201);
    for (const [env, key, status] of [
      [before, OLD, 200],
      [before, NEW, 401],
      [during, OLD, 200],
      [during, NEW, 200],
      [during, GLOBEX_KEY, 404],
      [after, NEW, 200],
      [after, OLD, 401],
    ] as const) {
      expect((await ask('GET', path, { key, env })).status).toBe(status);
    }
  });

  test('one key never belongs to two tenants, in whatever order or spelling of the list', () => {
    for (const keys of [`acme=${OLD},globex=${OLD}`, `acme=${OLD},acme=${OLD}`, `acme=${OLD}, globex=${OLD} `]) {
      expect(readConfig(withKeys(keys))).toMatchObject({ ok: false, message: expect.stringContaining('twice') });
    }
    expect(readConfig(withKeys(`acme=${OLD},acme=${NEW}`))).toMatchObject({ ok: true });
  });

  const KEY = 'Äöü-key-0123456789-ß-日本-🔑';
  const config = (
    readConfig(withKeys(`short=0123456789abcdef,acme=${ACME_KEY},uni=${KEY},equals=a=b==c=0123456789`)) as { config: Config }
  ).config;

  test.each([
    ['the shortest there may be', '0123456789abcdef', 'short'],
    ['as it is', ACME_KEY, 'acme'],
    ['with letters that are not ASCII', KEY, 'uni'],
    ['with equals signs', 'a=b==c=0123456789', 'equals'],
    ['empty', '', null],
    ['one character', '0', null],
    ['one shorter', ACME_KEY.slice(0, -1), null],
    ['one longer', `${ACME_KEY}0`, null],
    ['twice', ACME_KEY + ACME_KEY, null],
    ['without its beginning', ACME_KEY.slice(1), null],
    ['another first character', `b${ACME_KEY.slice(1)}`, null],
    ['another last character', `${ACME_KEY.slice(0, -1)}0`, null],
    ['in capitals', ACME_KEY.toUpperCase(), null],
    ['with a space behind', `${ACME_KEY} `, null],
    ['with a NUL behind', `${ACME_KEY}\0`, null],
    ['the same letters in another normal form', KEY.normalize('NFD'), null],
    ['its bytes taken for Latin-1', String.fromCharCode(...bytes(KEY)), null],
    ['letters that only look the same', ACME_KEY.replace('a', 'а'), null],
    ['a long one', 'x'.repeat(1_000_000), null],
    ['two keys with a comma', `${ACME_KEY},${KEY}`, null],
  ])('is compared as a whole and to the letter: %s', async (_, given, tenant) => {
    expect((await findKeyHolder(config, given))?.tenant ?? null).toBe(tenant);
  });
});

describe('the end of a token', () => {
  const AT = 1_763_650_000_000;
  const keys = [bytes(String(testEnv.HOLDFAST_SIGNING_KEYS))];

  test('is its exact millisecond, for both kinds; there is no tolerance', async () => {
    const ingest = await signIngestToken(keys, { tenant: 'acme', session: 's', execution: 'e1' }, 60, AT);
    const ticket = await signTicket(keys, { tenant: 'acme', session: 's' }, 60, AT);
    for (const [at, verdict] of [
      [AT, 'good'],
      [AT + 59_999, 'good'],
      [AT + 60_000, 'expired'],
      [AT + 60_001, 'expired'],
      [AT + 10 ** 10, 'expired'],
    ] as const) {
      for (const verified of [await verifyIngestToken(keys, ingest, at), await verifyTicket(keys, ticket, at)])
        expect([at, verified.ok ? 'good' : verified.reason]).toEqual([at, verdict]);
    }
  });

  test('a machine whose clock is behind that of the signer accepts it', async () => {
    const ticket = await signTicket(keys, { tenant: 'acme', session: 's' }, 60, AT);
    expect(await verifyTicket(keys, ticket, AT - 30_000)).toMatchObject({ ok: true });
  });

  test('the announced time (`expiresAt`) is that moment, over HTTP and WebSocket', async () => {
    const { session } = await start(newSession(), { id: 'e1' });
    const { body } = await ask('POST', `/v1/sessions/${session}/tickets`, { body: { ttlSeconds: 5 } });
    const [ticket, expiresAt] = [String(body.ticket), Number(body.expiresAt)];
    const subject = { session, execution: 'e1' };
    for (const [at, open] of [
      [expiresAt - 1, true],
      [expiresAt, false],
    ] as const) {
      vi.useFakeTimers({ now: at, toFake: ['Date'] });
      for (const name of ['getSession, GET', 'readEvents, GET', 'followSession, WebSocket', 'readLog, GET']) {
        const { env, reached } = watched();
        expect([name, wasLetIn(await take(way(name), subject, ticket, env))]).toEqual([name, open]);
        expect(reached.length > 0).toBe(open);
      }
    }
  });

  test('a ticket lasts an hour at most, whatever is requested', async () => {
    const path = `/v1/sessions/${newSession()}/tickets`;
    for (const ttlSeconds of [3601, 10 ** 9, 0, -1, 1.5]) {
      expectProblem(await ask('POST', path, { body: { ttlSeconds } }), 'bad_request');
    }
    const before = Date.now();
    const { body } = await ask('POST', path, { body: { ttlSeconds: 3600 } });
    expect(Number(body.expiresAt)).toBeLessThanOrEqual(before + 3_601_000);
  });

  test('an expiry beyond every clock is accepted: only the holder of the key can sign one', async () => {
    const claims = { iss: 'holdfast', aud: 'holdfast.stream', sub: 'acme', sid: 's', exp: Number.MAX_SAFE_INTEGER };
    const token = await handMade({ alg: 'HS256' }, claims, String(testEnv.HOLDFAST_SIGNING_KEYS));
    expect(await verifyTicket(keys, token, AT)).toMatchObject({ ok: true });
    expect(await verifyTicket([bytes('another-signing-key-0123456789abcdef')], token, AT)).toEqual({
      ok: false,
      reason: 'invalid',
    });
  });
});

/**
 * Accepted weaknesses, which docs/security.md names: one test each, so that the page changes with
 * them.
 */
describe('not revoked', () => {
  test('a token of a deleted session opens the same execution id when that is started again', async () => {
    const run = await start(newSession(), { id: 'e1' });
    const subject = { session: run.session, execution: 'e1' };
    expect((await ask('DELETE', `/v1/sessions/${run.session}`)).status).toBe(204);
    const gone = await take(way('postIngest, POST'), subject, run.ingest.token, testEnv);
    expect(gone.status).toBe(404);
    await start(run.session, { id: 'e1' });
    expect((await take(way('postIngest, POST'), subject, run.ingest.token, testEnv)).text).toContain('"welcome"');
  });

  test('a socket that a ticket opened outlives the ticket: it receives later events', async () => {
    const run = await start(newSession(), { id: 'e1' });
    const ticket = await signTicket(
      [bytes(String(testEnv.HOLDFAST_SIGNING_KEYS))],
      { tenant: 'acme', session: run.session },
      60,
      Date.now(),
    );
    const viewer = await ViewerPeer.connect(run.session, `?ticket=${ticket}`, { key: '' });
    await viewer.until('caught_up');
    vi.useFakeTimers({ now: Date.now() + 120_000, toFake: ['Date'] });
    expect(wasLetIn(await take(way('followSession, WebSocket'), { session: run.session, execution: 'e1' }, ticket, testEnv))).toBe(
      false,
    );
    const failed = await ask('POST', `/v1/sessions/${run.session}/executions/e1/fail`, { body: { code: 'late', message: 'x' } });
    expect(failed.status).toBe(200);
    expect(await viewer.until('end')).toMatchObject({ execution: 'e1', status: 'failed' });
  });
});
