/**
 * The command line in a real pseudo-terminal: `script` of util-linux gives it one. What the test
 * writes are keys, and what the program prints goes to a terminal without a window.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Headless } from './headless.ts';

const MAIN = join(import.meta.dirname, '..', '..', 'cli', 'main.ts');

/** Signals that make the program end as no test could otherwise make it. */
const FAULTS = `
process.on('SIGUSR2', () => setImmediate(() => { throw new Error('nothing catches this'); }));
process.on('SIGALRM', () => process.exit(9));
`;

export interface OwnPtyOptions {
  cols?: number;
  rows?: number;
  env?: Record<string, string>;
}

export class OwnPty {
  readonly judge: Headless;
  output = '';
  readonly ended: Promise<void>;
  readonly #child: ChildProcess;
  readonly #folder: string;
  #written: Promise<void> = Promise.resolve();

  constructor(args: readonly string[], { cols = 80, rows = 24, env = {} }: OwnPtyOptions = {}) {
    this.judge = new Headless(cols, rows);
    this.#folder = mkdtempSync(join(tmpdir(), 'holdfast-pty-'));
    const faults = join(this.#folder, 'faults.mjs');
    writeFileSync(faults, FAULTS);
    const quoted = args.map((argument) => `'${argument.replaceAll("'", "'\\''")}'`).join(' ');
    const file = join(this.#folder, 'run.sh');
    writeFileSync(
      file,
      [
        `cd '${this.#folder}'`,
        `stty cols ${cols} rows ${rows}`,
        'stty -g > before',
        `sh -c 'echo $$ > pid; exec "$0" "$@"' '${process.execPath}' --import '${faults}' '${MAIN}' ${quoted}`,
        'code=$?',
        'stty -g > after',
        'echo $code > code',
      ].join('\n'),
    );
    this.#child = spawn('script', ['-qefc', `sh ${file}`, '/dev/null'], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { PATH: process.env.PATH ?? '', TERM: 'xterm-256color', LANG: 'C.UTF-8', SHELL: '/bin/sh', ...env },
    });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.output += text;
      this.#written = this.judge.write(text);
    });
    this.ended = new Promise((resolve) => this.#child.on('close', () => resolve()));
  }

  type(keys: string): void {
    this.#child.stdin?.write(Buffer.from(keys, 'latin1'));
  }

  /** Changes the size of the window. */
  resize(cols: number, rows: number): void {
    this.judge.resize(cols, rows);
    // The terminal is that of the program; `stty` sends it SIGWINCH.
    spawn('stty', ['-F', `/proc/${this.pid}/fd/0`, 'cols', String(cols), 'rows', String(rows)], { stdio: 'ignore' });
  }

  get pid(): number {
    return Number(this.#file('pid'));
  }

  get hasPid(): boolean {
    return this.#file('pid').endsWith('\n');
  }

  signal(signal: NodeJS.Signals): void {
    process.kill(this.pid, signal);
  }

  /** Of the program, when it has ended. */
  get exitCode(): number {
    return Number(this.#file('code'));
  }

  /** The settings of the terminal (`stty -g`) before and after the program. */
  get settings(): [before: string, after: string] {
    return [this.#file('before'), this.#file('after')];
  }

  /** What the terminal shows. */
  async shown(): Promise<Headless> {
    await this.#written;
    return this.judge;
  }

  close(): void {
    try {
      if (this.hasPid && this.exitCode === 0 && this.#file('code') === '') process.kill(this.pid, 'SIGKILL');
    } catch {}
    this.#child.kill('SIGKILL');
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #file(name: string): string {
    try {
      return readFileSync(join(this.#folder, name), 'utf8');
    } catch {
      return '';
    }
  }
}
