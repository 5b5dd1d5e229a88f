/**
 * Several active executions of one session (LIF20): who begins, and that each is served as if it
 * were alone. Method: the real object; its clock is moved, and its alarm run by hand.
 */

import { runDurableObjectAlarm } from 'cloudflare:test';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { ask, expectProblem } from '../support/http.ts';
import {
  api,
  exit,
  get,
  newSession,
  output,
  putToSleep,
  type Run,
  readLog,
  start,
  stubOf,
  texts,
  WrapperPeer,
} from '../support/peers.ts';

afterEach(() => void vi.useRealTimers());

const at = (now: number): void => void vi.useFakeTimers({ now, toFake: ['Date'] });
const executionsOf = (session: string): string => `/v1/sessions/${session}/executions`;
const tryStart = (session: string, body: object) => ask('POST', executionsOf(session), { body: { command: ['job'], ...body } });
const summary = async (session: string) => (await ask('GET', `/v1/sessions/${session}`)).body;
const statusOf = async (run: Run): Promise<string> => (await get(run)).status;

describe('[LIF20] who begins', () => {
  test('starts begin until their own number is active; the next is refused and named the active ones', async () => {
    const session = newSession();
    for (const id of ['e1', 'e2', 'e3']) expect((await start(session, { id, maxActive: 3 })).execution.status).toBe('pending');
    const refused = await tryStart(session, { id: 'e4', maxActive: 3 });
    expectProblem(refused, 'execution_in_progress');
    expect(refused.body).toMatchObject({ activeExecutionId: 'e1', activeExecutionIds: ['e1', 'e2', 'e3'] });
    expect(refused.body.detail).toContain('at most 2');
    expect(await summary(session)).toMatchObject({ active: 'e1', activeExecutionIds: ['e1', 'e2', 'e3'] });
    expect((await start(session, { id: 'e5', maxActive: 4 })).execution).toMatchObject({ status: 'pending', maxActive: 4 });
  });

  test('the default begins alone, and allows another beside it that asks for two', async () => {
    const first = await start(newSession());
    expect(first.execution).not.toHaveProperty('maxActive');
    expectProblem(await tryStart(first.session, {}), 'execution_in_progress');
    await start(first.session, { id: 'beside', maxActive: 2 });
    expectProblem(await tryStart(first.session, { maxActive: 1 }), 'execution_in_progress');
    expect(await summary(first.session)).toMatchObject({ activeExecutionIds: [first.execution.id, 'beside'] });
  });

  test('[LIF28] it is a term of the start', async () => {
    const { session } = await start(newSession(), { id: 'e1', maxActive: 2 });
    expect((await tryStart(session, { id: 'e1', maxActive: 2 })).status).toBe(200);
    expectProblem(await tryStart(session, { id: 'e1' }), 'execution_id_conflict');
    const plain = await start(newSession(), { id: 'e1' });
    expect((await tryStart(plain.session, { id: 'e1', maxActive: 1 })).status).toBe(200);
  });

  test('[LIF3] the queue moves in its order, by as many as there is room for', async () => {
    const first = await start(newSession());
    const { session } = first;
    const [b, c] = [await start(session, { id: 'b', onBusy: 'queue' }), await start(session, { id: 'c', onBusy: 'queue' })];
    const [d, e] = [
      await start(session, { id: 'd', onBusy: 'queue', maxActive: 1 }),
      // There is room beside the first one, so this one does not wait.
      await start(session, { id: 'e', onBusy: 'queue', maxActive: 2 }),
    ];
    expect(await Promise.all([b, c, d, e].map(statusOf))).toEqual(['queued', 'queued', 'queued', 'pending']);
    await finish(first);
    // `e` is active, and `b` begins alone.
    expect(await Promise.all([b, c, d].map(statusOf))).toEqual(['queued', 'queued', 'queued']);
    await finish(e);
    expect(await Promise.all([b, c, d].map(statusOf))).toEqual(['pending', 'queued', 'queued']);
  });

  test('[LIF3] one end makes room for several', async () => {
    const first = await start(newSession(), { id: 'a' });
    const { session } = first;
    const second = await start(session, { id: 'x', maxActive: 2 });
    await start(session, { id: 'y', maxActive: 3 });
    const head = await start(session, { id: 'head', onBusy: 'queue' });
    const behind: Run[] = [];
    for (const id of ['b', 'c', 'd']) behind.push(await start(session, { id, onBusy: 'queue', maxActive: 3 }));
    await finish(first);
    await finish(second);
    // The head of the queue begins alone, so it waits for `y`, and the others wait behind it.
    expect(await Promise.all([head, ...behind].map(statusOf))).toEqual(['queued', 'queued', 'queued', 'queued']);
    await finish(head);
    expect(await Promise.all(behind.map(statusOf))).toEqual(['pending', 'pending', 'queued']);
  });

  test('[LIF29] replace interrupts all that are active', async () => {
    const first = await start(newSession(), { id: 'e1' });
    const second = await start(first.session, { id: 'e2', maxActive: 2 });
    const peers = [await WrapperPeer.welcomed(first), await WrapperPeer.welcomed(second)];
    const next = await start(first.session, { id: 'next', onBusy: 'replace' });
    for (const [index, peer] of peers.entries()) {
      expect(await peer.next()).toMatchObject({ command: 'interrupt', data: { reason: 'replaced by next' } });
      expect(await statusOf(next)).toBe('queued');
      await peer.deliver(1, [exit(null, 'SIGINT')]);
      expect(await statusOf(index === 0 ? first : second)).toBe('interrupted');
    }
    expect(await statusOf(next)).toBe('pending');
  });

  test('[LIF35] what each active one was promised counts', async () => {
    const policy = { maxLogBytes: 4 * 1024 ** 3 };
    const { session } = await start(newSession(), { id: 'e1', maxActive: 3, policy });
    await start(session, { id: 'e2', maxActive: 3, policy });
    expectProblem(await tryStart(session, { id: 'e3', maxActive: 3, policy }), 'storage_full');
    expect((await start(session, { id: 'e3', maxActive: 3, policy: { maxLogBytes: 1024 ** 2 } })).execution.status).toBe('pending');
  });
});

async function finish(run: Run): Promise<void> {
  await api('POST', `${executionsOf(run.session)}/${run.execution.id}/fail`, { body: { code: 'x', message: 'y' } });
}

describe('[G4] beside others, each', () => {
  test('has its own sequence, connection and verdict, also after the object slept', async () => {
    const first = await start(newSession(), { id: 'e1' });
    const second = await start(first.session, { id: 'e2', maxActive: 2 });
    const [one, two] = [await WrapperPeer.welcomed(first), await WrapperPeer.welcomed(second)];
    expect(await one.deliver(1, [output('a1\n'), output('a2\n')])).toEqual({ type: 'ack', seq: 2 });
    expect(await two.deliver(1, [output('b1\n')])).toEqual({ type: 'ack', seq: 1 });
    await putToSleep(stubOf(first.session));
    expect(await one.deliver(3, [output('a3\n')])).toEqual({ type: 'ack', seq: 3 });
    expect(await two.deliver(2, [exit(3)])).toEqual({ type: 'ack', seq: 2 });
    expect(await two.closed).toMatchObject({ code: 4000 });
    expect(await get(second)).toMatchObject({ status: 'failed', code: 'exit_nonzero', exitCode: 3 });
    expect(await get(first)).toMatchObject({ status: 'running', connected: true });
    await one.deliver(4, [exit(0)]);
    expect(await statusOf(first)).toBe('completed');
    const log = await readLog(first.session);
    expect(texts(log.filter(({ execution }) => execution === 'e1'))).toBe('a1\na2\na3\n');
    expect(texts(log.filter(({ execution }) => execution === 'e2'))).toBe('b1\n');
  });

  test('[LIF23] is found silent although another one prints', async () => {
    const policy = { silenceTimeoutMs: 20_000, heartbeatMs: 5_000 };
    const silent = await start(newSession(), { id: 'silent', policy });
    const loud = await start(silent.session, { id: 'loud', policy, maxActive: 2 });
    await WrapperPeer.welcomed(silent);
    const peer = await WrapperPeer.welcomed(loud);
    const { startedAt = 0 } = await get(silent);
    for (const seconds of [10, 19, 21]) {
      at(startedAt + seconds * 1000);
      await peer.deliver(seconds === 10 ? 1 : seconds === 19 ? 2 : 3, [output('loud\n')]);
    }
    // The alarm is set for the silent one, and not for the newest frame of the session.
    expect(await runDurableObjectAlarm(stubOf(silent.session))).toBe(true);
    expect(await get(silent)).toMatchObject({ status: 'running', connected: false });
    expect(await get(loud)).toMatchObject({ status: 'running', connected: true });
  });

  test('keeps its interrupt to itself', async () => {
    const first = await start(newSession(), { id: 'e1' });
    const second = await start(first.session, { id: 'e2', maxActive: 2 });
    const [one, two] = [await WrapperPeer.welcomed(first), await WrapperPeer.welcomed(second)];
    await ask('POST', `${executionsOf(first.session)}/e2/interrupt`);
    expect(await two.next()).toMatchObject({ command: 'interrupt' });
    await two.deliver(1, [exit(null, 'SIGINT')]);
    expect([await statusOf(first), await statusOf(second)]).toEqual(['running', 'interrupted']);
    await one.deliver(1, [exit(0)]);
    expect(await statusOf(first)).toBe('completed');
  });
});

test('[HTTP14] a container takes no second one beside', async () => {
  const session = newSession();
  const refused = await tryStart(session, { launcher: 'container', maxActive: 2 });
  expectProblem(refused, 'bad_request');
  expect(refused.body.detail).toContain('a container runs one execution at a time');
});
