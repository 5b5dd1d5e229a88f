/**
 * How long a run goes on trying: for its first welcome, for an ack, for the delivery of its end. Pure: `now` is an argument, the supervisor and delivery look
 * at their clock every quarter of a second and do what follows. All times are milliseconds; their lengths and reasons are in times.ts. At its very end a
 * budget is not over yet.
 *
 * There is none for a running job: while it runs its wrapper tries again and again, because the coordinator decides how long it waits (the grace).
 */

import type { WrapperTimes } from './times.ts';

/** Frames were sent, and nothing of them was acked for too long: the connection is of no use although it answers pings. */
export const isAckOverdue = (
  { inflightBytes, awaitedSince }: { inflightBytes: number; awaitedSince: number },
  now: number,
  { ackStallMs }: Pick<WrapperTimes, 'ackStallMs'>,
): boolean => inflightBytes > 0 && now - awaitedSince > ackStallMs;

export interface StartWait {
  /** The start of this process, or the last time that the coordinator itself asked to wait: that is as good as being reached (SPL21). */
  unheardSince: number;
  /** When someone asked for the end of a job that had not begun. Null: nobody did. */
  stopAskedAt: number | null;
}

/** The job has not begun, and is not waited for any longer. Whoever asked for its end waits for a much shorter time. */
export const isStartOverdue = (
  { unheardSince, stopAskedAt }: StartWait,
  now: number,
  { firstWelcomeBudgetMs, signalledBudgetMs }: Pick<WrapperTimes, 'firstWelcomeBudgetMs' | 'signalledBudgetMs'>,
): boolean => now - unheardSince > firstWelcomeBudgetMs || (stopAskedAt !== null && now - stopAskedAt > signalledBudgetMs);

/** For the rest of a report. After the grace the coordinator has settled the execution by itself; as long again for it to be there at all. */
export const drainBudgetMs = (graceMs: number, { drainBudgetMinMs }: Pick<WrapperTimes, 'drainBudgetMinMs'>): number =>
  Math.max(graceMs * 2, drainBudgetMinMs);

/** Each ack is a sign that the rest may get through too. `ackedAt` is 0 before the first one. */
export const isDrainOverdue = ({ since, ackedAt }: { since: number; ackedAt: number }, now: number, budgetMs: number): boolean =>
  now - Math.max(since, ackedAt) > budgetMs;
