/**
 * How an execution is shown as a process. Pure.
 *
 * SP1  No end is invented: an exit code is the job's own, or 128 + n for a death by signal n.
 *      Where neither is known, the status is `error`, or `killed` for a process that never began.
 */

import type { Execution } from '@holdfast/client';
import type { ProcessStatus } from './types.ts';

// biome-ignore format: a table of Linux, from signal 1
const SIGNALS = ['HUP', 'INT', 'QUIT', 'ILL', 'TRAP', 'ABRT', 'BUS', 'FPE', 'KILL', 'USR1', 'SEGV', 'USR2', 'PIPE', 'ALRM', 'TERM',
  'STKFLT', 'CHLD', 'CONT', 'STOP', 'TSTP', 'TTIN', 'TTOU', 'URG', 'XCPU', 'XFSZ', 'VTALRM', 'PROF', 'WINCH', 'IO', 'PWR', 'SYS'];

/** What an execution and the event of its verdict have in common. */
type End = Pick<Execution, 'status'> & { exitCode?: number | null; signal?: string | null; code?: string; error?: string };

/** SP1. `SIG34` and above have no name. */
export function exitCodeOf({ exitCode, signal }: End): number | undefined {
  if (typeof exitCode === 'number') return exitCode;
  if (typeof signal !== 'string') return undefined;
  const name = signal.slice(3);
  const number = SIGNALS.indexOf(name) + 1 || Number(name);
  return Number.isNaN(number) ? undefined : 128 + number;
}

export function statusOf(end: End): ProcessStatus {
  if (end.status === 'queued' || end.status === 'pending') return 'starting';
  if (end.status === 'running' || end.status === 'completed') return end.status;
  if (end.status === 'interrupted' || end.code === 'runtime_exceeded' || end.code === 'out_of_memory') return 'killed';
  if (end.code !== 'exit_nonzero') return 'error';
  // A shell reports the death of its last command like this, and so did 0.12.
  const exitCode = exitCodeOf(end);
  return typeof end.signal === 'string' || exitCode === 137 || exitCode === 143 ? 'killed' : 'failed';
}
