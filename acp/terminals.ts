/**
 * Serves the agent's requests for terminals: commands that it runs through this program, with their
 * output.
 *
 * Owns: the processes, their output, which terminals there are. Does not own: what a command does;
 * it has the rights of its user, and only begins in the working directory.
 *
 *   TE1  At most `TERMINALS_MAX` at a time, and of each the newest `TERMINAL_BYTES_MAX` of output,
 *        also when the agent wants less: the log gets it too.
 *   TE2  Each command leads a process group, which is ended as a whole: when the agent asks, when
 *        it releases the terminal, and at the end of this program.
 *   TE3  stdin is empty: nobody could type.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { StringDecoder } from 'node:string_decoder';
import { signalGroup } from './process-group.ts';

export const TERMINALS_MAX = 32;
export const TERMINAL_BYTES_MAX = 1024 * 1024;

export interface TerminalTimes {
  /** Between SIGTERM and SIGKILL. */
  killAfterMs: number;
  /** How long output is waited for after the end, where a process left behind holds the pipe. */
  outputWaitMs: number;
}

export const TERMINAL_TIMES: TerminalTimes = { killAfterMs: 2000, outputWaitMs: 500 };

export interface Command {
  command: string;
  args: readonly string[];
  env: Readonly<Record<string, string>>;
  cwd: string;
  outputBytesMax: number | null;
}

export interface ExitStatus {
  exitCode: number | null;
  signal: string | null;
}

export interface TerminalOutput {
  output: string;
  truncated: boolean;
  exitStatus: ExitStatus | null;
}

export class Terminals {
  readonly #times: TerminalTimes;
  readonly #terminals = new Map<string, Terminal>();
  /** Released ones whose processes may still live. */
  readonly #ending = new Set<Terminal>();
  #made = 0;
  #isClosed = false;

  constructor(times = TERMINAL_TIMES) {
    this.#times = times;
  }

  /** Null: there are too many (TE1). Rejects when the command cannot be started. */
  async create(command: Command): Promise<string | null> {
    if (this.#isClosed) throw new Error('the run ends'); // TE2
    if (this.#terminals.size >= TERMINALS_MAX) return null;
    this.#made += 1;
    const id = `terminal-${this.#made}`;
    const terminal = new Terminal(command, this.#times);
    this.#terminals.set(id, terminal);
    try {
      await terminal.started;
    } catch (error) {
      this.#terminals.delete(id);
      throw error;
    }
    return id;
  }

  get(id: string): Terminal | null {
    return this.#terminals.get(id) ?? null;
  }

  /** False: there is no such terminal. */
  release(id: string): boolean {
    const terminal = this.#terminals.get(id);
    if (!terminal) return false;
    this.#terminals.delete(id);
    this.#end(terminal);
    return true;
  }

  /** Ends all of them, and waits until they have ended. No further one is started. */
  async close(): Promise<void> {
    this.#isClosed = true;
    for (const id of [...this.#terminals.keys()]) this.release(id);
    await Promise.all([...this.#ending].map(({ exit }) => exit));
  }

  #end(terminal: Terminal): void {
    this.#ending.add(terminal);
    void terminal.exit.then(() => this.#ending.delete(terminal));
    terminal.kill();
  }
}

export class Terminal {
  readonly #child: ChildProcess;
  readonly #times: TerminalTimes;
  readonly #bytesMax: number;
  #output = '';
  #truncated = false;
  #status: ExitStatus | null = null;
  /** Rejects when the command cannot be started. */
  readonly started: Promise<void>;
  readonly exit: Promise<ExitStatus>;

  constructor({ command, args, env, cwd, outputBytesMax }: Command, times: TerminalTimes) {
    this.#times = times;
    this.#bytesMax = Math.max(0, Math.min(outputBytesMax ?? TERMINAL_BYTES_MAX, TERMINAL_BYTES_MAX));
    // Without arguments it is a line for a shell: agents send `npm test` so.
    const [program, given] = args.length > 0 ? [command, args] : ['/bin/sh', ['-c', command]];
    this.#child = spawn(program, given, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'], // TE3
      detached: true, // TE2
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      const decoder = new StringDecoder('utf8');
      stream?.on('data', (chunk: Buffer) => this.#add(decoder.write(chunk)));
      stream?.on('end', () => this.#add(decoder.end()));
    }
    this.started = new Promise((started, failed) => {
      this.#child.once('spawn', started);
      this.#child.once('error', failed);
    });
    this.started.catch(() => {});
    this.exit = new Promise((exited) => {
      const ended = (exitCode: number | null, signal: string | null): void => {
        this.#status ??= { exitCode, signal };
        exited(this.#status);
      };
      this.#child.once('close', ended);
      this.#child.once('exit', (exitCode, signal) => setTimeout(() => ended(exitCode, signal), times.outputWaitMs));
      this.#child.once('error', () => ended(null, null));
    });
  }

  get output(): TerminalOutput {
    return { ...this.tail(this.#bytesMax), exitStatus: this.#status };
  }

  /** The end of the output. */
  tail(bytesMax: number): { output: string; truncated: boolean } {
    const output = tailOf(this.#output, bytesMax);
    return { output, truncated: this.#truncated || output.length < this.#output.length };
  }

  kill(): void {
    signalGroup(this.#child, 'SIGTERM');
    const killing = setTimeout(() => signalGroup(this.#child, 'SIGKILL'), this.#times.killAfterMs);
    void this.exit.then(() => {
      clearTimeout(killing);
      signalGroup(this.#child, 'SIGKILL'); // What the command left behind in its group.
    });
  }

  #add(text: string): void {
    this.#output += text;
    // A cut copies, so it is made once for many chunks (TE1).
    if (this.#output.length <= 2 * TERMINAL_BYTES_MAX) return;
    this.#output = tailOf(this.#output, TERMINAL_BYTES_MAX);
    this.#truncated = true;
  }
}

/** The last characters that fit into so many bytes. */
function tailOf(text: string, bytesMax: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= bytesMax) return text;
  let from = bytes.length - bytesMax;
  while (((bytes[from] ?? 0) & 0xc0) === 0x80) from += 1; // Not in the middle of a character.
  return bytes.toString('utf8', from);
}
