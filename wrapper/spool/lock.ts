/**
 * The lock of one spool: two wrappers that number events into the same files would corrupt each
 * other's data.
 *
 * The lock is a symbolic link that points to no file: its target names the holder. A link is made
 * whole or not at all, fails when there is one, and at this length takes no block of the disk. So a
 * spool on a full disk can be taken over and delivered, which frees the disk.
 *
 * It is stale when its holder is gone. A lock that cannot be read (an empty file, as a loss of
 * power leaves it) is stale when no process is found that uses the folder. A lock of 0.1.0 is a
 * file of JSON and is understood. A wrapper of 0.1.0 takes a link for a lock that it cannot read,
 * and leaves it alone.
 *
 * Accepted weakness: a spool that two hosts share is not protected. A pid says nothing across
 * hosts. The coordinator's claim (one wrapperId, one epoch) still keeps the log right.
 */

import { createHash } from 'node:crypto';
import { readdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { isObject, parseJson } from '../../protocol/json.ts';
import { type Found, type FoundLock, type LockFormat, newNonce, takeLock } from '../lock-file.ts';
import { isAlive, listProcesses, processStart } from '../processes.ts';
import { isFolder, isMissing, nodeFiles, type SpoolFiles } from './files.ts';

export const LOCK_FILE = 'wrapper.lock';

export type SpoolLock = { kind: 'acquired'; release: () => void } | { kind: 'held'; pid: number | null };

interface Holder {
  pid: number;
  alive: boolean;
  nonce: string;
}

/**
 * The start of a process, shortened: a link of up to 59 bytes lies in the inode on every common
 * file system.
 */
const startMark = (start: string): string => createHash('sha256').update(start).digest('hex').slice(0, 12);

const TARGET = /^holdfast\.(\d+)\.([0-9a-f]{12})\.([0-9a-z]+)$/;

const UNREADABLE = { kind: 'unreadable', why: 'cannot be read' } as const;

/** Throws when the lock is nothing that a wrapper made, or the folder cannot be written. */
export function lockSpool(directory: string, files: SpoolFiles = nodeFiles): SpoolLock {
  const path = join(directory, LOCK_FILE);
  const nonce = newNonce();
  const target = `holdfast.${process.pid}.${startMark(processStart(process.pid) ?? 'unknown')}.${nonce}`;
  let user: number | null = null;
  const attempt = takeLock(path, nonce, formatOf(files, target), (found: FoundLock<Holder>) => {
    if (found.kind === 'lock') return !found.lock.alive;
    if (found.foreign) return false;
    user = userOf(directory);
    return user === null;
  });
  switch (attempt.kind) {
    case 'acquired':
      return { kind: 'acquired', release: attempt.release };
    case 'occupied':
      if (attempt.by.kind === 'unreadable' && attempt.by.foreign) {
        throw new Error(
          `the lock ${path} ${attempt.by.why}; remove it if no wrapper uses this folder, or choose another with --spool`,
        );
      }
      return { kind: 'held', pid: attempt.by.kind === 'lock' ? attempt.by.lock.pid : user };
    case 'contended':
      return { kind: 'held', pid: null };
    default:
      return attempt satisfies never;
  }
}

const formatOf = (files: SpoolFiles, target: string): LockFormat<Holder> => ({
  create: (path) => files.symlink(target, path),
  read: (path) => read(files, path),
  rename: (from, to) => files.rename(from, to),
  remove: (path) => files.remove(path),
});

function read(files: SpoolFiles, path: string): Found<Holder> {
  let target: string;
  try {
    target = files.readLink(path);
  } catch (error) {
    return isMissing(error) ? { kind: 'none' } : readFile(files, path);
  }
  const [, pid, mark, nonce] = TARGET.exec(target) ?? [];
  if (pid === undefined || mark === undefined || nonce === undefined) return UNREADABLE;
  const start = processStart(Number(pid));
  return { kind: 'lock', lock: { pid: Number(pid), alive: start !== null && startMark(start) === mark, nonce } };
}

/** A lock of 0.1.0. */
function readFile(files: SpoolFiles, path: string): Found<Holder> {
  let text: string;
  try {
    text = files.readWhole(path).toString('utf8');
  } catch (error) {
    if (isFolder(error)) return { kind: 'unreadable', why: 'is a folder', foreign: true };
    return isMissing(error) ? { kind: 'none' } : UNREADABLE;
  }
  const lock = parseJson(text);
  if (!isObject(lock)) return UNREADABLE;
  const { pid, start, nonce } = lock;
  if (!Number.isSafeInteger(pid) || typeof start !== 'string' || typeof nonce !== 'string') return UNREADABLE;
  return { kind: 'lock', lock: { pid: pid as number, alive: isAlive({ pid: pid as number, start }), nonce } };
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
      // It has ended, belongs to another user, or this system has no /proc.
    }
  }
  return null;
}
