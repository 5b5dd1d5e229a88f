/**
 * How a job ended, in its two forms: the terminal fact, which is the last event, and the exit code
 * of this process. Pure.
 *
 *     what happened                                     terminal fact             exit code
 *     the job could not be started                      error (spawn_failed)      127
 *     it ended without a signal that was passed here    exit                      own or 128 + signal
 *     it ended after a signal that was passed here
 *       with 0                                          exit                      0
 *       otherwise                                       interrupted               own or 128 + signal
 *     its end was requested before it had begun         interrupted               128 + signal
 *     its wrapper died before it was held               error (wrapper_crashed)   125
 *     its holder was killed                             error (holder_killed)     125
 *     it did not end although it was killed             interrupted               137
 *     its output could not be stored, it was stopped    error (spool_failed)      125
 *
 * An interrupt by the coordinator is an `exit` like any other; the coordinator decides what it
 * means. `toldToStop` says whether the interrupt reached the job before its end: a job that had
 * ended by itself was not interrupted, however late that is reported (LIF37).
 */

import type { HoldfastEvent, TerminalStatus } from '../../protocol/index.ts';
import { signalAsReason } from '../run/stop-reason.ts';
import type { ChildExit } from './child.ts';
import { signalNumber } from './signals.ts';

/**
 * The wrapper itself failed: it was refused, could not reach the coordinator, or does not know how
 * the job ended.
 */
export const WRAPPER_FAILED = 125;
const COMMAND_NOT_FOUND = 127;

export interface TerminalFact {
  type: 'exit' | 'error' | 'interrupted';
  data: Record<string, unknown>;
  /** Of this process. */
  exitCode: number;
}

/** The job must not begin: its end was requested before it had begun. */
export interface EarlyStop {
  reason: string;
  exitCode: number;
  at: number;
}

export const exitCodeOf = (exitCode: number | null, signal: string | null): number =>
  exitCode ?? 128 + (signal ? signalNumber(signal) : 0);

/** How the end of a running job was requested. */
export interface StopFacts {
  /** The first signal that this process received and passed to the job. */
  passedSignal: NodeJS.Signals | null;
  toldToStop: boolean;
}

/** What else is known of the end. */
export interface EndFacts {
  /** What could not be stopped of a job that was asked to, in words. */
  left?: string | null;
  /** The kernel has killed a process of the control group, because memory ran out. */
  outOfMemory?: boolean;
}

const remains = (left: string | null) => (left === null ? {} : { left });

/** `reasonOf` returns why this process received the signal that it passed on. */
export function endOfChild(
  exit: ChildExit,
  { passedSignal, toldToStop }: StopFacts,
  reasonOf: (signal: NodeJS.Signals) => string = signalAsReason,
  { left = null, outOfMemory = false }: EndFacts = {},
): TerminalFact {
  switch (exit.kind) {
    case 'not_started':
      return {
        type: 'error',
        data: { error: exit.message, code: 'spawn_failed', fatal: true },
        exitCode: COMMAND_NOT_FOUND,
      };
    case 'unknown': {
      const error = 'the process that waits for the job was killed, so how the job ended is not known';
      return { type: 'error', data: { error, code: 'holder_killed', fatal: true }, exitCode: WRAPPER_FAILED };
    }
    case 'not_stopped': {
      const reason = passedSignal ? reasonOf(passedSignal) : 'the job was asked to stop';
      return { type: 'interrupted', data: { reason, ...remains(left) }, exitCode: exitCodeOf(null, 'SIGKILL') };
    }
    case 'exited': {
      const { signal } = exit;
      const exitCode = exitCodeOf(exit.exitCode, signal);
      // A job that was asked to stop and exits with 0 is reported as successful: the wrapper cannot
      // know better.
      if (passedSignal && exitCode !== 0) {
        const reason = reasonOf(passedSignal);
        return { type: 'interrupted', data: { reason, exitCode: exit.exitCode, signal, ...remains(left) }, exitCode };
      }
      // A shell reports the death of its child by 137.
      const killed = exitCode === exitCodeOf(null, 'SIGKILL') && !toldToStop && outOfMemory;
      const data = { exitCode: exit.exitCode, signal, toldToStop, ...(killed && { outOfMemory: true }), ...remains(left) };
      return { type: 'exit', data, exitCode };
    }
    default:
      return exit satisfies never;
  }
}

export const endBeforeBeginning = ({ reason, exitCode }: EarlyStop): TerminalFact => ({
  type: 'interrupted',
  data: { reason },
  exitCode,
});

/** `leftovers`: a description of what was found of the job. */
export function endByCrash(begun: boolean, leftovers: string | null): TerminalFact & { data: { error: string } } {
  const died = begun ? 'the wrapper died while the job was running' : 'the wrapper died before it had started the job';
  const error = leftovers ? `${died}; ${leftovers}` : died;
  return { type: 'error', data: { error, code: 'wrapper_crashed', fatal: true }, exitCode: WRAPPER_FAILED };
}

/** The wrapper could not do what the start requires, and nothing was run. */
export function endNotBegun(error: string): TerminalFact {
  return { type: 'error', data: { error, code: 'not_begun', fatal: true }, exitCode: WRAPPER_FAILED };
}

/**
 * The execution is settled before this boot ran anything. An earlier boot may have recorded the
 * job's exit code (`noted`). Otherwise the status from the coordinator (null if it sent no status)
 * is all that is known.
 */
export function exitCodeWhenSettled(noted: number | null, status: TerminalStatus | null): number {
  return noted ?? (status === 'completed' ? 0 : WRAPPER_FAILED);
}

/** `why`: the disk's error. */
export function endBySpool(why: string): TerminalFact {
  const error = `the job was stopped, because its output could not be written to the spool: ${why}`;
  return { type: 'error', data: { error, code: 'spool_failed', fatal: true }, exitCode: WRAPPER_FAILED };
}

/** A terminal fact that is read back from the spool. Null: it contains no exit code. */
export function endOfEvent({ type, data }: HoldfastEvent): Omit<TerminalFact, 'exitCode'> & { exitCode: number | null } {
  const end = { type: type as TerminalFact['type'], data };
  if (type === 'error') return { ...end, exitCode: data.code === 'spawn_failed' ? COMMAND_NOT_FOUND : WRAPPER_FAILED };
  const { exitCode, signal } = data as { exitCode?: number | null; signal?: string | null };
  const isKnown = typeof exitCode === 'number' || typeof signal === 'string';
  return { ...end, exitCode: isKnown ? exitCodeOf(exitCode ?? null, signal ?? null) : null };
}
