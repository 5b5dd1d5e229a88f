/**
 * A row of work that the session's alarm delivers to another service. outbox.ts and callback.ts
 * build on it. Pure.
 *
 * - The row is written in the transaction of the change that it reports, so it exists exactly when
 *   the change happened.
 * - `dueAt` is a deadline like all others (G5). It starts as a lease for the delivery right after
 *   the change. If that delivery dies with the object, the alarm finds the row afterwards.
 * - The alarm moves `dueAt` before it makes an attempt, so no attempt is repeated while it is in
 *   progress.
 */

import { retryDelayMs } from '../../protocol/index.ts';

export interface LeasedRow {
  /** Failed attempts in a row, or attempts made: each user of the row defines it. */
  attempts: number;
  /** When the next attempt may begin. */
  dueAt: number;
}

/** Longer than the longest attempt (`ATTEMPT_TIMEOUT_MS`). */
export const LEASE_MS = 15_000;

/** A call within one data centre takes milliseconds. */
export const ATTEMPT_TIMEOUT_MS = 10_000;

/** An hour of failure costs 12 alarms. */
export const RETRY_CAP_MS = 5 * 60_000;

export interface RetrySchedule {
  /** First delay. It doubles with each attempt, up to `RETRY_CAP_MS`. */
  baseMs: number;
  /** Lower bound of every delay. */
  leastMs?: number;
  /**
   * A time in milliseconds. Its last digits are the jitter between rows; the same row always gets
   * the same delay.
   */
  seedMs: number;
}

/** Leases the row for one attempt. */
export const lease = <Row extends LeasedRow>(row: Row, now: number): Row => ({ ...row, dueAt: now + LEASE_MS });

/** Counts an attempt and sets when the next one may begin. */
export function reschedule<Row extends LeasedRow>(row: Row, now: number, { baseMs, leastMs = 0, seedMs }: RetrySchedule): Row {
  const attempts = row.attempts + 1;
  const random = () => (seedMs % 1000) / 1000;
  const delayMs = retryDelayMs(attempts, { baseMs, capMs: RETRY_CAP_MS, firstImmediate: false, random });
  return { ...row, attempts, dueAt: now + Math.max(leastMs, delayMs) };
}
