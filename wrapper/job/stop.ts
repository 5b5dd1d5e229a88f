/**
 * Stops a job: sends the signals of its ladder (interrupt) when they are due, and passes on signals
 * that this process receives.
 *
 * Owns: the ladder, its timer, which signal was passed on. Does not own: the process (child), why
 * it is stopped.
 *
 *   JS1  One timer at a time, for the next rung. After `forget` there is none.
 *   JS2  The ladder continues after the leader's end while its group has members, so no process of
 *        the job is left behind.
 *   JS3  It ends when the job has ended and has no process.
 *   JS4  A job that has not ended some time after SIGKILL may not be signalled, or hangs in the
 *        kernel. It is not waited for any longer.
 */

import { monotonicNow } from '../../protocol/index.ts';
import type { WrapperTimes } from '../times.ts';
import { dueRungs, interruptLadder, mergeLadders, type Rung, type StopSignal } from './interrupt.ts';

/** The part of a child that is used here. */
export interface StopTarget {
  /** Signals every process of the job. False when there is none. */
  signal(signal: NodeJS.Signals): boolean;
  living(): readonly unknown[];
  /** The job's process has ended. */
  readonly ended: boolean;
  /** Does not wait any longer for its end. */
  giveUp(): void;
}

type StopTimes = Pick<WrapperTimes, 'killAfterMs' | 'leftoverKillMs' | 'killedWaitMs'>;

export class JobStop {
  readonly #target: StopTarget;
  readonly #times: StopTimes;
  #ladder: Rung[] = [];
  #timer: NodeJS.Timeout | null = null;
  #givingUp: NodeJS.Timeout | null = null;
  #passed: NodeJS.Signals | null = null;
  #unwanted = false;
  #asked = false;
  #toldToStop = false;

  constructor(target: StopTarget, times: StopTimes) {
    this.#target = target;
    this.#times = times;
  }

  /** The first signal that was passed on. */
  get passedSignal(): NodeJS.Signals | null {
    return this.#passed;
  }

  /** The end was requested, by a signal or by a command. */
  get asked(): boolean {
    return this.#asked;
  }

  /** The end was requested before the job had ended. */
  get toldToStop(): boolean {
    return this.#toldToStop;
  }

  /** Signals are pending and the job still has a process. */
  get hasPendingSignals(): boolean {
    return this.#ladder.length > 0 && this.#target.living().length > 0;
  }

  /** Requests the job's end, starting with this signal. */
  interrupt(signal: StopSignal, forceAfterMs: number): void {
    this.#asked = true;
    this.#climb(interruptLadder(signal, forceAfterMs, monotonicNow()));
  }

  /** Continues where an earlier wrapper was: the job has had the first signal. */
  resume(signal: StopSignal, forceAfterMs: number): void {
    this.#asked = true;
    const ladder = interruptLadder(signal, forceAfterMs, monotonicNow());
    this.#climb(ladder.length > 1 ? ladder.slice(1) : ladder);
  }

  /** The job's result is no longer wanted. */
  unwanted(): void {
    this.#unwanted = true;
    this.interrupt('SIGTERM', this.#times.killAfterMs);
  }

  /** Passes on a signal that this process received. A second signal, of any kind, kills. */
  pass(signal: NodeJS.Signals): void {
    this.#asked = true;
    if (this.#passed) this.#kill();
    else this.#target.signal(signal);
    this.#passed ??= signal;
  }

  /**
   * The job's process has ended. If the job was asked to stop and its group still has members, they
   * are stopped too (JS2).
   */
  leaderGone(): void {
    this.#toldToStop = this.#asked;
    if (this.#ladder.length === 0 && !this.#passed && !this.#unwanted) return;
    this.interrupt('SIGTERM', this.#times.leftoverKillMs);
  }

  /** No signal is sent after this. */
  forget(): void {
    if (this.#timer) clearTimeout(this.#timer);
    if (this.#givingUp) clearTimeout(this.#givingUp);
  }

  /** JS4 */
  #kill(): boolean {
    const signalled = this.#target.signal('SIGKILL');
    if (!this.#target.ended) {
      this.#givingUp ??= setTimeout(() => {
        if (!this.#target.ended) this.#target.giveUp();
      }, this.#times.killedWaitMs);
    }
    return signalled;
  }

  /** Sends the rungs that are due, and schedules the next. */
  #climb(added: readonly Rung[]): void {
    this.#ladder = mergeLadders(this.#ladder, added);
    if (this.#timer) clearTimeout(this.#timer); // JS1
    const { due, later } = dueRungs(this.#ladder, monotonicNow());
    const reached = due.at(-1);
    const signalled = reached && (reached.signal === 'SIGKILL' ? this.#kill() : this.#target.signal(reached.signal));
    // JS3. A job that may not be signalled has not ended: the ladder continues to its last rung
    // (JS4).
    if (signalled === false && this.#target.ended) {
      this.#ladder = [];
      return;
    }
    this.#ladder = later;
    const next = later[0];
    if (next) this.#timer = setTimeout(() => this.#climb([]), Math.max(0, next.at - monotonicNow()));
  }
}
