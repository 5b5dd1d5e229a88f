/** holdfast-acp as a process, beside an agent that does what its prompt says (acp-agent.mjs). */

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ConversationReader, type Item } from '../../agent/index.ts';
import type { JsonObject } from '../../protocol/json.ts';
import { bundleAcp } from './wrapper-bundle.ts';
import { temporaryFolder } from './wrapper-run.ts';

const AGENT = fileURLToPath(new URL('./acp-agent.mjs', import.meta.url));

/** The command of the agent, behind `--`. Its settings are described in acp-agent.mjs. */
export const acpAgent = (settings: object = {}): string[] => ['--', process.execPath, AGENT, JSON.stringify(settings)];

export interface AcpRun {
  child: ChildProcessWithoutNullStreams;
  cwd: string;
  out: string;
  err: string;
  /** Exit code, or signal. */
  exit: Promise<number | string>;
}

export class AcpRuns {
  readonly #running: AcpRun[] = [];
  #program: string | null = null;

  start(args: readonly string[], cwd = temporaryFolder()): AcpRun {
    const child = spawn(process.execPath, [this.program, ...args], { cwd, stdio: 'pipe' });
    const exit = once(child, 'close').then(([code, signal]) => code ?? signal);
    const run: AcpRun = { child, cwd, out: '', err: '', exit };
    this.#running.push(run);
    child.stdout.on('data', (chunk) => {
      run.out += String(chunk);
    });
    child.stderr.on('data', (chunk) => {
      run.err += String(chunk);
    });
    return run;
  }

  get program(): string {
    if (this.#program === null) {
      this.#program = join(temporaryFolder(), 'holdfast-acp.mjs');
      bundleAcp(this.#program);
    }
    return this.#program;
  }

  /** Kills what a failed test has left. */
  end(): void {
    for (const { child } of this.#running.splice(0)) child.kill('SIGKILL');
  }
}

/** The lines of JSON on stdout. */
export const linesOf = ({ out }: AcpRun): JsonObject[] =>
  out
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as JsonObject);

export const itemsOf = (run: AcpRun): readonly Item[] =>
  new ConversationReader('acp').add(
    linesOf(run)
      .filter(({ holdfast }) => !holdfast)
      .map((data, offset) => ({ offset, at: offset, type: 'agent', data })),
  );

/** What the agent said. */
export const messagesOf = (run: AcpRun): string[] =>
  itemsOf(run).flatMap((item) => (item.type === 'message' && item.role === 'assistant' ? [item.markdown] : []));
