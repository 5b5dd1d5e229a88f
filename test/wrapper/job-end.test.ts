/**
 * Goal: each way in which a job can end is reported correctly, as a terminal fact and as an exit
 * code.
 */

import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import {
  endBeforeBeginning,
  endByCrash,
  endOfChild,
  exitCodeOf,
  exitCodeWhenSettled,
  WRAPPER_FAILED,
} from '../../wrapper/job/end.ts';

const exited = (exitCode: number | null, signal: NodeJS.Signals | null) =>
  ({ kind: 'exited', exitCode, signal, pipesLeftOpen: false }) as const;
const BY_ITSELF = { passedSignal: null, toldToStop: false };
const signalled = (passedSignal: NodeJS.Signals) => ({ passedSignal, toldToStop: true });

describe('a job that ended', () => {
  it.each([
    [0, null, 0],
    [3, null, 3],
    [null, 'SIGKILL', 137],
    [null, 'SIGINT', 130],
  ] as const)('with code %j and signal %j: exit, and %i', (code, signal, exitCode) => {
    expect(endOfChild(exited(code, signal), BY_ITSELF)).toEqual({
      type: 'exit',
      data: { exitCode: code, signal, toldToStop: false },
      exitCode,
    });
  });

  it.each([
    [3, null, 3],
    [null, 'SIGTERM', 143],
  ] as const)('with code %j and signal %j after a signal was passed on: interrupted, and %i', (code, signal, exitCode) => {
    expect(endOfChild(exited(code, signal), signalled('SIGHUP'))).toEqual({
      type: 'interrupted',
      data: { reason: 'wrapper received SIGHUP', exitCode: code, signal },
      exitCode,
    });
  });

  it('with 0 after a signal was passed on is believed', () => {
    expect(endOfChild(exited(0, null), signalled('SIGTERM'))).toEqual({
      type: 'exit',
      data: { exitCode: 0, signal: null, toldToStop: true },
      exitCode: 0,
    });
  });

  it('before it was a process: spawn_failed and 127, whatever was passed on', () => {
    const end = { type: 'error', data: { error: 'spawn x ENOENT', code: 'spawn_failed', fatal: true }, exitCode: 127 };
    expect(endOfChild({ kind: 'not_started', message: 'spawn x ENOENT' }, BY_ITSELF)).toEqual(end);
    expect(endOfChild({ kind: 'not_started', message: 'spawn x ENOENT' }, signalled('SIGTERM'))).toEqual(end);
  });
});

describe('a job that this boot did not run', () => {
  it('because its end was asked for first: interrupted, with the reason', () => {
    expect(endBeforeBeginning({ reason: 'asked to', exitCode: 130, at: 5 })).toEqual({
      type: 'interrupted',
      data: { reason: 'asked to' },
      exitCode: 130,
    });
  });

  it.each([
    [true, null, 'the wrapper died while the job was running'],
    [false, null, 'the wrapper died before it had started the job'],
    [true, 'its group was killed', 'the wrapper died while the job was running; its group was killed'],
  ])('because its wrapper died (begun: %j, leftovers: %j): wrapper_crashed and 125', (begun, leftovers, error) => {
    expect(endByCrash(begun, leftovers)).toEqual({
      type: 'error',
      data: { error, code: 'wrapper_crashed', fatal: true },
      exitCode: WRAPPER_FAILED,
    });
  });

  it.each([
    [6, 'failed', 6],
    [6, null, 6],
    [0, 'failed', 0],
    [null, 'completed', 0],
    [null, 'failed', 125],
    [null, 'interrupted', 125],
    [null, null, 125],
  ] as const)('because the execution is settled (noted: %j, status: %j): %i', (noted, status, exitCode) => {
    expect(exitCodeWhenSettled(noted, status)).toBe(exitCode);
  });
});

it('an exit code is the code, or 128 and the signal', () => {
  for (const signal of ['SIGHUP', 'SIGINT', 'SIGTERM', 'SIGKILL'] as const) {
    expect(exitCodeOf(null, signal)).toBe(128 + constants.signals[signal]);
    expect(exitCodeOf(0, signal)).toBe(0);
  }
  expect(exitCodeOf(null, null)).toBe(128);
});
