/**
 * One process of a wrapper: the real sender (wrapper/spool/sender.ts) and the real decision of a
 * boot (wrapper/run/boot.ts) in a small shell. The shell makes the decisions of
 * wrapper/run/supervisor.ts, wrapper/transport/delivery.ts and wrapper/transport/connection.ts over
 * the simulated network, disk and job.
 *
 * - The child starts after the first welcome, once per spool (SPL13). Its start is synced before it
 *   happens. A boot that finds traces of an earlier start adopts the job if it is still held, and
 *   reports a crash otherwise (SV10).
 * - An event is in the spool before the sender learns of it (SPL1). The terminal fact is the last
 *   event (SPL14).
 * - A command is noted, executed and acked, in this order, once per id (SPL15).
 * - Every connection attempt has a generation. A callback of an older generation does nothing.
 * - wrapper/transport/connection-loss.ts decides what a close or a response means, and
 *   wrapper/run/budgets.ts how long to retry.
 * - A connection that is only slow is not lost repeatedly without an ack in between (SPL40).
 * - Budgets and delays use the monotonic clock. The wall clock can be set, and is only written into
 *   events.
 */

import {
  type AnswerCommandData,
  CLOSE,
  type Command,
  encodeFrame,
  FEATURE_ASKING,
  FRAME_BYTES_MAX,
  type JsonObject,
  PING,
  POLICY_DEFAULTS,
  PONG,
  type Policy,
  parseCoordinatorFrame,
  type WelcomeFrame,
} from '../../protocol/index.ts';
import { type QuestionFact, Questions } from '../../wrapper/job/questions.ts';
import { decideAtBoot } from '../../wrapper/run/boot.ts';
import { drainBudgetMs, isDrainOverdue, isStartOverdue } from '../../wrapper/run/budgets.ts';
import { Sender } from '../../wrapper/spool/sender.ts';
import { WRAPPER_TIMES } from '../../wrapper/times.ts';
import { Attempts, type ConnectionLoss, describe } from '../../wrapper/transport/connection-loss.ts';
import { encodeFrames } from '../../wrapper/transport/frame-encoding.ts';
import { withDelay } from '../../wrapper/transport/transport.ts';
import type { Timer } from './clock.ts';
import { HeldJob } from './held-job.ts';
import type { Job } from './job.ts';
import type { Link } from './network.ts';
import type { Spool } from './spool.ts';
import type { World } from './world.ts';

// The wrapper's own times; wrapper/times.ts has them for the real one.
const WATCHDOG_MS = 20_000;
const PONG_WAIT_MS = 10_000;
const ACK_STALL_MS = 60_000;
/** The real one has days, and a schedule has minutes. Shorter than a suspend. */
const DRAIN_BUDGET_MIN_MS = 10 * 60_000;
const SETTLED_WAIT_MS = 2000;
const KILL_AFTER_MS = 5000;

/** One loss may be caused by data that was in flight when the connection began (SPL40). */
const FRUITLESS_MAX = 2;

const cut = (message: string): ConnectionLoss => ({ kind: 'transport', message });

type Phase = 'connecting' | 'running' | 'stopping' | 'draining' | 'ended';

export class WrapperProcess {
  readonly spool: Spool;
  readonly label: string;
  readonly #world: World;
  readonly #job: Job;
  readonly #sender: Sender;
  /** An earlier process began the job or wrote something, according to the spool. */
  readonly #crashed: boolean;
  /** The coordinator has more than the spool. */
  #spoolWasBehind = false;
  readonly #bootId: string;
  /** Smaller than the coordinator allows, so that several frames are in flight. */
  readonly #ownLimits: { frameBytes: number; windowBytes: number };
  phase: Phase = 'connecting';
  #generation = 0;
  link: Link | null = null;
  #up = false;
  readonly #attempts: Attempts;
  /** When the newest attempt began, and the newest that failed. */
  #beganAt = 0;
  #triedAt = 0;
  /** Of the budgets: for the first welcome, and for the rest of a report. */
  #unheardSince: number;
  #drainingSince = 0;
  #ackedAt: number | null = null;
  /** The last moment at which a connection was open. */
  #connectedAt = 0;
  /**
   * For the checks, by the world's clock: when the newest attempt began, and the start of the
   * budget.
   */
  #dialledAt = 0;
  #patientFrom = 0;
  /** How far the wall clock was set. */
  #wallOffsetMs = 0;
  #policy: Policy = POLICY_DEFAULTS;
  #welcomed = false;
  #late = false;
  #stopEarly = false;
  #givenUp = false;
  #signalled = false;
  /** Lines with a seq that are not on disk yet. */
  #queue: { line: string; terminal: boolean }[] = [];
  #writing = false;
  #terminalQueued = false;
  /** The job of this process. */
  #held: HeldJob | null = null;
  #questions: Questions | null = null;
  #childEnded = false;
  #toldToStop = false;
  #heartbeat: Timer | null = null;
  #pongTimer: Timer | null = null;
  #heardAt = 0;
  #waitingSince = 0;
  #settling: Timer | null = null;
  #frozen: (() => void)[] | null = null;
  #wasFrozen = false;
  /** Consecutive connections without an ack that were lost to silence although nothing was cut. */
  #fruitless = 0;

  constructor(world: World, spool: Spool, job: Job) {
    this.#world = world;
    this.spool = spool;
    this.#job = job;
    this.#crashed = spool.begun || spool.storedSeq > 0;
    spool.boots += 1;
    spool.locked = true;
    this.#bootId = `b_${spool.wrapperId}_${spool.boots}`;
    this.label = `wrapper ${spool.wrapperId}#${spool.boots} of ${spool.execution}`;
    this.#ownLimits = world.random.pick([
      { frameBytes: 524_288, windowBytes: 4_194_304 },
      { frameBytes: 400, windowBytes: 1500 },
    ]);
    const { chunks, lost } = spool.recover(world.now);
    for (const { firstSeq, lastSeq } of lost) world.trace(() => `${this.label} finds ${firstSeq} to ${lastSeq} damaged`);
    this.#sender = new Sender(chunks[0]?.firstSeq ?? spool.storedSeq + 1);
    for (const chunk of chunks) this.#sender.appended(chunk);
    const { next } = world.random;
    this.#attempts = new Attempts({ current: () => 'token', refresh: () => false }, WRAPPER_TIMES, next);
    this.#unheardSince = this.#triedAt = this.#now;
    this.#patientFrom = world.now;
    this.#tick();
    // Nothing of an undamaged spool is missing while the host runs, so the job need not wait.
    if (!spool.terminal && lost.length === 0) this.#adopt();
    this.#dial();
  }

  get alive(): boolean {
    return this.phase !== 'ended';
  }
  /** The command is a process now. */
  get childRuns(): boolean {
    return (this.phase === 'running' || this.phase === 'stopping') && !this.#childEnded;
  }

  // ── what happens to the process ───────────────────────────────────────────────────────────────

  /** SIGKILL: nothing is sent; the kernel may close the socket. */
  kill(): void {
    if (!this.alive) return;
    this.#world.note('wrapper_killed', () => `${this.label} is killed`);
    this.#end();
    this.link?.abandon(this.#world.random.chance(0.7));
  }

  /** SIGTERM, as from a container that is stopped. */
  signal(): void {
    this.#world.note('wrapper_signalled', () => `${this.label} gets SIGTERM`);
    this.#signalled = true;
    if (this.phase === 'connecting') this.#stopEarly = true;
    else if (this.phase === 'running') this.#interruptChild(2000);
  }

  /** SIGSTOP: the process receives nothing and does nothing for `ms`. */
  freeze(ms: number, fault: 'wrapper_frozen' | 'suspend' = 'wrapper_frozen'): void {
    if (!this.alive || this.#frozen) return;
    this.#world.note(fault, () => `${this.label} is frozen for ${ms} ms`);
    this.#frozen = [];
    this.#wasFrozen = true;
    this.#world.clock.after(ms, () => {
      const missed = this.#frozen ?? [];
      this.#frozen = null;
      for (const action of missed) action();
    });
  }

  /** Runs a task of this process: not after its end, and not while it is frozen. */
  #live(action: () => unknown): void {
    if (!this.alive) return;
    if (this.#frozen) this.#frozen.push(() => this.#live(action));
    else action();
  }

  #after(ms: number, action: () => void): Timer {
    return this.#world.clock.after(ms, () => this.#live(action));
  }

  /** The monotonic clock. */
  get #now(): number {
    return this.#world.now;
  }

  /** Sets the wall clock. */
  setClock(byMs: number): void {
    this.#world.note('clock_jump', () => `the wall clock of ${this.label} is set by ${byMs} ms`);
    this.#wallOffsetMs += byMs;
  }

  // ── connection ────────────────────────────────────────────────────────────────────────────────

  #dial(): void {
    this.#generation += 1;
    const generation = this.#generation;
    this.#beganAt = this.#now;
    this.#dialledAt = this.#world.now;
    const current = (action: () => unknown) => this.#live(() => generation === this.#generation && action());
    this.#world.trace(() => `${this.label} dials, attempt ${this.#attempts.count}`);
    const link = this.#world.dial(
      this.label,
      { kind: 'ingest', execution: this.spool.execution },
      {
        opened: () =>
          current(() => {
            const hello = {
              type: 'hello',
              protocol: 1,
              wrapperId: this.spool.wrapperId,
              bootId: this.#bootId,
              nextSeq: this.#nextSeq,
              lost: 0,
              ...(this.#welcomed || this.#crashed ? { late: true as const } : {}),
              ...(this.#job.questions.length > 0 ? { features: [FEATURE_ASKING] } : {}),
            } as const;
            link.send(encodeFrame(hello));
          }),
        message: (text) => current(() => this.#received(text)),
        closed: (code, reason) => current(() => this.#closed(code, reason)),
        refused: (status, problem = null) =>
          current(() => this.#lost({ kind: 'status', status, retryAfter: null, contentType: null, problem })),
      },
    );
    this.link = link;
    this.#after(WATCHDOG_MS, () => current(() => this.#up || this.#lost(cut('no welcome'))));
  }

  get #nextSeq(): number {
    return this.spool.storedSeq + this.#queue.length + 1;
  }

  #received(text: string): void {
    this.#heardAt = this.#world.now;
    if (text === PONG) return this.#markHealthy();
    const parsed = parseCoordinatorFrame(text);
    if (!parsed.ok) return this.#world.violation(`${this.label} got a frame that it does not understand: ${text.slice(0, 200)}`);
    const { frame } = parsed;
    switch (frame.type) {
      case 'welcome':
        return this.#welcome(frame);
      case 'ack': {
        this.#world.checks.acked(this.spool.execution, frame.seq);
        const outcome = this.#sender.ack(frame.seq, this.#world.now);
        if (outcome.kind === 'fault') return this.#fault(outcome.why);
        if (outcome.kind === 'stale') return;
        this.#markHealthy();
        this.#ackedAt = this.#now;
        this.#patientFrom = this.#world.now;
        this.#fruitless = 0;
        this.#waitingSince = this.#world.now;
        this.spool.release(frame.seq);
        this.#pump();
        return this.#checkDelivered();
      }
      case 'nack': {
        this.#world.checks.nacked(this.label);
        const outcome = this.#sender.nack(frame.expected);
        if (outcome.kind === 'fault') return this.#fault(outcome.why);
        return this.#pump();
      }
      case 'command':
        return this.#command(frame);
      case 'close':
        // Only in a response to POST.
        return this.#world.violation(`${this.label} got a close frame on a WebSocket`);
      default:
        frame satisfies never;
    }
  }

  #welcome(frame: WelcomeFrame): void {
    if (this.#up) return this.#world.violation(`${this.label} was welcomed twice on one connection`);
    this.#world.trace(() => `${this.label} is welcomed: epoch ${frame.epoch}, acked ${frame.ackedSeq}`);
    this.#world.checks.welcomed(this.spool.execution, frame);
    const limits = {
      frameBytes: Math.min(frame.limits.frameBytes, this.#ownLimits.frameBytes),
      windowBytes: Math.min(frame.limits.windowBytes, this.#ownLimits.windowBytes),
      silenceMs: frame.policy.silenceTimeoutMs,
    };
    if (!this.#welcomed) this.spool.knownAtStart(frame.ackedSeq);
    const outcome = this.#sender.welcome(frame.ackedSeq, limits, this.#world.now);
    switch (outcome.kind) {
      case 'resumed':
        break;
      case 'behind':
        if (this.#welcomed) return this.#refused('the coordinator has more than there ever was');
        this.#spoolWasBehind = true;
        this.spool.skipTo(outcome.nextSeq);
        break;
      case 'history_lost':
        this.#world.violation(`${this.label}: the coordinator asks again for what it acknowledged (${frame.ackedSeq})`);
        return this.#refused('history lost');
      default:
        return outcome satisfies never;
    }
    this.#up = true;
    this.#policy = frame.policy;
    this.#attempts.welcomed(frame.policy, this.#now);
    this.spool.release(this.#sender.ackedSeq);
    this.#waitingSince = this.#world.now;
    this.#beat(this.#generation);
    if (frame.late) this.#deliverLate();
    for (const command of frame.commands) this.#command(command);
    if (!this.alive) return; // Killed at a question.
    if (!this.#welcomed) {
      this.#welcomed = true;
      this.#begin();
    }
    this.#pump();
    this.#checkDelivered();
  }

  /** SPL46: the execution has its verdict. The job is stopped once, and its end is delivered. */
  #deliverLate(): void {
    if (this.#late) return;
    this.#late = true;
    this.#world.trace(() => `${this.label} delivers late`);
    if (this.phase === 'connecting') this.#stopEarly = true;
    if (this.phase !== 'running') return;
    this.#toldToStop = true;
    this.#after(this.#world.random.int(0, KILL_AFTER_MS), () => this.#childExits(null, 'SIGKILL'));
  }

  #markHealthy(): void {
    this.#attempts.markHealthy(this.#now);
  }

  #fault(why: string): void {
    this.#world.checks.faulted(this.label, why);
    this.#lost(cut(why));
  }

  #closed(code: number, reason: string): void {
    this.#world.trace(() => `${this.label} is closed: ${code} ${reason}`);
    if (code === CLOSE.settled) {
      this.#down();
      this.#world.checks.toldSettled(this.spool.execution, reason);
      return this.#stopForGood();
    }
    if (reason.includes('silent')) this.#silent();
    this.#lost({ kind: 'closed', code, reason });
  }

  #down(): void {
    this.#generation += 1;
    this.#up = false;
    this.#sender.disconnected(this.#world.now);
    this.#heartbeat = this.#world.clock.cancel(this.#heartbeat);
    this.#pongTimer = this.#world.clock.cancel(this.#pongTimer);
    this.link?.abandon(this.#world.random.chance(0.7));
    this.link = null;
  }

  #lost(loss: ConnectionLoss): void {
    const why = describe(loss);
    this.#world.trace(() => `${this.label} lost its connection: ${why}`);
    if (this.#up) this.#connectedAt = this.#world.now;
    this.#down();
    this.#triedAt = this.#beganAt;
    const next = this.#attempts.after(loss, { beganAt: this.#beganAt, now: this.#now });
    if (next.kind === 'ended') {
      if (this.childRuns && this.phase === 'running')
        this.#world.checks.stoppedUnasked(this.spool, why, this.#world.now - this.#connectedAt, this.#policy.disconnectGraceMs);
      return this.#stopForGood();
    }
    if (next.askedToWait) {
      this.#unheardSince = this.#now;
      this.#patientFrom = this.#world.now;
    }
    const generation = this.#generation;
    this.#after(next.delayMs, () => {
      if (generation === this.#generation) this.#dial();
    });
  }

  #refused(why: string): void {
    this.#world.trace(() => `${this.label} gives up: ${why}`);
    this.#givenUp = true;
    this.#down();
    this.#stopForGood();
  }

  /** SPL10 */
  #beat(generation: number): void {
    this.#heartbeat = this.#after(this.#policy.heartbeatMs, () => {
      if (generation !== this.#generation || !this.link) return;
      this.link.send(PING);
      const sentAt = this.#world.now;
      const waitMs = withDelay(PONG_WAIT_MS, this.#sender.answerDelayMs, this.#policy.silenceTimeoutMs);
      this.#pongTimer ??= this.#after(waitMs, () => {
        this.#pongTimer = null;
        if (generation !== this.#generation || this.#heardAt >= sentAt) return;
        if (this.link?.whole) this.#silent();
        this.#lost(cut('no pong'));
      });
      this.#beat(generation);
    });
  }

  #silent(): void {
    if (this.#wasFrozen || this.#sender.inflightBytes === 0) return;
    this.#fruitless += 1;
    if (this.#fruitless > FRUITLESS_MAX)
      this.#world.violation(`SPL40 ${this.label} lost ${this.#fruitless} connections in a row that were only slow, without an ack`);
  }

  /**
   * Nothing acknowledges our events although the platform answers our pings. A report that is not
   * acknowledged is given up eventually.
   */
  #tick(): void {
    this.#after(5000, () => {
      const waited = this.#world.now - this.#waitingSince;
      if (this.#up && this.#sender.inflightBytes > 0 && waited > ACK_STALL_MS) this.#lost(cut('no ack'));
      this.#checkBudgets();
      this.#tick();
    });
  }

  #checkBudgets(): void {
    const triedAt = this.#triedAt;
    const budgetMs = drainBudgetMs(this.#policy.disconnectGraceMs, { drainBudgetMinMs: DRAIN_BUDGET_MIN_MS });
    if (this.phase === 'connecting' && !this.#welcomed) {
      if (!isStartOverdue({ unheardSince: this.#unheardSince, stopAskedAt: null }, triedAt, WRAPPER_TIMES)) return;
      this.#giveUp('no welcome within the budget', WRAPPER_TIMES.firstWelcomeBudgetMs);
    } else if (this.phase === 'draining') {
      const since = this.#drainingSince;
      if (!isDrainOverdue({ since, ackedAt: this.#ackedAt }, triedAt, budgetMs)) return;
      this.#giveUp('the report was not acknowledged', budgetMs);
    }
  }

  #giveUp(why: string, budgetMs: number): void {
    this.#world.checks.gaveUp(this.label, why, this.#dialledAt - this.#patientFrom - budgetMs);
    this.#finish(why);
  }

  // ── events ────────────────────────────────────────────────────────────────────────────────────

  #append(type: string, data: Record<string, unknown>, terminal = false): void {
    if (this.#terminalQueued) return;
    this.#terminalQueued = terminal;
    this.#queue.push({ line: JSON.stringify({ type, at: this.#world.now + this.#wallOffsetMs, data }), terminal });
    this.#write();
  }

  /** One write at a time, in order. The sender learns of a line when it is on disk. */
  #write(): void {
    if (this.#writing || this.#queue.length === 0) return;
    this.#writing = true;
    this.#after(this.#world.random.int(0, 3), () => {
      this.#writing = false;
      if (this.#world.faults.strike('spool_full')) {
        this.#after(this.#world.random.int(100, 3000), () => this.#write());
        return;
      }
      const batch = this.#queue.splice(0, this.#world.random.int(1, 4));
      for (const { line, terminal } of batch) {
        const chunk = this.spool.store(line, terminal);
        // A welcome with a seq higher than any that existed has advanced the sender's numbers. The
        // sender cannot be used any more.
        if (!this.#givenUp) this.#sender.appended(chunk);
      }
      this.#pump();
      this.#write();
    });
  }

  #pump(): void {
    while (this.#up && this.link) {
      if (this.#sender.inflightBytes === 0) this.#waitingSince = this.#world.now;
      const plan = this.#sender.next(this.#world.now);
      if (!plan) return;
      if (this.#world.faults.strike('frame_dropped')) continue;
      // FE1: what an earlier process stored as one chunk may be more than a frame.
      const run = { seq: plan.seq, count: plan.count, lines: Buffer.from(`${this.spool.lines(plan)}\n`) };
      for (const frame of encodeFrames(run, FRAME_BYTES_MAX, this.#world.now)) this.link.send(frame.toString());
    }
  }

  #checkDelivered(): void {
    if (this.phase !== 'draining' || this.#settling || this.#sender.ackedSeq < this.#nextSeq - 1) return;
    this.#settling = this.#after(SETTLED_WAIT_MS, () => this.#finish('all is delivered'));
  }

  // ── child ─────────────────────────────────────────────────────────────────────────────────────

  #begin(): void {
    if (this.#held) return;
    const task = decideAtBoot({
      terminal: this.spool.terminal,
      exitCode: null,
      displacedEnd: null,
      crashed: this.#crashed || this.#spoolWasBehind,
      begun: this.spool.begun || this.#spoolWasBehind,
      held: this.spool.heldJob() !== null,
      leftovers: null,
      recoverOnly: false,
      earlyStop: this.#stopEarly ? { reason: 'asked before it began', exitCode: 130, at: 0 } : null,
    });
    switch (task.kind) {
      case 'deliver':
        this.phase = 'draining';
        this.#drainingSince = this.#now;
        this.#patientFrom = this.#world.now;
        return;
      case 'adopt':
        return this.#adopt();
      case 'report_crash':
        if (this.spool.heldJob()) this.#world.violation(`G10 ${this.label} reports the death of a job that goes on`);
        this.#append('gap', { events: 0, bytes: 0, unknown: true, reason: 'wrapper_crashed' });
        return this.#conclude(task.end.type, task.end.data);
      case 'report_end':
      case 'report_stop':
        return this.#conclude(task.end.type, task.end.data);
      case 'run':
        return this.#spawn();
      default:
        task satisfies never;
    }
  }

  #spawn(): void {
    this.spool.begun = true;
    this.spool.saveState({ durable: true });
    this.#world.checks.spawned(this.spool.execution);
    this.#world.begun(this);
    const { end } = this.#job;
    if (end.kind === 'spawn_failed') return this.#conclude('error', { error: 'no such file', code: 'spawn_failed', fatal: true });
    this.spool.held = new HeldJob(this.#world, this.spool.execution, this.#job);
    this.#append('started', { pid: 1, command: ['job'] });
    this.#take(this.spool.held);
  }

  /** SV10: what the dead process had read and not stored is missing. */
  #adopt(): void {
    const held = this.spool.heldJob();
    if (!held) return;
    this.#world.trace(() => `${this.label} adopts the job`);
    const foundSeq = this.#nextSeq;
    this.#append('gap', { events: 0, bytes: null, unknown: true, reason: 'wrapper_restarted' });
    this.#take(held, foundSeq);
    if (this.#stopEarly) this.#interruptChild(2000);
  }

  /** `foundSeq`: of the spool of a job that is adopted, as it was found. */
  #take(held: HeldJob, foundSeq?: number): void {
    this.#held = held;
    this.phase = 'running';
    if (this.#job.questions.length > 0) this.#openQuestions(foundSeq);
    held.onChange = () => this.#live(() => this.#read());
    this.#read();
  }

  #read(): void {
    const held = this.#held;
    if (!held || this.#childEnded) return;
    for (let text = held.read(); text !== undefined; text = held.read()) {
      this.#print(text);
      if (!this.alive) return;
    }
    const end = held.endIfDrained();
    if (!end) return;
    const { exitCode, signal } = end;
    this.#childEnded = true;
    this.#report(this.#questions?.jobEnded() ?? []);
    const stopping = this.phase === 'stopping';
    if (this.#signalled && exitCode !== 0) this.#conclude('interrupted', { reason: 'wrapper received SIGTERM', exitCode, signal });
    else this.#conclude('exit', { exitCode, signal, toldToStop: this.#toldToStop });
    if (stopping) this.#finish('the child was stopped');
  }

  #print(text: string): void {
    if (!text.startsWith('{')) return this.#append('output', { stream: 'stdout', text });
    const line = JSON.parse(text) as JsonObject;
    const facts = this.#questions?.read(line) ?? [];
    this.#append('agent', line);
    this.#report(facts);
    if (facts.length > 0) this.#world.killAtQuestion(this);
  }

  // ── questions ─────────────────────────────────────────────────────────────────────────────────

  #openQuestions(foundSeq: number | undefined): void {
    this.#questions = new Questions({
      format: 'claude',
      folder: '/spool',
      files: this.spool.files,
      redacted: (text) => text,
      nextSeq: () => this.#nextSeq,
      isStdinOpen: () => true,
      isLogFull: () => false,
      hasRoom: () => true,
      problem: (message) => this.#world.violation(`${this.label}: ${message}`),
    });
    if (foundSeq === undefined) return;
    const { facts, unsure } = this.#questions.resume(foundSeq);
    this.#report(facts);
    for (const question of unsure) {
      this.#world.checks.asking.unsure(this.spool.execution, question);
      this.#append('status', { message: `the agent may not have the answer to ${question}` });
    }
  }

  #report(facts: readonly QuestionFact[]): void {
    for (const { type, data } of facts) this.#append(type, { ...data });
  }

  #answer(data: AnswerCommandData): void {
    const outcome = this.#questions?.answer(data) ?? { kind: 'not_asking' };
    if (outcome.kind === 'not_asking') return this.#append('status', { message: 'an answer was not passed on' });
    if (outcome.kind === 'waits' || this.#world.killAtQuestion(this)) return;
    this.#held?.reads(outcome.text);
    this.#report(this.#questions?.written() ?? []);
  }

  #childExits(exitCode: number | null, signal: string | null): void {
    this.#held?.ends(exitCode, signal);
  }

  #conclude(type: string, data: Record<string, unknown>): void {
    this.#append(type, data, true);
    if (this.phase === 'stopping') return;
    this.phase = 'draining';
    this.#drainingSince = this.#now;
    this.#patientFrom = this.#world.now;
    this.#waitingSince = this.#world.now;
  }

  #command(command: Command): void {
    if (!this.alive) return;
    if (!this.spool.commandsDone.includes(command.id)) {
      this.spool.commandsDone.push(command.id);
      this.spool.saveState({ durable: false });
      this.#world.checks.carriedOut(this.spool.execution, command.id);
      if (command.command === 'interrupt') {
        if (this.phase === 'connecting') this.#stopEarly = true;
        else if (this.phase === 'running') this.#interruptChild(command.data.forceAfterMs);
      } else if (command.command === 'answer' && this.phase === 'running') this.#answer(command.data);
      if (!this.alive) return;
    }
    this.link?.send(encodeFrame({ type: 'command_ack', id: command.id }));
  }

  #interruptChild(killAfterMs: number): void {
    // The real one notes this at the end of the process, not when its output was read.
    this.#toldToStop ||= this.#held?.runs ?? true;
    const { random } = this.#world;
    switch (this.#job.manners) {
      case 'obeys':
        this.#after(random.int(0, 300), () => this.#childExits(null, 'SIGINT'));
        return;
      case 'needs_kill':
        this.#after(killAfterMs, () => this.#childExits(null, 'SIGKILL'));
        return;
      case 'exits_zero':
        this.#after(random.int(0, 300), () => this.#childExits(0, null));
        return;
      case 'deaf':
        // Even SIGKILL has no effect for now: a process that hangs in the kernel.
        return;
      default:
        this.#job.manners satisfies never;
    }
  }

  // ── end ───────────────────────────────────────────────────────────────────────────────────────

  /** The coordinator wants no more of this execution, or of this wrapper. */
  #stopForGood(): void {
    switch (this.phase) {
      case 'connecting':
      case 'draining':
        return this.#finish('over');
      case 'running':
        this.phase = 'stopping';
        this.#after(this.#world.random.int(0, KILL_AFTER_MS), () => this.#childExits(null, 'SIGKILL'));
        return;
      case 'stopping':
      case 'ended':
        return;
      default:
        this.phase satisfies never;
    }
  }

  #finish(why: string): void {
    if (!this.alive) return;
    this.#world.trace(() => `${this.label} ends: ${why}`);
    const { link } = this;
    this.#end();
    link?.close(CLOSE.done, 'done');
  }

  #end(): void {
    this.phase = 'ended';
    this.#generation += 1;
    this.spool.locked = false;
    if (this.#held) this.#held.onChange = null;
  }
}
