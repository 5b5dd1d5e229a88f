/**
 * Goal: the outcome of a run whose wrapper is killed or stopped with a backlog, and of the next run
 * when its runner is down.
 * Method: the real stack. test/e2e/runner-faults.test.ts covers a plain SIGKILL, and
 * chaos.long.test.ts random moments.
 */

import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { LoggedEvent } from '../../protocol/index.ts';
import { killWrapper } from '../../tools/chaos/wrapper-kill.ts';
import { processesWith, RealStack, until } from '../support/real-stack.ts';

const JOB = join(import.meta.dirname, '..', '..', 'tools', 'chaos', 'job.mjs');

let real: RealStack;
beforeAll(async () => {
  real = await RealStack.start();
});
afterAll(() => real?.close());

const numbers = (events: readonly LoggedEvent[]): number[] =>
  events.filter(({ type }) => type === 'agent').map(({ data }) => Number(data.n));
const upTo = (last: number): number[] => Array.from({ length: last }, (_, i) => i + 1);

/** Lines that the job has written to its truth file. */
const written = (truth: string): number => (existsSync(truth) ? readFileSync(truth, 'utf8').split('\n').length - 1 : 0);

async function startCut(session: string): Promise<string> {
  const truth = join(real.folder, `${session}.truth`);
  await real.client.start(session, {
    id: 'e1',
    command: [process.execPath, JOB, truth, '10000', '30000'],
    format: 'jsonl',
    policy: { heartbeatMs: 500, silenceTimeoutMs: 5000, disconnectGraceMs: 120_000 },
  });
  for await (const { type } of real.follow(session, 'e1')) if (type === 'agent') break;
  real.proxy.refuse();
  expect(real.proxy.cut()).toBe(1);
  return truth;
}

it('[SPL12] a wrapper that is killed while cut off: the next one delivers its spool and goes on with the job', async () => {
  const truth = await startCut('backlog');
  const had = written(truth);
  await until(() => written(truth) > had + 500, 'a backlog grows');
  const killed = await killWrapper(truth);
  expect(killed?.spooled.length).toBeGreaterThan(400);
  const last = killed?.spooled.at(-1) ?? 0;
  await until(() => written(truth) > last + 1000, 'the job goes on');
  real.proxy.accept();
  await real.client.interrupt('backlog', 'e1');

  expect(await real.client.wait('backlog', 'e1')).toMatchObject({ status: 'interrupted' });
  const events = await real.read('backlog', 'e1');
  const gap = events.findIndex(({ type, data }) => type === 'gap' && data.reason === 'wrapper_restarted');
  expect(gap).toBeGreaterThan(0);
  expect(numbers(events.slice(0, gap))).toEqual(upTo(last));
  const after = numbers(events.slice(gap));
  expect(after[0]).toBeGreaterThan(last);
  expect(after).toEqual(after.map((_, index) => (after[0] ?? 0) + index));
  expect(after.at(-1)).toBe(written(truth));
  await until(() => processesWith(truth).length === 0, 'the job and its holder are gone');
});

it('[SPL17] a wrapper that gets SIGTERM while cut off, as from its runner, forwards the signal, and drains its backlog when the network is back', async () => {
  const truth = await startCut('drain');
  const had = written(truth);
  await until(() => written(truth) > had + 500, 'a backlog grows');
  process.kill(real.run('drain', 'e1')?.pid ?? 0, 'SIGTERM');
  // The job ends; its wrapper stays for the report.
  const isWrapper = (command: string) => command.includes('--spool');
  const isHolder = (command: string) => command.includes('/holder.sh hold ');
  await until(() => processesWith(truth).every(({ command }) => isWrapper(command) || isHolder(command)), 'the job is gone');
  const total = written(truth);
  expect(processesWith(truth).filter(({ command }) => isWrapper(command))).toHaveLength(1);
  real.proxy.accept();

  expect(await real.client.wait('drain', 'e1')).toMatchObject({ status: 'interrupted' });
  expect(numbers(await real.read('drain', 'e1'))).toEqual(upTo(total));
  await until(() => real.run('drain', 'e1')?.end === 'finished', 'the runner has seen its end');
  expect(processesWith(truth)).toEqual([]);
});

it('[LIF3] the next execution is promoted while the runner is down, and runs once when it is back', async () => {
  const marks = join(real.folder, 'promoted');
  appendFileSync(marks, '');
  const release = join(real.folder, 'away-release');
  const { execution: first } = await real.client.start('away', {
    command: ['sh', '-c', `until [ -e '${release}' ]; do sleep 0.05; done; echo done`],
  });
  for await (const { type } of real.follow('away', first.id)) if (type === 'started') break;
  const { execution: next } = await real.client.start('away', {
    command: ['sh', '-c', `echo run >> '${marks}'; echo next`],
    onBusy: 'queue',
  });
  await real.stack.killRunner();
  appendFileSync(release, '');
  expect(await real.client.wait('away', first.id)).toMatchObject({ status: 'completed' });
  expect(await real.client.get('away', next.id)).toMatchObject({ status: 'pending' });
  await real.stack.startRunner();
  expect(await real.client.wait('away', next.id)).toMatchObject({ status: 'completed', exitCode: 0 });
  expect(readFileSync(marks, 'utf8')).toBe('run\n');
});
