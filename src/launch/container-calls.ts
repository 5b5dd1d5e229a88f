/** Typed calls to a container object. The platform's RPC types do not preserve unions. */

import type { LaunchRequest } from '../../protocol/launch.ts';
import type { LaunchOutcome } from '../core/launching.ts';
import type { Env } from '../platform/env.ts';

export interface LaunchTerms {
  /** When the session must have ended the execution, whatever its outcome. */
  until: number;
  /** Creation time of the session. A new session of the same name gets another container. */
  sessionSince: number;
}

export interface ContainerCalls {
  /** Starts the container if it is not running, and a wrapper in it. Idempotent by execution id. */
  launch(request: LaunchRequest, terms: LaunchTerms): Promise<LaunchOutcome>;
  /** The session was deleted: ends the container at once and deletes its record. Idempotent. */
  release(): Promise<void>;
}

/**
 * The object has its session's name. A stub is unusable after an exception, so each call gets its
 * own. Null in a deployment without container objects.
 */
export const containerStub = (env: Env, tenant: string, session: string): ContainerCalls | null =>
  (env.CONTAINERS?.getByName(`${tenant}/${session}`) as unknown as ContainerCalls | undefined) ?? null;
