/**
 * Makes a job stop: sends the signals of its ladder (interrupt) when they are due, and those that this process gets itself.
 *
 * Owns: the ladder, its timer, which signal was passed on. Does not own: the process (child), why it is to stop.
 *
 *   JS1  One timer at a time, for the next rung. After `forget` there is none.
 *   JS2  The ladder goes on after the leader's end for as long as its group has members: what the job started is not left behind.
 *   JS3  It ends when nobody is left to receive a signal.
 */

import { monotonicNow } from '../../protocol/index.ts';
import type { WrapperTimes } from '../times.ts';
import { dueRungs, interruptLadder, mergeLadders, type Rung, type StopSignal } from './interrupt.ts';

/** What of a child this needs. */
export interface StopTarget {
  /** To the whole group. False when nobody of it is left. */
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

  /** Someone asked for its end, in whichever way. */
  get asked(): boolean {
    return this.#asked;
  }

  /** Its end was asked for before it had ended. */
  get toldToStop(): boolean {
    return this.#toldToStop;
  }

  /** Signals are still to come, and someone is there to get them. */
  get lingers(): boolean {
    return this.#ladder.length > 0 && this.#target.groupAlive();
  }

  /** Someone asked for the job's end, with this signal first. */
  interrupt(signal: StopSignal, forceAfterMs: number): void {
    this.#asked = true;
    this.#climb(interruptLadder(signal, forceAfterMs, monotonicNow()));
  }

  /** Nobody wants the job any more. */
  unwanted(): void {
    this.#unwanted = true;
    this.interrupt('SIGTERM', this.#times.killAfterMs);
  }

  /** A signal that this process got. The second one, whichever it is, kills. */
  pass(signal: NodeJS.Signals): void {
    this.#asked = true;
    this.#target.signal(this.#passed ? 'SIGKILL' : signal);
    this.#passed ??= signal;
  }

  /** The job's process has ended. If it was told to stop, but not all of its group has, they are not left behind (JS2). */
  leaderGone(): void {
    this.#toldToStop = this.#asked;
    if (this.#ladder.length === 0 && !this.#passed && !this.#unwanted) return;
    this.interrupt('SIGTERM', this.#times.leftoverKillMs);
  }

  /** No signal is sent any more. */
  forget(): void {
    if (this.#timer) clearTimeout(this.#timer);
  }

  /** Sends the rungs that are due, and comes back for the next. */
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
