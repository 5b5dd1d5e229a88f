/**
 * What a restarted wrapper must know in addition to the events: its identity, and how far the job
 * got. Two small files.
 *
 *     state.json      everything; replaced as a whole with each change
 *     identity.json   the identity; written once, when the spool is created
 *
 *   ST1  `job.begun` is synced before the process exists: neither a crash of this process nor a
 *        power loss makes a later boot run the command a second time. Creating the spool and this
 *        one change are synced; no other promise depends on the disk.
 *   ST2  A command's id is on disk before the command is carried out: at most once, also across a
 *        restart.
 *   ST3  A missing or damaged state is rebuilt from the identity: the job then counts as begun,
 *        because that is unknown.
 */

import { join } from 'node:path';
import { isId, newWrapperId, type Policy, type TerminalSize } from '../../protocol/index.ts';
import { isObject, type JsonObject, parseJson } from '../../protocol/json.ts';
import type { Mark } from '../job/tree.ts';
import { nodeFiles, replaceFile, type SpoolFiles } from './files.ts';

export const STATE_FILE = 'state.json';
export const IDENTITY_FILE = 'identity.json';
/** Ids ascend, so the latest ones are enough: older ones were acked long ago. */
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
    /** With the pid it identifies whether a process of that number is still the job. */
    start: string | null;
    /**
     * Identities of its output pipes, by which its remaining processes are recognised. Empty
     * without pipes, absent in older files.
     */
    pipes?: string[];
    /** Exit code that the wrapper will return, once the terminal fact is written. */
    exitCode: number | null;
    /** The process that holds the job. Absent before it exists, and for a job of 0.1.0. */
    holder?: HolderRecord;
    /** The last interrupt that was passed on, for a wrapper that adopts the job. */
    interrupt?: { signal: 'SIGINT' | 'SIGTERM' | 'SIGKILL'; forceAfterMs: number };
  };
  /**
   * What the first welcome said, for a wrapper that adopts the job before its own first welcome.
   */
  terms?: {
    policy: Policy;
    secretNames: string[];
    /** By which the processes of the job are recognised. Absent in older files. */
    mark?: Mark;
    features: readonly string[];
    merge?: true;
    output?: 'bytes';
    /** The newest size. */
    terminal?: TerminalSize;
  };
  /** The last boot that was welcomed. The runner counts its restarts from there. */
  welcomedBoot?: string;
  commandsDone: number[];
}

export interface HolderRecord {
  version: 1;
  /** Its folder: in the spool, or elsewhere where the spool's file system has no named pipes. */
  folder: string;
  pid: number;
  start: string;
  /** The job's stdin takes input. */
  openStdin: boolean;
}

export type SpoolIdentity = Pick<SpoolState, 'version' | 'wrapperId' | 'execution'>;

export const newSpoolState = (execution: string, bootId: string): SpoolState => ({
  version: 1,
  wrapperId: newWrapperId(),
  execution,
  bootId,
  job: { begun: false, pid: null, start: null, exitCode: null },
  commandsDone: [],
});

/** ST3 */
export const stateOfIdentity = ({ wrapperId, execution }: SpoolIdentity, bootId: string): SpoolState => {
  const state = newSpoolState(execution, bootId);
  return { ...state, wrapperId, job: { ...state.job, begun: true } };
};

function readJson(files: SpoolFiles, path: string): JsonObject | null {
  try {
    const value = parseJson(files.readWhole(path).toString('utf8'));
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

const isSoundIdentity = ({ version, wrapperId, execution }: JsonObject): boolean =>
  version === 1 && isId(wrapperId) && typeof execution === 'string';

const isSoundInterrupt = (interrupt: unknown): boolean =>
  interrupt === undefined ||
  (isObject(interrupt) &&
    ['SIGINT', 'SIGTERM', 'SIGKILL'].includes(String(interrupt.signal)) &&
    Number.isSafeInteger(interrupt.forceAfterMs));

const isSoundJob = (job: unknown): boolean => {
  if (!isObject(job)) return false;
  const { begun, pid, start, pipes, exitCode, interrupt } = job;
  const isInteger = (value: unknown) => value === null || Number.isSafeInteger(value);
  return (
    typeof begun === 'boolean' &&
    isInteger(pid) &&
    isInteger(exitCode) &&
    isSoundInterrupt(interrupt) &&
    (start === null || typeof start === 'string') &&
    (pipes === undefined || (Array.isArray(pipes) && pipes.every((pipe) => typeof pipe === 'string')))
  );
};

/** Null when it is missing or unusable. */
export function readSpoolState(directory: string, files: SpoolFiles = nodeFiles): SpoolState | null {
  const state = readJson(files, join(directory, STATE_FILE));
  if (!state || !isSoundIdentity(state) || !isSoundJob(state.job)) return null;
  if (!Array.isArray(state.commandsDone) || !state.commandsDone.every(Number.isSafeInteger)) return null;
  return state as unknown as SpoolState;
}

/** Null when it is missing, as in a spool of 0.1.0, or unusable. */
export function readSpoolIdentity(directory: string, files: SpoolFiles = nodeFiles): SpoolIdentity | null {
  const identity = readJson(files, join(directory, IDENTITY_FILE));
  return identity && isSoundIdentity(identity) ? (identity as unknown as SpoolIdentity) : null;
}

/** `durable`: it is synced when this returns (ST1). */
export function writeSpoolState(
  directory: string,
  state: SpoolState,
  { files = nodeFiles, durable = false }: { files?: SpoolFiles; durable?: boolean } = {},
): void {
  const kept = { ...state, commandsDone: state.commandsDone.slice(-COMMAND_IDS_MAX) };
  replaceFile(files, join(directory, STATE_FILE), JSON.stringify(kept), { durable });
}

export function writeSpoolIdentity(directory: string, { version, wrapperId, execution }: SpoolIdentity, files: SpoolFiles): void {
  replaceFile(files, join(directory, IDENTITY_FILE), JSON.stringify({ version, wrapperId, execution }), { durable: true });
}
