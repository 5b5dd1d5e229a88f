/**
 * Goal: runners that are lost, frozen, cloned, full or draining, and executions that are ended at
 * any step, leave every execution with one outcome and every slot free.
 * Method: real objects and sockets; the clock is moved and the alarm of the pool is run by hand.
 */

import { runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { api, exit, get, newSession, putToSleep, type Run, readLog, start, typesOf, WrapperPeer } from '../support/peers.ts';
import { heard, newKey, newPool, poolAlarm, poolStubOf, RunnerPeer, rowsOf, viewOf } from '../support/runners.ts';

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const onPool = (pool: string, request: object = {}) => start(newSession(), { launcher: 'pool', pool, ...request });
const interrupt = (run: Run) =>
  api('POST', `/v1/sessions/${run.session}/executions/${run.execution.id}/interrupt`, { body: { reason: 'enough' } });
const eventsOf = async (run: Run, type: string) => (await readLog(run.session)).filter((event) => event.type === type);

describe('a lease that comes to nothing', () => {
  test('[POOL11] a runner that leaves before it answers: another one gets it at once', async () => {
    const made = await newPool();
    const first = await RunnerPeer.ready(made, { name: 'first' });
    const run = await onPool(made.pool);
    await first.launch();
    const second = await RunnerPeer.ready(made, { name: 'second' });
    first.close();
    const { request } = await second.launch();
    expect(request.id).toBe(run.execution.id);
    expect(await eventsOf(run, 'execution_recalled')).toMatchObject([{ data: { name: 'first', cause: 'runner_lost' } }]);
    expect((await get(run)).runner?.name).toBe('second');
  });

  test('[POOL11] a runner that is frozen before it answers loses it after 18 s, and its socket', async () => {
    const made = await newPool();
    const frozen = await RunnerPeer.ready(made, { name: 'frozen' });
    const run = await onPool(made.pool);
    const { lease } = await frozen.launch();
    await poolAlarm(made.pool, 16_100);
    expect(await rowsOf(made.pool, 'active')).toMatchObject([{ state: 'leased' }]);
    await poolAlarm(made.pool, 2_000);
    await vi.waitFor(async () => expect((await get(run)).waiting).toBeDefined());
    expect((await frozen.closed).code).toBe(1013);
    // A late word of it changes nothing.
    const second = await RunnerPeer.ready(made, { name: 'second' });
    const launch = await second.launch();
    expect(launch.lease).toBeGreaterThan(lease);
    expect((await get(run)).runner?.name).toBe('second');
  });

  test('[POOL11] three lost runners end it, with the reason', async () => {
    const made = await newPool();
    const run = await onPool(made.pool);
    for (const name of ['a', 'b', 'c']) {
      const runner = await RunnerPeer.ready(made, { name });
      await runner.launch();
      runner.close();
      await vi.waitFor(async () => expect((await get(run)).runner).toBeUndefined(), { timeout: 5000 }).catch(() => {});
      await vi.waitFor(async () => expect((await viewOf(made.pool)).busy).toBe(0));
    }
    await vi.waitFor(async () => expect(await get(run)).toMatchObject({ status: 'failed', code: 'runners_lost' }));
    expect((await get(run)).error).toContain('runner c');
    expect(await rowsOf(made.pool, 'active')).toEqual([]);
  });

  test('[POOL12] a refusal that may be retried goes to another runner, and one that may not fails the execution', async () => {
    const made = await newPool();
    const [a, b] = [await RunnerPeer.ready(made, { name: 'a' }), await RunnerPeer.ready(made, { name: 'b' })];
    const run = await onPool(made.pool, { cwd: '/work' });
    const { lease } = await a.launch();
    a.frame({ type: 'refused', lease, code: 'cwd_missing', message: 'there is no /work', retry: true });
    const launch = await b.launch();
    expect(launch.request.id).toBe(run.execution.id);
    b.frame({ type: 'refused', lease: launch.lease, code: 'cwd_not_allowed', message: '/work is not allowed here' });
    await vi.waitFor(async () =>
      expect(await get(run)).toMatchObject({
        status: 'failed',
        code: 'cwd_not_allowed',
        error: expect.stringContaining('/work is not allowed here'),
      }),
    );
    expect((await viewOf(made.pool)).busy).toBe(0);
  });

  test('[POOL12] a full runner gets it again when a run has ended there', async () => {
    const made = await newPool();
    const runner = await RunnerPeer.ready(made, { slots: 2, runs: ['other/run'] });
    const run = await onPool(made.pool);
    const { lease } = await runner.launch();
    runner.frame({ type: 'refused', lease, code: 'full', retry: true });
    await vi.waitFor(async () => expect((await get(run)).waiting?.reason).toBe('busy'));
    runner.frame({ type: 'ended', session: 'other', execution: 'run' });
    expect((await runner.launch()).request.id).toBe(run.execution.id);
  });

  test('[POOL13] a wrapper that ended before it connected is started again, on another runner', async () => {
    const made = await newPool();
    const [a, b] = [await RunnerPeer.ready(made, { name: 'a' }), await RunnerPeer.ready(made, { name: 'b' })];
    const run = await onPool(made.pool);
    const { lease, request } = await a.launch();
    a.launched(lease);
    a.ended(request);
    expect((await b.launch()).request.id).toBe(run.execution.id);
    expect(await eventsOf(run, 'execution_recalled')).toMatchObject([{ data: { cause: 'ended_before_it_connected' } }]);
  });

  test('[POOL14] the wrapper of a lease that was given up waits, and runs when its execution has a runner', async () => {
    const made = await newPool();
    const first = await RunnerPeer.ready(made);
    const run = await onPool(made.pool);
    await first.launch();
    first.close();
    await vi.waitFor(async () => expect((await get(run)).waiting).toBeDefined());
    const early = await WrapperPeer.hello(run);
    expect(await early.closed).toEqual({ code: 1013, reason: 'queued' });
    const second = await RunnerPeer.ready(made);
    await second.launch();
    await WrapperPeer.welcomed(run);
    expect((await get(run)).status).toBe('running');
  });
});

describe('frames', () => {
  test('[POOL3] [POOL13] twice, late, of another lease or of another runner: nothing changes', async () => {
    const made = await newPool();
    const [a, b] = [await RunnerPeer.ready(made), await RunnerPeer.ready(made)];
    const run = await onPool(made.pool);
    const { lease, request } = await a.launch();
    // Of a runner that does not have it.
    b.launched(lease);
    b.frame({ type: 'refused', lease, code: 'unsupported' });
    b.ended(request);
    await b.settled();
    expect(await rowsOf(made.pool, 'active')).toMatchObject([{ state: 'leased', lease }]);
    a.launched(lease);
    a.launched(lease);
    a.frame({ type: 'refused', lease, code: 'unsupported' });
    a.launched(lease + 1000);
    await a.settled();
    expect(await rowsOf(made.pool, 'active')).toMatchObject([{ state: 'launched', lease }]);
    const wrapper = await WrapperPeer.welcomed({ ingest: request.ingest });
    await wrapper.deliver(1, [exit(0)]);
    a.ended(request);
    a.ended(request);
    await vi.waitFor(async () => expect(await rowsOf(made.pool, 'active')).toEqual([]));
    a.launched(lease);
    await a.settled();
    expect(await rowsOf(made.pool, 'active')).toEqual([]);
    expect((await get(run)).status).toBe('completed');
  });

  test('[POOL3] `launched` at once after the launch is not lost', async () => {
    const made = await newPool();
    const runner = await RunnerPeer.ready(made);
    runner.ws.addEventListener('message', ({ data }) => {
      const frame = JSON.parse(String(data)) as { type: string; lease?: number };
      if (frame.type === 'launch' && frame.lease !== undefined) runner.launched(frame.lease);
    });
    await onPool(made.pool);
    await vi.waitFor(async () => expect(await rowsOf(made.pool, 'active')).toMatchObject([{ state: 'launched' }]));
  });

  test.each([
    ['no JSON', '{'],
    ['an event before its hello', '{"type":"draining"}'],
    ['a hello of a wrong shape', '{"type":"hello"}'],
  ])('a bad frame closes 4400 and changes nothing: %s', async (_, text) => {
    const made = await newPool();
    const peer = await RunnerPeer.connect(made.pool, made.key);
    peer.send(text);
    expect((await peer.closed).code).toBe(4400);
    expect(await rowsOf(made.pool, 'runners')).toEqual([]);
  });

  test('a connection without a hello is closed 4408 after 10 s', async () => {
    const made = await newPool();
    const peer = await RunnerPeer.connect(made.pool, made.key);
    await poolAlarm(made.pool, 10_100);
    expect((await peer.closed).code).toBe(4408);
  });
});

describe('a runner', () => {
  test('[POOL15] that comes back holds what its hello says', async () => {
    const made = await newPool();
    const runner = await RunnerPeer.ready(made, { slots: 3 });
    const kept = await onPool(made.pool);
    const lost = await onPool(made.pool);
    const first = await runner.launch();
    runner.launched(first.lease);
    const second = await runner.launch();
    runner.launched(second.lease);
    await runner.settled();
    const again = await runner.again({ runs: [`${kept.session}/${kept.execution.id}`, 'old/one'] });
    expect((await runner.closed).code).toBe(4001);
    // The one that it does not have is assigned again: to it, because no other runner fits.
    expect((await again.launch()).request.id).toBe(lost.execution.id);
    const { runners } = await viewOf(made.pool);
    expect(runners[0]?.runs.map(({ execution }) => execution).sort()).toEqual([kept.execution.id, lost.execution.id, 'one'].sort());
    again.frame({ type: 'ended', session: 'old', execution: 'one' });
    await vi.waitFor(async () => expect((await viewOf(made.pool)).busy).toBe(2));
  });

  test('[POOL16] two processes with one id: the newer is served, the older is closed as a clone and stays out', async () => {
    const made = await newPool();
    const older = await RunnerPeer.ready(made, { runnerId: 'r_same', bootId: 'b_old' });
    const newer = await RunnerPeer.ready(made, { runnerId: 'r_same', bootId: 'b_new' });
    expect(await older.closed).toEqual({ code: 4409, reason: 'cloned runner id' });
    const back = await RunnerPeer.connect(made.pool, made.key);
    back.hello({ runnerId: 'r_same', bootId: 'b_old' });
    expect(await back.closed).toEqual({ code: 4409, reason: 'cloned runner id' });
    expect((await viewOf(made.pool)).slots).toBe(1);
    const run = await onPool(made.pool);
    expect((await newer.launch()).request.id).toBe(run.execution.id);
  });

  test('[POOL17] gets nothing after `drained`, also on a new connection; what it has goes on', async () => {
    const made = await newPool();
    const runner = await RunnerPeer.ready(made, { slots: 2 });
    await onPool(made.pool);
    const { lease } = await runner.launch();
    runner.launched(lease);
    runner.frame({ type: 'draining' });
    expect(await runner.next()).toEqual({ type: 'drained' });
    const waits = await onPool(made.pool);
    await vi.waitFor(async () => expect((await get(waits)).waiting?.reason).toBe('no_runner'));
    const again = await runner.again({ runs: [] });
    expect(await again.next()).toEqual({ type: 'drained' });
    expect((await viewOf(made.pool)).runners[0]?.state).toBe('draining');
    expect(again.launches).toBe(0);
  });

  test('[POOL17] that leaves after `drained` has ended when it has no runs, and is lost when it has one', async () => {
    const made = await newPool();
    const stateAfterClose = async (runner: RunnerPeer) => {
      runner.frame({ type: 'draining' });
      expect(await runner.next()).toEqual({ type: 'drained' });
      runner.close();
      await vi.waitFor(async () => expect((await viewOf(made.pool)).slots).toBe(0));
      return (await viewOf(made.pool)).runners.find(({ id }) => id === runner.id)?.state;
    };
    const runner = await RunnerPeer.ready(made);
    await onPool(made.pool);
    const { lease, request } = await runner.launch();
    runner.launched(lease);
    await WrapperPeer.welcomed({ ingest: request.ingest });
    expect(await stateAfterClose(runner)).toBe('lost');
    expect(await stateAfterClose(await RunnerPeer.ready(made))).toBe('ended');
  });

  test('[POOL18] that is too old is told so, stays listed and gets nothing', async () => {
    const made = await newPool();
    const peer = await RunnerPeer.connect(made.pool, made.key);
    peer.hello({ version: '0.0.1' });
    expect(await peer.next()).toMatchObject({
      type: 'welcome',
      notice: { code: 'too_old', message: expect.stringContaining('Upgrade') },
    });
    const run = await onPool(made.pool);
    await vi.waitFor(async () => expect((await get(run)).waiting?.reason).toBe('no_runner'));
    expect((await viewOf(made.pool)).runners).toMatchObject([{ state: 'too_old', busy: 0 }]);
  });

  test('[POOL19] whose starts fail gets fewer of them, and is named', async () => {
    const made = await newPool();
    const [bad, good] = [await RunnerPeer.ready(made, { name: 'bad' }), await RunnerPeer.ready(made, { name: 'good', slots: 5 })];
    for (let index = 0; index < 4; index += 1) await onPool(made.pool);
    const { lease } = await bad.launch();
    bad.frame({ type: 'refused', lease, code: 'start_failed', message: 'no space left', retry: true });
    await vi.waitFor(() => expect(good.launches).toBe(4));
    expect(bad.launches).toBe(1);
    const view = (await viewOf(made.pool)).runners.find(({ name }) => name === 'bad');
    expect(view?.failing).toMatchObject({ count: 1, code: 'start_failed' });
  });
});

describe('an execution that is ended', () => {
  test.each(['waiting', 'assigned', 'confirmed'])(
    '[POOL21] while it is %s never begins, and leaves nothing taken',
    async (step) => {
      const made = await newPool();
      const concurrency = { key: 'one', limit: 1 };
      const runner = step === 'waiting' ? null : await RunnerPeer.ready(made);
      const run = await onPool(made.pool, { concurrency });
      const launch = await runner?.launch();
      if (step === 'waiting') await vi.waitFor(async () => expect((await viewOf(made.pool)).waiting).toBe(1));
      if (step === 'confirmed' && launch) runner?.launched(launch.lease);
      await runner?.settled();
      await interrupt(run);
      expect((await get(run)).status).toBe('interrupted');
      await vi.waitFor(async () => expect((await rowsOf(made.pool, 'waiting')).length).toBe(0));
      if (launch) {
        if (step === 'assigned') runner?.launched(launch.lease);
        const wrapper = await WrapperPeer.hello({ ingest: launch.request.ingest });
        expect((await wrapper.closed).code).toBe(4000);
        runner?.ended(launch.request);
      }
      await vi.waitFor(async () => expect(await rowsOf(made.pool, 'active')).toEqual([]));
      // The key is free.
      const next = await onPool(made.pool, { concurrency });
      const free = runner ?? (await RunnerPeer.ready(made));
      expect((await free.launch()).request.id).toBe(next.execution.id);
      expect(typesOf(await readLog(run.session))).not.toContain('execution_running');
    },
  );
});

describe('the pool', () => {
  test('[POOL22] sleeps with idle runners, sets no alarm, and launches after it', async () => {
    const made = await newPool();
    const runner = await RunnerPeer.ready(made);
    await runner.settled();
    // The alarm for the hello of the socket fires once and sets no further one.
    await poolAlarm(made.pool, 11_000);
    vi.useRealTimers();
    expect(await runInDurableObject(poolStubOf(made.pool), (_, { storage }) => storage.getAlarm())).toBeNull();
    await putToSleep(poolStubOf(made.pool));
    runner.send('ping');
    await vi.waitFor(() => expect(runner.received.at(-1)).toBe('pong'));
    const run = await onPool(made.pool);
    expect((await runner.launch()).request.id).toBe(run.execution.id);
  });

  test('[POOL22] that loses all sockets gives its runners time to come back, and takes nothing from them', async () => {
    const made = await newPool();
    const runner = await RunnerPeer.ready(made);
    const run = await onPool(made.pool);
    const { lease } = await runner.launch();
    runner.launched(lease);
    await runner.settled();
    await putToSleep(poolStubOf(made.pool), { webSockets: 'close' });
    // Two minutes of downtime.
    await poolAlarm(made.pool, 120_000);
    await runner.again({ runs: [`${run.session}/${run.execution.id}`] });
    expect(await rowsOf(made.pool, 'active')).toMatchObject([{ state: 'launched', lease }]);
    expect(await eventsOf(run, 'execution_recalled')).toEqual([]);
  });

  test('[POOL11] a runner that is lost after its wrapper connected: the run goes on, and counts until it has ended', async () => {
    const made = await newPool();
    const runner = await RunnerPeer.ready(made, { name: 'gone' });
    const concurrency = { key: 'one', limit: 1 };
    const run = await onPool(made.pool, { concurrency });
    const { lease, request } = await runner.launch();
    runner.launched(lease);
    const wrapper = await WrapperPeer.welcomed({ ingest: request.ingest });
    await runner.settled();
    const other = await RunnerPeer.ready(made, { name: 'other' });
    const next = await onPool(made.pool, { concurrency });
    runner.close();
    await heard(made.pool, () => Date.now());
    await poolAlarm(made.pool, 16_100);
    await poolAlarm(made.pool, 2_000);
    await vi.waitFor(async () => expect(await rowsOf(made.pool, 'active')).toMatchObject([{ state: 'running' }]));
    expect((await get(run)).status).toBe('running');
    expect((await get(next)).waiting?.reason).toBe('concurrency');
    await wrapper.deliver(1, [exit(0)]);
    expect((await other.launch()).request.id).toBe(next.execution.id);
  });

  test('[POOL20] a revoked key ends its connections at once, and their jobs go on', async () => {
    const made = await newPool();
    const second = await newKey(made.pool, { name: 'second' });
    const runner = await RunnerPeer.ready({ pool: made.pool, key: second });
    const run = await onPool(made.pool);
    const { lease, request } = await runner.launch();
    runner.launched(lease);
    await WrapperPeer.welcomed({ ingest: request.ingest });
    const { body } = await api('GET', `/v1/pools/${made.pool}/keys`);
    const { id } = (body.data as { id: string; name: string }[]).find(({ name }) => name === 'second') ?? { id: '' };
    expect((await api('DELETE', `/v1/pools/${made.pool}/keys/${id}`)).status).toBe(204);
    expect(await runner.closed).toEqual({ code: 4401, reason: 'key_revoked' });
    expect((await RunnerPeer.connectRaw(made.pool, second)).status).toBe(401);
    expect((await get(run)).status).toBe('running');
    expect((await viewOf(made.pool)).runners).toMatchObject([{ state: 'lost' }]);
    // The other key is as good as before.
    await RunnerPeer.ready(made);
    expect((await api('DELETE', `/v1/pools/${made.pool}/keys/${id}`)).body.code).toBe('key_not_found');
  });
});
