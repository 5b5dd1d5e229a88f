/**
 * Finds connections that are gone without a word. A dropped socket does not always produce a close event (a deploy or reset loses it silently), and a
 * half-open one stays open for ever; so beside the close handler there are two more ways to notice (LIF22, LIF23), both here.
 */

import { CLOSE } from '../../protocol/index.ts';
import { silenceDeadline } from '../core/deadlines.ts';
import type { ExecutionRecord } from '../core/execution.ts';
import { loseConnection } from '../core/lifecycle.ts';
import { commit, currentIngest } from './commit.ts';
import type { SessionContext } from './context.ts';
import { detachAndClose, ingestSockets } from './sockets.ts';

const LOST = { reason: 'connection_lost', wsCloseCode: 1006, wsCloseReason: '' };

/**
 * The newest sign of life of a running execution's connection: accepted, answered a ping by the platform, posted, or sent a frame. Null when there is
 * no connection to hear.
 */
export function heardAt(context: SessionContext, record: ExecutionRecord): number | null {
  const { runtime, store } = context;
  const socket = currentIngest(context, record);
  if (!socket && record.transport !== 'http') return null;
  const pinged = socket ? (runtime.lastPingAt(socket.ws) ?? 0) : 0;
  return Math.max(record.connectedAt ?? 0, record.heardAt ?? 0, pinged, store.log.lastIngestAt ?? 0);
}

/** On a wake: a running execution marked connected that has no socket at all. One that is closing will report itself with its own code. */
export function reconcile(context: SessionContext, now: number): void {
  for (const record of context.store.executions.open()) {
    if (record.status !== 'running' || !record.connected || record.transport === 'http') continue;
    const present = ingestSockets(context.runtime, record.id).some(({ attachment }) => attachment.epoch === record.epoch);
    if (!present) commit(context, record.id, loseConnection(record, LOST, now), now);
  }
}

/** At the alarm: no open socket, or one that was silent for too long. */
export function findSilent(context: SessionContext, now: number): void {
  for (const record of context.store.executions.open()) {
    if (record.status !== 'running' || !record.connected) continue;
    const heard = heardAt(context, record);
    if (heard === null) {
      commit(context, record.id, loseConnection(record, LOST, now), now);
    } else if (silenceDeadline(record, heard) <= now) {
      const socket = currentIngest(context, record);
      const facts = { reason: 'silence', wsCloseCode: CLOSE.tryAgainLater, wsCloseReason: 'silent for too long' };
      commit(context, record.id, loseConnection(record, facts, now), now);
      if (socket) detachAndClose(socket, facts.wsCloseCode, facts.wsCloseReason);
    }
  }
}
