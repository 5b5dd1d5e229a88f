/**
 * Goal: what becomes of a job when its wrapper or its runner dies. Method: the real stack, and
 * SIGKILL.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { identityOf, isAlive, listProcesses, type ProcessIdentity } from '../../wrapper/processes.ts';
import { RealStack, until } from '../support/real-stack.ts';

let real: RealStack;
beforeAll(async () => {
  real = await RealStack.start();
});
afterAll(() => real?.close());

/** As the pool sees it. */
async function runningOnRunner(): Promise<number> {
  const { runners } = await real.client.pool('default');
  return runners.reduce((sum, { busy }) => sum + busy, 0);
}

/** Starts it, waits until its first line was seen, and says which process its wrapper is. */
async function startJob(session: string, script: string): Promise<{ id: string; wrapper: ProcessIdentity; job: ProcessIdentity }> {
  const { execution } = await real.client.start(session, { command: ['sh', '-c', script] });
  let pid = 0;
  for await (const { type, data } of real.follow(session, execution.id)) {
    if (type === 'started') pid = Number(data.pid);
    if (type === 'output') break;
  }
  return {
    id: execution.id,
    wrapper: identityOf(real.run(session, execution.id)?.pid ?? 0) as ProcessIdentity,
    job: identityOf(pid) as ProcessIdentity,
  };
}

it('a wrapper that is killed is restarted and adopts the job, which goes on to its own end', async () => {
  const release = join(real.folder, 'crash-release');
  const script = `echo before; until [ -e '${release}' ]; do sleep 0.05; done; echo after; exit 7`;
  const { id, wrapper, job } = await startJob('crash', script);
  process.kill(wrapper.pid, 'SIGKILL');
  const restarted = () => {
    const run = real.run('crash', id);
    return run?.restarts === 1 && run.pid !== null && run.pid !== wrapper.pid;
  };
  await until(restarted, 'the restart');
  expect(isAlive(job)).toBe(true);
  writeFileSync(release, '');
  expect(await real.client.wait('crash', id)).toMatchObject({ status: 'failed', code: 'exit_nonzero', exitCode: 7 });
  const events = await real.read('crash', id);
  expect(events.filter(({ type }) => type === 'started')).toHaveLength(1);
  expect(events.filter(({ type }) => type === 'output').map(({ data }) => data.text)).toEqual(['before\n', 'after\n']);
  expect(events.filter(({ type }) => type === 'gap').map(({ data }) => data.reason)).toEqual(['wrapper_restarted']);
  await until(() => real.run('crash', id)?.end === 'finished', 'the run is finished');
});

it('a wrapper that is killed with the holder of its job reports the crash, and the orphaned job is ended', async () => {
  const { id, wrapper, job } = await startJob('held', 'echo before; exec sleep 600');
  const holder = listProcesses().find(({ pid }) => pid === job.pid)?.parent ?? 0;
  process.kill(wrapper.pid, 'SIGKILL');
  process.kill(holder, 'SIGKILL');
  expect(await real.client.wait('held', id)).toMatchObject({ status: 'failed', code: 'wrapper_error', reason: 'wrapper_crashed' });
  const events = await real.read('held', id);
  expect(events.find(({ type }) => type === 'error')).toMatchObject({ data: { code: 'wrapper_crashed', fatal: true } });
  expect(events.at(-1)?.type).toBe('execution_failed');
  await until(() => real.run('held', id)?.end === 'finished', 'the run is finished');
  expect(isAlive(job)).toBe(false);
});

it('a runner that is killed takes no job with it; the next one adopts the job and sees its end', async () => {
  const release = join(real.folder, 'adopt-release');
  const { id, wrapper } = await startJob(
    'adopt',
    `for i in 1 2 3 4; do echo line $i; sleep 0.2; done; until [ -e '${release}' ]; do sleep 0.05; done; for i in 5 6 7 8; do echo line $i; done`,
  );
  await real.stack.killRunner();
  expect(isAlive(wrapper)).toBe(true);
  await real.stack.startRunner();
  expect(real.run('adopt', id)).toMatchObject({ pid: wrapper.pid, end: null, restarts: 0 });
  expect(await runningOnRunner()).toBe(1);
  writeFileSync(release, '');
  expect(await real.client.wait('adopt', id)).toMatchObject({ status: 'completed' });
  const text = (await real.read('adopt', id)).filter(({ type }) => type === 'output').map(({ data }) => data.text);
  expect(text.join('')).toBe('line 1\nline 2\nline 3\nline 4\nline 5\nline 6\nline 7\nline 8\n');
  await until(() => real.run('adopt', id)?.end === 'finished', 'the run is finished');
  await until(async () => (await runningOnRunner()) === 0, 'the slot is free');
});

it('a run whose wrapper gets SIGTERM, as from its runner, ends as interrupted', async () => {
  const { id, wrapper } = await startJob('stopped', 'echo up; sleep 600');
  process.kill(wrapper.pid, 'SIGTERM');
  expect(await real.client.wait('stopped', id)).toMatchObject({ status: 'interrupted' });
});
