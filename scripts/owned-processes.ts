/**
 * Finds and ends every descendant of one child, including those that left its process group or lost
 * their parent.
 *
 * Two sources: the process tree, and on Linux a mark in the environment that descendants inherit. A
 * process counts when either finds it. Once found it stays on the list as pid and start time, so
 * that a process that reuses the pid later is never signalled.
 */

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive, listProcesses, type ProcessIdentity, processTree, signalProcess } from '../wrapper/processes.ts';

const MARK = 'HOLDFAST_TEST_MARK';
/** For programs that clean up on SIGTERM: vitest ends its workers, a stack its runner and jobs. */
const TERM_PATIENCE_MS = 5000;
const KILL_PATIENCE_MS = 10_000;
const LOOK_EVERY_MS = 100;

function hasMark(pid: number, mark: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(`${MARK}=${mark}`);
  } catch {
    return false; // It ended, belongs to another user, or this is not Linux.
  }
}

export class OwnedProcesses {
  readonly #mark: string;
  readonly #known = new Map<string, ProcessIdentity>();

  constructor(mark: string) {
    this.#mark = mark;
  }

  /** What the child's environment needs. */
  get env(): Record<string, string> {
    return { [MARK]: this.#mark };
  }

  /** Adds `pid` and its descendants to the list. */
  add(pid: number): void {
    for (const one of processTree(pid)) this.#known.set(`${one.pid} ${one.start}`, one);
  }

  /** Those that are alive now. */
  alive(): ProcessIdentity[] {
    for (const { pid } of listProcesses()) if (pid !== process.pid && hasMark(pid, this.#mark)) this.add(pid);
    for (const [key, one] of this.#known) {
      if (isAlive(one)) this.add(one.pid);
      else this.#known.delete(key);
    }
    return [...this.#known.values()];
  }

  /** A description of the living ones, for a message. */
  describe(): string[] {
    const pids = new Set(this.alive().map(({ pid }) => pid));
    return listProcesses()
      .filter(({ pid }) => pids.has(pid))
      .map(({ pid, command }) => `${pid} ${command.slice(0, 120)}`);
  }

  /** Whether all ended by themselves within that time. */
  async ended(withinMs: number): Promise<boolean> {
    const end = performance.now() + withinMs;
    while (this.alive().length > 0) {
      if (performance.now() > end) return false;
      await sleep(LOOK_EVERY_MS);
    }
    return true;
  }

  /** SIGTERM, then SIGKILL. False if some survive that too. */
  async end(): Promise<boolean> {
    for (const one of this.alive()) signalProcess(one, 'SIGTERM');
    if (await this.ended(TERM_PATIENCE_MS)) return true;
    const end = performance.now() + KILL_PATIENCE_MS;
    while (performance.now() < end) {
      for (const one of this.alive()) signalProcess(one, 'SIGKILL');
      if (await this.ended(LOOK_EVERY_MS)) return true;
    }
    return false;
  }
}
