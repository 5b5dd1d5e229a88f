/** A child that leads a process group (`detached`), which is signalled as a whole. */

import type { ChildProcess } from 'node:child_process';

export function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  if (pid === undefined) return; // It was not started.
  try {
    process.kill(-pid, signal);
  } catch {
    // The group has ended.
  }
}
