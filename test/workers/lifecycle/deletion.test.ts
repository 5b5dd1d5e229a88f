/**
 * The end of a session: by DELETE (HTTP23) and by its age (LIF30).
 * Method: sessions in every state, with every kind of peer connected. Then the storage itself is
 * inspected, not only the API.
 */

import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { CLOSE, DELETED_REASON } from '../../../protocol/index.ts';
import { RETENTION_MS } from '../../../src/core/deadlines.ts';
import { signIngestToken } from '../../../src/platform/tokens.ts';
import { TOMBSTONE_MS } from '../../../src/session/deletion.ts';
import { ask, deployment, expectProblem, untouchable } from '../support/http.ts';
import {
  api,
  callsOf,
  exit,
  get,
  newSession,
  output,
  putToSleep,
  type Run,
  readLog,
  start,
  stubOf,
  testEnv,
  ViewerPeer,
  WrapperPeer,
} from '../support/peers.ts';
import { SseReader } from '../support/readers.ts';

afterEach(() => void vi.useRealTimers());

const at = (now: number): void => void vi.useFakeTimers({ now, toFake: ['Date'] });
const remove = (session: string) => ask('DELETE', `/v1/sessions/${session}`);
const directory = testEnv.DIRECTORY.getByName('acme');
const listed = async (session: string): Promise<boolean> => {
  const answer = await ask('GET', '/v1/sessions?limit=200');
  return (answer.body.data as { id: string }[]).some(({ id }) => id === session);
};
const tablesOf = (session: string) =>
  runInDurableObject(stubOf(session), (_, { storage }) =>
    storage.sql
      .exec<{ name: string }>('SELECT name FROM sqlite_master')
      .toArray()
      .map(({ name }) => name),
  );
const socketsOf = (session: string) =>
  runInDurableObject(stubOf(session), (_, ctx) => ctx.getWebSockets().filter((ws) => ws.readyState === 1).length);

/** Nothing is left: no table, no key, no alarm, no socket. */
async function expectNothing(session: string): Promise<void> {
  await runInDurableObject(stubOf(session), async (_, { storage }) => {
    expect(storage.sql.exec('SELECT name FROM sqlite_master').toArray()).toEqual([]);
    expect((await storage.list()).size).toBe(0);
    expect(await storage.getAlarm()).toBeNull();
  });
  expect(await socketsOf(session)).toBe(0);
  expect(await listed(session)).toBe(false);
  expectProblem(await ask('GET', `/v1/sessions/${session}`), 'session_not_found');
}

/** Only the tombstone is left, for wrappers that were away. It is deleted too, after a day. */
async function expectTombstoneOnly(session: string): Promise<void> {
  await vi.waitFor(async () => expect(await listed(session)).toBe(false));
  const dropAt = await runInDurableObject(stubOf(session), async (_, { storage }) => {
    for (const table of ['executions', 'commands', 'callbacks', 'log'])
      expect(storage.sql.exec(`SELECT * FROM ${table}`).toArray(), table).toEqual([]);
    const [kept, ...others] = storage.sql.exec<{ key: string; value: string }>('SELECT key, value FROM meta').toArray();
    expect([kept?.key, others]).toEqual(['tombstone_until', []]);
    // An earlier alarm may fire first; it sets the next.
    expect(await storage.getAlarm()).toBeLessThanOrEqual(Number(kept?.value));
    return Number(kept?.value);
  });
  expect(await socketsOf(session)).toBe(0);
  expectProblem(await ask('GET', `/v1/sessions/${session}`), 'session_not_found');
  expect(dropAt - Date.now()).toBeGreaterThan(TOMBSTONE_MS - 5 * 60_000);
  expect(dropAt - Date.now()).toBeLessThanOrEqual(TOMBSTONE_MS);
  at(dropAt);
  await runDurableObjectAlarm(stubOf(session));
  await vi.waitFor(async () => expect(await tablesOf(session)).toEqual([]));
  await expectNothing(session);
  vi.useRealTimers();
}

const ticketFor = async (session: string, wanted: object = {}): Promise<string> => {
  const { body } = await ask('POST', `/v1/sessions/${session}/tickets`, { body: { ttlSeconds: 3600, ...wanted } });
  return body.ticket as string;
};
/** Everything that a ticket of execution `e1`, or of its session, opens. */
const readWith = (session: string, ticket: string) =>
  Promise.all(
    ['', '/executions', '/executions/e1', '/executions/e1/log', '/executions/e1/events', '/events'].map((path) =>
      ask('GET', `/v1/sessions/${session}${path}?ticket=${ticket}`, { key: null }),
    ),
  );
async function expectUseless(session: string, ticket: string): Promise<void> {
  for (const answer of await readWith(session, ticket)) {
    // What this ticket never opened stays closed.
    expect(['session_not_found', 'unauthorized'], answer.text).toContain(answer.body.code);
  }
  const viewer = await ViewerPeer.connect(session, `?ticket=${ticket}`, { key: '' });
  expect((await viewer.closed).code).toBe(CLOSE.notFound);
}

/** The token of `start`, but signed now: the clock has advanced by 90 days. */
const tokenOf = async ({ session, execution, ingest }: Run): Promise<Pick<Run, 'ingest'>> => {
  const keys = [new TextEncoder().encode(testEnv.HOLDFAST_SIGNING_KEYS)];
  const claims = { tenant: 'acme', session, execution: execution.id };
  return { ingest: { ...ingest, token: await signIngestToken(keys, claims, 60, Date.now()) } };
};

const listedNow = (run: Run) => vi.waitFor(async () => expect(await listed(run.session)).toBe(true));

describe('HTTP23: DELETE', () => {
  test('[HTTP23] [STR17] every peer is closed with 4404, and nothing is left', async () => {
    const run = await start(newSession(), { id: 'e1', callback: { url: 'https://caller.test/done' } });
    await start(run.session, { id: 'e2', onBusy: 'queue' });
    const wrapper = await WrapperPeer.welcomed(run);
    await wrapper.deliver(1, [output('x')]);
    await api('POST', `/v1/sessions/${run.session}/executions/e1/interrupt`);
    await wrapper.next();
    const stranger = await WrapperPeer.connect(run);
    const viewers = [await ViewerPeer.connect(run.session), await ViewerPeer.connect(run.session, '?execution=e1&flow=ack')];
    for (const viewer of viewers) await viewer.until('caught_up');
    const reader = await SseReader.open(`/v1/sessions/${run.session}/stream`);
    await vi.waitFor(() => expect(reader.names).toContain('caught_up'));
    await listedNow(run);

    const answer = await remove(run.session);
    expect([answer.status, answer.text]).toEqual([204, '']);
    expect(await wrapper.closed).toEqual({ code: CLOSE.notFound, reason: 'deleted' });
    expect((await stranger.closed).code).toBe(CLOSE.notFound);
    for (const viewer of viewers) expect(await viewer.closed).toEqual({ code: CLOSE.notFound, reason: DELETED_REASON });
    await reader.reader.ended;
    await expectTombstoneOnly(run.session);
  });

  test('[HTTP23] the second deletion is answered as for a session that never existed; a bad id reaches no session', async () => {
    const { session } = await start(newSession());
    expect((await remove(session)).status).toBe(204);
    expectProblem(await remove(session), 'session_not_found');
    expectProblem(await remove('never-started'), 'session_not_found');
    expect(await tablesOf('never-started')).toEqual([]);
    const { SESSIONS, touched } = untouchable();
    expectProblem(await ask('DELETE', '/v1/sessions/a%2Fb', { env: deployment({ SESSIONS }) }), 'bad_request');
    expect(touched).toEqual([]);
  });

  test('[HTTP23] a finished session, and one in which nothing has run yet', async () => {
    const over = await start(newSession(), { id: 'e1' });
    await (await WrapperPeer.welcomed(over)).deliver(1, [exit(0)]);
    const pending = await start(newSession(), { launcher: 'none' });
    for (const run of [over, pending]) {
      expect((await remove(run.session)).status).toBe(204);
      await expectNothing(run.session);
    }
  });

  test('[HTTP23] [ING12] a later wrapper is refused with 4404, by socket, and by post 404', async () => {
    const run = await start(newSession());
    expect((await remove(run.session)).status).toBe(204);
    expect((await (await WrapperPeer.hello(run)).closed).code).toBe(CLOSE.notFound);
    const post = await ask('POST', new URL(run.ingest.url).pathname, { key: run.ingest.token, body: '{"type":"hello"}' });
    expectProblem(post, 'session_not_found');
    expect(await tablesOf(run.session)).toEqual([]);
  });

  test('[HTTP23] [CLS17] a wrapper that was away when its session was deleted is refused as `deleted`, by socket and by post, also when its name is used again', async () => {
    const run = await start(newSession(), { id: 'e1' });
    const wrapper = await WrapperPeer.welcomed(run);
    wrapper.close(1001, 'away');
    expect((await remove(run.session)).status).toBe(204);
    const post = () => ask('POST', new URL(run.ingest.url).pathname, { key: run.ingest.token, body: '{"type":"hello"}' });
    const expectDeleted = async (): Promise<void> => {
      expect(await (await WrapperPeer.hello(run)).closed).toEqual({ code: CLOSE.notFound, reason: 'deleted' });
      const answer = await post();
      expectProblem(answer, 'session_not_found');
      expect(answer.body.deleted).toBe(true);
    };
    await expectDeleted();
    await putToSleep(stubOf(run.session));
    await expectDeleted();
    await start(run.session, { id: 'e2' });
    await expectDeleted();
    at(Date.now() + TOMBSTONE_MS);
    expect(await (await WrapperPeer.hello(await tokenOf(run))).closed).toEqual({
      code: CLOSE.notFound,
      reason: 'no such execution',
    });
    vi.useRealTimers();
  });

  test('[HTTP23] [STR17] its tickets open nothing any more, and restore nothing', async () => {
    const run = await start(newSession(), { id: 'e1' });
    await (await WrapperPeer.welcomed(run)).deliver(1, [output('is deleted'), exit(0)]);
    const tickets = await Promise.all([ticketFor(run.session), ticketFor(run.session, { execution: 'e1' })]);
    for (const ticket of tickets) expect((await readWith(run.session, ticket)).map(({ status }) => status)).toContain(200);
    expect((await remove(run.session)).status).toBe(204);
    for (const ticket of tickets) await expectUseless(run.session, ticket);
    await expectNothing(run.session);
  });

  test('[HTTP23] [G7] one that sleeps: its sockets are closed with 4404, and nothing is left', async () => {
    const run = await start(newSession());
    const wrapper = await WrapperPeer.welcomed(run);
    const viewer = await ViewerPeer.connect(run.session);
    await viewer.until('caught_up');
    await listedNow(run);
    await putToSleep(stubOf(run.session));
    expect((await remove(run.session)).status).toBe(204);
    expect((await wrapper.closed).code).toBe(CLOSE.notFound);
    expect((await viewer.closed).code).toBe(CLOSE.notFound);
    await expectTombstoneOnly(run.session);
    await putToSleep(stubOf(run.session));
    await expectNothing(run.session);
  });

  test('[HTTP23] requests in flight during the deletion create nothing and break nothing', async () => {
    const run = await start(newSession());
    const wrapper = await WrapperPeer.welcomed(run);
    const viewer = await ViewerPeer.connect(run.session, '?flow=ack');
    await viewer.until('caught_up');
    await runInDurableObject(stubOf(run.session), async (instance, ctx) => {
      const [ingest] = ctx.getWebSockets('ingest');
      const [watching] = ctx.getWebSockets('viewer');
      if (!ingest || !watching) throw new Error('no socket is connected');
      await instance.deleteSession();
      instance.webSocketMessage(ingest, '{"type":"events","seq":1,"count":1}\n{"type":"exit","at":1,"data":{"exitCode":0}}');
      instance.webSocketMessage(watching, '{"type":"ack","offset":1}');
      instance.webSocketClose(ingest, 1006, '');
      instance.webSocketClose(watching, 1006, '');
      instance.webSocketError(ingest, new Error('gone'));
      await instance.alarm();
    });
    await wrapper.closed;
    await expectTombstoneOnly(run.session);
  });

  test('[HTTP23] a session of the same name is another: empty, from offset 1, and listed again', async () => {
    const run = await start(newSession(), { id: 'e1' });
    await (await WrapperPeer.welcomed(run)).deliver(1, [output('old'), exit(0)]);
    expect((await remove(run.session)).status).toBe(204);
    const next = await start(run.session, { id: 'e1', labels: { is: 'new' } });
    expect(next.execution).toMatchObject({ status: 'pending', firstOffset: 1, epoch: 0 });
    expect((await readLog(run.session)).map(({ type }) => type)).toEqual(['execution_pending']);
    await listedNow(next);
    const wrapper = await WrapperPeer.welcomed(next);
    await wrapper.deliver(1, [exit(0)]);
    expect((await get(next)).status).toBe('completed');
  });

  test('[HTTP23] [DIR6] with an unreachable directory: deleted at once for readers, removed from the list later, and then nothing is left', async () => {
    const run = await start(newSession());
    const wrapper = await WrapperPeer.welcomed(run);
    await listedNow(run);
    await runInDurableObject(directory, (_, { storage }) => storage.sql.exec('ALTER TABLE sessions RENAME TO taken_away'));
    expect((await remove(run.session)).status).toBe(204);
    expect((await wrapper.closed).code).toBe(CLOSE.notFound);
    expectProblem(await ask('GET', `/v1/sessions/${run.session}`), 'session_not_found');
    expectProblem(await ask('GET', `/v1/sessions/${run.session}/executions`), 'session_not_found');
    expectProblem(await remove(run.session), 'session_not_found');
    expect(await (await ViewerPeer.connect(run.session)).closed).toMatchObject({ code: CLOSE.notFound });
    expect(await callsOf(run.session).readEvents({ after: 0, limit: 10 })).toMatchObject({ code: 'session_not_found' });
    await runInDurableObject(stubOf(run.session), async (_, { storage }) => {
      for (const table of ['executions', 'commands', 'callbacks', 'log']) {
        expect(storage.sql.exec(`SELECT * FROM ${table}`).toArray()).toEqual([]);
      }
      expect(await storage.getAlarm()).not.toBeNull();
    });
    await putToSleep(stubOf(run.session));
    expectProblem(await ask('GET', `/v1/sessions/${run.session}`), 'session_not_found');

    await runInDurableObject(directory, (_, { storage }) => storage.sql.exec('ALTER TABLE taken_away RENAME TO sessions'));
    expect(await listed(run.session)).toBe(true);
    at(Date.now() + 60_000);
    await runDurableObjectAlarm(stubOf(run.session));
    await expectTombstoneOnly(run.session);
  });

  test('[HTTP23] [DIR6] a session started again before its removal is announced stays, and is listed', async () => {
    const run = await start(newSession(), { id: 'e1' });
    await listedNow(run);
    await runInDurableObject(directory, (_, { storage }) => storage.sql.exec('ALTER TABLE sessions RENAME TO taken_away'));
    expect((await remove(run.session)).status).toBe(204);
    const next = await start(run.session, { id: 'e2' });
    await runInDurableObject(directory, (_, { storage }) => storage.sql.exec('ALTER TABLE taken_away RENAME TO sessions'));
    at(Date.now() + 60_000);
    await runDurableObjectAlarm(stubOf(run.session));
    await vi.waitFor(async () => {
      const { data } = (await ask('GET', '/v1/sessions?limit=200')).body as { data: { id: string; execution: { id: string } }[] };
      expect(data.find(({ id }) => id === run.session)?.execution.id).toBe('e2');
    });
    expect((await get(next)).id).toBe('e2');
  });
});

describe('LIF30: the age of a session', () => {
  test('[LIF30] [STR17] it is deleted as a whole 90 days after its last activity, not a moment before', async () => {
    const run = await start(newSession(), { id: 'e1' });
    await (await WrapperPeer.welcomed(run)).deliver(1, [exit(0)]);
    await listedNow(run);
    const viewer = await ViewerPeer.connect(run.session);
    await viewer.until('caught_up');
    const { lastActivityAt } = (await ask('GET', `/v1/sessions/${run.session}`)).body as { lastActivityAt: number };
    at(lastActivityAt + RETENTION_MS - 1);
    await runInDurableObject(stubOf(run.session), (instance) => instance.alarm());
    expect((await get(run)).status).toBe('completed');
    at(lastActivityAt + RETENTION_MS);
    await runInDurableObject(stubOf(run.session), (instance) => instance.alarm());
    expect(await viewer.closed).toEqual({ code: CLOSE.notFound, reason: DELETED_REASON });
    await vi.waitFor(async () => expect(await tablesOf(run.session)).toEqual([]));
    // Credentials that were signed for it at this moment.
    await expectUseless(run.session, await ticketFor(run.session));
    expect((await (await WrapperPeer.hello(await tokenOf(run))).closed).code).toBe(CLOSE.notFound);
    await expectNothing(run.session);
  });

  test('[LIF30] one with an open execution is kept, however old its last activity', async () => {
    const run = await start(newSession(), { policy: { pendingTimeoutMs: 86_400_000, maxRuntimeMs: 2_592_000_000 } });
    const { createdAt } = run.execution;
    // An alarm that is this late renews the deadline (LIF33), and the next one fails what is still
    // pending. Its verdict is activity.
    at(createdAt + RETENTION_MS + 1);
    await runInDurableObject(stubOf(run.session), (instance) => instance.alarm());
    expect((await get(run)).status).toBe('pending');
    at(createdAt + RETENTION_MS + 1 + 86_400_000);
    await runInDurableObject(stubOf(run.session), (instance) => instance.alarm());
    expect((await get(run)).code).toBe('wrapper_never_connected');
  });
});
