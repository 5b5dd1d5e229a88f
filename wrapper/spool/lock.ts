/**
 * The lock of one spool: two wrappers that number events into the same files would each spoil the
 * other's.
 *
 * It is a symbolic link that points to no file: its target says who holds it. A link is made whole
 * or not at all, fails when there is one, and at this length takes no block of the disk, so that a
 * spool on a full disk can be taken over and delivered, which is what frees the disk.
 *
 *   LK1  The lock appears whole or not at all.
 *   LK2  It is taken over only when its holder is gone: no process with that pid and that start.
 *        One that cannot be read (an empty file, as a loss of power leaves it) is taken over when
 *        no process is found that uses the folder.
 *   LK3  Only the holder removes it.
 *
 * A lock of 0.1.0 is a file of JSON; it is understood. A wrapper of 0.1.0 takes a link for a lock
 * that it cannot read, and leaves it alone.
 *
 * Accepted weakness: a spool shared by two hosts is not protected. A pid says nothing across hosts;
 * the coordinator's claim (one wrapperId, one epoch) still keeps the log right.
 */

import { createHash } from 'node:crypto';
import { readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { isAlive, listProcesses, processStart } from '../processes.ts';
import { isMissing, nodeFiles, type SpoolFiles } from './files.ts';

export const LOCK_FILE = 'wrapper.lock';
const ATTEMPTS = 5;

export type SpoolLock = { kind: 'acquired'; release: () => void } | { kind: 'held'; pid: number | null };

/**
 * The start of a process, shortened: a link of up to 59 bytes lies in the inode on every common
 * file system.
 */
const startMark = (start: string): string => createHash('sha256').update(start).digest('hex').slice(0, 12);

const TARGET = /^holdfast\.(\d+)\.([0-9a-f]{12})\.([0-9a-z]+)$/;

type Found =
  | { kind: 'none' }
  | { kind: 'unreadable' }
  /** `id` is new for each lock. */
  | { kind: 'lock'; pid: number; alive: boolean; id: string };

function read(files: SpoolFiles, path: string): Found {
  let target: string;
  try {
    target = files.readLink(path);
  } catch (error) {
    return isMissing(error) ? { kind: 'none' } : readFile(files, path);
  }
  const [, pid, mark, nonce] = TARGET.exec(target) ?? [];
  if (pid === undefined || mark === undefined) return { kind: 'unreadable' };
  const start = processStart(Number(pid));
  return { kind: 'lock', pid: Number(pid), alive: start !== null && startMark(start) === mark, id: `${pid}.${nonce}` };
}

/** A lock of 0.1.0. */
function readFile(files: SpoolFiles, path: string): Found {
  try {
    const { pid, start, nonce } = JSON.parse(files.readWhole(path).toString('utf8'));
    if (!Number.isSafeInteger(pid) || typeof start !== 'string' || typeof nonce !== 'string') return { kind: 'unreadable' };
    return { kind: 'lock', pid, alive: isAlive({ pid, start }), id: nonce };
  } catch (error) {
    return isMissing(error) ? { kind: 'none' } : { kind: 'unreadable' };
  }
}

/**
 * A process other than this one that has a file of the folder open, or the folder among its
 * arguments as a wrapper has it.
 */
function userOf(directory: string): number | null {
  for (const { pid, command } of listProcesses()) {
    if (pid === process.pid) continue;
    if (command.includes(' run ') && command.includes(`--spool ${directory} `)) return pid;
    try {
      for (const file of readdirSync(`/proc/${pid}/fd`)) {
        if (readlinkSync(`/proc/${pid}/fd/${file}`).startsWith(`${directory}/`)) return pid;
      }
    } catch {
      // It has ended, belongs to someone else, or this system has no /proc.
    }
  }
  return null;
}

export function lockSpool(directory: string, files: SpoolFiles = nodeFiles): SpoolLock {
  const path = join(directory, LOCK_FILE);
  const nonce = Math.random().toString(36).slice(2, 12);
  const target = `holdfast.${process.pid}.${startMark(processStart(process.pid) ?? 'unknown')}.${nonce}`;
  const release = () => {
    const now = read(files, path);
    if (now.kind === 'lock' && now.id === `${process.pid}.${nonce}`) files.remove(path); // LK3
  };
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    try {
      files.symlink(target, path); // LK1
      return { kind: 'acquired', release };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const found = read(files, path);
    if (found.kind === 'none') continue;
    if (found.kind === 'lock' && found.alive) return { kind: 'held', pid: found.pid };
    if (found.kind === 'unreadable') {
      const user = userOf(directory);
      if (user !== null) return { kind: 'held', pid: user };
    }
    moveAside(files, path, found, `${path}.stale.${process.pid}-${nonce}`);
  }
  return { kind: 'held', pid: null };
}

/**
 * LK2: the holder is gone. The lock is moved aside under our own name first: of two that reclaim at
 * once only one moves it, and what was moved is looked at again, because it may be a lock that was
 * taken since the reading.
 */
function moveAside(files: SpoolFiles, path: string, found: Found, aside: string): void {
  try {
    files.rename(path, aside);
  } catch {
    return;
  }
  const moved = read(files, aside);
  const same = moved.kind === found.kind && (moved.kind !== 'lock' || found.kind !== 'lock' || moved.id === found.id);
  if (!same) putBack(files, aside, path);
  files.remove(aside);
}

function putBack(files: SpoolFiles, aside: string, path: string): void {
  try {
    let target: string | null = null;
    try {
      target = files.readLink(aside);
    } catch {
      // A file of 0.1.0.
    }
    if (target === null) files.link(aside, path);
    else files.symlink(target, path);
  } catch {
    // A third one holds it by now.
  }
}
