/** The real wrapper as a process, with a job in it, and its reports. */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { bundleWrapper } from '../../test/support/wrapper-bundle.ts';

let bundled: string | null = null;
function wrapperFile(): string {
  if (bundled) return bundled;
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-wrapper-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  bundled = join(folder, 'holdfast-wrapper.mjs');
  bundleWrapper(bundled);
  return bundled;
}

export interface WrapperFact {
  at: number;
  fact: string;
  [key: string]: unknown;
}

export class WrapperProcess {
  readonly pid: number;
  readonly facts: WrapperFact[] = [];
  readonly exited: Promise<number | null>;
  readonly spool: string;
  readonly #process: ChildProcess;

  constructor(ingest: { url: string; token: string }, job: string, args: readonly string[] = []) {
    this.spool = mkdtempSync(join(tmpdir(), 'holdfast-bench-spool-'));
    const argv = [wrapperFile(), 'run', '--verbose', '--spool', this.spool, '--', process.execPath, '-e', job, ...args];
    const env = { ...process.env, HOLDFAST_INGEST_URL: ingest.url, HOLDFAST_INGEST_TOKEN: ingest.token };
    this.#process = spawn(process.execPath, argv, { env, stdio: ['ignore', 'ignore', 'pipe'] });
    this.pid = this.#process.pid as number;
    createInterface({ input: this.#process.stderr as NodeJS.ReadableStream }).on('line', (line) => {
      if (!line.startsWith('{')) return;
      const fact = JSON.parse(line) as { at: string; event: string };
      this.facts.push({ ...fact, fact: fact.event, at: Date.parse(fact.at) });
    });
    this.exited = new Promise((resolve) => this.#process.once('close', (code) => resolve(code)));
  }

  /** When the wrapper said this first. */
  when(fact: string): number {
    const found = this.facts.find((one) => one.fact === fact);
    if (!found) throw new Error(`the wrapper never said ${fact}`);
    return found.at;
  }

  kill(): void {
    this.#process.kill('SIGKILL');
  }

  cleanUp(): void {
    rmSync(this.spool, { recursive: true, force: true });
  }
}
