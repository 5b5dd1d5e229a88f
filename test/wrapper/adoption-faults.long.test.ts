/**
 * Goal: [G10] a job outlives its wrapper also when something else fails at the same time, and its
 * end stays the true one.
 * Method: real wrapper processes. What the test kills or stops, it finds in the spool's state.
 */

import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { childrenOf, identityOf, isAlive, listProcesses, type ProcessIdentity, signalProcess } from '../../wrapper/processes.ts';
import { readSpoolState, type SpoolState } from '../../wrapper/spool/state.ts';
import { FakeCoordinator } from '../support/fake-coordinator.ts';
import {
  gate,
  gated,
  isRunning,
  ownRun,
  removeTemporaryFolders,
  startWrapper,
  temporaryFolder,
  until,
  type WrapperProcess,
} from '../support/wrapper-run.ts';

let coordinator: FakeCoordinator;
const started: WrapperProcess[] = [];
const others: ProcessIdentity[] = [];

beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
});
afterEach(async () => {
  for (const { process } of started.splice(0)) process.kill('SIGKILL');
  for (const each of others.splice(0)) signalProcess(each, 'SIGKILL');
  await coordinator.stop();
  removeTemporaryFolders();
});

const start: typeof startWrapper = (...given) => {
  const wrapper = startWrapper(...given);
  started.push(wrapper);
  return wrapper;
};
const again = (first: WrapperProcess, args: string[] = ['--recover']) =>
  start(coordinator, ['echo', 'must not run'], { spool: first.spool, args });
const sh = (script: string) => ['sh', '-c', script];
const stateOf = ({ spool }: WrapperProcess) => readSpoolState(spool) as SpoolState;
const end = () => coordinator.events.at(-1);
const kill = async (wrapper: WrapperProcess) => {
  wrapper.process.kill('SIGKILL');
  await wrapper.ended;
};
/** The job and its holder, which end with the test. */
async function parts(wrapper: WrapperProcess): Promise<{ job: ProcessIdentity; holder: ProcessIdentity }> {
  await until(() => typeof readSpoolState(wrapper.spool)?.job.pid === 'number', 'the pid in the state');
  const { job } = stateOf(wrapper);
  const found = { job: identityOf(job.pid ?? 0), holder: identityOf(job.holder?.pid ?? 0) };
  if (!found.job || !found.holder) throw new Error('the job or its holder is not there');
  others.push(found.job, found.holder);
  return { job: found.job, holder: found.holder };
}
const output = (text: string) => coordinator.until(() => coordinator.text().includes(text), `the output ${text}`);
const LIMIT = { timeout: 180_000 };
const interrupt = (forceAfterMs: number) =>
  ({ id: 1, command: 'interrupt', data: { signal: 'SIGINT', forceAfterMs, reason: 'a test' } }) as const;

describe('[G10] while there is no wrapper, a job', () => {
  it('that prints blocks when its pipe is full, goes on later, and all of it arrives', LIMIT, async () => {
    const done = join(temporaryFolder(), 'done');
    const { wait, open } = gate();
    const lines = 400_000;
    const first = start(coordinator, sh(`echo ready; ${wait}; seq 1 ${lines}; echo x > ${done}`));
    await output('ready\n');
    const { job } = await parts(first);
    await kill(first);
    open();
    const waits = () => listProcesses().some(({ parent, command }) => parent === job.pid && command.startsWith('seq'));
    await until(waits, 'it prints');
    expect(existsSync(done)).toBe(false);
    expect((await again(first).ended).code).toBe(0);
    expect(coordinator.text()).toBe(`ready\n${Array.from({ length: lines }, (_, index) => `${index + 1}\n`).join('')}`);
    expect(existsSync(done)).toBe(true);
  });

  it('is interrupted before: the end that follows is that of an interrupt', LIMIT, async () => {
    const { wait, open } = gate();
    const first = start(coordinator, sh(`trap 'echo bye; ${wait}; exit 12' INT; echo ready; while :; do sleep 0.05; done`));
    await output('ready\n');
    const { job } = await parts(first);
    coordinator.sendCommand(interrupt(120_000));
    await output('bye\n');
    await kill(first);
    open();
    await until(() => !isRunning(job.pid), 'the end of the job');
    expect((await again(first).ended).code).toBe(12);
    expect(end()).toMatchObject({ type: 'exit', data: { exitCode: 12, signal: null, toldToStop: true } });
  });

  it('is interrupted before, and ignores it: the next wrapper goes on to stronger signals', LIMIT, async () => {
    const first = start(coordinator, sh(`trap 'echo int' INT; trap 'echo term' TERM; echo ready; while :; do sleep 0.05; done`));
    await output('ready\n');
    await parts(first);
    coordinator.sendCommand(interrupt(6000));
    await output('int\n');
    await kill(first);
    expect((await again(first).ended).code).toBe(137);
    expect(coordinator.text()).toBe('ready\nint\nterm\n');
    expect(end()).toMatchObject({ type: 'exit', data: { signal: 'SIGKILL', toldToStop: true } });
  });

  it('ends, and its folder is removed: its true end is reported all the same', LIMIT, async () => {
    const { script, gates } = gated(['echo one', 'echo two; exit 9']);
    const first = start(coordinator, sh(script));
    await output('one\n');
    const { job } = await parts(first);
    await kill(first);
    rmSync(join(first.spool, 'holder'), { recursive: true });
    gates[0]?.open();
    await until(() => !isRunning(job.pid), 'the end of the job');
    expect((await again(first).ended).code).toBe(9);
    expect(coordinator.text()).toBe('one\ntwo\n');
  });
});

describe('[G10] a job whose folder was removed', () => {
  it('prints more than a pipe holds, and is interrupted', LIMIT, async () => {
    const { wait, open } = gate();
    const first = start(coordinator, sh(`echo one; ${wait}; seq 1 50000; echo all; exec sleep 600`));
    await output('one\n');
    await parts(first);
    await kill(first);
    rmSync(join(first.spool, 'holder'), { recursive: true });
    const second = again(first);
    open();
    await output('all\n');
    coordinator.sendCommand(interrupt(20_000));
    expect((await second.ended).code).toBe(130);
    expect(end()).toMatchObject({ type: 'exit', data: { signal: 'SIGINT', toldToStop: true } });
  });
});

describe('[HO3] a holder that was stopped', () => {
  it.each([false, true])('notes the end of its job (wrapper killed too: %s)', LIMIT, async (killed) => {
    const { script, gates } = gated(['echo one', 'echo two; exit 8']);
    const first = start(coordinator, sh(script));
    await output('one\n');
    const { holder } = await parts(first);
    signalProcess(holder, 'SIGSTOP');
    if (killed) await kill(first);
    gates[0]?.open();
    expect((await (killed ? again(first) : first).ended).code).toBe(8);
    expect(coordinator.text()).toBe('one\ntwo\n');
  });
});

describe('[G10] stdin stays open over a kill', () => {
  const input = (id: number, text: string) => ({ id, command: 'input', data: { text } }) as const;

  it('and the next wrapper writes to it', LIMIT, async () => {
    const first = start(coordinator, sh('while read -r line; do echo "got $line"; [ "$line" = end ] && exit 6; done; echo eof'), {
      args: ['--stdin', 'open'],
    });
    await coordinator.until(() => coordinator.events.some(({ type }) => type === 'started'), 'started');
    await parts(first);
    coordinator.sendCommand(input(1, 'one\n'));
    await output('got one\n');
    await kill(first);
    const second = again(first);
    await coordinator.until(() => coordinator.connections.length === 2 && coordinator.last.hello !== null, 'the next wrapper');
    coordinator.sendCommand(input(2, 'two\nend\n'));
    expect((await second.ended).code).toBe(6);
    expect(coordinator.text()).toBe('got one\ngot two\ngot end\n');
  });

  it('but its keeper is killed as well: the job sees the end of its input, and ends by itself', LIMIT, async () => {
    const first = start(coordinator, sh('echo ready; while read -r line; do echo "got $line"; done; echo eof; exit 3'), {
      args: ['--stdin', 'open'],
    });
    await output('ready\n');
    const { job, holder } = await parts(first);
    await kill(first);
    const keepers = childrenOf(holder.pid).filter((pid) => pid !== job.pid);
    expect(keepers).toHaveLength(1);
    for (const pid of keepers) process.kill(pid, 'SIGKILL');
    expect((await again(first).ended).code).toBe(3);
    expect(coordinator.text()).toBe('ready\neof\n');
  });
});

describe('when the holder was killed, no process of the run is left', () => {
  /** A process outside of the session of its job, which prints its pid. */
  const DAEMON = 'setsid sh -c "echo \\$\\$; exec sleep 600 >/dev/null 2>&1"';
  const marked = () => {
    coordinator.job = ownRun();
  };
  const daemon = async () => {
    await coordinator.until(() => /\d+\n/.test(coordinator.text()), 'the pid of the daemon');
    const identity = identityOf(Number.parseInt(coordinator.text(), 10));
    if (!identity) throw new Error('there is no daemon');
    others.push(identity);
    return identity;
  };

  const keepersOf = ({ job, holder }: Awaited<ReturnType<typeof parts>>) => {
    const keepers = childrenOf(holder.pid).flatMap((pid) => (pid === job.pid ? [] : (identityOf(pid) ?? [])));
    others.push(...keepers);
    return keepers;
  };

  it.each([false, true])('[SPL50] the keeper of its stdin ends with the run (wrapper killed too: %s)', LIMIT, async (killed) => {
    marked();
    const { wait, open } = gate();
    const first = start(coordinator, sh(`echo ready; ${wait}; exit 3`), { args: ['--stdin', 'open'] });
    await output('ready\n');
    const run = await parts(first);
    const [keeper] = keepersOf(run);
    if (!keeper) throw new Error('there is no keeper');
    if (killed) await kill(first);
    signalProcess(run.holder, 'SIGKILL');
    if (!killed) open();
    expect((await (killed ? again(first) : first).ended).code).toBe(125);
    await until(() => !isAlive(keeper), 'the keeper has ended');
    expect(JSON.stringify(coordinator.events)).not.toMatch(new RegExp(`\\b${keeper.pid}\\b|holder\\.sh`));
    expect(existsSync(join(first.spool, 'holder'))).toBe(false);
  });

  it('[SPL53] what left the session of the job is killed by its mark, and named', LIMIT, async () => {
    marked();
    const first = start(coordinator, sh(`${DAEMON} & exec sleep 600`));
    const found = await daemon();
    const { holder, job } = await parts(first);
    await kill(first);
    signalProcess(holder, 'SIGKILL');
    expect((await again(first).ended).code).toBe(125);
    const killedThem = `what was left of it (process group ${job.pid} and process ${found.pid}) was killed`;
    expect(end()).toMatchObject({ type: 'error', data: { code: 'wrapper_crashed', error: expect.stringContaining(killedThem) } });
    await until(() => !isAlive(found), 'the daemon has ended');
  });

  it('[SPL53] after a noted end the process that the job left is named, and left alone', LIMIT, async () => {
    marked();
    const { wait, open } = gate();
    const first = start(coordinator, sh(`${DAEMON} & ${wait}; exit 4`));
    const found = await daemon();
    const { holder, job } = await parts(first);
    first.process.kill('SIGSTOP');
    open();
    await until(() => !isAlive(job), 'the job has ended');
    await until(() => /^4\./.test(readFileSync(join(first.spool, 'holder', 'end'), 'latin1')), 'its end is noted');
    await kill(first);
    signalProcess(holder, 'SIGKILL');
    expect((await again(first).ended).code).toBe(4);
    const statuses = coordinator.events.filter(({ type }) => type === 'status').map(({ data }) => data.message);
    expect(statuses).toEqual([expect.stringContaining(`the job has ended and left a process running: ${found.pid} (sleep 600)`)]);
    expect(isAlive(found)).toBe(true);
  });
});

describe('[G10] two wrappers that start at once on a spool', () => {
  it('one of them has the job, and the log has each line once', LIMIT, async () => {
    const { script, gates } = gated(['echo one', 'echo two; exit 5']);
    const first = start(coordinator, sh(script));
    await output('one\n');
    await parts(first);
    await kill(first);
    const both = [again(first), again(first)];
    gates[0]?.open();
    const codes = (await Promise.all(both.map(({ ended }) => ended))).map(({ code }) => code);
    expect(codes).toContain(5);
    expect(coordinator.text()).toBe('one\ntwo\n');
    expect(coordinator.events.filter(({ type }) => type === 'exit')).toHaveLength(1);
    expect(coordinator.faults).toEqual([]);
  });
});

describe('whatever is killed, in any order', () => {
  const orders = [
    ['wrapper', 'holder', 'job'],
    ['holder', 'wrapper', 'job'],
    ['job', 'holder', 'wrapper'],
    ['job', 'wrapper', 'holder'],
    ['wrapper', 'job', 'holder'],
    ['holder', 'job', 'wrapper'],
  ] as const;

  it.each(orders)('%s, %s, %s: one end, nothing is left, the command ran once', LIMIT, async (...order) => {
    const marker = join(temporaryFolder(), 'ran');
    const first = start(coordinator, sh(`echo x >> ${marker}; echo ready; exec sleep 600`));
    await output('ready\n');
    const { job, holder } = await parts(first);
    for (const victim of order) {
      if (victim === 'wrapper') first.process.kill('SIGKILL');
      else signalProcess(victim === 'job' ? job : holder, 'SIGKILL');
    }
    await first.ended;
    // The wrapper may have reported the end before its turn came.
    if (existsSync(join(first.spool, 'state.json'))) await again(first).ended;
    const ends = coordinator.events.filter(({ type }) => ['exit', 'error', 'interrupted'].includes(type));
    expect(ends).toHaveLength(1);
    expect(readFileSync(marker, 'utf8')).toBe('x\n');
    await until(() => !isRunning(job.pid) && !isRunning(holder.pid), 'nothing is left');
    expect(statSync(first.spool).isDirectory()).toBe(true);
    expect(coordinator.faults).toEqual([]);
  });
});
