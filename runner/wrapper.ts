/**
 * The wrapper process of a run: how it is started, and how it is found again.
 *
 *   R5  A restart never runs the command a second time: the wrapper is told to recover only (`--recover`).
 *   R7  The job's env is the job's alone: nothing in it acts on the wrapper (job-env).
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import type { IngestAccess } from '../protocol/index.ts';
import type { Launch } from '../protocol/launch.ts';
import { encodeJobEnv } from '../wrapper/job/env.ts';
import { isDirectory } from '../wrapper/job/working-directory.ts';
import { identityOf, listProcesses, type ProcessIdentity } from '../wrapper/processes.ts';
import { STOP_REASON_VARIABLE } from '../wrapper/run/stop-reason.ts';
import { openInput, openLog, spoolOf, stopReasonOf } from './folder.ts';
import type { RunRecord } from './record.ts';

/** No variable of ours reaches a wrapper from the runner's own environment: HOLDFAST_RUNNER_TOKEN would let a job start others. */
export function environmentForJobs(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('HOLDFAST_')));
}

export interface WrapperStart {
  record: RunRecord;
  folder: string;
  ingest: IngestAccess;
  /** With the job's own env and stdin, the first time. Null: a restart, which has neither. */
  job: Launch | null;
  /** Program and first arguments, e.g. `[node, main]`. */
  program: readonly string[];
  /** The runner's own. */
  env: NodeJS.ProcessEnv;
  /** A failure of the process itself. */
  onError(error: Error): void;
}

/** Throws when there is no process. */
export function startWrapper({ record, folder, ingest, job, program, env, onError }: WrapperStart): {
  child: ChildProcess;
  identity: ProcessIdentity;
} {
  const [file, ...first] = program as [string, ...string[]];
  const args = [...first, 'run', '--url', ingest.url, '--spool', spoolOf(folder), '--format', record.format];
  if (job?.openStdin) args.push('--stdin', 'open');
  if (!job) args.push('--recover'); // R5
  args.push('--', ...record.command);

  const log = openLog(folder);
  const stdin = openInput(folder, job?.stdin ?? null);
  try {
    const child = spawn(file, args, {
      cwd: isDirectory(record.cwd) ? record.cwd : '/',
      detached: true, // Its own session: neither the runner's end nor its terminal's reaches it.
      stdio: [stdin ?? 'ignore', log, log],
      env: {
        ...environmentForJobs(env),
        HOLDFAST_INGEST_TOKEN: ingest.token,
        [STOP_REASON_VARIABLE]: stopReasonOf(folder),
        ...(job ? encodeJobEnv({ ...(job.traceparent ? { TRACEPARENT: job.traceparent } : {}), ...job.env }) : {}), // R7
      },
    });
    // Without a listener a failed spawn would be an uncaught exception of the runner.
    child.on('error', onError);
    if (child.pid === undefined) throw new Error(`could not start ${file}`);
    // A wrapper that is gone already has no start; its exit event is on the way.
    return { child, identity: { pid: child.pid, start: identityOf(child.pid)?.start ?? 'gone' } };
  } finally {
    closeSync(log);
    if (stdin !== null) closeSync(stdin);
  }
}

/** A wrapper whose pid was not written down in time is known by the spool among its arguments. */
export function findWrapper(folder: string): ProcessIdentity | null {
  const spool = spoolOf(folder);
  const found = listProcesses().find(({ command }) => command.includes(` run `) && command.includes(`--spool ${spool} `));
  return found ? identityOf(found.pid) : null;
}
