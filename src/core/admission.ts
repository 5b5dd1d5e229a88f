/** Whether a start request is taken, and what it does to the session. */

import { type OnBusy, QUEUE_LENGTH_MAX } from '../../protocol/index.ts';
import type { ExecutionRecord } from './execution.ts';

export interface SessionLoad {
  /** The execution that has the wanted id already. */
  existing: ExecutionRecord | null;
  active: ExecutionRecord | null;
  queueLength: number;
  lowestQueueRank: number;
}

export type Admission =
  | { kind: 'existing'; record: ExecutionRecord }
  | { kind: 'conflict' }
  | { kind: 'begin' }
  | { kind: 'busy'; activeId: string }
  | { kind: 'queue_full'; length: number }
  /** Waits; `interrupt` is the active one when the request replaces it. */
  | { kind: 'queue'; rank: number; position: number; interrupt: ExecutionRecord | null };

export function admit(load: SessionLoad, request: { digest: string; onBusy: OnBusy }): Admission {
  const { existing, active, queueLength, lowestQueueRank } = load;
  if (existing) return existing.requestDigest === request.digest ? { kind: 'existing', record: existing } : { kind: 'conflict' };
  if (!active) return { kind: 'begin' };
  if (request.onBusy === 'reject') return { kind: 'busy', activeId: active.id };
  if (queueLength >= QUEUE_LENGTH_MAX) return { kind: 'queue_full', length: queueLength };
  return request.onBusy === 'replace'
    ? { kind: 'queue', rank: Math.min(0, lowestQueueRank) - 1, position: 1, interrupt: active }
    : { kind: 'queue', rank: 0, position: queueLength + 1, interrupt: null };
}
