/**
 * A pool in a world of its own: the real Pool (src/pool/pool.ts) over rows in memory, a clock that
 * jumps, runners, sessions and wrappers as small models, and seeded faults. The sessions decide with
 * the real functions (core/assignment.ts, core/lifecycle.ts).
 *
 * Faults: the object is killed after any turn, with the turn's rows and messages lost or kept;
 * runners crash, freeze, drain, lose their connection; frames come twice, or late on an old
 * connection; calls between pool and session are lost in either direction.
 */

import { POLICY_DEFAULTS } from '../../protocol/index.ts';
import { encodeRunnerFrame, parsePoolFrame, RUNNER_PING_MS, runName, splitRunName } from '../../protocol/pool.ts';
import { afterOffer, decideClaim, decideRecall, noteReason, offerOf } from '../../src/core/assignment.ts';
import { type ExecutionRecord, NEW_EXECUTION_FIELDS } from '../../src/core/execution.ts';
import { acceptHello, becomePending, expire, settleByFact, settleFailed, type Transition } from '../../src/core/lifecycle.ts';
import { isActive, type Lane, type PoolEntry, parseLane } from '../../src/core/pool-entry.ts';
import type { ClaimAnswer, RecallAnswer, RunnerKeyRecord } from '../../src/core/pool-messages.ts';
import type { PoolServices, PoolStore } from '../../src/core/pool-ports.ts';
import { isSilent, type RunnerRecord } from '../../src/core/pool-runner.ts';
import type { WaitReason } from '../../src/core/pool-terms.ts';
import type { SessionSocket } from '../../src/core/ports.ts';
import { Pool } from '../../src/pool/pool.ts';

export interface PoolPlan {
  seed: number;
  runners: number;
  executions: number;
  /** Per turn, and per frame or call. 0: none. */
  faultRate: number;
  /** Faults stop at this time, and everything has to end. */
  calmAtMs: number;
}

const START = 1_763_650_000_000;

// ── rows ────────────────────────────────────────────────────────────────────────────────────────

const keyOf = ({ session, execution }: { session: string; execution: string }) => `${session}/${execution}`;
const inOrder = (a: PoolEntry, b: PoolEntry) => a.rank - b.rank || (keyOf(a) < keyOf(b) ? -1 : 1);

interface Disk {
  createdAt: number;
  lease: number;
  entries: Map<string, PoolEntry>;
  runners: Map<string, RunnerRecord>;
  alarm: number | null;
}

export class MemoryPoolStore implements PoolStore {
  disk: Disk;
  onAssign: (entry: PoolEntry) => void = () => {};
  #next = 0;
  #reserved = 0;

  constructor(disk: Disk) {
    this.disk = disk;
  }
  get exists() {
    return this.disk.createdAt > 0;
  }
  get createdAt() {
    return this.disk.createdAt;
  }
  create(now: number) {
    this.disk.createdAt ||= now;
  }
  nextLease() {
    if (this.#next >= this.#reserved) {
      this.#next = this.disk.lease;
      this.#reserved = this.#next + 10;
      this.disk.lease = this.#reserved;
    }
    this.#next += 1;
    return this.#next - 1;
  }
  get(session: string, execution: string) {
    return this.disk.entries.get(runName(session, execution)) ?? null;
  }
  put(entry: PoolEntry) {
    if (entry.state === 'leased' && this.disk.entries.get(keyOf(entry))?.lease !== entry.lease) this.onAssign(entry);
    this.disk.entries.set(keyOf(entry), entry);
  }
  remove(entry: Pick<PoolEntry, 'session' | 'execution'>) {
    this.disk.entries.delete(keyOf(entry));
  }
  active() {
    return [...this.disk.entries.values()].filter(({ state }) => state !== 'waiting');
  }
  get queue() {
    return [...this.disk.entries.values()].filter(({ state }) => state === 'waiting').sort(inOrder);
  }
  heads() {
    const heads = new Map<string, PoolEntry>();
    for (const entry of this.queue) if (!heads.has(entry.lane)) heads.set(entry.lane, entry);
    return [...heads.values()];
  }
  nextIn(lane: string, after: Pick<PoolEntry, 'rank' | 'session' | 'execution'> | null) {
    const inLane = this.queue.filter((entry) => entry.lane === lane);
    return inLane[after === null ? 0 : inLane.findIndex((entry) => keyOf(entry) === keyOf(after)) + 1] ?? null;
  }
  notTold(lane: string, reason: WaitReason, limit: number) {
    return this.queue.filter((entry) => entry.lane === lane && entry.told !== reason).slice(0, limit);
  }
  noteTold(entry: PoolEntry, told: WaitReason) {
    this.disk.entries.set(keyOf(entry), { ...entry, told });
  }
  countBefore(lane: string, rank: number, limit: number) {
    return Math.min(limit, this.queue.filter((entry) => entry.lane === lane && entry.rank < rank).length);
  }
  countWaiting() {
    return this.queue.length;
  }
  runners() {
    return [...this.disk.runners.values()];
  }
  putRunner(record: RunnerRecord) {
    this.disk.runners.set(record.id, record);
  }
  removeRunner(id: string) {
    this.disk.runners.delete(id);
  }
  keys(): RunnerKeyRecord[] {
    return [];
  }
  key() {
    return null;
  }
  putKey() {}
  removeKey() {
    return false;
  }
}

// ── the world ───────────────────────────────────────────────────────────────────────────────────

class Socket implements SessionSocket {
  readyState = 1;
  attachment: unknown = null;
  lastPingAt: number | null = null;
  lastFrameAt = 0;
  readonly owner: ModelRunner;
  readonly #world: PoolWorld;
  constructor(world: PoolWorld, owner: ModelRunner) {
    this.#world = world;
    this.owner = owner;
  }
  send(text: string) {
    if (this.readyState !== 1) throw new Error('closed');
    this.#world.effect(() => this.#world.after(this.#world.int(1, 30), () => this.owner.onFrame(this, text)));
  }
  close(code: number) {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.#world.effect(() => this.#world.after(this.#world.int(1, 30), () => this.owner.onClose(this, code)));
  }
  serializeAttachment(attachment: unknown) {
    this.attachment = structuredClone(attachment);
  }
  deserializeAttachment() {
    return structuredClone(this.attachment);
  }
}

/** A runner process on a host, and the wrappers that it has started. */
class ModelRunner {
  readonly id: string;
  readonly labels: Record<string, string>;
  readonly slots: number;
  bootId: string;
  boots = 1;
  alive = true;
  frozenUntil = 0;
  draining = false;
  socket: Socket | null = null;
  /** On its disk: what it has accepted and not reported as ended. */
  readonly runs = new Set<string>();
  readonly #world: PoolWorld;

  constructor(world: PoolWorld, id: string, labels: Record<string, string>, slots: number) {
    this.#world = world;
    this.id = id;
    this.labels = labels;
    this.slots = slots;
    this.bootId = `${id}-b1`;
  }

  get awake() {
    return this.alive && this.#world.now >= this.frozenUntil;
  }

  dial() {
    if (!this.alive || this.socket?.readyState === 1) return;
    const socket = new Socket(this.#world, this);
    this.socket = socket;
    this.#world.turn((pool) => {
      this.#world.sockets.add(socket);
      pool.connect(socket, { id: 'rk_1', expiresAt: null }, this.#world.now);
    });
    this.send({
      type: 'hello',
      protocol: 1,
      runnerId: this.id,
      bootId: this.bootId,
      name: this.id,
      labels: this.labels,
      slots: this.slots,
      version: '0.2.0',
      runs: [...this.runs],
      draining: this.draining,
    });
    this.#ping(socket);
  }

  #ping(socket: Socket) {
    this.#world.after(RUNNER_PING_MS, () => {
      if (this.socket !== socket || socket.readyState !== 1) return;
      if (this.awake) socket.lastPingAt = this.#world.now;
      this.#ping(socket);
    });
  }

  /** In order on one connection; sometimes twice. */
  send(frame: Parameters<typeof encodeRunnerFrame>[0]) {
    const { socket } = this;
    if (!socket) return;
    const text = encodeRunnerFrame(frame);
    const deliver = () =>
      this.#world.turn((pool) => {
        if (socket.readyState !== 1) return;
        socket.lastFrameAt = this.#world.now;
        pool.onMessage(socket, text, this.#world.now);
      });
    this.#world.inOrder(socket, deliver);
    if (frame.type !== 'hello' && this.#world.strike()) this.#world.inOrder(socket, deliver);
  }

  onFrame(socket: Socket, text: string): void {
    if (!this.alive || this.socket !== socket) return;
    if (!this.awake) return void this.#world.after(this.frozenUntil - this.#world.now, () => this.onFrame(socket, text));
    const parsed = parsePoolFrame(text);
    if (!parsed.ok || parsed.frame?.type !== 'launch') return;
    const { lease, request } = parsed.frame;
    const { id, session } = request as { id: string; session: string };
    const run = runName(session, id);
    const again = this.runs.has(run);
    if (!again && this.runs.size >= this.slots) return this.send({ type: 'refused', lease, code: 'full', retry: true });
    if (!again && this.#world.strike())
      return this.send({ type: 'refused', lease, code: 'start_failed', message: 'fork failed', retry: true });
    this.runs.add(run);
    this.#world.after(this.#world.int(1, 500), () => {
      if (!this.alive) return;
      this.send({ type: 'launched', lease });
      if (!again) this.#world.startWrapper(this, session, id);
    });
  }

  ended(run: string) {
    if (!this.runs.delete(run)) return;
    const name = splitRunName(run);
    if (name && this.alive) this.send({ type: 'ended', ...name });
  }

  onClose(socket: Socket, code: number) {
    if (this.socket !== socket) return;
    this.socket = null;
    if (code === 4409) throw new Error(`${this.id} was called a clone`);
    if (this.alive) this.#world.after(this.#world.int(1, 3000), () => this.dial());
  }

  /** The connection breaks; the pool hears of it at once, late, or never. */
  cut() {
    const { socket } = this;
    if (!socket) return;
    this.socket = null;
    const noticed = () =>
      this.#world.turn((pool) => {
        if (socket.readyState !== 1) return;
        socket.readyState = 3;
        this.#world.sockets.delete(socket);
        pool.onClose(socket, 1006, '', this.#world.now);
      });
    if (this.#world.int(0, 2) > 0) this.#world.after(this.#world.int(1, 40_000), noticed);
    if (this.alive) this.#world.after(this.#world.int(1, 3000), () => this.dial());
  }

  /** The process ends. Wrappers go on, unless the host is gone too. */
  crash(hostToo: boolean) {
    this.cut();
    this.alive = false;
    if (hostToo) {
      for (const run of this.runs) this.#world.loseWrapper(run);
      this.runs.clear();
    }
    this.#world.after(this.#world.int(1000, 60_000), () => {
      this.alive = true;
      this.draining = false;
      this.boots += 1;
      this.bootId = `${this.id}-b${this.boots}`;
      this.dial();
    });
  }
}

/** Something that happens at a time. */
interface Item {
  at: number;
  order: number;
  run: () => void;
}

export class PoolWorld {
  now = START;
  readonly disk: Disk = { createdAt: START, lease: 1, entries: new Map(), runners: new Map(), alarm: null };
  readonly sockets = new Set<Socket>();
  readonly runners: ModelRunner[] = [];
  readonly records = new Map<string, ExecutionRecord>();
  readonly verdicts = new Map<string, number>();
  readonly problems: string[] = [];
  readonly leases = new Map<number, string>();
  readonly counts = { assigned: 0, recalled: 0, kills: 0, verdicts: {} as Record<string, number> };
  readonly plan: PoolPlan;
  #random: number;
  readonly #agenda: Item[] = [];
  #order = 0;
  #pool: Pool;
  #store: MemoryPoolStore;
  #incarnation = 0;
  #effects: (() => void)[] | null = null;
  #lastInOrder = new Map<Socket, number>();
  /** Runs whose wrapper is connected, by execution. */
  readonly #running = new Map<string, ModelRunner>();

  constructor(plan: PoolPlan) {
    this.plan = plan;
    this.#random = plan.seed * 2654435761 + 1;
    [this.#pool, this.#store] = this.#boot();
  }

  // ── chance and time ───────────────────────────────────────────────────────────────────────────

  chance(): number {
    this.#random = (this.#random * 1664525 + 1013904223) % 4294967296;
    return this.#random / 4294967296;
  }
  int(from: number, to: number): number {
    return from + Math.floor(this.chance() * (to - from + 1));
  }
  get calm(): boolean {
    return this.now >= START + this.plan.calmAtMs;
  }
  strike(): boolean {
    return !this.calm && this.chance() < this.plan.faultRate;
  }
  after(ms: number, run: () => void): void {
    this.#order += 1;
    this.#agenda.push({ at: this.now + Math.max(0, ms), order: this.#order, run });
  }
  /** Messages of one connection keep their order. */
  inOrder(socket: Socket, run: () => void): void {
    const at = Math.max(this.#lastInOrder.get(socket) ?? 0, this.now + this.int(1, 30));
    this.#lastInOrder.set(socket, at);
    this.after(at - this.now, run);
  }

  // ── the object ────────────────────────────────────────────────────────────────────────────────

  #boot(): [Pool, MemoryPoolStore] {
    this.#incarnation += 1;
    const incarnation = this.#incarnation;
    const store = new MemoryPoolStore(this.disk);
    store.onAssign = (entry) => this.#checkAssignment(entry);
    const runtime = {
      getWebSockets: () => [...this.sockets].filter(({ readyState }) => readyState === 1),
      acceptWebSocket: () => {},
      lastPingAt: (ws: SessionSocket) => (ws as Socket).lastPingAt,
      getAlarm: async () => this.disk.alarm,
      setAlarm: async (at: number) => {
        this.disk.alarm = at;
      },
      waitUntil: () => {},
      now: () => this.now,
    };
    const pool = new Pool(runtime, store, this.#services(incarnation));
    // Runs at once: the alarm is read before anything else, and the rest is synchronous.
    this.#wake(pool);
    return [pool, store];
  }

  #wake(pool: Pool): void {
    void pool.wake(this.now);
  }

  /** One turn of the object: its rows and its messages are kept together, or lost together. */
  turn(act: (pool: Pool) => void): void {
    const before = {
      entries: new Map(this.disk.entries),
      runners: new Map(this.disk.runners),
      lease: this.disk.lease,
      alarm: this.disk.alarm,
    };
    const leases = new Map(this.leases);
    this.#effects = [];
    act(this.#pool);
    const effects = this.#effects;
    this.#effects = null;
    if (!this.strike() || this.chance() > 0.3) {
      for (const effect of effects) effect();
      this.#checkQueue();
      return;
    }
    if (this.chance() < 0.5) {
      this.disk.entries = before.entries;
      this.disk.runners = before.runners;
      this.disk.lease = before.lease;
      this.disk.alarm = before.alarm;
      // What was never sent was never given out.
      for (const lease of this.leases.keys()) if (!leases.has(lease)) this.leases.delete(lease);
    } else {
      for (const effect of effects) effect();
    }
    this.#kill();
  }

  /** Messages go out when the turn's rows are durable. */
  effect(send: () => void): void {
    if (this.#effects) this.#effects.push(send);
    else send();
  }

  #kill(): void {
    this.counts.kills += 1;
    for (const socket of this.sockets) {
      socket.readyState = 3;
      const { owner } = socket;
      this.after(this.int(1, 200), () => owner.onClose(socket, 1006));
    }
    this.sockets.clear();
    [this.#pool, this.#store] = this.#boot();
  }

  // ── sessions ──────────────────────────────────────────────────────────────────────────────────

  #services(incarnation: number): PoolServices {
    const call = <T>(key: string, ask: (record: ExecutionRecord | null) => T): Promise<T | null> =>
      new Promise((resolve) => {
        const lostOnTheWay = this.strike();
        const answerLost = this.strike();
        this.effect(() =>
          this.after(this.int(1, 40), () => {
            const answer = lostOnTheWay ? null : ask(this.records.get(key) ?? null);
            this.after(this.int(1, 40), () => {
              // An answer to a dead instance goes nowhere.
              if (this.#incarnation !== incarnation) return;
              this.#answers.push(() => resolve(answerLost ? null : answer));
            });
          }),
        );
      });
    return {
      claim: (entry, runner) =>
        call(keyOf(entry), (record): ClaimAnswer => {
          const decision = record ? decideClaim(record, { lease: entry.lease ?? 0, runner }, this.now) : null;
          if (!record || decision?.kind !== 'bound') return { kind: 'gone' };
          if (decision.transition) this.#apply(record, decision.transition);
          return { kind: 'launch', request: { id: entry.execution, session: entry.session } as never };
        }),
      recall: (entry, request) =>
        call(keyOf(entry), (record): RecallAnswer => {
          const { answer, transition } = decideRecall(record, request, this.now);
          if (record && transition) this.#apply(record, transition);
          if (answer === 'waiting') this.counts.recalled += 1;
          return { kind: answer };
        }),
      tellReason: async (entry, reason) => {
        await call(keyOf(entry), (record) => {
          const transition = record && noteReason(record, reason);
          if (record && transition) this.#apply(record, transition);
        });
      },
    };
  }

  readonly #answers: (() => void)[] = [];

  #apply(record: ExecutionRecord, { patch }: Transition): void {
    const key = runName(record.origin, record.id);
    if (['completed', 'failed', 'interrupted'].includes(record.status)) return;
    const next = { ...record, ...patch };
    this.records.set(key, next);
    if (['completed', 'failed', 'interrupted'].includes(next.status)) {
      this.verdicts.set(key, (this.verdicts.get(key) ?? 0) + 1);
      const code = next.code ?? next.status;
      this.counts.verdicts[code] = (this.counts.verdicts[code] ?? 0) + 1;
      this.#running.delete(key);
      // Best effort: the pool asks before it acts.
      if (!this.strike()) this.after(this.int(1, 40), () => this.turn((pool) => pool.settled(record.origin, record.id, this.now)));
    }
  }

  start(session: string, id: string, terms: Partial<ExecutionRecord>, workMs: number): void {
    const key = runName(session, id);
    const record = {
      ...NEW_EXECUTION_FIELDS,
      ordinal: 1,
      id,
      origin: session,
      status: 'queued',
      launcher: 'pool',
      pool: 'p',
      policy: { ...POLICY_DEFAULTS, pendingTimeoutMs: 120_000 },
      waitMs: 3_600_000,
      output: 'text',
      workMs,
      ...terms,
    } as unknown as ExecutionRecord;
    this.records.set(key, { ...record, ...becomePending(record, this.now).patch });
    this.#offer(key);
    this.#watch(key);
  }

  #offer(key: string): void {
    const record = this.records.get(key);
    if (record?.status !== 'pending' || record.assignedAt !== null) return;
    this.turn((pool) => {
      const answer = pool.offer(offerOf(record.origin, record), this.now);
      this.effect(() => {
        const current = this.records.get(key);
        const transition = current && current.status === 'pending' ? afterOffer(current, answer, this.now) : null;
        if (current && transition) this.#apply(current, transition);
      });
    });
  }

  /** What the session's alarm does: deadlines, and the offer that is repeated. */
  #watch(key: string): void {
    this.after(20_000, () => {
      const record = this.records.get(key);
      if (!record || !['pending', 'running'].includes(record.status)) return;
      const due = expire(record, this.now);
      if (due) this.#apply(record, due);
      else if (record.status === 'pending' && (record.launchAt ?? this.now) <= this.now) this.#offer(key);
      this.#watch(key);
    });
  }

  cancel(key: string): void {
    const record = this.records.get(key);
    if (record && ['pending', 'running'].includes(record.status))
      this.#apply(record, settleFailed(record, 'cancelled', 'x', this.now));
  }

  // ── wrappers ──────────────────────────────────────────────────────────────────────────────────

  startWrapper(runner: ModelRunner, session: string, id: string): void {
    const key = runName(session, id);
    const wrapperId = `w-${runner.id}-${this.#order}`;
    if (this.strike()) return this.after(this.int(100, 2000), () => runner.ended(key));
    const dial = (): void => {
      const record = this.records.get(key);
      if (!runner.runs.has(key)) return;
      if (!record || !['pending', 'running'].includes(record.status)) return runner.ended(key);
      const answer = acceptHello(record, { wrapperId, bootId: 'b', nextSeq: 1, lost: 0 }, 0, 'socket', this.now);
      if (answer.kind === 'not_yet') return this.after(this.int(500, 3000), dial);
      if (answer.kind === 'claimed') return runner.ended(key);
      this.#apply(record, answer.transition);
      this.#checkLimit(key, runner);
      this.#running.set(key, runner);
      this.after((record as unknown as { workMs: number }).workMs, () => {
        const ended = this.records.get(key);
        if (this.#running.get(key) !== runner || ended?.wrapperId !== wrapperId) return runner.ended(key);
        if (ended.status === 'running')
          this.#apply(ended, settleByFact(ended, { type: 'exit', at: this.now, data: { exitCode: 0, signal: null } }, this.now));
        this.#running.delete(key);
        runner.ended(key);
      });
    };
    this.after(this.int(50, 3000), dial);
  }

  /** The host is gone. The session's grace ends the run. */
  loseWrapper(key: string): void {
    if (!this.#running.delete(key)) return;
    this.after(60_000, () => {
      const record = this.records.get(key);
      if (record?.status === 'running') this.#apply(record, settleFailed(record, 'wrapper_disconnected', 'x', this.now));
    });
  }

  // ── checks ────────────────────────────────────────────────────────────────────────────────────

  #fail(what: string): void {
    this.problems.push(`${this.now - START} ms: ${what}`);
  }

  #heldBy(runnerId: string, except = ''): number {
    const holding = ['leased', 'launched', 'running', 'over'];
    return this.#store
      .active()
      .filter((entry) => entry.runnerId === runnerId && holding.includes(entry.state) && keyOf(entry) !== except).length;
  }

  #isHeld(run: string, runnerId: string): boolean {
    const entry = this.disk.entries.get(run);
    return entry?.runnerId === runnerId && !['waiting', 'recalled'].includes(entry.state);
  }

  #activeWith(key: string, except = ''): number {
    return this.#store
      .active()
      .filter((entry) => isActive(entry) && keyOf(entry) !== except && parseLane(entry.lane).concurrency?.key === key).length;
  }

  #fits({ requires }: Lane, labels: Record<string, string>): boolean {
    return Object.entries(requires).every(([name, value]) => labels[name] === value);
  }

  /** Could this runner get it now, by the rules, counted from the rows? */
  #couldHave(entry: PoolEntry, socket: Socket, evenAvoided = false): boolean {
    const record = this.disk.runners.get(socket.owner.id);
    const attachment = socket.attachment as { runnerId: string | null; bootId: string | null; detached?: boolean } | null;
    if (!record || attachment?.runnerId !== record.id || attachment.bootId !== record.bootId || attachment.detached) return false;
    if (record.draining || record.restUntil > this.now) return false;
    if (isSilent(Math.max(record.helloAt, socket.lastFrameAt, socket.lastPingAt ?? 0), this.now)) return false;
    const unknown = record.extraRuns.filter((run) => !this.#isHeld(run, record.id));
    if (this.#heldBy(record.id) + unknown.length >= record.slots) return false;
    const lane = parseLane(entry.lane);
    if ((this.#isAvoided(lane, record.id) && !evenAvoided) || !this.#fits(lane, record.labels)) return false;
    return lane.concurrency === null || this.#activeWith(lane.concurrency.key, keyOf(entry)) < lane.concurrency.limit;
  }

  #isAvoided(lane: Lane, runnerId: string): boolean {
    const { avoid } = lane;
    if (avoid?.runnerId !== runnerId || this.now >= avoid.until) return false;
    return avoid.evenAlone || [...this.sockets].some((other) => other.owner.id !== runnerId && this.#serves(other, lane));
  }

  /** It would take it if it had a free slot. */
  #serves(socket: Socket, lane: Lane): boolean {
    const record = this.disk.runners.get(socket.owner.id);
    const attachment = socket.attachment as { bootId: string | null; detached?: boolean } | null;
    if (!record || socket.readyState !== 1 || attachment?.bootId !== record.bootId || attachment.detached) return false;
    return !record.draining && this.#fits(lane, record.labels);
  }

  /** Before the row is written: the queue is still as it was. */
  #checkAssignment(entry: PoolEntry): void {
    this.counts.assigned += 1;
    const lease = entry.lease ?? 0;
    if (this.leases.has(lease)) this.#fail(`lease ${lease} was given out twice`);
    this.leases.set(lease, keyOf(entry));
    const before = this.disk.entries.get(keyOf(entry));
    if (before && !['waiting', 'recalled'].includes(before.state)) this.#fail(`${keyOf(entry)} has a lease and gets another`);
    const { concurrency } = parseLane(entry.lane);
    if (concurrency && this.#activeWith(concurrency.key, keyOf(entry)) >= concurrency.limit)
      this.#fail(`${concurrency.key} is at its limit of ${concurrency.limit}`);
    const sockets = [...this.sockets].filter(({ owner, readyState }) => owner.id === entry.runnerId && readyState === 1);
    // A runner that gets back what it has takes no slot for it.
    if (sockets.some(({ owner }) => owner.runs.has(keyOf(entry)))) return;
    const socket = sockets.find((one) => this.#couldHave(entry, one, true));
    if (!socket) return this.#fail(`${keyOf(entry)} goes to ${entry.runnerId}, which could not have it`);
    for (const other of this.#store.queue) {
      if (other.rank >= entry.rank || keyOf(other) === keyOf(entry)) continue;
      if (this.#couldHave(other, socket)) this.#fail(`${keyOf(entry)} overtakes ${keyOf(other)} on ${entry.runnerId}`);
    }
  }

  /** After a turn: nothing waits that could run, and what waits is counted. */
  #checkQueue(): void {
    const seen = this.#pool.view('p');
    const { queue } = this.#store;
    const oldest = Math.min(...queue.map(({ since }) => since));
    if (seen?.waiting !== queue.length || (seen.oldestWaitingAt ?? Number.POSITIVE_INFINITY) !== oldest)
      this.#fail(`${queue.length} wait since ${oldest}, and the view has ${seen?.waiting} since ${seen?.oldestWaitingAt}`);
    const [listed, first] = [seen?.queue ?? [], queue.slice(0, 50)].map((all) => all.map(keyOf).join());
    if (listed !== first) this.#fail(`${first} are first, and the view has ${listed}`);
    for (const entry of this.#store.queue) {
      for (const socket of this.sockets) {
        if (socket.readyState === 1 && this.#couldHave(entry, socket))
          return this.#fail(`${keyOf(entry)} waits while ${socket.owner.id} is free`);
      }
    }
  }

  /** The real number of runs, and not what the pool believes. */
  #checkLimit(key: string, runner: ModelRunner): void {
    const limit = this.records.get(key)?.concurrency;
    if (!limit) return;
    const running = [...this.records.values()].filter(
      ({ status, concurrency }) => status === 'running' && concurrency?.key === limit.key,
    ).length;
    if (running > limit.limit) this.#fail(`${running} run with ${limit.key} (on ${runner.id}), and ${limit.limit} may`);
  }

  // ── a run ─────────────────────────────────────────────────────────────────────────────────────

  async run(untilMs: number): Promise<void> {
    while (this.#agenda.length > 0 || this.disk.alarm !== null) {
      const next = this.#earliest();
      const alarmAt = this.disk.alarm;
      if (alarmAt !== null && (next === null || alarmAt <= next.at)) {
        this.now = Math.max(this.now, alarmAt);
        if (this.now > START + untilMs) return;
        this.disk.alarm = null;
        this.turn((pool) => pool.onAlarm(this.now));
      } else if (next) {
        this.#agenda.splice(this.#agenda.indexOf(next), 1);
        this.now = Math.max(this.now, next.at);
        if (this.now > START + untilMs) return;
        next.run();
      }
      // What follows an answer is a turn of its own.
      for (let answer = this.#answers.shift(); answer; answer = this.#answers.shift()) {
        const given = answer;
        await this.#asyncTurn(given);
      }
      // A new instance has read its alarm before the next event.
      await Promise.resolve();
      await Promise.resolve();
      if (this.problems.length > 0) return;
      if (this.#allOver()) return;
    }
  }

  #earliest(): Item | null {
    let first: Item | null = null;
    for (const item of this.#agenda) {
      if (!first || item.at < first.at || (item.at === first.at && item.order < first.order)) first = item;
    }
    return first;
  }

  async #asyncTurn(resolve: () => void): Promise<void> {
    this.#effects = [];
    resolve();
    for (let round = 0; round < 8; round += 1) await Promise.resolve();
    const effects = this.#effects ?? [];
    this.#effects = null;
    for (const effect of effects) effect();
    if (this.strike() && this.chance() < 0.3) this.#kill();
    else this.#checkQueue();
  }

  #allOver(): boolean {
    return this.calm && [...this.records.values()].every(({ status }) => !['pending', 'running'].includes(status));
  }

  addRunner(id: string, labels: Record<string, string>, slots: number): void {
    const runner = new ModelRunner(this, id, labels, slots);
    this.runners.push(runner);
    this.after(this.int(0, 20_000), () => runner.dial());
    const trouble = (): void => {
      if (this.calm) {
        runner.draining = false;
        return;
      }
      const kind = this.int(0, 5);
      if (runner.alive && this.chance() < this.plan.faultRate * 8) {
        if (kind === 0) runner.crash(false);
        else if (kind === 1) runner.crash(true);
        else if (kind === 2) runner.frozenUntil = this.now + this.int(1000, 60_000);
        else if (kind === 3) runner.cut();
        else if (kind === 4 && !runner.draining) {
          runner.draining = true;
          runner.send({ type: 'draining' });
          this.after(30_000, () => runner.alive && runner.crash(false));
        }
      }
      this.after(this.int(1000, 10_000), trouble);
    };
    trouble();
  }
}

/** Runs one world, and returns what was wrong. */
export async function runPoolWorld(plan: PoolPlan): Promise<PoolWorld> {
  const world = new PoolWorld(plan);
  for (let index = 0; index < plan.runners; index += 1) {
    const labels: Record<string, string> = world.int(0, 2) === 0 ? { gpu: 'yes' } : {};
    world.addRunner(`r${index}`, index === 0 ? { gpu: 'yes' } : labels, world.int(1, 3));
  }
  for (let index = 0; index < plan.executions; index += 1) {
    const terms: Partial<ExecutionRecord> = {
      priority: world.int(0, 3) === 0 ? world.int(-10, 10) : 0,
      ...(world.int(0, 3) === 0 ? { requires: { gpu: 'yes' } } : {}),
      ...(world.int(0, 2) === 0
        ? { concurrency: world.int(0, 1) === 0 ? { key: 'one', limit: 1 } : { key: 'two', limit: 2 } }
        : {}),
    };
    const workMs = world.int(0, 9) === 0 ? world.int(20_000, 120_000) : world.int(10, 5000);
    const at = world.int(0, plan.calmAtMs);
    world.after(at, () => world.start(`s${index}`, 'e1', terms, workMs));
    if (world.int(0, 9) === 0) world.after(at + world.int(1, 5000), () => world.cancel(`s${index}/e1`));
  }
  await world.run(plan.calmAtMs + 3 * 3_600_000);
  for (const [key, record] of world.records) {
    if (['pending', 'running', 'queued'].includes(record.status)) world.problems.push(`${key} never ended: ${record.status}`);
    if ((world.verdicts.get(key) ?? 0) > 1) world.problems.push(`${key} was settled twice`);
  }
  return world;
}
