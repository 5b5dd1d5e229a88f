/**
 * The job of a run, from its begin on: its process, its agent's event stream, what it is given to read, and when it has to wait.
 *
 * Owns: the child, the agent stream, how it is made to stop (job-stop). Does not own: when it begins or ends, and what follows from that (supervisor).
 *
 *   SV2  That it begins is on the medium before there is a process: not even a loss of power makes a later boot run the command again.
 *   SV4  The terminal fact is the last event: what the agent still says comes before `exited`.
 *   SV7  Its command, and why it could not be started, may hold a secret: both are redacted before anyone hears of them.
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
import { JobStop } from './stop.ts';

export interface JobOptions {
  run: RunOptions;
  times: WrapperTimes;
  redaction: Redaction | null;
  /** What the job is told about itself. */
  terms: JobTerms | null;
  spool: Spool;
  report: Report;
  /** Once, after the last event of the job has been appended. */
  exited(job: Job, exit: ChildExit): void;
}

export class Job {
  readonly #options: JobOptions;
  readonly #child: Child;
  readonly stop: JobStop;
  #agent: AgentStream | null = null;

  /** Starts the process. Null, and nothing is started: it can not be noted that the job begins (SV2). */
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
      // With events before the job's first there is no telling which lines they held: a spool that a crash of the host took back in time.
      lines: spool.nextSeq === 1 ? new LineNumbers() : null,
      redaction,
      stdin,
      pipes,
      tee,
      times,
      handlers: {
        output: (line) => report.output(line),
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
  /** The leader of its group is gone; output of it may still be under way. */
  get ended(): boolean {
    return this.#child.ended;
  }

  /** Reports that it runs, and follows its agent. False when it could not be started: `exited` says why. */
  announce(): boolean {
    const { run, spool, report } = this.#options;
    const { pid } = this.#child;
    if (pid === undefined) return false;
    const { job } = spool.state;
    job.pid = pid;
    job.start = identityOf(pid)?.start ?? null;
    report.save();
    run.log.fact('started', { pid });
    report.event('started', { pid, command: run.command.map((argument) => report.redacted(argument)) }); // SV7
    this.#followAgent();
    return true;
  }

  /** Text for its stdin. What does not go there is said in the log, because whoever sent it can not know. */
  input(text: string): void {
    const { report } = this.#options;
    const failure = this.#child.write(text);
    if (failure === 'closed') report.event('status', { message: 'input was not delivered: the stdin of the job is closed' });
    if (failure === 'not_read') report.event('status', { message: 'input was not delivered: the job does not read its stdin' });
  }

  /** The spool takes no more for now, or does again. */
  pause(paused: boolean): void {
    if (paused) this.#child.pause('spool');
    else this.#child.resume('spool');
    this.#agent?.rest('paused', paused);
  }

  /** While there is no connection the agent's silence is no sign of anything. */
  connected(up: boolean): void {
    this.#agent?.rest('ingest_down', !up);
  }

  /** Its agent is not followed any more, whatever is on its way. */
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
    this.#options.exited(this, exit.kind === 'not_started' ? { ...exit, message: report.redacted(exit.message) } : exit); // SV7
  }
}
