/**
 * One schedule: a session, its wrappers, viewers and callers, and the faults, all drawn from one
 * seed.
 *
 *   time   0 ───────── faults and API calls ───────── healed ───────── at rest, or the limit
 *
 * After `healed` no new fault starts. What is broken by then stays broken until a peer detects it.
 * From there on everything must come to rest within the sum of all deadlines.
 */

import { type OnBusy, type OwnProblem, POLICY_DEFAULTS, type Policy, type ProblemCode } from '../../protocol/index.ts';
import { Caller } from './caller.ts';
import { Checks } from './checks.ts';
import { Clock } from './clock.ts';
import { Directory } from './directory.ts';
import { AWAY, type Fault, Faults, KILLED_AT_QUESTION } from './faults.ts';
import { Host, type SocketRequest } from './host.ts';
import { asAgent, drawBurst, drawJob, type Job } from './job.ts';
import { Launcher } from './launcher.ts';
import { type ClientEnd, CUT_MODES, Link } from './network.ts';
import { Poster } from './poster.ts';
import { CallbackQueue } from './queue.ts';
import { Random } from './random.ts';
import { Ledger, Spool } from './spool.ts';
import { Viewer } from './viewer.ts';
import { WrapperProcess } from './wrapper.ts';

const ALARM_LATE_MS = 60_000;
/**
 * While a launch is being answered no second alarm runs: the launcher's own limit and the travel
 * time.
 */
const LAUNCH_BLOCKS_MS = 21_000;
/** Slowest disk, and retries after a failed write. */
const TURN_SLACK_MS = 6_000;
/** Longer than some graces and waits, so that they pass while the object is down. */
const DOWN_MS = [3_000, 30_000] as const;
const STEPS_MAX = 200_000;
/** Longer than every budget of a wrapper. */
const SUSPEND_MS = 12 * 60_000;
const problemOf = (code: ProblemCode, status: number): OwnProblem => {
  return {
    type: `https://holdfast.dev/problems/${code}`,
    title: code,
    status,
    detail: code,
    code,
    retryable: false,
    requestId: 'r',
  };
};
const OTHER_KEY = problemOf('unauthorized', 401);
const NO_DATA = problemOf('session_not_found', 404);
/** Part of the schedules. */
const SLOW_UPLINKS = 0.03;
/** While the burst of output is on its way. */
const SLOW_UPLINK_CUTS_MS = [2_000, 4_000, 8_000, 16_000];
/** The share of schedules in which starts allow several active executions. */
const CROWDED_SCHEDULES = 0.3;
/** The share of schedules in which a wrapper is away for longer than its grace. */
const AWAY_SCHEDULES = 0.25;
/** The share of schedules in which jobs are agents that ask. */
const ASKING_SCHEDULES = 0.25;
/** For its questions and their answers, a run of an agent has more time. */
const ASKING_RUNTIME_MS = [60_000, 140_000] as const;

export interface Result {
  seed: number;
  violations: string[];
  faults: Map<Fault, number>;
  steps: number;
  events: number;
  verdicts: string[];
  trace: string[];
}

export class World {
  readonly seed: number;
  readonly clock = new Clock();
  readonly random: Random;
  readonly faults: Faults;
  readonly ledger = new Ledger();
  readonly checks: Checks;
  readonly host: Host;
  readonly launcher: Launcher;
  readonly directory: Directory;
  readonly queue: CallbackQueue;
  readonly caller: Caller;
  readonly processes: WrapperProcess[] = [];
  readonly posters: Poster[] = [];
  readonly viewers: Viewer[] = [];
  readonly askedToFail = new Set<string>();
  readonly #violations: string[] = [];
  readonly #trace: string[] | null;
  readonly #links: Link[] = [];
  readonly #jobs = new Map<string, Job>();
  readonly #timing: { minMs: number; maxMs: number };
  readonly #diskMs: number;
  readonly healedAt: number;
  #limit: number;
  #wrappers = 0;
  /** Of the wrappers of this schedule; undefined: never the bottleneck. */
  readonly #uplinkBytesPerSecond: number | undefined;
  /** The network of this schedule blocks every WebSocket of a wrapper. */
  #posts = false;

  constructor(seed: number, tracing = false) {
    this.seed = seed;
    this.#trace = tracing ? [] : null;
    this.random = new Random(seed);
    this.faults = new Faults(this.random);
    this.#timing = this.random.pick([
      { minMs: 0, maxMs: 2 },
      { minMs: 1, maxMs: 60 },
      { minMs: 20, maxMs: 800 },
    ]);
    this.#diskMs = this.random.pick([0, 5, 60]);
    this.healedAt = Clock.START + this.random.int(5_000, 50_000);
    this.#limit = this.healedAt + 90_000;
    // Drawn separately, so that the schedules without one do not change.
    const line = new Random(seed ^ 0x2c1b3c6d);
    this.#uplinkBytesPerSecond = line.chance(SLOW_UPLINKS) ? line.int(2500, 15_000) : undefined;
    this.host = new Host(this);
    this.checks = new Checks(this);
    this.launcher = new Launcher(this);
    this.directory = new Directory(this);
    this.queue = new CallbackQueue(this);
    this.caller = new Caller(this);
    this.#plan();
  }

  get now(): number {
    return this.clock.now;
  }

  async run(): Promise<Result> {
    while (this.#violations.length === 0 && !this.#over && this.clock.step()) {
      if (this.host.unsettled) await this.host.settle();
      if (this.clock.steps > STEPS_MAX) this.violation('the schedule does not come to an end');
    }
    if (this.#violations.length === 0) this.checks.final();
    return {
      seed: this.seed,
      violations: this.#violations,
      faults: this.faults.counts,
      steps: this.clock.steps,
      events: this.checks.log.length,
      verdicts: [...this.host.disk.executions.values()].map(({ status, code }) => `${status}${code ? ` ${code}` : ''}`),
      trace: this.#trace ?? [],
    };
  }

  // ── plan ──────────────────────────────────────────────────────────────────────────────────────

  #plan(): void {
    const { random, faults, clock } = this;
    const span = this.healedAt - Clock.START;
    const sometime = () => random.int(0, span);
    const ids = Array.from({ length: random.pick([1, 2, 3, 3, 4, 5]) }, (_, index) => `e${index + 1}`);
    this.#posts = random.chance(0.08);
    const bulky = random.chance(0.06);
    // Drawn separately, so that the other schedules do not change.
    const beside = new Random(this.seed ^ 0x3ac5a1f);
    const crowded = beside.chance(CROWDED_SCHEDULES);
    const asking = new Random(this.seed ^ 0x2f6e2b1);
    const asks = !this.#posts && this.#uplinkBytesPerSecond === undefined && asking.chance(ASKING_SCHEDULES);
    if (asks && asking.chance(0.4)) this.#killsAtQuestions = asking;
    for (const [index, id] of ids.entries()) {
      const drawn = this.#drawPolicy();
      const policy = asks ? { ...drawn, maxRuntimeMs: asking.int(...ASKING_RUNTIME_MS) } : drawn;
      const { pendingTimeoutMs, maxRuntimeMs, interruptGraceMs, silenceTimeoutMs, disconnectGraceMs } = policy;
      // LIF33: each wait may be renewed once. LIF36: the wait for an interrupt may be ten times as
      // long.
      const waits = 2 * (pendingTimeoutMs + 10 * interruptGraceMs + disconnectGraceMs);
      this.#limit += waits + maxRuntimeMs + silenceTimeoutMs + LAUNCH_BLOCKS_MS;
      const burst = index === 0 && this.#uplinkBytesPerSecond !== undefined;
      const job = burst ? drawBurst(random) : drawJob(random, bulky && index === 0);
      this.#jobs.set(id, asks ? asAgent(job, asking) : job);
      const wish = {
        policy,
        launcher: random.pick(['none', 'container'] as const),
        onBusy: random.pick<OnBusy>(['reject', 'queue', 'queue', 'replace']),
        maxActive: crowded ? beside.pick([1, 2, 3]) : 1,
        asks,
      };
      const at = index === 0 ? random.int(0, 200) : sometime();
      clock.after(at, () => this.caller.start(id, wish));
      for (let people = asks ? asking.pick([0, 1, 1, 2]) : 0; people > 0; people -= 1)
        clock.after(at, () => this.caller.answerAll(id, asking));
      if (random.chance(0.2)) clock.after(at + random.int(0, 3000), () => this.caller.start(id, wish));
      if (faults.strike('rival_wrapper')) clock.after(at + random.int(0, 5000), () => this.startWrapper(id));
    }
    for (let count = random.int(0, 4); count > 0; count -= 1) {
      const id = random.pick(ids);
      const ask = random.pick(['interrupt', 'interrupt', 'force', 'fail', 'input', 'input', 'ask'] as const);
      clock.after(sometime(), () => this.#ask(ask, id));
    }
    for (let count = random.int(1, 3); count > 0; count -= 1) {
      const label = `viewer ${count}`;
      const wish = {
        executions: random.chance(0.4) ? ids.filter(() => random.chance(0.5)).slice(0, 2) : null,
        types: random.chance(0.3)
          ? random.pick([
              ['output', 'exit'],
              ['execution_completed', 'status'],
              ['started', 'wrapper_connected'],
            ])
          : null,
        // Only a long log fills a window.
        flow: random.chance(bulky ? 0.7 : 0.5),
        tail: random.chance(0.2) ? random.int(0, 20) : null,
      };
      if (wish.executions?.length === 0) wish.executions = null;
      clock.after(sometime(), () => void this.viewers.push(new Viewer(this, label, wish)));
    }
    this.#often('cut', 10, sometime, () => this.#cut());
    // What a connection without a measured rate resends at once decides whether a slow line recovers.
    if (this.#uplinkBytesPerSecond !== undefined) for (const ms of SLOW_UPLINK_CUTS_MS) clock.after(ms, () => this.#cutUplink());
    // One wrapper is silent while the others go on.
    if (crowded) clock.after(beside.int(2_000, span), () => this.#living()?.freeze(beside.int(20_000, 60_000)));
    this.#often('object_crash', 4, sometime, () => this.host.crash('out of the blue'));
    this.#often('object_down', 2, sometime, () => this.#goDown());
    this.#often('hibernation', 12, sometime, () => void this.host.hibernate());
    this.#often('wrapper_killed', 3, sometime, () => this.#kill());
    this.#often('wrapper_frozen', 2, sometime, () => this.#living()?.freeze(random.pick([500, 5_000, 30_000])));
    this.#often('clock_jump', 2, sometime, () => this.#living()?.setClock(random.pick([-3_600_000, 3_600_000])));
    this.#often('suspend', 1, sometime, () => {
      this.#limit += SUSPEND_MS;
      this.#living()?.freeze(SUSPEND_MS, 'suspend');
    });
    const away = new Random(this.seed ^ 0x51ed270b);
    if (away.chance(AWAY_SCHEDULES)) clock.after(away.int(0, span), () => this.#goAway(away));
    this.#often('spool_damaged', 4, sometime, () => this.#damage());
    this.#often('wrapper_signalled', 1, sometime, () => this.#living()?.signal());
    clock.after(span, () => this.#heal());
  }

  #often(fault: Fault, most: number, sometime: () => number, action: () => void): void {
    if (!this.faults.has(fault)) return;
    for (let count = this.random.int(1, most); count > 0; count -= 1) this.clock.after(sometime(), action);
  }

  /** Short times, so that a schedule reaches all of them. */
  #drawPolicy(): Policy {
    const { random } = this;
    if (this.#uplinkBytesPerSecond !== undefined) {
      this.faults.count('slow_uplink');
      return { ...POLICY_DEFAULTS, pendingTimeoutMs: 20_000, maxRuntimeMs: 400_000, heartbeatMs: random.int(2_000, 15_000) };
    }
    const silenceTimeoutMs = random.int(3_000, 20_000);
    return {
      pendingTimeoutMs: random.int(2_000, 20_000),
      disconnectGraceMs: random.int(1_000, 15_000),
      silenceTimeoutMs,
      heartbeatMs: random.int(1_000, Math.floor(silenceTimeoutMs / 2)),
      interruptGraceMs: random.int(1_000, 8_000),
      maxRuntimeMs: random.int(2_000, 60_000),
    };
  }

  #ask(what: 'interrupt' | 'force' | 'fail' | 'input' | 'ask', id: string): void {
    switch (what) {
      case 'interrupt':
      case 'force':
        return this.caller.interrupt(id, what === 'force');
      case 'fail':
        this.askedToFail.add(id);
        return this.caller.fail(id);
      case 'input':
        return this.caller.input(id);
      case 'ask':
        return this.caller.ask();
      default:
        what satisfies never;
    }
  }

  /**
   * No new fault starts. One read wakes the session, because a lost alarm is only repaired by a
   * wake.
   */
  #heal(): void {
    this.trace(() => 'the world heals');
    this.faults.on = false;
    this.clock.after(1000, () => this.#look());
    const rest = () => {
      if (this.#over || this.checks.atRest) return;
      this.clock.after(500, rest);
    };
    this.clock.after(1500, rest);
  }

  #look(): void {
    if (this.host.isDown || (!this.host.asleep && !this.host.hibernate())) {
      this.clock.after(200, () => this.#look());
      return;
    }
    this.#lookedAt = this.now;
    this.caller.ask();
  }
  #lookedAt: number | null = null;

  get #over(): boolean {
    return this.now > this.#limit || (this.#lookedAt !== null && this.now > this.#lookedAt + 1000 && this.checks.atRest);
  }

  // ── faults ────────────────────────────────────────────────────────────────────────────────────

  #goDown(): void {
    const ms = this.random.int(...DOWN_MS);
    this.note('object_down', () => `the object is down for ${ms} ms`);
    this.#downs.push({ from: this.now, until: this.now + ms });
    this.host.goDown(ms);
  }
  /** In the order of time. */
  readonly #downs: { from: number; until: number }[] = [];

  #cut(): void {
    const links = this.#links.filter(({ whole }) => whole);
    if (links.length === 0) return;
    const link = this.random.pick(links);
    const mode = this.random.pick(CUT_MODES);
    this.note('cut', () => `the connection of ${link.label} is cut: ${mode}`);
    link.cut(mode);
  }

  #cutUplink(): void {
    const link = this.processes.find((process) => process.alive && process.link?.whole)?.link;
    if (!link) return;
    this.note('cut', () => `the connection of ${link.label} is cut: both`);
    link.cut('both');
  }

  /** No attempt of this wrapper gets through until its grace is certainly over. */
  #goAway(random: Random): void {
    const { disk } = this.host;
    const victim = this.processes.find(({ alive, link, spool }) => {
      const record = disk.executions.get(spool.execution);
      return alive && link?.whole && record?.status === 'running' && record.connected;
    });
    const policy = victim && disk.executions.get(victim.spool.execution)?.policy;
    if (!victim || !policy) return;
    const ms = policy.silenceTimeoutMs + policy.disconnectGraceMs + random.int(6_000, 20_000);
    this.note(AWAY, () => `${victim.label} is away for ${ms} ms`);
    this.#limit += ms;
    this.#awayUntil.set(victim.spool.execution, this.now + ms);
    victim.link?.cut('both');
  }
  readonly #awayUntil = new Map<string, number>();

  /**
   * QU2: a question was read, and its event is not on the disk yet. QU4: a reply was noted, and is
   * not written. True when the process was killed.
   */
  killAtQuestion(process: WrapperProcess): boolean {
    const random = this.#killsAtQuestions;
    if (!this.faults.on || !random?.chance(0.4)) return false;
    this.note(KILLED_AT_QUESTION, () => `${process.label} is killed at a question`);
    process.kill();
    this.clock.after(random.int(0, 3000), () => {
      if (!process.spool.locked) this.#startOn(process.spool);
    });
    return true;
  }
  #killsAtQuestions: Random | null = null;

  #living(): WrapperProcess | undefined {
    const living = this.processes.filter(({ alive }) => alive);
    return living.length > 0 ? this.random.pick(living) : undefined;
  }

  /**
   * A wrapper dies, or appears to: it may return with its spool, with less of it, or alongside a
   * copy of itself.
   */
  #kill(): void {
    const victim = this.#living();
    if (!victim) return;
    const { spool } = victim;
    const { random, faults, clock } = this;
    const again = (kept: Spool) => {
      clock.after(random.int(0, 8_000), () => {
        if (!kept.locked && !kept.removed) this.#startOn(kept);
      });
    };
    // A copy from before the start of the job could start the job again: the copy cannot be
    // recognised as one.
    if (spool.begun && faults.strike('spool_copied')) {
      this.checks.spoolCopied(spool.execution);
      return again(spool.copy());
    }
    victim.kill();
    // Without power the job is gone too; sometimes only its holder is killed.
    const tailLost = faults.strike('spool_tail_lost');
    const powerLost = faults.strike('spool_power_lost');
    if (tailLost) spool.loseTail(random.int(1, 5));
    if (powerLost) spool.losePower();
    if (tailLost || powerLost || faults.strike('holder_killed')) spool.held?.die();
    if (random.chance(0.7)) again(spool);
  }

  /** A host dies, and its disk damages lines that were not delivered yet. */
  #damage(): void {
    const victims = this.processes.filter(({ alive, spool }) => alive && spool.storedSeq > spool.releasedSeq);
    if (victims.length === 0) return;
    const victim = this.random.pick(victims);
    victim.kill();
    victim.spool.held?.die();
    const lines = victim.spool.damage(this.random);
    this.note('spool_damaged', () => `${lines} lines of the spool of ${victim.label} are damaged`);
    this.clock.after(this.random.int(0, 1000), () => {
      if (!victim.spool.locked) this.#startOn(victim.spool);
    });
  }

  // ── what the parts ask of the world ───────────────────────────────────────────────────────────

  /** How many lines the job prints when nothing stops it. */
  jobLines(execution: string): number {
    return this.#jobs.get(execution)?.pauses.length ?? 0;
  }

  startWrapper(execution: string): void {
    this.#wrappers += 1;
    const spool = new Spool(`w_${this.#wrappers}`, execution, this.ledger);
    if (this.#posts) this.posters.push(new Poster(this, spool));
    else this.#startOn(spool);
  }

  #startOn(spool: Spool): void {
    const job = this.#jobs.get(spool.execution);
    if (!job) return;
    this.trace(() => `wrapper ${spool.wrapperId} of ${spool.execution} is started`);
    this.processes.push(new WrapperProcess(this, spool, job));
  }

  /** A job begins now. A power loss right after this moment does the most damage. */
  begun(process: WrapperProcess): void {
    if (!this.faults.strike('spool_power_lost')) return;
    this.clock.after(this.random.int(0, 60), () => {
      if (!process.alive) return;
      process.kill();
      process.spool.held?.die();
      process.spool.losePower();
      this.clock.after(this.random.int(0, 1000), () => {
        if (!process.spool.locked) this.#startOn(process.spool);
      });
    });
  }

  wrappersOf(execution: string): (WrapperProcess | Poster)[] {
    return [...this.processes, ...this.posters].filter(({ spool }) => spool.execution === execution);
  }

  activeIds(): string[] {
    return [...this.host.disk.executions.values()]
      .filter(({ status }) => status === 'pending' || status === 'running')
      .map(({ id }) => id);
  }

  dial(label: string, request: SocketRequest, client: ClientEnd): Link {
    const { random, faults, clock } = this;
    const timing =
      request.kind === 'ingest' && this.#uplinkBytesPerSecond !== undefined
        ? { ...this.#timing, uplinkBytesPerSecond: this.#uplinkBytesPerSecond }
        : this.#timing;
    const link = new Link(label, clock, random, timing, client);
    this.#links.push(link);
    const travelMs = random.int(this.#timing.minMs, this.#timing.maxMs);
    if (request.kind === 'ingest' && clock.now < (this.#awayUntil.get(request.execution) ?? 0)) {
      clock.after(travelMs, () => link.down((end) => end.refused(0)));
    } else if (faults.strike('upgrade_lost')) {
      if (random.chance(0.5)) clock.after(travelMs, () => link.down((end) => end.refused(0)));
    } else if (faults.strike('upgrade_refused')) {
      clock.after(travelMs, () => link.down((end) => end.refused(random.pick([429, 500, 503]))));
    } else if (faults.strike('foreign_answer')) {
      clock.after(travelMs, () => link.down((end) => end.refused(random.pick([200, 302, 400, 401, 403, 404, 502]))));
    } else if (faults.strike('own_refusal')) {
      // A coordinator with another key or an empty data folder, for a moment.
      const problem = random.pick([OTHER_KEY, NO_DATA]);
      clock.after(travelMs, () => link.down((end) => end.refused(problem.status, problem)));
    } else {
      const acceptMs = faults.strike('slow_accept') ? random.int(8_000, 25_000) : travelMs;
      clock.after(acceptMs, () => this.host.accept(link, request));
    }
    return link;
  }

  diskDelayMs(): number {
    return this.faults.strike('disk_slow') ? this.random.int(0, 2_000) : this.random.int(0, this.#diskMs);
  }

  alarmLatenessMs(): number {
    return this.faults.strike('alarm_late') ? this.random.pick([this.random.int(0, 300), this.random.int(0, ALARM_LATE_MS)]) : 0;
  }

  /**
   * A turn wrote something. The interesting moments for a crash are before the write is durable,
   * and before its messages leave.
   */
  wrote(): void {
    if (!this.faults.strike('crash_at_write')) return;
    this.clock.after(this.random.int(0, this.random.pick([0, this.#diskMs, 2 * this.#diskMs])), () =>
      this.host.crash('at a write'),
    );
  }

  /** From here on the object may have no alarm. That is not the session's fault. */
  alarmMayBeGone(): void {
    this.#alarmGone = true;
  }
  #alarmGone = false;

  /**
   * The latest time for what is due at `at`. Without an alarm it waits for the next wake; while the
   * object is down it waits until the object is up.
   */
  latest(at: number): number {
    const slack = LAUNCH_BLOCKS_MS + TURN_SLACK_MS + (this.faults.counts.has('alarm_late') ? ALARM_LATE_MS : 0);
    let latest = (this.#alarmGone ? Math.max(at, this.#lookedAt ?? this.#limit) : at) + slack;
    for (const { from, until } of this.#downs) if (from <= latest) latest = Math.max(latest, until + slack);
    return latest;
  }

  // ── reporting ─────────────────────────────────────────────────────────────────────────────────

  violation(text: string): void {
    this.trace(() => `VIOLATION ${text}`);
    this.#violations.push(text);
  }

  note(fault: Fault, text: () => string): void {
    this.faults.count(fault);
    this.trace(text);
  }

  trace(text: () => string): void {
    this.#trace?.push(`${((this.now - Clock.START) / 1000).toFixed(3).padStart(9)}  ${text()}`);
  }
}
