/**
 * Starts wrappers for tests: inside this process (times can be shortened, the disk can be made to
 * fail), or as a process of its own.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Log } from '../../wrapper/log.ts';
import { processStart } from '../../wrapper/processes.ts';
import { run } from '../../wrapper/run.ts';
import type { RunOptions } from '../../wrapper/run-options.ts';
import { fixedCredential } from '../../wrapper/transport/credential.ts';
import type { FakeCoordinator } from './fake-coordinator.ts';
import { endJobsIn } from './held-jobs.ts';

export const MAIN = fileURLToPath(new URL('../../wrapper/main.ts', import.meta.url));

const folders: string[] = [];

export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-test-'));
  folders.push(folder);
  return folder;
}

/** Also ends the jobs whose spools lie there: a job outlives its wrapper. */
export function removeTemporaryFolders(): void {
  for (const folder of folders.splice(0)) {
    endJobsIn(folder);
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * A gate at which a job waits until the test opens it. `wait` is shell text. A job with a fixed
 * duration would end too early on a slow machine, and slow the tests down on a fast one.
 */
export interface Gate {
  wait: string;
  /** The condition alone, as shell text. */
  isOpen: string;
  open: () => void;
}

export function gate(): Gate {
  const file = join(temporaryFolder(), 'open');
  return { wait: `until [ -e '${file}' ]; do sleep 0.05; done`, isOpen: `[ -e '${file}' ]`, open: () => writeFileSync(file, '') };
}

/** A script of parts with a gate between each two, in the order of the gates. */
export function gated(parts: readonly string[]): { script: string; gates: Gate[] } {
  const gates = parts.slice(1).map(gate);
  return { script: parts.map((part, index) => (index === 0 ? part : `${gates[index - 1]?.wait}; ${part}`)).join('; '), gates };
}

/**
 * 20,000 numbered lines in about a second, so that faults fall into the middle. It then prints a
 * few at a time until the gate opens, and prints `end`. On a slow machine the first lines may give
 * few events; the later ones make up for them.
 */
export function numberedLines(): { command: string[]; open: () => void } {
  const file = join(temporaryFolder(), 'open');
  const script = `const { existsSync } = require('node:fs');
    let n = 0;
    const print = (count) => { for (let k = 0; k < count; k += 1) process.stdout.write('line ' + (++n) + '\\n'); };
    let tick = 0;
    const timer = setInterval(() => {
      tick += 1;
      if (n < ${NUMBERED_LINES_MIN}) print(200);
      else if (existsSync(process.argv[1])) { clearInterval(timer); process.stdout.write('end\\n'); }
      else if (tick % 4 === 0) print(3);
    }, 8);`;
  return { command: [process.execPath, '-e', script, file], open: () => writeFileSync(file, '') };
}
export const NUMBERED_LINES_MIN = 20_000;

/** Throws unless this is all that `numberedLines` prints, once and in order. */
export function expectNumberedLines(text: string): void {
  const lines = text.split('\n');
  const rest = lines.splice(-2);
  if (rest.join('\n') !== 'end\n') throw new Error(`it ends with ${JSON.stringify(rest)}`);
  if (lines.length < NUMBERED_LINES_MIN) throw new Error(`${lines.length} lines`);
  for (const [index, line] of lines.entries()) if (line !== `line ${index + 1}`) throw new Error(`line ${index + 1} is "${line}"`);
}

export interface KeptLog extends Log {
  problems: string[];
  facts: { name: string; [key: string]: unknown }[];
}

export function keptLog(): KeptLog {
  const problems: string[] = [];
  const facts: KeptLog['facts'] = [];
  return { problems, facts, problem: (message) => problems.push(message), fact: (name, rest) => facts.push({ name, ...rest }) };
}

export type StartedRun = { exitCode: Promise<number>; log: KeptLog; spool: string };

export function runInProcess(coordinator: FakeCoordinator, command: string[], options: Partial<RunOptions> = {}): StartedRun {
  const log = keptLog();
  const spool = options.spoolDirectory ?? temporaryFolder();
  const exitCode = run({
    command,
    url: coordinator.url,
    credential: fixedCredential(coordinator.token),
    spoolDirectory: spool,
    format: 'text',
    cwd: null,
    env: process.env,
    stdin: { file: null, open: false },
    tee: false,
    recoverOnly: false,
    log,
    handleSignals: false,
    ...options,
    times: { settledWaitMs: 200, ...options.times },
  });
  return { exitCode, log, spool };
}

export interface WrapperProcess {
  process: ChildProcess;
  spool: string;
  stdout: () => string;
  stderr: () => string;
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

export function startWrapper(
  coordinator: FakeCoordinator,
  command: string[],
  { spool = temporaryFolder(), args = [] as string[], env = {} as Record<string, string>, program = [process.execPath, MAIN] } = {},
): WrapperProcess {
  const [node = '', ...first] = program;
  const child = spawn(node, [...first, 'run', ...args, '--', ...command], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      HOLDFAST_INGEST_URL: coordinator.url,
      HOLDFAST_INGEST_TOKEN: coordinator.token,
      HOLDFAST_SPOOL: spool,
      ...env,
    },
  });
  let stdout = '';
  let stderr = '';
  child.stdout?.on('data', (bytes) => {
    stdout += bytes;
  });
  child.stderr?.on('data', (bytes) => {
    stderr += bytes;
  });
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal }));
  });
  return { process: child, spool, stdout: () => stdout, stderr: () => stderr, ended };
}

/**
 * The identity of a run, which marks the processes of its job: a test that looks for those must not
 * find the jobs of tests that run beside it.
 */
export const ownRun = () => ({ session: 's1', execution: `e-${randomUUID()}`, url: 'https://holdfast.example.com/runs/1' });

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export async function until(condition: () => boolean, what: string, timeoutMs = 40_000): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`timed out: ${what}`);
    await sleep(20);
  }
}

/** A zombie has ended; its new parent has not reaped it yet. */
export const isRunning = (pid: number): boolean => processStart(pid) !== null;
