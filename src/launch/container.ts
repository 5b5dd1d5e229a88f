/** Launcher `container`: asks the session's container object, which starts a container when none runs, and the runner in it. */

import type { Policy } from '../../protocol/index.ts';
import type { LaunchRequest } from '../../protocol/launch.ts';
import { LAUNCH_LEASE_MS, LAUNCH_TIMEOUT_MS, type LaunchOutcome } from '../core/launching.ts';
import type { Env } from '../platform/env.ts';
import { logLine, messageOf } from '../platform/log.ts';
import { containerStub, type LaunchTerms } from './container-calls.ts';

/** The object's own time is `LAUNCH_TIMEOUT_MS`; an answer must be here before the attempt's lease is over. */
const ANSWER_TIMEOUT_MS = (LAUNCH_TIMEOUT_MS + LAUNCH_LEASE_MS) / 2;

/** The platform ends a container in moments; whoever deletes a session waits for that no longer. */
const RELEASE_TIMEOUT_MS = 5_000;

/** Between two tries to release a container, and how many there are. What fails is made good by the container's own idle time. */
const RELEASE_PAUSES_MS = [200, 1000];

/** By then every deadline of the execution is over, one after the other. */
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
    return await inTime(stub.launch(request, terms), ANSWER_TIMEOUT_MS);
  } catch (error) {
    return { kind: 'failed', message: `the container's object could not be reached: ${messageOf(error)}` };
  }
}

/** After the end of a session, where this deployment has containers. Never throws. */
export async function releaseContainer(env: Env, tenant: string, session: string): Promise<void> {
  if (env.HOLDFAST_CONTAINERS !== '1') return;
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await inTime(containerStub(env, tenant, session)?.release() ?? Promise.resolve(), RELEASE_TIMEOUT_MS);
    } catch (error) {
      logLine('warn', 'container_not_released', { tenant, session, attempt, message: messageOf(error) });
      const pause = RELEASE_PAUSES_MS[attempt - 1];
      if (pause === undefined) return;
      await scheduler.wait(pause);
    }
  }
}

/** An answer that comes later is for nobody. */
async function inTime<T>(answer: Promise<T>, timeoutMs: number): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | null = null;
  try {
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    });
    return await Promise.race([answer, late]);
  } finally {
    if (timer !== null) clearTimeout(timer);
  }
}
