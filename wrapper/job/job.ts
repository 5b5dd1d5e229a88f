/**
 * The job of a run, from its start: its process, its agent's event stream, its input, and its
 * pauses.
 *
 * Owns: the child, the agent stream, how it is stopped (stop). Does not own: when it begins or
 * ends, and what follows (supervisor).
 *
 *   SV2  The start is synced to disk before the process exists: even after a power loss no later
 *        boot runs the command again.
 *   SV4  The terminal fact is the last event: remaining agent events come before `exited`.
 *   SV7  Its command and the reason it could not be started may contain a secret: both are redacted
 *        before they are reported.
 */

import type { JobTerms } from '../../protocol/index.ts';
import { LineNumbers } from '../output/line-numbers.ts';
import type { Redaction } from '../output/redaction.ts';
import { identityOf } from '../processes.ts';
import type { Report } from '../run/report.ts';
import type { RunOptions } from '../run-options.ts';
import type { Spool } from '../spool/spool.ts';
import type { WrapperTimes } from '../times.ts';
import { AgentStream } from './agent-stream.ts';
import { Child, type ChildExit, jobEnvironment } from './child.ts';
import { openOutputPipes } from './child-pipes.ts';
import type { JobInput } from './input.ts';
import { JobStop } from './stop.ts';

export interface JobOptions {
  run: RunOptions;
  times: WrapperTimes;
  redaction: Redaction | null;
  /** What the job learns about its execution from its environment. */
  terms: JobTerms | null;
  spool: Spool;
  report: Report;
  /** Called when the job's stdin has room again. */
  inputHasRoom(): void;
  /** Called once, after the last event of the job has been appended. */
  exited(job: Job, exit: ChildExit): void;
}

export class Job {
  readonly #options: JobOptions;
  readonly #child: Child;
  readonly stop: JobStop;
  #agent: AgentStream | null = null;
  #inputRefused = false;

  /** Starts the process. Returns null and starts nothing if the start cannot be recorded (SV2). */
  static begin(options: JobOptions): Job | null {
    const { job } = options.spool.state;
    job.begun = true;
    if (options.report.save({ durable: true })) return new Job(options);
    job.begun = false;
    return null;
  }

  private constructor(options: JobOptions) {
    this.#options = options;
    const { run, times, redaction, terms, spool, report } = options;
    const { command, cwd, env, jobEnv, format, stdin, tee, log } = run;
    const pipes = openOutputPipes(spool.directory, log);
    spool.state.job.pipes = pipes ? [pipes.stdout.id, pipes.stderr.id] : [];
    report.save();
    this.#child = new Child({
      command,
      cwd,
      env: jobEnvironment(env, jobEnv ?? {}, terms),
      format,
      // With events before the job's first, the number of earlier lines is unknown: a host crash
      // took the spool back in time.
      lines: spool.nextSeq === 1 ? new LineNumbers() : null,
      redaction,
      stdin,
      pipes,
      tee,
      times,
      handlers: {
        output: (line) => report.output(line),
        inputHasRoom: () => options.inputHasRoom(),
        leaderGone: () => this.stop.leaderGone(),
        exited: (exit) => void this.#exited(exit),
      },
    });
    this.stop = new JobStop(this.#child, times);
  }

  /** Undefined when it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid;
  }
  /** The leader of its group has ended; its output may still be pending. */
  get ended(): boolean {
    return this.#child.ended;
  }

  /**
   * Reports that the job runs, and follows its agent. False when it could not be started; `exited`
   * has the reason.
   */
  announce(): boolean {
    const { run, spool, report } = this.#options;
    const { pid } = this.#child;
    if (pid === undefined) return false;
    const { job } = spool.state;
    job.pid = pid;
    job.start = identityOf(pid)?.start ?? null;
    report.save();
    run.log.fact('started', { pid });
    // SV7
    report.event('started', { pid, command: run.command.map((argument) => report.redacted(argument)) });
    this.#followAgent();
    return true;
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

  /** Called when the spool is full, and again when it accepts events. */
  pause(paused: boolean): void {
    if (paused) this.#child.pause('spool');
    else this.#child.resume('spool');
    this.#agent?.rest('paused', paused);
  }

  /** While there is no connection, the agent's silence means nothing. */
  connected(up: boolean): void {
    this.#agent?.rest('ingest_down', !up);
  }

  /** Stops following the agent and drops pending events. */
  leaveAgent(): void {
    this.#agent?.stop();
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
    this.#agent.start();
  }

  async #exited(exit: ChildExit): Promise<void> {
    await this.#agent?.finish(); // SV4
    const { report } = this.#options;
    // SV7
    this.#options.exited(this, exit.kind === 'not_started' ? { ...exit, message: report.redacted(exit.message) } : exit);
  }
}
