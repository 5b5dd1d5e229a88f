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
 *   JS3  It ends when the group has no member.
 */

import { monotonicNow } from '../../protocol/index.ts';
import type { WrapperTimes } from '../times.ts';
import { dueRungs, interruptLadder, mergeLadders, type Rung, type StopSignal } from './interrupt.ts';

/** The part of a child that is used here. */
export interface StopTarget {
  /** Signals the whole group. False when the group has no member. */
  signal(signal: NodeJS.Signals): boolean;
  groupAlive(): boolean;
}

export class JobStop {
  readonly #target: StopTarget;
  readonly #times: Pick<WrapperTimes, 'killAfterMs' | 'leftoverKillMs'>;
  #ladder: Rung[] = [];
  #timer: NodeJS.Timeout | null = null;
  #passed: NodeJS.Signals | null = null;
  #unwanted = false;
  #asked = false;
  #toldToStop = false;

  constructor(target: StopTarget, times: Pick<WrapperTimes, 'killAfterMs' | 'leftoverKillMs'>) {
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

  /** Signals are pending and the group still has a member. */
  get hasPendingSignals(): boolean {
    return this.#ladder.length > 0 && this.#target.groupAlive();
  }

  /** Requests the job's end, starting with this signal. */
  interrupt(signal: StopSignal, forceAfterMs: number): void {
    this.#asked = true;
    this.#climb(interruptLadder(signal, forceAfterMs, monotonicNow()));
  }

  /** The job's result is no longer wanted. */
  unwanted(): void {
    this.#unwanted = true;
    this.interrupt('SIGTERM', this.#times.killAfterMs);
  }

  /** Passes on a signal that this process received. A second signal, of any kind, kills. */
  pass(signal: NodeJS.Signals): void {
    this.#asked = true;
    this.#target.signal(this.#passed ? 'SIGKILL' : signal);
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
  }

  /** Sends the rungs that are due, and schedules the next. */
  #climb(added: readonly Rung[]): void {
    this.#ladder = mergeLadders(this.#ladder, added);
    if (this.#timer) clearTimeout(this.#timer); // JS1
    const { due, later } = dueRungs(this.#ladder, monotonicNow());
    const reached = due.at(-1);
    if (reached && !this.#target.signal(reached.signal)) {
      this.#ladder = []; // JS3
      return;
    }
    this.#ladder = later;
    const next = later[0];
    if (next) this.#timer = setTimeout(() => this.#climb([]), Math.max(0, next.at - monotonicNow()));
  }
}
