/**
 * What is derived from the rows of a pool, kept so that no decision reads the whole table: who holds
 * what, and the first execution of each lane. It is rebuilt from the rows on every wake; a test
 * compares the two after each step.
 */

import { holdsSlot, isActive, type Lane, type PoolEntry, parseLane } from './pool-entry.ts';
import type { WaitReason } from './pool-terms.ts';

export interface Head {
  text: string;
  lane: Lane;
  rank: number;
  /** Of its lane, no execution has waited longer. */
  since: number;
  session: string;
  execution: string;
  waitUntil: number;
  /** The reason that the executions of this lane were told, as far as is known. */
  told: WaitReason | null;
  /** The reason that was found last and that they were not told yet. */
  found: WaitReason | null;
}

export const entryKey = ({ session, execution }: Pick<PoolEntry, 'session' | 'execution'>): string => `${session}/${execution}`;

export class PoolIndex {
  /** Every entry that does not wait. */
  readonly active = new Map<string, PoolEntry>();
  /** The first execution of each lane that has one. */
  readonly heads = new Map<string, Head>();
  readonly #byRunner = new Map<string, Set<string>>();
  readonly #byKey = new Map<string, Set<string>>();
  readonly #byLease = new Map<number, string>();
  readonly #lastLeases = new Map<string, number>();

  constructor(active: Iterable<PoolEntry> = [], heads: Iterable<PoolEntry> = []) {
    for (const entry of active) this.set(entry);
    for (const entry of heads) this.setHead(entry.lane, entry);
  }

  /** An entry was written. */
  set(entry: PoolEntry): void {
    this.delete(entryKey(entry));
    if (entry.state === 'waiting') return;
    const key = entryKey(entry);
    this.active.set(key, entry);
    if (entry.runnerId !== null && holdsSlot(entry)) add(this.#byRunner, entry.runnerId, key);
    if (entry.lease !== null) {
      this.#byLease.set(entry.lease, key);
      if (entry.runnerId !== null) {
        this.#lastLeases.set(entry.runnerId, Math.max(entry.lease, this.lastLeaseOf(entry.runnerId)));
      }
    }
    const limited = isActive(entry) ? limitKeyOf(entry.lane) : null;
    if (limited !== null) add(this.#byKey, limited, key);
  }

  /** An entry was deleted, or waits again. */
  delete(key: string): void {
    const before = this.active.get(key);
    if (!before) return;
    this.active.delete(key);
    if (before.runnerId !== null) drop(this.#byRunner, before.runnerId, key);
    if (before.lease !== null) this.#byLease.delete(before.lease);
    const limited = limitKeyOf(before.lane);
    if (limited !== null) drop(this.#byKey, limited, key);
  }

  /** `entry`: the first that waits in the lane now, or null. */
  setHead(lane: string, entry: PoolEntry | null): void {
    if (!entry) return void this.heads.delete(lane);
    const known = this.heads.get(lane);
    const { rank, since, session, execution, waitUntil } = entry;
    this.heads.set(lane, {
      text: lane,
      lane: known?.lane ?? parseLane(lane),
      rank,
      since,
      session,
      execution,
      waitUntil,
      told: known ? known.told : entry.told,
      found: known?.found ?? null,
    });
  }

  byLease(lease: number): PoolEntry | null {
    const key = this.#byLease.get(lease);
    return key === undefined ? null : (this.active.get(key) ?? null);
  }

  /** What occupies slots of the runner. */
  heldBy(runnerId: string): PoolEntry[] {
    return [...(this.#byRunner.get(runnerId) ?? [])].flatMap((key) => this.active.get(key) ?? []);
  }

  isHeld(key: string, runnerId: string): boolean {
    return this.#byRunner.get(runnerId)?.has(key) ?? false;
  }

  heldCount(runnerId: string): number {
    return this.#byRunner.get(runnerId)?.size ?? 0;
  }

  activeWith(key: string): number {
    return this.#byKey.get(key)?.size ?? 0;
  }

  lastLeaseOf(runnerId: string): number {
    return this.#lastLeases.get(runnerId) ?? 0;
  }
}

const limitKeyOf = (lane: string): string | null => parseLane(lane).concurrency?.key ?? null;

function add(sets: Map<string, Set<string>>, of: string, key: string): void {
  const set = sets.get(of);
  if (set) set.add(key);
  else sets.set(of, new Set([key]));
}

function drop(sets: Map<string, Set<string>>, of: string, key: string): void {
  const set = sets.get(of);
  set?.delete(key);
  if (set?.size === 0) sets.delete(of);
}
