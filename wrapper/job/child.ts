/**
 * The job's process as the wrapper sees it: started by a holder, or taken over with one, in a
 * session and process group of its own, with its output turned into event lines.
 *
 * Owns: its ends of the pipes, the unfinished line of each stream, the latest progress.
 * Does not own: the process and its end (holder), the decision to signal it (stop, interrupt),
 * where the lines go.
 *
 *   CH1  `exited` is called once, after all output that will be reported has been handed over.
 *   CH2  A grandchild that keeps the pipes open delays the end by at most `pipesHoldMs` of reading.
 *        Paused time does not count: what the job wrote before it ended is still in the pipe.
 *   CH3  While paused, nothing more is read; the kernel's pipe fills and the job blocks. Nothing is
 *        dropped.
 *   CH4  No HOLDFAST_ variable of the wrapper reaches the job: with its token the job could report
 *        as the wrapper.
 *   CH5  The group is signalled by its leader's pid, which the kernel does not reuse while the
 *        group has a member. Then what left the group is signalled (tree). A signal that comes
 *        before the process exists waits for it.
 *   CH6  When the holder was killed, the way the job ends cannot be learned. The job continues, and
 *        its end is reported as unknown when its process is gone.
 *
 * Accepted weakness: a job of the same user as its wrapper can read the wrapper's memory and its
 * files, and so the token, which is bound to this one execution. A job with a user of its own
 * cannot (user.ts).
 */

import { rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import type { Writable } from 'node:stream';
import type { JobTerms, TerminalSize } from '../../protocol/index.ts';
import type { StreamName } from '../output/event-lines.ts';
import { isAlive, listProcesses, type ProcessIdentity } from '../processes.ts';
import { TerminalStream } from '../terminal/terminal-stream.ts';
import type { WrapperTimes } from '../times.ts';
import { type HeldJob, Holder, type HolderHandlers } from './holder.ts';
import type { JobEnd } from './holder-folder.ts';
import { holderProgram } from './holder-script.ts';
import { type OutputHandlers, type OutputOptions, OutputStream } from './output-stream.ts';
import { whyNotExecutable } from './programs.ts';
import { ProgressEvents } from './progress.ts';
import { resizeTerminal, terminalScreen, whyNoTerminal } from './terminal.ts';
import { type JobProcess, JobTree, type Mark } from './tree.ts';
import { type JobUser, mayBelongTo, userEnvironment, whyNotAsUser } from './user.ts';

/** Bytes buffered for a job that does not read its stdin. Input beyond this waits. */
export const STDIN_BACKLOG_BYTES_MAX = 1024 * 1024;
const PIPES_CHECK_MS = 50;
const CTRL_D = Buffer.from([4]);
const EARLY_REPLIES_CHARS_MAX = 4096;
/** A program that has not looked at the first size yet would find nothing changed. */
const REDRAW_PAUSE_MS = 100;
const GONE_CHECK_MS = 250;
/** A process that leaves its parent within this time is found by its mark alone (tree). */
const TREE_SAMPLE_MS = 1000;

/**
 * What the job reads: nothing, a file, or a pipe that stays open for `input` (after the file, if
 * given).
 */
export interface StdinSource {
  /** A path, or the number of an open file. */
  file: string | number | null;
  open: boolean;
}

export interface ChildStart {
  command: readonly string[];
  cwd: string | null;
  env: NodeJS.ProcessEnv;
  stdin: StdinSource;
  /** Both streams in one pipe, in the order in which they were written. */
  merge: boolean;
  /** Of the holder, prepared. Null: it could not be, and `why` says so. */
  folder: string | null;
  why?: string;
}

export interface ChildOptions extends OutputOptions {
  /** A job to start, or one that an earlier wrapper started. */
  source: { kind: 'start'; start: ChildStart } | { kind: 'adopt'; held: HeldJob; openStdin: boolean };
  /** By which its processes are recognised. */
  mark: Mark | null;
  /** The size of its terminal. Null: it has pipes. */
  terminal: TerminalSize | null;
  /** As whom it runs. Null: as this process. */
  user: JobUser | null;
  times: WrapperTimes;
  handlers: ChildHandlers;
}

export interface ChildHandlers {
  output(line: Buffer): void;
  /** See `OutputHandlers`. */
  agentLine?: OutputHandlers['agentLine'];
  /** An encoded `screen` of its terminal, after the output that it shows. */
  screen(line: Buffer): void;
  /** The job has a process. Before any output. */
  started(job: ProcessIdentity): void;
  /** `inputHasRoom` may be true again. */
  inputHasRoom(): void;
  /**
   * The process itself has ended. Its output may be pending and its grandchildren may still run.
   */
  leaderGone(): void;
  exited(exit: ChildExit): void;
}

export type ChildExit =
  | { kind: 'exited'; exitCode: number | null; signal: string | null; pipesLeftOpen: boolean }
  /** The holder was killed (CH6). */
  | { kind: 'unknown'; pipesLeftOpen: boolean }
  /** It did not end although it was killed: it may not be signalled, or hangs in the kernel. */
  | { kind: 'not_stopped'; pipesLeftOpen: boolean }
  | { kind: 'not_started'; message: string };

export type PauseReason = 'spool' | 'tee_stdout' | 'tee_stderr' | 'not_started';

/**
 * The environment of the job: the wrapper's without its own variables (CH4), then what was given
 * for the job, then the variables that describe the execution.
 */
export function jobEnvironment(
  env: NodeJS.ProcessEnv,
  jobEnv: Readonly<Record<string, string>>,
  terms: JobTerms | null,
  user: JobUser | null = null,
): NodeJS.ProcessEnv {
  const own = Object.entries(env).filter(([name]) => !name.startsWith('HOLDFAST_'));
  return {
    PYTHONUNBUFFERED: '1',
    ...Object.fromEntries(own),
    ...(user && userEnvironment(user)),
    ...jobEnv,
    ...aboutTheJob(terms),
  };
}

/** SPL28. These variables grant no access. */
const aboutTheJob = (terms: JobTerms | null): Record<string, string> => ({
  HOLDFAST: '1',
  ...(terms && { HOLDFAST_SESSION: terms.session, HOLDFAST_EXECUTION: terms.execution, HOLDFAST_RUN_URL: terms.url }),
  ...(terms?.deadline !== undefined && { HOLDFAST_DEADLINE: String(terms.deadline) }),
});

export class Child {
  readonly #options: ChildOptions;
  readonly #holder: Holder | null = null;
  readonly #streams: (OutputStream | TerminalStream)[] = [];
  #terminal: TerminalStream | null = null;
  /** A size for a terminal whose job has no process yet. */
  #earlySize: TerminalSize | null = null;
  /** Output waits until the start was reported. */
  readonly #paused = new Set<PauseReason>(['not_started']);
  readonly #progress: ProgressEvents;
  #job: ProcessIdentity | null = null;
  /** CH5 */
  #earlySignals: NodeJS.Signals[] = [];
  #stdin: Writable | null = null;
  readonly takesInput: boolean;
  /** The job has not opened its stdin yet, or the initial file is not copied: input waits. */
  #inputWaits = false;
  #inputEnded = false;
  /** Answers of the terminal before its input is open. */
  #earlyReplies = '';
  #exit: JobEnd | 'unknown' | 'not_stopped' | 'not_executed' | null = null;
  #tree: JobTree | null = null;
  #sampling: NodeJS.Timeout | null = null;
  #done = false;
  #readingMs = 0;

  constructor(options: ChildOptions) {
    this.#options = options;
    const { source, handlers } = options;
    this.#progress = new ProgressEvents((line) => handlers.output(line));
    this.takesInput = source.kind === 'adopt' ? source.openStdin : source.start.stdin.open;
    try {
      this.#holder = this.#takeHolder();
    } catch (error) {
      // Reported asynchronously, like every other end.
      queueMicrotask(() => this.#finish({ kind: 'not_started', message: (error as Error).message }));
      return;
    }
    const onOutput = {
      output: (line: Buffer) => handlers.output(line),
      agentLine: handlers.agentLine,
      teeFull: (stream: StreamName, full: boolean) => (full ? this.pause(`tee_${stream}`) : this.resume(`tee_${stream}`)),
    };
    for (const [name, pipe] of [
      ['stdout', 'out'],
      ['stderr', 'err'],
    ] as const) {
      const socket = this.#holder.output(pipe);
      if (!socket) continue;
      socket.on('close', () => this.#concludeWhenClosed());
      const stream =
        options.terminal && pipe === 'out'
          ? this.#openTerminal(socket, options.terminal, this.#holder)
          : new OutputStream(name, socket, onOutput, this.#progress, options);
      stream.pause();
      this.#streams.push(stream);
    }
    this.#inputWaits = this.takesInput;
    this.#holder.watch();
  }

  #openTerminal(socket: Socket, size: TerminalSize, { folder }: Holder): TerminalStream {
    const { handlers, source } = this.#options;
    const onOutput = {
      output: (line: Buffer) => handlers.output(line),
      screen: (line: Buffer) => handlers.screen(line),
      reply: (text: string) => this.#reply(text),
      teeFull: (full: boolean) => (full ? this.pause('tee_stdout') : this.resume('tee_stdout')),
    };
    const place = { size, screenFile: terminalScreen(folder), isAdopted: source.kind === 'adopt' };
    this.#terminal = new TerminalStream(socket, onOutput, this.#progress, place, this.#options);
    return this.#terminal;
  }

  #takeHolder(): Holder {
    const { source } = this.#options;
    const handlers: HolderHandlers = {
      started: (job) => this.#started(job),
      ended: (end) => this.#leaderGone(end),
      failed: () => this.#leaderGone('not_executed'),
      lost: () => this.#lost(),
    };
    if (source.kind === 'adopt') return Holder.adopt(source.held, handlers);
    const { command, cwd, env, stdin, merge, folder, why } = source.start;
    const { user, terminal } = this.#options;
    const denied = user && folder && whyNotAsUser(user, command, cwd ?? process.cwd(), env, holderProgram(folder));
    const problem =
      denied ?? whyNotExecutable(command, cwd, env) ?? (terminal && whyNoTerminal()) ?? (folder === null ? why : null);
    try {
      if (problem || folder === null) throw new Error(problem ?? 'its holder could not be prepared');
      return Holder.start({ folder, command, cwd, env, stdin, merge, terminal, user }, handlers);
    } catch (error) {
      // Without a holder nothing releases its folder.
      if (folder !== null) rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** Undefined before it was started. */
  get pid(): number | undefined {
    return this.#job?.pid;
  }
  /** Null when there is no holder, or none any more. */
  get holder(): ProcessIdentity | null {
    return this.#holder?.identity ?? null;
  }
  get holderFolder(): string | null {
    return this.#holder?.folder ?? null;
  }
  /** Output that was read and not reported, because its secrets are unknown. */
  get withheldBytes(): number {
    return this.#streams.reduce((sum, { withheldBytes }) => sum + withheldBytes, 0);
  }
  /** The leader has ended; its output may still be pending. */
  get ended(): boolean {
    return this.#exit !== null || this.#done;
  }

  /**
   * Signals every process of the job. False when there is none. A shell in a terminal ignores
   * SIGTERM, and ends when its terminal hangs up.
   */
  signal(signal: NodeJS.Signals): boolean {
    const signalled = this.#signalAll(signal);
    if (signal === 'SIGTERM' && this.#options.terminal) this.#signalAll('SIGHUP');
    return signalled;
  }

  #signalAll(signal: NodeJS.Signals): boolean {
    if (!this.#job || !this.#tree) {
      if (this.#done) return false;
      this.#earlySignals.push(signal); // CH5
      return true;
    }
    this.#tree.sample();
    const { user } = this.#options;
    const leader = this.#job.pid;
    // JU3. A group that has a process of another user is not signalled as a whole.
    const wholeGroup = user === null || listProcesses().every(({ pid, group }) => group !== leader || mayBelongTo(user, pid));
    const signalled = wholeGroup && send(-leader, signal);
    const others = this.#tree.living().filter(({ pid, group }) => !(wholeGroup && group === leader) && mayBelongTo(user, pid));
    for (const { pid } of others) send(pid, signal);
    return signalled || others.length > 0;
  }

  /** The living processes of the job. Zombies do not count: without an init they stay forever. */
  living(): JobProcess[] {
    return this.#tree?.living() ?? [];
  }

  /** Does not wait any longer for the end of a job that was killed. */
  giveUp(): void {
    this.#leaderGone('not_stopped');
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
    return !this.#inputWaits && (this.#stdin?.writableLength ?? 0) < STDIN_BACKLOG_BYTES_MAX;
  }

  /** Writes to the job's stdin. False when it is closed. */
  write(bytes: Buffer): boolean {
    if (!this.#stdin?.writable) return false;
    this.#stdin.write(bytes);
    return true;
  }

  /** Its stdin was ended, or is about to end. */
  get inputEnded(): boolean {
    return this.#inputEnded;
  }

  /** Ends the job's stdin, after what was written. TTY7: types Ctrl-D into a terminal. */
  endInput(): void {
    if (this.#options.terminal) return void this.write(CTRL_D);
    if (!this.takesInput || this.#inputEnded) return;
    this.#inputEnded = true;
    const end = () => this.#holder?.endInput();
    if (!this.#stdin?.writable) return end();
    this.#stdin.once('close', end);
    this.#stdin.end();
  }

  /** Null, or why the terminal keeps its size. */
  resize(size: TerminalSize): string | null {
    if (!this.#terminal || this.ended) return null;
    this.#terminal.resize(size);
    if (this.#job) return resizeTerminal(this.#job.pid, size);
    this.#earlySize = size;
    return null;
  }

  /** What the program asked its terminal. Without a reader the answer is dropped, as by any terminal. */
  #reply(text: string): void {
    if (this.#stdin) this.write(Buffer.from(text));
    else if (this.#earlyReplies.length < EARLY_REPLIES_CHARS_MAX) this.#earlyReplies += text;
  }

  /** Lets the holder go. Only when the end is recorded. */
  release(): void {
    this.#holder?.release();
  }

  #started(job: ProcessIdentity): void {
    this.#job = job;
    this.#tree = new JobTree(job, this.holder?.pid ?? null, this.#options.mark, this.holderFolder);
    this.#sampling = setInterval(() => this.#tree?.sample(), TREE_SAMPLE_MS);
    this.#options.handlers.started(job);
    this.resume('not_started');
    for (const signal of this.#earlySignals.splice(0)) this.signal(signal);
    if (this.takesInput) this.#openStdin();
    const { terminal, source } = this.#options;
    if (this.#earlySize) resizeTerminal(job.pid, this.#earlySize);
    else if (terminal && source.kind === 'adopt') this.#redraw(job, terminal);
  }

  /**
   * The program draws its screen again when its size changes, and for no other reason. The emulator
   * of this wrapper has the last screen that the earlier one saved, and lacks what came after it.
   */
  #redraw({ pid }: ProcessIdentity, size: TerminalSize): void {
    const { cols, rows } = size;
    resizeTerminal(pid, { cols: cols > 1 ? cols - 1 : 2, rows });
    setTimeout(() => {
      if (!this.ended) resizeTerminal(pid, this.#terminal?.size ?? size);
    }, REDRAW_PAUSE_MS);
  }

  /** Input that came before the given file was copied would land in the middle of it. */
  #openStdin(): void {
    if (this.ended) return this.#inputMayGoOn();
    if (!this.#holder?.isFed) {
      setTimeout(() => this.#openStdin(), PIPES_CHECK_MS);
      return;
    }
    const stdin = this.#holder.input();
    // The job closed its end; `write` reports it from now on.
    stdin?.on('error', () => stdin.destroy());
    stdin?.on('drain', () => this.#options.handlers.inputHasRoom());
    stdin?.on('close', () => this.#options.handlers.inputHasRoom());
    this.#stdin = stdin;
    if (this.#earlyReplies !== '') this.write(Buffer.from(this.#earlyReplies));
    this.#inputMayGoOn();
  }

  #inputMayGoOn(): void {
    this.#inputWaits = false;
    this.#options.handlers.inputHasRoom();
  }

  #leaderGone(end: JobEnd | 'unknown' | 'not_stopped' | 'not_executed'): void {
    if (this.#exit || this.#done) return;
    this.#exit = end;
    if (this.#sampling) clearInterval(this.#sampling);
    this.resume('not_started');
    this.#options.handlers.leaderGone();
    this.#watchPipes();
    this.#concludeWhenClosed();
  }

  /** CH6 */
  #lost(): void {
    const job = this.#job;
    if (!job) return this.#leaderGone('unknown');
    const check = setInterval(() => {
      if (isAlive(job)) return;
      clearInterval(check);
      this.#leaderGone('unknown');
    }, GONE_CHECK_MS);
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
    const exit = this.#exit;
    if (exit === 'not_executed') {
      return this.#finish({ kind: 'not_started', message: 'the command could not be executed; its stderr says why' });
    }
    this.#finish(typeof exit === 'string' ? { kind: exit, pipesLeftOpen } : { kind: 'exited', ...exit, pipesLeftOpen });
  }

  #finish(exit: ChildExit): void {
    if (this.#done) return;
    this.#done = true;
    for (const stream of this.#streams) stream.end();
    this.#terminal = null;
    this.#stdin?.destroy();
    this.#inputMayGoOn();
    this.#options.handlers.exited(exit); // CH1
  }
}

/** False when there is no such process, or it may not be signalled. */
function send(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    // A stopped process (SIGSTOP, ^Z) handles no other signal before it continues.
    process.kill(pid, 'SIGCONT');
    return true;
  } catch {
    return false;
  }
}
