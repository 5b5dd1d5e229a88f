/**
 * One pool: its runners, what waits, and what runs where. The Durable Object and the model test call
 * the methods of this class and nothing behind it. Decisions are in core/pool-*.ts.
 *
 *   pool.ts           what others call, and what the alarm carries out
 *   connections.ts    sockets: how they begin and end, and who is lost
 *   runner-frames.ts  what a frame of a runner does
 *   assignments.ts    offers, leases and matching
 *   alarm.ts          when the pool wakes
 *   ledger.ts         rows, and what memory derives from them
 *
 * Each uses only those below it. Their invariants are P1 to P6.
 */

import type { PoolSummary, PoolView } from '../../protocol/index.ts';
import { encodePoolFrame, RUNNER_SILENCE_MS } from '../../protocol/pool.ts';
import { CHECK_AFTER_MS, ORPHAN_CHECK_MS, type PoolEntry } from '../core/pool-entry.ts';
import type { OfferAnswer, PoolOffer, RunnerKeyRecord } from '../core/pool-messages.ts';
import type { PoolRuntime, PoolServices, PoolStore } from '../core/pool-ports.ts';
import { isSecondLook, LOOK_AGAIN_MS } from '../core/pool-silence.ts';
import type { WaitReason } from '../core/pool-terms.ts';
import type { SessionSocket } from '../core/ports.ts';
import type { PoolLog } from '../platform/log.ts';
import { PoolAlarm } from './alarm.ts';
import { Assignments } from './assignments.ts';
import { Connections } from './connections.ts';
import { PoolLedger } from './ledger.ts';
import { summaryOf, viewOf } from './views.ts';
import { WaitReasons } from './wait-reasons.ts';

/** A key's last use is written at most this often. */
const KEY_USED_AGAIN_MS = 60 * 60_000;

export class Pool {
  readonly #runtime: PoolRuntime;
  readonly #store: PoolStore;
  readonly #log: PoolLog;
  readonly #ledger: PoolLedger;
  readonly #reasons: WaitReasons;
  readonly #alarm: PoolAlarm;
  readonly #assignments: Assignments;
  readonly #connections: Connections;

  constructor(runtime: PoolRuntime, store: PoolStore, services: PoolServices, log: PoolLog = () => {}) {
    this.#runtime = runtime;
    this.#store = store;
    this.#log = log;
    const ledger = new PoolLedger(store, runtime);
    const reasons = new WaitReasons(store, runtime, services);
    const alarm = new PoolAlarm(runtime, { ledger, reasons, log });
    const parts = { ledger, reasons, alarm, log };
    this.#ledger = ledger;
    this.#reasons = reasons;
    this.#alarm = alarm;
    this.#assignments = new Assignments(runtime, services, parts);
    this.#connections = new Connections(runtime, this.#assignments, parts);
  }

  /** Runs first after every wake. */
  async wake(now: number): Promise<void> {
    await this.#alarm.load();
    if (!this.#store.exists) return;
    this.#ledger.load();
    this.#connections.load(now);
    this.#ledger.dropForgotten(now);
    // P3. The instance before may have doubted a runner that was heard since.
    this.#assignments.match(() => true, now);
    this.#assignments.endTurn(now);
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
    this.#connections.connect(ws, key, now);
    this.#assignments.endTurn(now);
  }

  onMessage(ws: SessionSocket, message: string | ArrayBuffer, now: number): void {
    this.#connections.onMessage(ws, message, now);
    this.#assignments.endTurn(now);
  }

  onClose(ws: SessionSocket, code: number, reason: string, now: number): void {
    this.#connections.onClose(ws, code, reason, now);
    this.#assignments.endTurn(now);
  }

  onError(ws: SessionSocket, now: number): void {
    this.#connections.onError(ws, now);
    this.#assignments.endTurn(now);
  }

  // ── executions ─────────────────────────────────────────────────────────────────────────────────

  /** Idempotent: the session repeats its offer while the execution waits. */
  offer(offer: PoolOffer, now: number): OfferAnswer {
    if (!this.#store.exists) return { kind: 'no_pool' };
    const answer = this.#assignments.offer(offer, now);
    this.#assignments.endTurn(now);
    return answer;
  }

  /** The session has ended the execution, in whatever way. Idempotent. */
  settled(session: string, execution: string, now: number): void {
    if (!this.#store.exists) return;
    this.#assignments.settled(session, execution, now);
    this.#assignments.endTurn(now);
  }

  /** Where it stands. Null when it does not wait here. */
  inspect(session: string, execution: string): { reason: WaitReason; position: number | null } | null {
    return this.#store.exists ? this.#assignments.inspect(session, execution) : null;
  }

  // ── time ───────────────────────────────────────────────────────────────────────────────────────

  /** Carries out everything that is due. Works early, late, twice, and with nothing due. */
  onAlarm(now: number): void {
    this.#alarm.hasFired();
    try {
      if (this.#store.exists) this.#carryOut(now);
    } finally {
      this.#assignments.endTurn(now);
    }
  }

  #carryOut(now: number): void {
    this.#connections.endOverdue(now);
    for (const entry of [...this.#ledger.index.active.values()]) {
      if (entry.dueAt !== null && entry.dueAt <= now) this.#onDue(entry, now);
    }
    this.#ledger.dropForgotten(now);
    for (const seat of this.#ledger.seats.values()) {
      // A rest is over; whether it was that one or an earlier one makes no difference.
      if (seat.record.restUntil > 0 && seat.record.restUntil <= now) this.#assignments.fill(seat, now);
    }
    this.#assignments.match(({ lane }) => lane.avoid !== null && lane.avoid.until <= now, now);
    this.#reasons.tell(this.#ledger.index.heads.values(), this.#ledger.scene, now);
  }

  #onDue(entry: PoolEntry, now: number): void {
    const seat = this.#ledger.seatOf(entry);
    switch (entry.state) {
      case 'leased': {
        // Without its connection the runner's own time decides.
        if (!seat?.open) return this.#ledger.put({ ...entry, dueAt: now + RUNNER_SILENCE_MS });
        // P6. In memory only, as below.
        if (!isSecondLook(entry)) return this.#ledger.index.set({ ...entry, dueAt: now + LOOK_AGAIN_MS });
        this.#assignments.fail(seat, 'not_confirmed', now);
        // A runner that does not answer says in its next hello what it holds.
        return this.#connections.drop(seat, 'a launch was not confirmed in time', now);
      }
      case 'launched':
      case 'running': {
        // In memory only: without it the question is asked again, which changes nothing.
        const checked = { ...entry, dueAt: now + (entry.state === 'launched' ? CHECK_AFTER_MS : ORPHAN_CHECK_MS) };
        this.#ledger.index.set(checked);
        return this.#assignments.check(checked);
      }
      case 'recalled':
        return this.#assignments.recall(entry, { kind: 'not_started' }, now);
      case 'over':
        this.#ledger.remove(entry);
        if (seat) this.#assignments.fill(seat, now);
        return;
      case 'waiting':
        return;
      default:
        return entry.state satisfies never;
    }
  }

  // ── keys ───────────────────────────────────────────────────────────────────────────────────────

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
    this.#connections.revoke(id, now);
    this.#assignments.endTurn(now);
    return true;
  }

  // ── runners ────────────────────────────────────────────────────────────────────────────────────

  /**
   * The runner takes nothing new, for the rest of its boot, and ends when its runs have ended. False:
   * there is no such runner. One that is not connected is told at its next hello.
   */
  drainRunner(id: string, now: number): boolean {
    const seat = this.#ledger.seats.get(id);
    if (!seat) return false;
    this.#assignments.drain(seat, now);
    seat.send(encodePoolFrame({ type: 'drain' }));
    this.#assignments.endTurn(now);
    return true;
  }

  /**
   * Forgets a runner that is gone. What it had is as if it were lost now: its jobs go on, and what
   * has not begun is assigned again. If it comes back, its hello says what it holds.
   */
  removeRunner(id: string, now: number): 'removed' | 'unknown' | 'connected' {
    const seat = this.#ledger.seats.get(id);
    if (!seat) return 'unknown';
    if (seat.connected) return 'connected';
    this.#connections.drop(seat, 'silent for too long', now);
    this.#assignments.giveUp(seat, now);
    this.#ledger.removeRunner(id);
    this.#log('info', 'runner_removed', { runner: id });
    this.#assignments.factsChanged(now);
    this.#assignments.endTurn(now);
    return 'removed';
  }

  // ── views ──────────────────────────────────────────────────────────────────────────────────────

  get exists(): boolean {
    return this.#store.exists;
  }

  summary(pool: string): PoolSummary | null {
    return this.#store.exists ? summaryOf(pool, this.#seen()) : null;
  }

  view(pool: string): PoolView | null {
    return this.#store.exists ? viewOf(pool, this.#seen()) : null;
  }

  #seen(): PoolLedger {
    this.#ledger.dropForgotten(this.#runtime.now());
    return this.#ledger;
  }
}
