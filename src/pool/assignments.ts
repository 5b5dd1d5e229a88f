/**
 * Which execution has which runner: from its offer, through leases, to the end of its slot.
 *
 * Owns: leases, and the questions to sessions about them.
 * Does not own: executions. Their sessions do: a session is asked before each launch and before a
 * lease is given up, and it may know better.
 *
 * P1  A change of state is one synchronous turn. After an `await` the row is read again, and the
 *     lease number decides whether the answer still concerns it.
 * P2  The row is written before the message that follows from it is sent.
 * P3  No waiting execution fits a free runner at the end of a turn. So each turn looks only at what
 *     it changed: a new execution, a runner that got a slot, a concurrency key that got a place.
 */

import { encodePoolFrame, splitRunName } from '../../protocol/pool.ts';
import {
  assign,
  confirm,
  enter,
  hasRun,
  isOfferOf,
  isUnseen,
  laneText,
  markOver,
  markRunning,
  needsAnswer,
  type PoolEntry,
  parseLane,
  recall,
  requeue,
} from '../core/pool-entry.ts';
import { entryKey, type Head } from '../core/pool-index.ts';
import { chooseLane, chooseMatch, chooseRunner, reasonOf, underLimit } from '../core/pool-match.ts';
import type { OfferAnswer, PoolOffer, RecallCause } from '../core/pool-messages.ts';
import type { PoolRuntime, PoolServices } from '../core/pool-ports.ts';
import { noteFailure, noteSuccess } from '../core/pool-runner.ts';
import type { WaitReason } from '../core/pool-terms.ts';
import type { PoolLog } from '../platform/log.ts';
import type { PoolAlarm } from './alarm.ts';
import type { PoolLedger } from './ledger.ts';
import type { Seat } from './seat.ts';
import type { WaitReasons } from './wait-reasons.ts';

/** The highest position that is counted. */
const POSITION_MAX = 1000;

export interface PoolParts {
  ledger: PoolLedger;
  reasons: WaitReasons;
  alarm: PoolAlarm;
  log: PoolLog;
}

export class Assignments {
  readonly #runtime: Pick<PoolRuntime, 'waitUntil' | 'now'>;
  readonly #services: Pick<PoolServices, 'claim' | 'recall'>;
  readonly #ledger: PoolLedger;
  readonly #reasons: WaitReasons;
  readonly #alarm: PoolAlarm;
  readonly #log: PoolLog;
  #lastSince = 0;

  constructor(
    runtime: Pick<PoolRuntime, 'waitUntil' | 'now'>,
    services: Pick<PoolServices, 'claim' | 'recall'>,
    { ledger, reasons, alarm, log }: PoolParts,
  ) {
    this.#runtime = runtime;
    this.#services = services;
    this.#ledger = ledger;
    this.#reasons = reasons;
    this.#alarm = alarm;
    this.#log = log;
  }

  /**
   * Every turn ends with it. P3: a ping is no turn, so a runner that is heard again gets here what
   * fits it.
   */
  endTurn(now: number): void {
    for (const seat of this.#ledger.seats.values()) {
      if (seat.endDoubt(now)) this.fill(seat, now);
    }
    this.#alarm.arm(now);
  }

  // ── executions ─────────────────────────────────────────────────────────────────────────────────

  offer(offer: PoolOffer, now: number): Exclude<OfferAnswer, { kind: 'no_pool' }> {
    const key = entryKey(offer);
    if (this.#ledger.index.active.has(key)) return { kind: 'assigned' };
    const known = this.#ledger.store.get(offer.session, offer.execution);
    // The session was deleted and made again, and the message about its end was lost.
    if (known && !isOfferOf(known, offer)) this.#ledger.remove(known);
    else if (known) {
      const reason = reasonOf(parseLane(known.lane), this.#ledger.scene);
      if (known.told !== reason) this.#ledger.store.noteTold(known, reason);
      return { kind: 'waiting', reason };
    }
    this.#lastSince = Math.max(now, this.#lastSince + 1);
    const reason = this.#enqueue(enter(offer, this.#lastSince), now);
    return reason === null ? { kind: 'assigned' } : { kind: 'waiting', reason };
  }

  settled(session: string, execution: string, now: number): void {
    const entry = this.#ledger.index.active.get(entryKey({ session, execution })) ?? this.#ledger.store.get(session, execution);
    if (!entry) return;
    const seat = this.#ledger.seatOf(entry);
    const connected = seat?.open ?? false;
    // Its runner reports the end in a moment. Until then only memory has to know; without it, the
    // session is asked.
    if (connected && entry.state === 'launched' && parseLane(entry.lane).concurrency === null) {
      this.#ledger.settled.add(entryKey(entry));
      return;
    }
    this.#ledger.replace(entry, markOver(entry, connected));
    this.matchKey(entry, now);
  }

  inspect(session: string, execution: string): { reason: WaitReason; position: number | null } | null {
    const entry = this.#ledger.store.get(session, execution);
    if (entry?.state !== 'waiting') return null;
    const lane = parseLane(entry.lane);
    const ANY = { concurrency: null, avoid: null, priority: 0 };
    const alike = laneText({ ...lane, ...ANY });
    let before = 0;
    for (const head of this.#ledger.index.heads.values()) {
      if (head.rank >= entry.rank || laneText({ ...head.lane, ...ANY }) !== alike) continue;
      before += this.#ledger.store.countBefore(head.text, entry.rank, POSITION_MAX - before);
      if (before >= POSITION_MAX) break;
    }
    return { reason: reasonOf(lane, this.#ledger.scene), position: before >= POSITION_MAX ? null : before + 1 };
  }

  /** P3. Returns why it waits, for the session, or null when a runner has it. */
  #enqueue(entry: PoolEntry, now: number): WaitReason | null {
    const head = this.#ledger.index.heads.get(entry.lane);
    const seat = head && head.rank < entry.rank ? null : chooseRunner(parseLane(entry.lane), this.#ledger.scene, now);
    if (seat) {
      this.#assign(entry, seat, now, { queued: false });
      return null;
    }
    this.#look(now);
    const reason = reasonOf(parseLane(entry.lane), this.#ledger.scene);
    this.#ledger.put({ ...entry, told: reason });
    return reason;
  }

  /** `returned`: the runner has it, by its hello. */
  #assign(entry: PoolEntry, seat: Seat, now: number, { queued = true, returned = false } = {}): void {
    const assigned = assign(entry, this.#ledger.store.nextLease(), seat.record, now);
    this.#ledger.settled.delete(entryKey(entry));
    this.#ledger.put(assigned, queued ? entry : undefined);
    this.#runtime.waitUntil(this.#launch(assigned, seat.record.name, returned));
  }

  /** P1, P2. The session gives the request, so env and stdin are never stored here. */
  async #launch(entry: PoolEntry, name: string, returned: boolean): Promise<void> {
    const runnerId = entry.runnerId ?? '';
    const answer = await this.#services.claim(entry, { id: runnerId, name });
    const now = this.#runtime.now();
    const current = this.#ledger.index.active.get(entryKey(entry));
    if (current?.lease !== entry.lease) return;
    const seat = this.#ledger.seats.get(runnerId);
    if (current.state === 'over' || (current.state === 'leased' && answer?.kind === 'gone')) {
      this.#ledger.remove(current);
      if (seat) this.fill(seat, now);
      this.matchKey(current, now);
    } else if (current.state === 'leased' && returned && answer?.kind === 'launch') {
      this.#ledger.put(confirm(current, now) ?? current);
    } else if (current.state === 'leased') {
      const sent =
        answer?.kind === 'launch' &&
        seat?.connected &&
        !seat.record.draining &&
        seat.record.bootId === current.bootId &&
        seat.send(encodePoolFrame({ type: 'launch', lease: entry.lease ?? 0, request: answer.request }));
      if (!sent) {
        this.recall(current, { kind: 'not_started' }, now, true);
        if (seat) this.fill(seat, now);
      }
    }
    this.endTurn(now);
  }

  /** Frees the slot, and asks the session whether the execution is to be assigned again. */
  recall(entry: PoolEntry, cause: RecallCause, now: number, sameRunner = false): void {
    const recalled = recall(entry, now, cause.kind === 'ended');
    this.#ledger.put(recalled);
    const again = sameRunner || (cause.kind === 'refused' && (cause.code === 'full' || cause.code === 'draining'));
    this.#runtime.waitUntil(this.#ask(recalled, cause, again));
  }

  /** Asks whether its wrapper was seen. */
  check(entry: PoolEntry): void {
    this.#runtime.waitUntil(this.#ask(entry, { kind: 'check' }, false));
  }

  async #ask(entry: PoolEntry, cause: RecallCause, sameRunner: boolean): Promise<void> {
    const answer = await this.#services.recall(entry, { lease: entry.lease ?? 0, cause });
    const now = this.#runtime.now();
    const current = this.#ledger.index.active.get(entryKey(entry));
    if (!answer || current?.lease !== entry.lease || current.state !== entry.state) return;
    const seat = this.#ledger.seatOf(current);
    const question = cause.kind === 'check';
    switch (answer.kind) {
      case 'active': {
        const run =
          question || hasRun(seat ? { open: seat.open, extraRuns: seat.record.extraRuns } : null, entryKey(current), cause)
            ? current
            : { ...current, runnerId: null };
        this.#ledger.put(markRunning(run, run.runnerId === null || !(seat?.open ?? false), now));
        if (question && seat) this.succeed(seat, now);
        break;
      }
      case 'over':
        this.#ledger.replace(current, markOver(current, seat?.open ?? false));
        if ((question || cause.kind === 'ended') && seat) this.succeed(seat, now);
        this.matchKey(current, now);
        break;
      case 'pending':
        break;
      case 'waiting':
        if (cause.kind === 'ended' && seat) this.fail(seat, 'ended_before_it_connected', now);
        if (!question) this.#waitAgain(requeue(current, cause, sameRunner, now), now);
        break;
      default:
        return answer.kind satisfies never;
    }
    this.endTurn(now);
  }

  /** The runner has nothing of it any more. */
  release(entry: PoolEntry, now: number): void {
    if (needsAnswer(entry) && !this.#ledger.settled.has(entryKey(entry))) this.recall(entry, { kind: 'ended' }, now);
    else this.#ledger.remove(entry);
  }

  #waitAgain(entry: PoolEntry, now: number): void {
    // It no longer counts as active, for its own limit too.
    this.#ledger.index.delete(entryKey(entry));
    const reason = this.#enqueue(entry, now);
    if (reason !== null) this.#reasons.tellOne(entry, reason);
    this.matchKey(entry, now);
  }

  /**
   * It was given up for lost and is there again: what it has and what waits here becomes its own.
   * Nothing is sent, because it has the run, and may be draining (POOL17).
   */
  giveBack(seat: Seat, now: number): void {
    for (const run of seat.record.extraRuns) {
      const name = splitRunName(run);
      const entry = name && !this.#ledger.index.active.has(run) ? this.#ledger.store.get(name.session, name.execution) : null;
      if (entry?.state !== 'waiting' || !underLimit(parseLane(entry.lane), this.#ledger.scene)) continue;
      this.#assign(entry, seat, now, { returned: true });
    }
  }

  /** Its runner is gone for good. What was seen to run goes on without it. */
  giveUp(seat: Seat, now: number): void {
    for (const entry of this.#ledger.index.heldBy(seat.record.id)) {
      if (isUnseen(entry)) this.recall(entry, { kind: 'lost' }, now);
      else if (entry.state === 'running') this.#ledger.put(markRunning(entry, true, now));
      else if (entry.state === 'over') this.#ledger.remove(entry);
    }
  }

  /** It takes nothing new for the rest of its boot. */
  drain(seat: Seat, now: number): void {
    if (seat.record.draining) return;
    this.#ledger.putRunner(seat, { draining: true });
    this.factsChanged(now);
  }

  fail(seat: Seat, code: string, now: number): void {
    this.#ledger.putRunner(seat, noteFailure(seat.record, code, now));
    this.#log('warn', 'runner_failing', { runner: seat.record.id, code, attempt: seat.record.failures });
  }

  /** It may have rested, and rests no longer. */
  succeed(seat: Seat, now: number): void {
    const record = noteSuccess(seat.record);
    if (!record) return;
    this.#ledger.putRunner(seat, record);
    this.fill(seat, now);
  }

  // ── matching ───────────────────────────────────────────────────────────────────────────────────

  /** The runner may have free slots. */
  fill(seat: Seat, now: number): void {
    if (this.#ledger.index.heads.size > 0) seat.look(now);
    for (;;) {
      const head = chooseLane(seat, this.#ledger.index.heads.values(), this.#ledger.scene, now);
      if (!head || !this.#assignHead(head, seat, now)) return;
    }
  }

  /** A place under this execution's concurrency limit may be free. */
  matchKey({ lane }: PoolEntry, now: number): void {
    const key = parseLane(lane).concurrency?.key;
    if (key !== undefined) this.match((head) => head.lane.concurrency?.key === key, now);
  }

  match(wanted: (head: Head) => boolean, now: number): void {
    for (;;) {
      const heads = [...this.#ledger.index.heads.values()].filter(wanted);
      const best = chooseMatch(heads, this.#ledger.scene, now);
      if (best && this.#assignHead(best.head, best.runner, now)) continue;
      if (heads.some(({ lane }) => underLimit(lane, this.#ledger.scene))) this.#look(now);
      return;
    }
  }

  #assignHead(head: Head, seat: Seat, now: number): boolean {
    const entry = this.#ledger.store.get(head.session, head.execution);
    if (entry?.state !== 'waiting') return this.#ledger.readHead(head.text)?.execution !== head.execution;
    this.#assign(entry, seat, now);
    return true;
  }

  /** P6. Something waits, and a runner that would fit may be silent. */
  #look(now: number): void {
    for (const seat of this.#ledger.seats.values()) seat.look(now);
  }

  /** What executions wait for may be another reason now. */
  factsChanged(now: number): void {
    if (this.#ledger.index.heads.size === 0) return;
    // M4: the others may be gone.
    this.match(({ lane: { avoid } }) => avoid !== null && !avoid.evenAlone && now < avoid.until, now);
    if (this.#ledger.index.heads.size > 0) this.#reasons.lookAgain(now);
  }
}
