/**
 * Goal: a launch costs a bounded number of rows, whatever waits.
 * Method: the runtime's own numbers of each statement of the pool's object, and the alarms that are
 * set, over whole lives of executions.
 */

import { runInDurableObject } from 'cloudflare:test';
import { afterEach, expect, test, vi } from 'vitest';
import { billedRows, settledCounts, watch } from '../../../bench/counting/counters.ts';
import type { LaunchRequest } from '../../../protocol/launch.ts';
import { exit, get, newSession, start, WrapperPeer } from '../support/peers.ts';
import { heard, newPool, poolStubOf, RunnerPeer, rowsOf } from '../support/runners.ts';

afterEach(() => void vi.restoreAllMocks());

const onPool = (pool: string, request: object = {}) => start(newSession(), { launcher: 'pool', pool, ...request });

async function counting(pool: string): Promise<() => { written: number; read: number }> {
  await runInDurableObject(poolStubOf(pool), (_, { storage }) => watch(storage, pool));
  const before = settledCounts(pool);
  return () => {
    const now = settledCounts(pool);
    return { written: billedRows(now) - billedRows(before), read: now.rowsRead - before.rowsRead };
  };
}

/** From the launch to the end of the slot. */
async function life(runner: RunnerPeer, pool: string): Promise<void> {
  const { lease, request } = await runner.launch();
  runner.launched(lease);
  await finish(runner, pool, request);
}

async function finish(runner: RunnerPeer, pool: string, request: LaunchRequest): Promise<void> {
  const wrapper = await WrapperPeer.welcomed({ ingest: request.ingest });
  await wrapper.deliver(1, [exit(0)]);
  runner.ended(request);
  const gone = ({ session }: Record<string, unknown>) => session !== request.session;
  await vi.waitFor(async () => expect((await rowsOf(pool, 'active')).every(gone)).toBe(true));
}

test('[POOL6] a launch is at most 8 rows written and 50 read in the pool, with nothing ahead and with 10,000 that do not fit', {
  timeout: 120_000,
}, async () => {
  const made = await newPool();
  const runner = await RunnerPeer.ready(made);
  await heard(made.pool, () => Date.now());
  // The first reserves lease numbers.
  await onPool(made.pool);
  await life(runner, made.pool);

  const empty = await counting(made.pool);
  await onPool(made.pool);
  await life(runner, made.pool);
  const alone = empty();

  await runInDurableObject(poolStubOf(made.pool), (pool) => {
    for (let index = 0; index < 10_000; index += 1) {
      pool.offer({
        session: `ahead-${index}`,
        execution: 'e1',
        requires: { gpu: 'none' },
        needs: [],
        priority: 10,
        concurrency: null,
        waitUntil: Date.now() + 3_600_000,
      });
    }
  });
  const crowded = await counting(made.pool);
  const run = await onPool(made.pool);
  await life(runner, made.pool);
  const behind = crowded();

  // It waits first, because the only slot is taken.
  const waited = await counting(made.pool);
  await onPool(made.pool);
  const taken = await runner.launch();
  runner.launched(taken.lease);
  const waits = await onPool(made.pool);
  await vi.waitFor(async () => expect((await get(waits)).waiting?.reason).toBe('busy'));
  const before = await counting(made.pool);
  await finish(runner, made.pool, taken.request);
  await life(runner, made.pool);
  const [both, second] = [waited(), before()];
  process.stdout?.write?.(
    `cost: a launch is ${alone.written} rows written and ${alone.read} read; behind 10,000, ${behind.written} and ${behind.read}; two, of which one waits, ${both.written} and ${both.read} (${second.read} read after it waited)\n`,
  );
  expect((await get(run)).status).toBe('completed');
  for (const cost of [alone, behind]) {
    // A counter that does not count would pass any limit.
    expect(cost.written).toBeGreaterThan(2);
    expect(cost.written).toBeLessThanOrEqual(8);
    expect(cost.read).toBeLessThanOrEqual(50);
  }
  expect(both.written).toBeLessThanOrEqual(16);
});
