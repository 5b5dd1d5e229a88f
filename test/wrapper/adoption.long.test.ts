/**
 * Goal: [G10] a job outlives its wrapper. A wrapper that starts on its spool takes the job over,
 * and the run ends with the job's own end; what is missing is inside a gap. Method: real wrapper
 * processes, ended by SIGKILL at the point in question.
 */

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readSpoolState, type SpoolState } from '../../wrapper/spool/state.ts';
import { FakeCoordinator } from '../support/fake-coordinator.ts';
import { bundleWrapper } from '../support/wrapper-bundle.ts';
import {
  gate,
  gated,
  isRunning,
  removeTemporaryFolders,
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

const start: typeof startWrapper = (...given) => {
  const wrapper = startWrapper(...given);
  started.push(wrapper);
  return wrapper;
};
const sh = (script: string) => ['sh', '-c', script];
const types = () => coordinator.events.map(({ type }) => type);
const stateOf = (spool: string) => readSpoolState(spool) as SpoolState;
const kill = async (wrapper: WrapperProcess) => {
  wrapper.process.kill('SIGKILL');
  await wrapper.ended;
};
const RESTARTED = { events: 0, bytes: 0, unknown: true, reason: 'wrapper_restarted' };

describe('[G10] a wrapper that was killed', () => {
  it('is replaced: the job goes on, is run once, and ends with its own exit code', async () => {
    const marker = join(temporaryFolder(), 'ran');
    const { script, gates } = gated([`echo x >> ${marker}; echo one`, 'echo two', 'echo three; exit 7']);
    const first = start(coordinator, sh(script));
    await coordinator.until(() => coordinator.text() === 'one\n', 'output');
    const { pid } = stateOf(first.spool).job;
    await kill(first);
    expect(isRunning(pid as number)).toBe(true);
    gates[0]?.open(); // Printed while there is no wrapper.
    const second = start(coordinator, sh('echo must not run'), { spool: first.spool });
    await coordinator.until(() => coordinator.text().includes('two\n'), 'what was printed without a wrapper');
    gates[1]?.open();
    expect((await second.ended).code).toBe(7);
    expect(coordinator.text()).toBe('one\ntwo\nthree\n');
    expect(readFileSync(marker, 'utf8')).toBe('x\n');
    expect(types().filter((type) => type === 'started')).toHaveLength(1);
    expect(coordinator.events.filter(({ type }) => type === 'gap').map(({ data }) => data)).toEqual([RESTARTED]);
    expect(coordinator.events.at(-1)).toMatchObject({ type: 'exit', data: { exitCode: 7, signal: null, toldToStop: false } });
    expect(coordinator.faults).toEqual([]);
    expect(readdirSync(first.spool)).toEqual([]);
    await until(() => !isRunning(pid as number), 'the end of the job');
  });

  it('is replaced after the job has ended: its true end is reported', async () => {
    const { wait, open } = gate();
    const first = start(coordinator, sh(`echo one; ${wait}; echo last; kill -9 $$`));
    await coordinator.until(() => coordinator.text() === 'one\n', 'output');
    const { pid, holder } = stateOf(first.spool).job;
    await kill(first);
    open();
    await until(() => !isRunning(pid as number), 'the end of the job');
    expect(isRunning(holder?.pid as number)).toBe(true);
    const second = start(coordinator, sh('true'), { spool: first.spool, args: ['--recover'] });
    expect((await second.ended).code).toBe(137);
    expect(coordinator.text()).toBe('one\nlast\n');
    expect(types().slice(-2)).toEqual(['output', 'exit']);
    expect(coordinator.events.at(-1)).toMatchObject({ type: 'exit', data: { exitCode: null, signal: 'SIGKILL' } });
    await until(() => !isRunning(holder?.pid as number), 'the end of the holder');
  });

  it('ten times, while the job prints: every line arrives once, in order, or is inside a gap', async () => {
    const { isOpen, open } = gate();
    const first = start(coordinator, sh(`n=0; until ${isOpen}; do n=$((n+1)); echo line $n; done; echo end`));
    let wrapper = first;
    for (let round = 0; round < 10; round += 1) {
      const seen = coordinator.text().length;
      await coordinator.until(() => coordinator.text().length > seen + 2000, 'output');
      await kill(wrapper);
      wrapper = start(coordinator, sh('true'), { spool: first.spool });
    }
    open();
    expect((await wrapper.ended).code).toBe(0);
    expect(coordinator.events.filter(({ type }) => type === 'gap')).toHaveLength(10);
    // Between two gaps the lines are consecutive; over a gap they only grow.
    let text = '';
    const parts: string[] = [];
    for (const { type, data } of coordinator.events) {
      if (type === 'output') text += data.text;
      if (type !== 'gap') continue;
      parts.push(text);
      text = '';
    }
    parts.push(text);
    let last = 0;
    for (const part of parts) {
      const whole = part
        .split('\n')
        .slice(1, -1)
        .filter((line) => line !== 'end');
      const numbers = whole.map((line) => Number(/^line (\d+)$/.exec(line)?.[1] ?? Number.NaN));
      const from = numbers[0] ?? last + 1;
      expect(from).toBeGreaterThan(last);
      expect(numbers).toEqual(numbers.map((_, index) => from + index));
      last = numbers.at(-1) ?? last;
    }
    expect(coordinator.text().endsWith('end\n')).toBe(true);
    expect(coordinator.faults).toEqual([]);
  }, 240_000);

  it('cannot be reached by its coordinator when it returns: it reads the job at once all the same', async () => {
    const { script, gates } = gated(['echo one', 'echo two', 'exit 3']);
    const first = start(coordinator, sh(script));
    await coordinator.until(() => coordinator.text() === 'one\n', 'output');
    await coordinator.crash();
    await kill(first);
    const second = start(coordinator, sh('true'), { spool: first.spool });
    for (const { open } of gates) open();
    const spooled = () =>
      readdirSync(first.spool)
        .filter((name) => name.endsWith('.ndjson'))
        .some((name) => readFileSync(join(first.spool, name), 'utf8').includes('"type":"exit"'));
    await until(spooled, 'the end in the spool');
    await coordinator.start();
    expect((await second.ended).code).toBe(3);
    expect(coordinator.text()).toBe('one\ntwo\n');
    expect(coordinator.faults).toEqual([]);
  });

  it('is upgraded: another program file in its place adopts the job', { timeout: 60_000 }, async () => {
    const installed = join(temporaryFolder(), 'holdfast-wrapper.mjs');
    const versionOf = () => spawnSync(process.execPath, [installed, '--version'], { encoding: 'utf8' }).stdout.trim();
    const program = [process.execPath, installed];
    bundleWrapper(installed);
    const { script, gates } = gated(['echo one', 'echo two; exit 4']);
    const first = start(coordinator, sh(script), { program });
    await coordinator.until(() => coordinator.text() === 'one\n', 'output');
    const before = versionOf();
    // As npm does it: another file under the same name.
    rmSync(installed);
    bundleWrapper(installed);
    writeFileSync(installed, readFileSync(installed, 'utf8').replaceAll(`"${before}"`, '"99.0.0"'));
    expect(versionOf()).toBe('99.0.0');
    await kill(first);
    const second = start(coordinator, sh('echo must not run'), { program, spool: first.spool });
    gates[0]?.open();
    expect((await second.ended).code).toBe(4);
    expect(coordinator.text()).toBe('one\ntwo\n');
    expect(coordinator.events.filter(({ type }) => type === 'started')).toHaveLength(1);
    expect(coordinator.faults).toEqual([]);
  });

  it('an interrupt reaches the job of its successor', async () => {
    const first = start(coordinator, sh('trap "echo bye; exit 5" TERM; echo ready; while :; do sleep 0.05; done'));
    await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
    await kill(first);
    const second = start(coordinator, sh('true'), { spool: first.spool, args: ['--recover', '--stop'] });
    expect((await second.ended).code).toBe(5);
    expect(coordinator.text()).toBe('ready\nbye\n');
    expect(coordinator.events.at(-1)?.type).toBe('interrupted');
  });

  it('had its spool folder removed: the job is found by its holder', async () => {
    const { script, gates } = gated(['echo one', 'echo two; exit 4']);
    const first = start(coordinator, sh(script));
    await coordinator.until(() => coordinator.text() === 'one\n', 'output');
    rmSync(join(first.spool, 'holder'), { recursive: true });
    await kill(first);
    const second = start(coordinator, sh('true'), { spool: first.spool });
    gates[0]?.open();
    expect((await second.ended).code).toBe(4);
    expect(coordinator.text()).toBe('one\ntwo\n');
  });

  it('[SPL25] knew secrets: its successor redacts them too, and without them reports no output', async () => {
    const { script, gates } = gated(['echo one', 'echo $MY_TOKEN; exit 4']);
    const env = { HOLDFAST_JOB_ENV: JSON.stringify({ MY_TOKEN: 'correct-horse-battery' }) };
    const first = start(coordinator, sh(script), { env });
    await coordinator.until(() => coordinator.text() === 'one\n', 'output');
    await kill(first);
    const second = start(coordinator, sh('true'), { spool: first.spool });
    gates[0]?.open();
    expect((await second.ended).code).toBe(4);
    expect(coordinator.text()).toBe('one\n[redacted]\n');
    expect(JSON.stringify(coordinator.events)).not.toContain('correct-horse');
  });

  it('and its holder too: the end is reported as unknown, and the command is not run again', async () => {
    const marker = join(temporaryFolder(), 'ran');
    const first = start(coordinator, sh(`echo x >> ${marker}; echo one; exec sleep 60`));
    await coordinator.until(() => coordinator.text() === 'one\n', 'output');
    const { pid, holder } = stateOf(first.spool).job;
    await kill(first);
    process.kill(holder?.pid as number, 'SIGKILL');
    await until(() => !isRunning(holder?.pid as number), 'the end of the holder');
    const second = start(coordinator, sh(`echo x >> ${marker}`), { spool: first.spool });
    expect((await second.ended).code).toBe(125);
    expect(coordinator.events.at(-1)?.data).toMatchObject({ code: 'wrapper_crashed', fatal: true });
    expect(isRunning(pid as number)).toBe(false);
    expect(readFileSync(marker, 'utf8')).toBe('x\n');
  });
});

describe('a holder that was killed', () => {
  it('while its job runs: the job goes on, its output is kept, and its end is reported as unknown', async () => {
    const { script, gates } = gated(['echo one', 'echo two; exit 0']);
    const wrapper = start(coordinator, sh(script));
    await coordinator.until(() => coordinator.text() === 'one\n', 'output');
    process.kill(stateOf(wrapper.spool).job.holder?.pid as number, 'SIGKILL');
    gates[0]?.open();
    expect((await wrapper.ended).code).toBe(125);
    expect(coordinator.text()).toBe('one\ntwo\n');
    expect(coordinator.events.at(-1)?.data).toMatchObject({ code: 'holder_killed', fatal: true });
  });

  it.each(['kill -9 0', 'kill -34 0', 'kill -15 0', 'kill -2 0'])('is not ended by its job with %s', async (command) => {
    const wrapper = start(coordinator, sh(`echo one; ${command}; sleep 5`));
    const signal = Number(/-(\d+)/.exec(command)?.[1]);
    expect((await wrapper.ended).code).toBe(128 + signal);
  });
});

describe('after the end', () => {
  it('what the job left behind goes on: its output is dropped, and it gets no SIGPIPE', async () => {
    const alive = join(temporaryFolder(), 'alive');
    const { isOpen, open } = gate();
    const loop = `n=0; until ${isOpen}; do n=$((n+1)); echo tick; echo $n > ${alive}; sleep 0.05; done`;
    const wrapper = start(coordinator, sh(`(${loop}) & echo $!; exit 0`));
    expect((await wrapper.ended).code).toBe(0);
    const member = Number(/^\d+$/m.exec(coordinator.text())?.[0]);
    const before = readFileSync(alive, 'utf8');
    await until(() => existsSync(alive) && readFileSync(alive, 'utf8') !== before, 'it goes on');
    expect(isRunning(member)).toBe(true);
    open();
    await until(() => !isRunning(member), 'its own end');
    writeFileSync(alive, '');
  });
});
