/**
 * The processes of a job, also those that left its process group or session: by parent links, which
 * are sampled while the job runs, and by the mark in the environment of those whose parents are
 * gone.
 *
 *   JT1  A process is known by pid and start, so a reused pid is never signalled.
 *   JT2  Of another process's environment only the mark is looked for. Nothing of it is kept.
 *   JT3  A process that began before the job is not of the job.
 *   JT4  Where there is no /proc, only the process group is known.
 *   JT5  The holder and its keeper have the mark too, and are not of the job. The keeper is known
 *        by its command line when the holder was killed.
 */

import { readFileSync } from 'node:fs';
import {
  childrenOf,
  identityOf,
  isAlive,
  listProcesses,
  type ProcessIdentity,
  type ProcessInfo,
  startedSince,
} from '../processes.ts';
import { holderCommand } from './holder-script.ts';

export interface JobProcess extends ProcessIdentity {
  group: number;
  command: string;
}

/** The variables that describe the execution (SPL28): together they name one run. */
export interface Mark {
  session: string;
  execution: string;
  url: string;
}

/** The mark in a job's environment; null when it has none. */
export function markIn(env: NodeJS.ProcessEnv): Mark | null {
  const { HOLDFAST_SESSION: session, HOLDFAST_EXECUTION: execution, HOLDFAST_RUN_URL: url } = env;
  return session && execution && url ? { session, execution, url } : null;
}

export class JobTree {
  readonly #job: ProcessIdentity;
  readonly #holder: number | null;
  readonly #mark: Mark | null;
  /** With what the command line of the holder begins. */
  readonly #holderCommand: string | null;
  readonly #known = new Map<number, ProcessIdentity>();

  /** `mark` null: the job's environment has none. */
  constructor(job: ProcessIdentity, holder: number | null, mark: Mark | null, holderFolder: string | null = null) {
    this.#job = job;
    this.#holder = holder;
    this.#mark = mark;
    this.#holderCommand = holderFolder === null ? null : holderCommand(holderFolder);
    this.#known.set(job.pid, job);
  }

  /** Call about every second: learns the children of what is known. */
  sample(): void {
    const pending = [...this.#known.values()];
    for (let next = pending.pop(); next; next = pending.pop()) {
      if (next.pid !== this.#job.pid && !isAlive(next)) {
        this.#known.delete(next.pid); // JT1
        continue;
      }
      for (const pid of childrenOf(next.pid)) {
        if (this.#known.has(pid)) continue;
        const identity = identityOf(pid);
        if (!identity) continue;
        this.#known.set(pid, identity);
        pending.push(identity);
      }
    }
  }

  /** All living processes of the job. Reads the whole process table. */
  living(): JobProcess[] {
    const all = listProcesses();
    const isOurs = new Set<number>();
    for (const each of all) {
      const { pid, group, session } = each;
      if (this.#isHolder(each)) continue;
      const known = this.#known.get(pid);
      const inGroup = group === this.#job.pid || session === this.#job.pid;
      if ((known && isAlive(known)) || (inGroup && this.#mayBe(pid)) || this.#isMarked(pid)) isOurs.add(pid);
    }
    // Parents may stand behind their children in the table.
    for (let found = -1; found !== isOurs.size; ) {
      found = isOurs.size;
      for (const each of all) if (isOurs.has(each.parent) && !this.#isHolder(each)) isOurs.add(each.pid);
    }
    const living = all.flatMap(({ pid, group, command }) => {
      const identity = isOurs.has(pid) && pid !== process.pid ? identityOf(pid) : null;
      return identity ? [{ ...identity, group, command }] : [];
    });
    for (const { pid, start } of living) this.#known.set(pid, { pid, start });
    return living;
  }

  /** JT5 */
  #isHolder({ pid, parent, command }: ProcessInfo): boolean {
    if (pid === this.#job.pid) return false;
    return (
      pid === this.#holder || parent === this.#holder || (this.#holderCommand !== null && command.startsWith(this.#holderCommand))
    );
  }

  /** JT3 */
  #mayBe(pid: number): boolean {
    return pid === this.#job.pid || startedSince(pid, this.#job.start);
  }

  #isMarked(pid: number): boolean {
    return this.#mark !== null && pid !== process.pid && this.#mayBe(pid) && hasMark(pid, this.#mark);
  }
}

/** All living processes that began at that moment or later and have this mark. */
export const markedSince = (mark: Mark, start: string): JobProcess[] =>
  listProcesses().flatMap(({ pid, group, command }) => {
    const identity = pid !== process.pid && startedSince(pid, start) && hasMark(pid, mark) ? identityOf(pid) : null;
    return identity ? [{ ...identity, group, command }] : [];
  });

/** JT2 */
function hasMark(pid: number, mark: Mark): boolean {
  try {
    const environment = `\0${readFileSync(`/proc/${pid}/environ`, 'utf8')}`;
    return [
      ['HOLDFAST_SESSION', mark.session],
      ['HOLDFAST_EXECUTION', mark.execution],
      ['HOLDFAST_RUN_URL', mark.url],
    ].every(([name, value]) => environment.includes(`\0${name}=${value}\0`));
  } catch {
    return false; // Another user's, or it has ended.
  }
}

/** Whether this process may signal that one. */
export function maySignal(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'EPERM';
  }
}

const NAMED_MAX = 5;
const COMMAND_CHARS_MAX = 80;

/** For a log line: pids and commands. Pure. */
export function processNames(processes: readonly Pick<JobProcess, 'pid' | 'command'>[]): string {
  const named = processes.slice(0, NAMED_MAX).map(({ pid, command }) => `${pid} (${shortened(command)})`);
  const more = processes.length - named.length;
  return `${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

const shortened = (command: string): string =>
  command.length > COMMAND_CHARS_MAX ? `${command.slice(0, COMMAND_CHARS_MAX)}…` : command || 'unknown';
