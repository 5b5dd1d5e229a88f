/**
 * How long a run keeps trying: for its first welcome, for an ack, for the delivery of its end, and
 * against refusals. Pure: all times are arguments, in milliseconds of the monotonic clock; their
 * lengths and reasons are in times.ts. A budget is exceeded only after its last millisecond.
 *
 * A budget is compared with the start of the last failed attempt, not with the clock. So it expires
 * only after an attempt that began later than its end: a machine that slept, or a timer that fired
 * late, gets one more attempt.
 *
 * A running job has no budget: its wrapper retries without limit, because the coordinator decides
 * how long it waits (the grace).
 */

import type { Policy } from '../../protocol/index.ts';
import type { WrapperTimes } from '../times.ts';

/**
 * Frames were sent and no event was acked for too long: the connection is unusable although it
 * answers pings.
 */
export const isAckOverdue = (
  { inflightBytes, awaitedSince }: { inflightBytes: number; awaitedSince: number },
  now: number,
  { ackStallMs }: Pick<WrapperTimes, 'ackStallMs'>,
): boolean => inflightBytes > 0 && now - awaitedSince > ackStallMs;

export interface Refusal {
  /** The first refusal since the coordinator last accepted this wrapper. */
  refusedSince: number;
  /** The last time at which the coordinator counted this wrapper as connected. */
  connectedAt: number;
  /** Of the execution; null before its first welcome. */
  policy: Pick<Policy, 'disconnectGraceMs' | 'silenceTimeoutMs'> | null;
}

/**
 * Whether a refusal of the coordinator is final. Before the first welcome: when it has been
 * repeated for a while, so that a restart with other keys or data does not count. After it: when
 * the grace is certainly over. The coordinator detects a dead connection `silenceTimeoutMs` late,
 * and extends a grace that passed while it was down by its full length, once. Since it may have
 * been down for longer than that, it must have refused for a whole grace.
 */
export function isRefusalBelieved(
  { refusedSince, connectedAt, policy }: Refusal,
  attemptBeganAt: number,
  { refusedBudgetMs, graceMarginMs }: Pick<WrapperTimes, 'refusedBudgetMs' | 'graceMarginMs'>,
): boolean {
  if (!policy) return attemptBeganAt - refusedSince > refusedBudgetMs;
  const { disconnectGraceMs, silenceTimeoutMs } = policy;
  const graceOverAt = Math.max(connectedAt + silenceTimeoutMs + 2 * disconnectGraceMs, refusedSince + disconnectGraceMs);
  return attemptBeganAt > graceOverAt + graceMarginMs;
}

export interface StartWait {
  /**
   * The start of this process, or the last time that the coordinator asked to wait, which counts as
   * being reached (SPL21).
   */
  unheardSince: number;
  /** When the end was requested for a job that had not begun. Null: no request. */
  stopAskedAt: number | null;
}

/**
 * The job has not begun, and the wrapper stops waiting for its welcome. After a request for its end
 * the wait is much shorter.
 */
export const isStartOverdue = (
  { unheardSince, stopAskedAt }: StartWait,
  triedAt: number,
  { firstWelcomeBudgetMs, signalledBudgetMs }: Pick<WrapperTimes, 'firstWelcomeBudgetMs' | 'signalledBudgetMs'>,
): boolean => triedAt - unheardSince > firstWelcomeBudgetMs || (stopAskedAt !== null && triedAt - stopAskedAt > signalledBudgetMs);

/**
 * For the rest of a report. After the grace the coordinator has settled the execution by itself,
 * and takes the rest as late for `drainBudgetMinMs`.
 */
export const drainBudgetMs = (graceMs: number, { drainBudgetMinMs }: Pick<WrapperTimes, 'drainBudgetMinMs'>): number =>
  Math.max(graceMs * 2, drainBudgetMinMs);

/**
 * Each ack is a sign that the rest may be delivered too. `ackedAt` is null before the first one.
 */
export const isDrainOverdue = (
  { since, ackedAt }: { since: number; ackedAt: number | null },
  triedAt: number,
  budgetMs: number,
): boolean => triedAt - Math.max(since, ackedAt ?? since) > budgetMs;

export interface SpoolWait {
  /** Since when no write succeeded. */
  stuckSince: number;
  /** The coordinator has all that was written, so no ack will free space. */
  drained: boolean;
  /** The job has ended, or was asked to stop. */
  stopping: boolean;
}

/**
 * The spool accepts no events, and the wrapper stops waiting for it. While acks may still free
 * space it waits without a limit: then the coordinator's grace decides. A requested end of the job
 * is never delayed by this.
 */
export const isSpoolOverdue = (
  { stuckSince, drained, stopping }: SpoolWait,
  now: number,
  { spoolStuckMs, spoolStuckStoppingMs }: Pick<WrapperTimes, 'spoolStuckMs' | 'spoolStuckStoppingMs'>,
): boolean => (stopping && now - stuckSince > spoolStuckStoppingMs) || (drained && now - stuckSince > spoolStuckMs);
