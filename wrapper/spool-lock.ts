/**
 * The lock of one spool: two wrappers that number events into the same files would each spoil the other's.
 *
 *   LK1  The lock file appears whole or not at all (written beside, then linked in place).
 *   LK2  It is taken over only when its holder is gone: no process with that pid and that start. A lock that can not be read counts
 *        as held; a person must look.
 *   LK3  Only the holder removes it.
 *
 * Accepted weakness: a spool shared by two hosts is not protected. A pid says nothing across hosts; the coordinator's claim (one
 * wrapperId, one epoch) still keeps the log right.
 */

import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { identityOf, isAlive, type ProcessIdentity } from './runner-process.ts';

export const LOCK_FILE = 'wrapper.lock';

export type SpoolLock = { kind: 'acquired'; release: () => void } | { kind: 'held'; pid: number | null };

function read(path: string): { kind: 'none' } | { kind: 'unreadable' } | { kind: 'lock'; holder: ProcessIdentity; nonce: string } {
  try {
    const { pid, start, nonce } = JSON.parse(readFileSync(path, 'utf8'));
    if (Number.isSafeInteger(pid) && typeof start === 'string' && typeof nonce === 'string') {
      return { kind: 'lock', holder: { pid, start }, nonce };
    }
    return { kind: 'unreadable' };
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? { kind: 'none' } : { kind: 'unreadable' };
  }
}

export function lockSpool(directory: string): SpoolLock {
  const path = join(directory, LOCK_FILE);
  const nonce = `${process.pid}-${Math.random().toString(36).slice(2)}`;
  const mine = { pid: process.pid, start: identityOf(process.pid)?.start ?? 'unknown', nonce };
  const beside = `${path}.${nonce}`;

  const isMine = () => {
    const now = read(path);
    return now.kind === 'lock' && now.nonce === nonce;
  };
  const release = () => {
    if (isMine()) rmSync(path, { force: true }); // LK3
  };

  for (let attempt = 0; attempt < 5; attempt += 1) {
    writeFileSync(beside, JSON.stringify(mine), { mode: 0o600 });
    try {
      linkSync(beside, path); // LK1
      return { kind: 'acquired', release };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    } finally {
      rmSync(beside, { force: true });
    }
    const found = read(path);
    if (found.kind === 'none') continue;
    if (found.kind === 'unreadable') return { kind: 'held', pid: null };
    if (isAlive(found.holder)) return { kind: 'held', pid: found.holder.pid };
    // LK2: gone. Moved aside under our own name first: of two that reclaim at once only one moves it, and what was moved is looked at
    // again, because it may be a lock that was taken since the reading.
    const aside = `${path}.stale.${nonce}`;
    try {
      renameSync(path, aside);
    } catch {
      continue;
    }
    const moved = read(aside);
    if (moved.kind === 'lock' && moved.nonce !== found.nonce) {
      try {
        linkSync(aside, path);
      } catch {
        // A third one holds it by now.
      }
    }
    rmSync(aside, { force: true });
  }
  return { kind: 'held', pid: null };
}
