/**
 * The agent's process.
 *
 * Owns: the process and its pipes, the lines that it prints, how it is ended. Does not own: what
 * the lines mean.
 *
 *   AP1  All lines come before `ended` resolves, and `ended` resolves once.
 *   AP2  It leads a process group, which is ended as a whole.
 *   AP3  stderr is that of this program.
 *   AP4  While paused nothing is read, so the pipe fills and the agent waits. Nothing is dropped.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { LineSplitter } from './lines.ts';
import { signalGroup } from './process-group.ts';

/** A message of ACP: tools print whole files. The library takes as much. */
export const AGENT_LINE_BYTES_MAX = 32 * 1024 * 1024;

export type AgentEnd =
  | { kind: 'not_started'; message: string }
  | { kind: 'exited'; exitCode: number | null; signal: string | null }
  /** It lives, and prints nothing more. */
  | { kind: 'closed' }
  | { kind: 'line_too_long' };

export interface AgentPort {
  write(text: string): void;
  readonly ended: Promise<AgentEnd>;
  /** Ends its stdin, and the process if that does not end it. `atOnce`: without that wait. */
  stop(atOnce: boolean): Promise<void>;
}

export interface AgentTimes {
  /** How long an agent may take to end when its stdin has ended. */
  endMs: number;
  /** Between SIGTERM and SIGKILL. */
  killAfterMs: number;
  /** How long output is waited for after the end, where a process left behind holds the pipe. */
  outputWaitMs: number;
}

export const AGENT_TIMES: AgentTimes = { endMs: 5000, killAfterMs: 2000, outputWaitMs: 1000 };

export class AgentProcess implements AgentPort {
  readonly #child: ChildProcess;
  readonly #times: AgentTimes;
  readonly #lines = new LineSplitter(AGENT_LINE_BYTES_MAX);
  readonly #onLine: (line: Buffer) => void;
  readonly #exited: Promise<unknown>;
  #isPaused = false;
  /** Waits for the end of a pause. */
  #resumed: () => void = () => {};
  readonly ended: Promise<AgentEnd>;

  constructor(
    [program, ...args]: readonly [string, ...string[]],
    { cwd, onLine, times = AGENT_TIMES }: { cwd: string; onLine: (line: Buffer) => void; times?: AgentTimes },
  ) {
    this.#times = times;
    this.#onLine = onLine;
    const child = spawn(program, args, { cwd, stdio: ['pipe', 'pipe', 'inherit'], detached: true }); // AP2, AP3
    this.#child = child;
    child.stdin?.on('error', () => {}); // It has ended, which `ended` tells.
    this.#exited = new Promise<void>((exited) => {
      child.once('exit', () => exited());
      child.once('error', () => exited());
    });
    this.ended = new Promise((ended) => {
      const end = (how: AgentEnd): void => {
        child.stdout?.removeAllListeners('data');
        const rest = this.#lines.rest();
        if (rest.length > 0) onLine(rest);
        ended(how);
      };
      const endLater = (how: AgentEnd): void => {
        setTimeout(() => {
          if (!this.#isPaused) return end(how);
          const resumed = this.#resumed;
          this.#resumed = () => {
            resumed();
            endLater(how);
          };
        }, times.outputWaitMs);
      };
      child.stdout?.on('data', (chunk: Buffer) => {
        if (!this.#read(chunk)) end({ kind: 'line_too_long' });
      });
      child.once('error', ({ message }) => end({ kind: 'not_started', message }));
      child.once('close', (exitCode, signal) => end({ kind: 'exited', exitCode, signal }));
      child.once('exit', (exitCode, signal) => endLater({ kind: 'exited', exitCode, signal }));
      child.stdout?.once('end', () => endLater({ kind: 'closed' }));
    });
  }

  write(text: string): void {
    if (this.#child.stdin?.writable) this.#child.stdin.write(text);
  }

  /** AP4 */
  pause(): void {
    this.#isPaused = true;
    this.#child.stdout?.pause();
  }

  resume(): void {
    this.#isPaused = false;
    this.#child.stdout?.resume();
    this.#resumed();
    this.#resumed = () => {};
  }

  async stop(atOnce: boolean): Promise<void> {
    this.#child.stdin?.end();
    if (!atOnce && (await this.#hasExited(this.#times.endMs))) return signalGroup(this.#child, 'SIGKILL');
    signalGroup(this.#child, 'SIGTERM');
    await this.#hasExited(this.#times.killAfterMs);
    signalGroup(this.#child, 'SIGKILL'); // With what it left behind in its group.
  }

  /** False: a line is too long. */
  #read(chunk: Buffer): boolean {
    const lines = this.#lines.push(chunk);
    for (const line of lines ?? []) this.#onLine(line);
    return lines !== null;
  }

  async #hasExited(withinMs: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<false>((passed) => {
      timer = setTimeout(() => passed(false), withinMs);
    });
    const inTime = await Promise.race([this.#exited.then(() => true), late]);
    clearTimeout(timer);
    return inTime;
  }
}
