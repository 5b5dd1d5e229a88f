/**
 * From a verdict to the queue of callbacks: one id for each, whatever fails in between, and no
 * callback for a run that did not request one.
 * Method: the queue's binding is watched, and made to fail; the storage is inspected; alarms are
 * run by hand with the clock moved.
 */

import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { settledCounts, watchAll } from '../../../bench/counting/counters.ts';
import {
  type CallbackEvent,
  type CallbackPayload,
  FEATURE_ASKING,
  FEATURE_INPUT2,
  type HoldfastEvent,
} from '../../../protocol/index.ts';
import type { CallbackFacts } from '../../../src/core/callback.ts';
import type { CallbackMessage } from '../../../src/core/callback-message.ts';
import { RETENTION_MS } from '../../../src/core/deadlines.ts';
import { ATTEMPT_TIMEOUT_MS, LEASE_MS, RETRY_CAP_MS } from '../../../src/core/leased-row.ts';
import type { Env } from '../../../src/platform/env.ts';
import { TOMBSTONE_MS } from '../../../src/session/deletion.ts';
import { ask, deployment, expectProblem, untouchable } from '../support/http.ts';
import {
  api,
  exit,
  get,
  newSession,
  output,
  outsideOf,
  putToSleep,
  type Run,
  readLog,
  start,
  stubOf,
  testEnv,
  WrapperPeer,
} from '../support/peers.ts';

const URL_OF = (session: string): string => `https://caller.test/done/${session}?token=secret-in-the-address`;

/** Messages that the queue received, and its reaction to the next one; the last is repeated. */
const queued: CallbackMessage[] = [];
type Take = 'take' | 'refuse' | 'take, but lose the answer' | 'never answer';
let takes: Take[] = ['take'];

beforeEach(() => {
  queued.length = 0;
  takes = ['take'];
  const binding = Object.getPrototypeOf(testEnv.CALLBACKS) as Queue<CallbackMessage>;
  vi.spyOn(binding, 'send').mockImplementation(async (message) => {
    const take = takes.length > 1 ? takes.shift() : takes[0];
    if (take === 'refuse') throw new Error('the queue is away');
    if (take === 'never answer') return new Promise(() => {});
    queued.push(message);
    if (take === 'take, but lose the answer') throw new Error('network connection lost');
    return { metadata: { metrics: { backlogCount: 1, backlogBytes: 1 } } } as QueueSendResponse;
  });
});

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const at = (now: number): void => void vi.useFakeTimers({ now, toFake: ['Date'] });
const sentFor = (session: string): CallbackMessage[] => queued.filter((message) => message.session === session);
const asking = (session: string, request: object = {}): Promise<Run> =>
  start(session, { callback: { url: URL_OF(session) }, ...request });
const fail = ({ session, execution }: Run) =>
  api('POST', `/v1/sessions/${session}/executions/${execution.id}/fail`, { body: { code: 'x', message: 'y' } });
const remove = (session: string) => ask('DELETE', `/v1/sessions/${session}`);

interface Row extends Record<string, SqlStorageValue> {
  id: string;
  execution: string;
  verdict_offset: number;
  attempts: number;
  due_at: number;
  snapshot: string | null;
}
const rowsOf = (session: string): Promise<Row[]> =>
  runInDurableObject(stubOf(session), (_, { storage }) => {
    const tables = storage.sql.exec("SELECT 1 FROM sqlite_master WHERE name = 'callbacks'").toArray();
    return tables.length === 0 ? [] : storage.sql.exec<Row>('SELECT * FROM callbacks ORDER BY due_at').toArray();
  });
const alarmOf = (session: string) => runInDurableObject(stubOf(session), (_, { storage }) => storage.getAlarm());
const nothingWaits = (session: string) => vi.waitFor(async () => expect(await rowsOf(session)).toEqual([]));
const tablesOf = (session: string) =>
  runInDurableObject(stubOf(session), (_, { storage }) => storage.sql.exec('SELECT name FROM sqlite_master').toArray());
/** Moves the clock to the first due callback, and runs the alarm. */
async function nextAlarm(session: string): Promise<void> {
  const [row] = await rowsOf(session);
  if (!row) throw new Error('nothing waits');
  expect(await alarmOf(session)).toBeLessThanOrEqual(row.due_at);
  at(Math.max(row.due_at, Date.now()));
  await runDurableObjectAlarm(stubOf(session));
}

describe('[CB1] one message for each verdict', () => {
  test('[LIF19] with the execution as it ended; a second ending, and a run without callback, send nothing', async () => {
    const session = newSession();
    const run = await asking(session, { labels: { team: 'a' }, env: { SECRET: 'sesame' } });
    const peer = await WrapperPeer.welcomed(run);
    await peer.deliver(1, [output('x')]);
    expect([queued, await rowsOf(session)]).toEqual([[], []]);
    await peer.deliver(2, [exit(0)]);
    await nothingWaits(session);
    await fail(run);
    const quiet = await start(session);
    await fail(quiet);

    const [message] = sentFor(session);
    expect(sentFor(session)).toEqual([message]);
    expect(message).toMatchObject({
      version: 1,
      id: expect.stringMatching(/^cb_/),
      tenant: 'acme',
      session,
      execution: run.execution.id,
    });
    expect(message?.url).toBe(URL_OF(session));
    const ended = await get(run);
    expect(JSON.parse(message?.body ?? '')).toEqual({
      type: 'execution.completed',
      timestamp: new Date(ended.endedAt ?? 0).toISOString(),
      data: { tenant: 'acme', session, execution: ended, offset: ended.lastOffset },
    });
    expect(message?.body).not.toContain('sesame');
    expect(await rowsOf(session)).toEqual([]);
  });

  test('[LIF38] a late delivery sends no second one', async () => {
    const disconnectGraceMs = 5_000;
    const run = await asking(newSession(), { policy: { disconnectGraceMs } });
    const first = await WrapperPeer.welcomed(run);
    await first.deliver(1, [output('x')]);
    first.close();
    await vi.waitFor(async () => expect((await get(run)).connected).toBe(false));
    at(Date.now() + disconnectGraceMs + 1);
    await runDurableObjectAlarm(stubOf(run.session));
    await vi.waitFor(() => expect(sentFor(run.session)).toHaveLength(1));
    await nothingWaits(run.session);

    const peer = await WrapperPeer.hello(run, { bootId: 'b_1', nextSeq: 2, late: true });
    expect(await peer.next()).toMatchObject({ type: 'welcome', late: true });
    await peer.deliver(2, [output('late'), exit(0)]);
    expect((await get(run)).late).toMatchObject({ exitCode: 0 });
    expect(await rowsOf(run.session)).toEqual([]);
    expect(sentFor(run.session)).toHaveLength(1);
  });

  test('of every kind of end, also of runs that never started', async () => {
    const session = newSession();
    const failed = await asking(session);
    const [waiting, next] = [await asking(session, { onBusy: 'queue' }), await asking(session, { onBusy: 'queue' })];
    await api('POST', `/v1/sessions/${session}/executions/${waiting.execution.id}/interrupt`);
    await fail(failed);
    await (await WrapperPeer.welcomed(next)).deliver(1, [exit(3)]);
    await vi.waitFor(() => expect(sentFor(session)).toHaveLength(3));
    const told = sentFor(session).map(({ body }) => (JSON.parse(body) as CallbackPayload).data.execution);
    expect(told).toEqual([await get(waiting), await get(failed), await get(next)]);
    expect(new Set(sentFor(session).map(({ id }) => id)).size).toBe(3);
  });

  test('the row refers to the verdict, also where its turn promoted the next', async () => {
    takes = ['refuse'];
    const run = await asking(newSession());
    await start(run.session, { onBusy: 'queue' });
    await fail(run);
    const { lastOffset } = await get(run);
    expect(await rowsOf(run.session)).toMatchObject([{ execution: run.execution.id, verdict_offset: lastOffset }]);
  });

  test('[CB12] of the events that were asked for, each once and in the turn that wrote it', async () => {
    const session = newSession();
    const events: CallbackEvent[] = ['started', 'asking', 'disconnected', 'asking'];
    const run = await asking(session, { openStdin: true, callback: { url: URL_OF(session), events } });
    const features = [FEATURE_INPUT2, FEATURE_ASKING];
    const peer = await WrapperPeer.welcomed(run, { features });
    const question = (id: string, text = id) => ({ id, kind: 'question', text, options: [{ id: 'yes', label: 'Yes' }] });
    const asks = (id: string, text?: string): HoldfastEvent => ({ type: 'asking', at: 1, data: question(id, text) });
    const withdrawn: HoldfastEvent = { type: 'asking_ended', at: 1, data: { id: 'q2', reason: 'cancelled' } };
    await peer.deliver(1, [output('x\n'), asks('q1'), asks('q2'), withdrawn, asks('q3', 'token?')]);
    peer.close();
    await vi.waitFor(async () => expect((await get(run)).connected).toBe(false));
    // The frame is repeated, as a wrapper does that saw no ack.
    const second = await WrapperPeer.welcomed(run, { features, nextSeq: 1 });
    await second.deliver(1, [output('x\n'), asks('q1'), asks('q2'), withdrawn, asks('q3', 'token?')]);
    await second.deliver(6, [asks('q4'), exit(0)]);
    await nothingWaits(session);

    const told = sentFor(session).map(({ body }) => JSON.parse(body) as CallbackPayload);
    expect(new Set(sentFor(session).map(({ id }) => id)).size).toBe(told.length);
    const log = await readLog(session);
    const seen = told.map(({ type, data }) => [
      type,
      log.find(({ offset }) => offset === data.offset)?.type,
      data.execution.asking?.id,
    ]);
    expect(seen.sort()).toEqual([
      ['execution.asking', 'asking', 'q1'],
      ['execution.asking', 'asking', 'q3'],
      ['execution.disconnected', 'wrapper_disconnected', 'q1'],
      ['execution.started', 'execution_running', undefined],
    ]);
    const [first] = told.filter(({ data }) => data.execution.asking?.id === 'q3');
    expect(first?.data.execution).toMatchObject({ status: 'running', connected: true, asking: { text: 'token?' } });
  });

  test('[CB12] an event whose turn is undone is not told', async () => {
    const session = newSession();
    const run = await asking(session, { callback: { url: URL_OF(session), events: ['started'] } });
    await runInDurableObject(stubOf(session), (_, { storage }) => {
      storage.sql.exec(`CREATE TRIGGER broken BEFORE INSERT ON callbacks BEGIN SELECT RAISE(ABORT, 'broken'); END`);
    });
    await WrapperPeer.hello(run);
    await vi.waitFor(async () => expect((await get(run)).status).toBe('pending'));
    await runInDurableObject(stubOf(session), (_, { storage }) => storage.sql.exec('DROP TRIGGER broken'));
    await WrapperPeer.welcomed(run);
    await nothingWaits(session);
    expect(sentFor(session).map(({ body }) => JSON.parse(body).type)).toEqual(['execution.started']);
  });

  test('[CB12] a start that names events repeats only with the same ones, in any order', async () => {
    const session = newSession();
    const url = URL_OF(session);
    const begin = (callback: object) =>
      api('POST', `/v1/sessions/${session}/executions`, { body: { id: 'e1', command: ['job'], callback } });
    expect((await begin({ url, events: ['settled', 'started'] })).status).toBe(201);
    expect((await begin({ url, events: ['started', 'settled', 'started'] })).status).toBe(200);
    expect((await begin({ url })).status).toBe(409);
    const plain = newSession();
    const start2 = (callback: object) =>
      api('POST', `/v1/sessions/${plain}/executions`, { body: { id: 'e1', command: ['job'], callback } });
    expect((await start2({ url })).status).toBe(201);
    expect((await start2({ url, events: ['settled'] })).status).toBe(200);
    for (const events of [[], ['exit'], 'settled', ['settled', 'settled', 'settled', 'settled', 'settled', 'settled']])
      expect((await start2({ url, events })).status).toBe(400);
  });

  test('a verdict that is undone leaves no callback and sends nothing', async () => {
    const run = await asking(newSession());
    await runInDurableObject(stubOf(run.session), (_, { storage }) => {
      storage.sql.exec(`CREATE TRIGGER broken BEFORE INSERT ON callbacks BEGIN SELECT RAISE(ABORT, 'broken'); END`);
    });
    expect((await fail(run)).status).toBe(500);
    expect((await get(run)).status).toBe('pending');
    await runInDurableObject(stubOf(run.session), (_, { storage }) => storage.sql.exec('DROP TRIGGER broken'));
    expect(sentFor(run.session)).toEqual([]);
    await fail(run);
    await nothingWaits(run.session);
    expect(sentFor(run.session)).toHaveLength(1);
  });

  test('a run without callback writes no extra row; a delivered one costs its row twice, and the alarm that guards it', async () => {
    const rowsFor = async (begin: (session: string) => Promise<Run>) => {
      const session = newSession();
      await runInDurableObject(stubOf(session), (_, { storage }) => watchAll(storage, session));
      const run = await begin(session);
      const before = settledCounts(session).rowsWritten;
      await fail(run);
      await nothingWaits(session);
      return settledCounts(session).rowsWritten - before;
    };
    const without = await rowsFor((session) => start(session));
    expect(without).toBeGreaterThan(0);
    // The table's key is a text, so that its index counts too.
    expect(await rowsFor(asking)).toBeLessThanOrEqual(without + 4);
    expect(await rowsFor((session) => start(session))).toBe(without);
  });
});

describe('[CB6] until the queue has it', () => {
  test('the alarm retries a queue that is down with growing delays, under the same id and with the same body', async () => {
    const session = newSession();
    takes = ['refuse'];
    const run = await asking(session);
    await fail(run);
    const [first] = await rowsOf(session);
    expect(first).toMatchObject({ attempts: 0 });
    for (let attempt = 1; attempt <= 8; attempt += 1) {
      await nextAlarm(session);
      const [row] = await rowsOf(session);
      expect(row).toMatchObject({ id: first?.id, attempts: attempt });
      const delay = (row?.due_at ?? 0) - Date.now();
      expect(delay).toBeGreaterThanOrEqual(LEASE_MS);
      expect(delay).toBeLessThanOrEqual(Math.min(RETRY_CAP_MS, LEASE_MS * 2 ** attempt));
    }
    expect(queued).toEqual([]);
    takes = ['take'];
    await nextAlarm(session);
    await nothingWaits(session);
    expect(sentFor(session).map(({ id }) => id)).toEqual([first?.id]);
    expect((JSON.parse(sentFor(session)[0]?.body ?? '') as CallbackPayload).data.execution).toEqual(await get(run));
    at(Date.now() + 3_600_000);
    await runDurableObjectAlarm(stubOf(session));
    expect(sentFor(session)).toHaveLength(1);
  });

  test('[CB4] after a lost response the queue gets the identical message again', async () => {
    const session = newSession();
    takes = ['take, but lose the answer', 'take'];
    await fail(await asking(session));
    await vi.waitFor(() => expect(sentFor(session)).toHaveLength(1));
    await nextAlarm(session);
    await nothingWaits(session);
    const [one, two, ...more] = sentFor(session);
    expect([two, more]).toEqual([one, []]);
  });

  test('an object that dies between its verdict and the queue still delivers it', async () => {
    const session = newSession();
    takes = ['never answer', 'take'];
    const run = await asking(session);
    await fail(run);
    const [row] = await rowsOf(session);
    await putToSleep(stubOf(session));
    expect(await rowsOf(session)).toEqual([row]);
    await nextAlarm(session);
    await nothingWaits(session);
    expect(sentFor(session)).toMatchObject([{ id: row?.id, execution: run.execution.id }]);
  });

  test('a refused one does not delay others', async () => {
    const session = newSession();
    takes = ['refuse', 'take'];
    const [stuck, fine] = [await asking(session), await asking(session, { onBusy: 'queue' })];
    await fail(stuck);
    await fail(fine);
    await vi.waitFor(async () => expect(await rowsOf(session)).toMatchObject([{ execution: stuck.execution.id }]));
    expect(sentFor(session)).toMatchObject([{ execution: fine.execution.id }]);
  });

  test('many pending ones leave ten at an alarm, all in the end, each once', async () => {
    const session = newSession();
    takes = ['refuse'];
    const runs: Run[] = [];
    for (let index = 0; index < 23; index += 1) {
      const run = await asking(session);
      await fail(run);
      runs.push(run);
    }
    expect(await rowsOf(session)).toHaveLength(23);
    takes = ['take'];
    at(Date.now() + 60_000);
    for (const left of [13, 3, 0]) {
      await runInDurableObject(stubOf(session), (instance) => instance.alarm());
      await vi.waitFor(async () => expect(await rowsOf(session)).toHaveLength(left));
    }
    expect(new Set(sentFor(session).map(({ execution }) => execution))).toEqual(new Set(runs.map(({ execution }) => execution.id)));
    expect(sentFor(session)).toHaveLength(23);
  });

  test('a row from before callbacks were delivered is delivered with the current execution', async () => {
    const session = newSession();
    takes = ['refuse'];
    const run = await asking(session);
    await fail(run);
    await runInDurableObject(stubOf(session), (_, { storage }) =>
      storage.sql.exec('UPDATE callbacks SET snapshot = NULL, due_at = 0'),
    );
    await putToSleep(stubOf(session));
    takes = ['take'];
    await runDurableObjectAlarm(stubOf(session));
    await nothingWaits(session);
    expect((JSON.parse(sentFor(session)[0]?.body ?? '') as CallbackPayload).data.execution).toEqual(await get(run));
  });

  test('after 90 days without a queue it is given up and logged', async () => {
    const session = newSession();
    const said = vi.spyOn(console, 'error').mockImplementation(() => {});
    takes = ['refuse'];
    await fail(await asking(session));
    const [row] = await rowsOf(session);
    at((row?.due_at ?? 0) - LEASE_MS + RETENTION_MS);
    await runInDurableObject(stubOf(session), (instance) => instance.alarm());
    await vi.waitFor(async () => expect(await tablesOf(session)).toEqual([]));
    const lines = said.mock.calls.map(([line]) => JSON.parse(String(line)));
    expect(lines).toContainEqual(
      expect.objectContaining({ event: 'callback_given_up', tenant: 'acme', session, callback: row?.id }),
    );
    expect(queued).toEqual([]);
  });

  test('the binding: the results without a queue, after a failure, and after a timeout', async () => {
    const said = [vi.spyOn(console, 'error'), vi.spyOn(console, 'warn')].map((spy) => spy.mockImplementation(() => {}));
    const run = await start(newSession());
    await fail(run);
    const execution = await get(run);
    const callback: CallbackFacts = { id: 'cb_1', url: URL_OF('x'), event: 'settled', offset: 3, createdAt: 1 };
    const queueOf = (send: () => Promise<unknown>) => ({ CALLBACKS: { send } }) as unknown as Env;
    expect(await outsideOf({} as Env).enqueue(callback, execution)).toBe(false);
    expect(await outsideOf(queueOf(async () => ({}))).enqueue(callback, execution)).toBe(true);
    const away = async () => {
      throw new Error('away');
    };
    expect(await outsideOf(queueOf(away)).enqueue(callback, execution)).toBe(false);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const silent = outsideOf(queueOf(() => new Promise(() => {}))).enqueue(callback, execution);
    await vi.advanceTimersByTimeAsync(ATTEMPT_TIMEOUT_MS);
    expect(await silent).toBe(false);
    for (const text of said.flatMap((spy) => spy.mock.calls.flat())) expect(text).not.toMatch(/caller\.test|secret/);
  });
});

describe('[CB7] a session that is deleted', () => {
  test('whose callback no queue ever accepted: it is given up after its time, and nothing is left', async () => {
    vi.spyOn(console, 'error').mockImplementation(() => {});
    const session = newSession();
    takes = ['refuse'];
    await fail(await asking(session));
    await remove(session);
    await runInDurableObject(stubOf(session), (_, { storage }) => {
      storage.sql.exec('UPDATE callbacks SET created_at = ?, due_at = 0', Date.now() - RETENTION_MS);
    });
    await putToSleep(stubOf(session));
    await runInDurableObject(stubOf(session), (instance) => instance.alarm());
    await vi.waitFor(async () => expect(await tablesOf(session)).toEqual([]));
    expect(await alarmOf(session)).toBeNull();
    expect(sentFor(session)).toEqual([]);
    // Its name is free.
    expect((await start(session)).execution.status).toBe('pending');
  });

  test('after its verdict, which the queue does not have yet: readers get 404, its callback is sent, then nothing is left', async () => {
    const session = newSession();
    takes = ['refuse'];
    const run = await asking(session);
    await fail(run);
    const ended = await get(run);
    expect((await remove(session)).status).toBe(204);
    expectProblem(await ask('GET', `/v1/sessions/${session}`), 'session_not_found');
    expect(await rowsOf(session)).toHaveLength(1);
    await nextAlarm(session);
    await putToSleep(stubOf(session));
    expectProblem(await remove(session), 'session_not_found');
    takes = ['take'];
    await nextAlarm(session);
    await vi.waitFor(async () => expect(await tablesOf(session)).toEqual([]));
    expect(await alarmOf(session)).toBeNull();
    expect(sentFor(session).map(({ body }) => (JSON.parse(body) as CallbackPayload).data.execution)).toEqual([ended]);
  });

  test('while neither the directory nor the queue can be reached: nothing is left after both are, in any order', async () => {
    const directory = testEnv.DIRECTORY.getByName('acme');
    const rename = (from: string, to: string) =>
      runInDurableObject(directory, (_, { storage }) => storage.sql.exec(`ALTER TABLE ${from} RENAME TO ${to}`));
    const session = newSession();
    takes = ['refuse'];
    await fail(await asking(session));
    await rename('sessions', 'taken_away');
    expect((await remove(session)).status).toBe(204);
    takes = ['take'];
    at(Date.now() + 60_000);
    await runInDurableObject(stubOf(session), (instance) => instance.alarm());
    await nothingWaits(session);
    expect(await tablesOf(session)).not.toEqual([]);
    await rename('taken_away', 'sessions');
    at(Date.now() + 600_000);
    await runInDurableObject(stubOf(session), (instance) => instance.alarm());
    await vi.waitFor(async () => expect(await tablesOf(session)).toEqual([]));
    expect(sentFor(session)).toHaveLength(1);
  });

  test('and started again under its name: the old callback is sent, and the new session stays', async () => {
    const session = newSession();
    takes = ['refuse'];
    const old = await asking(session, { id: 'old' });
    await fail(old);
    await remove(session);
    const fresh = await asking(session, { id: 'new' });
    takes = ['take'];
    await nextAlarm(session);
    await nothingWaits(session);
    expect(sentFor(session)).toMatchObject([{ execution: 'old' }]);
    expect((await get(fresh)).status).toBe('pending');
    await fail(fresh);
    await nothingWaits(session);
    expect(sentFor(session)).toMatchObject([{ execution: 'old' }, { execution: 'new' }]);
  });

  test('before there is a verdict: no callback exists', async () => {
    const run = await asking(newSession());
    await WrapperPeer.welcomed(run);
    expect((await remove(run.session)).status).toBe(204);
    await nothingWaits(run.session);
    // The tombstone tells the wrapper of the deleted run that it is deleted (CLS17). It is removed
    // last.
    at(Date.now() + TOMBSTONE_MS + 1);
    await runDurableObjectAlarm(stubOf(run.session));
    await vi.waitFor(async () => expect(await tablesOf(run.session)).toEqual([]));
    expect(sentFor(run.session)).toEqual([]);
  });
});

describe('[CB8] [CB9] a start whose callback cannot be delivered is refused, and changes nothing', () => {
  const refused = async (url: string, settings: Parameters<typeof deployment>[0], key?: string) => {
    const { SESSIONS, touched } = untouchable();
    const body = { command: ['job'], callback: { url } };
    const answer = await ask('POST', '/v1/sessions/s/executions', {
      body,
      env: deployment({ SESSIONS, ...settings }),
      ...(key ? { key } : {}),
    });
    expect(touched).toEqual([]);
    return expectProblem(answer, 'bad_request');
  };
  const strict = { HOLDFAST_CALLBACK_ALLOW_PRIVATE: undefined };

  test.each([
    'https://127.0.0.1/hook',
    'https://localhost/hook',
    'https://[::ffff:10.0.0.1]/',
    'https://2130706433/',
    'https://metadata.google.internal/',
    'http://example.com/hook',
    'https://user:pass@example.com/',
  ])('an address that is not allowed: %s', async (url) => {
    const problem = await refused(url, strict);
    expect(problem.field).toBe('callback.url');
    expect(problem.detail).toMatch(/^callback\.url: must /);
    expect(problem.detail).not.toContain(url);
  });

  test('a tenant without a key, a deployment without keys, one without a queue', async () => {
    const url = 'https://example.com/hook';
    const noKey = await refused(url, {}, 'globex-key-0123456789abcdef');
    expect(noKey).toMatchObject({ field: 'callback', detail: expect.stringContaining('HOLDFAST_CALLBACK_KEYS') });
    expect(await refused(url, { HOLDFAST_CALLBACK_KEYS: undefined })).toMatchObject({ field: 'callback' });
    expect(await refused(url, { CALLBACKS: undefined })).toMatchObject({
      field: 'callback',
      detail: expect.stringContaining('CALLBACKS'),
    });
  });

  test('[LIF28] [HTTP12] an earlier start is found again, whatever was removed since; another request or a new id is refused', async () => {
    const session = newSession();
    const path = `/v1/sessions/${session}/executions`;
    const body = { id: 'e1', command: ['job'], callback: { url: 'https://example.com/hook' } };
    const later = {
      'no key': deployment({ HOLDFAST_CALLBACK_KEYS: undefined }),
      'no queue': deployment({ CALLBACKS: undefined }),
    };
    // A read does not create the session.
    for (const env of Object.values(later)) expectProblem(await ask('POST', path, { body, env }), 'bad_request');
    expectProblem(await ask('GET', `/v1/sessions/${session}`), 'session_not_found');

    const first = await ask('POST', path, { body });
    expect(first.status).toBe(201);
    for (const [gone, env] of Object.entries(later)) {
      const again = await ask('POST', path, { body, env });
      expect([again.status, again.body.execution], gone).toEqual([200, first.body.execution]);
      const { id: _id, ...unnamed } = body;
      expect((await ask('POST', path, { body: unnamed, env, headers: { 'idempotency-key': 'e1' } })).status).toBe(200);
      expectProblem(await ask('POST', path, { body: { ...body, command: ['other'] }, env }), 'execution_id_conflict');
      // Before `execution_in_progress`: waiting would not help.
      for (const id of ['e2', undefined])
        expect(expectProblem(await ask('POST', path, { body: { ...body, id }, env }), 'bad_request').field).toBe('callback');
    }
    expect((await ask('GET', path)).body.data).toHaveLength(1);
  });

  test('an allowed callback is accepted; a start without callback needs neither key nor queue', async () => {
    const body = { command: ['job'], callback: { url: 'https://example.com/hook' } };
    expect((await ask('POST', `/v1/sessions/${newSession()}/executions`, { body, env: deployment(strict) })).status).toBe(201);
    const bare = deployment({ HOLDFAST_CALLBACK_KEYS: undefined, CALLBACKS: undefined, ...strict });
    expect((await ask('POST', `/v1/sessions/${newSession()}/executions`, { body: { command: ['job'] }, env: bare })).status).toBe(
      201,
    );
  });
});
