/** When a pool's object must wake next. Pure; computed anew from rows and sockets after each change. */

import { HELLO_TIMEOUT_MS } from '../../protocol/index.ts';
import { isUnseen, type Lane, type PoolEntry } from './pool-entry.ts';
import type { RunnerRecord } from './pool-runner.ts';
import { nextLookAt } from './pool-silence.ts';

export interface PoolDeadlines {
  /** Every entry that does not wait. */
  active: Iterable<PoolEntry>;
  /** The first execution of each lane. */
  heads: readonly { lane: Lane }[];
  /** `open` and `signAt` ask the platform, and are read only for those that may matter. */
  runners: Iterable<{
    readonly record: RunnerRecord;
    readonly open: boolean;
    readonly signAt: number;
    readonly heldByRows: number;
    readonly doubtedAt: number | null;
  }>;
  /** Open connections that have no hello yet, or whose key expires. `runnerId`: null before the hello. */
  sockets: Iterable<{ runnerId: string | null; acceptedAt: number; expiresAt: number | null }>;
  /** When sessions are told next why they wait; null: nothing is to be told. */
  tellAt: number | null;
}

/**
 * Null: nothing will ever be due, so a pool of idle runners sleeps. An execution that waits needs no
 * wake: a runner that gets a slot says so, and its session ends the wait.
 */
export function nextPoolWake({ active, heads, runners, sockets, tellAt }: PoolDeadlines, now: number): number | null {
  const times: (number | null)[] = [];
  const unseen = new Set<string>();
  for (const entry of active) {
    times.push(entry.dueAt);
    if (isUnseen(entry) && entry.runnerId !== null) unseen.add(entry.runnerId);
  }
  const waits = heads.length > 0;
  for (const runner of runners) {
    const { record, doubtedAt } = runner;
    const mayBeSilent = doubtedAt !== null || unseen.has(record.id);
    const mayBeLost = !record.lost && record.goneAt !== null && runner.heldByRows > 0;
    if ((mayBeSilent && runner.open) || (mayBeLost && !runner.open)) times.push(nextLookAt(runner.signAt, doubtedAt));
    if (waits && record.restUntil > now && runner.open) times.push(record.restUntil);
  }
  for (const { runnerId, acceptedAt, expiresAt } of sockets) {
    if (runnerId === null) times.push(acceptedAt + HELLO_TIMEOUT_MS);
    times.push(expiresAt);
  }
  for (const { lane } of heads) if (lane.avoid && lane.avoid.until > now) times.push(lane.avoid.until);
  if (waits) times.push(tellAt);
  let next: number | null = null;
  for (const at of times) if (at !== null && (next === null || at < next)) next = at;
  return next;
}
