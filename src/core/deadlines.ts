/**
 * When the object must wake next. The alarm is the earliest of all deadlines (G5). It is derived
 * from rows and sockets and recomputed after every change and on every wake; it is never the only
 * place that holds a time.
 */

import { HELLO_TIMEOUT_MS } from '../../protocol/index.ts';
import type { ExecutionRecord } from './execution.ts';
import { deadlinesOf } from './lifecycle.ts';

/** A session can be read for 90 days after its last activity. Then all of it is deleted. */
export const RETENTION_MS = 90 * 24 * 60 * 60 * 1000;

/**
 * An alarm that is overdue by more than this will not fire and is set again. The platform documents
 * a lateness of up to a minute.
 */
export const ALARM_OVERDUE_MS = 60_000;

/**
 * How often an unfinished replay is checked. This only matters if the turn that paced it was lost.
 */
export const REPLAY_CHECK_MS = 5_000;

/** An execution that is not terminal, with what its row does not hold. */
export interface OpenExecution {
  record: ExecutionRecord;
  /** When its connection was last heard; null if it is not connected. */
  heardAt: number | null;
  /** When its newest events frame was accepted; null before the first. */
  takenAt: number | null;
}

export interface DeadlineInputs {
  open: readonly OpenExecution[];
  /** When each unbound ingest socket was accepted. */
  unboundSince: readonly number[];
  /** Viewers that are behind the log and are not waiting for their own acks. */
  replaying: boolean;
  /** When the next viewer connection ends with its ticket; null when no connection has an end. */
  ticketUntil: number | null;
  /** Null for a deleted session whose deletion has not been reported yet. */
  lastActivityAt: number | null;
  /** When the next outbox or callback row is due; null when no row is. */
  outboxDueAt: number | null;
}

export const silenceDeadline = (record: ExecutionRecord, heardAt: number): number => heardAt + record.policy.silenceTimeoutMs;

export function nextWake(
  { open, unboundSince, replaying, ticketUntil, lastActivityAt, outboxDueAt }: DeadlineInputs,
  now: number,
): number {
  const times = open.flatMap(({ record, heardAt, takenAt }) => [
    ...deadlinesOf(record, takenAt).map(({ at }) => at),
    ...(record.launchAt === null ? [] : [record.launchAt]),
    ...(record.status === 'running' && record.connected && heardAt !== null ? [silenceDeadline(record, heardAt)] : []),
  ]);
  for (const since of unboundSince) times.push(since + HELLO_TIMEOUT_MS);
  if (replaying) times.push(now + REPLAY_CHECK_MS);
  if (ticketUntil !== null) times.push(ticketUntil);
  if (outboxDueAt !== null) times.push(outboxDueAt);
  if (open.length === 0 && lastActivityAt !== null) times.push(lastActivityAt + RETENTION_MS);
  // An open execution always has a deadline of its own, or is queued behind one that has.
  return times.length > 0 ? Math.min(...times) : now + ALARM_OVERDUE_MS;
}

/**
 * The alarm to set, or null to keep the current one. Setting an alarm costs a row, so one that is
 * early enough stays: it fires, finds nothing due, and the next one is set then.
 */
export function alarmToSet(current: number | null, wanted: number, now: number): number | null {
  if (current === null || current > wanted) return wanted;
  return current < now - ALARM_OVERDUE_MS ? wanted : null;
}
