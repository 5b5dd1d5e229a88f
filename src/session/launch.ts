/**
 * Starts what is pending and due, from the alarm. Each attempt is written down before it is made, with a lease: when the object is reset under an
 * attempt, the alarm finds the row again. After the answer everything is decided anew, because the execution may have ended meanwhile.
 */

import { readConfig } from '../config.ts';
import type { ExecutionRecord } from '../core/execution.ts';
import { afterLaunch, LAUNCH_LEASE_MS, type LaunchOutcome } from '../core/launching.ts';
import { launchOnRunner } from '../launch/runner.ts';
import { logLine } from '../log.ts';
import { ingestTtlSeconds, signIngestToken } from '../tokens.ts';
import { ingestUrl } from '../urls.ts';
import { commit } from './commit.ts';
import type { SessionContext } from './context.ts';

export async function launchDue(context: SessionContext, now: number): Promise<void> {
  const due = context.store.executions
    .open()
    .find(({ status, launchAt }) => status === 'pending' && launchAt !== null && launchAt <= now);
  if (!due) return;
  const lease = { patch: { launchAt: now + LAUNCH_LEASE_MS, launchAttempts: due.launchAttempts + 1 }, events: [], commands: [] };
  const leased = commit(context, due.id, lease, now);
  if (!leased) return;

  const outcome = await launch(context, leased, now);
  const later = Date.now();
  const record = context.store.executions.get(leased.id);
  if (record?.status !== 'pending' || record.launchAttempts !== leased.launchAttempts) return;
  logLine(outcome.kind === 'launched' ? 'info' : 'warn', 'launch', {
    session: context.session,
    execution: record.id,
    attempt: record.launchAttempts,
    outcome: outcome.kind,
  });
  commit(context, record.id, afterLaunch(record, outcome, later), later);
}

async function launch(context: SessionContext, record: ExecutionRecord, now: number): Promise<LaunchOutcome> {
  const configured = readConfig(context.env);
  if (!configured.ok) return { kind: 'refused', message: configured.message };
  const { config } = configured;
  if (record.launcher !== 'runner' || !config.runner) {
    return { kind: 'refused', message: `launcher ${record.launcher} is not configured in this deployment` };
  }
  const claims = { tenant: context.tenant, session: context.session, execution: record.id };
  const token = await signIngestToken(config.signingKeys, claims, ingestTtlSeconds(record.policy), now);
  return launchOnRunner(
    config.runner,
    {
      id: record.id,
      session: context.session,
      command: record.command,
      format: record.format,
      ...(record.cwd === null ? {} : { cwd: record.cwd }),
      ...(record.env === null ? {} : { env: record.env }),
      ...(record.stdin === null ? {} : { stdin: record.stdin }),
      ...(record.traceparent === null ? {} : { traceparent: record.traceparent }),
      ingest: { url: ingestUrl(record.origin, context.session, record.id), token },
    },
    now,
  );
}
