/**
 * Goal: a start on a pool runs on a runner that dialled in, and waits, says why, and ends as the
 * rules say when there is none.
 * Method: real objects and sockets; the runner and the wrapper are steered by the test.
 */

import { afterEach, describe, expect, test, vi } from 'vitest';
import { api, exit, get, newSession, output, readLog, start, typesOf, WrapperPeer } from '../support/peers.ts';
import { newPool, RunnerPeer, rowsOf, viewOf } from '../support/runners.ts';

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

test('api answers', async () => {
  expect((await api('GET', '/v1/pools/none-such')).status).toBe(404);
});
