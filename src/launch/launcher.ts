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

export interface LaunchingSession {
  tenant: string;
  session: string;
  /** Creation time of the session. */
  sessionSince: number;
}

/** Of rows that 0.1.0 left, and that no wrapper has yet. */
const RUNNER_REMOVED =
  'the launcher runner was removed: start it again with the launcher pool, whose runners dial out (docs/runners.md)';

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
  switch (record.launcher) {
    case 'pool':
      return offerToPool(env, tenant, offerOf(session, record), record.pool ?? DEFAULT_POOL);
    case 'container': {
      if (!config.containers) return { kind: 'refused', message: 'launcher container is not configured in this deployment' };
      const request = await launchRequestOf(config, { tenant, session }, record, now);
      return launchInContainer(env, request, { until: watchedUntil(record.policy, now), sessionSince });
    }
    case 'runner':
      return { kind: 'refused', message: RUNNER_REMOVED };
    case 'none':
      return { kind: 'refused', message: 'the launcher none starts nothing' };
    default:
      return record.launcher satisfies never;
  }
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
