/**
 * What a pool needs from its environment. The Durable Object implements it with the platform; the
 * model test implements it in memory, and runs the same pool.
 */

import type { PoolEntry } from './pool-entry.ts';
import type { ClaimAnswer, RecallAnswer, RecallRequest, RunnerKeyRecord } from './pool-messages.ts';
import type { RunnerRecord } from './pool-runner.ts';
import type { WaitReason } from './pool-terms.ts';
import type { SessionRuntime } from './ports.ts';

export type PoolRuntime = Pick<
  SessionRuntime,
  'getWebSockets' | 'acceptWebSocket' | 'lastPingAt' | 'getAlarm' | 'setAlarm' | 'waitUntil' | 'now'
>;

export interface PoolServices {
  /** The session binds the lease and hands out the request. Null: not reached, or not known. */
  claim(entry: PoolEntry, runner: { id: string; name: string }): Promise<ClaimAnswer | null>;
  recall(entry: Pick<PoolEntry, 'session' | 'execution'>, request: RecallRequest): Promise<RecallAnswer | null>;
  /** The reason for which it waits has changed. */
  tellReason(entry: PoolEntry, reason: WaitReason): Promise<void>;
}

export interface PoolStore {
  readonly exists: boolean;
  readonly createdAt: number;
  create(now: number): void;
  /** A number that was never given out before. */
  nextLease(): number;

  get(session: string, execution: string): PoolEntry | null;
  put(entry: PoolEntry): void;
  remove(entry: Pick<PoolEntry, 'session' | 'execution'>): void;
  /** Every entry that does not wait. */
  active(): PoolEntry[];
  /** The first waiting entry of each lane. Reads one row for each. */
  heads(): PoolEntry[];
  /** The entry that waits behind this one in its lane, or the first of the lane. Reads one row. */
  nextIn(lane: string, after: Pick<PoolEntry, 'rank' | 'session' | 'execution'> | null): PoolEntry | null;
  /** Waiting entries of a lane whose `told` is another, in order. */
  notTold(lane: string, reason: WaitReason, limit: number): PoolEntry[];
  noteTold(entry: PoolEntry, reason: WaitReason): void;
  /** How many of the lane are before this rank; counts to `limit` at most. */
  countBefore(lane: string, rank: number, limit: number): number;
  /** Reads a row for each that waits. */
  countWaiting(): number;

  runners(): RunnerRecord[];
  putRunner(record: RunnerRecord): void;
  removeRunner(id: string): void;

  keys(): RunnerKeyRecord[];
  key(id: string): RunnerKeyRecord | null;
  putKey(record: RunnerKeyRecord): void;
  removeKey(id: string): boolean;
}
