/** What is asked of a session's container object, with its own types; the platform's mapping of RPC types does not carry unions over. */

import type { LaunchRequest } from '../../protocol/launch.ts';
import type { LaunchOutcome } from '../core/launching.ts';
import type { Env } from '../platform/env.ts';

export interface LaunchTerms {
  /** When the session must have ended the execution, whatever becomes of it. */
  until: number;
  /** When the session was made: another of the same name gets another container. */
  sessionSince: number;
}

export interface ContainerCalls {
  /** Starts the container when it does not run, and a wrapper in it. Idempotent by execution id. */
  launch(request: LaunchRequest, terms: LaunchTerms): Promise<LaunchOutcome>;
  /** The session is no more: ends the container at once and forgets everything. Idempotent. */
  release(): Promise<void>;
}

/** The object has the name of its session's. A stub is dead after an exception, so each call gets its own. Null where the deployment has no such objects. */
export const containerStub = (env: Env, tenant: string, session: string): ContainerCalls | null =>
  (env.CONTAINERS?.getByName(`${tenant}/${session}`) as unknown as ContainerCalls | undefined) ?? null;
