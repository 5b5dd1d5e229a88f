/**
 * A running job and its holder: both outlive their wrapper. The job writes lines into a pipe of
 * limited length, and blocks when nothing reads it. Its end is noted.
 */

import type { Timer } from './clock.ts';
import type { Job } from './job.ts';
import { type AgentQuestion, askingLine, readReply, withdrawingLine } from './questions.ts';
import type { World } from './world.ts';

/** As a pipe of 64 KiB is small compared with the output of a job. */
const PIPE_LINES = 6;

export interface HeldEnd {
  exitCode: number | null;
  signal: string | null;
}

export class HeldJob {
  readonly #world: World;
  readonly #execution: string;
  readonly #job: Job;
  readonly #pipe: string[] = [];
  #printed = 0;
  #asked = 0;
  /** What it waits for, and since when. */
  readonly #waiting = new Map<string, number>();
  /** It prints nothing until this is answered or withdrawn. */
  #stoppedBy: string | null = null;
  #timer: Timer | null = null;
  /** The line that waits for space in the pipe. */
  #blocked = false;
  end: HeldEnd | null = null;
  /** The holder and the job were killed, as by the end of the host. */
  dead = false;
  /** Called when there is something to read, or the end is noted. */
  onChange: (() => void) | null = null;

  constructor(world: World, execution: string, job: Job) {
    this.#world = world;
    this.#execution = execution;
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
    if (this.#waiting.size > 0) this.#world.checks.asking.waitedInVain(this.#execution, this.#waiting);
    // A line that waited is not written any more.
    if (this.#timer) this.#world.clock.cancel(this.#timer);
    this.#blocked = false;
    this.end = { exitCode, signal };
    this.onChange?.();
  }

  /** It reads a line from its stdin. */
  reads(text: string): void {
    if (!this.runs) return;
    this.#world.checks.asking.replied(this.#execution, text);
    this.#heard(readReply(text).id);
  }

  /** It does not wait for this answer any more. */
  #heard(id: string): void {
    this.#waiting.delete(id);
    if (this.#stoppedBy !== id) return;
    this.#stoppedBy = null;
    this.#goOn();
  }

  die(): void {
    if (this.#timer) this.#world.clock.cancel(this.#timer);
    this.dead = true;
    this.onChange = null;
  }

  #goOn(): void {
    const question = this.#nextQuestion;
    if (question) {
      this.#timer = this.#world.clock.after(question.pauseMs, () => this.#print());
      return;
    }
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

  get #nextQuestion(): AgentQuestion | undefined {
    const question = this.#job.questions[this.#asked];
    return question && question.after <= this.#printed ? question : undefined;
  }

  #ask({ id, waits, withdrawnAfterMs }: AgentQuestion): void {
    this.#asked += 1;
    this.#pipe.push(`${JSON.stringify(askingLine(id))}\n`);
    this.#waiting.set(id, this.#world.now);
    if (withdrawnAfterMs !== null) this.#world.clock.after(withdrawnAfterMs, () => this.#withdraw(id));
    if (waits) this.#stoppedBy = id;
    else this.#goOn();
  }

  #withdraw(id: string): void {
    if (!this.runs || !this.#waiting.has(id)) return;
    this.#pipe.push(`${JSON.stringify(withdrawingLine(id))}\n`);
    this.#heard(id);
    this.onChange?.();
  }

  #write(): void {
    const question = this.#nextQuestion;
    if (question) return this.#ask(question);
    this.#pipe.push(`${this.#printed}${'.'.repeat(this.#job.lineBytes)}\n`);
    this.#printed += 1;
    this.#goOn();
  }
}
