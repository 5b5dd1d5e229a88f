/** Decides whether a start request is accepted, and what it does to the session. */

import { type OnBusy, type Policy, QUEUE_LENGTH_MAX } from '../../protocol/index.ts';
import type { ExecutionRecord } from './execution.ts';
import { type Shortage, type StorageLoad, shortageFor } from './log-limit.ts';

export interface SessionLoad {
  /** The execution that already has the requested id. */
  existing: ExecutionRecord | null;
  /** Pending and running, oldest first. */
  active: readonly ExecutionRecord[];
  queueLength: number;
  lowestQueueRank: number;
  /** SESSION_EXECUTIONS_MAX is reached. */
  sessionFull: boolean;
  storage: StorageLoad;
}

export type Admission =
  | { kind: 'existing'; record: ExecutionRecord }
  | { kind: 'conflict' }
  | { kind: 'begin' }
  | { kind: 'busy'; activeIds: string[] }
  | { kind: 'session_full' }
  | { kind: 'storage_full'; shortage: Shortage }
  | { kind: 'queue_full'; length: number }
  /** Waits. `interrupt`: the active executions when the request replaces them. */
  | { kind: 'queue'; rank: number; position: number; interrupt: readonly ExecutionRecord[] };

/** Null: as many are active as the request allows beside itself (LIF20). For a start, and for the head of the queue (LIF3). */
export function admitNow(
  { maxActive, policy }: Pick<ExecutionRecord, 'maxActive' | 'policy'>,
  active: number,
  storage: StorageLoad,
): Extract<Admission, { kind: 'begin' | 'storage_full' }> | null {
  if (active >= maxActive) return null;
  const shortage = shortageFor(storage, policy);
  return shortage ? { kind: 'storage_full', shortage } : { kind: 'begin' };
}

export function admit(
  load: SessionLoad,
  request: { digest: string; digestOfRunner?: string | null; onBusy: OnBusy; policy: Policy; maxActive: number },
): Admission {
  const { existing, active, queueLength, lowestQueueRank, sessionFull, storage } = load;
  // LIF28: an identical request finds the execution that it made before.
  if (existing) {
    const same = [request.digest, request.digestOfRunner].includes(existing.requestDigest);
    return same ? { kind: 'existing', record: existing } : { kind: 'conflict' };
  }
  if (sessionFull) return { kind: 'session_full' };
  const begins = admitNow(request, active.length, storage);
  if (begins) return begins;
  if (request.onBusy === 'reject') return { kind: 'busy', activeIds: active.map(({ id }) => id) };
  if (queueLength >= QUEUE_LENGTH_MAX) return { kind: 'queue_full', length: queueLength };
  // Active executions will have ended when this one begins, so their reservations do not count.
  // The check is repeated then (LIF35). What does not fit even without it never will.
  const shortage = shortageFor({ ...storage, reservedBytes: 0 }, request.policy);
  if (shortage) return { kind: 'storage_full', shortage };
  return request.onBusy === 'replace'
    ? { kind: 'queue', rank: Math.min(0, lowestQueueRank) - 1, position: 1, interrupt: active }
    : { kind: 'queue', rank: 0, position: queueLength + 1, interrupt: [] };
}
