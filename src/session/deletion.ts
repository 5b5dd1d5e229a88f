/**
 * The end of a session, by request or by age. In one turn all of it is deleted and every connection
 * is closed. Two things stay: the message to the directory (outbox.ts), so that the session leaves
 * its tenant's list even when the directory cannot be reached now, and callbacks that the queue
 * does not have yet (callbacks.ts), because each was promised to a receiver.
 */

import { CLOSE, DELETED_REASON, type Failure } from '../../protocol/index.ts';
import type { SessionContext } from './context.ts';
import { markDirectoryStale } from './outbox.ts';
import { detachAndClose, ingestSockets } from './sockets.ts';

/**
 * How long the object keeps the tombstone when something ran in the session. A wrapper that
 * reconnects within this time gets `deleted` and stops its job at once. A later one gets only the
 * answer that the execution does not exist, and stops when it has had that answer for its whole
 * grace (SPL29).
 */
export const TOMBSTONE_MS = 24 * 60 * 60 * 1000;

/**
 * The close reason for a wrapper whose execution is not here: `deleted` while the tombstone lasts,
 * then `no such execution`.
 */
export const notFoundReason = ({ store }: SessionContext, now: number): string =>
  now < store.tombstoneUntil ? DELETED_REASON : 'no such execution';

/** The same in the answer to a post. */
export function notFoundFailure({ store }: SessionContext, unknown: Failure, now: number): Failure {
  if (now >= store.tombstoneUntil) return unknown;
  return { ok: false, code: 'session_not_found', message: 'This session was deleted.', facts: { deleted: true } };
}

/**
 * Deletes the session. False when there is no session. A wrapper that gets `deleted` stops its job
 * (CLS17). An execution that had not ended gets no verdict and is not counted in the metrics.
 */
export function eraseSession(context: SessionContext, reason: 'requested' | 'expired', now: number): boolean {
  const { store, runtime, viewers, alarm, log } = context;
  if (!store.exists) return false;
  const open = store.executions.open();
  const running = open.some(({ status }) => status === 'running');
  store.transact(() => {
    store.erase(running ? now + TOMBSTONE_MS : null);
    markDirectoryStale(context, now);
  });
  viewers.closeAll(CLOSE.notFound, DELETED_REASON);
  for (const socket of ingestSockets(runtime)) detachAndClose(socket, CLOSE.notFound, DELETED_REASON);
  for (const record of open) if (record.pool !== null) runtime.waitUntil(context.services.leavePool(record));
  alarm.arm(now);
  log('info', 'session_deleted', { reason, open: open.length });
  return true;
}
