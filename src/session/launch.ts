/**
 * Starts what is pending and due, from the alarm. Each attempt is written down before it is made, with a lease: when the object is reset under an
 * attempt, the alarm finds the row again. After the answer everything is decided anew, because the execution may have ended meanwhile.
 */

import { afterLaunch, LAUNCH_LEASE_MS } from '../core/launching.ts';
import { commit } from './commit.ts';
import type { SessionContext } from './context.ts';

export async function launchDue(context: SessionContext, now: number, clock: () => number): Promise<void> {
  const { store } = context;
  if (!store.exists) return;
  const { executions } = store;
  const due = executions.open().find(({ status, launchAt }) => status === 'pending' && launchAt !== null && launchAt <= now);
  if (!due) return;
  const lease = { patch: { launchAt: now + LAUNCH_LEASE_MS, launchAttempts: due.launchAttempts + 1 }, events: [], commands: [] };
  const leased = commit(context, due.id, lease, now);
  if (!leased) return;

  const outcome = await context.launch(leased, now);
  const record = store.exists ? executions.get(leased.id) : null;
  if (record?.status !== 'pending' || record.launchAttempts !== leased.launchAttempts) return;
  const later = clock();
  const told = { execution: record.id, launcher: record.launcher, attempt: record.launchAttempts };
  if (outcome.kind === 'launched') context.log('info', 'launched', told);
  else context.log('warn', 'launch_attempt_failed', { ...told, outcome: outcome.kind });
  commit(context, record.id, afterLaunch(record, outcome, later), later);
}
