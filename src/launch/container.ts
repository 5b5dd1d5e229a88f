/** Launcher `container`: asks the session's container object to start the container and a run. */

import { BackoffController, type Policy } from '../../protocol/index.ts';
import type { LaunchRequest } from '../../protocol/launch.ts';
import { LAUNCH_LEASE_MS, LAUNCH_TIMEOUT_MS, type LaunchOutcome } from '../core/launching.ts';
import type { Env } from '../platform/env.ts';
import { errorMessage, logLine } from '../platform/log.ts';
import { within } from '../platform/time-limit.ts';
import { containerStub, type LaunchTerms } from './container-calls.ts';

/** Longer than the object's own `LAUNCH_TIMEOUT_MS`, and shorter than the attempt's lease. */
const ANSWER_TIMEOUT_MS = (LAUNCH_TIMEOUT_MS + LAUNCH_LEASE_MS) / 2;

/** The platform ends a container within moments. A delete request waits no longer than this. */
const RELEASE_TIMEOUT_MS = 5_000;

/** Three attempts. After them the container ends by its idle timeout. */
const RELEASE_RETRY = { baseMs: 400, capMs: 1000, maxAttempts: 2 };

/** The sum of all deadlines of the execution: it has ended by then. */
export const watchedUntil = (policy: Policy, now: number): number =>
  now +
  policy.pendingTimeoutMs +
  policy.maxRuntimeMs +
  policy.interruptGraceMs +
  policy.silenceTimeoutMs +
  policy.disconnectGraceMs;

export async function launchInContainer(env: Env, request: LaunchRequest, terms: LaunchTerms): Promise<LaunchOutcome> {
  const stub = containerStub(env, request.tenant, request.session);
  if (!stub) return { kind: 'refused', message: 'this deployment has no binding CONTAINERS' };
  try {
    return await within(ANSWER_TIMEOUT_MS, stub.launch(request, terms));
  } catch (error) {
    return { kind: 'failed', message: `the container's object could not be reached: ${errorMessage(error)}` };
  }
}

/** Called after the end of a session. Does nothing without containers. Never throws. */
export async function releaseContainer(env: Env, tenant: string, session: string): Promise<void> {
  if (env.HOLDFAST_CONTAINERS !== '1') return;
  const backoff = new BackoffController(RELEASE_RETRY);
  for (;;) {
    try {
      return await within(RELEASE_TIMEOUT_MS, containerStub(env, tenant, session)?.release() ?? Promise.resolve());
    } catch (error) {
      const attempt = backoff.attempt + 1;
      logLine('warn', 'container_not_released', { tenant, session, attempt, message: errorMessage(error) });
      if (backoff.recordFailure() === 'give-up') return;
      await scheduler.wait(backoff.nextDelayMs());
    }
  }
}
