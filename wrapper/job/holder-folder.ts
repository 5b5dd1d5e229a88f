/**
 * The holder's folder, `<spool>/holder`: its program, its pipes and its notes (holder-script).
 *
 *     holder.sh   its program            holder      its pid
 *     out, err    the job's output       job         the job's pid, and /proc/<pid>/stat
 *     in          the job's stdin        end         how the job ended, as `$?`
 *     eof         ends the stdin         notice      what the shell printed about that
 *     events      `job`, `end`           failed      the command could not be executed
 *     release     ends the holder        fed         the given stdin was copied
 *     job.sh      starts the job in a    code        the same as `end`, noted in the terminal
 *                 terminal               screen      its last screen, for the next wrapper
 *
 *   HF1  The notes have their full length before the holder starts (HS5).
 *   HF2  A note that is not complete does not match its pattern and counts as not written.
 *   HF3  When the folder is removed, what the holder has open is reached by /proc/<holder>/fd.
 *   HF4  With a user of its own (user.ts) the job gets the files, and the wrapper keeps the folder.
 *        The folders above let that user through, and do not list their contents.
 */

import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  constants as fs,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { constants as os } from 'node:os';
import { join } from 'node:path';
import { holderProgram, holderScript } from './holder-script.ts';
import { SIGNAL_MAX, signalName } from './signals.ts';
import type { JobUser } from './user.ts';

const FOLDER = 'holder';
const MKFIFO_TIMEOUT_MS = 5000;
/** The job may run as another user and open its own output by name. The folder is private. */
const OUTPUT_MODE = '622';
const CONTROL_MODE = '600';
/** Others may go through the folder, and may not read or change it. */
const WALK_THROUGH_MODE = 0o711;
const NOTE_BYTES = { holder: 16, job: 640, end: 16, notice: 512, failed: 2, fed: 2, code: 16 } as const;
/** The file descriptors of the holder (holder-script). */
const DESCRIPTORS = { out: 3, err: 4, events: 5, release: 6, end: 7, notice: 2, eof: 1 } as const;

export type Pipe = 'out' | 'err' | 'in' | 'eof' | 'events' | 'release';

export const holderFolder = (spool: string): string => join(spool, FOLDER);

/**
 * Throws when the folder cannot be written, or the file system has no named pipes. Leaves nothing
 * then.
 */
export function makeHolderFolder(folder: string, user: JobUser | null = null): void {
  rmSync(folder, { recursive: true, force: true });
  try {
    fillHolderFolder(folder, user);
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

function fillHolderFolder(folder: string, user: JobUser | null): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  writeFileSync(holderProgram(folder), holderScript(), { mode: 0o600 });
  for (const [name, length] of Object.entries(NOTE_BYTES)) writeFileSync(join(folder, name), ' '.repeat(length), { mode: 0o600 });
  const makePipes = (mode: string, ...names: Pipe[]) =>
    execFileSync('mkfifo', ['-m', mode, ...names.map((name) => join(folder, name))], {
      stdio: 'ignore',
      timeout: MKFIFO_TIMEOUT_MS,
    });
  makePipes(user ? CONTROL_MODE : OUTPUT_MODE, 'out', 'err');
  makePipes(CONTROL_MODE, 'in', 'eof', 'events', 'release');
  if (user) giveFiles(folder, user);
}

/** HF4 */
function giveFiles(folder: string, { uid, gid }: JobUser): void {
  for (const name of readdirSync(folder)) chownSync(join(folder, name), uid, gid);
  letThrough(folder);
}

/** HF4. For a folder above that of a holder. */
export const letThrough = (folder: string): void => chmodSync(folder, WALK_THROUGH_MODE);

/**
 * Removes the holder's folder of this spool, and what a boot that died left in it. The keeper of
 * the job's stdin outlives a holder that was killed, and could not be reached afterwards.
 */
export function removeHolderFolder(spool: string): void {
  const folder = holderFolder(spool);
  endKeeper(folder, null);
  rmSync(folder, { recursive: true, force: true });
}

/** No more input: the keeper of the job's stdin ends. */
export function endKeeper(folder: string, holder: number | null): void {
  writeLine(folder, 'eof', holder);
}

/** Does nothing when there is no reader. */
export function writeLine(folder: string, pipe: 'eof' | 'release', holder: number | null): void {
  try {
    const file = openPipe(folder, pipe, 'write', holder);
    writeSync(file, 'end\n');
    closeSync(file);
  } catch {
    // The reader has ended.
  }
}

/** Where a pipe or note of a holder is: in its folder, or in the holder's hands (HF3). */
function pathOf(folder: string, name: string, holder: number | null): string {
  const path = join(folder, name);
  const descriptor = DESCRIPTORS[name as keyof typeof DESCRIPTORS] as number | undefined;
  if (existsSync(path) || holder === null || descriptor === undefined) return path;
  return `/proc/${holder}/fd/${descriptor}`;
}

/** Never blocks. Throws ENXIO when `write` finds no reader. */
export const openPipe = (folder: string, name: Pipe, direction: 'read' | 'write', holder: number | null): number =>
  openSync(pathOf(folder, name, holder), (direction === 'read' ? fs.O_RDONLY : fs.O_WRONLY) | fs.O_NONBLOCK);

/** `device:inode` of the output pipes: what has them open belongs to the job. */
export function outputPipeIds(folder: string): string[] {
  return ['out', 'err'].flatMap((name) => {
    const stat = statSync(join(folder, name), { bigint: true, throwIfNoEntry: false });
    return stat ? [`${stat.dev}:${stat.ino}`] : [];
  });
}

function readNote(folder: string, name: keyof typeof NOTE_BYTES, holder: number | null): string {
  try {
    return readFileSync(pathOf(folder, name, holder), 'latin1');
  } catch {
    return '';
  }
}

export function readHolderPid(folder: string): number | null {
  const [, pid] = /^(\d+)\n/.exec(readNote(folder, 'holder', null)) ?? [];
  return pid === undefined ? null : Number(pid);
}

export interface JobNote {
  pid: number;
  /** The line of /proc/<pid>/stat; empty where there is no /proc. */
  stat: string;
}

export function readJobNote(folder: string): JobNote | null {
  const [, pid, stat = ''] = /^(\d+) (.*)\n/.exec(readNote(folder, 'job', null)) ?? [];
  return pid === undefined ? null : { pid: Number(pid), stat };
}

export type JobEnd = { exitCode: number | null; signal: string | null };

/** Shells print no notice for these, so they are always reported as signals. */
const UNNOTICED = new Set<number>([os.signals.SIGINT, os.signals.SIGPIPE]);

/** `status` is `$?` of the job. `noticed`: the shell reported a death (HS7). Pure. */
export function endOfStatus(status: number, noticed: boolean): JobEnd {
  const signal = status - 128;
  if (signal < 1 || signal > SIGNAL_MAX || !(noticed || UNNOTICED.has(signal))) return { exitCode: status, signal: null };
  return { exitCode: null, signal: signalName(signal) };
}

/** How the job ended. Null while it runs, or when its holder could not note it. */
export function readJobEnd(folder: string, holder: number | null): JobEnd | null {
  const [, status] = /^(\d{1,3})\.\n/.exec(readNote(folder, 'end', holder)) ?? [];
  if (status === undefined) return null;
  // HS7
  const [, ...noticed] = readNote(folder, 'notice', holder).split(/^started\n/m);
  return endOfStatus(Number(status), noticed.join('').trim() !== '');
}

export const couldNotExecute = (folder: string): boolean => readNote(folder, 'failed', null).startsWith('x');
/**
 * The stdin that was given has been copied, so other input may follow. Assumed without a folder.
 */
export const isFed = (folder: string): boolean => readNote(folder, 'fed', null).startsWith('x') || !existsSync(folder);
