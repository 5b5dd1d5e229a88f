/**
 * Goal: [JT] after an interrupt nothing of the job is left, or what is left is named; after its own
 * end what is left goes on and is named. For every shape that the processes of a job can have.
 * Method: real processes. Each survivor prints its pid.
 */

import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, copyFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { programPath } from '../../wrapper/job/programs.ts';
import { identityOf, type ProcessIdentity, signalProcess } from '../../wrapper/processes.ts';
import { FakeCoordinator } from '../support/fake-coordinator.ts';
import {
  type Gate,
  gate,
  isRunning,
  MAIN,
  removeTemporaryFolders,
  runInProcess,
  startWrapper,
  temporaryFolder,
  until,
} from '../support/wrapper-run.ts';

let coordinator: FakeCoordinator;
const survivors: ProcessIdentity[] = [];
beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
  const url = new URL('/', coordinator.url).href;
  coordinator.job = { session: 's1', execution: 'e1', url };
});
afterEach(async () => {
  for (const each of survivors.splice(0)) signalProcess(each, 'SIGKILL');
  await coordinator.stop();
  removeTemporaryFolders();
});

/** Prints its pid, then does nothing for a long time. */
const SLEEPER = `sh -c 'echo $$; exec sleep 600'`;
const DEAF = `sh -c 'trap "" INT TERM HUP; echo $$; while :; do sleep 0.2; done'`;
const STOPPED = `sh -c 'echo $$; kill -STOP $$; exec sleep 600'`;
const ZOMBIE_PARENT = `perl -e '$| = 1; fork or exit; print "$$\\n"; sleep 600'`;

const SHAPES: [name: string, script: string][] = [
  ['a child', `${SLEEPER} &`],
  ['a child in a session of its own', `setsid ${SLEEPER} &`],
  ['a daemon: its parent is gone, and it has a session of its own', `(setsid ${SLEEPER} &)`],
  ['a daemon that has closed its output', `(setsid sh -c 'echo $$; exec sleep 600 >/dev/null 2>&1 </dev/null' &)`],
  ['a child that ignores SIGINT and SIGTERM', `${DEAF} &`],
  ['one in a session of its own that ignores SIGINT and SIGTERM', `setsid ${DEAF} &`],
  ['a daemon that ignores SIGINT and SIGTERM', `(setsid ${DEAF} &)`],
  ['a stopped child', `${STOPPED} &`],
  ['a stopped child in a session of its own', `setsid ${STOPPED} &`],
  ['the parent of a zombie', `${ZOMBIE_PARENT} &`],
];

const times = { leftoverKillMs: 500, pipesHoldMs: 400, settledWaitMs: 1 };
const script = (shape: string, { wait }: Gate) => `${shape}\n${wait}; echo end`;
const survivor = async (): Promise<number> => {
  await coordinator.until(() => /^\d+\n/.test(coordinator.text()), 'the pid of the survivor');
  const pid = Number.parseInt(coordinator.text(), 10);
  const identity = identityOf(pid);
  if (identity) survivors.push(identity);
  return pid;
};
const messages = (): string =>
  coordinator.events.flatMap(({ type, data }) => (type === 'status' ? [String(data.message)] : [])).join('\n');
const interrupt = { id: 1, command: 'interrupt', data: { signal: 'SIGINT', forceAfterMs: 2000, reason: 'a test' } } as const;

describe.each(SHAPES)('%s', (_, shape) => {
  it('is ended by an interrupt', { timeout: 120_000 }, async () => {
    const { exitCode } = runInProcess(coordinator, ['sh', '-c', script(shape, gate())], { times });
    const pid = await survivor();
    coordinator.sendCommand(interrupt);
    await exitCode;
    expect(isRunning(pid)).toBe(false);
    const end = coordinator.events.at(-1);
    expect(end?.data).toMatchObject({ toldToStop: true });
    expect(end?.data).not.toHaveProperty('left');
    expect(messages()).not.toContain('could not stop');
  });

  it('goes on after the end of its job, and is named', { timeout: 120_000 }, async () => {
    const opened = gate();
    const { exitCode } = runInProcess(coordinator, ['sh', '-c', script(shape, opened)], { times });
    const pid = await survivor();
    opened.open();
    expect(await exitCode).toBe(0);
    expect(isRunning(pid)).toBe(true);
    expect(messages()).toContain('the job has ended and left ');
    expect(messages()).toContain(`${pid} (`);
    expect(coordinator.events.at(-1)).toMatchObject({ type: 'exit', data: { exitCode: 0 } });
  });
});

it('a job that is stopped as a whole is continued, and ended, by an interrupt', { timeout: 120_000 }, async () => {
  const { exitCode } = runInProcess(coordinator, ['sh', '-c', 'echo $$; kill -STOP 0; echo must not continue; sleep 600'], {
    times,
  });
  const pid = await survivor();
  coordinator.sendCommand(interrupt);
  expect(await exitCode).toBe(130);
  expect(isRunning(pid)).toBe(false);
});

describe('a job of another user', () => {
  const NOBODY = 65_534;
  const isRoot = process.getuid?.() === 0;
  const readable = (path: string): boolean => (statSync(path).mode & 0o004) !== 0;
  const canTest = isRoot && programPath('chroot') !== null && readable(MAIN);

  it.skipIf(!canTest)('that its wrapper may not signal: the wrapper ends, and names it', { timeout: 120_000 }, async () => {
    const folder = temporaryFolder();
    chmodSync(folder, 0o755);
    const root = join(folder, 'as-root');
    copyFileSync(programPath('chroot') as string, root);
    chmodSync(root, 0o4755);
    const spool = temporaryFolder();
    chownSync(spool, NOBODY, NOBODY);
    const program = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', process.execPath, MAIN];
    const command = [root, '--userspec=0:0', '/', 'sh', '-c', 'trap "" INT TERM; echo $$; exec sleep 600'];
    const wrapper = startWrapper(coordinator, command, { spool, program });
    const pid = await survivor();
    coordinator.sendCommand(interrupt);
    await wrapper.ended;
    expect(isRunning(pid)).toBe(true);
    expect(messages()).toContain(`may not signal ${pid} (`);
    expect(coordinator.events.at(-1)?.data.left).toContain(`may not signal ${pid} (`);
    const survivorOf = survivors.find((each) => each.pid === pid);
    if (survivorOf) signalProcess(survivorOf, 'SIGKILL');
    await until(() => !isRunning(pid), 'its end');
  });
});

describe('below a wrapper that is process 1, as in a container', () => {
  const namespace = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child'];
  const [unshare = '', ...options] = namespace;
  const canTest = spawnSync(unshare, [...options, 'true']).status === 0;

  describe.skipIf(!canTest)('(skipped where this user may not create a process namespace)', () => {
    it.each(SHAPES)('%s is ended by an interrupt, and the wrapper ends', { timeout: 120_000 }, async (_, shape) => {
      const program = [...namespace, process.execPath, MAIN];
      const wrapper = startWrapper(coordinator, ['sh', '-c', script(shape, gate())], { program });
      await coordinator.until(() => /^\d+\n/.test(coordinator.text()), 'the survivor runs');
      coordinator.sendCommand(interrupt);
      await wrapper.ended;
      const end = coordinator.events.at(-1);
      expect(end).toMatchObject({ type: 'exit', data: { toldToStop: true } });
      expect(end?.data).not.toHaveProperty('left');
      expect(messages()).not.toContain('could not stop');
    });

    it('what a job leaves after its own end is named', { timeout: 120_000 }, async () => {
      const opened = gate();
      const [, daemon] = SHAPES[2] ?? [];
      const program = [...namespace, process.execPath, MAIN];
      const wrapper = startWrapper(coordinator, ['sh', '-c', script(daemon ?? '', opened)], { program });
      await coordinator.until(() => /^\d+\n/.test(coordinator.text()), 'the survivor runs');
      opened.open();
      await wrapper.ended;
      expect(messages()).toContain('the job has ended and left ');
      expect(coordinator.events.at(-1)).toMatchObject({ type: 'exit', data: { exitCode: 0 } });
    });
  });
});
