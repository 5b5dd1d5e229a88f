/** Starts a wrapper through the execution's launcher. Credentials are signed just before use. */

import { DEFAULT_POOL, type OutputFormat } from '../../protocol/index.ts';
import type { LaunchRequest } from '../../protocol/launch.ts';
import { offerOf } from '../core/assignment.ts';
import type { ExecutionRecord } from '../core/execution.ts';
import type { LaunchOutcome } from '../core/launching.ts';
import { type Config, readConfig } from '../platform/config.ts';
import type { Env } from '../platform/env.ts';
import { ingestTtlSeconds, signIngestToken } from '../platform/tokens.ts';
import { ingestUrl } from '../platform/urls.ts';
import { launchInContainer, watchedUntil } from './container.ts';
import { offerToPool } from './pool.ts';
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
  if (record.launcher === 'pool') return offerToPool(env, tenant, offerOf(session, record), record.pool ?? DEFAULT_POOL);
  const { runner, containers } = config;
  if (record.launcher === 'container' ? !containers : record.launcher !== 'runner' || !runner) {
    return { kind: 'refused', message: `launcher ${record.launcher} is not configured in this deployment` };
  }
  const unsafe = record.launcher === 'runner' && runner ? checkRunnerUrl(runner.url) : null;
  if (unsafe) return { kind: 'refused', message: unsafe };
  const request = await launchRequestOf(config, { tenant, session }, record, now);
  return record.launcher === 'runner' && runner
    ? launchOnRunner(runner, request, now)
    : launchInContainer(env, request, { until: watchedUntil(record.policy, now), sessionSince });
}

/** With a fresh credential. */
export async function launchRequestOf(
  config: Config,
  { tenant, session }: Pick<LaunchingSession, 'tenant' | 'session'>,
  record: ExecutionRecord,
  now: number,
): Promise<LaunchRequest> {
  const claims = { tenant, session, execution: record.id };
  const token = await signIngestToken(config.signingKeys, claims, ingestTtlSeconds(record.policy), now);
  return {
    id: record.id,
    tenant,
    session,
    command: record.command,
    format: launchFormat(record.format),
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
}

/**
 * These agents cannot ask, so their lines are JSON lines to the wrapper, and a runner of an earlier
 * version takes the launch.
 */
const launchFormat = (format: OutputFormat): OutputFormat => (format === 'codex' || format === 'opencode' ? 'jsonl' : format);
