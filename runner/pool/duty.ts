/**
 * What a runner takes, and when it ends. Pure: `now` is an argument, of the monotonic clock.
 *
 *              said `draining`                the pool answered `drained`,      nothing runs
 *     working ────────────────► draining ──────── or the connection ended ────► drained ────► over
 *        once: a launch was accepted
 *        idle: nothing ran for `idleExitMs`
 *        told: SIGTERM, or the pool
 *
 *   DU1  A phase is never left backwards: a runner that said `draining` takes nothing new for the
 *        rest of this process.
 *   DU2  A launch may meet the `draining` of an idle runner on its way. It is run: the pool would
 *        otherwise wait for a machine that is just ending. With `once` or after a signal it is
 *        refused.
 *   DU3  A launch of an execution that runs here starts nothing, and is answered `launched`.
 *   DU4  A launch of an execution that has ended here is the same lease again, or another attempt:
 *        the session asks again only while no wrapper of it has connected, so nothing has run.
 */

import type { RefusalCode } from '../../protocol/pool.ts';

export type DrainCause = 'once' | 'idle' | 'told';

export type Phase = { kind: 'working' } | { kind: 'draining' | 'drained'; cause: DrainCause };

export interface Terms {
  slots: number;
  once: boolean;
  idleExitMs: number | null;
}

export interface Duty {
  phase: Phase;
  /** Since when nothing has run here. Null: something runs. */
  idleSince: number | null;
}

export const newDuty = (now: number): Duty => ({ phase: { kind: 'working' }, idleSince: now });

/** What this runner has of an execution that it is asked to launch. */
export type Held = 'nothing' | 'running' | 'ended_same_lease' | 'ended' | 'undelivered';

export type LaunchDecision =
  | { kind: 'start' }
  /** Answer `launched`. */
  | { kind: 'running' }
  /** Answer `launched`, then `ended`. */
  | { kind: 'ended' }
  /** Forget the ended run, and start. */
  | { kind: 'start_again' }
  | { kind: 'refuse'; code: RefusalCode; message: string };

export function decideLaunch({ phase }: Duty, { slots }: Terms, held: Held, running: number): LaunchDecision {
  if (held === 'running') return { kind: 'running' }; // DU3
  if (held === 'ended_same_lease') return { kind: 'ended' };
  if (phase.kind !== 'working' && phase.cause !== 'idle') {
    return { kind: 'refuse', code: 'draining', message: 'This runner takes nothing new.' };
  }
  if (running >= slots) return { kind: 'refuse', code: 'full', message: `All ${slots} slots of this runner are taken.` };
  if (held === 'undelivered') {
    const message = 'An earlier run of this execution ended on this runner, and its report could not be delivered.';
    return { kind: 'refuse', code: 'start_failed', message };
  }
  return { kind: held === 'ended' ? 'start_again' : 'start' }; // DU4
}

/** A launch was accepted. */
export function accepted(duty: Duty, { once }: Terms): Duty {
  const drained = once ? drain(duty, 'once') : duty;
  return { ...drained, idleSince: null };
}

/** A run has ended; `running` are left. */
export const ended = (duty: Duty, running: number, now: number): Duty => (running === 0 ? { ...duty, idleSince: now } : duty);

/** DU1. The first cause stays, except that an order is stronger than having been idle. */
export function drain(duty: Duty, cause: DrainCause): Duty {
  const { phase } = duty;
  if (phase.kind === 'working') return { ...duty, phase: { kind: 'draining', cause } };
  return phase.cause === 'idle' && cause !== 'idle' ? { ...duty, phase: { ...phase, cause } } : duty;
}

/** The pool assigns nothing more: it said so, or there is no connection. */
export function drained(duty: Duty): Duty {
  const { phase } = duty;
  return phase.kind === 'draining' ? { ...duty, phase: { kind: 'drained', cause: phase.cause } } : duty;
}

/** Whether it has been idle for long enough to end. */
export const isIdleOver = ({ phase, idleSince }: Duty, { idleExitMs }: Terms, now: number): boolean =>
  phase.kind === 'working' && idleExitMs !== null && idleSince !== null && now - idleSince >= idleExitMs;

/** Whether this process is done. `connected`: a launch may still arrive. */
export function isOver({ phase }: Duty, { connected, running }: { connected: boolean; running: number }): boolean {
  if (phase.kind === 'working' || running > 0) return false;
  return phase.kind === 'drained' || !connected;
}
