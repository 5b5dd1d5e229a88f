/**
 * Runs the commands of a README as written: the fenced `sh` blocks of the page, in a shell at the
 * root of the repository, with ports, folders and keys of the test in place of those on the page. A
 * replacement that does not occur on the page is a mistake of the test and throws.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { ROOT } from '../../scripts/stack.ts';
import { processesWith, until } from './real-stack.ts';

const KEEPER = join(ROOT, 'dev', 'keeper.mjs');
const STOP_MS = 25_000;

export type Replacements = readonly (readonly [shown: string, used: string])[];

/** The `sh` blocks of a page, each as its lines. */
export function blocksOf(file: string, replacements: Replacements): string[][] {
  const page = readFileSync(join(ROOT, file), 'utf8');
  const blocks = [...page.matchAll(/^```sh\n(.*?)^```/gms)].map(([, text]) => text as string);
  for (const [shown] of replacements) {
    if (!blocks.some((text) => text.includes(shown))) throw new Error(`${file} does not show ${shown}`);
  }
  return blocks.map((text) =>
    replacements
      .reduce((left, [shown, used]) => left.replaceAll(shown, used), text)
      .trim()
      .split('\n'),
  );
}

/**
 * A reader's shell has no path into this repository's tools. The shell of a test under npm does.
 */
function readersEnv(env: Record<string, string>): NodeJS.ProcessEnv {
  const { HOLDFAST_URL: _url, HOLDFAST_API_KEY: _key, PATH = '', ...rest } = process.env;
  const path = PATH.split(delimiter).filter((folder) => !folder.startsWith(join(ROOT, 'node_modules')));
  return { ...rest, ...env, PATH: path.join(delimiter) };
}

export interface Said {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** One terminal of the reader. Exported variables stay in it. */
export class Terminal {
  readonly #env: Record<string, string>;
  readonly #exports: string[] = [];
  #background: ChildProcess | null = null;
  output = '';

  constructor(env: Record<string, string> = {}) {
    this.#env = env;
  }

  /** Line by line, each to its end. */
  async run(lines: readonly string[]): Promise<Said[]> {
    const said: Said[] = [];
    for (const line of lines) {
      if (line.startsWith('export ')) this.#exports.push(line);
      else said.push(await this.#line(line));
    }
    return said;
  }

  /** The block's last line keeps running; `stop` or the end of this process ends it. */
  start(lines: readonly string[]): void {
    const child = spawn(process.execPath, [KEEPER, 'sh', '-ec', lines.join('\n')], {
      cwd: ROOT,
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
      env: readersEnv(this.#env),
    });
    this.#background = child;
    child.stdin?.on('error', () => {});
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on('data', (text) => {
        this.output += text;
      });
    }
  }

  async says(text: string, ms = 100_000): Promise<void> {
    const child = this.#background;
    await until(() => this.output.includes(text) || child?.exitCode !== null, text, ms);
    if (!this.output.includes(text)) throw new Error(`it ended without "${text}":\n${this.output.slice(-3000)}`);
  }

  /** Resolves when no process with `mark` among its arguments is left. Idempotent. */
  async stop(mark: string): Promise<void> {
    const child = this.#background;
    this.#background = null;
    if (child && child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit');
      // To the whole group, as Ctrl-C does. The keeper ends processes that ignore it.
      if (child.pid) process.kill(-child.pid, 'SIGINT');
      await ended;
    }
    await until(() => processesWith(mark).length === 0, `no process of ${mark} is left`, STOP_MS);
  }

  #line(line: string): Promise<Said> {
    return new Promise((done) => {
      const child = spawn('sh', ['-c', [...this.#exports, line].join('\n')], {
        cwd: ROOT,
        stdio: ['ignore', 'pipe', 'pipe'],
        env: readersEnv(this.#env),
      });
      const said: Said = { code: null, stdout: '', stderr: '' };
      for (const name of ['stdout', 'stderr'] as const) {
        child[name].on('data', (text) => {
          said[name] += text;
        });
      }
      child.on('close', (code) => done({ ...said, code }));
    });
  }
}
