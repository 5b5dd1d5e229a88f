/**
 * What the alarm does for executions: it ends those whose deadline has passed, finds connections
 * that are gone without a close event, and starts launches that are due. core/deadlines.ts and
 * core/lifecycle.ts decide these times.
 */

import { CLOSE } from '../../protocol/index.ts';
import { silenceDeadline } from '../core/deadlines.ts';
import type { ExecutionRecord } from '../core/execution.ts';
import { afterLaunch, LAUNCH_LEASE_MS } from '../core/launching.ts';
import { expire, loseConnection } from '../core/lifecycle.ts';
import { commit, currentIngest } from './commit.ts';
import type { SessionContext } from './context.ts';
import { detachAndClose, ingestSockets } from './sockets.ts';

// ── deadlines that have passed ───────────────────────────────────────────────────────────────────

/**
 * Carries out every due deadline of this execution. The alarm calls it, and so does a wrapper's
 * hello. So an alarm that is late by up to DOWNTIME_MS does not change the result, and a later one
 * renews the deadline, in either order. At the exact time of a deadline, expiry wins.
 */
export function expireDue(context: SessionContext, id: string, now: number): void {
  const { executions, log } = context.store;
  // The loop ends: an interrupt at the time limit and a renewal each set a deadline that is not due
  // yet.
  for (let record = executions.get(id); record; record = executions.get(id)) {
    const transition = expire(record, now, log.takenAt(id, record.firstOffset));
    if (!transition || !commit(context, id, transition, now)) return;
  }
}

// ── connections that are gone without a close event ──────────────────────────────────────────────
// A deploy or a reset loses the close event of a socket, and a half-open socket stays open
// indefinitely. So there are two more ways to detect the loss (LIF22, LIF23).

const LOST = { reason: 'connection_lost', wsCloseCode: 1006, wsCloseReason: '' };

/**
 * When the wrapper of a running execution was last heard: its connection was accepted, answered a
 * ping of the platform, posted, or sent a frame. Null when there is no connection.
 */
export function lastHeardAt(context: SessionContext, record: ExecutionRecord): number | null {
  const { runtime, store } = context;
  const socket = currentIngest(context, record);
  if (!socket && record.transport !== 'http') return null;
  const pinged = socket ? (runtime.lastPingAt(socket.ws) ?? 0) : 0;
  const takenAt = store.log.takenAt(record.id, record.firstOffset) ?? 0;
  return Math.max(record.connectedAt ?? 0, record.heardAt ?? 0, pinged, takenAt);
}

/**
 * On a wake: disconnects running executions that are marked connected but have no socket. A closing
 * socket reports itself with its own code.
 */
export function disconnectLost(context: SessionContext, now: number): void {
  for (const record of context.store.executions.open()) {
    if (record.status !== 'running' || !record.connected || record.transport === 'http') continue;
    const present = ingestSockets(context.runtime, record.id).some(({ attachment }) => attachment.epoch === record.epoch);
    if (!present) commit(context, record.id, loseConnection(record, LOST, now), now);
  }
}

/**
 * At the alarm: disconnects executions that have no open socket, or whose socket was silent for too
 * long.
 */
export function disconnectSilent(context: SessionContext, now: number): void {
  for (const record of context.store.executions.open()) {
    if (record.status !== 'running' || !record.connected) continue;
    const heard = lastHeardAt(context, record);
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

// ── launches ─────────────────────────────────────────────────────────────────────────────────────

/**
 * Launches the pending executions that are due, all at the same time: the launcher of one must not
 * delay another. Each attempt is written before it is made, with a lease. When the object is reset
 * during an attempt, the alarm finds the row again. After the answer the row is read again, because
 * the execution may have ended meanwhile.
 */
export async function launchDue(context: SessionContext, now: number, clock: () => number): Promise<void> {
  const { store } = context;
  if (!store.exists) return;
  const due = store.executions
    .open()
    .filter(({ status, launchAt }) => status === 'pending' && launchAt !== null && launchAt <= now);
  await Promise.all(due.map((record) => launchOne(context, record, now, clock)));
}

async function launchOne(context: SessionContext, due: ExecutionRecord, now: number, clock: () => number): Promise<void> {
  const { store } = context;
  const { executions } = store;
  const lease = { patch: { launchAt: now + LAUNCH_LEASE_MS, launchAttempts: due.launchAttempts + 1 }, events: [], commands: [] };
  const leased = commit(context, due.id, lease, now);
  if (!leased) return;

  const outcome = await context.services.launch(leased, now);
  const record = store.exists ? executions.get(leased.id) : null;
  // An execution that a runner has got meanwhile waits for its wrapper only.
  if (record?.status !== 'pending' || record.launchAttempts !== leased.launchAttempts || record.assignedAt !== null) return;
  const later = clock();
  const fields = { execution: record.id, launcher: record.launcher, attempt: record.launchAttempts };
  if (outcome.kind === 'launched' || outcome.kind === 'offered') context.log('info', 'launched', fields);
  else context.log('warn', 'launch_attempt_failed', { ...fields, outcome: outcome.kind });
  const transition = afterLaunch(record, outcome, later);
  if (transition) commit(context, record.id, transition, later);
}
