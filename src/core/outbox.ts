/**
 * What the session has yet to report to another object, as leased rows (leased-row.ts): one row for each receiver. Pure.
 *
 * O1  A row says that there is something to report, not what. The report is read when it is sent and is always whole. So
 *     changes that come while the receiver cannot be reached become one message, and a lost message does not matter once a
 *     later one arrives.
 * O2  Each change raises the version. The receiver takes only what is newer than what it has, so a message may come late,
 *     twice, or out of order. A version is a time where it can be, so that a session that is deleted and made again goes on
 *     above its last version.
 * O3  After a delivery the row stays: the session reports again after as long as it has been idle, because the receiver may
 *     have lost its data. That is a handful of wakes in a session's life, and none in an idle hour (REFRESH_MIN_MS).
 */

import { LEASE_MS, type LeasedRow, reschedule } from './leased-row.ts';

/** The receiver. There is one row for each. */
export type Topic = 'directory';

export interface OutboxRecord extends LeasedRow {
  topic: Topic;
  /** Newest change. */
  version: number;
  /** Newest change that the receiver has; 0 for none. */
  delivered: number;
}

const RETRY_BASE_MS = 1_000;

export const REFRESH_MIN_MS = 24 * 60 * 60 * 1000;

export const isWaiting = ({ version, delivered }: OutboxRecord): boolean => version > delivered;

/** O2: something changed. The change starts the count of attempts again. */
export function noteChange(record: OutboxRecord | null, topic: Topic, now: number): OutboxRecord {
  const version = Math.max((record?.version ?? 0) + 1, now);
  return { topic, version, delivered: record?.delivered ?? 0, attempts: 0, dueAt: now + LEASE_MS };
}

/** The receiver took `version`. `record` is the row as it is now: it may have changed since. O3 */
export function markDelivered(record: OutboxRecord, version: number, idleMs: number, now: number): OutboxRecord {
  const next = { ...record, delivered: Math.max(record.delivered, version), attempts: 0 };
  return { ...next, dueAt: now + (isWaiting(next) ? LEASE_MS : Math.max(REFRESH_MIN_MS, idleMs)) };
}

/**
 * The receiver holds a newer version: from before this session was deleted, or from a clock that ran ahead. The record goes
 * above that version and is sent again.
 */
export const rebaseVersion = (record: OutboxRecord, held: number, now: number): OutboxRecord => ({
  ...record,
  version: Math.max(record.version, held + 1),
  dueAt: now + LEASE_MS,
});

/** The attempt failed. Versions are times, so they spread the delays of different sessions. */
export const scheduleRetry = (record: OutboxRecord, now: number): OutboxRecord =>
  reschedule(record, now, { baseMs: RETRY_BASE_MS, seedMs: record.version });
