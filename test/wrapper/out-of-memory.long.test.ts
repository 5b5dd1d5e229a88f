/**
 * Goal: when memory runs out in the control group that a wrapper and its job share, the kernel
 * kills the job, and the wrapper lives on and reports `out_of_memory`.
 * Method: a real control group with a limit, and a job that takes more. That needs root and a
 * memory controller that takes a new group.
 */

import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, expect, it } from 'vitest';
import { FakeCoordinator } from '../support/fake-coordinator.ts';
import { MAIN, removeTemporaryFolders, startWrapper, until } from '../support/wrapper-run.ts';

/** More than a wrapper needs, and less than the job takes. */
const LIMIT_BYTES = 300_000_000;
const TAKES_MEMORY = 'const held = []; console.log("begins"); for (;;) held.push(Buffer.alloc(10_000_000, 1));';

/** The folder of a new group with a limit; null where none can be made. */
function limitedGroup(): string | null {
  const name = `holdfast-test-${process.pid}`;
  for (const [root, limit, count] of [
    ['/sys/fs/cgroup', 'memory.max', 'memory.events'],
    ['/sys/fs/cgroup/memory', 'memory.limit_in_bytes', 'memory.oom_control'],
  ] as const) {
    const group = join(root, name);
    try {
      mkdirSync(group);
    } catch {
      continue; // No right, or no such controller.
    }
    try {
      writeFileSync(join(group, limit), String(LIMIT_BYTES), { flag: 'r+' });
      if (/^oom_kill \d/m.test(readFileSync(join(group, count), 'utf8'))) return group;
    } catch {
      // It has no memory controller.
    }
    rmdirSync(group);
  }
  return null;
}

const group = process.platform === 'linux' ? limitedGroup() : null;
let coordinator: FakeCoordinator;
beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
});
afterEach(async () => {
  await coordinator.stop();
  removeTemporaryFolders();
});
afterAll(async () => {
  if (group === null) return;
  await until(() => readFileSync(join(group, 'cgroup.procs'), 'utf8') === '', 'the group is empty');
  rmdirSync(group);
});

it.skipIf(group === null)(
  'the job is killed, the wrapper is not, and the end says out_of_memory (skipped where no control group with a memory limit can be made)',
  { timeout: 120_000 },
  async () => {
    const enter = `echo $$ > ${group}/cgroup.procs && exec "$@"`;
    const program = ['sh', '-c', enter, 'sh', process.execPath, MAIN];
    const wrapper = startWrapper(coordinator, [process.execPath, '-e', TAKES_MEMORY], { program });
    await wrapper.ended;
    expect(coordinator.text()).toBe('begins\n');
    const end = coordinator.events.at(-1);
    expect(end).toMatchObject({ type: 'exit', data: { exitCode: null, signal: 'SIGKILL', outOfMemory: true } });
    expect(existsSync(join(group ?? '', 'cgroup.procs'))).toBe(true);
  },
);
