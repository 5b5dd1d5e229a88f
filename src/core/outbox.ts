/**
 * What is yet to be told to somebody outside of the session: a row, written in the transaction of the change that it tells of, and delivered after it.
 *
 * O1  A row says that there is something to tell, not what: what is told is read when it is told, and is always whole. So changes that come while
 *     nobody can be reached are one message in the end, and one that was lost does not matter once a later one arrived.
 * O2  Each change raises the version. The receiver takes only what is newer than what it has, so a message may come late, twice, or in another order.
 *     A version is a time where it can be, so that a session that is deleted and begun anew goes on above where it was.
 * O3  `dueAt` is a deadline like all others (G5). It begins as a lease: the delivery right after the change has until then to succeed, and what dies with
 *     the object in between is found by the alarm.
 * O4  Told is not the end: after as long as the session has been idle it tells the same again, because the receiver may have lost it. That is a handful of
 *     wakes in a session's life, and none in an idle hour (REFRESH_MIN_MS).
 */

/** Who is told. There is one row for each. */
export type Topic = 'directory';

export interface OutboxRecord {
  topic: Topic;
  /** Newest change. */
  version: number;
  /** Newest change that was taken; 0 for none. */
  delivered: number;
  /** Attempts in a row that failed. */
  attempts: number;
  /** When to tell (again), whether or not there is news. */
  dueAt: number;
}

/** Longer than an attempt may take (`TELL_TIMEOUT_MS`), so that none is repeated while it is under way. */
export const OUTBOX_LEASE_MS = 15_000;

/** A call within one data centre takes milliseconds. */
export const TELL_TIMEOUT_MS = 10_000;

const RETRY_BASE_MS = 1_000;

/** An hour of failure costs 12 alarms. */
export const RETRY_CAP_MS = 5 * 60_000;

export const REFRESH_MIN_MS = 24 * 60 * 60 * 1000;

export const isWaiting = ({ version, delivered }: OutboxRecord): boolean => version > delivered;

/** O2, O3: something changed. */
export function noteChange(record: OutboxRecord | null, topic: Topic, now: number): OutboxRecord {
  const version = Math.max((record?.version ?? 0) + 1, now);
  return { topic, version, delivered: record?.delivered ?? 0, attempts: 0, dueAt: now + OUTBOX_LEASE_MS };
}

/** An attempt that the alarm makes gets its lease before it begins. */
export const lease = (record: OutboxRecord, now: number): OutboxRecord => ({ ...record, dueAt: now + OUTBOX_LEASE_MS });

/** It was taken. `record` is the row as it is now: there may be further news. O4 */
export function taken(record: OutboxRecord, version: number, idleMs: number, now: number): OutboxRecord {
  const told = { ...record, delivered: Math.max(record.delivered, version), attempts: 0 };
  return { ...told, dueAt: now + (isWaiting(told) ? OUTBOX_LEASE_MS : Math.max(REFRESH_MIN_MS, idleMs)) };
}

/** The receiver has something newer, from before this session was deleted, or from a clock that ran ahead. It is told again, above that. */
export const outrun = (record: OutboxRecord, held: number, now: number): OutboxRecord => ({
  ...record,
  version: Math.max(record.version, held + 1),
  dueAt: now + OUTBOX_LEASE_MS,
});

/** Nobody took it. The delays grow, and those of two sessions differ: versions are times, whose last digits are as good as a die. */
export function failed(record: OutboxRecord, now: number): OutboxRecord {
  const delayMs = Math.min(RETRY_CAP_MS, RETRY_BASE_MS * 2 ** Math.min(record.attempts, 16));
  const spread = (record.version % 1000) / 1000;
  return { ...record, attempts: record.attempts + 1, dueAt: now + Math.ceil(delayMs * (0.5 + spread / 2)) };
}
