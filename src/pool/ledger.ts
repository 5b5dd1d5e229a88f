/**
 * The rows of a pool, with what memory derives from them. Every change of an entry or a runner goes
 * through here, so that the two agree.
 *
 * Owns: the rows, the index, the seats.
 * Does not own: sockets and the alarm. It decides nothing.
 *
 * P4  Memory holds only what rows and sockets say (core/pool-index.ts), and when a question is asked
 *     again. It is built anew on a wake.
 */

import { FORGOTTEN_AFTER_MS, type PoolEntry } from '../core/pool-entry.ts';
import { entryKey, type Head, PoolIndex } from '../core/pool-index.ts';
import type { PoolScene } from '../core/pool-match.ts';
import type { PoolRuntime, PoolStore } from '../core/pool-ports.ts';
import { RUNNER_FORGOTTEN_MS, RUNNERS_MAX, type RunnerRecord } from '../core/pool-runner.ts';
import { Seat } from './seat.ts';

export class PoolLedger {
  readonly store: PoolStore;
  readonly seats = new Map<string, Seat>();
  readonly scene: PoolScene<Seat>;
  index = new PoolIndex();
  /** Executions whose session said that they are over, and whose runner did not yet. */
  readonly settled = new Set<string>();
  /** How many wait; null: this instance has not counted them. */
  #waiting: number | null = null;
  readonly #runtime: Pick<PoolRuntime, 'lastPingAt' | 'now'>;

  constructor(store: PoolStore, runtime: Pick<PoolRuntime, 'lastPingAt' | 'now'>) {
    this.store = store;
    this.#runtime = runtime;
    this.scene = {
      runners: () => this.seats.values(),
      activeWith: (key) => this.index.activeWith(key),
      lastLeaseOf: (id) => this.index.lastLeaseOf(id),
    };
  }

  /** P4 */
  load(): void {
    this.index = new PoolIndex(this.store.active(), this.store.heads());
    this.#waiting = null;
    for (const record of this.store.runners()) this.seat(record);
  }

  // ── runners ────────────────────────────────────────────────────────────────────────────────────

  seatOf({ runnerId }: Pick<PoolEntry, 'runnerId'>): Seat | undefined {
    return runnerId === null ? undefined : this.seats.get(runnerId);
  }

  seat(record: RunnerRecord): Seat {
    const known = this.seats.get(record.id);
    if (known) {
      known.record = record;
      return known;
    }
    const seat = new Seat(record, this.#runtime, () => this.index);
    this.seats.set(record.id, seat);
    return seat;
  }

  putRunner(seat: Seat, patch: Partial<RunnerRecord>): void {
    seat.record = { ...seat.record, ...patch };
    this.store.putRunner(seat.record);
  }

  removeRunner(id: string): void {
    this.store.removeRunner(id);
    this.seats.delete(id);
  }

  /** Those that are gone for long, and earlier when the pool is full of them: machines come and go. */
  forgetOldRunners(now: number): void {
    const goneAt = ({ record }: Seat): number => record.goneAt ?? now;
    const gone = [...this.seats.values()].filter((seat) => !seat.open && this.index.heldCount(seat.record.id) === 0);
    for (const seat of gone.sort((a, b) => goneAt(a) - goneAt(b))) {
      if (goneAt(seat) + RUNNER_FORGOTTEN_MS > now && this.seats.size < RUNNERS_MAX) return;
      this.removeRunner(seat.record.id);
    }
  }

  // ── entries ────────────────────────────────────────────────────────────────────────────────────

  /** The first call of an instance reads the queue. */
  get waiting(): number {
    this.#waiting ??= this.index.heads.size === 0 ? 0 : this.store.countWaiting();
    return this.#waiting;
  }

  /** `before`: what it was, if it waited in the queue. An entry that waits is put once. */
  put(entry: PoolEntry, before?: PoolEntry): void {
    this.store.put(entry);
    this.index.set(entry);
    if (entry.state === 'waiting') {
      if (this.#waiting !== null) this.#waiting += 1;
      const head = this.index.heads.get(entry.lane);
      if (!head || entry.rank < head.rank) this.index.setHead(entry.lane, entry);
      return;
    }
    if (before?.state === 'waiting') this.#leaveQueue(before);
  }

  /** `next`: null when the row can go. */
  replace(entry: PoolEntry, next: PoolEntry | null): void {
    if (next === entry) return;
    if (next) this.put(next, entry);
    else this.remove(entry);
  }

  remove(entry: PoolEntry): void {
    this.store.remove(entry);
    this.index.delete(entryKey(entry));
    this.settled.delete(entryKey(entry));
    if (entry.state === 'waiting') this.#leaveQueue(entry);
  }

  /** Executions whose session gave up and did not say so, as far as they are first in their lane. */
  dropForgotten(now: number): void {
    for (const head of [...this.index.heads.values()]) {
      for (let first: Head | undefined = head; first && first.waitUntil + FORGOTTEN_AFTER_MS <= now; ) {
        this.store.remove(first);
        this.#countLeft();
        first = this.readHead(head.text);
      }
    }
  }

  #leaveQueue({ lane, session, execution }: PoolEntry): void {
    this.#countLeft();
    const head = this.index.heads.get(lane);
    if (head?.session === session && head.execution === execution) this.readHead(lane);
  }

  #countLeft(): void {
    if (this.#waiting !== null) this.#waiting -= 1;
  }

  /** The first execution that waits in the lane now. */
  readHead(lane: string): Head | undefined {
    this.index.setHead(lane, this.store.nextIn(lane, null));
    return this.index.heads.get(lane);
  }
}
