/** Starts a wrapper through the execution's launcher. Credentials are signed just before use. */

import type { LaunchRequest } from '../../protocol/launch.ts';
import type { ExecutionRecord } from '../core/execution.ts';
import type { LaunchOutcome } from '../core/launching.ts';
import { readConfig } from '../platform/config.ts';
import type { Env } from '../platform/env.ts';
import { ingestTtlSeconds, signIngestToken } from '../platform/tokens.ts';
import { ingestUrl } from '../platform/urls.ts';
import { launchInContainer, watchedUntil } from './container.ts';
import { checkRunnerUrl, launchOnRunner } from './runner.ts';

export interface LaunchingSession {
  tenant: string;
  session: string;
  /** Creation time of the session. */
  sessionSince: number;
}

/** Never throws. */
export async function launchExecution(
  env: Env,
  { tenant, session, sessionSince }: LaunchingSession,
  record: ExecutionRecord,
  now: number,
): Promise<LaunchOutcome> {
  const configured = readConfig(env);
  if (!configured.ok) return { kind: 'refused', message: configured.message };
  const { config } = configured;
  const { runner, containers } = config;
  if (record.launcher === 'container' ? !containers : record.launcher !== 'runner' || !runner) {
    return { kind: 'refused', message: `launcher ${record.launcher} is not configured in this deployment` };
  }
  const unsafe = record.launcher === 'runner' && runner ? checkRunnerUrl(runner.url) : null;
  if (unsafe) return { kind: 'refused', message: unsafe };
  const claims = { tenant, session, execution: record.id };
  const token = await signIngestToken(config.signingKeys, claims, ingestTtlSeconds(record.policy), now);
  const request: LaunchRequest = {
    id: record.id,
    tenant,
    session,
    command: record.command,
    format: record.format,
    openStdin: record.openStdin,
    ...(record.merge ? { merge: true } : {}),
    ...(record.output === 'text' ? {} : { output: record.output }),
    ...(record.terminal === null ? {} : { terminal: record.terminal }),
    ...(record.cwd === null ? {} : { cwd: record.cwd }),
    ...(record.env === null ? {} : { env: record.env }),
    ...(record.stdin === null ? {} : { stdin: record.stdin }),
    ...(record.traceparent === null ? {} : { traceparent: record.traceparent }),
    ingest: { url: ingestUrl(record.origin, session, record.id), token },
  };
  return record.launcher === 'runner' && runner
    ? launchOnRunner(runner, request, now)
    : launchInContainer(env, request, { until: watchedUntil(record.policy, now), sessionSince });
}
