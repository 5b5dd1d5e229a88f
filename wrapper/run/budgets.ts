/**
 * How long a run goes on trying: for its first welcome, for an ack, for the delivery of its end, and against refusals. Pure: all times are arguments, in
 * milliseconds of the monotonic clock; their lengths and reasons are in times.ts. At its very end a budget is not over yet.
 *
 * A budget is compared with the moment at which the last failed attempt began, not with the clock. So it ends something only after an attempt that began when
 * it was over: a machine that slept, or a timer that fired late, gets one more attempt first.
 *
 * There is none for a running job: while it runs its wrapper tries again and again, because the coordinator decides how long it waits (the grace).
 */

import type { Policy } from '../../protocol/index.ts';
import type { WrapperTimes } from '../times.ts';

/** Frames were sent, and nothing of them was acked for too long: the connection is of no use although it answers pings. */
export const isAckOverdue = (
  { inflightBytes, awaitedSince }: { inflightBytes: number; awaitedSince: number },
  now: number,
  { ackStallMs }: Pick<WrapperTimes, 'ackStallMs'>,
): boolean => inflightBytes > 0 && now - awaitedSince > ackStallMs;

export interface Refusal {
  /** The first refusal since the coordinator last took us. */
  refusedSince: number;
  /** The last moment at which the coordinator counted us as connected. */
  connectedAt: number;
  /** Of the execution; null before its first welcome. */
  policy: Pick<Policy, 'disconnectGraceMs' | 'silenceTimeoutMs'> | null;
}

/**
 * A refusal of the coordinator is final. Before the first welcome: when it has been repeated for a while, so that a restart with other keys or data does not
 * count. After it: when the grace is certainly over. The coordinator notices a dead connection `silenceTimeoutMs` late, and renews a grace that passed while it
 * was down by its full length, once. And since it may have been down for longer than that, it must have refused for a whole grace.
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
  /** The start of this process, or the last time that the coordinator itself asked to wait: that is as good as being reached (SPL21). */
  unheardSince: number;
  /** When someone asked for the end of a job that had not begun. Null: nobody did. */
  stopAskedAt: number | null;
}

/** The job has not begun, and is not waited for any longer. Whoever asked for its end waits for a much shorter time. */
export const isStartOverdue = (
  { unheardSince, stopAskedAt }: StartWait,
  triedAt: number,
  { firstWelcomeBudgetMs, signalledBudgetMs }: Pick<WrapperTimes, 'firstWelcomeBudgetMs' | 'signalledBudgetMs'>,
): boolean => triedAt - unheardSince > firstWelcomeBudgetMs || (stopAskedAt !== null && triedAt - stopAskedAt > signalledBudgetMs);

/** For the rest of a report. After the grace the coordinator has settled the execution by itself; as long again for it to be there at all. */
export const drainBudgetMs = (graceMs: number, { drainBudgetMinMs }: Pick<WrapperTimes, 'drainBudgetMinMs'>): number =>
  Math.max(graceMs * 2, drainBudgetMinMs);

/** Each ack is a sign that the rest may get through too. `ackedAt` is null before the first one. */
export const isDrainOverdue = (
  { since, ackedAt }: { since: number; ackedAt: number | null },
  triedAt: number,
  budgetMs: number,
): boolean => triedAt - Math.max(since, ackedAt ?? since) > budgetMs;

export interface SpoolWait {
  /** Since when nothing at all could be written. */
  stuckSince: number;
  /** The coordinator has all that was written, so no ack will make room. */
  drained: boolean;
  /** The job has ended, or was told to. */
  stopping: boolean;
}

/**
 * The spool takes nothing, and is not waited for any longer. While acks may still make room it is waited for without a limit: then the coordinator's grace
 * counts. Whoever asked for the end of the job gets it in any case.
 */
export const isSpoolOverdue = (
  { stuckSince, drained, stopping }: SpoolWait,
  now: number,
  { spoolStuckMs, spoolStuckStoppingMs }: Pick<WrapperTimes, 'spoolStuckMs' | 'spoolStuckStoppingMs'>,
): boolean => (stopping && now - stuckSince > spoolStuckStoppingMs) || (drained && now - stuckSince > spoolStuckMs);
