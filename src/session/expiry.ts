/**
 * Deadlines that are over. Whoever finds one acts on it: the alarm, or a wrapper that comes back. So an alarm that is late by up to DOWNTIME_MS decides nothing,
 * and one that is later than that renews the deadline, whoever comes first.
 */

import { expire } from '../core/lifecycle.ts';
import { commit } from './commit.ts';
import type { SessionContext } from './context.ts';

/** Everything of this execution that fell due. At the very moment of a deadline, expiry wins. */
export function expireDue(context: SessionContext, id: string, now: number): void {
  const { executions, log } = context.store;
  // An interrupt at the time limit and a renewal each leave a deadline behind that is not due yet; so this ends.
  for (let record = executions.get(id); record; record = executions.get(id)) {
    const transition = expire(record, now, log.lastIngestAt);
    if (!transition || !commit(context, id, transition, now)) return;
  }
}
