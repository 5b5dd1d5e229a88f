/**
 * One run of vitest under a watchdog. It cannot hang: after `silenceMs` without output or test
 * progress, the run is ended with all its descendants, and the current test file is named.
 * Afterwards no process of it is left.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { OwnedProcesses } from './owned-processes.ts';
import { ROOT } from './stack.ts';
import type { Progress } from './test-progress.ts';

/**
 * No test may be silent for this long. vitest's own time limits are shorter, or the test prints its
 * progress.
 */
export const SILENCE_MS = Number(process.env.HOLDFAST_TEST_SILENCE_MS) || 120_000;
/**
 * For processes that end by themselves after a test: a keeper gives its program 12 s (keeper.mjs).
 */
const LEFTOVER_PATIENCE_MS = 20_000;
/** For the pipes of a process that ended; a process that it left behind may hold them open. */
const DRAIN_MS = 2000;
/** For vitest, which lets running tests finish. */
const SIGNAL_PATIENCE_MS = 15_000;
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

export interface Failure {
  file: string;
  test: string | null;
  message: string;
}

export interface TestRunResult {
  /** 0 only when every test passed and nothing else failed. */
  code: number;
  passed: number;
  skipped: number;
  failures: Failure[];
  files: { file: string; passed: boolean; ms: number }[];
}

export interface TestRunOptions {
  silenceMs?: number;
  leftoverMs?: number;
  cwd?: string;
  onOutput(chunk: Buffer): void;
  onFileEnded?(ended: Extract<Progress, { kind: 'file_ended' }>): void;
}

/** What runs now, and what ended last: a worker may hang after its last test. */
class Activity {
  readonly #running = new Map<string, string>();
  #lastEnded = '';
  #at = performance.now();

  touch(): void {
    this.#at = performance.now();
  }

  take(progress: Progress): void {
    if (progress.kind === 'run_ended') return;
    if (progress.kind === 'file_ended') {
      this.#running.delete(progress.file);
      this.#lastEnded = progress.file;
    } else if (progress.kind === 'file_queued') this.#running.set(progress.file, '');
    else if (progress.kind === 'test_begun') this.#running.set(progress.file, progress.test);
    else this.#running.set(progress.file, ` (after ${progress.test})`);
  }

  get silentMs(): number {
    return performance.now() - this.#at;
  }

  /** The suspects: one for each running file, or else the file that ended last. */
  suspects(message: string): Failure[] {
    const running = [...this.#running].map(([file, test]) => ({ file, test: test === '' ? null : test, message }));
    if (running.length > 0) return running;
    const file = this.#lastEnded || 'before the first file';
    return [{ file, test: null, message: this.#lastEnded ? `${message} It came after the last test of this file.` : message }];
  }
}

export async function runTests(args: readonly string[], options: TestRunOptions): Promise<TestRunResult> {
  const { silenceMs = SILENCE_MS, leftoverMs = LEFTOVER_PATIENCE_MS, cwd = ROOT, onOutput, onFileEnded } = options;
  const result: TestRunResult = { code: 1, passed: 0, skipped: 0, failures: [], files: [] };
  if (signalled) return { ...result, code: 143 };
  const activity = new Activity();
  const owned = new OwnedProcesses(randomUUID());
  const fail = (file: string, message: string): void => void result.failures.push({ file, test: null, message });

  const vitest = join(ROOT, 'node_modules', 'vitest', 'vitest.mjs');
  const reporters = ['--reporter=default', `--reporter=${join(ROOT, 'scripts', 'test-progress.ts')}`];
  const child = spawn(process.execPath, [vitest, 'run', ...args, ...reporters], {
    cwd,
    env: { ...process.env, ...owned.env },
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  const gone = new Promise<number>((done) => {
    child.on('exit', (code) => done(code ?? 143));
    child.on('error', (error) => {
      fail('before the first file', error.message);
      done(127);
    });
  });
  const drained = new Promise((done) => child.on('close', done));
  for (const stream of [child.stdout, child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      activity.touch();
      onOutput(chunk);
    });
  child.on('message', (progress: Progress) => {
    activity.touch();
    activity.take(progress);
    if (progress.kind === 'test_passed') result.passed += 1;
    else if (progress.kind === 'test_skipped') result.skipped += 1;
    else if (progress.kind === 'test_failed') result.failures.push(progress);
    else if (progress.kind === 'run_ended') for (const message of progress.unhandled) fail('outside of all tests', message);
    else if (progress.kind === 'file_ended') {
      result.files.push({ file: progress.file, passed: progress.passed, ms: progress.ms });
      if (progress.error !== null) fail(progress.file, progress.error);
      onFileEnded?.(progress);
    }
  });

  const stopPassing = passSignals(child, owned);
  const watch = setInterval(
    () => {
      if (child.pid !== undefined) owned.add(child.pid);
      if (activity.silentMs < silenceMs) return;
      clearInterval(watch);
      const message = `No output and no progress for ${silenceMs / 1000} s; the run was ended.`;
      result.failures.push(...activity.suspects(message));
      void owned.end();
    },
    Math.min(2000, silenceMs / 4),
  );
  const code = await gone;
  clearInterval(watch);
  await Promise.race([drained, sleep(DRAIN_MS)]);
  result.code = code;
  if (signalled) fail('stopped', `by ${signalled}`);

  if (signalled) await owned.end();
  else if (!(await owned.ended(leftoverMs))) {
    fail('left behind', `processes of the tests did not end by themselves: ${owned.describe().join('; ')}`);
    if (!(await owned.end())) fail('left behind', `processes cannot be ended: ${owned.describe().join('; ')}`);
  }
  stopPassing();
  if (result.failures.length > 0 || result.files.some(({ passed }) => !passed)) result.code ||= 1;
  return result;
}

/** The signal that asked this process to end, if any. No run begins after it. */
let signalled: NodeJS.Signals | null = null;

/** Until the returned function is called. */
function passSignals(child: ChildProcess, owned: OwnedProcesses): () => void {
  const pass = (signal: NodeJS.Signals): void => {
    signalled = signal;
    child.kill(signal);
    setTimeout(() => void owned.end(), SIGNAL_PATIENCE_MS).unref();
  };
  for (const signal of SIGNALS) process.on(signal, pass);
  return () => {
    for (const signal of SIGNALS) process.off(signal, pass);
  };
}
