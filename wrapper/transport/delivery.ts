/**
 * Delivers stored events to the coordinator: connection, sender and spool move together only here.
 *
 * Owns: the transport to the coordinator, how far it has acked, since when an answer is due, which
 * commands were carried out. Does not own: what its answers mean for the job (the supervisor, as
 * `DeliveryHandlers`), the spool, how long to keep trying (budgets).
 *
 *   SV3  A boot creates no event before its first welcome, because the welcome may move the
 *        numbering forward.
 *   SV5  A command of the coordinator is recorded, carried out, and acked, in this order. One that
 *        was recorded before is only acked. An input waits for room first (job/input).
 *   DL1  What the sender has released is released in the spool in the same turn, and nothing else.
 *   DL2  A welcome after the first one that does not fit is a refusal: the coordinator has lost
 *        what it acked, or has events that this boot never created. Nothing is sent, numbered or
 *        released because of it. It is retried like any refusal (LO4), because old data may be
 *        served only for a moment.
 */

import {
  type Command,
  encodeFrame,
  type HelloFrame,
  type JobTerms,
  monotonicNow,
  POLICY_DEFAULTS,
  PROTOCOL_VERSION,
  type WelcomeFrame,
  WRAPPER_FEATURES,
} from '../../protocol/index.ts';
import { InputQueue } from '../job/input.ts';
import type { Log } from '../log.ts';
import { isAckOverdue } from '../run/budgets.ts';
import type { LogBudget } from '../run/log-budget.ts';
import type { Report } from '../run/report.ts';
import type { RunOptions } from '../run-options.ts';
import { type Chunk, type FramePlan, lastSeqOf, type Sender } from '../spool/sender.ts';
import type { Spool } from '../spool/spool.ts';
import type { WrapperTimes } from '../times.ts';
import { Attempts, type ConnectionEnd } from './connection-loss.ts';
import { encodeFrames, encodeGap } from './frame-encoding.ts';
import { TOO_SLOW_LOSSES } from './line-rate.ts';
import { Outage } from './outage.ts';
import type { ConnectionHandlers, FailedAttempt, Transport } from './transport.ts';
import { makeTransport } from './transport-switch.ts';

/** The run's side. */
export interface DeliveryHandlers {
  /** Whether there is a connection now. */
  connected(up: boolean): void;
  /**
   * Called once, at the first welcome, after the commands that came with it. Null: the coordinator
   * sent no terms of the job.
   */
  begin(terms: JobTerms | null): void;
  /**
   * Called at most once, before `begin` if that is still due: the execution has its verdict, and
   * the coordinator still takes what is left (SPL46).
   */
  late(): void;
  /** A job runs, or has run, under this boot. */
  hasJob(): boolean;
  /** Called once per command id, also across boots (SV5). */
  carryOut(command: Command): void;
  /** Whether an input may be carried out now. If not, call `inputHasRoom` later. */
  takesInput(): boolean;
  /** The coordinator has reported its ackedSeq; `complete` may have become true. */
  acked(): void;
  /** No further attempt is made. */
  ended(end: ConnectionEnd): void;
}

export interface DeliveryOptions {
  run: Pick<RunOptions, 'url' | 'credential' | 'transport' | 'log'>;
  times: WrapperTimes;
  spool: Spool;
  budget: LogBudget;
  /** Already holds the chunks that an earlier boot left. */
  sender: Sender;
  report: Report;
  handlers: DeliveryHandlers;
}

export class Delivery implements ConnectionHandlers {
  readonly #times: WrapperTimes;
  readonly #log: Log;
  readonly #spool: Spool;
  readonly #budget: LogBudget;
  readonly #sender: Sender;
  readonly #report: Report;
  readonly #handlers: DeliveryHandlers;
  readonly #connection: Transport;
  readonly #inputs: InputQueue;
  #welcomed = false;
  #late = false;
  #spoolWasBehind = false;
  #graceMs = POLICY_DEFAULTS.disconnectGraceMs;
  #frameBytes = 0;
  #unheardSince = monotonicNow();
  #ackAwaitedSince = monotonicNow();
  #ackedAt: number | null = null;
  #triedAt = Number.NEGATIVE_INFINITY;
  readonly #outage: Outage;
  /** Seq of the last event that was replaced by a gap, so that each is reported once. */
  #leftOut = 0;

  constructor({ run, times, spool, budget, sender, report, handlers }: DeliveryOptions) {
    this.#times = times;
    this.#log = run.log;
    this.#outage = new Outage(times.outageNoticeMs);
    this.#spool = spool;
    this.#budget = budget;
    this.#sender = sender;
    this.#report = report;
    this.#handlers = handlers;
    this.#inputs = new InputQueue(
      () => handlers.takesInput(),
      (command) => this.#carryOut(command),
    );
    this.#connection = makeTransport(run.transport ?? 'auto', {
      url: run.url,
      credential: run.credential,
      handlers: this,
      times,
      log: run.log,
      attempts: new Attempts(run.credential, times, Math.random, spool.state.terms?.policy ?? null),
    });
  }

  /** There was a first welcome. */
  get welcomed(): boolean {
    return this.#welcomed;
  }
  /**
   * At the first welcome the coordinator had events that the spool lacks: an earlier boot created
   * them.
   */
  get spoolWasBehind(): boolean {
    return this.#spoolWasBehind;
  }
  /** Since when the first welcome is due without an answer from the coordinator. */
  get unheardSince(): number {
    return this.#unheardSince;
  }
  /** When the last failed attempt began; long ago if no attempt failed. */
  get triedAt(): number {
    return this.#triedAt;
  }
  /** The last sign that events arrive; null before the first. */
  get ackedAt(): number | null {
    return this.#ackedAt;
  }
  /** Of this execution, once it is known. */
  get graceMs(): number {
    return this.#graceMs;
  }
  get ackedSeq(): number {
    return this.#sender.ackedSeq;
  }
  /** The coordinator has every event. */
  get complete(): boolean {
    return this.undelivered === 0;
  }
  /** How many events the coordinator has not acknowledged. */
  get undelivered(): number {
    return Math.max(0, this.#spool.nextSeq - 1 - this.#sender.ackedSeq);
  }

  open(): void {
    this.#connection.open();
  }

  /** A chunk is on disk, and may be sent. */
  stored(chunk: Chunk): void {
    this.#sender.appended(chunk);
    this.#pump();
  }

  /** The job's stdin may have room again. */
  inputHasRoom(): void {
    this.#inputs.pump();
  }

  /** The terminal fact is written: only the rest has to be delivered. */
  lastFlush(): void {
    this.#connection.lastFlush();
  }

  /** Call regularly. Replaces a connection on which no ack arrives. */
  checkStall(now: number): void {
    const { inflightBytes } = this.#sender;
    if (!isAckOverdue({ inflightBytes, awaitedSince: this.#ackAwaitedSince }, now, this.#times)) return;
    this.#ackAwaitedSince = now;
    this.#connection.restart(`no ack within ${this.#times.ackStallMs} ms`);
  }

  /** Closes politely; resolves when the other side has seen it or after a moment. */
  async close(): Promise<void> {
    await this.#connection.close();
  }

  // ── the connection's side ──────────────────────────────────────────────────────────────────────

  hello(): HelloFrame {
    const { wrapperId, bootId } = this.#spool.state;
    return {
      type: 'hello',
      protocol: PROTOCOL_VERSION,
      wrapperId,
      bootId,
      nextSeq: this.#spool.nextSeq,
      lost: 0,
      features: WRAPPER_FEATURES,
      ...(this.#mayBeLate ? { late: true } : {}),
    };
  }

  /**
   * SPL46: this boot or an earlier one was welcomed, so the grace may be over by now. Only the
   * coordinator knows whether it is.
   */
  get #mayBeLate(): boolean {
    return this.#welcomed || this.#spool.state.job.begun || this.#spool.nextSeq > 1;
  }

  /**
   * DL2. The first welcome is accepted as it is: `#settleLosses` and `skipTo` make it fit. Only for
   * a job that was adopted before it, events exist that `skipTo` cannot move.
   */
  refusalOf({ ackedSeq }: WelcomeFrame): string | null {
    if (this.#welcomed) return this.#sender.refusalOf(ackedSeq);
    const isAhead = this.#spool.state.job.pid !== null && ackedSeq >= this.#spool.nextSeq;
    return isAhead && this.#handlers.hasJob() ? 'the coordinator has events that this wrapper never created' : null;
  }

  welcome(frame: WelcomeFrame): void {
    if (!this.#welcomed) this.#settleLosses(frame.ackedSeq);
    const limits = { ...frame.limits, silenceMs: frame.policy.silenceTimeoutMs };
    const outcome = this.#sender.welcome(frame.ackedSeq, limits, monotonicNow());
    switch (outcome.kind) {
      case 'resumed':
        break;
      case 'behind':
        this.#spoolWasBehind = true;
        this.#spool.skipTo(outcome.nextSeq); // SV3
        break;
      case 'history_lost':
        // `refusalOf` rejects such a welcome. Nothing was changed by it.
        this.#connection.restart(`the coordinator asks for event ${frame.ackedSeq + 1}, which it acknowledged before`);
        return;
      default:
        outcome satisfies never;
        return;
    }
    this.#graceMs = frame.policy.disconnectGraceMs;
    this.#frameBytes = frame.limits.frameBytes;
    this.#ackAwaitedSince = monotonicNow();
    this.#spool.release(this.#sender.ackedSeq, outcome.releasedBytes); // DL1
    const notice = this.#outage.over(monotonicNow());
    if (notice) this.#log.problem(notice);
    // For a boot that finds a spool, only the coordinator knows what there was before it. From then
    // on it is counted here.
    const stored = this.#welcomed || frame.logBytes === undefined ? null : frame.logBytes + this.#spool.unackedBytes;
    this.#budget.limit(frame.policy.maxLogBytes, stored);
    this.#handlers.connected(true);
    if (frame.late && !this.#late) {
      this.#late = true;
      this.#handlers.late();
    }
    for (const command of frame.commands) this.#command(command);
    if (!this.#welcomed) {
      this.#welcomed = true;
      this.#noteTerms(frame);
      this.#handlers.begin(frame.job ?? null);
    }
    this.#pump();
    this.#handlers.acked();
  }

  frame(frame: Parameters<ConnectionHandlers['frame']>[0]): void {
    switch (frame.type) {
      case 'ack': {
        const outcome = this.#sender.ack(frame.seq, monotonicNow());
        if (outcome.kind === 'fault') return this.#connection.restart(outcome.why);
        if (outcome.kind === 'stale') return;
        this.#ackedAt = monotonicNow();
        this.#ackAwaitedSince = this.#ackedAt;
        this.#connection.markHealthy();
        this.#spool.release(frame.seq, outcome.releasedBytes); // DL1
        this.#pump();
        this.#handlers.acked();
        return;
      }
      case 'nack': {
        const outcome = this.#sender.nack(frame.expected);
        this.#log.fact('nack', { expected: frame.expected, outcome: outcome.kind });
        if (outcome.kind === 'fault') this.#connection.restart(outcome.why);
        if (outcome.kind === 'rewound') this.#pump();
        return;
      }
      case 'command':
        this.#command(frame);
        return;
      default:
        frame satisfies never;
    }
  }

  /**
   * Reports an outage to people: its cause at the first failed attempt and every minute, and its
   * end.
   */
  failed({ kind, why, beganAt }: FailedAttempt): void {
    this.#triedAt = Math.max(this.#triedAt, beganAt);
    // A lost connection is usually repaired by the next attempt.
    const notice = kind === 'failed' ? this.#outage.failed(why, monotonicNow()) : null;
    if (notice) this.#log.problem(notice);
  }

  down(why: string): void {
    this.#log.fact('down', { why });
    this.#handlers.connected(false);
    this.#sender.disconnected(monotonicNow());
  }

  answerDelayMs(): number {
    return this.#sender.answerDelayMs;
  }

  /**
   * Queued or overloaded: the coordinator is reachable, and says when the first welcome will come.
   */
  askedToWait(why: string): void {
    this.#log.fact('asked_to_wait', { why });
    this.#unheardSince = monotonicNow();
  }

  ended(end: ConnectionEnd): void {
    this.#sender.disconnected(monotonicNow());
    this.#handlers.ended(end);
  }

  /**
   * Before the first welcome is accepted: events that the coordinator has are not lost, and events
   * that it asks for and that are missing here are.
   */
  #settleLosses(ackedSeq: number): void {
    this.#spool.knownAtStart(ackedSeq);
    const { earliestSeq } = this.#sender;
    if (ackedSeq < earliestSeq - 1) this.#sender.prepended(this.#spool.lostBefore(ackedSeq + 1, earliestSeq - 1));
  }

  /** What a wrapper must know that adopts the job before its own first welcome. */
  #noteTerms({ policy, job, features = [] }: WelcomeFrame): void {
    const { state } = this.#spool;
    const { secretNames = [], merge, output, terminal } = job ?? {};
    state.terms = {
      policy,
      secretNames,
      ...(job ? { mark: { session: job.session, execution: job.execution, url: job.url } } : {}),
      features,
      ...(merge ? { merge } : {}),
      ...(output ? { output } : {}),
      ...(terminal ? { terminal } : {}),
    };
    state.welcomedBoot = state.bootId;
    this.#report.save();
  }

  // ── what follows from it ───────────────────────────────────────────────────────────────────────

  #command(command: Command): void {
    if (this.#spool.state.commandsDone.includes(command.id)) this.#acknowledge(command);
    else if (command.command === 'input' || command.command === 'answer') this.#inputs.offer(command);
    else this.#carryOut(command);
  }

  /** SV5 */
  #carryOut(command: Command): void {
    this.#spool.state.commandsDone.push(command.id);
    this.#report.save();
    this.#handlers.carryOut(command);
    this.#acknowledge(command);
  }

  #acknowledge({ id }: Command): void {
    this.#connection.send(encodeFrame({ type: 'command_ack', id }));
  }

  #pump(): void {
    while (this.#connection.up) {
      const idle = this.#sender.inflightBytes === 0;
      const plan = this.#sender.next(monotonicNow());
      if (!plan) return;
      if (idle) this.#ackAwaitedSince = monotonicNow();
      if (plan.tooLarge) {
        this.#leaveOut(plan);
        continue;
      }
      let lines: Buffer;
      try {
        lines = this.#spool.read(plan.chunks);
      } catch (error) {
        this.#log.problem(`the spool cannot be read: ${(error as Error).message}`);
        this.#connection.restart('the spool cannot be read');
        return;
      }
      for (const frame of encodeFrames({ seq: plan.seq, count: plan.count, lines }, this.#frameBytes, Date.now())) {
        this.#connection.send(frame);
      }
      this.#log.fact('sent', { seq: plan.seq, lastSeq: lastSeqOf({ firstSeq: plan.seq, count: plan.count }), bytes: plan.bytes });
    }
  }
  /** A gap in place of an event that the line cannot carry (SND6). */
  #leaveOut({ seq, bytes }: FramePlan): void {
    this.#connection.send(encodeGap(seq, bytes, 'line_too_slow', Date.now()));
    this.#log.fact('left_out', { seq, bytes });
    if (seq === this.#leftOut) return;
    this.#leftOut = seq;
    this.#log.problem(
      `the line to the coordinator is too slow for event ${seq} of ${bytes} bytes: ${TOO_SLOW_LOSSES} connections were lost while it was sent. A gap takes its place in the log; the job goes on`,
    );
  }
}
