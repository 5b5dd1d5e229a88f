/**
 * Every route of the Worker times every kind of credential. A credential that does not open a route
 * is refused as PROTOCOL.md says, reaches no object and changes nothing. The data of another tenant
 * is not visible.
 *
 * Method: the routes are a table with a row for each operation of the API (routes.ts), and
 * a route without a row fails the first test. The requests go to an existing session with a run in
 * it, through real bindings that record every object they are asked for. auth.test.ts tests each
 * credential by itself; this file tests that no route was forgotten.
 */

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { CLOSE, STREAM_SUBPROTOCOL } from '../../../protocol/index.ts';
import { app } from '../../../src/http/app.ts';
import { OPERATIONS } from '../../../src/http/openapi/operations.ts';
import { ALL_ROUTES, ROUTES } from '../../../src/http/routes.ts';
import { signIngestToken, signTicket } from '../../../src/platform/tokens.ts';
import { ask, expectProblem } from '../support/http.ts';
import { ACME_KEY, exit, GLOBEX_KEY, newSession, output, type Run, start, testEnv, WrapperPeer } from '../support/peers.ts';
import { newKey } from '../support/runners.ts';
import { type Carrier, expectUnauthorized, OPERATIONS_WITH_A_ROW, type Subject, take, WAYS, type Way, wasLetIn } from './routes.ts';
import {
  claimsIn,
  directoryOf,
  handMade,
  keptOf,
  objectIds,
  part,
  partsOf,
  signedByKeyPair,
  type Watched,
  watched,
} from './watched.ts';

const KEY = String(testEnv.HOLDFAST_SIGNING_KEYS);
const OTHER_KEY = 'another-signing-key-0123456789abcdef';
const SIGNING_KEYS = [new TextEncoder().encode(KEY)];
const MARKER = 'of-acme-alone-51c3';

let run: Run;
let other: Run;
let elsewhere: Run;
let subject: Subject;
let wrapper: WrapperPeer;
let rsa: Awaited<ReturnType<typeof signedByKeyPair>>;
let before: unknown;

const everything = async (): Promise<unknown> => ({
  kept: await keptOf(run.session),
  directory: await directoryOf(),
  objects: await objectIds(),
});

/** Every pending directory update has been delivered. */
const told = (session: string) =>
  vi.waitFor(async () => {
    const { tables } = (await keptOf(session)) as { tables: { outbox: { version: number; delivered: number }[] } };
    for (const { version, delivered } of tables.outbox) expect(delivered).toBe(version);
    expect(tables.outbox.length).toBe(1);
  });

const policy = { silenceTimeoutMs: 600_000, pendingTimeoutMs: 600_000 };

beforeAll(async () => {
  run = await start(newSession(), { id: 'e1', policy, labels: { only: MARKER }, openStdin: true });
  wrapper = await WrapperPeer.welcomed(run);
  await wrapper.deliver(1, [output(`${MARKER}\n`)]);
  other = await start(run.session, { id: 'e2', onBusy: 'queue', policy });
  elsewhere = await start(newSession(), { id: 'e1', policy });
  subject = { session: run.session, execution: 'e1' };
  rsa = await signedByKeyPair(claimsOf('ingest'));
  await told(run.session);
  await told(elsewhere.session);
  before = await everything();
});
afterAll(() => wrapper.close());

type Kind = 'ingest' | 'ticket';

const now = (): number => Math.floor(Date.now() / 1000);
const AUDIENCE = { ingest: 'holdfast.ingest', ticket: 'holdfast.stream' };
const HS256 = { alg: 'HS256', typ: 'JWT' };

/** The claims of a valid token of this kind. */
const claimsOf = (kind: Kind, changed: Record<string, unknown> = {}): Record<string, unknown> => {
  const bound = kind === 'ingest' ? { eid: 'e1' } : {};
  return {
    iss: 'holdfast',
    aud: AUDIENCE[kind],
    sub: 'acme',
    sid: run.session,
    ...bound,
    iat: now(),
    exp: now() + 600,
    ...changed,
  };
};
const made = (kind: Kind, changed: Record<string, unknown> = {}, key = KEY): Promise<string> =>
  handMade(HS256, claimsOf(kind, changed), key);

/** The fault of a token, whatever its kind. */
const FORGERIES: [what: string, token: (kind: Kind) => string | Promise<string>, reason?: 'expired'][] = [
  ['signed by an unknown key', (kind) => made(kind, {}, OTHER_KEY)],
  ['signed by an API key', (kind) => made(kind, {}, ACME_KEY)],
  ['alg none', (kind) => `${part({ alg: 'none' })}.${part(claimsOf(kind))}.`],
  ['alg nOnE', (kind) => `${part({ alg: 'nOnE', typ: 'JWT' })}.${part(claimsOf(kind))}.`],
  [
    'alg none over a good signature',
    async (kind) =>
      `${part({ alg: 'none' })}.${partsOf(await made(kind))
        .slice(1)
        .join('.')}`,
  ],
  ['HS512 by the right key', (kind) => handMade({ alg: 'HS512' }, claimsOf(kind), KEY, 'SHA-512')],
  ['HS384 by the right key', (kind) => handMade({ alg: 'HS384' }, claimsOf(kind), KEY, 'SHA-384')],
  ['said to be HS512, signed as HS256', (kind) => handMade({ alg: 'HS512' }, claimsOf(kind), KEY)],
  ['said to be RS256, signed as HS256 by the right key', (kind) => handMade({ alg: 'RS256' }, claimsOf(kind), KEY)],
  ['RS256 by a stranger’s key pair', () => rsa.token],
  ['HS256 with a public key as the secret', (kind) => made(kind, {}, rsa.publicPem)],
  [
    'its own key in its header',
    (kind) => handMade({ ...HS256, jwk: { kty: 'oct', k: part(OTHER_KEY), alg: 'HS256' } }, claimsOf(kind), OTHER_KEY),
  ],
  ['a public key in its header', (kind) => handMade({ ...HS256, jwk: rsa.publicKey }, claimsOf(kind), OTHER_KEY)],
  [
    'an address of keys in its header',
    (kind) => handMade({ ...HS256, kid: '../../dev/null', jku: 'https://evil.example/keys' }, claimsOf(kind), OTHER_KEY),
  ],
  ['an unknown critical extension', (kind) => handMade({ ...HS256, crit: ['x'], x: 1 }, claimsOf(kind), KEY)],
  ['an unencoded payload', (kind) => handMade({ ...HS256, b64: false, crit: ['b64'] }, claimsOf(kind), KEY)],
  ['no alg', (kind) => handMade({ typ: 'JWT' }, claimsOf(kind), KEY)],
  [
    'a payload that was changed',
    async (kind) => {
      const [header, , signature] = partsOf(await made(kind, { sid: 'another' }));
      return `${header}.${part(claimsOf(kind))}.${signature}`;
    },
  ],
  [
    'a header that was changed',
    async (kind) => {
      const [, payload, signature] = partsOf(await made(kind));
      return `${part({ ...HS256, kid: 'x' })}.${payload}.${signature}`;
    },
  ],
  ['a signature that was cut', async (kind) => (await made(kind)).slice(0, -4)],
  [
    'no signature',
    async (kind) =>
      `${partsOf(await made(kind))
        .slice(0, 2)
        .join('.')}.`,
  ],
  [
    'the signature of another',
    async (kind) => [...partsOf(await made(kind)).slice(0, 2), partsOf(await made(kind, { jti: 'x' }))[2]].join('.'),
  ],
  ['five parts', async (kind) => `${await made(kind)}.x.y`],
  [
    'two parts',
    async (kind) =>
      partsOf(await made(kind))
        .slice(0, 2)
        .join('.'),
  ],
  ['a payload that is a list', (kind) => handMade(HS256, [claimsOf(kind)], KEY)],
  ['a payload that is no JSON', () => handMade(HS256, 'acme', KEY)],
  ['no end', (kind) => made(kind, { exp: undefined })],
  ['an end that is text', (kind) => made(kind, { exp: String(now() + 600) })],
  ['an end that is nothing', (kind) => made(kind, { exp: null })],
  ['another issuer', (kind) => made(kind, { iss: 'somebody' })],
  ['no issuer', (kind) => made(kind, { iss: undefined })],
  ['a list of issuers', (kind) => made(kind, { iss: ['holdfast'] })],
  ['no audience', (kind) => made(kind, { aud: undefined })],
  ['an audience that begins as ours', (kind) => made(kind, { aud: `${AUDIENCE[kind]}.evil` })],
  ['the issuer as audience', (kind) => made(kind, { aud: 'holdfast' })],
  ['no tenant', (kind) => made(kind, { sub: undefined })],
  ['a tenant that is no text', (kind) => made(kind, { sub: ['acme'] })],
  ['no session', (kind) => made(kind, { sid: undefined })],
  ['a session that is no text', (kind) => made(kind, { sid: { toString: 's' } })],
  ['another session', (kind) => made(kind, { sid: elsewhere.session })],
  ['an execution that is no text', (kind) => made(kind, { eid: ['e1'] })],
  ['not good before a minute from now', (kind) => made(kind, { nbf: now() + 60 })],
  ['a beginning that is text', (kind) => made(kind, { nbf: 'now' })],
  ['expired', (kind) => made(kind, { iat: now() - 7200, exp: now() - 3600 }), 'expired'],
  ['expired this very second', (kind) => made(kind, { exp: now() }), 'expired'],
  ['expired long ago, and signed by an unknown key', (kind) => made(kind, { exp: 1 }, OTHER_KEY)],
];

/** Of one kind alone. */
const FORGED_TICKETS: [what: string, token: () => Promise<string>][] = [
  ['types that are no list', () => made('ticket', { types: 'output' })],
  ['types that are no texts', () => made('ticket', { types: ['output', 7] })],
  ['rights that are no list', () => made('ticket', { can: 'input' })],
  ['rights that are no texts', () => made('ticket', { can: ['read', 7] })],
  ['an execution that is a number', () => made('ticket', { eid: 1 })],
];
const FORGED_INGEST: [what: string, token: () => Promise<string>][] = [
  ['no execution', () => made('ingest', { eid: undefined })],
  ['another execution', () => made('ingest', { eid: 'e2' })],
  ['the token that the start of another execution gave', async () => other.ingest.token],
  ['the token of the same execution id in another session', async () => elsewhere.ingest.token],
];

interface Refusals {
  /** Reason of the ingest routes. */
  ingest: 'invalid' | 'expired' | undefined;
  /** Reason of the readers when it comes as a ticket. */
  reader: string;
}

/** What opens this route at all, in any position. */
interface Opens {
  key?: true;
  /**
   * A ticket without rights to change anything opens no such route, and is refused `ticket_scope`.
   */
  actor?: true;
  reader?: true;
  ingest?: true;
  /** No credential of this file. */
  runner?: true;
}

const TICKET_SHAPE = /^[\w-]+\.[\w-]+\.[\w-]*$/;

/**
 * Calls every route that this credential does not open, in each position in which a credential may
 * be sent.
 */
async function expectRefusedEverywhere(credential: string | null, { ingest, reader }: Refusals, opens: Opens = {}): Promise<void> {
  const { env, reached } = watched();
  const carriers: Carrier[] = credential === null ? ['bearer'] : ['bearer', 'query', 'subprotocol'];
  for (const carrier of carriers) {
    for (const way of WAYS) {
      if (way.opens === 'public') continue;
      const asBearer = carrier === 'bearer';
      // A ticket may be sent in any position. An API key and an ingest token are accepted in one
      // position.
      if (way.opens !== 'nothing' && opens[way.opens] && (asBearer || (way.opens === 'reader' && !opens.key))) continue;
      const ticketReads = opens.reader === true && opens.key !== true;
      const answered = await take(way, subject, credential, env, carrier);
      if (way.opens === 'nothing') expect([way.name, answered.status]).toEqual([way.name, 426]);
      else if (way.opens === 'key' || way.opens === 'runner') expectUnauthorized(way, answered, undefined);
      else if (way.opens === 'ingest') expectUnauthorized(way, answered, asBearer && credential !== null ? ingest : undefined);
      else if (credential === null || (asBearer && !TICKET_SHAPE.test(credential)))
        expectUnauthorized(way, answered, 'credential_needed');
      else if (way.opens === 'actor' && ticketReads) expectUnauthorized(way, answered, 'ticket_scope');
      else expectUnauthorized(way, answered, reader);
      expect(answered.text + JSON.stringify([...answered.headers]), way.name).not.toMatch(new RegExp(`${MARKER}|${ACME_KEY}`));
      expect(reached, way.name).toEqual([]);
    }
  }
}

describe('the table', () => {
  test('has a row for each operation there is, and the app has no route outside of the groups', () => {
    const ids = ALL_ROUTES.map(({ id }) => id);
    expect([...OPERATIONS_WITH_A_ROW].sort()).toEqual([...ids].sort());
    const inGroups = ALL_ROUTES.map(({ method, path }) => `${method.toUpperCase()} ${path}`);
    // Preflights of pages.
    const preflights = [...Object.values(ROUTES.reader), ...Object.values(ROUTES.actor)].map(({ path }) => `OPTIONS ${path}`);
    const mounted = app.routes.filter(({ method }) => method !== 'ALL').map(({ method, path }) => `${method} ${path}`);
    expect([...new Set(mounted)].sort()).toEqual([...inGroups, ...preflights].sort());
    // For every method: the middleware in front of every route, and the responses to methods that a
    // path of the table does not support.
    const ofAnyMethod = app.routes.filter(({ method }) => method === 'ALL').map(({ path }) => path);
    expect([...new Set(ofAnyMethod)].sort()).toEqual([...new Set(['/*', ...ALL_ROUTES.map(({ path }) => path)])].sort());
  });

  test('accepts exactly the credentials of the description', () => {
    for (const { id, method, path, group } of OPERATIONS) {
      const ways = WAYS.filter(({ operation }) => operation === id);
      for (const way of ways) {
        const pattern = path.replace('{pool}', 'default').replace('{runner}', 'r_1').replace('{key}', 'rk_1');
        expect(way.path({ session: '{session}', execution: '{execution}' }).split('?')[0]).toBe(pattern);
        expect([method.toUpperCase(), 'HEAD']).toContain(way.method);
        if (way.opens !== 'nothing') expect(way.opens, way.name).toBe(group);
      }
      if (method === 'get' && !['public', 'ingest', 'runner'].includes(group))
        expect(
          ways.some((way) => way.method === 'HEAD'),
          id,
        ).toBe(true);
    }
  });
});

describe('[HTTP2] [HTTP21] [STR15] [STR26] [ING11] refused on every route, and no object is reached', () => {
  test('no credential at all', () => expectRefusedEverywhere(null, { ingest: undefined, reader: 'credential_needed' }));

  const NO_KEYS: [what: string, credential: () => string][] = [
    ['an unknown API key', () => 'no-such-key-at-all-here'],
    ['a key that lacks its last character', () => ACME_KEY.slice(0, -1)],
    ['a key and one character more', () => `${ACME_KEY}0`],
    ['the name of the tenant', () => 'acme'],
    ['tenant and key as they are configured', () => `acme=${ACME_KEY}`],
    ['the signing key', () => KEY],
    ['the key of callbacks', () => 'whsec_aG9sZGZhc3QtdGVzdC1rZXktb2YtdGhpcnR5LXR3by1ieXRlcw=='],
    ['garbage with two dots', () => 'a.b.c'],
  ];
  test.each(NO_KEYS)('%s', (_, credential) =>
    expectRefusedEverywhere(credential(), { ingest: 'invalid', reader: 'ticket_invalid' }),
  );

  test('an API key, where it is no credential: the ingest, and wherever a ticket belongs', () =>
    expectRefusedEverywhere(ACME_KEY, { ingest: 'invalid', reader: 'ticket_invalid' }, { key: true, actor: true, reader: true }));

  test('the ingest token of this very execution, everywhere but at its ingest: it is no ticket and no API key', () =>
    expectRefusedEverywhere(run.ingest.token, { ingest: undefined, reader: 'ticket_invalid' }, { ingest: true }));

  test('a ticket of this very session, everywhere but where a ticket reads: it is no ingest token and no API key', async () => {
    const plain = await signTicket(SIGNING_KEYS, { tenant: 'acme', session: run.session }, 60, Date.now());
    await expectRefusedEverywhere(plain, { ingest: 'invalid', reader: '' }, { reader: true });
    const bound = await signTicket(SIGNING_KEYS, { tenant: 'acme', session: run.session, execution: 'e1' }, 60, Date.now());
    await expectRefusedEverywhere(bound, { ingest: 'invalid', reader: '' }, { reader: true });
  });

  test.each(FORGERIES)('an ingest token: %s', async (_, token, reason) =>
    expectRefusedEverywhere(await token('ingest'), { ingest: reason ?? 'invalid', reader: 'ticket_invalid' }),
  );
  test.each(FORGED_INGEST)('an ingest token: %s', async (_, token) =>
    expectRefusedEverywhere(await token(), { ingest: 'invalid', reader: 'ticket_invalid' }),
  );
  test.each(FORGERIES)('a ticket: %s', async (_, token, reason) =>
    expectRefusedEverywhere(await token('ticket'), { ingest: 'invalid', reader: `ticket_${reason ?? 'invalid'}` }),
  );
  test.each(FORGED_TICKETS)('a ticket: %s', async (_, token) =>
    expectRefusedEverywhere(await token(), { ingest: 'invalid', reader: 'ticket_invalid' }),
  );

  test('a good credential in the wrong place: cookie, basic, the address itself, a header of ours', async () => {
    const { env, reached } = watched();
    for (const way of WAYS.filter(({ opens }) => opens !== 'public' && opens !== 'nothing')) {
      const reason = way.opens === 'reader' || way.opens === 'actor' ? 'credential_needed' : undefined;
      for (const headers of [
        { cookie: `key=${ACME_KEY}; authorization=Bearer ${ACME_KEY}` },
        { authorization: `Basic ${btoa(`acme:${ACME_KEY}`)}` },
        { authorization: ACME_KEY },
        { 'proxy-authorization': `Bearer ${ACME_KEY}` },
        { 'x-api-key': ACME_KEY, 'x-holdfast-tenant': 'acme' },
        { 'x-holdfast-request': JSON.stringify({ kind: 'ingest', execution: 'e1' }) },
      ]) {
        expectUnauthorized(way, await take(way, subject, null, env, 'bearer', headers), reason);
      }
    }
    expect(reached).toEqual([]);
  });

  test('unsupported methods and unknown paths reveal nothing without a credential', async () => {
    const { env, reached } = watched();
    const paths = [...new Set(WAYS.filter(({ opens }) => opens !== 'public').map((way) => way.path(subject)))];
    for (const path of [
      ...paths,
      '/v1',
      '/v1/sessions/',
      `/v1/sessions/${run.session}/`,
      '/v1/tenants',
      '/admin',
      '/v1/sessions/%2e%2e',
    ]) {
      for (const method of ['PUT', 'PATCH', 'OPTIONS', ...(paths.includes(path) ? [] : ['GET', 'POST', 'DELETE'])]) {
        for (const key of [null, 'no-such-key-at-all-here', run.ingest.token]) {
          expectProblem(await ask(method, path, { key, env }), 'unauthorized');
        }
      }
    }
    expect(reached).toEqual([]);
  });

  test('it was the same session all along: no row, alarm, socket, directory entry or object has changed', async () => {
    expect(await everything()).toEqual(before);
    expect(JSON.stringify(before)).toContain(MARKER);
  });
});

describe('accepted credentials, so that each refusal above is for the fault that it names', () => {
  const good = async (way: Way, at: Run): Promise<string | null> => {
    switch (way.opens) {
      case 'key':
        return ACME_KEY;
      case 'actor':
        return signTicket(SIGNING_KEYS, { tenant: 'acme', session: at.session, can: ['input', 'interrupt'] }, 60, Date.now());
      case 'reader':
        return signTicket(SIGNING_KEYS, { tenant: 'acme', session: at.session }, 60, Date.now());
      case 'ingest':
        return at.ingest.token;
      case 'runner':
        return newKey('default');
      default:
        return null;
    }
  };

  test.each(WAYS.map((way) => [way.name, way] as const))('%s', async (_, way) => {
    const mine = await start(newSession(), { id: 'e1' });
    const at = { session: mine.session, execution: 'e1' };
    const credential = await good(way, mine);
    const { env, reached } = watched();
    const answered = await take(way, at, credential, env);
    expect(wasLetIn(answered), `${answered.status} ${answered.text}`).toBe(true);
    const names = way.reaches ?? [way.operation === 'listSessions' ? 'acme' : `acme/${mine.session}`];
    const expected = way.reachesNothing || way.opens === 'nothing' ? [] : names;
    expect([...new Set(reached)].filter((name) => !way.reaches || name === 'acme' || expected.includes(name))).toEqual(expected);
    if (way.opens === 'reader' || way.opens === 'actor') expect(wasLetIn(await take(way, at, ACME_KEY, env))).toBe(true);
    if (way.opens === 'reader') expect(wasLetIn(await take(way, at, credential, env, 'query'))).toBe(true);
  });

  test('the tokens that the forgeries are made of', async () => {
    const ingest = WAYS.filter(({ opens }) => opens === 'ingest');
    const readers = WAYS.filter(({ opens }) => opens === 'reader');
    const { env } = watched();
    for (const way of ingest) expect(wasLetIn(await take(way, subject, await made('ingest'), env)), way.name).toBe(true);
    for (const way of readers) expect(wasLetIn(await take(way, subject, await made('ticket'), env)), way.name).toBe(true);
  });
});

describe('[HTTP21] [STR16] a ticket of another execution', () => {
  let ended: Subject;
  let ticket: string;
  beforeAll(async () => {
    const first = await start(newSession(), { id: 'e1', labels: { only: MARKER } });
    const second = await start(first.session, { id: 'e2', onBusy: 'queue' });
    await (await WrapperPeer.welcomed(first)).deliver(1, [output(`${MARKER}\n`), exit(0)]);
    await (await WrapperPeer.welcomed(second)).deliver(1, [output('of e2\n'), exit(0)]);
    ended = { session: first.session, execution: 'e1' };
    ticket = await signTicket(SIGNING_KEYS, { tenant: 'acme', session: first.session, execution: 'e2' }, 60, Date.now());
  });

  const ways = WAYS.filter(({ opens }) => opens === 'reader').map((way) => [way.beyond, way.name, way] as const);
  test.each(ways)('is %s by %s', async (beyond, _, way) => {
    for (const carrier of ['bearer', 'query'] as const) {
      const { env, reached } = watched();
      const answered = await take(way, ended, ticket, env, carrier);
      if (beyond === 'refused') {
        expectUnauthorized(way, answered, 'ticket_scope');
        expect(reached).toEqual([]);
      } else {
        expect(wasLetIn(answered)).toBe(true);
      }
      // Neither the output of the other run nor its existence.
      const said = answered.text + answered.received.join('\n');
      expect(said).not.toContain(MARKER);
      if (beyond === 'narrowed') expect(said).not.toMatch(/"e1"/);
      const reads = !way.path(ended).includes('status=running') && way.method === 'GET';
      if (beyond === 'narrowed' && reads) expect(said).toMatch(/"e2"/);
    }
  });
});

describe('[HTTP11] [STR17] another tenant', () => {
  /** The same response, as far as it concerns the named session. */
  const impersonal = (text: string, session: string): string =>
    text
      .replaceAll(session, 'SESSION')
      .replace(/req_[0-9A-Z]{26}/g, 'REQUEST')
      .replace(/rk_[0-9A-Z]{26}/g, 'KEY')
      .replace(/"(token|ticket|key)":"[^"]+"/g, '"$1":"…"')
      .replace(/\b\d{13}\b/g, 'TIME');

  const summary = (answered: Awaited<ReturnType<typeof take>>, session: string): unknown => ({
    status: answered.status,
    text: impersonal(answered.text, session),
    headers: [...answered.headers].map(([name, value]) => [
      name,
      /etag|request-id|content-length/.test(name) ? '' : impersonal(value, session),
    ]),
    closed: answered.closed,
    received: answered.received.map((text) => impersonal(text, session)),
  });

  const credentialsOf = async (way: Way, session: string): Promise<string[]> => {
    const claims = { tenant: 'globex', session, execution: 'e1' };
    switch (way.opens) {
      case 'key':
        return [GLOBEX_KEY];
      case 'actor':
        return [GLOBEX_KEY, await signTicket(SIGNING_KEYS, { ...claims, can: ['input', 'interrupt'] }, 60, Date.now())];
      case 'reader':
        return [
          GLOBEX_KEY,
          await signTicket(SIGNING_KEYS, { tenant: 'globex', session }, 60, Date.now()),
          await signTicket(SIGNING_KEYS, claims, 60, Date.now()),
        ];
      case 'ingest':
        return [await signIngestToken(SIGNING_KEYS, claims, 60, Date.now())];
      default:
        return [];
    }
  };

  // A runner's key belongs to one pool and names no session (pools.test.ts).
  const ways = WAYS.filter(({ opens }) => !['public', 'nothing', 'runner'].includes(opens)).map((way) => [way.name, way] as const);
  test.each(ways)(
    '%s: reaches its own objects alone, and learns nothing: an existing session is answered as one that never existed',
    async (_, way) => {
      const theirs = await start(newSession(), { id: 'e1', policy, labels: { only: MARKER }, openStdin: true });
      const peer = await WrapperPeer.welcomed(theirs);
      await peer.deliver(1, [output(`${MARKER}\n`)]);
      await told(theirs.session);
      const kept = await keptOf(theirs.session);
      const listed = await directoryOf();
      const never = newSession();

      const { env, reached }: Watched = watched();
      const credentials = await credentialsOf(way, theirs.session);
      const forNever = await credentialsOf(way, never);
      expect(credentials.length).toBeGreaterThan(0);
      for (const [index, credential] of credentials.entries()) {
        const there = await take(way, { session: theirs.session, execution: 'e1' }, credential, env);
        const nowhere = await take(way, { session: never, execution: 'e1' }, forNever[index] ?? '', env);
        // The third credential, a ticket that names an execution, may be refused for its
        // restriction (HTTP21). No credential is refused because of the owner of the session.
        if (index < 2) expect(wasLetIn(there), there.text).toBe(true);
        expect(summary(there, theirs.session)).toEqual(summary(nowhere, never));
        expect(there.text + there.received.join()).not.toContain(MARKER);
        if (way.socket) expect(there.closed).toEqual({ code: CLOSE.notFound, reason: 'session_not_found' });
      }
      const foreign = reached.filter((name) => name !== 'globex' && !name.startsWith('globex/'));
      expect(foreign).toEqual([]);
      expect(await keptOf(theirs.session)).toEqual(kept);
      expect(await directoryOf()).toEqual(listed);
      peer.close();
    },
  );

  test('names of both sides that meet: no spelling of a tenant or a session gives the name of another one', async () => {
    const { env, reached } = watched();
    for (const session of ['globex%2Fs', '..%2Facme%2Fs', '%2e%2e%2facme', 'acme%2F..', 'a%00b', 's%2f']) {
      for (const way of WAYS.filter(({ opens }) => opens === 'key' || opens === 'reader')) {
        if (!way.path(subject).includes(run.session)) continue;
        const answered = await take(way, { session, execution: 'e1' }, GLOBEX_KEY, env);
        if (way.socket) expect(answered.closed?.code).toBe(CLOSE.badFrame);
        else expect([400, 404], `${way.name} ${answered.text}`).toContain(answered.status);
      }
    }
    expect(reached).toEqual([]);
  });
});

test('what only the Worker may say to an object is never taken from a request', async () => {
  const forged = {
    'x-holdfast-request': JSON.stringify({
      kind: 'stream',
      request: { after: 0, tail: null, executions: null, types: null, flow: false },
    }),
  };
  const ticket = await signTicket(SIGNING_KEYS, { tenant: 'acme', session: run.session, execution: 'e2' }, 60, Date.now());
  const way = WAYS.find(({ name }) => name === 'followSession, WebSocket') as Way;
  const answered = await take(way, subject, ticket, watched().env, 'bearer', forged);
  expect(answered.headers.get('sec-websocket-protocol')).toBe(STREAM_SUBPROTOCOL);
  expect(answered.received.length).toBeGreaterThan(0);
  expect(answered.received.join()).not.toContain(MARKER);
  expect(claimsIn(ticket)).toMatchObject({ eid: 'e2' });
});
