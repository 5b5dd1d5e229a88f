/**
 * What a boot has to do with the spool that it found, once it is welcomed for the first time. Pure: the supervisor does it.
 *
 *   SV1  The job begins after the first welcome and not if its end was asked for by then.
 *   SV2  The command runs once per spool: a boot that finds an earlier one began it, or wrote anything, reports the crash instead. The coordinator's count is
 *        as good a proof as the spool: what it has, somebody wrote.
 *
 * The order of the questions matters. A terminal fact that is there already stays the only one (SV4), and what an earlier boot left is not made
 * an interrupt by a signal that this one got.
 */

import { type EarlyStop, endBeforeBeginning, endByCrash, type TerminalFact, WRAPPER_FAILED } from '../job/end.ts';

export interface BootFacts {
  /** The terminal fact is in the spool, as its last event. */
  terminal: boolean;
  /** Exit code that was noted with it, or that it tells. */
  exitCode: number | null;
  /** A terminal fact that a damaged spool had before other events. */
  displacedEnd: TerminalFact | null;
  /** An earlier boot has begun the job, or left events here or with the coordinator. */
  crashed: boolean;
  begun: boolean;
  /** What was found running of that job, in words. */
  leftovers: string | null;
  /** `--recover`: never run anything. */
  recoverOnly: boolean;
  earlyStop: EarlyStop | null;
}

export type BootTask =
  /** All that is left is to deliver it. */
  | { kind: 'deliver'; exitCode: number }
  | { kind: 'report_crash'; error: string; end: TerminalFact }
  /** Say that again, now as the last event. */
  | { kind: 'report_end'; end: TerminalFact }
  | { kind: 'report_stop'; end: TerminalFact }
  | { kind: 'run' };

export function decideAtBoot(facts: BootFacts): BootTask {
  const { terminal, exitCode, displacedEnd, crashed, begun, leftovers, recoverOnly, earlyStop } = facts;
  if (terminal) return { kind: 'deliver', exitCode: exitCode ?? WRAPPER_FAILED }; // SV4
  if (displacedEnd) return { kind: 'report_end', end: displacedEnd };
  if (crashed || recoverOnly) {
    const end = endByCrash(begun, leftovers);
    return { kind: 'report_crash', error: end.data.error, end }; // SV2
  }
  if (earlyStop) return { kind: 'report_stop', end: endBeforeBeginning(earlyStop) }; // SV1
  return { kind: 'run' };
}
