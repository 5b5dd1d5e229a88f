/**
 * The job of a run, from its start or its adoption: its process, its agent's event stream, its
 * input, and its pauses.
 *
 * Owns: the child, the agent stream, how it is stopped (stop). Does not own: when it begins or
 * ends, and what follows (supervisor).
 *
 *   SV2  The start is synced to disk before the process exists: even after a power loss no later
 *        boot runs the command again.
 *   SV4  The terminal fact is the last event: remaining agent events come before `exited`.
 *   SV7  Its command and the reason it could not be started may contain a secret: both are redacted
 *        before they are reported.
 *   SV10 A job that an earlier wrapper started continues (G10). What that wrapper had read and not
 *        stored is missing, which a gap reports. Its output is read only when its secrets are
 *        known.
 */

import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AgentFormat } from '../../agent/index.ts';
import {
  type AnswerCommandData,
  FEATURE_BYTES,
  type JobTerms,
  type JsonObject,
  mayAsk,
  type TerminalSize,
} from '../../protocol/index.ts';
import { LineNumbers } from '../output/line-numbers.ts';
import type { Redaction } from '../output/redaction.ts';
import type { ProcessIdentity } from '../processes.ts';
import type { Report } from '../run/report.ts';
import type { RunOptions } from '../run-options.ts';
import { isDiskFull } from '../spool/files.ts';
import type { Spool } from '../spool/spool.ts';
import type { WrapperTimes } from '../times.ts';
import { AgentStream } from './agent-stream.ts';
import { Child, type ChildExit, type ChildOptions, jobEnvironment } from './child.ts';
import type { EndFacts } from './end.ts';
import type { HeldJob } from './holder.ts';
import { holderFolder, letThrough, makeHolderFolder, outputPipeIds } from './holder-folder.ts';
import type { JobInput } from './input.ts';
import { MemoryWatch } from './memory.ts';
import { type QuestionFact, Questions } from './questions.ts';
import { JobStop } from './stop.ts';
import { terminalEnvironment } from './terminal.ts';
import { type JobProcess, type Mark, maySignal, processNames } from './tree.ts';
import type { JobUser } from './user.ts';

const LEFT_CHECK_MS = 50;
const MEMORY_CHECK_MS = 1000;

export interface JobOptions {
  run: RunOptions;
  times: WrapperTimes;
  redaction: Redaction | null;
  /** What the job learns about its execution from its environment. */
  terms: JobTerms | null;
  /** By which the processes of the job are recognised. Null: its environment has no mark. */
  mark: Mark | null;
  spool: Spool;
  report: Report;
  /** Called when the job's stdin has room again. */
  inputHasRoom(): void;
  /** Called once, after the last event of the job has been appended. */
  exited(job: Job, exit: ChildExit, facts: EndFacts): void;
}

export class Job {
  readonly #options: JobOptions;
  readonly #child: Child;
  readonly stop: JobStop;
  readonly #memory = new MemoryWatch();
  readonly #memoryCheck: NodeJS.Timeout;
  #outOfMemory = false;
  #agent: AgentStream | null = null;
  /** Null: its agent cannot ask, or could not be answered. */
  readonly #questions: Questions | null = null;
  #isPaused = false;
  #isConnected = true;
  #inputRefused = false;

  /**
   * Starts the process. Returns null and starts nothing when the disk cannot be written: the start
   * must be recorded first (SV2).
   */
  static begin(options: JobOptions): Job | null {
    const { run, terms, spool, report } = options;
    const { job } = spool.state;
    const user = run.user ?? null;
    const prepared = prepareHolder(spool.directory, user);
    if (prepared === 'disk_full') return null;
    job.begun = true;
    if (!report.save({ durable: true })) {
      job.begun = false;
      return null;
    }
    const { command, cwd, env, jobEnv, stdin } = run;
    const merge = run.merge === true || spool.state.terms?.merge === true;
    const terminal = spool.state.terms?.terminal ?? null;
    const environment = jobEnvironment(env, jobEnv ?? {}, terms, user);
    return new Job(options, {
      source: {
        kind: 'start',
        start: {
          command,
          cwd,
          env: terminal ? terminalEnvironment(environment, jobEnv ?? {}) : environment,
          // TTY5
          stdin: terminal ? { file: null, open: true } : stdin,
          merge,
          ...prepared,
        },
      },
      // With events before the job's first, the number of earlier lines is unknown: a host crash
      // took the spool back in time.
      lines: spool.nextSeq === 1 ? new LineNumbers() : null,
      withholds: false,
    });
  }

  /** Takes over a job that an earlier wrapper began (SV10). `secretsKnown`: see there. */
  static adopt(options: JobOptions, held: HeldJob, secretsKnown: boolean): Job {
    const { run, report, spool } = options;
    const wasRead = spool.state.job.pid !== null;
    const foundSeq = spool.nextSeq;
    // An older coordinator accepts no `null` here.
    const bytes = spool.state.terms?.features.length ? null : 0;
    if (wasRead) report.event('gap', { events: 0, bytes, unknown: true, reason: 'wrapper_restarted' });
    const job = new Job(options, {
      source: { kind: 'adopt', held, openStdin: spool.state.job.holder?.openStdin ?? run.stdin.open },
      lines: wasRead ? null : new LineNumbers(),
      withholds: !secretsKnown,
    });
    job.#resumeQuestions(foundSeq);
    return job;
  }

  private constructor(options: JobOptions, how: Pick<ChildOptions, 'source' | 'lines' | 'withholds'>) {
    this.#options = options;
    const { run, times, redaction, report, mark } = options;
    this.#memoryCheck = setInterval(() => this.#checkMemory(), MEMORY_CHECK_MS);
    this.#child = new Child({
      ...how,
      mark,
      user: run.user ?? null,
      format: run.format,
      exact: keepsBytes(options),
      terminal: options.spool.state.terms?.terminal ?? null,
      redaction,
      tee: run.tee,
      times,
      handlers: {
        output: (line) => report.output(line),
        ...(mayAsk(run.format) ? { agentLine: (line) => this.#readQuestions(line) } : {}),
        screen: (line) => report.screen(line),
        started: (job) => this.#started(job),
        inputHasRoom: () => options.inputHasRoom(),
        leaderGone: () => this.stop.leaderGone(),
        exited: (exit) => void this.#exited(exit),
      },
    });
    this.stop = new JobStop(this.#child, times);
    if (mayAsk(run.format) && this.#child.takesInput) this.#questions = this.#openQuestions();
    this.#recordHolder();
  }

  /** Undefined when it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }
  /** The leader of its group has ended; its output may still be pending. */
  get ended(): boolean {
    return this.#child.ended;
  }

  /** Whether its stdin takes more now. */
  get inputHasRoom(): boolean {
    return this.#child.inputHasRoom;
  }

  /**
   * For its stdin. That it was not delivered is reported in the log, once, because the sender of
   * the input cannot see it and a stdin that is closed stays closed.
   */
  input({ bytes, eof }: JobInput): void {
    if (bytes.length > 0 && !this.#child.write(bytes) && !this.#inputRefused) {
      this.#inputRefused = true;
      this.#options.report.event('status', { message: 'input was not delivered: the stdin of the job is closed' });
    }
    if (eof) this.#child.endInput();
  }

  /**
   * The answer to a question of its agent. An agent that has stopped waiting reads nothing; the log
   * says so.
   */
  answer(data: AnswerCommandData): void {
    const outcome = this.#questions?.answer(data) ?? { kind: 'not_asking' };
    if (outcome.kind === 'not_asking') {
      const message = 'an answer was not passed on: the agent had stopped waiting for it';
      return this.#options.report.event('status', { message });
    }
    if (outcome.kind === 'waits') return;
    this.input({ bytes: Buffer.from(outcome.text), eof: false });
    this.#reportQuestions(this.#questions?.written() ?? []);
  }

  #openQuestions(): Questions {
    const { run, spool, report } = this.#options;
    return new Questions({
      format: run.format as AgentFormat,
      folder: spool.directory,
      redacted: (text) => report.redacted(text),
      nextSeq: () => spool.nextSeq,
      isStdinOpen: () => !this.#child.inputEnded,
      isLogFull: () => report.isLogFull,
      hasRoom: (bytes) => report.hasRoomForQuestions(bytes),
      problem: (message) => run.log.problem(message),
    });
  }

  #resumeQuestions(foundSeq: number): void {
    const { facts = [], unsure = [] } = this.#questions?.resume(foundSeq) ?? {};
    // First, because their seqs are noted (QU2).
    this.#reportQuestions(facts);
    for (const question of unsure) {
      const message = `the wrapper was killed while it passed an answer on; the agent may not have it. The question was: ${question}`;
      this.#options.report.event('status', { message });
    }
  }

  #readQuestions(line: JsonObject): () => void {
    const facts = this.#questions?.read(line) ?? [];
    return () => this.#reportQuestions(facts);
  }

  #reportQuestions(facts: readonly QuestionFact[]): void {
    const { report, run } = this.#options;
    for (const { type, data } of facts) report.event(type, { ...data });
    const refused = this.#questions?.takeRefused() ?? [];
    for (const { reply, message } of refused) {
      if (message !== null) {
        run.log.problem(message);
        report.event('status', { message });
      }
      if (reply !== null) this.input({ bytes: Buffer.from(reply), eof: false });
    }
    if (refused.length > 0) this.#reportQuestions(this.#questions?.written() ?? []);
  }

  resize(size: TerminalSize): void {
    const problem = this.#child.resize(size);
    if (problem !== null) this.#options.run.log.problem(`the terminal keeps its size: ${problem}`);
  }

  /** Called when the spool is full, and again when it accepts events. */
  pause(paused: boolean): void {
    this.#isPaused = paused;
    if (paused) this.#child.pause('spool');
    else this.#child.resume('spool');
    this.#agent?.rest('paused', paused);
  }

  /** While there is no connection, the agent's silence means nothing. */
  connected(up: boolean): void {
    this.#isConnected = up;
    this.#agent?.rest('ingest_down', !up);
  }

  /** Stops following the agent and drops pending events. */
  leaveAgent(): void {
    this.#agent?.stop();
  }

  /** Lets its holder go. Only when its end is recorded. */
  release(): void {
    this.#child.release();
  }

  #recordHolder(): void {
    const { holder, holderFolder: folder, takesInput: openStdin } = this.#child;
    if (!holder || folder === null) return;
    const { job } = this.#options.spool.state;
    job.holder = { version: 1, folder, ...holder, openStdin };
    job.pipes = outputPipeIds(folder);
    this.#options.report.save();
  }

  /** Also called for a job that was adopted, which may have been reported before. */
  #started({ pid, start }: ProcessIdentity): void {
    const { run, spool, report } = this.#options;
    const { job } = spool.state;
    if (job.pid === null) {
      job.pid = pid;
      job.start = start;
      report.save();
      run.log.fact('started', { pid });
      // SV7
      const terminal = spool.state.terms?.terminal;
      report.event('started', {
        pid,
        command: run.command.map((argument) => report.redacted(argument)),
        ...(terminal ? { terminal } : {}),
      });
    }
    this.#followAgent();
  }

  #followAgent(): void {
    const { run, times, redaction, report } = this.#options;
    if (!run.sse) return;
    this.#agent = new AgentStream({
      url: run.sse,
      times,
      log: run.log,
      redaction,
      emit: (line) => report.output(line),
    });
    // Both may have changed between the start of the holder and that of the job.
    this.#agent.rest('paused', this.#isPaused);
    this.#agent.rest('ingest_down', !this.#isConnected);
    this.#agent.start();
  }

  /** One process of several is often killed first, and the job continues. */
  #checkMemory(): void {
    const kills = this.#memory.takeKills();
    if (kills === 0) return;
    this.#outOfMemory = true;
    const processes = kills === 1 ? 'a process' : `${kills} processes`;
    const message = `memory ran out: the kernel killed ${processes} of the control group of this job`;
    this.#options.run.log.problem(message);
    this.#options.report.event('status', { message });
  }

  async #exited(exit: ChildExit): Promise<void> {
    await this.#agent?.finish(); // SV4
    clearInterval(this.#memoryCheck);
    this.#reportQuestions(this.#questions?.jobEnded() ?? []);
    if (exit.kind === 'not_started') {
      // SV7
      return this.#options.exited(this, { ...exit, message: this.#options.report.redacted(exit.message) }, {});
    }
    this.#checkMemory();
    const left = await this.#leftRunning();
    this.#sayLeft(left, exit);
    const { report } = this.#options;
    const { withheldBytes } = this.#child;
    if (withheldBytes > 0) report.event('gap', { events: 0, bytes: withheldBytes, reason: 'secrets_unknown' });
    const facts = { left: this.stop.asked && left.length > 0 ? this.#stillRunning(left) : null, outOfMemory: this.#outOfMemory };
    this.#options.exited(this, exit, facts);
  }

  /** What is left of the job. After a request to stop, what is left when it had its last signal. */
  async #leftRunning(): Promise<JobProcess[]> {
    while (this.stop.hasPendingSignals) await new Promise((resolve) => setTimeout(resolve, LEFT_CHECK_MS));
    if (!this.stop.asked) return this.#child.living();
    // A killed process needs a moment to end.
    for (let checks = 0; checks < 10 && this.#child.living().some(({ pid }) => maySignal(pid)); checks += 1) {
      await new Promise((resolve) => setTimeout(resolve, LEFT_CHECK_MS));
    }
    return this.#child.living();
  }

  #sayLeft(left: readonly JobProcess[], { pipesLeftOpen }: Exclude<ChildExit, { kind: 'not_started' }>): void {
    const { run, report } = this.#options;
    let message: string;
    if (left.length === 0) {
      if (!pipesLeftOpen) return;
      message = 'the job has ended, but something it started keeps its output open; no more of that is recorded';
    } else if (this.stop.asked) {
      message = this.#stillRunning(left);
      run.log.problem(message);
    } else {
      const processes = left.length === 1 ? 'a process' : `${left.length} processes`;
      message = `the job has ended and left ${processes} running: ${this.#names(left)}`;
      if (pipesLeftOpen) message += '; what they print is not recorded any more';
    }
    report.event('status', { message });
  }

  #stillRunning(left: readonly JobProcess[]): string {
    const denied = left.filter(({ pid }) => !maySignal(pid));
    const others = left.filter(({ pid }) => maySignal(pid));
    return [
      ...(denied.length > 0 ? [`may not signal ${this.#names(denied)} (EPERM)`] : []),
      ...(others.length > 0 ? [`could not stop ${this.#names(others)}`] : []),
    ].join('; ');
  }

  /** SV7 */
  #names = (processes: readonly JobProcess[]): string => this.#options.report.redacted(processNames(processes));
}

/**
 * Whether output that is not UTF-8 is kept: if the wrapper's options or the start ask for it, and
 * the coordinator can show it.
 */
function keepsBytes({ run, spool }: JobOptions): boolean {
  const { terms } = spool.state;
  if (run.output !== 'bytes' && terms?.output !== 'bytes') return false;
  if (terms?.features.includes(FEATURE_BYTES)) return true;
  run.log.problem('output that is not UTF-8 is replaced by U+FFFD: this coordinator is too old for --output bytes; upgrade it');
  return false;
}

/**
 * The folder of its holder: in the spool, or else among the temporary files. `disk_full`: neither
 * has room now.
 */
function prepareHolder(spool: string, user: JobUser | null): 'disk_full' | { folder: string } | { folder: null; why: string } {
  const usual = holderFolder(spool);
  const errors: unknown[] = [];
  for (const folder of [usual, join(tmpdir(), `holdfast-${randomUUID()}`)]) {
    try {
      makeHolderFolder(folder, user);
      if (user && folder === usual) letThrough(spool);
      return { folder };
    } catch (error) {
      errors.push(error);
    }
  }
  if (errors.some(isDiskFull)) return 'disk_full';
  return { folder: null, why: `named pipes cannot be created in ${usual} or in ${tmpdir()}: ${(errors[0] as Error).message}` };
}
