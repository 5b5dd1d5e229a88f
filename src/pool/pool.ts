/**
 * One pool: its runners, what waits, and what runs where. The Durable Object and the model test call
 * the methods of this class and nothing behind it. Decisions are in core/pool-*.ts.
 *
 * Owns: the rows of the pool, its sockets, its one alarm.
 * Does not own: executions. Their sessions do: a session is asked before each launch and before a
 * lease is given up, and it may know better.
 *
 * P1  A change of state is one synchronous turn. After an `await` the row is read again, and the
 *     lease number decides whether the answer still concerns it.
 * P2  The row is written before the message that follows from it is sent.
 * P3  No waiting execution fits a free runner at the end of a turn. So each turn looks only at what
 *     it changed: a new execution, a runner that got a slot, a concurrency key that got a place.
 * P4  Memory holds only what rows and sockets say (core/pool-index.ts), and when a question is asked
 *     again. It is built anew on a wake.
 * P5  All times are deadlines in rows, or are computed from rows and sockets on every wake.
 * P6  A runner that looks silent gets nothing, and is given up at a second look (core/pool-silence.ts).
 */

import { CLOSE, HELLO_TIMEOUT_MS, type PoolSummary, type PoolView } from '../../protocol/index.ts';
import {
  CLONED_REASON,
  type EndedFrame,
  encodePoolFrame,
  KEY_EXPIRED_REASON,
  KEY_REVOKED_REASON,
  parseRunnerFrame,
  type RefusedFrame,
  RUNNER_PROTOCOL_VERSION,
  RUNNER_SILENCE_MS,
  type RunnerFrame,
  type RunnerHello,
  splitRunName,
} from '../../protocol/pool.ts';
import { alarmToSet } from '../core/deadlines.ts';
import { nextPoolWake } from '../core/pool-deadlines.ts';
import {
  afterHello,
  assign,
  CHECK_AFTER_MS,
  causeOfAbsence,
  confirm,
  FORGOTTEN_AFTER_MS,
  hasRun,
  isOfferOf,
  isUnseen,
  laneText,
  markOver,
  markRunning,
  needsAnswer,
  ORPHAN_CHECK_MS,
  type PoolEntry,
  parseLane,
  rankOf,
  recall,
  requeue,
} from '../core/pool-entry.ts';
import { entryKey, type Head, PoolIndex } from '../core/pool-index.ts';
import { chooseLane, chooseRunner, type PoolScene, reasonOf, underLimit } from '../core/pool-match.ts';
import type { OfferAnswer, PoolOffer, RecallCause, RunnerKeyRecord } from '../core/pool-messages.ts';
import type { PoolRuntime, PoolServices, PoolStore } from '../core/pool-ports.ts';
import {
  decideHello,
  noteFailure,
  noteFull,
  noteSuccess,
  RUNNER_FORGOTTEN_MS,
  RUNNERS_MAX,
  type RunnerRecord,
  tooOldNotice,
} from '../core/pool-runner.ts';
import { isSecondLook, LOOK_AGAIN_MS } from '../core/pool-silence.ts';
import type { WaitReason } from '../core/pool-terms.ts';
import type { SessionSocket } from '../core/ports.ts';
import { errorMessage, type PoolLog } from '../platform/log.ts';
import { Seat } from './seat.ts';
import {
  answerRunnerClose,
  attach,
  attachmentOf,
  closeRunner,
  isOpen,
  isTimed,
  RUNNER_TAG,
  type RunnerAttachment,
} from './sockets.ts';
import { type SeenPool, summaryOf, viewOf } from './views.ts';
import { WaitReasons } from './wait-reasons.ts';

/** The highest position that is counted. */
const POSITION_MAX = 1000;

/** A key's last use is written at most this often. */
const KEY_USED_AGAIN_MS = 60 * 60_000;

export class Pool {
  readonly #runtime: PoolRuntime;
  readonly #store: PoolStore;
  readonly #services: PoolServices;
  readonly #log: PoolLog;
  #index = new PoolIndex();
  readonly #seats = new Map<string, Seat>();
  readonly #scene: PoolScene;
  #alarm: number | null = null;
  #lastSince = 0;
  /** Executions whose session said that they are over, and whose runner did not yet. */
  readonly #settled = new Set<string>();
  readonly #reasons: WaitReasons;
  /** Sockets that are closed at a time: those without a hello, and those whose key expires. */
  readonly #timed = new Set<SessionSocket>();

  constructor(runtime: PoolRuntime, store: PoolStore, services: PoolServices, log: PoolLog = () => {}) {
    this.#runtime = runtime;
    this.#store = store;
    this.#services = services;
    this.#log = log;
    this.#scene = {
      runners: () => this.#seats.values(),
      activeWith: (key) => this.#index.activeWith(key),
      lastLeaseOf: (id) => this.#index.lastLeaseOf(id),
    };
    this.#reasons = new WaitReasons(store, (entry, reason) => runtime.waitUntil(services.tellReason(entry, reason)));
  }

  /** Runs first after every wake. Sockets that a reset has lost left no other trace. */
  async wake(now: number): Promise<void> {
    this.#alarm = await this.#runtime.getAlarm();
    if (!this.#store.exists) return;
    this.#index = new PoolIndex(this.#store.active(), this.#store.heads());
    for (const record of this.#store.runners()) this.#seat(record);
    for (const ws of this.#runtime.getWebSockets(RUNNER_TAG)) {
      const attachment = attachmentOf(ws);
      if (attachment && isTimed(attachment)) this.#timed.add(ws);
      const seat = attachment?.runnerId ? this.#seats.get(attachment.runnerId) : undefined;
      if (seat && attachment?.bootId === seat.record.bootId && !attachment.detached && isOpen(ws)) seat.ws = ws;
    }
    for (const seat of this.#seats.values()) {
      // Downtime of the object is not silence of the runner, so its time begins now.
      if (seat.ws === null && seat.record.goneAt === null) this.#putRunner(seat, { goneAt: now });
    }
    this.#dropForgotten(now);
    // P3. The instance before may have doubted a runner that was heard since.
    this.#match(() => true, now);
    this.#arm(now);
  }

  // ── connections ────────────────────────────────────────────────────────────────────────────────

  /** The key that may connect, or null. */
  admitKey(keyId: string, digest: string, now: number): RunnerKeyRecord | null {
    const key = this.#store.key(keyId);
    if (key?.digest !== digest || (key.expiresAt !== null && key.expiresAt <= now)) return null;
    if (now - (key.lastUsedAt ?? 0) >= KEY_USED_AGAIN_MS) this.#store.putKey({ ...key, lastUsedAt: now });
    return key;
  }

  connect(ws: SessionSocket, key: Pick<RunnerKeyRecord, 'id' | 'expiresAt'>, now: number): void {
    this.#runtime.acceptWebSocket(ws, [RUNNER_TAG]);
    attach(ws, { role: 'runner', keyId: key.id, expiresAt: key.expiresAt, acceptedAt: now, runnerId: null, bootId: null });
    this.#timed.add(ws);
    this.#arm(now);
  }

  onMessage(ws: SessionSocket, message: string | ArrayBuffer, now: number): void {
    const attachment = attachmentOf(ws);
    if (!attachment || attachment.detached) return;
    if (typeof message !== 'string') return this.#refuseFrame(ws, 'a frame must be text, not binary', now);
    const parsed = parseRunnerFrame(message);
    if (!parsed.ok) return this.#refuseFrame(ws, parsed.detail, now);
    if (parsed.frame === null) return;
    const { frame } = parsed;
    if (frame.type === 'hello') {
      if (attachment.runnerId !== null) return this.#refuseFrame(ws, 'hello was sent before', now);
      this.#onHello(ws, attachment.keyId, frame, now);
    } else {
      const seat = attachment.runnerId === null ? undefined : this.#seats.get(attachment.runnerId);
      if (attachment.runnerId === null) return this.#refuseFrame(ws, 'hello must come first', now);
      if (seat?.ws !== ws) return;
      seat.frameAt = now;
      this.#onFrame(seat, frame, now);
    }
    this.#arm(now);
  }

  onClose(ws: SessionSocket, code: number, reason: string, now: number): void {
    answerRunnerClose(ws, code, reason);
    this.#lose(ws, now);
    this.#arm(now);
  }

  onError(ws: SessionSocket, now: number): void {
    this.#lose(ws, now);
    this.#arm(now);
  }

  #refuseFrame(ws: SessionSocket, detail: string, now: number): void {
    this.#log('warn', 'runner_refused', { wsCloseCode: CLOSE.badFrame, reason: detail });
    this.#lose(ws, now);
    closeRunner(ws, CLOSE.badFrame, detail);
    this.#arm(now);
  }

  /** R1, R2 */
  #onHello(ws: SessionSocket, keyId: string, hello: RunnerHello, now: number): void {
    const before = this.#seats.get(hello.runnerId) ?? null;
    if (!before) this.#forgetOldRunners(now);
    const heardAt = before?.open ? before.heardAt : null;
    const decision = decideHello(before?.record ?? null, hello, { keyId, heardAt, runners: this.#seats.size, now });
    if (decision.kind !== 'accept') {
      const [code, reason] =
        decision.kind === 'refuse_clone' ? [CLOSE.claimed, CLONED_REASON] : [CLOSE.tooManyConnections, 'too many runners'];
      this.#log('warn', 'runner_refused', { runner: hello.runnerId, wsCloseCode: code, reason });
      return closeRunner(ws, code, reason);
    }
    const older = before?.ws ?? null;
    const known = this.#index.heldBy(hello.runnerId);
    const runs = new Set(hello.runs);
    const extraRuns = [...runs].filter((run) => !known.some((entry) => entryKey(entry) === run));
    const seat = this.#seat({ ...decision.record, extraRuns });
    this.#store.putRunner(seat.record);
    seat.ws = ws;
    const attachment = attachmentOf(ws);
    if (attachment) attach(ws, { ...attachment, runnerId: hello.runnerId, bootId: hello.bootId });
    if (older && older !== ws && isOpen(older)) {
      const cloned = decision.closes === 'cloned';
      if (cloned) this.#log('warn', 'runner_cloned', { runner: hello.runnerId });
      closeRunner(older, cloned ? CLOSE.claimed : CLOSE.superseded, cloned ? CLONED_REASON : 'superseded');
    }
    for (const entry of known) {
      const next = afterHello(entry, { has: runs.has(entryKey(entry)), bootId: hello.bootId, now });
      if (next === entry) continue;
      if (next?.state === 'recalled') this.#recall(entry, causeOfAbsence(entry, decision.rebooted), now);
      else this.#replace(entry, next);
    }
    this.#log('info', 'runner_connected', { runner: hello.runnerId, slots: hello.slots });
    const notice = seat.record.tooOld ? { notice: tooOldNotice(hello.version) } : {};
    this.#send(seat, encodePoolFrame({ type: 'welcome', protocol: Math.min(hello.protocol, RUNNER_PROTOCOL_VERSION), ...notice }));
    if (seat.record.draining) {
      this.#send(seat, encodePoolFrame({ type: 'drained' }));
      // It was told to while it was away.
      if (!hello.draining) this.#send(seat, encodePoolFrame({ type: 'drain' }));
    }
    this.#giveBack(seat, now);
    this.#fill(seat, now);
    // What was given up may have freed places under a limit.
    for (const entry of known) this.#matchKey(entry, now);
    this.#factsChanged(now);
  }

  /**
   * It was given up for lost and is there again: what it has and what waits here becomes its own.
   * Nothing is sent, because it has the run, and may be draining (POOL17).
   */
  #giveBack(seat: Seat, now: number): void {
    for (const run of seat.record.extraRuns) {
      const name = splitRunName(run);
      const entry = name && !this.#index.active.has(run) ? this.#store.get(name.session, name.execution) : null;
      if (entry?.state !== 'waiting' || !underLimit(parseLane(entry.lane), this.#scene)) continue;
      this.#assign(entry, seat, now, true);
    }
  }

  #onFrame(seat: Seat, frame: Exclude<RunnerFrame, RunnerHello>, now: number): void {
    switch (frame.type) {
      case 'launched':
        return this.#onLaunched(seat, frame.lease, now);
      case 'refused':
        return this.#onRefused(seat, frame, now);
      case 'ended':
        return this.#onEnded(seat, frame, now);
      case 'draining':
        if (!seat.record.draining) {
          this.#putRunner(seat, { draining: true });
          this.#factsChanged(now);
        }
        return void this.#send(seat, encodePoolFrame({ type: 'drained' }));
      default:
        return frame satisfies never;
    }
  }

  #entryOf(seat: Seat, lease: number): PoolEntry | null {
    const entry = this.#index.byLease(lease);
    return entry?.runnerId === seat.record.id ? entry : null;
  }

  #onLaunched(seat: Seat, lease: number, now: number): void {
    const entry = this.#entryOf(seat, lease);
    if (entry?.state === 'over') return entry.dueAt === null ? undefined : this.#put({ ...entry, dueAt: null });
    const confirmed = entry && confirm(entry, now);
    if (!confirmed) return;
    this.#put(confirmed);
    if (seat.record.fulls) this.#putRunner(seat, { fulls: 0 });
  }

  #onRefused(seat: Seat, { lease, code, message, retry }: RefusedFrame, now: number): void {
    const entry = this.#entryOf(seat, lease);
    if (entry?.state === 'over') {
      this.#remove(entry);
      return this.#fill(seat, now);
    }
    if (entry?.state !== 'leased') return;
    this.#log('info', 'launch_refused', { runner: seat.record.id, execution: entry.execution, session: entry.session, code });
    if (code === 'draining') this.#putRunner(seat, { draining: true });
    else if (code === 'full') this.#putRunner(seat, noteFull(seat.record, now));
    else if (code === 'start_failed') this.#fail(seat, code, now);
    this.#recall(entry, { kind: 'refused', code, message, retry }, now);
    this.#fill(seat, now);
  }

  #onEnded(seat: Seat, { session, execution }: EndedFrame, now: number): void {
    const key = entryKey({ session, execution });
    const entry = this.#index.active.get(key);
    const own = entry?.runnerId === seat.record.id && entry.state !== 'recalled' ? entry : null;
    const extra = seat.record.extraRuns.includes(key);
    if (!own && !extra) {
      return this.#log('info', 'runner_frame_ignored', { runner: seat.record.id, session, execution, reason: 'not its run' });
    }
    const full = seat.record.failures === 0 && seat.record.restUntil > now;
    if (extra || full) {
      const extraRuns = seat.record.extraRuns.filter((run) => run !== key);
      this.#putRunner(seat, { extraRuns, ...(full ? { restUntil: 0 } : {}) });
    }
    if (own) this.#release(own, now);
    // Nothing is to be asked: it has had a wrapper, or was ended before.
    if (own && !this.#index.active.has(key)) this.#succeed(seat, now);
    this.#fill(seat, now);
    if (own) this.#matchKey(own, now);
  }

  /** The runner has nothing of it any more. */
  #release(entry: PoolEntry, now: number): void {
    if (needsAnswer(entry) && !this.#settled.has(entryKey(entry))) this.#recall(entry, { kind: 'ended' }, now);
    else this.#remove(entry);
  }

  #waitAgain(entry: PoolEntry, now: number): void {
    // It no longer counts as active, for its own limit too.
    this.#index.delete(entryKey(entry));
    const reason = this.#enqueue(entry, now);
    if (reason !== null) this.#runtime.waitUntil(this.#services.tellReason(entry, reason));
    this.#matchKey(entry, now);
  }

  /** A connection is gone, or is given up. What was not confirmed on it goes elsewhere at once. */
  #lose(ws: SessionSocket, now: number): void {
    const attachment = attachmentOf(ws);
    const seat = attachment?.runnerId ? this.#seats.get(attachment.runnerId) : undefined;
    if (seat?.ws !== ws) return;
    seat.ws = null;
    this.#putRunner(seat, { goneAt: now });
    this.#log('info', 'runner_disconnected', { runner: seat.record.id });
    for (const entry of this.#index.heldBy(seat.record.id)) {
      if (entry.state === 'leased') this.#recall(entry, { kind: 'lost' }, now);
      else if (entry.state === 'over') this.#remove(entry);
    }
    this.#factsChanged(now);
  }

  /** Jobs whose wrapper was seen go on without it. */
  #declareLost(seat: Seat, now: number): void {
    this.#putRunner(seat, { lost: true, goneAt: seat.record.goneAt ?? now });
    this.#log('warn', 'runner_lost', { runner: seat.record.id, open: this.#index.heldCount(seat.record.id) });
    for (const entry of this.#index.heldBy(seat.record.id)) {
      if (isUnseen(entry)) this.#recall(entry, { kind: 'lost' }, now);
      else if (entry.state === 'running') this.#put(markRunning(entry, true, now));
      else if (entry.state === 'over') this.#remove(entry);
    }
    this.#factsChanged(now);
  }

  #drop(seat: Seat, code: number, reason: string, now: number): void {
    const { ws } = seat;
    if (!ws) return;
    this.#lose(ws, now);
    closeRunner(ws, code, reason);
  }

  // ── executions ─────────────────────────────────────────────────────────────────────────────────

  /** Idempotent: the session repeats its offer while the execution waits. */
  offer(offer: PoolOffer, now: number): OfferAnswer {
    if (!this.#store.exists) return { kind: 'no_pool' };
    const key = entryKey(offer);
    if (this.#index.active.has(key)) return { kind: 'assigned' };
    const known = this.#store.get(offer.session, offer.execution);
    // The session was deleted and made again, and the message about its end was lost.
    if (known && !isOfferOf(known, offer)) this.#remove(known);
    else if (known) {
      const reason = reasonOf(parseLane(known.lane), this.#scene);
      if (known.told !== reason) this.#store.noteTold(known, reason);
      return { kind: 'waiting', reason };
    }
    this.#lastSince = Math.max(now, this.#lastSince + 1);
    const { requires, needs, concurrency, session, execution, priority, waitUntil } = offer;
    const entry: PoolEntry = {
      session,
      execution,
      state: 'waiting',
      lane: laneText({ requires, needs, concurrency, avoid: null }),
      rank: rankOf(priority, this.#lastSince),
      priority,
      since: this.#lastSince,
      waitUntil,
      told: null,
      lease: null,
      runnerId: null,
      bootId: null,
      assignedAt: null,
      dueAt: null,
    };
    const reason = this.#enqueue(entry, now);
    this.#arm(now);
    return reason === null ? { kind: 'assigned' } : { kind: 'waiting', reason };
  }

  /** The session has ended the execution, in whatever way. Idempotent. */
  settled(session: string, execution: string, now: number): void {
    if (!this.#store.exists) return;
    const entry = this.#index.active.get(entryKey({ session, execution })) ?? this.#store.get(session, execution);
    if (!entry) return;
    const seat = entry.runnerId === null ? undefined : this.#seats.get(entry.runnerId);
    const connected = seat?.open ?? false;
    // Its runner reports the end in a moment. Until then only memory has to know; without it, the
    // session is asked.
    if (connected && entry.state === 'launched' && parseLane(entry.lane).concurrency === null) {
      this.#settled.add(entryKey(entry));
      return;
    }
    this.#replace(entry, markOver(entry, connected));
    this.#matchKey(entry, now);
    this.#arm(now);
  }

  /** Where it stands. Null when it does not wait here. */
  inspect(session: string, execution: string): { reason: WaitReason; position: number | null } | null {
    const entry = this.#store.exists ? this.#store.get(session, execution) : null;
    if (entry?.state !== 'waiting') return null;
    const lane = parseLane(entry.lane);
    const alike = laneText({ ...lane, concurrency: null, avoid: null });
    let before = 0;
    for (const head of this.#index.heads.values()) {
      if (head.rank >= entry.rank || laneText({ ...head.lane, concurrency: null, avoid: null }) !== alike) continue;
      before += this.#store.countBefore(head.text, entry.rank, POSITION_MAX - before);
      if (before >= POSITION_MAX) break;
    }
    return { reason: reasonOf(lane, this.#scene), position: before >= POSITION_MAX ? null : before + 1 };
  }

  /** P3. Returns why it waits, for the session, or null when a runner has it. */
  #enqueue(entry: PoolEntry, now: number): WaitReason | null {
    const head = this.#index.heads.get(entry.lane);
    const seat = head && head.rank < entry.rank ? null : (chooseRunner(parseLane(entry.lane), this.#scene, now) as Seat | null);
    if (seat) {
      this.#assign(entry, seat, now);
      return null;
    }
    this.#look(now);
    const reason = reasonOf(parseLane(entry.lane), this.#scene);
    this.#put({ ...entry, told: reason });
    return reason;
  }

  /** `returned`: the runner has it, by its hello. */
  #assign(entry: PoolEntry, seat: Seat, now: number, returned = false): void {
    const assigned = assign(entry, this.#store.nextLease(), seat.record, now);
    this.#settled.delete(entryKey(entry));
    this.#put(assigned, entry);
    this.#runtime.waitUntil(this.#launch(assigned, seat.record.name, returned));
  }

  /** P1, P2. The session gives the request, so env and stdin are never stored here. */
  async #launch(entry: PoolEntry, name: string, returned: boolean): Promise<void> {
    const runnerId = entry.runnerId ?? '';
    const answer = await this.#services.claim(entry, { id: runnerId, name });
    const now = this.#runtime.now();
    const current = this.#index.active.get(entryKey(entry));
    if (current?.lease !== entry.lease) return;
    const seat = this.#seats.get(runnerId);
    if (current.state === 'over' || (current.state === 'leased' && answer?.kind === 'gone')) {
      this.#remove(current);
      if (seat) this.#fill(seat, now);
      this.#matchKey(current, now);
    } else if (current.state === 'leased' && returned && answer?.kind === 'launch') {
      this.#put(confirm(current, now) ?? current);
    } else if (current.state === 'leased') {
      const sent =
        answer?.kind === 'launch' &&
        seat?.connected &&
        !seat.record.draining &&
        seat.record.bootId === current.bootId &&
        this.#send(seat, encodePoolFrame({ type: 'launch', lease: entry.lease ?? 0, request: answer.request }));
      if (!sent) {
        this.#recall(current, { kind: 'not_started' }, now, true);
        if (seat) this.#fill(seat, now);
      }
    }
    this.#arm(now);
  }

  /** Frees the slot, and asks the session whether the execution is to be assigned again. */
  #recall(entry: PoolEntry, cause: RecallCause, now: number, sameRunner = false): void {
    const recalled = recall(entry, now, cause.kind === 'ended');
    this.#put(recalled);
    const again = sameRunner || (cause.kind === 'refused' && (cause.code === 'full' || cause.code === 'draining'));
    this.#runtime.waitUntil(this.#ask(recalled, cause, again));
  }

  async #ask(entry: PoolEntry, cause: RecallCause, sameRunner: boolean): Promise<void> {
    const answer = await this.#services.recall(entry, { lease: entry.lease ?? 0, cause });
    const now = this.#runtime.now();
    const current = this.#index.active.get(entryKey(entry));
    if (!answer || current?.lease !== entry.lease || current.state !== entry.state) return;
    const seat = this.#seats.get(current.runnerId ?? '');
    const question = cause.kind === 'check';
    switch (answer.kind) {
      case 'active': {
        const run =
          question || hasRun(seat ? { open: seat.open, extraRuns: seat.record.extraRuns } : null, entryKey(current), cause)
            ? current
            : { ...current, runnerId: null };
        this.#put(markRunning(run, run.runnerId === null || !(seat?.open ?? false), now));
        if (question && seat) this.#succeed(seat, now);
        break;
      }
      case 'over':
        this.#replace(current, markOver(current, seat?.open ?? false));
        if ((question || cause.kind === 'ended') && seat) this.#succeed(seat, now);
        this.#matchKey(current, now);
        break;
      case 'pending':
        break;
      case 'waiting':
        if (cause.kind === 'ended' && seat) this.#fail(seat, 'ended_before_it_connected', now);
        if (!question) this.#waitAgain(requeue(current, cause, sameRunner, now), now);
        break;
      default:
        return answer.kind satisfies never;
    }
    this.#arm(now);
  }

  // ── matching ───────────────────────────────────────────────────────────────────────────────────

  /** The runner may have free slots. */
  #fill(seat: Seat, now: number): void {
    if (this.#index.heads.size > 0) seat.look(now);
    for (;;) {
      const head = chooseLane(seat, this.#index.heads.values(), this.#scene, now);
      if (!head || !this.#assignHead(head, seat, now)) return;
    }
  }

  /** A place under this execution's concurrency limit may be free. */
  #matchKey({ lane }: PoolEntry, now: number): void {
    const key = parseLane(lane).concurrency?.key;
    if (key !== undefined) this.#match((head) => head.lane.concurrency?.key === key, now);
  }

  #match(wanted: (head: Head) => boolean, now: number): void {
    for (;;) {
      let best: { head: Head; seat: Seat } | null = null;
      for (const head of this.#index.heads.values()) {
        if (!wanted(head) || (best && best.head.rank <= head.rank)) continue;
        const seat = chooseRunner(head.lane, this.#scene, now) as Seat | null;
        if (seat) best = { head, seat };
      }
      if (best && this.#assignHead(best.head, best.seat, now)) continue;
      const heads = [...this.#index.heads.values()];
      if (heads.some((head) => wanted(head) && underLimit(head.lane, this.#scene))) this.#look(now);
      return;
    }
  }

  #assignHead(head: Head, seat: Seat, now: number): boolean {
    const entry = this.#store.get(head.session, head.execution);
    if (entry?.state !== 'waiting') {
      this.#index.setHead(head.text, this.#store.headOf(head.text));
      return this.#index.heads.get(head.text)?.execution !== head.execution;
    }
    this.#assign(entry, seat, now);
    return true;
  }

  // ── time ───────────────────────────────────────────────────────────────────────────────────────

  /** Carries out everything that is due. Works early, late, twice, and with nothing due. */
  onAlarm(now: number): void {
    this.#alarm = null;
    try {
      if (this.#store.exists) this.#carryOut(now);
    } finally {
      this.#arm(now);
    }
  }

  #carryOut(now: number): void {
    for (const ws of this.#runtime.getWebSockets(RUNNER_TAG)) {
      const attachment = attachmentOf(ws);
      if (!attachment || attachment.detached || !isOpen(ws)) continue;
      if (attachment.expiresAt !== null && attachment.expiresAt <= now) {
        this.#lose(ws, now);
        closeRunner(ws, CLOSE.credentialRefused, KEY_EXPIRED_REASON);
      } else if (attachment.runnerId === null && attachment.acceptedAt + HELLO_TIMEOUT_MS <= now) {
        closeRunner(ws, CLOSE.helloTimeout, 'no hello in time');
      }
    }
    for (const seat of this.#seats.values()) {
      const held = this.#index.heldCount(seat.record.id);
      if (!seat.look(now)) continue;
      if (seat.open) this.#drop(seat, CLOSE.tryAgainLater, 'silent for too long', now);
      if (held > 0) this.#declareLost(seat, now);
    }
    for (const entry of [...this.#index.active.values()]) {
      if (entry.dueAt !== null && entry.dueAt <= now) this.#onDue(entry, now);
    }
    this.#dropForgotten(now);
    for (const seat of this.#seats.values()) {
      // A rest is over; whether it was that one or an earlier one makes no difference.
      if (seat.record.restUntil > 0 && seat.record.restUntil <= now) this.#fill(seat, now);
    }
    this.#match(({ lane }) => lane.avoid !== null && lane.avoid.until <= now, now);
    this.#reasons.tell(this.#index.heads.values(), this.#scene, now);
  }

  /** P6. Something waits, and a runner that would fit may be silent. */
  #look(now: number): void {
    for (const seat of this.#seats.values()) seat.look(now);
  }

  /** P3. A ping is no turn, so a runner that is heard again gets in the next one what fits it. */
  #fillHeard(now: number): void {
    for (const seat of this.#seats.values()) {
      if (seat.endDoubt(now)) this.#fill(seat, now);
    }
  }

  #onDue(entry: PoolEntry, now: number): void {
    const seat = this.#seats.get(entry.runnerId ?? '');
    switch (entry.state) {
      case 'leased': {
        // Without its connection the runner's own time decides.
        if (!seat?.open) return this.#put({ ...entry, dueAt: now + RUNNER_SILENCE_MS });
        // P6. In memory only, as below.
        if (!isSecondLook(entry)) return this.#index.set({ ...entry, dueAt: now + LOOK_AGAIN_MS });
        this.#fail(seat, 'not_confirmed', now);
        // A runner that does not answer says in its next hello what it holds.
        return this.#drop(seat, CLOSE.tryAgainLater, 'a launch was not confirmed in time', now);
      }
      case 'launched':
      case 'running': {
        // In memory only: without it the question is asked again, which changes nothing.
        const checked = { ...entry, dueAt: now + (entry.state === 'launched' ? CHECK_AFTER_MS : ORPHAN_CHECK_MS) };
        this.#index.set(checked);
        return this.#runtime.waitUntil(this.#ask(checked, { kind: 'check' }, false));
      }
      case 'recalled':
        return this.#recall(entry, { kind: 'not_started' }, now);
      case 'over':
        this.#remove(entry);
        if (seat) this.#fill(seat, now);
        return;
      case 'waiting':
        return;
      default:
        return entry.state satisfies never;
    }
  }

  /** Executions whose session gave up and did not say so, as far as they are first in their lane. */
  #dropForgotten(now: number): void {
    for (const head of [...this.#index.heads.values()]) {
      for (let first: Head | undefined = head; first && first.waitUntil + FORGOTTEN_AFTER_MS <= now; ) {
        this.#store.remove(first);
        this.#index.setHead(head.text, this.#store.headOf(head.text));
        first = this.#index.heads.get(head.text);
      }
    }
  }

  /** Those that are gone for long, and earlier when the pool is full of them: machines come and go. */
  #forgetOldRunners(now: number): void {
    const goneAt = ({ record }: Seat): number => record.goneAt ?? now;
    const gone = [...this.#seats.values()].filter((seat) => !seat.open && this.#index.heldCount(seat.record.id) === 0);
    for (const seat of gone.sort((a, b) => goneAt(a) - goneAt(b))) {
      if (goneAt(seat) + RUNNER_FORGOTTEN_MS > now && this.#seats.size < RUNNERS_MAX) return;
      this.#store.removeRunner(seat.record.id);
      this.#seats.delete(seat.record.id);
    }
  }

  #arm(now: number): void {
    this.#fillHeard(now);
    const at = this.#nextWake(now);
    const wanted = at === null ? null : alarmToSet(this.#alarm, at, now);
    if (wanted === null) return;
    this.#alarm = wanted;
    this.#runtime.setAlarm(wanted).catch((error: unknown) => {
      this.#alarm = null;
      this.#log('error', 'alarm_not_set', { message: errorMessage(error) });
    });
  }

  /** P5 */
  #nextWake(now: number): number | null {
    const sockets: RunnerAttachment[] = [];
    for (const ws of this.#timed) {
      const attachment = attachmentOf(ws);
      const waits = attachment && !attachment.detached && isOpen(ws) && isTimed(attachment);
      if (waits) sockets.push(attachment);
      else this.#timed.delete(ws);
    }
    const heads = [...this.#index.heads.values()];
    const runners = this.#seats.values();
    return nextPoolWake({ active: this.#index.active.values(), heads, runners, sockets, tellAt: this.#reasons.at }, now);
  }

  /** What executions wait for may be another reason now. */
  #factsChanged(now: number): void {
    if (this.#index.heads.size === 0) return;
    // M4: the others may be gone.
    this.#match(({ lane: { avoid } }) => avoid !== null && !avoid.evenAlone && now < avoid.until, now);
    if (this.#index.heads.size > 0) this.#reasons.lookAgain(now);
  }

  // ── keys and views ─────────────────────────────────────────────────────────────────────────────

  addKey(key: RunnerKeyRecord, keysMax: number, now: number): boolean {
    this.#store.create(now);
    if (this.#store.key(key.id)) return true;
    if (this.#store.keys().length >= keysMax) return false;
    this.#store.putKey(key);
    return true;
  }

  /** Null: there is no such pool. */
  keys(): RunnerKeyRecord[] | null {
    return this.#store.exists ? this.#store.keys() : null;
  }

  /** Its connections end at once. Jobs go on: their wrappers have credentials of their own. */
  revokeKey(id: string, now: number): boolean {
    if (!this.#store.removeKey(id)) return false;
    for (const ws of this.#runtime.getWebSockets(RUNNER_TAG)) {
      const attachment = attachmentOf(ws);
      if (attachment?.keyId !== id || attachment.detached) continue;
      this.#lose(ws, now);
      closeRunner(ws, CLOSE.credentialRefused, KEY_REVOKED_REASON);
    }
    this.#arm(now);
    return true;
  }

  /**
   * The runner takes nothing new, for the rest of its boot, and ends when its runs have ended. False:
   * there is no such runner. One that is not connected is told at its next hello.
   */
  drainRunner(id: string, now: number): boolean {
    const seat = this.#seats.get(id);
    if (!seat) return false;
    if (!seat.record.draining) {
      this.#putRunner(seat, { draining: true });
      this.#factsChanged(now);
    }
    this.#send(seat, encodePoolFrame({ type: 'drain' }));
    this.#arm(now);
    return true;
  }

  /**
   * Forgets a runner that is gone. What it had is as if it were lost now: its jobs go on, and what
   * has not begun is assigned again. If it comes back, its hello says what it holds.
   */
  removeRunner(id: string, now: number): 'removed' | 'unknown' | 'connected' {
    const seat = this.#seats.get(id);
    if (!seat) return 'unknown';
    if (seat.connected) return 'connected';
    if (seat.ws) this.#drop(seat, CLOSE.tryAgainLater, 'silent for too long', now);
    for (const entry of this.#index.heldBy(id)) {
      if (isUnseen(entry)) this.#recall(entry, { kind: 'lost' }, now);
      else if (entry.state === 'running') this.#put(markRunning(entry, true, now));
      else if (entry.state === 'over') this.#remove(entry);
    }
    this.#store.removeRunner(id);
    this.#seats.delete(id);
    this.#log('info', 'runner_removed', { runner: id });
    this.#factsChanged(now);
    this.#arm(now);
    return 'removed';
  }

  get exists(): boolean {
    return this.#store.exists;
  }

  summary(pool: string): PoolSummary | null {
    return this.#store.exists ? summaryOf(pool, this.#seen()) : null;
  }

  view(pool: string): PoolView | null {
    return this.#store.exists ? viewOf(pool, this.#seen()) : null;
  }

  #seen(): SeenPool {
    this.#dropForgotten(this.#runtime.now());
    return { store: this.#store, index: this.#index, seats: this.#seats, scene: this.#scene };
  }

  // ── rows ───────────────────────────────────────────────────────────────────────────────────────

  #seat(record: RunnerRecord): Seat {
    const known = this.#seats.get(record.id);
    if (known) {
      known.record = record;
      return known;
    }
    const seat = new Seat(record, this.#runtime, () => this.#index);
    this.#seats.set(record.id, seat);
    return seat;
  }

  #putRunner(seat: Seat, patch: Partial<RunnerRecord>): void {
    seat.record = { ...seat.record, ...patch };
    this.#store.putRunner(seat.record);
  }

  #fail(seat: Seat, code: string, now: number): void {
    seat.record = noteFailure(seat.record, code, now);
    this.#store.putRunner(seat.record);
    this.#log('warn', 'runner_failing', { runner: seat.record.id, code, attempt: seat.record.failures });
  }

  /** It may have rested, and rests no longer. */
  #succeed(seat: Seat, now: number): void {
    const record = noteSuccess(seat.record);
    if (!record) return;
    seat.record = record;
    this.#store.putRunner(record);
    this.#fill(seat, now);
  }

  /** `before`: what it was, if it waited. */
  #put(entry: PoolEntry, before?: PoolEntry): void {
    this.#store.put(entry);
    this.#index.set(entry);
    if (entry.state === 'waiting') {
      const head = this.#index.heads.get(entry.lane);
      if (!head || entry.rank < head.rank) this.#index.setHead(entry.lane, entry);
      return;
    }
    if (before?.state === 'waiting') this.#leaveQueue(before);
  }

  #leaveQueue({ lane, session, execution }: PoolEntry): void {
    const head = this.#index.heads.get(lane);
    if (head?.session === session && head.execution === execution) this.#index.setHead(lane, this.#store.headOf(lane));
    if (!this.#index.heads.has(lane)) this.#reasons.forget(lane);
  }

  #remove(entry: PoolEntry): void {
    this.#store.remove(entry);
    this.#index.delete(entryKey(entry));
    this.#settled.delete(entryKey(entry));
    if (entry.state === 'waiting') this.#leaveQueue(entry);
  }

  #replace(entry: PoolEntry, next: PoolEntry | null): void {
    if (next === entry) return;
    if (next) this.#put(next, entry);
    else this.#remove(entry);
  }

  /** False when the connection takes nothing. */
  #send({ ws }: Seat, text: string): boolean {
    try {
      ws?.send(text);
      return ws !== null;
    } catch {
      return false;
    }
  }
}
