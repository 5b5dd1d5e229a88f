/**
 * Goal: a full disk, and a removed folder, make a job slow or fail it with a named reason; they
 * never hang it, and losses are reported. Method: whole runs on a disk that the test limits or
 * removes, behind the port of the spool, so the test is the same for every user and system.
 */

import { existsSync, mkdirSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newSpoolFolder } from '../../wrapper/spool/home.ts';
import { lockSpool } from '../../wrapper/spool/lock.ts';
import { Spool } from '../../wrapper/spool/spool.ts';
import { smallDisk } from '../support/failing-disk.ts';
import { FakeCoordinator } from '../support/fake-coordinator.ts';
import {
  gate,
  removeTemporaryFolders,
  runInProcess,
  startWrapper,
  temporaryFolder,
  until,
  type WrapperProcess,
} from '../support/wrapper-run.ts';

let coordinator: FakeCoordinator;
const started: WrapperProcess[] = [];
beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
});
afterEach(async () => {
  for (const { process } of started.splice(0)) process.kill('SIGKILL');
  await coordinator.stop();
  removeTemporaryFolders();
});

const sh = (script: string) => ['sh', '-c', script];
const SIZE = 3_000_000;
const printing = (size: number) => `head -c ${size} /dev/zero | tr "\\0" "x" | fold -w 99`;
const gaps = () => coordinator.events.filter(({ type }) => type === 'gap').map(({ data }) => data);
const letters = () => coordinator.text().replaceAll('\n', '').length;

describe('[SPL37] a disk that is smaller than the output', () => {
  it.each([
    ['a disk of 300 KB', 300_000, undefined],
    ['a spool that may have 1,000 bytes', 1e9, 1000],
  ])('%s: the job continues slowly and loses nothing', async (_name, bytes, spoolLimitBytes) => {
    const folder = temporaryFolder();
    const { exitCode, spool } = runInProcess(coordinator, sh(`${printing(SIZE)}; exit 3`), {
      spoolDirectory: folder,
      spoolFiles: smallDisk(folder, { bytes }),
      ...(spoolLimitBytes ? { spoolLimitBytes } : {}),
    });
    expect(await exitCode).toBe(3);
    expect(letters()).toBe(SIZE);
    expect([gaps(), coordinator.faults]).toEqual([[], []]);
    expect(readdirSync(spool)).toEqual([]);
  });

  it('that takes nothing any more: the job is stopped after its time, and fails by name', async () => {
    const folder = temporaryFolder();
    const room = { bytes: 1e9 };
    const { wait, open } = gate();
    const { exitCode, log } = runInProcess(coordinator, sh(`echo out; ${wait}; ${printing(SIZE)}; exec sleep 600`), {
      spoolDirectory: folder,
      spoolFiles: smallDisk(folder, room),
      times: { spoolStuckMs: 300, killAfterMs: 100 },
    });
    await coordinator.until(() => coordinator.text() === 'out\n', 'output');
    room.bytes = 0;
    open();
    expect(await exitCode).toBe(125);
    expect(coordinator.events.at(-1)).toMatchObject({ type: 'error', data: { code: 'spool_failed', fatal: true } });
    const [gap] = gaps();
    expect(gap).toMatchObject({ reason: 'spool_failed' });
    expect(gap?.bytes).toBeGreaterThan(0);
    expect(log.problems.join()).toContain('ENOSPC');
    expect(coordinator.faults).toEqual([]);
  });

  it('that takes nothing any more: an interrupt ends the job, and its end is delivered', async () => {
    const folder = temporaryFolder();
    const room = { bytes: 1e9 };
    const { wait, open } = gate();
    const { exitCode, log } = runInProcess(coordinator, sh(`echo out; ${wait}; yes`), {
      spoolDirectory: folder,
      spoolFiles: smallDisk(folder, room),
      times: { spoolStuckStoppingMs: 200 },
    });
    await coordinator.until(() => coordinator.text() === 'out\n', 'output');
    room.bytes = 0;
    open();
    await until(() => log.problems.some((problem) => problem.includes('ENOSPC')), 'the disk is full');
    coordinator.sendCommand({ id: 1, command: 'interrupt', data: { signal: 'SIGINT', forceAfterMs: 100, reason: 'enough' } });
    expect(await exitCode).toBe(130);
    expect(coordinator.events.at(-1)).toMatchObject({ type: 'exit', data: { signal: 'SIGINT' } });
    expect(gaps()).toMatchObject([{ reason: 'spool_failed' }]);
    expect(coordinator.faults).toEqual([]);
  });

  it('that is full when a wrapper is started again: it delivers everything, which frees the disk', async () => {
    const folder = temporaryFolder();
    const room = { bytes: 1e9 };
    const files = smallDisk(folder, room);
    const opening = Spool.open({ directory: folder, execution: new URL(coordinator.url).pathname, bootId: 'b_1', files });
    if (opening.kind !== 'opened') throw new Error(opening.kind);
    opening.spool.state.job.begun = true;
    opening.spool.saveState();
    for (let n = 1; n <= 5000; n += 1) {
      const event = { type: 'output', at: n, data: { stream: 'stdout', text: `line ${n}\n` } };
      opening.spool.append(Buffer.from(`${JSON.stringify(event)}\n`));
    }
    await opening.spool.stored();
    // As after a SIGKILL.
    rmSync(join(folder, 'wrapper.lock'));
    writeFileSync(join(folder, 'wrapper.lock'), JSON.stringify({ pid: 2 ** 22 + 7, start: 'x', nonce: 'n' }));
    room.bytes = 0;
    const { exitCode } = runInProcess(coordinator, sh('echo must not run'), { spoolDirectory: folder, spoolFiles: files });
    await coordinator.until(() => coordinator.ackedSeq >= 5000, 'all of it');
    expect(coordinator.text()).toBe(Array.from({ length: 5000 }, (_, index) => `line ${index + 1}\n`).join(''));
    room.bytes = 400_000;
    expect(await exitCode).toBe(125);
    expect(coordinator.events.at(-1)?.data).toMatchObject({ code: 'wrapper_crashed' });
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('[SPL38] a spool folder that is removed while the job runs', () => {
  it('is made again; the job keeps its exit code, and what can still be read arrives', async () => {
    const folder = join(temporaryFolder(), 'spool');
    const { wait, open } = gate();
    const { exitCode, log } = runInProcess(coordinator, sh(`echo out; ${wait}; ${printing(20_000_000)}; exit 4`), {
      spoolDirectory: folder,
    });
    await coordinator.until(() => coordinator.text() === 'out\n', 'output');
    rmSync(dirname(folder), { recursive: true });
    open();
    expect(await exitCode).toBe(4);
    expect(letters()).toBe(20_000_000 + 3);
    expect(gaps()).toEqual([]);
    expect(log.problems.join()).toContain('was removed while the job runs');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('with output that was only there: a gap stands for it, and an interrupt ends the run', async () => {
    const folder = join(temporaryFolder(), 'spool');
    const { wait, open } = gate();
    const { exitCode } = runInProcess(coordinator, sh(`echo out; ${printing(20_000_000)}; ${wait}; echo more; exec sleep 600`), {
      spoolDirectory: folder,
      times: { ackStallMs: 1e9 },
    });
    await coordinator.until(() => coordinator.text().startsWith('out\n'), 'output');
    coordinator.onFrame = () => false;
    await until(() => readdirSync(folder).filter((name) => name.endsWith('.ndjson')).length >= 3, 'three segments');
    rmSync(folder, { recursive: true });
    await until(() => existsSync(join(folder, 'state.json')), 'the folder again');
    open();
    coordinator.onFrame = () => true;
    coordinator.last.cut();
    await coordinator.until(() => coordinator.text().endsWith('more\n'), 'what came later');
    const lost = gaps().filter(({ reason }) => reason === 'spool_damaged');
    expect(lost.length).toBeGreaterThan(0);
    expect(lost.every(({ events, unknown }) => (events as number) > 0 && unknown === true)).toBe(true);
    coordinator.sendCommand({ id: 1, command: 'interrupt', data: { signal: 'SIGINT', forceAfterMs: 5000, reason: 'enough' } });
    expect(await exitCode).toBe(130);
    expect(coordinator.faults).toEqual([]);
  });
});

describe('the default folder', () => {
  it('everything below TMPDIR and the state folder is removed: a warning, and the exit code of the job', async () => {
    const home = temporaryFolder();
    const { wait, open } = gate();
    const wrapper = startWrapper(coordinator, sh(`echo out; ${wait}; exit 0`), {
      env: { HOLDFAST_SPOOL: '', XDG_STATE_HOME: join(home, 'state'), TMPDIR: home },
    });
    started.push(wrapper);
    await coordinator.until(() => coordinator.text() === 'out\n', 'output');
    expect(readdirSync(join(home, 'state', 'holdfast', 'spools')).length).toBe(1);
    for (const name of readdirSync(home)) rmSync(join(home, name), { recursive: true });
    await until(() => wrapper.stderr().includes('was removed while the job runs'), 'the warning');
    open();
    expect((await wrapper.ended).code).toBe(0);
    expect(wrapper.stderr()).not.toContain('ENOENT');
    expect(readdirSync(join(home, 'state', 'holdfast', 'spools'))).toEqual([]);
  });

  it('is below XDG_STATE_HOME, or else HOME, or else with the temporary files', () => {
    const home = temporaryFolder();
    expect(dirname(newSpoolFolder({ XDG_STATE_HOME: home, HOME: '/x' }, 0))).toBe(join(home, 'holdfast', 'spools'));
    expect(dirname(newSpoolFolder({ XDG_STATE_HOME: 'relative', HOME: home }, 0))).toBe(join(home, '.local/state/holdfast/spools'));
    writeFileSync(join(home, 'file'), '');
    const folder = newSpoolFolder({ HOME: join(home, 'file') }, 0);
    expect(folder).toContain('holdfast-spool-');
    rmSync(folder, { recursive: true });
  });

  it('is swept: one that was left for two weeks goes, one that is held or younger stays', () => {
    const env = { XDG_STATE_HOME: temporaryFolder() };
    const now = Date.now();
    const [left, held, young] = [newSpoolFolder(env, now), newSpoolFolder(env, now), newSpoolFolder(env, now)] as [
      string,
      string,
      string,
    ];
    lockSpool(held);
    const before = new Date(now - 15 * 24 * 3_600_000);
    for (const folder of [left, held]) utimesSync(folder, before, before);
    mkdirSync(join(dirname(left), 'something-else'));
    newSpoolFolder(env, now);
    expect([left, held, young, join(dirname(left), 'something-else')].map(existsSync)).toEqual([false, true, true, true]);
  });
});
