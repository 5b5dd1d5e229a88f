/**
 * A lock in a folder, for programs of one host. It names its holder by pid and by the start of that
 * process, so that a process that got the pid of a dead holder is never taken for it. Used for a
 * spool (spool/lock.ts) and for the folder of a runner (runner/lock.ts), which differ in the format
 * of the lock and in what counts as stale.
 *
 * LF1  A lock appears whole or not at all.
 * LF2  Only the holder removes its lock.
 * LF3  A stale lock is replaced only by the process that claims it. A claim is a lock of its own,
 *      beside the stale one and named after its nonce, so there is one claim for each stale lock.
 *      When a claimer dies, its claim is stale, and is claimed in the same way.
 * LF4  With its claim a process reads the lock again, and replaces it only when it is still the
 *      same. No other process can replace it then, because the claims are removed after the lock
 *      was replaced. So a process that was stopped at any point never touches a newer lock.
 *
 * A process that dies at the wrong moment leaves a claim behind, which is harmless: no later lock
 * has the same nonce.
 */

export type Found<Lock extends { nonce: string }> =
  | { kind: 'none' }
  /** `foreign`: no program of ours made it, so it is never replaced. */
  | { kind: 'unreadable'; why: string; foreign?: boolean }
  /** `nonce` differs even between two locks of one process. */
  | { kind: 'lock'; lock: Lock };

export type FoundLock<Lock extends { nonce: string }> = Exclude<Found<Lock>, { kind: 'none' }>;

/** How one kind of lock is stored. */
export interface LockFormat<Lock extends { nonce: string }> {
  /** Creates the lock whole or not at all. Throws EEXIST when there is a lock. */
  create(path: string): void;
  read(path: string): Found<Lock>;
  /** Replaces what is at `to`. */
  rename(from: string, to: string): void;
  remove(path: string): void;
}

export type LockAttempt<Lock extends { nonce: string }> =
  | { kind: 'acquired'; release: () => void }
  /** By the holder, or by a process that is replacing a stale lock. */
  | { kind: 'occupied'; by: FoundLock<Lock> }
  /** The lock was taken and released again during each of several attempts. */
  | { kind: 'contended' };

const ATTEMPTS_MAX = 10;
/** Of claimers that died one after the other. */
const CLAIMS_MAX = 100;

export const newNonce = (): string => Math.random().toString(36).slice(2, 12);

/** `nonce` is the one that `format.create` writes. Throws when the folder cannot be written. */
export function takeLock<Lock extends { nonce: string }>(
  path: string,
  nonce: string,
  format: LockFormat<Lock>,
  isStale: (found: FoundLock<Lock>) => boolean,
): LockAttempt<Lock> {
  const release = () => {
    const now = format.read(path);
    if (now.kind === 'lock' && now.lock.nonce === nonce) format.remove(path); // LF2
  };
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt += 1) {
    if (created(format, path)) return { kind: 'acquired', release };
    const found = format.read(path);
    if (found.kind === 'none') continue;
    if (!isStale(found)) return { kind: 'occupied', by: found };
    const result = replaceStale(path, nonce, found, format, isStale);
    if (result === 'replaced') return { kind: 'acquired', release };
    if (result !== 'changed') return { kind: 'occupied', by: result };
  }
  return { kind: 'contended' };
}

/** LF3, LF4. Returns the claimer when a living process is replacing the lock. */
function replaceStale<Lock extends { nonce: string }>(
  path: string,
  nonce: string,
  stale: FoundLock<Lock>,
  format: LockFormat<Lock>,
  isStale: (found: FoundLock<Lock>) => boolean,
): 'replaced' | 'changed' | FoundLock<Lock> {
  const claims: string[] = [];
  let owner = stale;
  for (;;) {
    const claim = `${path}.after-${nonceOf(owner)}`;
    if (claims.push(claim) > CLAIMS_MAX) return owner;
    if (created(format, claim)) break;
    const claimer = format.read(claim);
    if (claimer.kind === 'none') return 'changed';
    if (!isStale(claimer)) return claimer;
    owner = claimer;
  }
  const own = claims.at(-1) as string;
  const fresh = `${path}.new-${nonce}`;
  let isReplaced = false;
  try {
    const now = format.read(path);
    if (now.kind === 'none' || now.kind !== stale.kind || nonceOf(now) !== nonceOf(stale)) return 'changed';
    format.create(fresh);
    format.rename(fresh, path);
    isReplaced = true;
    return 'replaced';
  } finally {
    if (!isReplaced) format.remove(fresh);
    for (const claim of isReplaced ? claims : [own]) format.remove(claim);
  }
}

function created<Lock extends { nonce: string }>(format: LockFormat<Lock>, path: string): boolean {
  try {
    format.create(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    return false;
  }
}

const nonceOf = <Lock extends { nonce: string }>(found: FoundLock<Lock>): string =>
  found.kind === 'lock' ? found.lock.nonce : 'unreadable';
