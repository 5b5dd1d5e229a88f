/**
 * The holder: a small shell process between the wrapper and the job. It starts the job, keeps its
 * pipes open and notes how it ended, so that the job outlives its wrapper (G10) and its end is the
 * one that the system reported. This is the wrapper's side: it starts a holder, or takes one over
 * that an earlier wrapper started.
 *
 * Owns: this process's ends of the pipes. Does not own: the bytes (child), the signals (stop).
 *
 *   HO1  The notes on disk are the truth; the pipe `events` only says when to read them. What an
 *        earlier wrapper read from it is therefore not missed.
 *   HO2  A holder is known by pid and start, or by the path of its folder among its arguments.
 *   HO3  It stays until it is released, so its exit is never mistaken for the job's.
 *   HO4  A spool may be moved or copied while its job runs. The holder belongs to the copy that has
 *        its pipes.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { chownSync, closeSync, existsSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import type { TerminalSize } from '../../protocol/index.ts';
import { identityOf, isAlive, listProcesses, openPipes, type ProcessIdentity, signalProcess, startOfStat } from '../processes.ts';
import type { SpoolState } from '../spool/state.ts';
import {
  couldNotExecute,
  endKeeper,
  holderFolder,
  isFed,
  type JobEnd,
  openPipe,
  outputPipeIds,
  type Pipe,
  readHolderPid,
  readJobEnd,
  readJobNote,
  writeLine,
} from './holder-folder.ts';
import { holderCommand, holderProgram, terminalProgram, terminalScript } from './holder-script.ts';
import { programPath } from './programs.ts';
import { asUserIn, type JobUser } from './user.ts';

const SHELL = '/bin/sh';
/** How soon the death of a holder that is not a child of this process is noticed. */
const CHECK_MS = 250;

export interface HolderOptions {
  /** Made by `makeHolderFolder`. */
  folder: string;
  command: readonly string[];
  cwd: string | null;
  env: NodeJS.ProcessEnv;
  stdin: {
    /** A path, or the number of an open file. */
    file: string | number | null;
    open: boolean;
  };
  /** Both streams in one pipe, in the order in which they were written. */
  merge: boolean;
  /** Null: the job has pipes. */
  terminal: TerminalSize | null;
  /** Null: the one of this process. */
  user: JobUser | null;
}

export interface HolderHandlers {
  /** The job has a process. Called at once for a job that was taken over. */
  started(job: ProcessIdentity): void;
  /** The process of the job has ended. Its output may be pending. */
  ended(end: JobEnd): void;
  /** The command could not be executed. Nothing ran. */
  failed(): void;
  /** The holder was killed. How the job ends will not be known. */
  lost(): void;
}

/** A job that the wrapper finds when it starts. */
export interface HeldJob {
  folder: string;
  holder: ProcessIdentity | null;
  /** Null: neither its note nor the spool's state has it. */
  job: ProcessIdentity | null;
  /** Noted by the holder; null while it runs. */
  end: JobEnd | null;
}

/**
 * The job that is held for this spool. Null: there is neither a holder nor an end that one has
 * noted. `state`: of the spool; null when that is unknown.
 */
export function findHeldJob(spool: string, state: SpoolState['job'] | null): HeldJob | null {
  const record = state?.holder ?? null;
  const own = holderFolder(spool);
  const isElsewhere = record !== null && record.folder !== own && existsSync(own);
  const folder = record === null || isElsewhere ? own : record.folder;
  const known = record && isAlive(record) ? { pid: record.pid, start: record.start } : null;
  const holder = known ? (holdsPipesOf(folder, known.pid, isElsewhere) ? known : null) : findHolder(folder);
  const end = readJobEnd(folder, holder?.pid ?? null);
  if (!holder && !end) return null;
  const { pid = null, start = null } = state ?? {};
  const recorded = pid === null || start === null ? null : { pid, start };
  return { folder, holder, job: recorded ?? notedJob(folder) ?? (holder && sessionOf(holder)), end };
}

function notedJob(folder: string): ProcessIdentity | null {
  const note = readJobNote(folder);
  if (!note) return null;
  const start = note.stat === '' ? identityOf(note.pid)?.start : startOfStat(note.stat);
  return { pid: note.pid, start: start ?? 'unknown' };
}

/** The child that has a session of its own: the job, when the folder with its note was removed. */
function sessionOf({ pid }: ProcessIdentity): ProcessIdentity | null {
  const job = listProcesses().find((each) => each.parent === pid && each.session === each.pid);
  return job ? identityOf(job.pid) : null;
}

/** HO4. A holder without a folder is this spool's when its record says where the folder was. */
function holdsPipesOf(folder: string, pid: number, isElsewhere: boolean): boolean {
  const [pipe] = outputPipeIds(folder);
  if (pipe === undefined) return !isElsewhere;
  const open = openPipes(pid);
  return open.size === 0 || open.has(pipe);
}

function findHolder(folder: string): ProcessIdentity | null {
  const pid = readHolderPid(folder);
  const isHolder = (command: string) => command.startsWith(holderCommand(folder));
  const found = listProcesses().find((each) => (pid === null || each.pid === pid) && isHolder(each.command));
  return found ? identityOf(found.pid) : null;
}

export class Holder {
  readonly folder: string;
  readonly #process: ChildProcess | null;
  readonly #handlers: HolderHandlers;
  #identity: ProcessIdentity | null;
  #events: Socket | null = null;
  #check: NodeJS.Timeout | null = null;
  #job: ProcessIdentity | null = null;
  /** Of a job that was taken over. */
  readonly #known: ProcessIdentity | null;
  #over = false;

  /** Throws when no process was started. */
  static start(options: HolderOptions, handlers: HolderHandlers): Holder {
    const { folder, command, cwd, env, stdin, merge, terminal, user } = options;
    if (terminal) writeTerminalProgram(options, terminal);
    const opened = typeof stdin.file === 'string' ? openForReading(stdin.file) : stdin.file;
    const notice = openSync(join(folder, 'notice'), 'r+');
    try {
      const args = [
        holderProgram(folder),
        'hold',
        folder,
        stdin.open ? 'open' : 'given',
        merge ? '8' : '9',
        terminal ? 'terminal' : newSession(),
        executor(env),
        ...(terminal ? [] : command),
      ];
      const program = [SHELL, ...args];
      // A user may be unable to enter a folder that this process can enter, and the reverse.
      const [file = SHELL, ...rest] = user ? asUserIn(user, cwd ?? process.cwd(), program) : program;
      const child = spawn(file, rest, {
        cwd: user ? '/' : (cwd ?? undefined),
        env,
        detached: true,
        stdio: [opened ?? 'ignore', 'ignore', notice],
      });
      child.on('error', () => {});
      if (child.pid === undefined) throw new Error(`${SHELL} could not be started`);
      return new Holder(folder, identityOf(child.pid), child, handlers);
    } finally {
      closeSync(notice);
      if (typeof stdin.file === 'string' && opened !== null) closeSync(opened);
    }
  }

  static adopt({ folder, holder, job }: HeldJob, handlers: HolderHandlers): Holder {
    return new Holder(folder, holder, null, handlers, job);
  }

  private constructor(
    folder: string,
    identity: ProcessIdentity | null,
    child: ChildProcess | null,
    handlers: HolderHandlers,
    known: ProcessIdentity | null = null,
  ) {
    this.#known = known;
    this.folder = folder;
    this.#identity = identity;
    this.#process = child;
    this.#handlers = handlers;
  }

  /** Null: it has ended, and its job with it. */
  get identity(): ProcessIdentity | null {
    return this.#identity;
  }

  /** Begins to report. Call once, after the streams were opened. */
  watch(): void {
    this.#process?.on('exit', () => this.#look());
    this.#process?.unref();
    this.#events = this.#open('events');
    this.#events?.on('data', () => this.#look());
    this.#events?.on('error', () => {});
    this.#check = setInterval(() => this.#look(), CHECK_MS);
    queueMicrotask(() => this.#look());
  }

  /** An output of the job as a stream, which then owns it. Null: it is gone, with the holder. */
  output(name: 'out' | 'err'): Socket | null {
    const socket = this.#open(name);
    // Linux shows the end of a pipe only to a reader that was there before its last writer. After
    // the end of the job this is that writer. Before the holder has opened its writing ends, it
    // would be the only writer, and the reader would see an end before any output.
    if (socket && this.#hasBegun) this.#touch(name);
    return socket;
  }

  /** The holder has opened its pipes. Only then does it note the job. */
  get #hasBegun(): boolean {
    return readJobNote(this.folder) !== null || !existsSync(this.folder);
  }

  /** The job's stdin. Null: the job has closed it, or has none. */
  input(): Socket | null {
    try {
      return new Socket({ fd: openPipe(this.folder, 'in', 'write', this.#pid), readable: false, writable: true });
    } catch {
      return null;
    }
  }

  /** The stdin that was given at the start has been copied. */
  get isFed(): boolean {
    return isFed(this.folder);
  }

  /** No more input: the keeper of the job's stdin ends. */
  endInput(): void {
    endKeeper(this.folder, this.#pid);
  }

  /**
   * HO3. The holder ends, and its folder is removed. What descendants of the job still print is
   * read and dropped as long as there are any, so that they get no SIGPIPE. The keeper of the job's
   * stdin does not notice the end of a holder that was killed.
   */
  release(): void {
    this.#stop();
    writeLine(this.folder, 'release', this.#pid);
    this.endInput();
    rmSync(this.folder, { recursive: true, force: true });
  }

  get #pid(): number | null {
    return this.#identity?.pid ?? null;
  }

  #open(name: Pipe): Socket | null {
    try {
      return new Socket({ fd: openPipe(this.folder, name, 'read', this.#pid), readable: true, writable: false });
    } catch {
      return null;
    }
  }

  #touch(pipe: Pipe): void {
    try {
      closeSync(openPipe(this.folder, pipe, 'write', this.#pid));
    } catch {
      // There is no reader, so no program waits for the end.
    }
  }

  /** HO1 */
  #look(): void {
    if (this.#over) return;
    if (!this.#job) {
      this.#job = this.#known ?? notedJob(this.folder);
      if (this.#job && !couldNotExecute(this.folder)) this.#handlers.started(this.#job);
    }
    const alive = this.#identity !== null && isAlive(this.#identity);
    const end = readJobEnd(this.folder, alive ? this.#pid : null);
    if (!end && alive) return this.#wake();
    this.#stop();
    if (!end) this.#handlers.lost();
    else if (couldNotExecute(this.folder) || this.#neverBegan) this.#handlers.failed();
    else this.#handlers.ended(end);
  }

  /** The job's first act is its note. Without it `setsid` failed, for example. */
  get #neverBegan(): boolean {
    return !this.#job && existsSync(this.folder);
  }

  /** A holder that was stopped (SIGSTOP) would never note the end of its job. */
  #wake(): void {
    if (this.#identity && this.#job && !isAlive(this.#job)) signalProcess(this.#identity, 'SIGCONT');
  }

  #stop(): void {
    this.#over = true;
    if (this.#check) clearInterval(this.#check);
    this.#events?.destroy();
  }
}

/** The command has no other way into the terminal than a file. */
function writeTerminalProgram({ folder, env, command, user }: HolderOptions, size: TerminalSize): void {
  const path = terminalProgram(folder);
  writeFileSync(path, terminalScript(folder, size, executor(env), command, env), { mode: 0o600 });
  if (user) chownSync(path, user.uid, user.gid);
}

/** Ends a holder whose job no wrapper will report any more. */
export const releaseHolder = (held: HeldJob): void =>
  Holder.adopt(held, { started() {}, ended() {}, failed() {}, lost() {} }).release();

/** A file that cannot be read counts as empty. */
function openForReading(path: string): number | null {
  try {
    return openSync(path, 'r');
  } catch {
    return null;
  }
}

/** How the job gets a session of its own: without one, `kill -9 0` in the job ends its holder. */
function newSession(): 'setsid' | 'perl' {
  if (programPath('setsid') !== null) return 'setsid';
  if (programPath('perl') !== null) return 'perl';
  throw new Error('neither setsid nor perl is installed; the job needs one of them for a session of its own');
}

/** HS9. Without /proc or perl the names are lost where `/bin/sh` is dash. */
function executor(env: NodeJS.ProcessEnv): 'sh' | 'perl' {
  const isOdd = Object.keys(env).some((name) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name));
  return isOdd && existsSync('/proc/self/environ') && programPath('env') && programPath('perl') ? 'perl' : 'sh';
}
