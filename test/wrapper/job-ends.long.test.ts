/**
 * Goal: [FCT] the end that is reported is the one that the job had, for every signal and for exit
 * codes that look like a signal.
 * Method: real jobs under real holders. The wrappers run in this process.
 */

import { afterEach, describe, expect, it } from 'vitest';
import type { TerminalSize } from '../../protocol/index.ts';
import { signalName } from '../../wrapper/job/signals.ts';
import { FakeCoordinator } from '../support/fake-coordinator.ts';
import { ownRun, removeTemporaryFolders, runInProcess } from '../support/wrapper-run.ts';

afterEach(removeTemporaryFolders);

async function endOf(script: string, terminal?: TerminalSize): Promise<{ code: number; end: unknown; text: string }> {
  const coordinator = await new FakeCoordinator().start();
  if (terminal) coordinator.job = { ...ownRun(), terminal };
  try {
    const code = await runInProcess(coordinator, ['sh', '-c', script], { times: { settledWaitMs: 1 } }).exitCode;
    const { exitCode, signal } = coordinator.events.at(-1)?.data ?? {};
    expect(coordinator.faults).toEqual([]);
    return { code, end: { exitCode, signal }, text: coordinator.text() + coordinator.text('stderr') + coordinator.text('tty') };
  } finally {
    await coordinator.stop();
  }
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, index) => from + index);
const SIGNALS = process.platform === 'linux' ? range(1, 64) : range(1, 31);
const number = (name: NodeJS.Signals): number => SIGNALS.find((each) => signalName(each) === name) ?? 0;
/** The job goes on. A stop signal of a terminal is ignored in a session without one (POSIX). */
const HARMLESS = new Set(
  (['SIGCHLD', 'SIGCONT', 'SIGURG', 'SIGWINCH', 'SIGTSTP', 'SIGTTIN', 'SIGTTOU'] as const).map((name) => number(name)),
);
/** It stops the job, which then neither goes on nor ends: see job-shapes.long.test.ts. */
const STOP = number('SIGSTOP');
const DEADLY = SIGNALS.filter((each) => !HARMLESS.has(each) && each !== STOP);

const AT_ONCE = 6;
async function each<T>(items: readonly number[], carryOut: (item: number) => Promise<T>): Promise<Record<number, T>> {
  const results: Record<number, T> = {};
  const waiting = [...items];
  const worker = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) results[next] = await carryOut(next);
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return results;
}
const table = <T>(items: readonly number[], value: (item: number) => T): Record<number, T> =>
  Object.fromEntries(items.map((item) => [item, value(item)]));

describe('[TTY14] a job in a terminal', () => {
  const terminal = { cols: 80, rows: 24 };
  const codes = [0, 1, 126, 127, 128, 129, 137, 143, 162, 255];

  it('that dies by a signal is reported with it, real-time signals too', { timeout: 300_000 }, async () => {
    const ends = await each(DEADLY, (signal) => endOf(`echo out; kill -${signal} $$; sleep 30`, terminal));
    const expected = (signal: number) => ({
      code: 128 + signal,
      end: { exitCode: null, signal: signalName(signal) },
      text: 'out\r\n',
    });
    expect(ends).toEqual(table(DEADLY, expected));
  });

  it('that survives a signal, or exits, is reported with its own exit code', { timeout: 120_000 }, async () => {
    const signals = [...HARMLESS];
    const survived = await each(signals, (signal) => endOf(`kill -${signal} $$; exit 3`, terminal));
    expect(survived).toEqual(table(signals, () => ({ code: 3, end: { exitCode: 3, signal: null }, text: '' })));
    const ends = await each(codes, (code) => endOf(`echo out; exit ${code}`, terminal));
    expect(ends).toEqual(table(codes, (code) => ({ code, end: { exitCode: code, signal: null }, text: 'out\r\n' })));
  });

  it('that kills its whole group, with the shell that waits for it, is reported as killed', { timeout: 60_000 }, async () => {
    expect(await endOf('echo out; kill -9 0; sleep 30', terminal)).toEqual({
      code: 137,
      end: { exitCode: null, signal: 'SIGKILL' },
      text: 'out\r\n',
    });
    expect(await endOf('echo out; kill -34 0; sleep 30', terminal)).toMatchObject({ end: { exitCode: null, signal: 'SIG34' } });
  });
});

describe('a job that dies by a signal', () => {
  it('is reported with that signal, real-time signals too, and 128 + its number', { timeout: 300_000 }, async () => {
    const ends = await each(DEADLY, (signal) => endOf(`echo out; kill -${signal} $$; sleep 30`));
    const expected = (signal: number) => ({
      code: 128 + signal,
      end: { exitCode: null, signal: signalName(signal) },
      text: 'out\n',
    });
    expect(ends).toEqual(table(DEADLY, expected));
  });

  it('that does not end it: its own exit code is reported', { timeout: 120_000 }, async () => {
    const signals = [...HARMLESS];
    const ends = await each(signals, (signal) => endOf(`kill -${signal} $$; exit 3`));
    expect(ends).toEqual(table(signals, () => ({ code: 3, end: { exitCode: 3, signal: null }, text: '' })));
  });
});

describe('a job that exits', () => {
  const codes = [0, 1, 2, 125, 126, 127, 128, 129, 131, 134, 135, 137, 139, 143, 162, 178, 192, 193, 200, 254, 255];
  it('is reported with its exit code, also one that looks like a signal', { timeout: 120_000 }, async () => {
    const ends = await each(codes, (code) => endOf(`echo out; exit ${code}`));
    expect(ends).toEqual(table(codes, (code) => ({ code, end: { exitCode: code, signal: null }, text: 'out\n' })));
  });

  it('with 130 or 141 is reported with the signal: shells print no notice for those', { timeout: 60_000 }, async () => {
    const ends = await each([130, 141], (code) => endOf(`exit ${code}`));
    const end = (signal: string, code: number) => ({ code, end: { exitCode: null, signal }, text: '' });
    expect(ends).toEqual({ 130: end('SIGINT', 130), 141: end('SIGPIPE', 141) });
  });
});
