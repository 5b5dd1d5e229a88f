/**
 * Whether a coordinator still answers. Its process may live while the `workerd` behind it is gone,
 * and then no process ends that could be waited for.
 */

import { setTimeout as sleep } from 'node:timers/promises';

export interface HealthTimes {
  everyMs: number;
  /** Checks that must fail one after the other. */
  failures: number;
}

/** About half a minute: a loaded machine, or one that wakes from sleep, misses a few. */
export const HEALTH_TIMES: HealthTimes = { everyMs: 5000, failures: 6 };

/** Resolves when enough checks in a row have failed; false when `signal` aborts before. */
export async function stopsAnswering(
  isHealthy: () => Promise<boolean>,
  signal: AbortSignal,
  { everyMs, failures }: HealthTimes = HEALTH_TIMES,
): Promise<boolean> {
  let failed = 0;
  while (failed < failures) {
    try {
      await sleep(everyMs, undefined, { signal, ref: false });
    } catch {
      return false;
    }
    failed = (await isHealthy()) ? 0 : failed + 1;
  }
  return !signal.aborted;
}

/** One look at `/healthz`. */
export async function isHealthy(url: string): Promise<boolean> {
  try {
    const answer = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(2000) });
    await answer.arrayBuffer();
    return answer.ok;
  } catch {
    return false;
  }
}
