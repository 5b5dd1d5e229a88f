/**
 * Ends the jobs that a test has left: a job outlives its wrapper, so killing that is not enough.
 */

import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { isAlive, processTree, signalProcess } from '../../wrapper/processes.ts';
import { readSpoolState } from '../../wrapper/spool/state.ts';

/**
 * Of a runner: its spool, the session, the execution, the spool of the run. One more for a stack.
 */
const DEPTH = 6;

/** Ends every job whose spool lies in this folder, and its holder. */
export function endJobsIn(folder: string, depth = DEPTH): void {
  const { pid, start, holder } = readSpoolState(folder)?.job ?? {};
  if (holder && isAlive(holder)) for (const each of processTree(holder.pid)) signalProcess(each, 'SIGKILL');
  if (pid && start) signalProcess({ pid, start }, 'SIGKILL');
  if (depth === 0) return;
  for (const entry of entriesOf(folder)) {
    if (entry.isDirectory() && entry.name !== 'node_modules') endJobsIn(join(folder, entry.name), depth - 1);
  }
}

function entriesOf(folder: string) {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return []; // It is removed already.
  }
}
