/**
 * The runs of one runner: which wrappers there are, and what becomes of each.
 *
 * Owns: the folder of each run, its record, and the decision to start a wrapper again.
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

import { type ChildProcess, spawn } from 'node:child_process';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import type { IngestAccess, OutputFormat } from '../protocol/index.ts';
import { encodeJobEnv } from './job-env.ts';
import { identityOf, isAlive, listProcesses, processTree, signalProcess } from './runner-process.ts';
import { folderName, type LaunchRequest, requestDigest } from './runner-request.ts';
import { readSpoolState } from './spool-state.ts';

const RECORD_FILE = 'run.json';
const INGEST_FILE = 'ingest.json';
const LOG_FILE = 'wrapper.log';
/** The wrapper's own folder, apart from the runner's files. */
const SPOOL_FOLDER = 'spool';

export const RESTARTS_MAX = 3;
/** Waits before each restart: a wrapper that dies at once would otherwise use them all up within one hiccup of the host. */
const RESTART_DELAYS_MS = [250, 2000, 10_000];
/** Wrappers that an earlier runner started are not our children: there is no exit event, so they are looked at. */
const ADOPTED_POLL_MS = 500;
const SWEEP_MS = 60_000;

export type RunState = 'running' | 'stopping' | 'restarting' | 'finished' | 'abandoned';

/** What is kept on disk of a run. */
interface RunRecord {
  version: 1;
  id: string;
  session: string;
  tenant: string;
  digest: string;
  command: string[];
  cwd: string;
  format: OutputFormat;
  launchedAt: number;
  /** Null between the record and the process: R1. */
  pid: number | null;
  start: string | null;
  restarts: number;
  stopRequestedAt: number | null;
  endedAt: number | null;
  end: 'finished' | 'abandoned' | null;
  exitCode: number | null;
  signal: string | null;
}

/** A run as the API shows it. */
export interface RunView {
  id: string;
  session: string;
  tenant?: string;
  pid: number | null;
  state: RunState;
  restarts: number;
  launchedAt: number;
  endedAt?: number;
  exitCode?: number;
  signal?: string;
}

export type LaunchOutcome =
  | { kind: 'launched'; run: RunView }
  | { kind: 'existing'; run: RunView }
  | { kind: 'conflict' }
  | { kind: 'full'; inFlight: number; max: number }
  | { kind: 'bad_cwd' }
  | { kind: 'failed'; message: string };

export type StopOutcome = { kind: 'unknown' } | { kind: 'stopping'; run: RunView } | { kind: 'ended'; run: RunView };

export interface RunKey {
  id: string;
  session: string;
  tenant: string;
}

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
  restartDelaysMs?: readonly number[];
  now?: () => number;
}

interface Run {
  record: RunRecord;
  folder: string;
  child: ChildProcess | null;
  restartTimer: NodeJS.Timeout | null;
}

const keyOf = ({ tenant, session, id }: RunKey): string => `${tenant}/${session}/${id}`;

/** No variable of ours reaches a wrapper from the runner's own environment: HOLDFAST_RUNNER_TOKEN would let a job start others. */
export function environmentForJobs(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('HOLDFAST_')));
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
      restartDelaysMs: RESTART_DELAYS_MS,
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
    for (const sessionFolder of folders(spool)) {
      for (const folder of folders(sessionFolder)) {
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
          const found = findWrapper(join(folder, SPOOL_FOLDER));
          if (found) {
            record.pid = found.pid;
            record.start = found.start;
            writeRecord(run);
          } else if (record.restarts === 0 && !existsSync(join(folder, SPOOL_FOLDER))) {
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
  launch(request: LaunchRequest): LaunchOutcome {
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
    const run: Run = {
      folder,
      child: null,
      restartTimer: null,
      record: {
        version: 1,
        id: request.id,
        session: request.session,
        tenant: request.tenant,
        digest,
        command: request.command,
        cwd,
        format: request.format,
        launchedAt: this.#options.now(),
        pid: null,
        start: null,
        restarts: 0,
        stopRequestedAt: null,
        endedAt: null,
        end: null,
        exitCode: null,
        signal: null,
      },
    };
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      writeIngest(folder, request.ingest);
      writeRecord(run);
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
      writeRecord(run);
      this.#signal(run, 'SIGTERM');
    }
    return { kind: 'stopping', run: view(run) };
  }

  /** Stops everything and waits; what is still there after `patienceMs` is killed with all its children. For a stack that ends as a whole. */
  async stopAll(patienceMs: number): Promise<void> {
    for (const { record } of this.#runs.values()) this.stop(record);
    await Promise.race([this.#idle(), new Promise((done) => setTimeout(done, patienceMs))]);
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
    await Promise.race([this.#idle(), new Promise((done) => setTimeout(done, 2000))]);
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
  #spawn(run: Run, ingest: IngestAccess, job?: LaunchRequest): void {
    const { record, folder } = run;
    const [program, ...first] = this.#options.program as [string, ...string[]];
    const spool = join(folder, SPOOL_FOLDER);
    const args = [...first, 'run', '--url', ingest.url, '--spool', spool, '--format', record.format];
    if (job?.openStdin) args.push('--stdin', 'open');
    if (!job) args.push('--recover'); // R5
    args.push('--', ...record.command);

    const log = openSync(join(folder, LOG_FILE), 'a', 0o600);
    const stdin = inputDescriptor(folder, job?.stdin ?? null);
    try {
      const child = spawn(program, args, {
        cwd: isDirectory(record.cwd) ? record.cwd : '/',
        detached: true, // Its own session: neither the runner's end nor its terminal's reaches it.
        stdio: [stdin ?? 'ignore', log, log],
        env: {
          ...environmentForJobs(this.#options.env),
          HOLDFAST_INGEST_TOKEN: ingest.token,
          ...(job ? encodeJobEnv({ ...(job.traceparent ? { TRACEPARENT: job.traceparent } : {}), ...job.env }) : {}), // R7
        },
      });
      // Without a listener a failed spawn would be an uncaught exception of the runner.
      child.on('error', (error) => this.#options.log(`${record.session}/${record.id}: ${error.message}`));
      const identity = child.pid === undefined ? null : identityOf(child.pid);
      if (child.pid === undefined) throw new Error(`could not start ${program}`);
      record.pid = child.pid;
      // A wrapper that is gone already has no start; its exit event is on the way.
      record.start = identity?.start ?? 'gone';
      run.child = child;
      child.on('exit', (code, signal) => {
        if (run.child === child) this.#gone(run, code, signal);
      });
      child.unref();
      writeRecord(run);
    } finally {
      closeSync(log);
      if (stdin !== null) closeSync(stdin);
    }
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
    // A wrapper removes its state when the coordinator has all of it.
    const hasState = readSpoolState(join(folder, SPOOL_FOLDER)) !== null;
    if (code !== null || (signal === null && !hasState)) {
      // It left on its own. State that is still there is what the coordinator would not take; it is kept for longer.
      this.#end(run, hasState ? 'abandoned' : 'finished');
      return;
    }
    if (record.restarts >= RESTARTS_MAX) {
      log(`${name}: wrapper gone again (${signal ?? 'unknown cause'}), given up after ${RESTARTS_MAX} restarts`);
      this.#end(run, 'abandoned');
      return;
    }
    const ingest = readIngest(folder);
    if (ingest === null) {
      log(`${name}: wrapper gone (${signal ?? 'unknown cause'}) and its credential too; it can not report`);
      this.#end(run, 'abandoned');
      return;
    }
    const delays = this.#options.restartDelaysMs;
    const delay = delays[Math.min(record.restarts, delays.length - 1)] ?? 0;
    log(`${name}: wrapper gone (${signal ?? 'unknown cause'}) with its spool unfinished, restart in ${delay} ms`);
    record.restarts += 1;
    record.pid = null;
    record.start = null;
    writeRecord(run);
    run.restartTimer = setTimeout(() => {
      run.restartTimer = null;
      try {
        this.#spawn(run, readIngest(folder) ?? ingest);
      } catch (error) {
        log(`${name}: ${(error as Error).message}`);
        this.#gone(run, null, null);
      }
    }, delay);
  }

  #end(run: Run, end: 'finished' | 'abandoned'): void {
    run.record.end = end;
    run.record.endedAt = this.#options.now();
    writeRecord(run);
    rmSync(join(run.folder, INGEST_FILE), { force: true }); // R3
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

function view({ record, restartTimer }: Run): RunView {
  const state: RunState = record.end ?? (restartTimer ? 'restarting' : record.stopRequestedAt === null ? 'running' : 'stopping');
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

// ── files ─────────────────────────────────────────────────────────────────────────────────────────────────────────

function folders(parent: string): string[] {
  try {
    return readdirSync(parent, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(parent, entry.name));
  } catch {
    return [];
  }
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false;
  }
}

/** Whole or not at all, also when the host loses power: a half record would be a run that nobody takes care of. */
function writeWhole(path: string, text: string): void {
  const beside = `${path}.tmp`;
  const file = openSync(beside, 'w', 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(beside, path);
}

const writeRecord = ({ folder, record }: Run): void => writeWhole(join(folder, RECORD_FILE), `${JSON.stringify(record)}\n`);
const writeIngest = (folder: string, ingest: IngestAccess): void =>
  writeWhole(join(folder, INGEST_FILE), `${JSON.stringify(ingest)}\n`);

function readRecord(folder: string): RunRecord | null {
  try {
    const record = JSON.parse(readFileSync(join(folder, RECORD_FILE), 'utf8')) as RunRecord;
    return record.version === 1 && typeof record.id === 'string' && Array.isArray(record.command) ? record : null;
  } catch {
    return null;
  }
}

function readIngest(folder: string): IngestAccess | null {
  try {
    const ingest = JSON.parse(readFileSync(join(folder, INGEST_FILE), 'utf8')) as IngestAccess;
    return typeof ingest.url === 'string' && typeof ingest.token === 'string' ? ingest : null;
  } catch {
    return null;
  }
}

/** The run's folder, and its session's when that was the last one. */
function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  try {
    rmdirSync(join(folder, '..'));
  } catch {
    // Other runs of the session are still kept.
  }
}

/** The job's stdin as a file without a name: it needs no runner to be read, and nothing of it stays behind. */
function inputDescriptor(folder: string, text: string | null): number | null {
  if (text === null) return null;
  const path = join(folder, 'stdin.tmp');
  writeFileSync(path, text, { mode: 0o600 });
  const file = openSync(path, 'r');
  unlinkSync(path);
  return file;
}

/** A wrapper whose pid was not written down in time is known by the spool among its arguments. */
function findWrapper(spool: string): { pid: number; start: string } | null {
  const found = listProcesses().find(({ command }) => command.includes(` run `) && command.includes(`--spool ${spool} `));
  return found ? identityOf(found.pid) : null;
}
