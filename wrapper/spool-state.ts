/**
 * What a restarted wrapper must know beside the events: who it is, and how far the job got. One small file, replaced as a whole.
 *
 *   ST1  `job.begun` is on disk before the process exists: a crash in between must not run the command a second time.
 *   ST2  A command's id is on disk before the command is carried out: once at most, also across a restart.
 */

import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isId, newWrapperId } from '../protocol/index.ts';

export const STATE_FILE = 'state.json';
/** Ids rise, so the newest ones are enough: what is older was acked long ago. */
const COMMAND_IDS_MAX = 1024;

export interface SpoolState {
  version: 1;
  wrapperId: string;
  /** Path of the ingest URL. The host may change between two boots; the execution may not. */
  execution: string;
  bootId: string;
  job: {
    begun: boolean;
    pid: number | null;
    /** With the pid it tells whether a process of that number is still the job. */
    start: string | null;
    /** Identities of its output pipes, by which what is left of it is recognised. Empty where there are none, absent in older files. */
    pipes?: string[];
    /** Exit code that the wrapper will give, once the terminal fact is written. */
    exitCode: number | null;
  };
  commandsDone: number[];
}

export const newSpoolState = (execution: string, bootId: string): SpoolState => ({
  version: 1,
  wrapperId: newWrapperId(),
  execution,
  bootId,
  job: { begun: false, pid: null, start: null, exitCode: null },
  commandsDone: [],
});

/** Null when there is none, or none that can be used. A state is written by rename, so a torn one is not ours. */
export function readSpoolState(directory: string): SpoolState | null {
  try {
    const state = JSON.parse(readFileSync(join(directory, STATE_FILE), 'utf8')) as SpoolState;
    const sound =
      state.version === 1 &&
      isId(state.wrapperId) &&
      typeof state.execution === 'string' &&
      typeof state.job?.begun === 'boolean' &&
      Array.isArray(state.commandsDone);
    return sound ? state : null;
  } catch {
    return null;
  }
}

export function writeSpoolState(directory: string, state: SpoolState): void {
  const path = join(directory, STATE_FILE);
  const kept = { ...state, commandsDone: state.commandsDone.slice(-COMMAND_IDS_MAX) };
  writeFileSync(`${path}.tmp`, `${JSON.stringify(kept)}\n`, { mode: 0o600 });
  renameSync(`${path}.tmp`, path);
}
