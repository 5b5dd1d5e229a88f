/**
 * Pages of other origins. An exact comparison of the origin decides which page may read, on every
 * route (the rows of routes.ts), before the credential and before any object. A page of
 * another origin can never change anything. auth.test.ts and sse.test.ts cover the plain cases.
 */

import { describe, expect, test } from 'vitest';
import { CLOSE } from '../../../protocol/index.ts';
import { signTicket } from '../../../src/platform/tokens.ts';
import { ask, expectProblem } from '../support/http.ts';
import { ACME_KEY, newSession, ORIGIN, start, testEnv } from '../support/peers.ts';
import { type Answered, take, WAYS, type Way, wasLetIn } from './routes.ts';
import { watched } from './watched.ts';

const SETTINGS = {
  HOLDFAST_ALLOWED_ORIGINS: ' https://app.example , http://localhost:3000,,https://app.example',
  HOLDFAST_PUBLIC_URL: 'https://public.example/',
};

const ALLOWED = ['https://app.example', 'http://localhost:3000', 'https://public.example', ORIGIN];

const FOREIGN: [what: string, origin: string][] = [
  ['another host', 'https://evil.example'],
  ['a sandboxed frame', 'null'],
  ['nothing', ''],
  ['our host as a prefix', 'https://app.example.evil.example'],
  ['our host as a suffix', 'https://evilapp.example'],
  ['our host as user name', 'https://app.example@evil.example'],
  ['our host in a path', 'https://evil.example/https://app.example'],
  ['a subdomain', 'https://sub.app.example'],
  ['the domain above', 'https://example'],
  ['another scheme', 'http://app.example'],
  ['another port', 'https://app.example:8443'],
  ['the port written out', 'https://app.example:443'],
  ['another local port', 'http://localhost:3001'],
  ['no port where one is needed', 'http://localhost'],
  ['loopback by number', 'http://127.0.0.1:3000'],
  ['a slash behind', 'https://app.example/'],
  ['a dot behind the host', 'https://app.example.'],
  ['capitals, which no browser sends', 'https://APP.example'],
  ['no scheme', 'app.example'],
  ['two origins', 'https://app.example https://evil.example'],
  ['two origins with a comma', 'https://app.example, https://evil.example'],
  ['a star', '*'],
  ['this deployment by another scheme', ORIGIN.replace('https:', 'http:')],
];

const readers = WAYS.filter(({ opens }) => opens === 'reader');
const actors = WAYS.filter(({ opens }) => opens === 'actor');
const others = WAYS.filter(({ opens }) => opens === 'key' || opens === 'ingest');

const withoutCors = ({ headers }: Answered): void =>
  expect([...headers.keys()].filter((name) => name.startsWith('access-control-'))).toEqual([]);

const subjectOf = async () => {
  const run = await start(newSession(), { id: 'e1' });
  return { session: run.session, execution: 'e1', token: run.ingest.token };
};

describe('[STR27] [STR26] a page that reads', () => {
  test.each(FOREIGN)('%s: %s is refused on every way, with a good credential too, and no object is reached', async (_, origin) => {
    const subject = { session: 'never', execution: 'e1' };
    const ticket = await signTicket(
      [new TextEncoder().encode(String(testEnv.HOLDFAST_SIGNING_KEYS))],
      { tenant: 'acme', session: 'never' },
      60,
      Date.now(),
    );
    const { env, reached } = watched(SETTINGS);
    for (const way of readers) {
      for (const [credential, carrier] of [
        [ACME_KEY, 'bearer'],
        [ticket, 'bearer'],
        [ticket, 'query'],
        [null, 'bearer'],
      ] as const) {
        const answered = await take(way, subject, credential, env, carrier, { origin });
        if (way.socket) {
          expect(answered.closed, way.name).toEqual({ code: CLOSE.credentialRefused, reason: 'forbidden_origin' });
          continue;
        }
        expect(answered.status, way.name).toBe(403);
        if (way.method !== 'HEAD') expect(JSON.parse(answered.text)).toMatchObject({ code: 'forbidden_origin' });
        withoutCors(answered);
        expect(answered.headers.get('vary')).toContain('Origin');
      }
    }
    expect(reached).toEqual([]);
  });

  test.each(ALLOWED)('%s is accepted on every way, and its response is for that origin alone', async (origin) => {
    const subject = await subjectOf();
    const { env } = watched(SETTINGS);
    for (const way of readers) {
      const answered = await take(way, subject, ACME_KEY, env, 'bearer', { origin });
      expect(wasLetIn(answered), `${way.name} ${answered.text}`).toBe(true);
      if (way.socket) continue;
      expect(answered.headers.get('access-control-allow-origin'), way.name).toBe(origin);
      expect(answered.headers.get('access-control-allow-credentials')).toBeNull();
      expect(answered.headers.get('vary')).toContain('Origin');
      // The refusal of a credential, too. Otherwise a page could not distinguish an expired ticket
      // from a broken network.
      const refused = await take(way, subject, 'no-such-key-at-all-here', env, 'bearer', { origin });
      expect([refused.status, refused.headers.get('access-control-allow-origin')]).toEqual([401, origin]);
    }
  });

  test('a page can read why its request for the stream is refused, also without an upgrade and without an event stream', async () => {
    const way = WAYS.find(({ name }) => name === 'followSession, neither upgrade nor event stream') as Way;
    const { env, reached } = watched(SETTINGS);
    for (const origin of ALLOWED) {
      const answered = await take(way, { session: 'never', execution: 'e1' }, null, env, 'bearer', { origin });
      expect([answered.status, answered.headers.get('access-control-allow-origin')]).toEqual([426, origin]);
    }
    for (const [, origin] of FOREIGN) {
      withoutCors(await take(way, { session: 'never', execution: 'e1' }, null, env, 'bearer', { origin }));
    }
    expect(reached).toEqual([]);
  });

  test('a request without an origin is not from a page: only its credential counts, and the response has no CORS headers', async () => {
    const subject = await subjectOf();
    for (const way of readers) {
      const answered = await take(way, subject, ACME_KEY, watched(SETTINGS).env);
      expect(wasLetIn(answered), way.name).toBe(true);
      withoutCors(answered);
    }
  });

  test.each([
    ['*', ['https://evil.example', 'https://app.example', 'null']],
    ['https://*.example', ['https://app.example', 'https://*.evil']],
    ['null', ['null']],
    ['https://app.example/', ['https://app.example']],
    ['HTTPS://APP.EXAMPLE', ['https://app.example']],
    ['app.example', ['https://app.example', 'http://app.example']],
    ['https://app.example;https://b.example', ['https://app.example', 'https://b.example']],
    ['', ['https://app.example', '', 'null']],
    [' , ,', ['', ' ']],
    [undefined, ['https://app.example']],
  ])(
    'HOLDFAST_ALLOWED_ORIGINS %j has no wildcard, no opaque origin and no other spelling: it lets nobody in',
    async (setting, origins) => {
      const way = readers.find(({ name }) => name === 'followSession, WebSocket') as Way;
      const plain = readers.find(({ name }) => name === 'getSession, GET') as Way;
      for (const origin of origins) {
        const { env, reached } = watched({ HOLDFAST_ALLOWED_ORIGINS: setting });
        const subject = { session: 'never', execution: 'e1' };
        expect((await take(way, subject, ACME_KEY, env, 'bearer', { origin })).closed?.reason, origin).toBe('forbidden_origin');
        expect((await take(plain, subject, ACME_KEY, env, 'bearer', { origin })).status, origin).toBe(403);
        expect(reached).toEqual([]);
      }
    },
  );
});

describe('[STR27] routes that change something, and those of wrappers', () => {
  test.each([...ALLOWED, 'https://evil.example', 'null'])(
    'is told nothing of CORS, so that no browser lets a page of %s use it',
    async (origin) => {
      for (const way of others) {
        const { session, token } = await subjectOf();
        const { env } = watched(SETTINGS);
        const answered = await take(way, { session, execution: 'e1' }, way.opens === 'key' ? ACME_KEY : token, env, 'bearer', {
          origin,
        });
        // Paths that are read with GET also have POST and DELETE; the method decides.
        withoutCors(answered);
      }
    },
  );
});

describe('[STR27] a page with a ticket that may change something', () => {
  test('may do it from an allowed origin, and from no other', async () => {
    for (const way of actors) {
      const { session } = await subjectOf();
      const can = ['input', 'interrupt'] as const;
      const claims = { tenant: 'acme', session, can: [...can] };
      const ticket = await signTicket([new TextEncoder().encode(testEnv.HOLDFAST_SIGNING_KEYS)], claims, 60, Date.now());
      const { env, reached } = watched(SETTINGS);
      for (const [, origin] of FOREIGN) {
        const refused = await take(way, { session, execution: 'e1' }, ticket, env, 'bearer', { origin });
        expect([way.name, refused.status]).toEqual([way.name, 403]);
        withoutCors(refused);
      }
      expect(reached).toEqual([]);
      const taken = await take(way, { session, execution: 'e1' }, ticket, env, 'bearer', { origin: 'https://app.example' });
      expect(taken.headers.get('access-control-allow-origin'), way.name).toBe('https://app.example');
      expect(taken.status, way.name).not.toBe(403);
      expect(reached, way.name).not.toEqual([]);
    }
  });
});

describe('[STR27] preflights', () => {
  const asks = (origin: string, method = 'GET') => ({ origin, 'access-control-request-method': method });
  const paths = (ways: readonly Way[]): string[] => [
    ...new Set(ways.map((way) => way.path({ session: 's', execution: 'e' }).split('?')[0] ?? '')),
  ];
  const readable = paths(readers);

  test('every path that a page may read answers one from an allowed origin: read methods only, and no browser credentials', async () => {
    const { env, reached } = watched(SETTINGS);
    expect(readable.length).toBe(7);
    for (const path of readable) {
      for (const method of ['GET', 'HEAD', 'POST', 'DELETE', 'PUT']) {
        const { status, headers } = await ask('OPTIONS', path, { key: null, env, headers: asks('https://app.example', method) });
        expect([status, headers.get('access-control-allow-origin')]).toEqual([204, 'https://app.example']);
        // Whatever method was requested: a browser sends no other than these.
        expect(headers.get('access-control-allow-methods')).toBe('GET, HEAD');
        expect(headers.get('access-control-allow-headers')?.split(', ').sort()).toEqual([
          'authorization',
          'content-type',
          'if-none-match',
          'last-event-id',
        ]);
        expect(headers.get('access-control-allow-credentials')).toBeNull();
        expect(headers.get('vary')).toContain('Origin');
      }
    }
    expect(reached).toEqual([]);
  });

  test('every path that a ticket may change answers one from an allowed origin: its own method only', async () => {
    const { env, reached } = watched(SETTINGS);
    for (const path of paths(actors)) {
      const { status, headers } = await ask('OPTIONS', path, { key: null, env, headers: asks('https://app.example', 'POST') });
      expect([status, headers.get('access-control-allow-origin')]).toEqual([204, 'https://app.example']);
      expect(headers.get('access-control-allow-methods')).toBe('POST');
      expect(headers.get('access-control-allow-credentials')).toBeNull();
      for (const [, origin] of FOREIGN) {
        expectProblem(await ask('OPTIONS', path, { key: null, env, headers: asks(origin, 'POST') }), 'unauthorized');
      }
    }
    expect(reached).toEqual([]);
  });

  test('no other path does, and no other origin is answered', async () => {
    const { env, reached } = watched(SETTINGS);
    const closed = paths(others).filter((path) => !readable.includes(path));
    expect(closed.length).toBeGreaterThanOrEqual(4);
    for (const path of [...closed, '/v1/sessions/s/', '/v1/nothing', '/v1/sessions/s/stream/x']) {
      for (const origin of ALLOWED) {
        const answer = await ask('OPTIONS', path, { key: null, env, headers: asks(origin) });
        expectProblem(answer, 'unauthorized');
        withoutCors({ ...answer, closed: null, received: [] });
      }
    }
    for (const path of readable) {
      for (const [, origin] of FOREIGN) {
        const answer = await ask('OPTIONS', path, { key: null, env, headers: asks(origin) });
        expectProblem(answer, 'unauthorized');
        withoutCors({ ...answer, closed: null, received: [] });
      }
    }
    expect(reached).toEqual([]);
  });

  test('an OPTIONS that is no preflight is an unsupported method', async () => {
    const { env } = watched(SETTINGS);
    for (const path of readable) {
      expectProblem(await ask('OPTIONS', path, { key: null, env, headers: { origin: 'https://app.example' } }), 'unauthorized');
      expectProblem(await ask('OPTIONS', path, { env, headers: { origin: 'https://app.example' } }), 'method_not_allowed');
    }
  });
});

test('[HTTP20] no cache keeps an answer to a ticket in the address, and no answer is sniffed as another type', async () => {
  for (const way of WAYS.filter(({ opens }) => opens === 'reader' || opens === 'key')) {
    const { session } = await subjectOf();
    const answered = await take(way, { session, execution: 'e1' }, ACME_KEY, watched().env);
    if (answered.status === 101) continue;
    expect(answered.headers.get('x-content-type-options'), way.name).toBe('nosniff');
    expect(answered.headers.get('cache-control'), way.name).toMatch(/\b(no-store|no-cache)\b/);
    expect(answered.headers.get('cache-control'), way.name).not.toContain('public');
  }
});
