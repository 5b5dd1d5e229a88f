/**
 * Goal: one runner per spool directory, and no lock is taken from a holder that may still be alive.
 * Method: lock files written by hand.
 */

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { acquireLock, LOCK_FILE } from '../../runner/lock.ts';
import { identityOf, isAlive, listProcesses, processStart, processTree } from '../../wrapper/processes.ts';

let directory: string;
const lockPath = () => join(directory, LOCK_FILE);
const stale = (change: object = {}) =>
  JSON.stringify({
    program: 'holdfast-runner',
    host: hostname(),
    pid: process.pid,
    start: 'another process with this pid',
    nonce: 'n',
    since: '2026-01-01T00:00:00.000Z',
    ...change,
  });

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'holdfast-lock-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe('process identity', () => {
  it('is the same for a living process, and null after its end, also before it is reaped', async () => {
    const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)']);
    const identity = identityOf(child.pid ?? 0);
    expect(identity).not.toBeNull();
    if (identity === null) return;
    expect(isAlive(identity)).toBe(true);
    expect(isAlive({ ...identity, start: 'earlier' })).toBe(false);
    child.kill('SIGKILL');
    await new Promise((done) => child.on('exit', done));
    expect(processStart(identity.pid)).toBeNull();
  });

  it('lists this process and finds it in its own tree', () => {
    expect(listProcesses().some(({ pid }) => pid === process.pid)).toBe(true);
    expect(processTree(process.pid)[0]?.pid).toBe(process.pid);
  });
});

describe('acquireLock', () => {
  it('[L1] the first gets it, the second learns the holder, release lets the next in', () => {
    const first = acquireLock(directory);
    expect(first.kind).toBe('acquired');
    expect(acquireLock(directory)).toMatchObject({ kind: 'held', pid: process.pid });
    if (first.kind === 'acquired') first.release();
    expect(readdirSync(directory)).toEqual([]);
    expect(acquireLock(directory).kind).toBe('acquired');
  });

  it('[L1] of many at once exactly one gets it', () => {
    const outcomes = Array.from({ length: 20 }, () => acquireLock(directory));
    expect(outcomes.filter(({ kind }) => kind === 'acquired')).toHaveLength(1);
    expect(outcomes.filter(({ kind }) => kind === 'held')).toHaveLength(19);
  });

  it('[L2] takes over from a dead holder, also when another process has its pid now', () => {
    writeFileSync(lockPath(), stale());
    expect(acquireLock(directory).kind).toBe('acquired');
    expect(JSON.parse(readFileSync(lockPath(), 'utf8')).pid).toBe(process.pid);
    expect(readdirSync(directory)).toEqual([LOCK_FILE]);
  });

  it('[L2] of many that reclaim at once exactly one gets it', () => {
    writeFileSync(lockPath(), stale({ pid: 4_000_000 }));
    const outcomes = Array.from({ length: 8 }, () => acquireLock(directory));
    expect(outcomes.filter(({ kind }) => kind === 'acquired')).toHaveLength(1);
  });

  it.each([
    ['corrupt', '{"program":"holdfast-run'],
    ['empty', ''],
    ['foreign', '{"program":"something else","pid":1}'],
    ['incomplete', '{"program":"holdfast-runner","pid":"1"}'],
    ['of another host', stale({ host: 'elsewhere' })],
  ])('[L3] refuses a lock that is %s and leaves it as it is', (_, text) => {
    writeFileSync(lockPath(), text);
    const outcome = acquireLock(directory);
    expect(outcome.kind).toBe('refused');
    expect(readFileSync(lockPath(), 'utf8')).toBe(text);
  });

  it('[L3] names a lock that is a dangling symbolic link or a directory, and leaves it as it is', () => {
    symlinkSync('/nowhere/at all', lockPath());
    expect(acquireLock(directory)).toEqual({
      kind: 'refused',
      message: `The lock ${lockPath()} is a symbolic link to /nowhere/at all, which is not there. Make sure that no runner uses this directory, then remove it.`,
    });
    expect(readlinkSync(lockPath())).toBe('/nowhere/at all');
    rmSync(lockPath());
    mkdirSync(lockPath());
    expect(acquireLock(directory)).toMatchObject({ kind: 'refused', message: expect.stringContaining('is a directory') });
    expect(readdirSync(directory)).toEqual([LOCK_FILE]);
  });

  it('[L4] release leaves a lock that belongs to another holder', () => {
    const mine = acquireLock(directory);
    writeFileSync(lockPath(), stale({ nonce: 'other' }));
    if (mine.kind === 'acquired') mine.release();
    expect(readdirSync(directory)).toEqual([LOCK_FILE]);
  });
});
