/** Pools with runners in every state, with runs and with executions that wait. */

import type { StartRequest } from '../../../protocol/index.ts';
import { until } from '../../support/real-stack.ts';
import { RunnerPeer } from '../../support/runner-peer.ts';
import type { Stage } from './stage.ts';

export interface PoolScene {
  /** The page of an execution that waits for labels that no runner has, and of one that runs. */
  waiting: string;
  running: string;
  close(): void;
}

export async function playPools(stage: Stage): Promise<PoolScene> {
  const { client, proxy } = stage.real;
  const keys = new Map<string, string>();
  for (const pool of ['default', 'gpu', 'nightly']) keys.set(pool, (await client.createRunnerKey(pool, { name: 'rack 3' })).key);
  const peers: RunnerPeer[] = [];
  const join = async (pool: string, name: string, options: object): Promise<RunnerPeer> => {
    const peer = await RunnerPeer.connect({ url: proxy.url, pool, key: keys.get(pool) as string, name, ...options });
    peers.push(peer);
    return peer;
  };
  const linux = { os: 'linux', arch: 'x64' };
  await join('default', 'build-1', { slots: 4, labels: { ...linux, host: 'build-1' } });
  await join('default', 'build-2', { slots: 8, labels: { ...linux, host: 'build-2' } });
  await join('default', 'mac-mini', { slots: 2, labels: { os: 'macos', arch: 'arm64', host: 'mac-mini' }, draining: true });
  await join('gpu', 'gpu-1', { labels: { ...linux, gpu: 'a100', zone: 'fra-1' } });
  await join('gpu', 'gpu-2', { labels: { ...linux, gpu: 'a100', zone: 'fra-2' }, version: '0.0.9' });
  const lost = await join('gpu', 'gpu-3', { labels: { ...linux, gpu: 'h100', zone: 'fra-2' } });

  const start = async (session: string, command: string[], request: Partial<StartRequest>): Promise<string> => {
    const { execution } = await client.start(session, { command, launcher: 'pool', ...request });
    return execution.id;
  };
  const pathOf = (session: string, id: string): string => `/sessions/${session}/executions/${id}`;
  // The stack has a runner of its own in the pool `default`.
  const running = await start('shop-release', ['npm', 'run', 'ci'], { labels: { branch: 'main' }, requires: { host: 'build-1' } });
  const more = await start('docs-site', ['make', 'site'], { requires: { host: 'build-2' } });
  const third = await start('invoices', ['./reconcile', '--all'], { requires: { host: 'build-2' } });
  const train = await start('train-tax-model', ['python', 'train.py'], { pool: 'gpu', requires: { gpu: 'a100' } });
  await until(async () => {
    const runs = [
      ['shop-release', running],
      ['docs-site', more],
      ['invoices', third],
      ['train-tax-model', train],
    ] as const;
    const views = await Promise.all(runs.map(([session, id]) => client.get(session, id)));
    return views.every(({ status }) => status === 'running');
  }, 'the runs of the pools run');
  lost.close();
  await until(
    async () => (await client.pool('gpu')).runners.some(({ name, state }) => name === 'gpu-3' && state === 'lost'),
    'the runner is lost',
  );
  await start('train-shipping', ['python', 'train.py'], { pool: 'gpu', requires: { gpu: 'a100' }, priority: 2 });
  const waiting = await start('train-forecast', ['python', 'train.py'], { pool: 'gpu', requires: { gpu: 'h200' } });
  await until(async () => (await client.pool('gpu')).queue.length === 2, 'two executions wait');
  return {
    waiting: pathOf('train-forecast', waiting),
    running: pathOf('shop-release', running),
    close: () => {
      for (const peer of peers) peer.close();
    },
  };
}
