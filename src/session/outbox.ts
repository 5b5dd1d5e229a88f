/**
 * Delivers the rows of the outbox (core/outbox.ts): right after the turn of the change, and at the
 * alarm when that attempt failed or was lost.
 *
 * - One delivery at a time. Changes that come meanwhile are sent by the next delivery, which
 *   follows at once.
 * - After each answer everything is read again: the session may have changed, ended, been deleted,
 *   or been deleted and started again.
 * - A deleted session keeps only its outbox, the callbacks that the queue does not have yet, and
 *   its tombstone. When the directory and the queue have everything and the tombstone has expired,
 *   the rest is deleted too.
 */

import type { SessionEntry } from '../../protocol/index.ts';
import type { Announcement } from '../core/directory.ts';
import { executionView } from '../core/execution.ts';
import { lease } from '../core/leased-row.ts';
import { isWaiting, markDelivered, noteChange, type OutboxRecord, rebaseVersion, scheduleRetry } from '../core/outbox.ts';
import type { SessionContext } from './context.ts';

/**
 * Messages of one delivery. More than one is rare. The bound keeps a directory that never agrees
 * from keeping the object busy.
 */
const ROUNDS_MAX = 5;

/** Marks the directory's entry as stale, in the transaction of a change. */
export function markDirectoryStale({ store }: SessionContext, now: number): void {
  store.outbox.put(noteChange(store.outbox.get('directory'), 'directory', now));
}

/** On a wake: a session from before the directory existed was never announced. */
export function markIfNeverAnnounced(context: SessionContext, now: number): void {
  if (context.store.exists && !context.store.outbox.get('directory')) markDirectoryStale(context, now);
}

/**
 * After a change: starts a delivery, unless one is in progress. Resolves when there is nothing more
 * to try now.
 */
export function beginDelivery(context: SessionContext): Promise<void> {
  if (context.delivery) return context.delivery;
  const delivery = deliver(context).finally(() => {
    context.delivery = null;
  });
  context.delivery = delivery;
  context.runtime.waitUntil(delivery);
  return delivery;
}

/** At the alarm: leases the row that is due, and delivers it. */
export function beginDueDelivery(context: SessionContext, now: number): void {
  const { outbox } = context.store;
  const record = outbox.get('directory');
  if (!record || record.dueAt > now) return;
  outbox.put(lease(record, now));
  void beginDelivery(context);
}

async function deliver(context: SessionContext): Promise<void> {
  const { store, runtime } = context;
  for (let round = 1; round <= ROUNDS_MAX; round += 1) {
    const before = store.outbox.get('directory');
    if (!before) return;
    const answer = await context.services.announce(announcementOf(context, before));

    const now = runtime.now();
    const record = store.outbox.get('directory');
    if (!record) return;
    if (answer === null) {
      store.outbox.put(scheduleRetry(record, now));
      context.log('warn', 'directory_not_told', { attempt: record.attempts + 1 });
      context.alarm.arm(now);
      return;
    }
    const done = answer.taken && record.version === before.version && store.callbacks.nextDueAt === null;
    if (done && !store.exists && now >= store.tombstoneUntil) return deleteStorage(context);
    const next = answer.taken
      ? markDelivered(record, before.version, idleMs(context, now), now)
      : rebaseVersion(record, answer.held, now);
    store.outbox.put(next);
    context.alarm.release(record.dueAt, now);
    if (!isWaiting(next)) return;
  }
}

/** The current state of the session. */
function announcementOf({ store, session }: SessionContext, { version }: OutboxRecord): Announcement {
  if (!store.exists) return { session, version, entry: null };
  const [newest] = store.executions.list({ limit: 1 });
  // Only whether there is a question: its text would make rows of many kilobytes.
  const withoutQuestion = newest && { ...newest, asking: null };
  const entry: SessionEntry = {
    id: session,
    lastActivityAt: lastActivityAt(store),
    execution: withoutQuestion ? executionView(session, withoutQuestion) : null,
    open: store.executions.openCounts(),
    ...(store.executions.asks() ? { asking: true } : {}),
  };
  return { session, version, entry };
}

export const lastActivityAt = ({ createdAt, log }: SessionContext['store']): number => Math.max(createdAt, log.lastReceivedAt ?? 0);

const idleMs = ({ store }: SessionContext, now: number): number => (store.exists ? Math.max(0, now - lastActivityAt(store)) : 0);

/** After the last callback of a deleted session, and when its tombstone has expired. */
export async function deleteStorageIfDone(context: SessionContext, now: number): Promise<void> {
  const { store } = context;
  if (store.exists || store.callbacks.nextDueAt !== null || now < store.tombstoneUntil) return;
  const record = store.outbox.get('directory');
  if (record && !isWaiting(record)) await deleteStorage(context);
}

/** Deletes all storage. The platform delivers no other event before this is done. */
async function deleteStorage({ runtime, store, alarm }: SessionContext): Promise<void> {
  const dropped = runtime.deleteAll();
  // The tables are gone at once, so the rest of this turn must not read them.
  store.forget();
  alarm.storageDeleted();
  await dropped;
  store.forget();
  alarm.storageDeleted();
}
