/**
 * A running job and its holder: both outlive their wrapper. The job writes lines into a pipe of
 * limited length, and blocks when nothing reads it. Its end is noted.
 */

import type { Timer } from './clock.ts';
import type { Job } from './job.ts';
import type { World } from './world.ts';

/** As a pipe of 64 KiB is small compared with the output of a job. */
const PIPE_LINES = 6;

export interface HeldEnd {
  exitCode: number | null;
  signal: string | null;
}

export class HeldJob {
  readonly #world: World;
  readonly #job: Job;
  readonly #pipe: string[] = [];
  #printed = 0;
  #timer: Timer | null = null;
  /** The line that waits for space in the pipe. */
  #blocked = false;
  end: HeldEnd | null = null;
  /** The holder and the job were killed, as by the end of the host. */
  dead = false;
  /** Called when there is something to read, or the end is noted. */
  onChange: (() => void) | null = null;

  constructor(world: World, job: Job) {
    this.#world = world;
    this.#job = job;
    this.#goOn();
  }

  get runs(): boolean {
    return this.end === null && !this.dead;
  }

  /** Takes a line out of the pipe. */
  read(): string | undefined {
    const line = this.#pipe.shift();
    if (this.#blocked) {
      this.#blocked = false;
      this.#write(); // The reader comes back for it.
    }
    return line;
  }

  /** The end of the job, once everything before it was read. */
  endIfDrained(): HeldEnd | null {
    return this.#pipe.length === 0 && !this.#blocked ? this.end : null;
  }

  ends(exitCode: number | null, signal: string | null): void {
    if (!this.runs) return;
    // A line that waited is not written any more.
    if (this.#timer) this.#world.clock.cancel(this.#timer);
    this.#blocked = false;
    this.end = { exitCode, signal };
    this.onChange?.();
  }

  die(): void {
    if (this.#timer) this.#world.clock.cancel(this.#timer);
    this.dead = true;
    this.onChange = null;
  }

  #goOn(): void {
    const pause = this.#job.pauses[this.#printed];
    this.#timer = this.#world.clock.after(pause ?? 0, () => {
      if (pause !== undefined) return this.#print();
      const { end } = this.#job;
      if (end.kind === 'exit') this.ends(end.exitCode, null);
      else if (end.kind === 'signal') this.ends(null, end.signal);
    });
  }

  #print(): void {
    if (!this.runs) return;
    if (this.#pipe.length >= PIPE_LINES) {
      this.#blocked = true;
      return;
    }
    this.#write();
    this.onChange?.();
  }

  #write(): void {
    this.#pipe.push(`${this.#printed}${'.'.repeat(this.#job.lineBytes)}\n`);
    this.#printed += 1;
    this.#goOn();
  }
}
