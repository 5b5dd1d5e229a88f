/** Deadlines that are over. Whoever finds one acts on it: the alarm, or a wrapper that comes back; so how late an alarm is decides nothing. */

import { expire } from '../core/lifecycle.ts';
import { commit } from './commit.ts';
import type { SessionContext } from './context.ts';

/** Everything of this execution that fell due. At the very moment of a deadline, expiry wins. */
export function expireDue(context: SessionContext, id: string, now: number): void {
  const { executions } = context.store;
  // An interrupt at the time limit leaves a new deadline behind, which is not due yet; so this ends.
  for (let record = executions.get(id); record; record = executions.get(id)) {
    const transition = expire(record, now);
    if (!transition || !commit(context, id, transition, now)) return;
  }
}
