/**
 * Goal: a command runs once per spool, and what an earlier boot has said stays said.
 * Method: every combination of what a boot can find, against the rules in words.
 */

import { describe, expect, it } from 'vitest';
import { type BootFacts, decideAtBoot } from '../../wrapper/run/boot.ts';

const NEW: BootFacts = {
  terminal: false,
  exitCode: null,
  displacedEnd: null,
  crashed: false,
  begun: false,
  held: false,
  leftovers: null,
  recoverOnly: false,
  earlyStop: null,
};
const earlyStop = { reason: 'wrapper received SIGTERM', exitCode: 143, at: 1 };

const every: BootFacts[] = [false, true].flatMap((terminal) =>
  [false, true].flatMap((crashed) =>
    [false, true].flatMap((recoverOnly) =>
      [null, earlyStop].map((stop) => ({ ...NEW, terminal, crashed, begun: crashed, recoverOnly, earlyStop: stop })),
    ),
  ),
);

describe('a boot', () => {
  it('[SV1] [SV2] runs the command only on a new spool without a stop request', () => {
    expect(every.filter((facts) => decideAtBoot(facts).kind === 'run')).toEqual([NEW]);
  });

  it('[SV4] writes no second terminal fact', () => {
    for (const facts of every) expect(decideAtBoot(facts).kind === 'deliver').toBe(facts.terminal);
  });

  it('[SV10] adopts a job that is held, unless its end is there already', () => {
    for (const facts of every.filter(({ begun }) => begun)) {
      expect(decideAtBoot({ ...facts, held: true }).kind).toBe(facts.terminal ? 'deliver' : 'adopt');
    }
    expect(decideAtBoot({ ...NEW, held: true })).toEqual({ kind: 'run' });
  });

  it('delivers with the exit code that was noted, or with 125', () => {
    expect(decideAtBoot({ ...NEW, crashed: true, terminal: true, exitCode: 6 })).toEqual({ kind: 'deliver', exitCode: 6 });
    expect(decideAtBoot({ ...NEW, crashed: true, terminal: true })).toEqual({ kind: 'deliver', exitCode: 125 });
  });

  it('[SV2] reports the crash of an earlier one, although it got a signal itself', () => {
    const task = decideAtBoot({ ...NEW, crashed: true, begun: true, leftovers: 'its group was killed', earlyStop });
    expect(task).toMatchObject({
      kind: 'report_crash',
      error: 'the wrapper died while the job was running; its group was killed',
      end: { type: 'error', data: { code: 'wrapper_crashed' }, exitCode: 125 },
    });
  });

  it('[SV2] with --recover reports that the job was never started, and does not start it', () => {
    expect(decideAtBoot({ ...NEW, recoverOnly: true })).toMatchObject({
      kind: 'report_crash',
      error: 'the wrapper died before it had started the job',
    });
  });

  it('[SV1] reports an end that was asked for before the job had begun', () => {
    expect(decideAtBoot({ ...NEW, earlyStop })).toEqual({
      kind: 'report_stop',
      end: { type: 'interrupted', data: { reason: 'wrapper received SIGTERM' }, exitCode: 143 },
    });
  });
});
