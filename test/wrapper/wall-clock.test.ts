/**
 * Goal: a wall clock that is set in the middle of a run changes nothing.
 * Method: the wrapper as a process of its own, whose wall clock the test moves by a preloaded
 * script.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeCoordinator } from '../support/fake-coordinator.ts';
import { gate, MAIN, removeTemporaryFolders, startWrapper, temporaryFolder } from '../support/wrapper-run.ts';

const PRELOAD = fileURLToPath(new URL('../support/wall-clock.mjs', import.meta.url));
const HOUR_MS = 3_600_000;

let coordinator: FakeCoordinator;
beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
});
afterEach(async () => {
  await coordinator.stop();
  removeTemporaryFolders();
});

function start(command: string[]) {
  const file = join(temporaryFolder(), 'shift');
  writeFileSync(file, '0');
  const wrapper = startWrapper(coordinator, command, {
    program: [process.execPath, '--import', PRELOAD, MAIN],
    env: { WALL_CLOCK_SHIFT: file },
  });
  return { wrapper, shift: (ms: number) => writeFileSync(file, String(ms)) };
}
const sh = (script: string) => ['sh', '-c', script];

describe('[SPL31] the wall clock is set', () => {
  it('an hour forward while the end of the job is being delivered during a cut: nothing is lost', async () => {
    const end = gate();
    const { wrapper, shift } = start(sh(`echo ready; ${end.wait}; echo more; exit 7`));
    await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
    coordinator.refuse = () => ({ status: 504 });
    coordinator.refusePost = () => ({ status: 504 });
    coordinator.last.cut();
    const cutDials = coordinator.dials.length;
    end.open();
    await coordinator.until(() => coordinator.dials.length >= cutDials + 2, 'attempts during the cut');
    shift(HOUR_MS);
    const jumpDials = coordinator.dials.length;
    await coordinator.until(() => coordinator.dials.length >= jumpDials + 2, 'attempts after the jump');
    coordinator.refuse = () => null;
    coordinator.refusePost = () => null;
    expect((await wrapper.ended).code).toBe(7);
    expect(coordinator.text()).toBe('ready\nmore\n');
  });

  it('an hour forward before the first welcome: the command is run', async () => {
    coordinator.refuse = () => ({ status: 504 });
    const { wrapper, shift } = start(sh('echo ran'));
    await coordinator.until(() => coordinator.dials.length >= 2, 'attempts');
    shift(HOUR_MS);
    const jumpDials = coordinator.dials.length;
    await coordinator.until(() => coordinator.dials.length >= jumpDials + 2, 'attempts after the jump');
    coordinator.refuse = () => null;
    expect((await wrapper.ended).code).toBe(0);
    expect(coordinator.text()).toBe('ran\n');
  });

  it('an hour back between SIGINT and SIGKILL of an interrupt that the job ignores: it is killed in time', async () => {
    const { wrapper, shift } = start(sh('trap "" INT TERM; echo ready; while :; do sleep 0.1; done'));
    await coordinator.until(() => coordinator.text() === 'ready\n', 'ready');
    const askedAt = performance.now();
    coordinator.sendCommand({ id: 1, command: 'interrupt', data: { signal: 'SIGINT', forceAfterMs: 1000, reason: 'asked' } });
    await coordinator.until(() => coordinator.ackedCommands.length > 0, 'the command');
    shift(-HOUR_MS);
    expect((await wrapper.ended).code).toBe(137);
    expect(performance.now() - askedAt).toBeLessThan(20_000);
  });
});
