/**
 * A lock in a folder, for programs of one host. It names its holder by pid and by the start of that
 * process, so that a process that got the pid of a dead holder is never taken for it. Used for a
 * spool (spool/lock.ts) and for the folder of a runner (runner/lock.ts), which differ in the format
 * of the lock, in what counts as stale, and in what follows a takeover.
 *
 * - The lock appears whole or not at all.
 * - A stale lock is moved aside before it is removed. Of two processes that reclaim at once only
 *   one moves it. That process checks again what it moved: a lock that was taken since the first
 *   check is put back.
 * - Only the holder removes it.
 *
 * Between moving and putting back a third process can take the lock, and for that moment two
 * processes have one. A caller that must exclude this waits after a takeover and asks `isHeld`. The
 * runner does, because only this lock keeps two runners from restarting the same wrapper. The spool
 * does not wait: a wrapper that starts must not be delayed, and the coordinator's claim (one
 * wrapper and one epoch for an execution) keeps the log right when two wrappers report the same
 * one.
 */

export type Found<Lock extends { nonce: string }> =
  | { kind: 'none' }
  | { kind: 'unreadable'; why: string }
  /** `nonce` differs even between two locks of one process. */
  | { kind: 'lock'; lock: Lock };

/** How one kind of lock is stored. */
export interface LockFormat<Lock extends { nonce: string }> {
  /** Creates the lock whole or not at all. Throws EEXIST when there is a lock. */
  create(path: string): void;
  read(path: string): Found<Lock>;
  rename(from: string, to: string): void;
  /** Puts back a lock that was moved aside. Throws when there is a lock. */
  restore(aside: string, path: string): void;
  remove(path: string): void;
}

export interface HeldLock {
  /** A stale lock was taken over. */
  reclaimed: boolean;
  isHeld(): boolean;
  release(): void;
}

export type LockAttempt<Lock extends { nonce: string }> =
  | { kind: 'acquired'; held: HeldLock }
  | { kind: 'occupied'; by: Exclude<Found<Lock>, { kind: 'none' }> }
  /** The lock was taken and released again during each of several attempts. */
  | { kind: 'contended' };

const ATTEMPTS_MAX = 10;

export const newNonce = (): string => Math.random().toString(36).slice(2, 12);

/** `nonce` is the one that `format.create` writes. Throws when the folder cannot be written. */
export function takeLock<Lock extends { nonce: string }>(
  path: string,
  nonce: string,
  format: LockFormat<Lock>,
  isStale: (found: Exclude<Found<Lock>, { kind: 'none' }>) => boolean,
): LockAttempt<Lock> {
  const isHeld = () => {
    const now = format.read(path);
    return now.kind === 'lock' && now.lock.nonce === nonce;
  };
  const release = () => {
    if (isHeld()) format.remove(path); // Only the holder removes it.
  };
  let reclaimed = false;
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
    try {
      format.create(path);
      return { kind: 'acquired', held: { reclaimed, isHeld, release } };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const found = format.read(path);
    if (found.kind === 'none') continue;
    if (!isStale(found)) return { kind: 'occupied', by: found };
    reclaimed = moveAside(path, `${path}.stale-${process.pid}-${nonce}`, found, format) || reclaimed;
  }
  return { kind: 'contended' };
}

/** Moves a stale lock aside and checks it again. False when another process moved it first. */
function moveAside<Lock extends { nonce: string }>(
  path: string,
  aside: string,
  found: Found<Lock>,
  format: LockFormat<Lock>,
): boolean {
  try {
    format.rename(path, aside);
  } catch {
    return false;
  }
  const moved = format.read(aside);
  const isSame =
    moved.kind === found.kind && (moved.kind !== 'lock' || found.kind !== 'lock' || moved.lock.nonce === found.lock.nonce);
  if (!isSame) {
    try {
      format.restore(aside, path);
    } catch {
      // A third process has the lock now.
    }
  }
  format.remove(aside);
  return true;
}
