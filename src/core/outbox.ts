/**
 * Reports of the session's state to other objects, as leased rows (leased-row.ts): one row per
 * receiver. Pure.
 *
 * O1  A row says that a report is due, not what it contains. The full state is read when it is
 *     sent. Changes during an outage of the receiver therefore become one message, and a lost
 *     message is repaired by the next one.
 * O2  Each change raises the version, and the receiver accepts only newer versions. A message may
 *     therefore arrive late, twice, or out of order. A version is a time where possible, so a
 *     session that is deleted and made again continues above its last version.
 * O3  After a delivery the row stays. The session reports again after as long as it has been idle,
 *     in case the receiver lost its data. That costs a handful of wakes in a session's life, and at
 *     most one a day (REFRESH_MIN_MS).
 */

import { LEASE_MS, type LeasedRow, reschedule } from './leased-row.ts';

/** The receiver. There is one row for each. */
export type Topic = 'directory';

export interface OutboxRecord extends LeasedRow {
  topic: Topic;
  /** Newest change. */
  version: number;
  /** Newest change that the receiver has; 0 before the first delivery. */
  delivered: number;
}

const RETRY_BASE_MS = 1_000;

export const REFRESH_MIN_MS = 24 * 60 * 60 * 1000;

export const isWaiting = ({ version, delivered }: OutboxRecord): boolean => version > delivered;

/** O2: something changed. The count of attempts starts again. */
export function noteChange(record: OutboxRecord | null, topic: Topic, now: number): OutboxRecord {
  const version = Math.max((record?.version ?? 0) + 1, now);
  return { topic, version, delivered: record?.delivered ?? 0, attempts: 0, dueAt: now + LEASE_MS };
}

/** O3. The receiver accepted `version`. `record` is the current row, which may be newer. */
export function markDelivered(record: OutboxRecord, version: number, idleMs: number, now: number): OutboxRecord {
  const next = { ...record, delivered: Math.max(record.delivered, version), attempts: 0 };
  return { ...next, dueAt: now + (isWaiting(next) ? LEASE_MS : Math.max(REFRESH_MIN_MS, idleMs)) };
}

/**
 * The receiver holds a newer version: from before this session was deleted, or from a clock that
 * ran ahead. The record moves above that version and is sent again.
 */
export const rebaseVersion = (record: OutboxRecord, held: number, now: number): OutboxRecord => ({
  ...record,
  version: Math.max(record.version, held + 1),
  dueAt: now + LEASE_MS,
});

/** The attempt failed. Versions are times, so their last digits are the jitter between sessions. */
export const scheduleRetry = (record: OutboxRecord, now: number): OutboxRecord =>
  reschedule(record, now, { baseMs: RETRY_BASE_MS, seedMs: record.version });
