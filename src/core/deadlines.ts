/**
 * When the object must wake next. One alarm = the earliest of all deadlines (G5); it is a projection of rows and sockets, recomputed after every
 * change and on every wake, and never the only place where a time is kept.
 */

import { HELLO_TIMEOUT_MS } from '../../protocol/index.ts';
import type { ExecutionRecord } from './execution.ts';
import { deadlinesOf } from './lifecycle.ts';

/** The last activity of a session is followed by 90 days in which it can be read; then everything of it is deleted. */
export const RETENTION_MS = 90 * 24 * 60 * 60 * 1000;

/** An alarm this far behind its time will not come any more; it is set again. The platform documents up to a minute of lateness. */
export const ALARM_OVERDUE_MS = 60_000;

/** How often a replay that was left unfinished is looked after. It only matters when the turn that paced it was lost. */
export const REPLAY_CHECK_MS = 5_000;

export interface Horizon {
  /** Executions that are not terminal. */
  open: readonly ExecutionRecord[];
  /** When the connection of the running execution was last heard; null when there is none. */
  heardAt: number | null;
  /** When the newest frame of events was taken; null when none was. */
  takenAt: number | null;
  /** When each unbound ingest socket was accepted. */
  unboundSince: readonly number[];
  /** Viewers that are behind the log and are not waiting for their own acks. */
  replaying: boolean;
  /** When the next connection of a viewer ends with its ticket; null when none does. */
  ticketUntil: number | null;
  /** Null for a session that was deleted and has yet to say so. */
  lastActivityAt: number | null;
  /** When somebody outside is to be told of this session (again); null when nobody is. */
  outboxDueAt: number | null;
}

export const silenceDeadline = (record: ExecutionRecord, heardAt: number): number => heardAt + record.policy.silenceTimeoutMs;

export function nextWake(
  { open, heardAt, takenAt, unboundSince, replaying, ticketUntil, lastActivityAt, outboxDueAt }: Horizon,
  now: number,
): number {
  const times = open.flatMap((record) => [
    ...deadlinesOf(record, takenAt).map(({ at }) => at),
    ...(record.launchAt === null ? [] : [record.launchAt]),
    ...(record.status === 'running' && record.connected && heardAt !== null ? [silenceDeadline(record, heardAt)] : []),
  ]);
  for (const since of unboundSince) times.push(since + HELLO_TIMEOUT_MS);
  if (replaying) times.push(now + REPLAY_CHECK_MS);
  if (ticketUntil !== null) times.push(ticketUntil);
  if (outboxDueAt !== null) times.push(outboxDueAt);
  if (open.length === 0 && lastActivityAt !== null) times.push(lastActivityAt + RETENTION_MS);
  // An open execution always has a deadline of its own, or waits behind one that has.
  return times.length > 0 ? Math.min(...times) : now + ALARM_OVERDUE_MS;
}

/**
 * Whether the alarm has to be set. Setting it costs a row, so one that comes early enough is left alone: it fires, finds nothing due, and the
 * next is set then.
 */
export function alarmToSet(current: number | null, wanted: number, now: number): number | null {
  if (current === null || current > wanted) return wanted;
  return current < now - ALARM_OVERDUE_MS ? wanted : null;
}
