/**
 * One run of a runner, as it is stored on disk and as the API shows it. Pure.
 *
 *   R3  Nothing in here is a token or the value of an env variable.
 */

import type { OutputFormat, OutputMode } from '../protocol/index.ts';
import type { Launch, RunState, RunView } from '../protocol/launch.ts';

export interface RunKey {
  id: string;
  session: string;
  tenant: string;
}

export const runKey = ({ tenant, session, id }: RunKey): string => `${tenant}/${session}/${id}`;

/** The stored form of a run. */
export interface RunRecord {
  version: 1;
  id: string;
  session: string;
  tenant: string;
  digest: string;
  command: string[];
  cwd: string;
  format: OutputFormat;
  /** Absent in records of 0.1.0. */
  merge?: boolean;
  output?: OutputMode;
  launchedAt: number;
  /** Null between writing the record and starting the process (R1). */
  pid: number | null;
  start: string | null;
  /** Since the coordinator last welcomed a wrapper of this run. */
  restarts: number;
  /** The last boot for whose welcome the restarts were counted anew. Absent in older records. */
  welcomedBoot?: string | null;
  stopRequestedAt: number | null;
  /** The newest lease of a pool for it. Absent: it was asked for over HTTP. */
  lease?: number;
  /** As whom the job runs (`--run-as`). Absent: as the runner. */
  runAs?: string;
  /** An earlier runner left the rest of its report to the next one. */
  left?: boolean;
  endedAt: number | null;
  end: 'finished' | 'abandoned' | null;
  exitCode: number | null;
  signal: string | null;
}

/** The record of a launch without a process yet. `cwd` is absolute. */
export const newRunRecord = (
  launch: Launch,
  { digest, cwd, launchedAt, lease, runAs }: Pick<RunRecord, 'digest' | 'cwd' | 'launchedAt' | 'lease' | 'runAs'>,
): RunRecord => ({
  version: 1,
  id: launch.id,
  session: launch.session,
  tenant: launch.tenant,
  digest,
  command: launch.command,
  cwd,
  format: launch.format,
  merge: launch.merge,
  output: launch.output,
  launchedAt,
  ...(lease === undefined ? {} : { lease }),
  ...(runAs === undefined ? {} : { runAs }),
  pid: null,
  start: null,
  restarts: 0,
  stopRequestedAt: null,
  endedAt: null,
  end: null,
  exitCode: null,
  signal: null,
});

/**
 * The run as the API shows it. `restarting`: its wrapper was killed, and the next one has not been
 * started yet.
 */
export function runView(record: RunRecord, restarting: boolean): RunView {
  const state: RunState = record.end ?? (restarting ? 'restarting' : record.stopRequestedAt === null ? 'running' : 'stopping');
  return {
    id: record.id,
    session: record.session,
    ...(record.tenant === '' ? {} : { tenant: record.tenant }),
    pid: record.pid,
    state,
    restarts: record.restarts,
    launchedAt: record.launchedAt,
    ...(record.endedAt === null ? {} : { endedAt: record.endedAt }),
    ...(record.exitCode === null ? {} : { exitCode: record.exitCode }),
    ...(record.signal === null ? {} : { signal: record.signal }),
  };
}
