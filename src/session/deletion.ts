/**
 * The end of a session, by request or by its age: one turn in which all of it goes and everyone who is connected hears so. What stays is the word to the
 * directory (outbox.ts), so that the session leaves its tenant's list also when the directory can not be reached now, and callbacks that the queue has yet to
 * get (callbacks.ts): a verdict that was promised to somebody is told to them.
 */

import { CLOSE } from '../../protocol/index.ts';
import type { SessionContext } from './context.ts';
import { noteForDirectory } from './outbox.ts';
import { detachAndClose, ingestSockets } from './sockets.ts';

/** False when there is no session to delete. A wrapper that is told 4404 stops its job (CLS5). What had not ended has no verdict, and is in no count of them. */
export function eraseSession(context: SessionContext, reason: 'requested' | 'expired', now: number): boolean {
  const { store, runtime, viewers, alarm, log } = context;
  if (!store.exists) return false;
  const open = store.executions.open().length;
  store.transact(() => {
    store.erase();
    noteForDirectory(context, now);
  });
  viewers.closeAll(CLOSE.notFound, 'session_not_found');
  for (const socket of ingestSockets(runtime)) detachAndClose(socket, CLOSE.notFound, 'the session was deleted');
  alarm.arm(now);
  log('info', 'session_deleted', { reason, open });
  return true;
}
