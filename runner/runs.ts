/**
 * The runs of one runner: which wrappers there are, and what becomes of each.
 *
 * Owns: the list of them, the folder of each (folder), and its record (record). What follows when a wrapper is gone is decided in gone.
 * Does not own: the job, its output, its spool's content. Those are the wrapper's, which lives on when the runner does not.
 *
 *             launch                 exits by itself
 *   (none) ───────────► running ───────────────────────► finished ──(keepFinishedMs)──► removed
 *                        │  ▲ ▲                              ▲
 *                 SIGTERM│  │ └── restart, spool kept ──┐    │ it had reported all
 *                        ▼  │                           │    │
 *                     stopping ──── killed by a signal ─┴─ crashed ──(3 restarts used)──► abandoned
 *
 *   R1  One wrapper per (tenant, session, execution), however often it is asked for: the record is on disk before the process exists.
 *   R2  A slot is taken from the launch until the wrapper is proven gone for good; restarts keep it.
 *   R3  No record, listing or log holds a token or the value of an env variable. The token is in `ingest.json` (0600) while a restart
 *       may need it, and is removed when the run ends.
 *   R4  A wrapper is signalled by identity (pid and start), so a reused pid is never hit.
 *   R5  A restart never runs the command a second time: the wrapper is told to recover only (`--recover`), and reports what became
 *       of the job.
 *   R6  A launch that was cut off before its wrapper made its spool is forgotten: nobody was told that it succeeded, so it is asked for again.
 *       A wrapper that comes to life all the same shares the spool of the next one, whose lock lets only one of them in.
 *   R7  The job's env is the job's alone: nothing in it acts on the wrapper (job-env).
 */

import type { ChildProcess } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import type { IngestAccess } from '../protocol/index.ts';
import type { Launch, RunView } from '../protocol/launch.ts';
import { isDirectory } from '../wrapper/job/working-directory.ts';
import { isAlive, processTree, signalProcess } from '../wrapper/processes.ts';
import { leaveStopReason } from '../wrapper/run/stop-reason.ts';
import { settlesWithin } from '../wrapper/time-limit.ts';
import { requestDigest } from './digest.ts';
import {
  folderName,
  foldersIn,
  hasSpool,
  hasSpoolState,
  readIngest,
  readRecord,
  removeFolder,
  removeIngest,
  stopReasonOf,
  writeIngest,
  writeRecord,
} from './folder.ts';
import { decideAfterGone, RESTARTS_MAX, type RestartCurve } from './gone.ts';
import { keyOf, newRunRecord, type RunKey, type RunRecord, viewOf } from './record.ts';
import { findWrapper, startWrapper } from './wrapper.ts';

/** 250 ms, 2 s, 10 s. Without delays a wrapper that dies at once would use up its restarts within one short fault of the host. */
const RESTART_CURVE: RestartCurve = { baseMs: 250, capMs: 10_000 };
/** Wrappers that an earlier runner started are not our children: there is no exit event, so they are looked at. */
const ADOPTED_POLL_MS = 500;
const SWEEP_MS = 60_000;
/** From SIGKILL until the exit of a wrapper is seen. */
const KILLED_WAIT_MS = 2000;

/** What became of a launch request. */
export type LaunchResult =
  | { kind: 'launched'; run: RunView }
  | { kind: 'existing'; run: RunView }
  | { kind: 'conflict' }
  | { kind: 'full'; inFlight: number; max: number }
  | { kind: 'bad_cwd' }
  | { kind: 'failed'; message: string };

export type StopOutcome = { kind: 'unknown' } | { kind: 'stopping'; run: RunView } | { kind: 'ended'; run: RunView };

export interface RunsOptions {
  spool: string;
  max: number;
  /** Program and first arguments of a wrapper, e.g. `[node, main]`. */
  program: readonly string[];
  /** Environment of wrappers and jobs. The caller leaves out what jobs must not see. */
  env?: NodeJS.ProcessEnv;
  log?: (message: string) => void;
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
}

export class Runs {
  readonly #runs = new Map<string, Run>();
  readonly #options: Required<RunsOptions>;
  #pollTimer: NodeJS.Timeout | null = null;
  #sweepTimer: NodeJS.Timeout | null = null;
  #closed = false;
  readonly #idleWaiters: (() => void)[] = [];

  constructor(options: RunsOptions) {
    this.#options = {
      env: process.env,
      log: () => {},
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
    for (const run of this.#runs.values()) if (run.record.end === null) count += 1;
    return count;
  }

  list(): RunView[] {
    return [...this.#runs.values()].map(view).sort((a, b) => b.launchedAt - a.launchedAt);
  }

  get(key: RunKey): RunView | null {
    const run = this.#runs.get(keyOf(key));
    return run ? view(run) : null;
  }

  /** Reads the records of an earlier runner, adopts what still lives and takes care of what does not. To be called once, before any launch. */
  recover(): { adopted: number; crashed: number } {
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
        const run: Run = { record, folder, child: null, restartTimer: null };
        this.#runs.set(keyOf(record), run);
        if (record.end !== null) continue;
        if (record.pid === null || record.start === null) {
          // The runner died between the record and its completion: the process may exist all the same.
          const found = findWrapper(folder);
          if (found) {
            record.pid = found.pid;
            record.start = found.start;
            writeRecord(folder, record);
          } else if (record.restarts === 0 && !hasSpool(folder)) {
            // Or before there was a process (R6). What is kept of the run would answer the repeated request as if it had ended.
            log(`${record.session}/${record.id}: was never started, forgotten until it is asked for again`);
            this.#runs.delete(keyOf(record));
            removeFolder(folder);
            continue;
          }
        }
        if (record.pid !== null && record.start !== null && isAlive({ pid: record.pid, start: record.start })) {
          adopted += 1;
        } else {
          crashed += 1;
          this.#gone(run, null, null);
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

  /** Synchronous from the look-up to the spawn, so that two requests for one id can not both find nothing (R1). */
  launch(request: Launch): LaunchResult {
    const key = keyOf(request);
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
    const record = newRunRecord(request, { digest, cwd, launchedAt: this.#options.now() });
    const run: Run = { record, folder, child: null, restartTimer: null };
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
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

  /** Runs with this id, of any session and tenant that is not named. */
  matching({ id, session, tenant }: { id: string; session: string | null; tenant: string | null }): RunKey[] {
    return [...this.#runs.values()]
      .map(({ record }) => record)
      .filter(
        (record) =>
          record.id === id && (session === null || record.session === session) && (tenant === null || record.tenant === tenant),
      );
  }

  /** Asks the wrapper to stop its job and report. Idempotent: only the first call signals; the answer changes when the exit is proven. */
  stop(key: RunKey): StopOutcome {
    const run = this.#runs.get(keyOf(key));
    if (!run) return { kind: 'unknown' };
    const { record } = run;
    if (record.end === null) this.#look(run);
    if (record.end !== null) return { kind: 'ended', run: view(run) };
    if (record.stopRequestedAt === null) {
      record.stopRequestedAt = this.#options.now();
      writeRecord(run.folder, record);
      this.#signal(run, 'SIGTERM');
    }
    return { kind: 'stopping', run: view(run) };
  }

  /** Stops everything and waits; what is still there after `patienceMs` is killed with all its children. For a stack that ends as a whole. */
  async stopAll(patienceMs: number): Promise<void> {
    for (const { record } of this.#runs.values()) this.stop(record);
    await settlesWithin(patienceMs, this.#idle());
    for (const run of this.#runs.values()) {
      const { pid, end } = run.record;
      if (end !== null) continue;
      if (run.restartTimer) clearTimeout(run.restartTimer);
      run.record.restarts = RESTARTS_MAX; // What is killed here stays dead.
      const doomed = pid === null ? [] : processTree(pid);
      this.#options.log(`${run.record.session}/${run.record.id}: did not stop within ${patienceMs} ms, killed`);
      for (const each of doomed) signalProcess(each, 'SIGKILL');
      if (doomed.length === 0) this.#gone(run, null, null);
    }
    await settlesWithin(KILLED_WAIT_MS, this.#idle());
  }

  /**
   * Everything ends, because this host does: each wrapper is told so with the reason, stops its job, reports, and is waited for. After `patienceMs` the jobs are
   * killed, and not their wrappers, which then have something to report. How long those may take is up to whoever ends the host.
   */
  async drain(reason: string, patienceMs: number): Promise<void> {
    for (const run of this.#runs.values()) {
      if (run.record.end !== null) continue;
      leaveStopReason(stopReasonOf(run.folder), reason);
      this.stop(run.record);
    }
    if (!(await settlesWithin(patienceMs, this.#idle()))) this.#killJobs(patienceMs);
    await this.#idle();
  }

  #killJobs(patienceMs: number): void {
    for (const { record } of this.#runs.values()) {
      const { pid, end } = record;
      if (end !== null || pid === null) continue;
      this.#options.log(`${record.session}/${record.id}: did not stop within ${patienceMs} ms, its job is killed`);
      for (const each of processTree(pid)) if (each.pid !== pid) signalProcess(each, 'SIGKILL');
    }
  }

  /** Ends the runner's part. The wrappers go on. */
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

  // ── the process ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** Starts a wrapper; the first time with the job's own env and stdin, afterwards (`job` absent) with neither. Throws when there is no process. */
  #spawn(run: Run, ingest: IngestAccess, job?: Launch): void {
    const { record, folder } = run;
    const { program, env, log } = this.#options;
    const onError = ({ message }: Error) => log(`${record.session}/${record.id}: ${message}`);
    const { child, identity } = startWrapper({ record, folder, ingest, job: job ?? null, program, env, onError });
    record.pid = identity.pid;
    record.start = identity.start;
    run.child = child;
    child.on('exit', (code, signal) => {
      if (run.child === child) this.#gone(run, code, signal);
    });
    child.unref();
    writeRecord(folder, record);
  }

  #signal(run: Run, signal: NodeJS.Signals): void {
    const { pid, start } = run.record;
    if (pid !== null && start !== null) signalProcess({ pid, start }, signal); // R4
  }

  /** Notices the end of a wrapper that is not our child. */
  #look(run: Run): void {
    const { pid, start, end } = run.record;
    if (end !== null || run.child || run.restartTimer || pid === null || start === null) return;
    if (!isAlive({ pid, start })) this.#gone(run, null, null);
  }

  #poll(): void {
    for (const run of this.#runs.values()) this.#look(run);
  }

  /** The wrapper is gone. `code` and `signal` are both null when it was not our child: then only its spool can tell. */
  #gone(run: Run, code: number | null, signal: NodeJS.Signals | null): void {
    run.child = null;
    if (this.#closed) return;
    const { record, folder } = run;
    const { log } = this.#options;
    const name = `${record.session}/${record.id}`;
    record.exitCode = code;
    record.signal = signal;
    const facts = { code, signal, hasState: hasSpoolState(folder), restarts: record.restarts, ingest: readIngest(folder) };
    const after = decideAfterGone(facts, this.#options.restartCurve);
    if (after.why !== null) log(`${name}: ${after.why}`);
    if (after.kind === 'end') return this.#end(run, after.end);
    record.restarts += 1;
    record.pid = null;
    record.start = null;
    writeRecord(folder, record);
    run.restartTimer = setTimeout(() => this.#restart(run, after.ingest), after.delayMs);
  }

  /** With the newest credential, or the one that was there when the wrapper went. */
  #restart(run: Run, known: IngestAccess): void {
    run.restartTimer = null;
    try {
      this.#spawn(run, readIngest(run.folder) ?? known);
    } catch (error) {
      this.#options.log(`${run.record.session}/${run.record.id}: ${(error as Error).message}`);
      this.#gone(run, null, null);
    }
  }

  #end(run: Run, end: 'finished' | 'abandoned'): void {
    run.record.end = end;
    run.record.endedAt = this.#options.now();
    writeRecord(run.folder, run.record);
    removeIngest(run.folder); // R3
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

const view = ({ record, restartTimer }: Run): RunView => viewOf(record, restartTimer !== null);
