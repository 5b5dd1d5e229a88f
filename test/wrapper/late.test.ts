/**
 * Late results from the wrapper's side (SPL46): what it does when its execution got a verdict while
 * it was away.
 * Method: real jobs and a coordinator that a test steers. The network is cut, the coordinator
 * writes its verdict, and the wrapper returns.
 */

import { existsSync, readdirSync } from 'node:fs';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readSpoolState } from '../../wrapper/spool/state.ts';
import { FakeCoordinator, pageAnswer } from '../support/fake-coordinator.ts';
import {
  gate,
  isRunning,
  removeTemporaryFolders,
  runInProcess,
  type StartedRun,
  startWrapper,
  until,
  type WrapperProcess,
} from '../support/wrapper-run.ts';

let coordinator: FakeCoordinator;
const processes: WrapperProcess[] = [];
beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
  coordinator.policy = { ...coordinator.policy, disconnectGraceMs: 1000 };
});
afterEach(async () => {
  for (const { process } of processes.splice(0)) process.kill('SIGKILL');
  await coordinator.stop();
  removeTemporaryFolders();
});

const sh = (script: string) => ['sh', '-c', script];

/** No connection gets through until the returned function is called. */
function cut(): () => void {
  coordinator.refuse = () => pageAnswer(502);
  coordinator.refusePost = () => pageAnswer(502);
  for (const connection of coordinator.connections) connection.cut();
  return () => {
    coordinator.refuse = () => null;
    coordinator.refusePost = () => null;
  };
}

const isEmpty = (spool: string): boolean => !existsSync(spool) || readdirSync(spool).length === 0;
const childExited = ({ log }: StartedRun): boolean => log.facts.some(({ name }) => name === 'child_exited');
const exits = () => coordinator.events.filter(({ type }) => type === 'exit').map(({ data }) => data);

it('[SPL46] only a hello after a welcome says `late`', async () => {
  const run = runInProcess(coordinator, sh('echo ready; sleep 0.2'));
  await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
  coordinator.last.cut();
  expect(await run.exitCode).toBe(0);
  const hellos = coordinator.connections.map(({ hello }) => hello);
  expect(hellos[0]?.late).toBeUndefined();
  expect(hellos.slice(1).map((hello) => hello?.late)).toEqual(hellos.slice(1).map(() => true));
  expect(hellos.length).toBeGreaterThan(1);
  expect(hellos[0]?.features).toEqual(expect.arrayContaining(['secretNames', 'late']));
});

it('[SPL46] a job that ended meanwhile is delivered to its end, and the spool is removed', async () => {
  const end = gate();
  const run = runInProcess(coordinator, sh(`echo ready; ${end.wait}; echo RESULT`));
  await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
  const heal = cut();
  end.open();
  await until(() => childExited(run), 'the end of the job');
  coordinator.overdue = 'takes_late';
  heal();
  expect(await run.exitCode).toBe(0);
  expect(coordinator.text()).toBe('ready\nRESULT\n');
  expect(exits()).toEqual([{ exitCode: 0, signal: null, toldToStop: false }]);
  expect(coordinator.faults).toEqual([]);
  expect(isEmpty(run.spool)).toBe(true);
});

it('[SPL46] a job that still runs is stopped once, and its last words and its end are delivered', async () => {
  const trap = 'trap "echo stopping; exit 9" TERM';
  const run = runInProcess(coordinator, sh(`${trap}; echo ready; while :; do sleep 0.05; done`));
  await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
  const heal = cut();
  coordinator.overdue = 'takes_late';
  // The first late connection is lost too: the job is not signalled again.
  coordinator.onFrame = (connection) => {
    if (coordinator.connections.filter(({ hello }) => hello?.late).length > 1) return true;
    connection.cut();
    return false;
  };
  heal();
  expect(await run.exitCode).toBe(9);
  expect(coordinator.text()).toBe('ready\nstopping\n');
  expect(exits()).toEqual([{ exitCode: 9, signal: null, toldToStop: true }]);
  expect(run.log.facts.filter(({ name }) => name === 'late')).toHaveLength(1);
  expect(run.log.problems.join('\n')).toContain('the job is stopped, and what is left is delivered as late');
  expect(coordinator.faults).toEqual([]);
  expect(isEmpty(run.spool)).toBe(true);
});

it('[SPL46] a job that ignores SIGTERM is killed, and that is delivered', async () => {
  const run = runInProcess(coordinator, sh('trap "" TERM; echo ready; while :; do sleep 0.05; done'), {
    times: { killAfterMs: 200 },
  });
  await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
  const heal = cut();
  coordinator.overdue = 'takes_late';
  heal();
  expect(await run.exitCode).toBe(137);
  expect(exits()).toEqual([{ exitCode: null, signal: 'SIGKILL', toldToStop: true }]);
});

it('[SPL46] over POST too', async () => {
  const end = gate();
  const run = runInProcess(coordinator, sh(`echo ready; ${end.wait}; echo RESULT; exit 4`), { transport: 'http' });
  await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
  const heal = cut();
  end.open();
  await until(() => childExited(run), 'the end of the job');
  coordinator.overdue = 'takes_late';
  heal();
  expect(await run.exitCode).toBe(4);
  expect(coordinator.text()).toBe('ready\nRESULT\n');
  expect(exits()).toMatchObject([{ exitCode: 4 }]);
});

it('[SPL46] a later boot on the spool of a wrapper that died says `late` at once, and stops the job that it adopts', async () => {
  const first = startWrapper(coordinator, sh('echo ready; exec sleep 60'));
  processes.push(first);
  await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
  first.process.kill('SIGKILL');
  await first.ended;
  const pid = readSpoolState(first.spool)?.job.pid as number;
  coordinator.overdue = 'takes_late';
  const second = startWrapper(coordinator, sh('echo must not run'), { spool: first.spool });
  processes.push(second);
  expect((await second.ended).code).toBe(143);
  expect(coordinator.last.hello?.late).toBe(true);
  expect(coordinator.text()).toBe('ready\n');
  expect(coordinator.events.at(-1)).toMatchObject({ type: 'exit', data: { signal: 'SIGTERM', toldToStop: true } });
  await until(() => !isRunning(pid), 'the end of the job');
});

it('[ING7 SPL46] a coordinator that takes nothing late closes 4000: the job is stopped, and stderr says what its log lacks', async () => {
  const end = gate();
  const run = runInProcess(coordinator, sh(`echo ready; ${end.wait}; echo RESULT`));
  await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
  const heal = cut();
  end.open();
  await until(() => childExited(run), 'the end of the job');
  coordinator.overdue = 'refuses';
  heal();
  await run.exitCode;
  expect(coordinator.text()).toBe('ready\n');
  expect(run.log.problems.join('\n')).toMatch(/settled before 2 events were delivered/);
  expect(isEmpty(run.spool)).toBe(true);
});
