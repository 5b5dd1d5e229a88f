/**
 * Goal: a launch costs a bounded number of rows, whatever waits.
 * Method: the runtime's own numbers of each statement of the pool's object, and the alarms that are
 * set, over whole lives of executions.
 */

import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { afterEach, expect, test, vi } from 'vitest';
import { billedRows, settledCounts, watch } from '../../../bench/counting/counters.ts';
import type { LaunchRequest } from '../../../protocol/launch.ts';
import { api, exit, get, newSession, start, WrapperPeer } from '../support/peers.ts';
import { heard, newPool, poolAlarm, poolStubOf, RunnerPeer, rowsOf } from '../support/runners.ts';

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const WRITTEN_MAX = 8;
/** It waited, has a limit, and ran when the pool asked whether it does. */
const WRITTEN_MAX_LIMITED = 10;
const READ_MAX = 50;

const onPool = (pool: string, request: object = {}) => start(newSession(), { launcher: 'pool', pool, ...request });

interface Cost {
  written: number;
  read: number;
}

/** Without an alarm from before: each launch pays for its own. */
async function counting(pool: string): Promise<() => Cost> {
  await runDurableObjectAlarm(poolStubOf(pool));
  await runInDurableObject(poolStubOf(pool), (_, { storage }) => watch(storage, pool));
  const before = settledCounts(pool);
  return () => {
    const now = settledCounts(pool);
    return { written: billedRows(now) - billedRows(before), read: now.rowsRead - before.rowsRead };
  };
}

/** From the start to the end of the slot. `long`: it runs when the pool asks whether it does. */
async function life(runner: RunnerPeer, pool: string, { long = false, request = {} } = {}): Promise<void> {
  const run = await onPool(pool, request);
  await take(runner, pool, { long });
  expect((await get(run)).status).toBe('completed');
}

/** From the launch on. */
async function take(runner: RunnerPeer, pool: string, { long }: { long: boolean }): Promise<void> {
  const { lease, request } = await runner.launch();
  runner.launched(lease);
  await isStored(pool, request, 'launched');
  await finish(runner, pool, request, long);
}

async function isStored(pool: string, { session: of }: LaunchRequest, state: string): Promise<void> {
  const own = ({ session }: Record<string, unknown>) => session === of;
  await vi.waitFor(async () => expect((await rowsOf(pool, 'active')).find(own)?.state).toBe(state));
}

async function finish(runner: RunnerPeer, pool: string, request: LaunchRequest, long = false): Promise<void> {
  const wrapper = await WrapperPeer.welcomed({ ingest: request.ingest });
  if (long) {
    await poolAlarm(pool, 15_100);
    await isStored(pool, request, 'running');
    vi.useRealTimers();
  }
  await wrapper.deliver(1, [exit(0)]);
  runner.ended(request);
  const gone = ({ session }: Record<string, unknown>) => session !== request.session;
  await vi.waitFor(async () => expect((await rowsOf(pool, 'active')).every(gone)).toBe(true));
}

/** What a launch costs that waits first, because the only slot is taken. */
async function costOfWaiting(runner: RunnerPeer, pool: string, { long = false, request = {} } = {}): Promise<Cost> {
  await onPool(pool, request);
  const { lease, request: first } = await runner.launch();
  runner.launched(lease);
  await isStored(pool, first, 'launched');
  const atEnd = await counting(pool);
  await finish(runner, pool, first);
  const end = atEnd();

  await onPool(pool, request);
  const taken = await runner.launch();
  runner.launched(taken.lease);
  await isStored(pool, taken.request, 'launched');
  const count = await counting(pool);
  const waits = await onPool(pool, request);
  await vi.waitFor(async () => expect((await get(waits)).waiting?.reason).toBe('busy'));
  await finish(runner, pool, taken.request);
  await take(runner, pool, { long });
  expect((await get(waits)).status).toBe('completed');
  const { written, read } = count();
  return { written: written - end.written, read: read - end.read };
}

async function fill(pool: string, count: number, requires: Record<string, string>, priority: number): Promise<void> {
  await runInDurableObject(poolStubOf(pool), (instance) => {
    for (let index = 0; index < count; index += 1) {
      instance.offer({
        session: `of-${JSON.stringify(requires)}-${index}`,
        execution: 'e1',
        requires,
        needs: [],
        priority,
        concurrency: null,
        waitUntil: Date.now() + 3_600_000,
      });
    }
  });
}

test('[POOL22] a look at a pool in which 10,000 wait reads at most 150 rows of them, after the first one', {
  timeout: 120_000,
}, async () => {
  const { pool } = await newPool();
  // With several lanes and priorities, of which the last come first.
  for (const priority of [0, 3, 5]) await fill(pool, 3_334, { gpu: `none-${priority}` }, priority);
  await runInDurableObject(poolStubOf(pool), (_, { storage }) => watch(storage, pool));
  const readsOf = async (path: string): Promise<{ rows: number; body: Record<string, unknown> }> => {
    const before = settledCounts(pool).rowsRead;
    const { body } = await api('GET', path);
    return { rows: settledCounts(pool).rowsRead - before, body };
  };
  const first = await readsOf(`/v1/pools/${pool}`);
  expect(first.rows).toBeGreaterThan(10_000);
  const again = await readsOf(`/v1/pools/${pool}`);
  expect(again.body).toEqual(first.body);
  const { waiting, queue } = again.body.pool as { waiting: number; queue: { priority: number }[] };
  expect([waiting, queue.length]).toEqual([10_002, 50]);
  expect(queue.every(({ priority }) => priority === 5)).toBe(true);
  expect(again.rows).toBeGreaterThan(0);
  // Three for each that is listed: itself, the next of its lane, and where the index has that.
  expect(again.rows).toBeLessThanOrEqual(150);
  const listed = await readsOf('/v1/pools');
  expect((listed.body.data as { id: string; waiting: number }[]).find(({ id }) => id === pool)?.waiting).toBe(10_002);
  expect(listed.rows).toBe(0);
});

test('[POOL6] [POOL22] a launch is at most 8 rows written and 50 read in the pool: at once or after waiting, short or long, with nothing ahead and with 10,000', {
  timeout: 240_000,
}, async () => {
  const made = await newPool();
  const { pool } = made;
  const runner = await RunnerPeer.ready(made);
  await heard(pool, () => Date.now());
  // The first reserves lease numbers.
  await life(runner, pool);

  const costs: Record<string, Cost> = {};
  const measure = async (what: string): Promise<void> => {
    for (const long of [false, true]) {
      const count = await counting(pool);
      await life(runner, pool, { long });
      costs[`${what}, at once${long ? ', long' : ''}`] = count();
      costs[`${what}, after waiting${long ? ', long' : ''}`] = await costOfWaiting(runner, pool, { long });
    }
  };
  await measure('nothing else waits');
  // None of them fits, and all are ahead.
  await fill(pool, 10_000, { gpu: 'none' }, 10);
  await measure('10,000 wait');
  const limited = await costOfWaiting(runner, pool, { long: true, request: { concurrency: { key: 'deploy', limit: 5 } } });
  process.stdout?.write?.(
    `cost of a launch in its pool:\n${Object.entries(costs)
      .map(([what, { written, read }]) => `  ${what}: ${written} rows written, ${read} read\n`)
      .join('')}`,
  );
  for (const [what, { written, read }] of Object.entries(costs)) {
    // A counter that does not count would pass any limit.
    expect(written, what).toBeGreaterThan(2);
    expect(written, what).toBeLessThanOrEqual(WRITTEN_MAX);
    expect(read, what).toBeLessThanOrEqual(READ_MAX);
  }
  expect(limited.written).toBeLessThanOrEqual(WRITTEN_MAX_LIMITED);
  expect(limited.read).toBeLessThanOrEqual(READ_MAX);
});
