/**
 * Decides what a boot does with the spool that it found, at its first welcome. Pure: the supervisor
 * carries it out.
 *
 *   SV1  The job begins after the first welcome, unless its end was requested by then.
 *   SV2  The command runs once per spool: a boot that finds that an earlier one began it, or wrote
 *        anything, reports the crash instead. The coordinator's count is as good a proof as the
 *        spool: an earlier boot wrote what it has.
 *   SV10 A job that is still held is adopted: it goes on, and its own end is reported.
 *
 * The order of the checks matters. An existing terminal fact stays the only one (SV4), and a signal
 * that this boot received does not turn an earlier boot's crash into an interrupt.
 */

import { type EarlyStop, endBeforeBeginning, endByCrash, type TerminalFact, WRAPPER_FAILED } from '../job/end.ts';

export interface BootFacts {
  /** The terminal fact is in the spool, as its last event. */
  terminal: boolean;
  /** The exit code that was recorded with it, or that it contains. */
  exitCode: number | null;
  /** A terminal fact that a damaged spool had before other events. */
  displacedEnd: TerminalFact | null;
  /** An earlier boot has begun the job, or left events here or with the coordinator. */
  crashed: boolean;
  begun: boolean;
  /** A holder still has the job, or has noted how it ended. */
  held: boolean;
  /** A description of running processes of that job. */
  leftovers: string | null;
  /** `--recover`: never run anything. */
  recoverOnly: boolean;
  earlyStop: EarlyStop | null;
}

export type BootTask =
  /** Only its delivery is left. */
  | { kind: 'deliver'; exitCode: number }
  /** The job goes on, or has ended and its end is known (SV10). */
  | { kind: 'adopt' }
  | { kind: 'report_crash'; error: string; end: TerminalFact }
  /** Append it again, now as the last event. */
  | { kind: 'report_end'; end: TerminalFact }
  | { kind: 'report_stop'; end: TerminalFact }
  | { kind: 'run' };

export function decideAtBoot(facts: BootFacts): BootTask {
  const { terminal, exitCode, displacedEnd, crashed, begun, held, leftovers, recoverOnly, earlyStop } = facts;
  if (terminal) return { kind: 'deliver', exitCode: exitCode ?? WRAPPER_FAILED }; // SV4
  if (displacedEnd) return { kind: 'report_end', end: displacedEnd };
  if (begun && held) return { kind: 'adopt' };
  if (crashed || recoverOnly) {
    const end = endByCrash(begun, leftovers);
    return { kind: 'report_crash', error: end.data.error, end }; // SV2
  }
  if (earlyStop) return { kind: 'report_stop', end: endBeforeBeginning(earlyStop) }; // SV1
  return { kind: 'run' };
}
