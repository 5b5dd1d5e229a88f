/**
 * The job's process: started once, in its own process group, with its output turned into event
 * lines.
 *
 * Owns: the process, its pipes, the unfinished line of each stream, the latest progress.
 * Does not own: the decision to signal it (stop, interrupt), where the lines go.
 *
 *   CH1  `exited` is called once, after all output that will be reported has been handed over.
 *   CH2  A grandchild that keeps the pipes open delays the end by at most `pipesHoldMs` of reading.
 *        Paused time does not count: what the job wrote before it ended is still in the pipe.
 *   CH3  While paused, nothing more is read; the kernel's pipe fills and the job blocks. Nothing is
 *        dropped.
 *   CH4  No HOLDFAST_ variable of the wrapper reaches the job: with its token the job could report
 *        as the wrapper.
 *   CH5  The group is signalled by its leader's pid, which the kernel does not reuse while the
 *        group has a member.
 *
 * Accepted weakness: where named pipes cannot be created (child-pipes), a job that opens
 * `/dev/stdout` by name fails (ENXIO). A job of the same user can read the wrapper's token from
 * /proc; the token is bound to this one execution.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { createReadStream, existsSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import type { JobTerms, OutputFormat } from '../../protocol/index.ts';
import { encodePiece, type StreamName } from '../output/event-lines.ts';
import type { LineNumbers } from '../output/line-numbers.ts';
import type { Redaction } from '../output/redaction.ts';
import { JsonLineSplitter, type Piece, type Splitter, TextSplitter } from '../output/text-splitter.ts';
import { listProcesses } from '../processes.ts';
import type { WrapperTimes } from '../times.ts';
import { closeWriters, type OutputPipes, readPipe } from './child-pipes.ts';
import { ProgressEvents } from './progress.ts';
import { TerminalProgress } from './terminal-progress.ts';
import { isDirectory } from './working-directory.ts';

/** Bytes buffered for a job that does not read its stdin. Input beyond this waits. */
export const STDIN_BACKLOG_BYTES_MAX = 1024 * 1024;
const PIPES_CHECK_MS = 50;

/**
 * What the job reads: nothing, a file, or a pipe that stays open for `input` (after the file, if
 * given).
 */
export interface StdinSource {
  /** A path, or the number of an open file. */
  file: string | number | null;
  open: boolean;
}

export interface ChildOptions {
  command: readonly string[];
  cwd: string | null;
  env: NodeJS.ProcessEnv;
  format: OutputFormat;
  /** Counts the lines of both streams. Null when the number of earlier lines is unknown. */
  lines: LineNumbers | null;
  /** Null: the output is not redacted. `tee` always shows the unredacted output. */
  redaction: Redaction | null;
  stdin: StdinSource;
  /** Ownership passes to the child, even if it cannot be started. Null: Node's own pipes. */
  pipes: OutputPipes | null;
  tee: boolean;
  times: WrapperTimes;
  handlers: ChildHandlers;
  now?: () => number;
}

export interface ChildHandlers {
  output(line: Buffer): void;
  /** `inputHasRoom` may be true again. */
  inputHasRoom(): void;
  /**
   * The process itself has ended. Its output may be pending and its grandchildren may still run.
   */
  leaderGone(): void;
  exited(exit: ChildExit): void;
}

export type ChildExit =
  | { kind: 'exited'; exitCode: number | null; signal: NodeJS.Signals | null; pipesLeftOpen: boolean }
  | { kind: 'not_started'; message: string };

export type PauseReason = 'spool' | 'tee_stdout' | 'tee_stderr';

/**
 * The environment of the job: the wrapper's without its own variables (CH4), then what was given
 * for the job, then the variables that describe the execution.
 */
export function jobEnvironment(
  env: NodeJS.ProcessEnv,
  jobEnv: Readonly<Record<string, string>>,
  terms: JobTerms | null,
): NodeJS.ProcessEnv {
  const own = Object.entries(env).filter(([name]) => !name.startsWith('HOLDFAST_'));
  return { PYTHONUNBUFFERED: '1', ...Object.fromEntries(own), ...jobEnv, ...aboutTheJob(terms) };
}

/** SPL28. These variables grant no access. */
const aboutTheJob = (terms: JobTerms | null): Record<string, string> => ({
  HOLDFAST: '1',
  ...(terms && { HOLDFAST_SESSION: terms.session, HOLDFAST_EXECUTION: terms.execution, HOLDFAST_RUN_URL: terms.url }),
  ...(terms?.deadline !== undefined && { HOLDFAST_DEADLINE: String(terms.deadline) }),
});

export class Child {
  readonly #options: ChildOptions;
  readonly #process: ChildProcess | null = null;
  readonly #streams: OutputStream[] = [];
  readonly #paused = new Set<PauseReason>();
  readonly #progress: ProgressEvents;
  #stdin: Writable | null = null;
  /** The initial file is not written yet: input would land in the middle of it. */
  #filePending = false;
  #exit: { exitCode: number | null; signal: NodeJS.Signals | null } | null = null;
  #done = false;
  #readingMs = 0;

  constructor(options: ChildOptions) {
    this.#options = options;
    this.#progress = new ProgressEvents((line) => options.handlers.output(line));
    const [program = '', ...args] = options.command;
    const { file, open } = options.stdin;
    const { pipes } = options;
    try {
      this.#process = spawn(program, args, {
        detached: true,
        cwd: options.cwd ?? undefined,
        env: options.env,
        stdio: [
          open || typeof file === 'string' ? 'pipe' : (file ?? 'ignore'),
          pipes?.stdout.writer ?? 'pipe',
          pipes?.stderr.writer ?? 'pipe',
        ],
      });
    } catch (error) {
      if (pipes) for (const pipe of [pipes.stdout, pipes.stderr]) readPipe(pipe).destroy();
      // Arguments that no process can take. Reported asynchronously, like every other failure to
      // start.
      queueMicrotask(() => this.#finish({ kind: 'not_started', message: this.#explain(error as Error) }));
      return;
    } finally {
      if (pipes) closeWriters(pipes);
    }
    const child = this.#process;
    child.on('error', (error) => {
      if (child.pid === undefined) this.#finish({ kind: 'not_started', message: this.#explain(error) });
    });
    for (const name of ['stdout', 'stderr'] as const) {
      const source = pipes ? readPipe(pipes[name]) : child[name];
      if (!source) continue;
      if (child.pid === undefined) {
        source.destroy();
        continue;
      }
      source.on('close', () => this.#concludeWhenClosed());
      this.#streams.push(new OutputStream(name, source, this, this.#progress, options));
    }
    if (child.pid === undefined) return;
    if (child.stdin) this.#feedStdin(child.stdin);
    child.on('exit', (exitCode, signal) => {
      this.#exit = { exitCode, signal };
      // Node resumes its own pipes one tick after the process exits, even when they were paused
      // (CH3).
      setImmediate(() => {
        if (this.#paused.size > 0) for (const stream of this.#streams) stream.pause();
      });
      options.handlers.leaderGone();
      this.#watchPipes();
      this.#concludeWhenClosed();
    });
  }

  /** Undefined when it could not be started. */
  get pid(): number | undefined {
    return this.#process?.pid;
  }
  /** The leader has ended; its output may still be pending. */
  get ended(): boolean {
    return this.#exit !== null || this.#done;
  }

  /** Signals the whole group, grandchildren included. False when the group has no member. */
  signal(signal: NodeJS.Signals | 0): boolean {
    if (this.pid === undefined) return false;
    try {
      process.kill(-this.pid, signal); // CH5
      // A stopped process (SIGSTOP, ^Z) handles no other signal before it continues.
      if (signal !== 0) process.kill(-this.pid, 'SIGCONT');
      return true;
    } catch {
      return false;
    }
  }

  /**
   * Whether a process of the group still runs. Zombies do not count; in a container without an init
   * they stay forever.
   */
  groupAlive(): boolean {
    return this.signal(0) && listProcesses().some(({ group }) => group === this.pid);
  }

  pause(reason: PauseReason): void {
    this.#paused.add(reason);
    for (const stream of this.#streams) stream.pause();
  }

  resume(reason: PauseReason): void {
    if (!this.#paused.delete(reason) || this.#paused.size > 0) return;
    for (const stream of this.#streams) stream.resume();
  }

  /** A closed stdin has room: `write` then reports that it is closed. */
  get inputHasRoom(): boolean {
    return !this.#filePending && (this.#stdin?.writableLength ?? 0) < STDIN_BACKLOG_BYTES_MAX;
  }

  /** Writes to the job's stdin. False when it is closed. */
  write(bytes: Buffer): boolean {
    if (!this.#stdin?.writable || !this.#options.stdin.open) return false;
    this.#stdin.write(bytes);
    return true;
  }

  /** Ends the job's stdin, after what was written. */
  endInput(): void {
    if (this.#options.stdin.open) this.#stdin?.end();
  }

  #feedStdin(stdin: Writable): void {
    const { file, open } = this.#options.stdin;
    // The job closed its end; `write` reports it from now on.
    stdin.on('error', () => stdin.destroy());
    stdin.on('drain', () => this.#options.handlers.inputHasRoom());
    stdin.on('close', () => this.#options.handlers.inputHasRoom());
    if (file === null) {
      this.#stdin = stdin;
      return;
    }
    const source = typeof file === 'string' ? createReadStream(file) : createReadStream('', { fd: file });
    this.#filePending = open;
    source.on('close', () => {
      if (!open) stdin.end();
      else this.#stdin = stdin;
      this.#filePending = false;
      this.#options.handlers.inputHasRoom();
    });
    // A file that cannot be read is treated as empty; 'close' follows.
    source.on('error', () => {});
    source.pipe(stdin, { end: false });
  }

  #watchPipes(): void {
    const timer = setInterval(() => {
      if (this.#done) clearInterval(timer);
      else if (this.#paused.size === 0) this.#readingMs += PIPES_CHECK_MS;
      if (this.#readingMs < this.#options.times.pipesHoldMs) return;
      clearInterval(timer);
      this.#conclude(true); // CH2
    }, PIPES_CHECK_MS);
  }

  #concludeWhenClosed(): void {
    if (this.#streams.every(({ closed }) => closed)) this.#conclude(false);
  }

  #conclude(pipesLeftOpen: boolean): void {
    if (this.#done || !this.#exit) return;
    for (const stream of this.#streams) stream.end();
    this.#progress.end();
    this.#finish({ kind: 'exited', ...this.#exit, pipesLeftOpen });
  }

  #finish(exit: ChildExit): void {
    if (this.#done) return;
    this.#done = true;
    this.#stdin?.destroy();
    this.#options.handlers.exited(exit); // CH1
  }

  /** Node reports a missing folder as "spawn sh ENOENT" too. */
  #explain(error: Error): string {
    const { cwd } = this.#options;
    if (cwd !== null && !existsSync(cwd)) return `the working directory ${cwd} does not exist`;
    if (cwd !== null && !isDirectory(cwd)) return `the working directory ${cwd} is not a directory`;
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
      ? `the command or its interpreter was not found: ${error.message}`
      : error.message;
  }
}

/** One of the two output streams: reads, splits, and briefly holds back an unfinished line. */
class OutputStream {
  readonly #name: StreamName;
  readonly #source: Readable;
  readonly #child: Child;
  /** Shared by both streams of the job. */
  readonly #progress: ProgressEvents;
  readonly #options: ChildOptions;
  readonly #splitter: Splitter;
  /** Null for JSON lines, which report progress in their own format. */
  readonly #terminal: TerminalProgress | null;
  readonly #now: () => number;
  readonly #tee: NodeJS.WriteStream | null;
  #late: NodeJS.Timeout | null = null;
  #ended = false;

  constructor(name: StreamName, source: Readable, child: Child, progress: ProgressEvents, options: ChildOptions) {
    this.#name = name;
    this.#source = source;
    this.#child = child;
    this.#progress = progress;
    this.#options = options;
    this.#now = options.now ?? Date.now;
    const { redaction } = options;
    const isJson = options.format === 'jsonl' && name === 'stdout';
    this.#splitter = isJson ? new JsonLineSplitter(redaction) : new TextSplitter(redaction);
    this.#terminal = isJson ? null : new TerminalProgress();
    this.#tee = options.tee ? process[name] : null;
    this.#tee?.on('error', () => this.#child.resume(`tee_${name}`));
    source.on('data', (bytes: Buffer) => this.#read(bytes));
    source.on('error', () => {}); // A broken pipe ends the stream; its 'close' follows.
  }

  /** Everything was read and no writer is left. */
  get closed(): boolean {
    return this.#source.closed;
  }

  pause(): void {
    this.#source.pause();
  }

  resume(): void {
    this.#source.resume();
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    if (this.#late) clearTimeout(this.#late);
    this.#source.removeAllListeners('data');
    this.#source.destroy();
    this.#emit(this.#splitter.end());
  }

  #read(bytes: Buffer): void {
    this.#mirror(bytes);
    const progress = this.#terminal?.read(bytes);
    if (progress) this.#progress.offer(progress, this.#now());
    const pieces = this.#splitter.push(bytes);
    this.#emit(pieces);
    if (!this.#splitter.late) {
      if (this.#late) clearTimeout(this.#late);
      this.#late = null;
      return;
    }
    // After a line end, the pending text is a newer line and gets the full delay.
    if (pieces.length > 0) this.#late?.refresh();
    this.#late ??= setTimeout(() => {
      this.#late = null;
      this.#emit(this.#splitter.flush());
    }, this.#options.times.partialHoldMs);
  }

  #mirror(bytes: Buffer): void {
    const tee = this.#tee;
    if (!tee?.writable || tee.write(bytes)) return;
    const reason = `tee_${this.#name}` as const;
    this.#child.pause(reason);
    tee.once('drain', () => this.#child.resume(reason));
  }

  #emit(pieces: readonly Piece[]): void {
    const at = this.#now();
    const { lines, handlers } = this.#options;
    for (const piece of pieces) {
      if (piece.kind === 'fact' && piece.fact.type === 'progress') {
        this.#progress.offer(piece.fact.data, at);
        continue;
      }
      // JSON lines become `agent` events and are not counted as output lines.
      const line = piece.kind === 'text' ? (lines?.take(this.#name, piece.text) ?? null) : null;
      handlers.output(encodePiece(piece, this.#name, at, line));
    }
  }
}
