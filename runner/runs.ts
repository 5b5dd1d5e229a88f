/**
 * The runs of one runner: its wrappers, and what happens to each.
 *
 * Owns: the list of runs, the folder of each (folder), and its record (record). wrapper-exit.ts
 * decides what follows when a wrapper is gone.
 * Does not own: the job, its output, the content of its spool. Those belong to the wrapper, which
 * outlives the runner.
 *
 *            launch                 exits by itself
 *  (none) ───────────► running ───────────────────────► finished ──(keepFinishedMs)──► removed
 *                       │  ▲ ▲                              ▲
 *                SIGTERM│  │ └── restart, spool kept ──┐    │ it had reported all
 *                       ▼  │                           │    │
 *                    stopping ──── killed by a signal ─┴─ crashed ──(none is left)─────► abandoned
 *
 * `stopAll` ends the runner's part of every run. What is not delivered by then stays on disk as a
 * run without a process, and the next `recover` restarts it.
 *
 *   R1  One wrapper per (tenant, session, execution), for any number of requests: the record is on
 *       disk before the process exists.
 *   R2  A run holds its slot from the launch until its wrapper is proven gone for good; restarts
 *       keep the slot.
 *   R3  No record, listing or log holds a token or the value of an env variable. The token is in
 *       `ingest.json` (0600) while a restart may need it, and is removed when the run ends.
 *   R4  A wrapper is signalled by identity (pid and start), so a reused pid is never hit.
 *   R5  A restart never runs the command a second time: the wrapper starts with `--recover`, which
 *       adopts a job that is still held, and otherwise reports what happened to it.
 *   R6  A launch that was cut off before its wrapper made its spool is forgotten. The caller got no
 *       success, so it asks again. If that wrapper starts after all, it shares the spool with the
 *       next one, and the spool's lock admits only one of them.
 *   R7  The job's env applies only to the job: nothing in it acts on the wrapper (job/env).
 *   R8  Token and env go to the wrapper through a pipe (wrapper.ts).
 *   R9  A full disk refuses new launches. It does not end the runner, and hides no end of a run.
 */

import type { ChildProcess } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { IngestAccess } from '../protocol/index.ts';
import type { Launch, RunView } from '../protocol/launch.ts';
import { letThrough } from '../wrapper/job/holder-folder.ts';
import type { JobUser } from '../wrapper/job/user.ts';
import { isDirectory } from '../wrapper/job/working-directory.ts';
import { isAlive, processTree, signalProcess } from '../wrapper/processes.ts';
import { leaveStopReason } from '../wrapper/run/stop-reason.ts';
import { settlesWithin } from '../wrapper/time-limit.ts';
import { requestDigest } from './digest.ts';
import {
  folderName,
  foldersIn,
  hasSpool,
  jobTree,
  moveIngest,
  readIngest,
  readRecord,
  releaseJob,
  removeFolder,
  removeIngest,
  spoolFacts,
  stopReasonFile,
  writeIngest,
  writeRecord,
} from './folder.ts';
import { newRunRecord, type RunKey, type RunRecord, runKey, runView } from './record.ts';
import { findWrapper, startWrapper } from './wrapper.ts';
import { decideAfterExit, type RestartCurve } from './wrapper-exit.ts';

/**
 * 250 ms, 2 s, 10 s. Without delays a wrapper that dies at once would use up its restarts during
 * one short fault of the host.
 */
const RESTART_CURVE: RestartCurve = { baseMs: 250, capMs: 10_000 };
/**
 * Wrappers that an earlier runner started are not our children. They cause no exit event, so they
 * are polled.
 */
const ADOPTED_POLL_MS = 500;
const SWEEP_MS = 60_000;
/** The wait from SIGKILL until the exit of a wrapper is seen. */
const KILLED_WAIT_MS = 2000;

/** The result of a launch request. */
export type LaunchResult =
  | { kind: 'launched'; run: RunView }
  | { kind: 'existing'; run: RunView }
  | { kind: 'conflict' }
  | { kind: 'full'; inFlight: number; max: number }
  | { kind: 'bad_cwd' }
  | { kind: 'failed'; message: string };

export interface RunsOptions {
  spool: string;
  max: number;
  /** Program and first arguments of a wrapper, e.g. `[node, main]`. */
  program: readonly string[];
  /** Environment of wrappers and jobs. The caller removes the variables that jobs must not see. */
  env?: NodeJS.ProcessEnv;
  log?: (message: string) => void;
  /** As whom jobs run. Null: as this process. */
  runAs?: JobUser | null;
  /** A run has ended: its slot is free. Not called for what is left to the next runner. */
  onEnded?: (run: RunKey) => void;
  keepFinishedMs?: number;
  keepAbandonedMs?: number;
  restartCurve?: RestartCurve;
  now?: () => number;
}

interface Run {
  record: RunRecord;
  folder: string;
  child: ChildProcess | null;
  restartTimer: NodeJS.Timeout | null;
  /** `stopAll` left the rest of its report to the next runner. */
  left: boolean;
}

/** How long `stopAll` waits. */
export interface StopPatience {
  /** Until the jobs are killed. */
  jobsMs: number;
  /** After that, until the wrappers that still report are killed. */
  reportsMs: number;
}

export class Runs {
  readonly #runs = new Map<string, Run>();
  readonly #options: Required<RunsOptions>;
  #pollTimer: NodeJS.Timeout | null = null;
  #sweepTimer: NodeJS.Timeout | null = null;
  #closed = false;
  #stopping = false;
  readonly #idleWaiters: (() => void)[] = [];

  constructor(options: RunsOptions) {
    this.#options = {
      env: process.env,
      log: () => {},
      runAs: null,
      onEnded: () => {},
      keepFinishedMs: 3_600_000,
      keepAbandonedMs: 24 * 3_600_000,
      restartCurve: RESTART_CURVE,
      now: Date.now,
      ...options,
      spool: resolve(options.spool),
    };
  }

  get max(): number {
    return this.#options.max;
  }

  get inFlight(): number {
    let count = 0;
    for (const { record, left } of this.#runs.values()) if (record.end === null && !left) count += 1;
    return count;
  }

  list(): RunView[] {
    return [...this.#runs.values()].map(view).sort((a, b) => b.launchedAt - a.launchedAt);
  }

  /** What it has a slot for, ended by no means yet. */
  running(): RunKey[] {
    return [...this.#runs.values()].filter(({ record, left }) => record.end === null && !left).map(({ record }) => record);
  }

  record(key: RunKey): Readonly<RunRecord> | null {
    return this.#runs.get(runKey(key))?.record ?? null;
  }

  /** A pool assigned a run that is here already: the newest lease, and the newest credential. */
  renew(request: Launch, lease: number): void {
    const run = this.#runs.get(runKey(request));
    if (!run || run.record.end !== null) return;
    run.record.lease = lease;
    try {
      writeIngest(run.folder, request.ingest);
    } catch (error) {
      this.#notWritten(run, error);
    }
    this.#note(run);
  }

  /** A run that has ended may be launched again. What it has not delivered is removed with it. */
  forget(key: RunKey): void {
    const run = this.#runs.get(runKey(key));
    if (!run || run.record.end === null) return;
    this.#runs.delete(runKey(key));
    removeFolder(run.folder);
  }

  /**
   * Reads the records of an earlier runner, adopts wrappers that still run, and restarts or ends
   * the runs of the others. Called once, before any launch. With `origin` all of them report to
   * that address from their next start on: the coordinator has moved.
   */
  recover(origin: string | null = null): { adopted: number; crashed: number } {
    const { spool, log } = this.#options;
    let adopted = 0;
    let crashed = 0;
    for (const sessionFolder of foldersIn(spool)) {
      for (const folder of foldersIn(sessionFolder)) {
        const record = readRecord(folder);
        if (record === null) {
          log(`${folder}: not a run of this runner, left alone`);
          continue;
        }
        const run: Run = { record, folder, child: null, restartTimer: null, left: false };
        this.#runs.set(runKey(record), run);
        if (record.end !== null) continue;
        if (origin !== null) moveIngest(folder, origin);
        if (record.pid === null || record.start === null) {
          // The earlier runner died before it wrote the pid. The process may exist all the same.
          const found = findWrapper(folder);
          if (found) {
            record.pid = found.pid;
            record.start = found.start;
            this.#note(run);
          } else if (record.restarts === 0 && !record.left && !hasSpool(folder)) {
            // The earlier runner died before it started a process (R6). With the record kept, the
            // repeated request would find a run that had ended.
            log(`${record.session}/${record.id}: was never started, forgotten until it is asked for again`);
            this.#runs.delete(runKey(record));
            removeFolder(folder);
            continue;
          }
        }
        if (record.pid !== null && record.start !== null && isAlive({ pid: record.pid, start: record.start })) {
          adopted += 1;
        } else {
          crashed += 1;
          this.#onWrapperGone(run, null, null);
        }
      }
    }
    this.#sweep();
    this.#sweepTimer = setInterval(() => this.#sweep(), SWEEP_MS);
    this.#sweepTimer.unref();
    this.#pollTimer = setInterval(() => this.#poll(), ADOPTED_POLL_MS);
    this.#pollTimer.unref();
    return { adopted, crashed };
  }

  /**
   * Synchronous from the look-up to the spawn, so that two requests for one id cannot both find no
   * run (R1).
   */
  launch(request: Launch, lease?: number): LaunchResult {
    const key = runKey(request);
    const digest = requestDigest(request);
    const existing = this.#runs.get(key);
    if (existing) {
      if (existing.record.digest !== digest) return { kind: 'conflict' };
      // A restart of this wrapper should dial with the newest credential.
      if (existing.record.end === null) writeIngest(existing.folder, request.ingest);
      return { kind: 'existing', run: view(existing) };
    }

    const inFlight = this.inFlight;
    if (inFlight >= this.max) return { kind: 'full', inFlight, max: this.max };

    const cwd = resolve(request.cwd ?? process.cwd());
    if (!isDirectory(cwd)) return { kind: 'bad_cwd' };

    const session = request.tenant === '' ? request.session : `${request.tenant}/${request.session}`;
    const folder = join(this.#options.spool, folderName(session), folderName(request.id));
    const { runAs, now } = this.#options;
    const record = newRunRecord(request, {
      digest,
      cwd,
      launchedAt: now(),
      ...(lease === undefined ? {} : { lease }),
      ...(runAs ? { runAs: runAs.name } : {}),
    });
    const run: Run = { record, folder, child: null, restartTimer: null, left: false };
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      if (runAs) for (const each of [this.#options.spool, join(folder, '..'), folder]) letThrough(each);
      writeIngest(folder, request.ingest);
      writeRecord(folder, record);
      this.#spawn(run, request.ingest, request);
    } catch (error) {
      removeFolder(folder);
      return { kind: 'failed', message: (error as Error).message };
    }
    this.#runs.set(key, run);
    return { kind: 'launched', run: view(run) };
  }

  /**
   * Stops all runs because the stack ends as a whole: the jobs first, so that their wrappers can
   * report. Wrappers that still report after that are killed. No process is left; what was not
   * delivered is left to the next `recover`.
   */
  async stopAll(reason: string, { jobsMs, reportsMs }: StopPatience): Promise<void> {
    this.#stopping = true;
    for (const run of this.#runs.values()) {
      if (run.restartTimer) {
        clearTimeout(run.restartTimer);
        run.restartTimer = null;
        this.#leave(run);
      }
    }
    this.#askAll(reason);
    const jobsRun = [...this.#runs.values()].some(({ record, left }) => record.end === null && !left);
    if (jobsRun && !(await settlesWithin(jobsMs, this.#idle()))) this.#killJobs(jobsMs);
    if (await settlesWithin(reportsMs, this.#idle())) return;
    for (const run of this.#runs.values()) {
      const { pid, end } = run.record;
      if (end !== null || run.left) continue;
      const doomed = [...(pid === null ? [] : processTree(pid)), ...jobTree(run.folder, { withHolder: true })];
      for (const each of doomed) signalProcess(each, 'SIGKILL');
      if (doomed.length === 0) this.#onWrapperGone(run, null, null);
    }
    await settlesWithin(KILLED_WAIT_MS, this.#idle());
  }

  /**
   * Stops all runs because this host ends: each wrapper gets the reason, stops its job, reports,
   * and is waited for. After `patienceMs` the jobs are killed, but not their wrappers, which then
   * report. The end of the host bounds how long the reports may take.
   */
  async drain(reason: string, patienceMs: number): Promise<void> {
    this.#askAll(reason);
    if (!(await settlesWithin(patienceMs, this.#idle()))) this.#killJobs(patienceMs);
    await this.#idle();
  }

  /** Asks every wrapper to stop its job, with the reason. */
  #askAll(reason: string): void {
    for (const run of this.#runs.values()) {
      if (run.record.end !== null || run.left) continue;
      leaveStopReason(stopReasonFile(run.folder), reason);
      this.#stop(run);
    }
  }

  /** Idempotent: only the first call signals. */
  #stop(run: Run): void {
    this.#look(run);
    const { record } = run;
    if (record.end !== null || record.stopRequestedAt !== null) return;
    record.stopRequestedAt = this.#options.now();
    this.#note(run);
    this.#signal(run, 'SIGTERM');
  }

  #killJobs(patienceMs: number): void {
    for (const { record, folder } of this.#runs.values()) {
      if (record.end !== null) continue;
      this.#options.log(`${record.session}/${record.id}: did not stop within ${patienceMs} ms, its job is killed`);
      for (const each of jobTree(folder)) signalProcess(each, 'SIGKILL');
    }
  }

  /** Ends the runner's part. The wrappers continue. */
  close(): void {
    this.#closed = true;
    if (this.#pollTimer) clearInterval(this.#pollTimer);
    if (this.#sweepTimer) clearInterval(this.#sweepTimer);
    for (const run of this.#runs.values()) {
      if (run.restartTimer) clearTimeout(run.restartTimer);
      run.child?.removeAllListeners();
      run.child?.unref();
    }
  }

  // ── the process ────────────────────────────────────────────────────────────────────────────────

  /**
   * Starts a wrapper: the first time with the job's own env and stdin, after that (`job` absent)
   * without. Throws when no process was started.
   */
  #spawn(run: Run, ingest: IngestAccess, job?: Launch): void {
    const { record, folder } = run;
    const { program, env, log } = this.#options;
    const onError = ({ message }: Error) => log(`${record.session}/${record.id}: ${message}`);
    const { child, identity } = startWrapper({ record, folder, ingest, job: job ?? null, program, env, onError });
    record.pid = identity.pid;
    record.start = identity.start;
    run.child = child;
    child.on('exit', (code, signal) => {
      if (run.child === child) this.#onWrapperGone(run, code, signal);
    });
    child.unref();
    // It runs, whether this can be written or not.
    this.#note(run);
  }

  /**
   * R9. For the record of a run that has had a process: on a full disk an older one stays there,
   * and the next `recover` finds out what has become of the process.
   */
  #note(run: Run): void {
    try {
      writeRecord(run.folder, run.record);
    } catch (error) {
      this.#notWritten(run, error);
    }
  }

  #notWritten({ record }: Run, error: unknown): void {
    this.#options.log(`${record.session}/${record.id}: its record could not be written: ${(error as Error).message}`);
  }

  #signal(run: Run, signal: NodeJS.Signals): void {
    const { pid, start } = run.record;
    if (pid !== null && start !== null) signalProcess({ pid, start }, signal); // R4
  }

  /** Checks whether a wrapper that is not our child has ended. */
  #look(run: Run): void {
    const { pid, start, end } = run.record;
    if (end !== null || run.child || run.restartTimer || pid === null || start === null) return;
    if (!isAlive({ pid, start })) this.#onWrapperGone(run, null, null);
  }

  #poll(): void {
    for (const run of this.#runs.values()) this.#look(run);
  }

  /**
   * The wrapper is gone. `code` and `signal` are both null when it was not our child; then only its
   * spool says how it ended.
   */
  #onWrapperGone(run: Run, code: number | null, signal: NodeJS.Signals | null): void {
    run.child = null;
    if (this.#closed) return;
    const { record, folder } = run;
    const { log } = this.#options;
    const name = `${record.session}/${record.id}`;
    record.exitCode = code;
    record.signal = signal;
    const facts = {
      code,
      signal,
      ...spoolFacts(folder),
      countedBoot: record.welcomedBoot ?? null,
      restarts: record.restarts,
      ingest: readIngest(folder),
      stopping: this.#stopping,
    };
    record.welcomedBoot = facts.welcomedBoot;
    const after = decideAfterExit(facts, this.#options.restartCurve);
    if (after.why !== null) log(`${name}: ${after.why}`);
    switch (after.kind) {
      case 'end':
        return this.#end(run, after.end);
      case 'leave':
        return this.#leave(run);
      case 'restart':
        record.restarts = after.restarts;
        record.pid = null;
        record.start = null;
        this.#note(run);
        run.restartTimer = setTimeout(() => this.#restart(run, after.ingest), after.delayMs);
        return;
      default:
        after satisfies never;
    }
  }

  /** With the newest credential, or the one that existed when the wrapper went. */
  #restart(run: Run, known: IngestAccess): void {
    run.restartTimer = null;
    try {
      this.#spawn(run, readIngest(run.folder) ?? known);
    } catch (error) {
      this.#options.log(`${run.record.session}/${run.record.id}: ${(error as Error).message}`);
      this.#onWrapperGone(run, null, null);
    }
  }

  #end(run: Run, end: 'finished' | 'abandoned'): void {
    run.record.end = end;
    run.record.endedAt = this.#options.now();
    this.#note(run);
    removeIngest(run.folder); // R3
    if (end === 'abandoned') releaseJob(run.folder);
    this.#tellIdle();
    this.#options.onEnded(run.record);
  }

  /** For the next runner: a run without a process, with all its restarts. */
  #leave(run: Run): void {
    run.left = true;
    Object.assign(run.record, {
      left: true,
      pid: null,
      start: null,
      restarts: 0,
      stopRequestedAt: null,
      exitCode: null,
      signal: null,
    });
    this.#note(run);
    this.#tellIdle();
  }

  #tellIdle(): void {
    if (this.inFlight === 0) for (const done of this.#idleWaiters.splice(0)) done();
  }

  #idle(): Promise<void> {
    if (this.inFlight === 0) return Promise.resolve();
    return new Promise((done) => this.#idleWaiters.push(done));
  }

  #sweep(): void {
    const { now, keepFinishedMs, keepAbandonedMs } = this.#options;
    for (const [key, { record, folder }] of this.#runs) {
      if (record.end === null || record.endedAt === null) continue;
      if (now() - record.endedAt < (record.end === 'finished' ? keepFinishedMs : keepAbandonedMs)) continue;
      removeFolder(folder);
      this.#runs.delete(key);
    }
  }
}

const view = ({ record, restartTimer }: Run): RunView => runView(record, restartTimer !== null);
