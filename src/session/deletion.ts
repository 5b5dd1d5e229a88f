/**
 * The end of a session, by request or by its age: one turn in which all of it goes and everyone who is connected hears so. What stays is the word to the
 * directory (outbox.ts), so that the session leaves its tenant's list also when the directory can not be reached now, and callbacks that the queue has yet to
 * get (callbacks.ts): a verdict that was promised to somebody is told to them.
 */

import { CLOSE, DELETED_REASON, type Failure } from '../../protocol/index.ts';
import type { SessionContext } from './context.ts';
import { noteForDirectory } from './outbox.ts';
import { detachAndClose, ingestSockets } from './sockets.ts';

/**
 * How long the object remembers the deletion, when something ran in the session: a wrapper that was away meanwhile is told `deleted`, and stops its job at
 * once. One that comes later is told only that there is no such execution, and stops when it has been told so for its whole grace (SPL29).
 */
export const TOMBSTONE_MS = 24 * 60 * 60 * 1000;

/** What a wrapper is told whose execution is not here: by the object that deleted it, or by one that does not know it. */
export const goneReason = ({ store }: SessionContext, now: number): string =>
  now < store.tombstoneUntil ? DELETED_REASON : 'no such execution';

/** The same in the answer to a post. */
export function goneFailure({ store }: SessionContext, unknown: Failure, now: number): Failure {
  if (now >= store.tombstoneUntil) return unknown;
  return { ok: false, code: 'session_not_found', message: 'This session was deleted.', facts: { deleted: true } };
}

/** False when there is no session to delete. A wrapper that is told `deleted` stops its job (CLS17). What had not ended has no verdict, and is in no count of them. */
export function eraseSession(context: SessionContext, reason: 'requested' | 'expired', now: number): boolean {
  const { store, runtime, viewers, alarm, log } = context;
  if (!store.exists) return false;
  const open = store.executions.open();
  const running = open.some(({ status }) => status === 'running');
  store.transact(() => {
    store.erase(running ? now + TOMBSTONE_MS : null);
    noteForDirectory(context, now);
  });
  viewers.closeAll(CLOSE.notFound, DELETED_REASON);
  for (const socket of ingestSockets(runtime)) detachAndClose(socket, CLOSE.notFound, DELETED_REASON);
  alarm.arm(now);
  log('info', 'session_deleted', { reason, open: open.length });
  return true;
}
