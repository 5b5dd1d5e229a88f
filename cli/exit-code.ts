/** The exit code for the end of an execution. */

import { constants } from 'node:os';
import type { Execution, TerminalStatus } from '../protocol/index.ts';

export const EXIT = {
  ok: 0,
  /** The user answered no to a question. */
  refused: 1,
  usage: 2,
  /** It exceeded its time limit: the exit code of coreutils' `timeout`. */
  timedOut: 124,
  /** The coordinator failed, or the execution failed without an exit code of its own. */
  coordinator: 125,
  interrupted: 130,
  terminated: 143,
  /** 128 + SIGPIPE: the reader of our output left before the job's end was known. */
  brokenPipe: 141,
} as const;

export interface Ending {
  status: TerminalStatus;
  exitCode?: number | undefined;
  signal?: string | undefined;
  /** For a failure. */
  code?: string | undefined;
}

/** Success is never inferred (G9): only `completed` is 0. */
export function exitCodeOf({ status, exitCode, signal, code }: Ending): number {
  switch (status) {
    case 'completed':
      return EXIT.ok;
    case 'interrupted':
      return EXIT.interrupted;
    case 'failed': {
      // Whatever the job did with its signal, a script needs the reason for the stop.
      if (code === 'runtime_exceeded') return EXIT.timedOut;
      if (signal) {
        // A signal without a name is SIG34 and so on.
        const number = (constants.signals as Record<string, number>)[signal] ?? Number(/^SIG(\d{1,2})$/.exec(signal)?.[1] ?? 0);
        if (number > 0) return 128 + number;
      }
      // Shells keep eight bits; an exit code whose low bits are zero would look like success.
      return exitCode === undefined || (exitCode & 255) === 0 ? EXIT.coordinator : exitCode & 255;
    }
    default:
      return status satisfies never;
  }
}

/** An execution, or the fields of a verdict event. */
type DescribedEnding = { status: string } & {
  [K in 'code' | 'exitCode' | 'signal' | 'reason' | 'error' | 'forced']?: Execution[K] | undefined;
};

/** `failed (exit_nonzero, exit code 3)` */
export function describeEnding(execution: DescribedEnding): string {
  const { status, code, exitCode, signal, reason, error, forced } = execution;
  const facts = [
    status === 'failed' ? code : undefined,
    signal ? `signal ${signal}` : exitCode !== undefined && status !== 'completed' ? `exit code ${exitCode}` : undefined,
    reason || undefined,
    forced ? 'forced' : undefined,
    status === 'failed' && exitCode === undefined && !signal ? error : undefined,
  ].filter((fact) => fact !== undefined);
  return facts.length > 0 ? `${status} (${facts.join(', ')})` : status;
}

/** The job ran; its exit code or signal is the whole explanation. */
export const endedByItself = (code: unknown): boolean => code === undefined || code === 'exit_nonzero';
