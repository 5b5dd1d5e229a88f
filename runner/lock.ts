/**
 * The lock of a spool directory: one runner per directory, however many are started.
 *
 * Protects: adoption and restart of wrappers. Two runners that both adopt a run would both restart it.
 * Does not protect: the wrappers themselves. They do not depend on any runner being alive.
 *
 *   L1  The lock file appears whole or not at all (written beside, then linked in place).
 *   L2  It is reclaimed only when its holder is proven gone: same host, and no process with that pid *and* that start.
 *   L3  What can not be read, or was not written by a runner of this host, is never removed: a person must look.
 *   L4  Only the holder removes it.
 */

import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { identityOf, isAlive } from '../wrapper/processes.ts';

export const LOCK_FILE = 'runner.lock';
const PROGRAM = 'holdfast-runner';

export interface LockContent {
  program: typeof PROGRAM;
  host: string;
  pid: number;
  start: string;
  /** Differs even between two locks of one process. */
  nonce: string;
  since: string;
}

export type LockOutcome =
  | { kind: 'acquired'; release: () => void }
  | { kind: 'held'; pid: number; since: string }
  | { kind: 'refused'; message: string };

type Reading = { kind: 'none' } | { kind: 'lock'; lock: LockContent } | { kind: 'unreadable'; why: string };

function read(path: string): Reading {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { kind: 'none' };
    return { kind: 'unreadable', why: 'can not be read' };
  }
  let value: Partial<LockContent> | null;
  try {
    value = JSON.parse(text) as Partial<LockContent> | null;
  } catch {
    return { kind: 'unreadable', why: 'is corrupt' };
  }
  if (typeof value !== 'object' || value === null || value.program !== PROGRAM) {
    return { kind: 'unreadable', why: 'was not written by a runner' };
  }
  const { host, pid, start, nonce, since } = value;
  if (typeof host !== 'string' || !Number.isSafeInteger(pid) || typeof start !== 'string' || typeof nonce !== 'string') {
    return { kind: 'unreadable', why: 'is corrupt' };
  }
  return { kind: 'lock', lock: { program: PROGRAM, host, pid: pid as number, start, nonce, since: String(since) } };
}

/** Never throws for what another process does; throws when the directory can not be written. */
export async function acquireLock(directory: string, host: string = hostname()): Promise<LockOutcome> {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, LOCK_FILE);
  const self = identityOf(process.pid);
  if (self === null)
    return { kind: 'refused', message: 'This system does not tell when a process began; the runner can not lock safely.' };
  const nonce = `${process.pid}-${Date.now().toString(36)}-${Math.random().toString(36).slice(2)}`;
  const mine: LockContent = { program: PROGRAM, host, ...self, nonce, since: new Date().toISOString() };

  const release = () => {
    const now = read(path);
    if (now.kind === 'lock' && now.lock.nonce === nonce) rmSync(path, { force: true }); // L4
  };

  let reclaimed = false;
  for (let attempt = 0; attempt < 10; attempt += 1) {
    const beside = `${path}.${nonce}`;
    writeFileSync(beside, `${JSON.stringify(mine)}\n`, { mode: 0o600 });
    try {
      linkSync(beside, path); // L1
      // Two that reclaim the same stale lock at once may both get here; the later one's lock is the one that stays.
      if (reclaimed) await sleep(150);
      const now = read(path);
      if (now.kind === 'lock' && now.lock.nonce === nonce) return { kind: 'acquired', release };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    } finally {
      rmSync(beside, { force: true });
    }

    const found = read(path);
    if (found.kind === 'none') continue;
    if (found.kind === 'unreadable') {
      return {
        kind: 'refused',
        message: `The lock ${path} ${found.why}. Make sure that no runner uses this directory, then remove it.`,
      }; // L3
    }
    if (found.lock.host !== host) {
      return {
        kind: 'refused',
        message: `The lock ${path} belongs to a runner on another host (${found.lock.host}). Give each host its own --spool, or remove the lock.`,
      }; // L3
    }
    if (isAlive(found.lock)) return { kind: 'held', pid: found.lock.pid, since: found.lock.since };

    // L2: proven gone. Move it aside and look again at what was moved: it may be a lock taken since the reading.
    const aside = `${path}.stale-${nonce}`;
    try {
      renameSync(path, aside);
    } catch {
      continue;
    }
    const moved = read(aside);
    if (moved.kind === 'lock' && moved.lock.nonce !== found.lock.nonce) {
      try {
        linkSync(aside, path);
      } catch {
        // A third one holds it by now. The owner of what we moved finds out in its own check after reclaiming.
      }
    }
    rmSync(aside, { force: true });
    reclaimed = true;
  }
  return { kind: 'refused', message: `The lock ${path} changes hands too often.` };
}
