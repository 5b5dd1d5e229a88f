/**
 * The wrapper process of a run: how it is started, and how it is found again.
 *
 *   R5  A restart never runs the command a second time: the wrapper starts with `--recover`.
 *   R7  The job's env applies only to the job: nothing in it acts on the wrapper (job/env).
 *   R8  Token and env go to the wrapper through a pipe: the arguments of a process can be read by
 *        every user of the host, and its environment by every process of the same user.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync } from 'node:fs';
import type { Writable } from 'node:stream';
import type { IngestAccess } from '../protocol/index.ts';
import type { Launch } from '../protocol/launch.ts';
import type { PrivatePart } from '../wrapper/job/env.ts';
import { isDirectory } from '../wrapper/job/working-directory.ts';
import { identityOf, listProcesses, type ProcessIdentity } from '../wrapper/processes.ts';
import { STOP_REASON_VARIABLE } from '../wrapper/run/stop-reason.ts';
import { openInput, openLog, spoolFolder, stopReasonFile } from './folder.ts';
import type { RunRecord } from './record.ts';

/**
 * Removes our own variables from the environment of wrappers: with HOLDFAST_RUNNER_TOKEN a job
 * could start other jobs.
 */
export function environmentForJobs(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('HOLDFAST_')));
}

/** The first descriptor after stdin, stdout and stderr. */
const PRIVATE_FD = 3;

export interface WrapperStart {
  record: RunRecord;
  folder: string;
  ingest: IngestAccess;
  /** The launch that has the job's own env and stdin. Null: a restart, which has neither. */
  job: Launch | null;
  /** Program and first arguments, e.g. `[node, main]`. */
  program: readonly string[];
  /** The runner's own. */
  env: NodeJS.ProcessEnv;
  /** Called when the process could not be started or signalled. */
  onError(error: Error): void;
}

/** Throws when no process was started. */
export function startWrapper({ record, folder, ingest, job, program, env, onError }: WrapperStart): {
  child: ChildProcess;
  identity: ProcessIdentity;
} {
  const [file, ...first] = program as [string, ...string[]];
  const args = [...first, 'run', '--url', ingest.url, '--spool', spoolFolder(folder), '--format', record.format];
  args.push('--private-fd', String(PRIVATE_FD));
  if (record.runAs !== undefined) args.push('--run-as', record.runAs);
  if (record.merge) args.push('--merge');
  if (record.output === 'bytes') args.push('--output', 'bytes');
  if (job?.openStdin) args.push('--stdin', 'open');
  if (!job) args.push('--recover'); // R5
  // A stop that was requested while there was no wrapper.
  if (!job && record.stopRequestedAt !== null) args.push('--stop');
  args.push('--', ...record.command);

  const log = openLog(folder);
  const stdin = openInput(folder, job?.stdin ?? null);
  try {
    const child = spawn(file, args, {
      cwd: isDirectory(record.cwd) ? record.cwd : '/',
      detached: true, // A session of its own: neither the end of the runner nor of its terminal affects it.
      stdio: [stdin ?? 'ignore', log, log, 'pipe'],
      env: {
        ...environmentForJobs(env),
        [STOP_REASON_VARIABLE]: stopReasonFile(folder),
      },
    });
    // Without a listener a failed spawn would be an uncaught exception of the runner.
    child.on('error', onError);
    const pipe = child.stdio[PRIVATE_FD] as Writable | null | undefined;
    pipe?.on('error', () => {}); // It ended before it had read everything.
    pipe?.end(JSON.stringify(privatePart(ingest, job))); // R8
    if (child.pid === undefined) throw new Error(`could not start ${file}`);
    // A wrapper that has already ended has no start; its exit event follows.
    return { child, identity: { pid: child.pid, start: identityOf(child.pid)?.start ?? 'gone' } };
  } finally {
    closeSync(log);
    if (stdin !== null) closeSync(stdin);
  }
}

/** R7 */
const privatePart = ({ token }: IngestAccess, job: Launch | null): PrivatePart => ({
  token,
  env: job ? { ...(job.traceparent ? { TRACEPARENT: job.traceparent } : {}), ...job.env } : {},
});

/** Finds a wrapper whose pid was not written in time, by the spool among its arguments. */
export function findWrapper(folder: string): ProcessIdentity | null {
  const spool = spoolFolder(folder);
  const found = listProcesses().find(({ command }) => command.includes(` run `) && command.includes(`--spool ${spool} `));
  return found ? identityOf(found.pid) : null;
}
