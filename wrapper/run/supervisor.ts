/**
 * The life of one run: decides when the job begins, when it is stopped, and when the run ends.
 * Longer decisions are in the files that it calls; here is the order in which they are called.
 *
 *     start           first welcome           child's end or crash     all acked, or 4000
 *   ────────► connecting ───────► running ──────────────────► draining ──────────────► ended
 *                 │                  │ refused or settled: the child is stopped first    ▲
 *                 │                  └───────────────► stopping ─────────────────────────┤
 *                 └─── refused, settled, budget exceeded ────────────────────────────────┘
 *
 *   SV1  The child starts after the first welcome. So of two wrappers launched for one execution
 *        only the accepted one runs the command, and an execution that was interrupted while
 *        pending never runs (boot).
 *   SV2  The command runs once per spool: a boot that finds that an earlier one began it reports
 *        the crash instead (boot, job).
 *   SV3  A boot creates no event before its first welcome, because the welcome may move the
 *        numbering forward (delivery).
 *   SV4  Exactly one terminal fact is written, and it is the last event: the spool refuses what
 *        follows (job-end, report).
 *   SV5  A command of the coordinator is recorded, carried out, and acked, in this order
 *        (delivery).
 *   SV6  The spool is removed only when the coordinator has everything or has settled the
 *        execution. Otherwise it stays for another boot.
 *   SV10 When the coordinator takes late events (SPL46), the job is stopped, and the run goes on to
 *        `draining` as after any end of the job.
 *   SV9  When the execution is settled before everything was delivered, stderr says how many events
 *        its log lacks.
 *   SV7  Nothing that may contain a secret is spooled or logged unredacted: the job's output
 *        (child, agent-stream) and its command (job).
 */

import { type Command, type JobTerms, monotonicNow, type TerminalSize, type TerminalStatus } from '../../protocol/index.ts';
import type { ChildExit } from '../job/child.ts';
import {
  type EarlyStop,
  type EndFacts,
  endBySpool,
  endNotBegun,
  endOfChild,
  endOfEvent,
  exitCodeOf,
  exitCodeWhenSettled,
  type TerminalFact,
  WRAPPER_FAILED,
} from '../job/end.ts';
import { findHeldJob, type HeldJob, releaseHolder } from '../job/holder.ts';
import { removeHolderFolder } from '../job/holder-folder.ts';
import { decodeInput } from '../job/input.ts';
import type { StopSignal } from '../job/interrupt.ts';
import { Job, type JobOptions } from '../job/job.ts';
import { removeQuestionsFile } from '../job/questions.ts';
import { type Mark, markIn } from '../job/tree.ts';
import type { Log } from '../log.ts';
import { type Redaction, type RedactionReading, tooMuchToRedact } from '../output/redaction.ts';
import { environmentOf } from '../processes.ts';
import type { RunOptions } from '../run-options.ts';
import type { Recovered } from '../spool/recovery.ts';
import type { Sender } from '../spool/sender.ts';
import type { Spool, SpoolPressure } from '../spool/spool.ts';
import { settlesWithin } from '../time-limit.ts';
import { WRAPPER_TIMES, type WrapperTimes } from '../times.ts';
import type { ConnectionEnd } from '../transport/connection-loss.ts';
import { Delivery, type DeliveryHandlers } from '../transport/delivery.ts';
import { decideAtBoot } from './boot.ts';
import { drainBudgetMs, isDrainOverdue, isSpoolOverdue, isStartOverdue } from './budgets.ts';
import { killLeftovers } from './leftovers.ts';
import { LogBudget } from './log-budget.ts';
import { Report } from './report.ts';
import { stopReason } from './stop-reason.ts';

const SETTLED_BEFORE_IT_BEGAN = 'the execution had its verdict before the job began';
const TICK_MS = 250;
const GROUP_CHECK_MS = 100;
const BEGIN_RETRY_MS = 1000;
const FAILURE_SAID_MS = 60_000;
/** How soon a removed spool folder is noticed while nothing is written to it. */
const FOLDER_CHECK_MS = 1000;
/** The end does not wait longer than this for a disk that cannot be written. */
const CLOSE_WAIT_MS = 2000;

type Phase =
  | { kind: 'connecting' }
  | { kind: 'running'; job: Job }
  /**
   * The job's result is no longer wanted: it is being stopped, and the run then ends with this exit
   * code. Null: the job's own exit code.
   */
  | { kind: 'stopping'; job: Job; exitCode: number | null; keepSpool: boolean }
  | { kind: 'draining'; since: number; exitCode: number }
  | { kind: 'ended' };

export interface SupervisorOptions {
  run: RunOptions;
  /** What is secret in the job, given these further names of variables, and variables. */
  redactionOf(names: readonly string[], more?: NodeJS.ProcessEnv): RedactionReading;
  spool: Spool;
  /** Already holds the chunks that an earlier boot left in the spool. */
  sender: Sender;
  /** What an earlier boot left. */
  recovered: Pick<Recovered, 'end' | 'displacedEnd'>;
  /** An earlier boot has begun the job or left events. */
  crashed: boolean;
  /** All that the earlier boot wrote to the spool is there. */
  undamaged: boolean;
}

export class Supervisor implements DeliveryHandlers {
  readonly #options: SupervisorOptions;
  readonly #times: WrapperTimes;
  readonly #log: Log;
  readonly #spool: Spool;
  readonly #report: Report;
  readonly #delivery: Delivery;
  #phase: Phase = { kind: 'connecting' };
  /** Set from its start; descendants may outlive it. */
  #job: Job | null = null;
  #pressure: SpoolPressure = 'none';
  /** Since when no write to the spool has succeeded, and why. */
  #stuck: { since: number; why: string } | null = null;
  /** Why the job was stopped, if the spool was the cause. */
  #spoolFailed: string | null = null;
  #failureSaid = { at: Number.NEGATIVE_INFINITY, open: false };
  #folderCheckedAt = 0;
  #leftovers: string | null = null;
  /** What an earlier wrapper's job has become. Null: no holder has it. */
  #held: HeldJob | null = null;
  #earlyStop: EarlyStop | null = null;
  #signals = 0;
  #settling: NodeJS.Timeout | null = null;
  #ticker: NodeJS.Timeout | null = null;
  #resolve: (exitCode: number) => void = () => {};

  constructor(options: SupervisorOptions) {
    const { run, spool, sender } = options;
    this.#options = options;
    this.#times = { ...WRAPPER_TIMES, ...run.times };
    this.#log = run.log;
    this.#spool = spool;
    const budget = new LogBudget();
    this.#report = new Report(spool, budget, run.log);
    this.#delivery = new Delivery({ run, times: this.#times, spool, budget, sender, report: this.#report, handlers: this });
  }

  /** Call once. Resolves with the exit code of this process. */
  start(): Promise<number> {
    const ended = new Promise<number>((resolve) => {
      this.#resolve = resolve;
    });
    this.#spool.attach({
      onStored: (chunk) => this.#delivery.stored(chunk),
      onPressure: (pressure) => this.#pressed(pressure),
      onWriteFailure: (message) => this.#writeFailed(message),
      onDamage: (message) => this.#log.problem(message),
    });
    const { job, terms } = this.#spool.state;
    if (this.#options.crashed) this.#held = this.#findHeldJob();
    if (this.#spool.terminal) {
      // The earlier wrapper died between the last event and the holder's release.
      if (this.#held) releaseHolder(this.#held);
    } else if (this.#held) {
      // Nothing is lost of an undamaged spool while the system runs, so the welcome cannot move the
      // numbering (SV3), and the job need not wait for it.
      if (this.#options.undamaged) this.#adoptJob(this.#held);
    } else if (this.#options.crashed) {
      this.#leftovers = killLeftovers(job, terms?.mark ?? null, this.#options.run.user ?? null);
      if (this.#leftovers) this.#log.problem(`an earlier wrapper left its job running; ${this.#leftovers}`);
    }
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
    this.#delivery.open();
    if (this.#options.run.stopAtOnce) this.signalled('SIGTERM');
    return ended;
  }

  // ── the coordinator's side ─────────────────────────────────────────────────────────────────────

  connected(up: boolean): void {
    this.#job?.connected(up);
  }

  /** After the first welcome (SV1): what this boot must do. */
  begin(terms: JobTerms | null): void {
    if (this.#job) return; // Adopted before.
    const { run, recovered } = this.#options;
    const { spoolWasBehind } = this.#delivery;
    const { job } = this.#spool.state;
    const begun = job.begun || spoolWasBehind;
    if (spoolWasBehind) this.#held ??= this.#findHeldJob();
    const end = recovered.end && endOfEvent(recovered.end);
    const displaced = recovered.displacedEnd && endOfEvent(recovered.displacedEnd);
    const task = decideAtBoot({
      terminal: this.#spool.terminal,
      exitCode: job.exitCode ?? end?.exitCode ?? null,
      displacedEnd: displaced && { ...displaced, exitCode: job.exitCode ?? displaced.exitCode ?? WRAPPER_FAILED },
      crashed: this.#options.crashed || spoolWasBehind,
      begun,
      held: this.#held !== null,
      leftovers: this.#leftovers,
      recoverOnly: run.recoverOnly,
      earlyStop: this.#earlyStop,
    });
    switch (task.kind) {
      case 'deliver':
        this.#drain(task.exitCode);
        return;
      case 'adopt':
        if (this.#held) this.#adoptJob(this.#held);
        return;
      case 'report_crash':
        // How much output was not recorded when the wrapper died is unknown. A job that had not begun
        // and wrote nothing has no output.
        if (begun || this.#spool.nextSeq > 1)
          this.#report.event('gap', { events: 0, bytes: 0, unknown: true, reason: 'wrapper_crashed' });
        this.#log.problem(`${task.error}; it is not run again`); // SV2
        this.#conclude(task.end);
        return;
      case 'report_end':
      case 'report_stop':
        this.#conclude(task.end);
        return;
      case 'run':
        this.#beginJob(terms);
        return;
      default:
        task satisfies never;
    }
  }

  /** SPL46. A job that has not begun must not begin; one that runs ends, and reports its end. */
  late(): void {
    const phase = this.#phase;
    this.#log.fact('late', { phase: phase.kind });
    if (phase.kind === 'connecting') this.#stopEarly(SETTLED_BEFORE_IT_BEGAN, 'SIGTERM');
    if (phase.kind !== 'running') return;
    const stops = phase.job.ended ? '' : 'the job is stopped, and ';
    this.#log.problem(`the execution got its verdict while this wrapper was away: ${stops}what is left is delivered as late`);
    phase.job.stop.unwanted();
  }

  hasJob(): boolean {
    return this.#job !== null;
  }

  carryOut(command: Command): void {
    switch (command.command) {
      case 'interrupt':
        this.#interrupt(command.data);
        return;
      case 'input':
        if (this.#phase.kind === 'running') this.#phase.job.input(decodeInput(command.data));
        return;
      case 'answer':
        if (this.#phase.kind === 'running') this.#phase.job.answer(command.data);
        return;
      case 'resize':
        this.#resize(command.data);
        return;
      default:
        command satisfies never;
    }
  }

  /** Before the job begins, the terms of the welcome have the size already. */
  #resize(size: TerminalSize): void {
    const { terms } = this.#spool.state;
    if (!terms?.terminal) return;
    terms.terminal = size;
    this.#report.save();
    if (this.#phase.kind === 'running') this.#phase.job.resize(size);
  }

  /** An input waits for the job, and for the job to read. */
  takesInput(): boolean {
    return this.#phase.kind === 'running' && this.#phase.job.inputHasRoom;
  }

  /**
   * When the coordinator has everything, wait briefly for its own close (4000), so that both sides
   * see the same end.
   */
  acked(): void {
    const phase = this.#phase;
    if (phase.kind !== 'draining' || this.#settling || !this.#delivery.complete) return;
    this.#log.fact('delivered', { seq: this.#delivery.ackedSeq });
    this.#settling = setTimeout(() => void this.#finish(phase.exitCode, false), this.#times.settledWaitMs);
  }

  ended(end: ConnectionEnd): void {
    switch (end.kind) {
      case 'settled':
        this.#log.fact('settled', { status: end.status });
        this.#sayUndelivered();
        this.#stopForGood(end.status, null, false);
        return;
      case 'refused':
        this.#log.problem(`refused by the coordinator: ${end.why}`);
        this.#stopForGood(null, WRAPPER_FAILED, true);
        return;
      default:
        end satisfies never;
    }
  }

  /** SV9 */
  #sayUndelivered(): void {
    const { undelivered } = this.#delivery;
    if (undelivered === 0) return;
    const [events, are] = undelivered === 1 ? ['event was', 'it is'] : ['events were', 'they are'];
    this.#log.problem(`the execution was settled before ${undelivered} ${events} delivered; ${are} not in its log`);
  }

  /** The connection has ended for good. `exitCode` null: the job's own, if known. */
  #stopForGood(status: TerminalStatus | null, exitCode: number | null, keepSpool: boolean): void {
    const phase = this.#phase;
    switch (phase.kind) {
      case 'connecting': {
        const noted = this.#spool.state.job.exitCode;
        if (exitCode === null && noted === null && status !== 'completed') {
          this.#log.problem(`the execution is over already (${status ?? 'settled'}); nothing was run`);
        }
        void this.#finish(exitCode ?? exitCodeWhenSettled(noted, status), keepSpool);
        return;
      }
      case 'running':
        this.#phase = { kind: 'stopping', job: phase.job, exitCode, keepSpool };
        if (!phase.job.ended) this.#log.problem('the job is still running and is stopped');
        phase.job.stop.unwanted();
        return;
      case 'draining':
        void this.#finish(exitCode ?? phase.exitCode, keepSpool);
        return;
      case 'stopping':
      case 'ended':
        return;
      default:
        phase satisfies never;
    }
  }

  // ── the job ────────────────────────────────────────────────────────────────────────────────────

  #beginJob(terms: JobTerms | null): void {
    const { redactionOf } = this.#options;
    const secrets = redactionOf(terms?.secretNames ?? []);
    if (secrets.kind === 'too_much') {
      const message = tooMuchToRedact(secrets.bytes);
      this.#log.problem(message);
      // SV7: running it anyway would leak some of them.
      return this.#conclude(endNotBegun(message));
    }
    const { redaction } = secrets;
    for (const name of secrets.unused) this.#log.problem(`${name} is to be redacted, but has no value that is long enough`);
    this.#report.redactWith(redaction);
    const job = Job.begin(this.#jobOptions(redaction, terms, terms));
    if (!job) {
      // SV2: a job whose start is not recorded would run again after a crash. It begins when the
      // disk can be written.
      setTimeout(() => {
        if (this.#phase.kind === 'connecting') this.begin(terms);
      }, BEGIN_RETRY_MS);
      return;
    }
    this.#take(job);
  }

  #findHeldJob(): HeldJob | null {
    return findHeldJob(this.#spool.directory, this.#spool.state.job);
  }

  /** SV10 */
  #adoptJob(held: HeldJob): void {
    const { run, redactionOf } = this.#options;
    const env = held.holder && environmentOf(held.holder.pid);
    const { terms } = this.#spool.state;
    const secrets = redactionOf(terms?.secretNames ?? [], env ?? {});
    const redaction = secrets.kind === 'read' ? secrets.redaction : null;
    this.#report.redactWith(redaction);
    const secretsKnown = run.redact === null || (env !== null && secrets.kind === 'read');
    this.#log.fact('adopted', { pid: this.#spool.state.job.pid, secretsKnown });
    const mark = (env && markIn(env)) ?? terms?.mark ?? null;
    const adopted = Job.adopt(this.#jobOptions(redaction, null, mark), held, secretsKnown);
    this.#take(adopted);
    const { interrupt } = this.#spool.state.job;
    if (interrupt) adopted.stop.resume(interrupt.signal, interrupt.forceAfterMs);
    if (this.#earlyStop) adopted.stop.pass('SIGTERM');
  }

  #jobOptions(redaction: Redaction | null, terms: JobTerms | null, mark: Mark | null): JobOptions {
    const { run, spool } = this.#options;
    return {
      run,
      times: this.#times,
      redaction,
      terms,
      mark,
      spool,
      report: this.#report,
      inputHasRoom: () => this.#delivery.inputHasRoom(),
      exited: (ended, exit, facts) => this.#exited(ended, exit, facts),
    };
  }

  #take(job: Job): void {
    this.#job = job;
    this.#phase = { kind: 'running', job };
    if (this.#pressure !== 'none') this.#pressed(this.#pressure);
    this.#delivery.inputHasRoom();
  }

  #exited(job: Job, exit: ChildExit, facts: EndFacts): void {
    const phase = this.#phase;
    if (exit.kind === 'not_started') this.#log.problem(`the command could not be started: ${exit.message}`);
    const ownEnd = endOfChild(exit, job.stop, (signal) => this.#reasonOf(signal), facts);
    const end = this.#spoolFailed === null ? ownEnd : endBySpool(this.#spoolFailed);
    this.#conclude(end);
    this.#log.fact('child_exited', { exitCode: end.exitCode, pid: job.pid ?? null });
    if (phase.kind === 'stopping') void this.#finish(phase.exitCode ?? end.exitCode, phase.keepSpool);
  }

  /** Writes the terminal fact (SV4) and continues delivering what is left. */
  #conclude(end: TerminalFact): void {
    this.#report.conclude(end);
    this.#drain(end.exitCode);
  }

  #drain(exitCode: number): void {
    if (this.#phase.kind === 'stopping') return;
    this.#phase = { kind: 'draining', since: monotonicNow(), exitCode };
    this.#delivery.lastFlush();
  }

  async #finish(exitCode: number, keepSpool: boolean): Promise<void> {
    if (this.#phase.kind === 'ended') return;
    this.#phase = { kind: 'ended' };
    this.#job?.leaveAgent();
    if (this.#ticker) clearInterval(this.#ticker);
    if (this.#settling) clearTimeout(this.#settling);
    while (this.#job?.stop.hasPendingSignals) await new Promise((resolve) => setTimeout(resolve, GROUP_CHECK_MS));
    this.#job?.stop.forget();
    await this.#delivery.close();
    await settlesWithin(CLOSE_WAIT_MS, this.#spool.stored());
    if (this.#job) this.#job.release();
    else if (this.#held && !keepSpool) releaseHolder(this.#held);
    // SV6
    await settlesWithin(CLOSE_WAIT_MS, keepSpool ? this.#spool.close() : this.#spool.destroy());
    // The holder of a job that was not adopted has left its folder.
    if (!keepSpool) {
      removeHolderFolder(this.#spool.directory);
      removeQuestionsFile(this.#spool.directory);
    }
    this.#resolve(exitCode);
  }

  // ── commands and signals ───────────────────────────────────────────────────────────────────────

  #interrupt({ signal, forceAfterMs, reason }: { signal: StopSignal; forceAfterMs: number; reason: string }): void {
    const phase = this.#phase;
    this.#log.fact('interrupt', { signal, forceAfterMs });
    if (phase.kind === 'connecting') this.#stopEarly(reason || 'interrupted before it began', 'SIGINT');
    else if (phase.kind === 'running') {
      // A wrapper that adopts the job must know why it ends (SV10).
      this.#spool.state.job.interrupt = { signal, forceAfterMs };
      this.#report.save();
      phase.job.stop.interrupt(signal, forceAfterMs);
    }
  }

  /** This process received a signal. */
  signalled(signal: NodeJS.Signals): void {
    this.#signals += 1;
    const phase = this.#phase;
    this.#log.fact('signal', { signal, count: this.#signals });
    switch (phase.kind) {
      case 'connecting':
        if (this.#earlyStop) void this.#finish(this.#earlyStop.exitCode, true);
        this.#stopEarly(this.#reasonOf(signal), signal);
        return;
      case 'running':
      case 'stopping':
        phase.job.stop.pass(signal);
        return;
      case 'draining':
        // The first signal asks for what is already happening. A second one ends the process, and
        // the spool keeps the rest.
        if (this.#signals > 1) void this.#finish(phase.exitCode, true);
        return;
      case 'ended':
        return;
      default:
        phase satisfies never;
    }
  }

  #reasonOf(signal: NodeJS.Signals): string {
    return stopReason(this.#options.run.stopReasonFile, signal);
  }

  /** The first request to end a job that has not begun sets the reason. */
  #stopEarly(reason: string, signal: NodeJS.Signals): void {
    this.#earlyStop ??= { reason, exitCode: exitCodeOf(null, signal), at: monotonicNow() };
  }

  // ── the rest ───────────────────────────────────────────────────────────────────────────────────

  #pressed(pressure: SpoolPressure): void {
    this.#log.fact('pressure', { pressure });
    if (pressure === 'disk_full') this.#log.problem('the spool is full: the job waits until the coordinator takes some of it');
    this.#pressure = pressure;
    this.#job?.pause(pressure !== 'none');
  }

  /**
   * On a small disk writes may fail and recover many times a second. Both are reported at a limited
   * rate, and always in pairs.
   */
  #writeFailed(message: string | null): void {
    const now = monotonicNow();
    this.#stuck = message === null ? null : { since: now, why: message };
    this.#log.fact('spool_write', { failure: message });
    if (message === null) {
      if (this.#failureSaid.open) this.#log.problem('the spool can be written again');
      this.#failureSaid.open = false;
    } else if (now - this.#failureSaid.at >= FAILURE_SAID_MS) {
      this.#failureSaid = { at: now, open: true };
      this.#log.problem(
        `the spool ${this.#spool.directory} cannot be written (${message}): the job's output waits until there is room`,
      );
    }
  }

  /** The spool accepts no events: whether to keep waiting. */
  #checkSpool(now: number): void {
    if (now - this.#folderCheckedAt >= FOLDER_CHECK_MS) {
      this.#folderCheckedAt = now;
      this.#spool.checkFolder();
    }
    if (!this.#stuck || !this.#job) return;
    const { stop, ended } = this.#job;
    const stopping = ended || stop.asked;
    const { since, why } = this.#stuck;
    if (!isSpoolOverdue({ stuckSince: since, drained: this.#spool.drained, stopping }, now, this.#times)) return;
    this.#stuck = null;
    this.#log.problem(`the spool ${this.#spool.directory} still cannot be written (${why}); what waits for it is given up`);
    this.#spool.giveUp();
    if (stopping) return;
    this.#spoolFailed = why;
    this.#job.stop.unwanted();
  }

  /** Checks whether a budget is exceeded. */
  #tick(): void {
    const now = monotonicNow();
    const phase = this.#phase;
    this.#delivery.checkStall(now);
    const { unheardSince, welcomed, triedAt } = this.#delivery;
    this.#checkSpool(now);
    if (phase.kind === 'connecting') {
      // After the welcome the run waits for the disk and makes no further connection attempt.
      const judgedAt = welcomed ? now : triedAt;
      if (!isStartOverdue({ unheardSince, stopAskedAt: this.#earlyStop?.at ?? null }, judgedAt, this.#times)) return;
      const why = welcomed ? 'the spool could not be written' : 'the coordinator could not be reached';
      this.#log.problem(`${why}; ${this.#spool.state.job.begun ? 'what the job did is kept' : 'the command was not run'}`);
      void this.#finish(this.#earlyStop?.exitCode ?? WRAPPER_FAILED, this.#options.crashed || this.#spool.nextSeq > 1);
    } else if (phase.kind === 'draining' && !this.#settling) {
      const budgetMs = drainBudgetMs(this.#delivery.graceMs, this.#times);
      if (!isDrainOverdue({ since: phase.since, ackedAt: this.#delivery.ackedAt }, triedAt, budgetMs)) return;
      this.#log.problem(
        `the coordinator did not take the end of the job (exit code ${phase.exitCode}) within ${budgetMs} ms; it is kept in ${this.#spool.directory}`,
      );
      void this.#finish(WRAPPER_FAILED, true);
    }
  }
}
