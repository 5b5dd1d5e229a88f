/** What happens to an execution after an attempt to start its wrapper. */

import { backoffDelayMs } from '../../protocol/index.ts';
import { afterOffer } from './assignment.ts';
import type { ExecutionRecord } from './execution.ts';
import { settleFailed, type Transition } from './lifecycle.ts';
import type { OfferAnswer } from './pool-messages.ts';

/**
 * Failed attempts before the execution fails, about 15 s in all. A saturated launcher is not a
 * failure: it is retried until `pendingUntil`.
 */
export const LAUNCH_ATTEMPTS_MAX = 6;

/**
 * Timeout for a launcher's answer. Starting a process takes milliseconds, a container one to three
 * seconds.
 */
export const LAUNCH_TIMEOUT_MS = 20_000;

/**
 * An attempt that never reported back, because the object was reset during it, is repeated after
 * this. Launchers are idempotent by execution id.
 */
export const LAUNCH_LEASE_MS = LAUNCH_TIMEOUT_MS + 10_000;

const RETRY_BASE_MS = 500;
const RETRY_CAP_MS = 10_000;

export type LaunchOutcome =
  | { kind: 'launched' }
  /** A retry cannot help: the request or the credential was refused. */
  | { kind: 'refused'; message: string }
  /** The launcher was not reached, or it failed. */
  | { kind: 'failed'; message: string }
  /** The launcher has no free capacity. */
  | { kind: 'saturated'; retryAfterMs: number | null }
  /** Its pool has it; the pool's claim follows when there is a runner. */
  | { kind: 'offered'; answer: OfferAnswer };

/** Null: there is nothing to change. */
export function afterLaunch(record: ExecutionRecord, outcome: LaunchOutcome, now: number): Transition | null {
  switch (outcome.kind) {
    case 'launched':
      return { patch: { launchAt: null, launchedAt: now, env: null, stdin: null }, events: [], commands: [] };
    case 'refused':
      return settleFailed(record, 'launch_failed', outcome.message, now);
    case 'failed':
      return record.launchAttempts >= LAUNCH_ATTEMPTS_MAX
        ? settleFailed(record, 'launch_failed', outcome.message, now)
        : retryAt(now + backoffDelayMs(record.launchAttempts - 1, { baseMs: RETRY_BASE_MS, capMs: RETRY_CAP_MS }));
    case 'offered':
      return afterOffer(record, outcome.answer, now);
    case 'saturated':
      return retryAt(now + (outcome.retryAfterMs ?? RETRY_CAP_MS));
    default:
      return outcome satisfies never;
  }
}

const retryAt = (at: number): Transition => ({ patch: { launchAt: at }, events: [], commands: [] });
