/**
 * Goal: whatever the order in which processes take over a stale lock, never two of them hold it.
 * Method: a model of the folder. Every process advances by one file operation at a time, in an
 * order that fast-check chooses, and may be killed between any two. A process is advanced by
 * running it again: recorded results answer its earlier operations, and one more is carried out.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type LockAttempt, type LockFormat, takeLock } from '../../wrapper/lock-file.ts';

interface Lock {
  nonce: string;
}
const PATH = 'lock';
const PAUSE = new Error('the next operation is not carried out yet');
const fail = (code: string): never => {
  throw Object.assign(new Error(code), { code });
};

/** A folder: each path holds the nonce of its lock. */
class Folder extends Map<string, string> {
  create(path: string, nonce: string): void {
    if (this.has(path)) fail('EEXIST');
    this.set(path, nonce);
  }
  rename(from: string, to: string): void {
    const nonce = this.get(from) ?? fail('ENOENT');
    this.delete(from);
    this.set(to, nonce);
  }
}

class Process {
  readonly nonce: string;
  readonly #folder: Folder;
  readonly #isAlive: (nonce: string) => boolean;
  #results: { value?: unknown; error?: unknown }[] = [];
  alive = true;
  attempt: LockAttempt<Lock> | null = null;

  constructor(nonce: string, folder: Folder, isAlive: (nonce: string) => boolean) {
    this.nonce = nonce;
    this.#folder = folder;
    this.#isAlive = isAlive;
  }

  get holds(): boolean {
    return this.alive && this.attempt?.kind === 'acquired';
  }

  /** Carries out one operation more. */
  step(): void {
    if (!this.alive || this.attempt) return;
    let index = 0;
    let fresh = false;
    const operation = <T>(perform: () => T): T => {
      let result = this.#results[index];
      if (!result) {
        if (fresh) throw PAUSE;
        fresh = true;
        try {
          result = { value: perform() };
        } catch (error) {
          result = { error };
        }
        this.#results.push(result);
      }
      index += 1;
      if (result.error) throw result.error;
      return result.value as T;
    };
    try {
      this.attempt = takeLock(PATH, this.nonce, this.#format(operation), (found) =>
        operation(() => found.kind === 'lock' && !this.#isAlive(found.lock.nonce)),
      );
    } catch (error) {
      if (error !== PAUSE) throw error;
    }
  }

  release(): void {
    if (!this.holds || this.attempt?.kind !== 'acquired') return;
    if (this.#folder.get(PATH) === this.nonce) this.#folder.delete(PATH);
    this.attempt = null;
    this.alive = false;
  }

  #format(operation: <T>(perform: () => T) => T): LockFormat<Lock> {
    const folder = this.#folder;
    return {
      create: (path) => operation(() => folder.create(path, this.nonce)),
      read: (path) =>
        operation(() => {
          const nonce = folder.get(path);
          return nonce === undefined ? { kind: 'none' as const } : { kind: 'lock' as const, lock: { nonce } };
        }),
      rename: (from, to) => operation(() => folder.rename(from, to)),
      remove: (path) => operation(() => folder.delete(path)),
    };
  }
}

function world(count: number) {
  const folder = new Folder([[PATH, 'stale']]);
  const processes: Process[] = [];
  const isAlive = (nonce: string) => processes.some((process) => process.nonce === nonce && process.alive);
  const add = (): Process => {
    const process = new Process(`p${processes.length}`, folder, isAlive);
    processes.push(process);
    return process;
  };
  for (let index = 0; index < count; index += 1) add();
  return { folder, processes, add };
}

const finish = (process: Process): void => {
  for (let steps = 0; process.alive && !process.attempt && steps < 1_000; steps += 1) process.step();
};

describe('[LF3] [LF4] the takeover of a stale lock', () => {
  it('ends with one holder in every order of the operations, and the next process gets the lock after all have died', () => {
    const action = fc.tuple(
      fc.nat(3),
      fc.oneof({ weight: 20, arbitrary: fc.nat(9) }, fc.constant('dies' as const), fc.constant('releases' as const)),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (schedule) => {
        const { folder, processes, add } = world(4);
        const check = () => expect(processes.filter(({ holds }) => holds).map(({ nonce }) => nonce).length).toBeLessThanOrEqual(1);
        for (const [index, what] of schedule) {
          const process = processes[index] as Process;
          if (what === 'dies') process.alive = false;
          else if (what === 'releases') process.release();
          else for (let steps = 0; steps <= what; steps += 1) process.step();
          check();
        }
        for (const process of processes) finish(process);
        check();
        for (const process of processes) {
          // The holder's files are in the folder, so the folder was not removed.
          if (process.holds) expect(folder.get(PATH)).toBe(process.nonce);
          process.alive = false;
        }
        const last = add();
        finish(last);
        expect(last.attempt?.kind).toBe('acquired');
      }),
      { numRuns: 3_000 },
    );
  });

  it('leaves the lock of a newer holder alone when it was stopped after it had read the stale one', () => {
    // However far the slow process came before the others took over.
    for (let far = 1; far <= 12; far += 1) {
      const { folder, processes } = world(3);
      const [slow, first, second] = processes as [Process, Process, Process];
      for (let steps = 0; steps < far; steps += 1) slow.step();
      finish(first);
      while (!slow.attempt) {
        slow.step();
        // Whenever the path is free for a moment, a third process takes it.
        if (!folder.has(PATH)) finish(second);
      }
      finish(second);
      expect(processes.filter(({ holds }) => holds)).toHaveLength(1);
      expect([...folder.keys()]).toEqual([PATH]);
    }
  });
});
