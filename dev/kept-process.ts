/**
 * A program behind a keeper (keeper.mjs), in a process group of its own.
 *
 * The keeper ends the program when this process dies, by SIGKILL too. `kill` returns only when no
 * process of the group is left.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { listProcesses } from '../wrapper/processes.ts';

/** Next to this file, and next to the bundle that this file becomes a part of. */
const KEEPER = fileURLToPath(new URL('./keeper.mjs', import.meta.url));
/** From the keeper's SIGKILL to the end of the group. */
const KILL_TIMEOUT_MS = 5_000;

export interface KeptProcessOptions {
  cwd: string;
  logFile: string;
  env: Record<string, string>;
  readStdout?: boolean;
  /** How long the program may take to end after SIGTERM. */
  patienceMs?: number;
}

export class KeptProcess {
  readonly logFile: string;
  readonly ended: Promise<void>;
  hasEnded = false;
  /** Its stop was requested. */
  asked = false;
  readonly #child: ChildProcess;
  readonly #patienceMs: number;
  /** Bytes that earlier starts wrote to the log. */
  readonly #logBefore: number;

  constructor(command: string[], { cwd, logFile, env, readStdout = false, patienceMs = 12_000 }: KeptProcessOptions) {
    this.logFile = logFile;
    this.#patienceMs = patienceMs;
    // A proxy setting for the outside world must not affect traffic between two processes of this
    // machine.
    const { HOLDFAST_URL: _url, HOLDFAST_API_KEY: _key, NODE_OPTIONS: _options, ...inherited } = process.env;
    const log = openSync(logFile, 'a', 0o600);
    this.#logBefore = fstatSync(log).size;
    this.#child = spawn(process.execPath, [KEEPER, `--patience=${patienceMs}`, ...command], {
      cwd,
      detached: true,
      stdio: ['pipe', readStdout ? 'pipe' : log, log],
      env: { ...inherited, ...env },
    });
    closeSync(log);
    this.#child.stdin?.on('error', () => {});
    this.ended = new Promise((done) => {
      this.#child.on('error', done);
      this.#child.on('exit', done);
    }).then(() => {
      this.hasEnded = true;
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** When this process dies, the program ends after that one. */
  outlive({ pid }: KeptProcess): void {
    this.#child.stdin?.write(`${pid}\n`);
  }

  async firstLine(timeoutMs: number): Promise<string | null> {
    const { stdout } = this.#child;
    if (!stdout) return null;
    const lines = createInterface({ input: stdout });
    const abort = new AbortController();
    const line = once(lines, 'line', { signal: abort.signal }).then(([text]) => String(text));
    const none = Promise.race([this.ended, sleep(timeoutMs, undefined, { signal: abort.signal })]).then(() => null);
    try {
      return await Promise.race([line, none]);
    } finally {
      abort.abort();
      for (const pending of [line, none]) pending.catch(() => {});
    }
  }

  logTail(): string {
    return readFileSync(this.logFile).subarray(this.#logBefore).toString('utf8').slice(-3000);
  }

  async stop(): Promise<void> {
    this.asked = true;
    if (!this.hasEnded) this.#child.kill('SIGTERM');
    const late = sleep(this.#patienceMs + KILL_TIMEOUT_MS, undefined, { ref: false });
    await Promise.race([this.ended, late]);
    await this.kill();
  }

  async kill(): Promise<void> {
    this.asked = true;
    const end = Date.now() + KILL_TIMEOUT_MS * 3;
    while (this.pid > 0 && listProcesses().some(({ group }) => group === this.pid)) {
      if (Date.now() > end) throw new Error(`process group ${this.pid} does not end`);
      try {
        process.kill(-this.pid, 'SIGKILL');
      } catch {
        // The last process of the group just ended.
      }
      await sleep(20);
    }
    await this.ended;
    this.#child.stdin?.destroy();
    this.#child.stdout?.destroy();
  }
}
