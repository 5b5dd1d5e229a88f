/**
 * When a pool believes that a runner is gone. Pure.
 *
 * The platform notes the time of a ping when it answers it. While the pool's process stands still it
 * answers none, and the first turn afterwards may come before the pings and frames that wait in the
 * connections are read. Then every runner looks silent, and what it has answered looks overdue. So
 * the first look only doubts, and the second one believes: what had arrived was read in between.
 */

import { RUNNER_SILENCE_MS } from '../../protocol/pool.ts';
import type { PoolEntry } from './pool-entry.ts';
import { isSilent } from './pool-runner.ts';
import { LEASE_CONFIRM_MS } from './pool-terms.ts';

/** What has arrived is read within milliseconds. */
export const LOOK_AGAIN_MS = 2_000;

export interface Look {
  /** When it was doubted; null: it was heard in time. */
  doubtedAt: number | null;
  isLost: boolean;
}

export const HEARD: Look = { doubtedAt: null, isLost: false };

/**
 * `signAt`: when the runner was heard last, or lost its connection. `before`: the `doubtedAt` of the
 * look before. A sign after that look makes this one the first again, however late it is.
 */
export function lookAt(signAt: number, before: number | null, now: number): Look {
  if (!isSilent(signAt, now)) return HEARD;
  const doubtedAt = before !== null && signAt <= before ? before : now;
  return { doubtedAt, isLost: now - doubtedAt >= LOOK_AGAIN_MS };
}

/** When the next look is due. */
export const nextLookAt = (signAt: number, doubtedAt: number | null): number =>
  doubtedAt === null ? signAt + RUNNER_SILENCE_MS : doubtedAt + LOOK_AGAIN_MS;

/** Whether a launch that is overdue was looked at before: its row has the time of the first look. */
export const isSecondLook = ({ assignedAt, dueAt }: Pick<PoolEntry, 'assignedAt' | 'dueAt'>): boolean =>
  (dueAt ?? 0) > (assignedAt ?? 0) + LEASE_CONFIRM_MS;
