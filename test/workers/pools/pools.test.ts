/**
 * Goal: a start on a pool runs on a runner that dialled in, and waits, says why, and ends as the
 * rules say when there is none.
 * Method: real objects and sockets; the runner and the wrapper are steered by the test.
 */

import { exports } from 'cloudflare:workers';
import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  ACME_KEY,
  api,
  exit,
  GLOBEX_KEY,
  get,
  newSession,
  ORIGIN,
  output,
  type Run,
  readLog,
  start,
  typesOf,
  WrapperPeer,
} from '../support/peers.ts';
import { newKey, newPool, poolAlarm, RunnerPeer, rowsOf, viewOf } from '../support/runners.ts';

afterEach(() => vi.useRealTimers());

const onPool = (pool: string, request: object = {}) => start(newSession(), { launcher: 'pool', pool, ...request });

describe('a start on a pool', () => {
  test('[POOL1] runs on a runner that waits, from its launch to the end of its slot', async () => {
    const made = await newPool();
    const runner = await RunnerPeer.ready(made, { name: 'gpu-3' });
    const run = await onPool(made.pool, { env: { SECRET: 'sesame' }, stdin: 'hi\n', cwd: '/srv' });
    const { lease, request } = await runner.launch();
    expect(request).toMatchObject({
      id: run.execution.id,
      session: run.session,
      tenant: 'acme',
      command: ['job'],
      env: { SECRET: 'sesame' },
      stdin: 'hi\n',
      cwd: '/srv',
      ingest: { url: run.ingest.url },
    });
    expect(await get(run)).toMatchObject({ status: 'pending', runner: { id: runner.id, name: 'gpu-3' } });
    runner.launched(lease);
    const wrapper = await WrapperPeer.welcomed({ ingest: request.ingest });
    expect(await get(run)).toMatchObject({ status: 'running', runner: { name: 'gpu-3' } });
    expect(await viewOf(made.pool)).toMatchObject({ busy: 1, slots: 1, runners: [{ runs: [{ execution: run.execution.id }] }] });
    await wrapper.deliver(1, [output('hello\n'), exit(0)]);
    expect((await get(run)).status).toBe('completed');
    runner.ended(request);
    await vi.waitFor(async () => expect((await viewOf(made.pool)).busy).toBe(0));
    expect(await rowsOf(made.pool, 'active')).toEqual([]);
    expect(typesOf(await readLog(run.session))).toEqual([
      'execution_pending',
      'execution_assigned',
      'wrapper_connected',
      'execution_running',
      'output',
      'exit',
      'execution_completed',
    ]);
  });

  test('[POOL1] waits for a runner with its labels, and says why', async () => {
    const made = await newPool();
    const run = await onPool(made.pool, { requires: { gpu: 'a100' } });
    await vi.waitFor(async () => expect((await get(run)).waiting).toEqual({ pool: made.pool, reason: 'no_runner', position: 1 }));
    await RunnerPeer.ready(made, { labels: { gpu: 'h100' } });
    expect((await get(run)).waiting?.reason).toBe('no_runner');
    const runner = await RunnerPeer.ready(made, { labels: { gpu: 'a100', zone: 'b' } });
    const { request } = await runner.launch();
    expect(request.id).toBe(run.execution.id);
    expect((await get(run)).waiting).toBeUndefined();
  });
});

describe('waiting', () => {
  test('[POOL6] an execution that nothing fits delays no other', async () => {
    const made = await newPool();
    const unfit = await onPool(made.pool, { requires: { gpu: 'none' }, priority: 10 });
    await vi.waitFor(async () => expect((await get(unfit)).waiting?.reason).toBe('no_runner'));
    const runner = await RunnerPeer.ready(made);
    const run = await onPool(made.pool);
    expect((await runner.launch()).request.id).toBe(run.execution.id);
  });

  test('[POOL4] the higher priority goes first, then the older; the position says so', async () => {
    const made = await newPool();
    const runs: Run[] = [];
    for (const priority of [0, -1, 0, 5]) {
      const run = await onPool(made.pool, { priority });
      await vi.waitFor(async () => expect((await get(run)).waiting?.position).toBeGreaterThan(0));
      runs.push(run);
    }
    const positions = await Promise.all(runs.map(async (run) => (await get(run)).waiting?.position));
    expect(positions).toEqual([2, 4, 3, 1]);
    const runner = await RunnerPeer.ready(made, { slots: 4 });
    const order: string[] = [];
    for (let index = 0; index < 4; index += 1) order.push((await runner.launch()).request.id);
    expect(order).toEqual([3, 0, 2, 1].map((index) => runs[index]?.execution.id));
  });

  test('[POOL7] a concurrency limit counts over all sessions of the pool, and is free after the end', async () => {
    const made = await newPool();
    const concurrency = { key: 'deploy', limit: 2 };
    const runner = await RunnerPeer.ready(made, { slots: 5 });
    const runs = [
      await onPool(made.pool, { concurrency }),
      await onPool(made.pool, { concurrency }),
      await onPool(made.pool, { concurrency }),
    ];
    const first = await runner.launch();
    await runner.launch();
    const third = runs.find(({ execution }) => !runner.received.some((frame) => JSON.stringify(frame).includes(execution.id)));
    if (!third) throw new Error('all three were launched');
    await vi.waitFor(async () => expect((await get(third)).waiting?.reason).toBe('concurrency'));
    runner.launched(first.lease);
    const wrapper = await WrapperPeer.welcomed({ ingest: first.request.ingest });
    await wrapper.deliver(1, [exit(0)]);
    runner.ended(first.request);
    expect((await runner.launch()).request.id).toBe(third.execution.id);
  });

  test('[POOL8] the reason follows the facts, in the view at once and as an event when it has held', async () => {
    const made = await newPool();
    const run = await onPool(made.pool);
    await vi.waitFor(async () => expect((await get(run)).waiting?.reason).toBe('no_runner'));
    const busy = await RunnerPeer.ready(made, { slots: 1, runs: ['other/run'] });
    expect((await get(run)).waiting?.reason).toBe('busy');
    const reasons = async () =>
      (await readLog(run.session)).filter(({ type }) => type === 'execution_waiting').map(({ data }) => data.reason);
    await vi.waitFor(async () => expect(await reasons()).toEqual(['no_runner', 'busy']), { timeout: 20_000 });
    busy.close();
    expect(await vi.waitFor(async () => (await get(run)).waiting?.reason)).toBeDefined();
    await vi.waitFor(async () => expect(await reasons()).toEqual(['no_runner', 'busy', 'no_runner']), { timeout: 20_000 });
  });

  test('[POOL9] is bounded by waitMs, and the failure says why', async () => {
    const made = await newPool();
    const run = await onPool(made.pool, { waitMs: 1000, requires: { gpu: 'a100' } });
    await vi.waitFor(
      async () =>
        expect(await get(run)).toMatchObject({
          status: 'failed',
          code: 'no_runner',
          error: expect.stringContaining('no connected runner has its labels'),
        }),
      { timeout: 20_000 },
    );
    await vi.waitFor(async () => expect(await rowsOf(made.pool, 'waiting')).toEqual([]));
  });

  test('[POOL10] the pool stores no env, no stdin and no command', async () => {
    const made = await newPool();
    const waits = await onPool(made.pool, {
      command: ['secret-command'],
      env: { TOKEN: 'sesame' },
      stdin: 'open',
      requires: { a: 'b' },
    });
    await vi.waitFor(async () => expect((await get(waits)).waiting?.reason).toBe('no_runner'));
    const runner = await RunnerPeer.ready(made);
    await onPool(made.pool, { command: ['secret-command'], env: { TOKEN: 'sesame' }, stdin: 'open' });
    await runner.launch();
    const rows = [await rowsOf(made.pool, 'waiting'), await rowsOf(made.pool, 'active'), await rowsOf(made.pool, 'runners')];
    expect(rows.map((table) => table.length)).toEqual([1, 1, 1]);
    expect(JSON.stringify(rows)).not.toMatch(/sesame|open|secret-command/);
  });

  test('[POOL2] an execution goes only to a runner whose wrappers have the features that it needs', async () => {
    const made = await newPool();
    const plain = await RunnerPeer.ready(made);
    const run = await onPool(made.pool, { merge: true });
    await vi.waitFor(async () => expect((await get(run)).waiting?.reason).toBe('no_runner'));
    const able = await RunnerPeer.ready(made, { features: ['merge'] });
    expect((await able.launch()).request).toMatchObject({ id: run.execution.id, merge: true });
    expect(plain.launches).toBe(0);
  });
});

describe('the API', () => {
  test('[POOL1] a pool that was never made is 404, for a start and for a read, and nothing is made by that', async () => {
    const session = newSession();
    const started = await api('POST', `/v1/sessions/${session}/executions`, {
      body: { command: ['x'], launcher: 'pool', pool: 'never' },
    });
    expect([started.status, started.body.code]).toEqual([404, 'pool_not_found']);
    expect((await api('GET', `/v1/sessions/${session}`)).status).toBe(404);
    for (const path of ['/v1/pools/never', '/v1/pools/never/keys'])
      expect((await api('GET', path)).body.code).toBe('pool_not_found');
    expect((await api('DELETE', '/v1/pools/never/keys/rk_1')).body.code).toBe('pool_not_found');
  });

  test.each(['pool', 'requires', 'priority', 'concurrency', 'waitMs'])(
    '[POOL1] %s is refused for another launcher',
    async (field) => {
      const value = { pool: 'p', requires: { a: 'b' }, priority: 1, concurrency: { key: 'k', limit: 1 }, waitMs: 5000 }[field];
      const { status, body } = await api('POST', `/v1/sessions/${newSession()}/executions`, {
        body: { command: ['x'], launcher: 'none', [field]: value },
      });
      expect([status, body.field]).toEqual([400, field]);
    },
  );

  test('[POOL20] a key is shown once, opens its own pool only, and expires', async () => {
    const made = await newPool();
    const other = await newPool();
    const { body } = await api('GET', `/v1/pools/${made.pool}/keys`);
    expect(JSON.stringify(body)).not.toContain(made.key.split('.').at(-1));
    expect((await RunnerPeer.connectRaw(other.pool, made.key)).status).toBe(401);
    expect((await RunnerPeer.connectRaw('never-made', made.key)).status).toBe(401);
    const forged = made.key.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'));
    expect((await RunnerPeer.connectRaw(made.pool, forged)).status).toBe(401);
    // It is no key of the API.
    expect((await api('GET', '/v1/pools', { key: made.key })).status).toBe(401);
    const past = await api('POST', `/v1/pools/${made.pool}/keys`, { body: { name: 'old', expiresAt: 1 } });
    expect([past.status, past.body.field]).toEqual([400, 'expiresAt']);
    const short = await newKey(made.pool, { name: 'short', expiresAt: Date.now() + 60_000 });
    const runner = await RunnerPeer.ready({ pool: made.pool, key: short });
    await poolAlarm(made.pool, 61_000);
    expect(await runner.closed).toEqual({ code: 4401, reason: 'key_expired' });
  });

  test('a runner is refused over HTTP: no upgrade, no subprotocol, no key', async () => {
    const made = await newPool();
    expect((await api('GET', `/v1/pools/${made.pool}/connect`, { key: made.key })).body.code).toBe('upgrade_required');
    expect((await RunnerPeer.connectRaw(made.pool, made.key, { 'sec-websocket-protocol': 'other' })).status).toBe(400);
    expect((await RunnerPeer.connectRaw(made.pool, null)).status).toBe(401);
  });

  test('[POOL23] tenants share no pool, also not one of the same name', async () => {
    const made = await newPool();
    await RunnerPeer.ready(made);
    expect((await api('GET', `/v1/pools/${made.pool}`, { key: GLOBEX_KEY })).body.code).toBe('pool_not_found');
    await api('POST', `/v1/pools/${made.pool}/keys`, { key: GLOBEX_KEY, body: { name: 'theirs' } });
    const theirs = await api('GET', `/v1/pools/${made.pool}`, { key: GLOBEX_KEY });
    expect(theirs.body.pool).toMatchObject({ runners: [], slots: 0 });
    expect((await viewOf(made.pool)).runners).toHaveLength(1);
  });

  test('pools are listed with their numbers, and as metrics', async () => {
    const made = await newPool();
    await RunnerPeer.ready(made, { slots: 3, runs: ['a/b'] });
    const waits = await onPool(made.pool, { requires: { gpu: 'none' } });
    await vi.waitFor(async () => expect((await get(waits)).waiting?.reason).toBe('no_runner'));
    const { body } = await api('GET', '/v1/pools');
    const mine = (body.data as { id: string }[]).find(({ id }) => id === made.pool);
    expect(mine).toMatchObject({ runners: 1, slots: 3, busy: 1, waiting: 1, oldestWaitingAt: expect.any(Number) });
    const response = await exports.default.fetch(`${ORIGIN}/v1/metrics`, { headers: { authorization: `Bearer ${ACME_KEY}` } });
    const text = await response.text();
    expect(response.headers.get('content-type')).toContain('text/plain; version=0.0.4');
    expect(text).toContain(`holdfast_pool_slots{pool="${made.pool}"} 3`);
    expect(text).toContain(`holdfast_pool_slots_wanted{pool="${made.pool}"} 2`);
    expect(await viewOf(made.pool)).toMatchObject({ queue: [{ execution: waits.execution.id, reason: 'no_runner' }] });
  });

  test('[LIF28] a repeated start finds its execution', async () => {
    const made = await newPool();
    const session = newSession();
    const body = { id: 'e1', command: ['x'], launcher: 'pool', pool: made.pool, requires: { b: '2', a: '1' } };
    expect((await api('POST', `/v1/sessions/${session}/executions`, { body })).status).toBe(201);
    const again = { ...body, requires: { a: '1', b: '2' }, priority: 0, waitMs: 86_400_000 };
    expect((await api('POST', `/v1/sessions/${session}/executions`, { body: again })).status).toBe(200);
    const other = { ...body, priority: 1 };
    expect((await api('POST', `/v1/sessions/${session}/executions`, { body: other })).status).toBe(409);
  });
});

describe('draining a runner by the API', () => {
  const drain = (pool: string, runner: string) => api('POST', `/v1/pools/${pool}/runners/${runner}/drain`, { body: {} });

  test('it is told, takes nothing new, and takes work again as a new process', async () => {
    const made = await newPool();
    const runner = await RunnerPeer.ready(made);
    expect((await drain(made.pool, runner.id)).status).toBe(202);
    expect(await runner.next()).toEqual({ type: 'drain' });
    expect((await viewOf(made.pool)).runners[0]?.state).toBe('draining');
    await onPool(made.pool);
    await vi.waitFor(async () => expect(await viewOf(made.pool)).toMatchObject({ busy: 0, waiting: 1 }));
    await RunnerPeer.ready(made, { runnerId: runner.id, bootId: 'b_next' });
    await vi.waitFor(async () => expect(await viewOf(made.pool)).toMatchObject({ busy: 1, waiting: 0 }));
  });

  test('a runner or a pool that is not there is answered 404', async () => {
    const { pool } = await newPool();
    expect((await drain(pool, 'r_none')).body.code).toBe('runner_not_found');
    expect((await drain('no-such-pool', 'r_1')).body.code).toBe('pool_not_found');
  });
});

describe('removing a runner by the API', () => {
  const remove = (pool: string, runner: string) => api('DELETE', `/v1/pools/${pool}/runners/${runner}`);

  test('[POOL24] one that is connected is refused and told to be drained; one that has left is removed', async () => {
    const made = await newPool();
    const runner = await RunnerPeer.ready(made);
    const refused = await remove(made.pool, runner.id);
    expect([refused.status, refused.body.code]).toEqual([409, 'runner_connected']);
    expect(refused.body.detail).toContain(`POST /v1/pools/${made.pool}/runners/${runner.id}/drain`);
    runner.close();
    await vi.waitFor(async () => expect((await viewOf(made.pool)).runners).toMatchObject([{ state: 'lost' }]));
    expect((await remove(made.pool, runner.id)).status).toBe(204);
    expect((await viewOf(made.pool)).runners).toEqual([]);
    expect((await remove(made.pool, runner.id)).body.code).toBe('runner_not_found');
    expect(await rowsOf(made.pool, 'runners')).toEqual([]);
  });

  test('[POOL24] what runs on it goes on and is its own when it comes back; what was not confirmed goes elsewhere', async () => {
    const made = await newPool();
    const runner = await RunnerPeer.ready(made, { slots: 2 });
    const run = await onPool(made.pool);
    const first = await runner.launch();
    runner.launched(first.lease);
    const wrapper = await WrapperPeer.welcomed({ ingest: first.request.ingest });
    const unseen = await onPool(made.pool);
    runner.launched((await runner.launch()).lease);
    await runner.settled();
    runner.close();
    await vi.waitFor(async () => expect((await viewOf(made.pool)).runners).toMatchObject([{ state: 'lost' }]));
    expect((await remove(made.pool, runner.id)).status).toBe(204);
    const other = await RunnerPeer.ready(made);
    expect((await other.launch()).request.id).toBe(unseen.execution.id);
    expect((await get(run)).status).toBe('running');
    const back = await runner.again({ runs: [`${run.session}/${run.execution.id}`] });
    const { runners } = await viewOf(made.pool);
    expect(runners.find(({ id }) => id === runner.id)).toMatchObject({ state: 'connected', busy: 1 });
    await wrapper.deliver(1, [exit(0)]);
    back.ended(first.request);
    await vi.waitFor(async () => {
      const now = (await viewOf(made.pool)).runners;
      expect(now.find(({ id }) => id === runner.id)).toMatchObject({ busy: 0 });
    });
    expect((await get(run)).status).toBe('completed');
  });

  test('[POOL24] an unknown runner, an invalid id, an unknown pool and the pool of another tenant are refused', async () => {
    const made = await newPool();
    const runner = await RunnerPeer.ready(made);
    runner.close();
    expect((await remove(made.pool, 'r_none')).body.code).toBe('runner_not_found');
    expect((await remove(made.pool, 'r%2Fone')).body).toMatchObject({ code: 'bad_request', field: 'runner' });
    expect((await remove('no-such-pool', runner.id)).body.code).toBe('pool_not_found');
    expect((await viewOf(made.pool)).runners).toHaveLength(1);
  });
});
