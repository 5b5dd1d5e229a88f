/**
 * The lock of a runner's folder: one runner for a folder, however many are started. Two runners
 * that both adopt a run would both restart it. The wrappers are not protected; they do not need a
 * live runner.
 *
 * The lock is a file of JSON, written under a temporary name and then linked. It is stale when its
 * holder is proven gone: same host, and no process with that pid and that start. A lock that cannot
 * be read, or that no runner of this host wrote, is never removed: an operator must decide.
 */

import { linkSync, mkdirSync, readFileSync, readlinkSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { isObject, parseJson } from '../protocol/json.ts';
import { type Found, type LockFormat, newNonce, takeLock } from '../wrapper/lock-file.ts';
import { identityOf, isAlive } from '../wrapper/processes.ts';

export const LOCK_FILE = 'runner.lock';
const PROGRAM = 'holdfast-runner';

export interface LockContent {
  program: typeof PROGRAM;
  host: string;
  pid: number;
  start: string;
  nonce: string;
  since: string;
}

export type LockOutcome =
  | { kind: 'acquired'; release: () => void }
  | { kind: 'held'; pid: number; since: string }
  | { kind: 'refused'; message: string };

/** Never throws because of another process; throws when the directory cannot be written. */
export function acquireLock(directory: string, host: string = hostname()): LockOutcome {
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, LOCK_FILE);
  const self = identityOf(process.pid);
  if (self === null)
    return {
      kind: 'refused',
      message:
        'This system does not report when a process began, so the runner cannot lock its directory. Use a host with /proc or ps.',
    };
  const nonce = `${process.pid}-${Date.now().toString(36)}-${newNonce()}`;
  const format = formatOf({ program: PROGRAM, host, ...self, nonce, since: new Date().toISOString() });
  const isStale = (found: Found<LockContent>) => found.kind === 'lock' && found.lock.host === host && !isAlive(found.lock);

  const attempt = takeLock(path, nonce, format, isStale);
  if (attempt.kind === 'acquired') return attempt;
  if (attempt.kind === 'contended') {
    return { kind: 'refused', message: `The lock ${path} is taken and released by other runners. Stop them, then try again.` };
  }
  const { by } = attempt;
  if (by.kind === 'unreadable') {
    return {
      kind: 'refused',
      message: `The lock ${path} ${by.why}. Make sure that no runner uses this directory, then remove it.`,
    };
  }
  if (by.lock.host !== host) {
    return {
      kind: 'refused',
      message: `The lock ${path} belongs to a runner on another host (${by.lock.host}). Give each host its own --spool, or remove the lock.`,
    };
  }
  return { kind: 'held', pid: by.lock.pid, since: by.lock.since };
}

const formatOf = (content: LockContent): LockFormat<LockContent> => ({
  create: (path) => {
    const beside = `${path}.${content.nonce}`;
    writeFileSync(beside, `${JSON.stringify(content)}\n`, { mode: 0o600 });
    try {
      linkSync(beside, path);
    } finally {
      rmSync(beside, { force: true });
    }
  },
  read,
  rename: renameSync,
  remove: (path) => rmSync(path, { force: true }),
});

/** Null when the path is no symbolic link. */
function linkTarget(path: string): string | null {
  try {
    return readlinkSync(path);
  } catch {
    return null;
  }
}

function read(path: string): Found<LockContent> {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EISDIR') return { kind: 'unreadable', why: 'is a directory' };
    if (code !== 'ENOENT') return { kind: 'unreadable', why: 'cannot be read' };
    const target = linkTarget(path);
    return target === null ? { kind: 'none' } : { kind: 'unreadable', why: `is a symbolic link to ${target}, which is not there` };
  }
  const value = parseJson(text);
  if (value === undefined) return { kind: 'unreadable', why: 'is corrupt' };
  if (!isObject(value) || value.program !== PROGRAM) return { kind: 'unreadable', why: 'was not written by a runner' };
  const { host, pid, start, nonce, since } = value;
  if (typeof host !== 'string' || !Number.isSafeInteger(pid) || typeof start !== 'string' || typeof nonce !== 'string') {
    return { kind: 'unreadable', why: 'is corrupt' };
  }
  return { kind: 'lock', lock: { program: PROGRAM, host, pid: pid as number, start, nonce, since: String(since) } };
}
