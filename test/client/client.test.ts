/**
 * Goal: what the client adds to single calls: pages of the log, tickets as a credential, streams
 * with the client's credential, a lazy execution handle.
 * Method: as in http.test.ts, a real HTTP server that a test steers.
 */

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import WebSocket from 'ws';
import {
  createClient,
  type HoldfastClient,
  HoldfastError,
  type ReadEventsOptions,
  type SessionStream,
  type WebSocketConstructor,
} from '../../client/index.ts';
import { FakeSession } from '../support/fake-session.ts';

const WebSocketImpl = WebSocket as unknown as WebSocketConstructor;

let fake: FakeSession;
let client: HoldfastClient;

beforeEach(async () => {
  fake = await new FakeSession().start();
  client = createClient({ url: fake.url, apiKey: 'key', random: () => 0 });
});
afterEach(() => fake.stop());

async function refusal(promise: Promise<unknown>): Promise<HoldfastError> {
  const error = await promise.then(
    () => new Error('it was not refused'),
    (thrown: unknown) => thrown,
  );
  if (error instanceof HoldfastError) return error;
  throw error;
}

/** The whole log, page by page. */
async function readAll(options: Omit<ReadEventsOptions, 'after'>): Promise<{ offsets: number[]; pages: number; next: number }> {
  const offsets: number[] = [];
  let next = 0;
  for (let pages = 1; ; pages += 1) {
    const page = await client.readEvents('s1', { ...options, after: next });
    offsets.push(...page.events.map(({ offset }) => offset));
    next = page.next;
    if (page.upToDate) return { offsets, pages, next };
  }
}

const upTo = (last: number, first = 1): number[] => Array.from({ length: last - first + 1 }, (_, index) => first + index);
const jwt = (expiresInMs: number, name = 't'): string =>
  `h.${btoa(JSON.stringify({ exp: Math.floor((Date.now() + expiresInMs) / 1000), name }))}.s`;

describe('readEvents', () => {
  test('[STR22] page by page, each event once, until it is up to date', async () => {
    fake.addExecution('e1');
    fake.lines('e1', 250);
    expect(await readAll({})).toEqual({ offsets: upTo(250), pages: 3, next: 250 });
    expect(fake.requests.map(({ path, query }) => [path, query.get('offset')])).toEqual([
      ['/v1/sessions/s1/events', '-1'],
      ['/v1/sessions/s1/events', '0000000000000100'],
      ['/v1/sessions/s1/events', '0000000000000200'],
    ]);
    const { events } = await client.readEvents('s1', { after: 249 });
    expect(events).toEqual([
      { offset: 250, execution: 'e1', type: 'output', at: 1_763_650_000_000, data: { stream: 'stdout', text: 'line 250\n' } },
    ]);
  });

  test('[STR22] of one execution: closed when it has ended', async () => {
    fake.addExecution('e1');
    fake.addExecution('e2');
    fake.lines('e1', 2);
    fake.lines('e2', 2);
    expect(await client.readEvents('s1', { after: 0, execution: 'e1' })).toMatchObject({ upToDate: true, closed: false });
    fake.settle('e1', 'completed');
    fake.lines('e2', 2);
    const page = await client.readEvents('s1', { after: 0, execution: 'e1' });
    expect(page.events.map(({ offset }) => offset)).toEqual([1, 2, 5]);
    expect(page).toMatchObject({ next: 5, upToDate: true, closed: true });
    expect(await client.readEvents('s1', { after: 5, execution: 'e1' })).toEqual({
      events: [],
      next: 5,
      upToDate: true,
      closed: true,
    });
  });

  test('[STR22] at the tail there is no event, only the offset of the tail', async () => {
    fake.addExecution('e1');
    fake.lines('e1', 7);
    expect(await client.readEvents('s1', { after: 'tail' })).toEqual({ events: [], next: 7, upToDate: true, closed: false });
    expect(fake.requests.at(-1)?.query.get('offset')).toBe('now');
  });

  test('with types the offset still advances over filtered events, to the end of the page', async () => {
    fake.addExecution('e1');
    fake.lines('e1', 150);
    fake.append('e1', [{ type: 'status', data: {} }]);
    expect(await client.readEvents('s1', { after: 0, types: ['status'] })).toEqual({
      events: [],
      next: 100,
      upToDate: false,
      closed: false,
    });
    expect(await readAll({ types: ['status'] })).toEqual({ offsets: [151], pages: 2, next: 151 });
  });

  test('with a limit nothing is skipped: the remaining events come with the next page', async () => {
    fake.addExecution('e1');
    fake.lines('e1', 25);
    fake.settle('e1', 'completed');
    const first = await client.readEvents('s1', { after: 0, execution: 'e1', limit: 10 });
    expect([first.next, first.upToDate, first.closed]).toEqual([10, false, false]);
    expect(await readAll({ limit: 10 })).toEqual({ offsets: upTo(26), pages: 3, next: 26 });
    expect(await readAll({ limit: 13, types: ['output'] })).toEqual({ offsets: upTo(25), pages: 2, next: 26 });
  });

  test('after 0 begins with the oldest kept event; any other lost offset is an error, as is a future one', async () => {
    fake.addExecution('e1');
    fake.lines('e1', 10);
    fake.earliest = 6;
    expect((await readAll({})).offsets).toEqual(upTo(10, 6));
    expect(await refusal(client.readEvents('s1', { after: 2 }))).toMatchObject({ code: 'offset_expired', facts: { earliest: 6 } });
    expect(await refusal(client.readEvents('s1', { after: 11 }))).toMatchObject({ code: 'offset_ahead', facts: { head: 10 } });
  });

  test.each([
    { after: -1 },
    { after: 1.5 },
    { after: Number.NaN },
    { after: 0, limit: 0 },
    { after: 0, limit: 0.5 },
    { after: 0, types: [] },
  ])('%o is refused before anything is sent', async (options) => {
    await expect(client.readEvents('s1', options)).rejects.toThrow(TypeError);
    expect(fake.requests.length).toBe(0);
  });

  test.each<[string, string, Record<string, string>]>([
    ['no list', '{"events":[]}', { 'stream-next-offset': '0000000000000001' }],
    ['no place', '[]', {}],
    ['a place that is none', '[]', { 'stream-next-offset': 'abc' }],
    ['what are no events', '[{"offset":"1"}]', { 'stream-next-offset': '0000000000000001' }],
  ])('an answer with %s is a bad answer, not an empty page', async (_what, body, headers) => {
    fake.overrides.push({ match: /events/, override: { status: 200, body, headers } });
    expect(await refusal(client.readEvents('s1', { after: 0 }))).toMatchObject({ code: 'bad_answer', retryable: false });
  });
});

test("in a page nothing is read from the browser's cache; elsewhere the option is not given, since some runtimes refuse it", async () => {
  const caches: unknown[] = [];
  const watched = createClient({
    url: fake.url,
    apiKey: 'key',
    fetch: (input, init) => {
      caches.push(init?.cache);
      return fetch(input, init);
    },
  });
  fake.addExecution('e1');
  await watched.readEvents('s1', { after: 0 });
  Object.defineProperty(globalThis, 'document', { value: {}, configurable: true });
  try {
    await watched.readEvents('s1', { after: 0 });
  } finally {
    Reflect.deleteProperty(globalThis, 'document');
  }
  expect(caches).toEqual([undefined, 'no-store']);
});

describe('deleteSession', () => {
  test('deletes, and a repetition whose first response was lost is no error', async () => {
    fake.overrides.push({ match: /DELETE/, override: 'cut-after' });
    await client.deleteSession('s1');
    expect(fake.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'DELETE /v1/sessions/s1',
      'DELETE /v1/sessions/s1',
    ]);
    expect(await refusal(client.deleteSession('s1'))).toMatchObject({ code: 'session_not_found' });
  });
});

describe('a ticket as the credential', () => {
  const bearers = () => fake.requests.map(({ headers }) => headers.authorization);

  test('a fixed ticket travels as Bearer token, and its refusal is final', async () => {
    fake.acceptBearer = (token) => token === 'good';
    await createClient({ url: fake.url, ticket: 'good' }).session('s1');
    expect(bearers()).toEqual(['Bearer good']);
    expect(await refusal(createClient({ url: fake.url, ticket: 'bad' }).session('s1'))).toMatchObject({ code: 'unauthorized' });
    expect(fake.requests.length).toBe(2);
  });

  test('a function is called once for all concurrent callers, and again only when its ticket is refused or expired', async () => {
    let made = 0;
    let valid = 't1';
    fake.acceptBearer = (token) => token.endsWith(valid);
    const reader = createClient({ url: fake.url, ticket: async () => `t${++made}` });
    expect(made).toBe(0);
    await Promise.all(Array.from({ length: 8 }, () => reader.session('s1')));
    expect(made).toBe(1);
    valid = 't2';
    await Promise.all(Array.from({ length: 8 }, () => reader.session('s1')));
    expect(made).toBe(2);
    const over = createClient({ url: fake.url, ticket: () => jwt(++made === 3 ? 1_000 : 60_000) });
    fake.acceptBearer = () => true;
    await over.session('s1');
    await over.session('s1');
    await over.session('s1');
    expect(made).toBe(4);
  });

  test('a function that fails is retried within the budget, and its failure is not cached', async () => {
    let calls = 0;
    fake.acceptBearer = () => true;
    const reader = createClient({
      url: fake.url,
      random: () => 0,
      ticket: () => {
        calls += 1;
        if (calls === 1) throw new Error('down');
        return 't';
      },
    });
    await reader.session('s1');
    expect(calls).toBe(2);
    const refused = createClient({
      url: fake.url,
      ticket: () => {
        throw Object.assign(new Error('signed out'), { retryable: false });
      },
    });
    const error = await refusal(refused.session('s1'));
    expect(error).toMatchObject({ code: 'no_ticket', retryable: false });
    expect(error.message).toBe('no ticket: signed out');
  });

  test('a second refusal in one call is final', async () => {
    let made = 0;
    const reader = createClient({ url: fake.url, ticket: () => `t${++made}` });
    expect(await refusal(reader.session('s1'))).toMatchObject({ code: 'unauthorized' });
    expect(made).toBe(2);
  });

  test('one aborted caller does not abort the others', async () => {
    fake.acceptBearer = () => true;
    let give: (ticket: string) => void = () => {};
    const reader = createClient({
      url: fake.url,
      ticket: () =>
        new Promise((resolve) => {
          give = resolve;
        }),
    });
    const controller = new AbortController();
    const leaver = reader.session('s1', { signal: controller.signal });
    const stayer = reader.session('s1');
    controller.abort(new Error('left'));
    await expect(leaver).rejects.toThrow('left');
    give('t');
    expect((await stayer).id).toBe('s1');
  });

  test('a client with neither key nor ticket is refused at once', () => {
    expect(() => createClient({ url: fake.url } as never)).toThrow(/apiKey or ticket/);
  });
});

describe('events', () => {
  let stream: SessionStream | null = null;
  afterEach(() => stream?.close());

  const read = async (from: SessionStream): Promise<number[]> => {
    stream = from;
    const offsets: number[] = [];
    for await (const { offset } of from) offsets.push(offset);
    return offsets;
  };

  beforeEach(() => {
    fake.addExecution('e1');
    fake.lines('e1', 3);
    fake.settle('e1', 'completed');
  });

  test('with an API key and a plain WebSocket: a ticket is made for every connection, no wider than the request', async () => {
    fake.behaviours.push({ close: 1013 });
    expect(
      await read(client.events('s1', { execution: 'e1', types: ['output', 'execution_completed'], timings: { retryBaseMs: 1 } })),
    ).toEqual(upTo(4));
    const tickets = fake.requests.filter(({ path }) => path.endsWith('/tickets')).map(({ body }) => body);
    expect(tickets).toEqual([
      { execution: 'e1', types: ['output', 'execution_completed'] },
      { execution: 'e1', types: ['output', 'execution_completed'] },
    ]);
    expect(fake.viewers.map(({ protocols }) => protocols[1])).toEqual(['holdfast.ticket.t1', 'holdfast.ticket.t2']);
    expect(fake.viewers.every(({ headers }) => headers.authorization === undefined)).toBe(true);
  });

  test('with an API key and a socket that supports headers: the key, and no ticket', async () => {
    const server = createClient({ url: fake.url, apiKey: 'key', WebSocketImpl });
    expect(await read(server.events('s1', { execution: 'e1' }))).toEqual(upTo(4));
    expect(fake.newest.headers.authorization).toBe('Bearer key');
    expect(fake.ticketsMade).toBe(0);
  });

  test('with a ticket: that one, or a new one of the function for every connection', async () => {
    await read(createClient({ url: fake.url, ticket: 'mine' }).events('s1', { execution: 'e1' }));
    expect(fake.newest.protocols[1]).toBe('holdfast.ticket.mine');
    let made = 0;
    fake.behaviours.push({ close: 1013 });
    const reader = createClient({ url: fake.url, ticket: () => `f${++made}` });
    await read(reader.events('s1', { execution: 'e1', timings: { retryBaseMs: 1 } }));
    expect(fake.newest.protocols[1]).toBe('holdfast.ticket.f2');
  });

  test('a session that does not exist fails the stream with the reason of the API, at the first ticket', async () => {
    await expect(read(client.events('nowhere'))).rejects.toMatchObject({ code: 'session_not_found' });
    expect(fake.upgrades.length).toBe(0);
  });
});

describe('the handle of an execution', () => {
  test('makes no request before it is used', async () => {
    client.execution('s1', 'e1');
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect([fake.requests.length, fake.upgrades.length]).toEqual([0, 0]);
  });

  test('its calls are those of the client, for this execution', async () => {
    fake.addExecution('e1');
    fake.lines('e1', 2);
    const run = client.execution('s1', 'e1');
    expect([run.session, run.id, (await run.get()).id]).toEqual(['s1', 'e1', 'e1']);
    await run.send('yes\n');
    expect(fake.inputs).toEqual(['yes\n']);
    expect((await run.readEvents({ after: 0 })).events.length).toBe(2);
    expect(await run.ticket({ ttlSeconds: 5 })).toMatchObject({ ticket: 't1' });
    expect(fake.requests.at(-1)?.body).toEqual({ ttlSeconds: 5, execution: 'e1' });
    expect(await run.interrupt({ reason: 'enough' })).toMatchObject({ accepted: true });
    const waiting = run.wait();
    expect(await run.fail({ code: 'lost', message: 'gone' })).toEqual({ settled: true });
    expect(await waiting).toMatchObject({ status: 'failed', code: 'lost' });
    const seen: string[] = [];
    for await (const { type } of run.events()) seen.push(type);
    expect(seen).toEqual(['output', 'output', 'execution_failed']);
  });
});
