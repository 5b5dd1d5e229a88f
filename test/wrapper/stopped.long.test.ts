/**
 * Goal: a wrapper that was stopped for longer than it may try does not give up when it wakes. It
 * makes one more attempt first.
 * Method: the wrapper as a process that gets SIGSTOP, and SIGCONT when its time is certainly over.
 * The monotonic clock continues meanwhile, which is the harder case: on a sleeping machine that
 * clock may stop too.
 */

import { afterEach, beforeEach, expect, it } from 'vitest';
import { FakeCoordinator, problemAnswer } from '../support/fake-coordinator.ts';
import { gate, removeTemporaryFolders, sleep, startWrapper, type WrapperProcess } from '../support/wrapper-run.ts';

const BUDGET_MS = 1500;
const PROGRAM = new URL('../support/wrapper-with-times.ts', import.meta.url).pathname;

let coordinator: FakeCoordinator;
let wrapper: WrapperProcess | null = null;
beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
});
afterEach(async () => {
  wrapper?.process.kill('SIGKILL');
  await coordinator.stop();
  removeTemporaryFolders();
});

function start(command: string[], times: Record<string, number>): WrapperProcess {
  wrapper = startWrapper(coordinator, command, { program: [process.execPath, PROGRAM, JSON.stringify(times)] });
  return wrapper;
}

/** Longer than every budget here, so that the wrapper finds all of it gone. */
async function stopped({ process }: WrapperProcess, meanwhile: () => void): Promise<void> {
  process.kill('SIGSTOP');
  await sleep(2 * BUDGET_MS);
  meanwhile();
  process.kill('SIGCONT');
}

it('[SPL31] stopped before its first welcome, it still asks once more, and runs its command', async () => {
  coordinator.refuse = () => ({ status: 503 });
  coordinator.refusePost = () => ({ status: 503 });
  const run = start(['sh', '-c', 'echo ran'], { firstWelcomeBudgetMs: BUDGET_MS });
  await coordinator.until(() => coordinator.dials.length > 0, 'the first attempt');
  await stopped(run, () => {
    coordinator.refuse = () => null;
    coordinator.refusePost = () => null;
  });
  expect(await run.ended).toEqual({ code: 0, signal: null });
  expect(coordinator.text()).toBe('ran\n');
});

it('[SPL31] stopped before its first welcome, it gives up when that one attempt fails too', async () => {
  coordinator.refuse = () => ({ status: 503 });
  coordinator.refusePost = () => ({ status: 503 });
  const run = start(['sh', '-c', 'echo must not run'], { firstWelcomeBudgetMs: BUDGET_MS });
  await coordinator.until(() => coordinator.dials.length > 0, 'the first attempt');
  const before = coordinator.dials.length;
  await stopped(run, () => {});
  expect((await run.ended).code).toBe(125);
  expect(coordinator.dials.length).toBeGreaterThan(before);
  expect(coordinator.text()).toBe('');
});

it('[SPL31] stopped while a coordinator refuses it, it asks once more before it believes that', async () => {
  const refused = () => problemAnswer('session_not_found');
  coordinator.refuse = refused;
  coordinator.refusePost = refused;
  const run = start(['sh', '-c', 'echo ran'], { refusedBudgetMs: BUDGET_MS });
  await coordinator.until(() => coordinator.dials.length > 0, 'the first refusal');
  await stopped(run, () => {
    coordinator.refuse = () => null;
    coordinator.refusePost = () => null;
  });
  expect(await run.ended).toEqual({ code: 0, signal: null });
  expect(coordinator.text()).toBe('ran\n');
});

it('[SPL31] stopped while the report of its job is under way, it still delivers that', async () => {
  coordinator.policy = { ...coordinator.policy, disconnectGraceMs: 1000 };
  const end = gate();
  const run = start(['sh', '-c', `echo ready; ${end.wait}; echo last; exit 7`], { drainBudgetMinMs: BUDGET_MS });
  await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
  coordinator.acks = false;
  end.open();
  await coordinator.until(() => coordinator.text().includes('last'), 'the end of the job');
  await stopped(run, () => {
    coordinator.acks = true;
    coordinator.last.cut();
  });
  expect(await run.ended).toEqual({ code: 7, signal: null });
  expect(coordinator.events.at(-1)).toMatchObject({ type: 'exit', data: { exitCode: 7 } });
});
