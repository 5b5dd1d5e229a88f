/** Launcher `pool`: typed calls to a pool's object, and the offer of an execution. */

import type { Failure, PoolSummary, PoolView, WaitReason } from '../../protocol/index.ts';
import type { LaunchOutcome } from '../core/launching.ts';
import type { OfferAnswer, PoolOffer, RunnerKeyRecord } from '../core/pool-messages.ts';
import type { Env } from '../platform/env.ts';
import { errorMessage, logLine } from '../platform/log.ts';
import { within } from '../platform/time-limit.ts';

export interface PoolCalls {
  /** Idempotent. */
  offer(offer: PoolOffer): Promise<OfferAnswer>;
  /** The execution needs nothing of the pool any more. Idempotent. */
  settled(session: string, execution: string): Promise<void>;
  /** Null when it does not wait here. */
  inspect(session: string, execution: string): Promise<{ reason: WaitReason; position: number | null } | null>;
  poolExists(): Promise<boolean>;
  /** Null: there is no such pool. */
  view(): Promise<PoolView | null>;
  summary(): Promise<PoolSummary | null>;
  /** Makes the pool. False: it has POOL_KEYS_MAX keys. Idempotent by the key's id. */
  addKey(key: RunnerKeyRecord): Promise<boolean>;
  listKeys(): Promise<RunnerKeyRecord[] | null>;
  /** Null: there is no such pool. */
  revokeKey(id: string): Promise<boolean | null>;
  /** Null: there is no such pool. False: it has no such runner. */
  drainRunner(id: string): Promise<boolean | null>;
  /** Null: there is no such pool. Idempotent: the second answer is `unknown`. */
  removeRunner(id: string): Promise<'removed' | 'unknown' | 'connected' | null>;
  /** Upgrades only, made by `openRunnerSocket`. */
  fetch(request: Request): Promise<Response>;
}

/** A stub is unusable after an exception, so each call gets its own. */
export const poolStub = (env: Env, tenant: string, pool: string): PoolCalls =>
  env.POOLS.getByName(`${tenant}/${pool}`) as unknown as PoolCalls;

/** A call within one data centre takes milliseconds. */
const OFFER_TIMEOUT_MS = 10_000;

/** A pool that could not be reached is asked again for as long as the execution may wait. */
const OFFER_RETRY_MS = 3_000;

/** Never throws. */
export async function offerToPool(env: Env, tenant: string, offer: PoolOffer, pool: string): Promise<LaunchOutcome> {
  try {
    return { kind: 'offered', answer: await within(OFFER_TIMEOUT_MS, poolStub(env, tenant, pool).offer(offer)) };
  } catch (error) {
    const { session, execution } = offer;
    logLine('warn', 'pool_call_failed', { tenant, pool, session, execution, message: errorMessage(error) });
    return { kind: 'saturated', retryAfterMs: OFFER_RETRY_MS };
  }
}

// ── upgrades ─────────────────────────────────────────────────────────────────────────────────────

/** What the Worker found in the key. The object has the digest of each of its keys. */
export interface RunnerUpgrade {
  keyId: string;
  digest: string;
}

/** The header of an upgrade request that holds its `RunnerUpgrade` as JSON. */
export const RUNNER_HEADER = 'x-holdfast-runner';

/** A refused key is answered without an upgrade, with a `Failure` in the body. */
export const openRunnerSocket = (stub: Pick<PoolCalls, 'fetch'>, wanted: RunnerUpgrade, protocol: string): Promise<Response> =>
  stub.fetch(
    new Request('https://pool/', {
      headers: { upgrade: 'websocket', [RUNNER_HEADER]: JSON.stringify(wanted), 'sec-websocket-protocol': protocol },
    }),
  );

export async function runnerRefusal(answer: Response): Promise<Failure | null> {
  return answer.status === 200 ? ((await answer.json()) as Failure) : null;
}
