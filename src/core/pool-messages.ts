/** What a session and its pool say to each other, and the pool's record of a key. Plain data. */

import type { LaunchRequest } from '../../protocol/launch.ts';
import type { ConcurrencyLimit, WaitReason } from './pool-terms.ts';

/** An execution as its session offers it. Without env and stdin, which stay in the session. */
export interface PoolOffer {
  session: string;
  execution: string;
  requires: Record<string, string>;
  /** Features that its wrapper must have. */
  needs: string[];
  priority: number;
  concurrency: ConcurrencyLimit | null;
  waitUntil: number;
}

export type OfferAnswer = { kind: 'assigned' } | { kind: 'waiting'; reason: WaitReason } | { kind: 'no_pool' };

/** What a claim found. `gone`: it is not pending any more. */
export type ClaimAnswer = { kind: 'launch'; request: LaunchRequest } | { kind: 'gone' };

export type RecallCause =
  /** The runner was lost, or did not answer in time. */
  | { kind: 'lost' }
  /** The runner did not get it, or says that it does not have it. */
  | { kind: 'not_started' }
  /** The runner says that its wrapper has ended. */
  | { kind: 'ended' }
  | { kind: 'refused'; code: string; message: string; retry: boolean }
  /** Only a question. */
  | { kind: 'check' };

export interface RecallRequest {
  lease: number;
  cause: RecallCause;
}

/** `waiting`: it is pending and has no lease now. `active`: its wrapper was seen. */
export interface RecallAnswer {
  kind: 'waiting' | 'pending' | 'active' | 'over';
}

/** A key of a runner, without the key. */
export interface RunnerKeyRecord {
  id: string;
  name: string;
  /** SHA-256 in hex. */
  digest: string;
  createdAt: number;
  expiresAt: number | null;
  lastUsedAt: number | null;
}
