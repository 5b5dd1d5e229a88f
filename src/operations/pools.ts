/** What a tenant can do with its pools and the keys of their runners. */

import {
  DEFAULT_POOL,
  type Failure,
  isId,
  newRunnerKeyId,
  POOL_KEYS_MAX,
  POOLS_MAX,
  type PoolSummary,
  type PoolView,
  type Result,
  type RunnerKey,
  type Waiting,
} from '../../protocol/index.ts';
import { badInput, failure } from '../contract/failure.ts';
import { runnerKeySchema } from '../contract/schemas.ts';
import type { RunnerKeyRecord } from '../core/pool-messages.ts';
import type { Env } from '../platform/env.ts';
import { makeRunnerKey, sha256Hex } from '../platform/runner-keys.ts';
import { callDirectory, callPool } from '../session/call-object.ts';
import { checkInputForm } from './bound-input.ts';

/** Whose pools they are. */
interface Scope {
  env: Env;
  tenant: string;
}

const noPool = (pool: string): Failure =>
  failure('pool_not_found', `There is no pool ${pool}. Making a runner key of it makes it: POST /v1/pools/${pool}/keys.`, { pool });

function checkPoolId(pool: unknown): Failure | null {
  return isId(pool) ? null : failure('bad_request', 'pool: is not a valid id', { field: 'pool' });
}

export async function createRunnerKey(
  { env, tenant }: Scope,
  pool: string,
  input: unknown,
): Promise<Result<{ created: RunnerKey & { key: string } }>> {
  const bad = checkPoolId(pool) ?? checkInputForm(input);
  if (bad) return bad;
  const parsed = runnerKeySchema.safeParse(input);
  if (!parsed.success) return badInput(parsed.error);
  const { name, expiresAt = null } = parsed.data;
  const now = Date.now();
  if (expiresAt !== null && expiresAt <= now) {
    return failure('bad_request', 'expiresAt: is a time in the past', { field: 'expiresAt' });
  }
  // The list first: a pool that is listed and has no key is not shown, but a pool with a key that
  // is not listed would be lost.
  const listed = await callDirectory(env, tenant, (stub) => stub.addPool(pool));
  if (typeof listed !== 'boolean') return listed;
  if (!listed) return failure('pools_full', `A tenant can have ${POOLS_MAX} pools.`, { limit: POOLS_MAX });
  const id = newRunnerKeyId();
  const key = makeRunnerKey(tenant, id);
  const record: RunnerKeyRecord = { id, name, digest: await sha256Hex(key), createdAt: now, expiresAt, lastUsedAt: null };
  const added = await callPool(env, tenant, pool, (stub) => stub.addKey(record));
  if (typeof added !== 'boolean') return added;
  if (!added) {
    return failure('keys_full', `A pool can have ${POOL_KEYS_MAX} keys. Revoke one that is not used.`, { limit: POOL_KEYS_MAX });
  }
  return { ok: true, created: { ...keyView(record), key } };
}

/** Without the digest. */
const keyView = ({ id, name, createdAt, expiresAt, lastUsedAt }: RunnerKeyRecord): RunnerKey => ({
  id,
  name,
  createdAt,
  ...(expiresAt === null ? {} : { expiresAt }),
  ...(lastUsedAt === null ? {} : { lastUsedAt }),
});

export async function listRunnerKeys({ env, tenant }: Scope, pool: string): Promise<Result<{ data: RunnerKey[] }>> {
  const bad = checkPoolId(pool);
  if (bad) return bad;
  const keys = await callPool(env, tenant, pool, (stub) => stub.listKeys());
  if (keys === null) return noPool(pool);
  return 'code' in keys ? keys : { ok: true, data: keys.map(keyView) };
}

export async function revokeRunnerKey({ env, tenant }: Scope, pool: string, key: string): Promise<Result<object>> {
  const bad = checkPoolId(pool);
  if (bad) return bad;
  const revoked = await callPool(env, tenant, pool, (stub) => stub.revokeKey(key));
  if (revoked === null) return noPool(pool);
  if (typeof revoked !== 'boolean') return revoked;
  return revoked ? { ok: true } : failure('key_not_found', 'The pool has no such key. It may have been revoked before.');
}

const noRunner = (pool: string): Failure =>
  failure('runner_not_found', `The pool has no such runner: GET /v1/pools/${pool} lists them.`, { pool });

const checkRunnerId = (runner: unknown): Failure | null =>
  isId(runner) ? null : failure('bad_request', 'runner: is not a valid id', { field: 'runner' });

export async function drainRunner({ env, tenant }: Scope, pool: string, runner: string): Promise<Result<object>> {
  const bad = checkPoolId(pool) ?? checkRunnerId(runner);
  if (bad) return bad;
  const found = await callPool(env, tenant, pool, (stub) => stub.drainRunner(runner));
  if (found === null) return noPool(pool);
  if (typeof found !== 'boolean') return found;
  return found ? { ok: true } : noRunner(pool);
}

export async function removeRunner({ env, tenant }: Scope, pool: string, runner: string): Promise<Result<object>> {
  const bad = checkPoolId(pool) ?? checkRunnerId(runner);
  if (bad) return bad;
  const answer = await callPool(env, tenant, pool, (stub) => stub.removeRunner(runner));
  if (answer === null) return noPool(pool);
  if (typeof answer !== 'string') return answer;
  switch (answer) {
    case 'removed':
      return { ok: true };
    case 'unknown':
      return noRunner(pool);
    case 'connected':
      return failure(
        'runner_connected',
        `The runner is connected. Drain it first, with POST /v1/pools/${pool}/runners/${runner}/drain: it leaves when its runs have ended, and can be removed then.`,
        { pool, runner },
      );
    default:
      return answer satisfies never;
  }
}

export async function listPools({ env, tenant }: Scope): Promise<Result<{ data: PoolSummary[] }>> {
  const ids = await callDirectory(env, tenant, (stub) => stub.listPools());
  if ('code' in ids) return ids;
  const data: PoolSummary[] = [];
  const answers = await Promise.all(ids.map((pool) => callPool(env, tenant, pool, (stub) => stub.summary())));
  for (const answer of answers) {
    if (answer === null) continue;
    if ('code' in answer) return answer;
    data.push(answer);
  }
  return { ok: true, data };
}

export async function getPool({ env, tenant }: Scope, pool: string): Promise<Result<{ pool: PoolView }>> {
  const bad = checkPoolId(pool);
  if (bad) return bad;
  const view = await callPool(env, tenant, pool, (stub) => stub.view());
  if (view === null) return noPool(pool);
  return 'code' in view ? view : { ok: true, pool: view };
}

// ── for starts and reads ─────────────────────────────────────────────────────────────────────────

/** Pools that this isolate knows to exist. A pool is never deleted. */
const known = new Set<string>();
const KNOWN_MAX = 10_000;

/** Why an execution cannot be started on this pool, or null. */
export async function checkPool({ env, tenant }: Scope, pool: string = DEFAULT_POOL): Promise<Failure | null> {
  const name = `${tenant}/${pool}`;
  if (known.has(name)) return null;
  const exists = await callPool(env, tenant, pool, (stub) => stub.poolExists());
  if (typeof exists !== 'boolean') return exists;
  if (!exists) return noPool(pool);
  if (known.size >= KNOWN_MAX) known.clear();
  known.add(name);
  return null;
}

/** What the pool says now. A pool that cannot be reached leaves what the session knows. */
export async function withPlace({ env, tenant }: Scope, session: string, execution: string, waiting: Waiting): Promise<Waiting> {
  const place = await callPool(env, tenant, waiting.pool, (stub) => stub.inspect(session, execution));
  if (place === null || 'code' in place) return waiting;
  return { ...waiting, reason: place.reason, ...(place.position === null ? {} : { position: place.position }) };
}

// ── metrics ──────────────────────────────────────────────────────────────────────────────────────

type Gauge = [name: string, help: string, value: (pool: PoolSummary, now: number) => number];

const GAUGES: readonly Gauge[] = [
  ['holdfast_pool_runners', 'Connected runners.', ({ runners }) => runners],
  ['holdfast_pool_slots', 'Slots of connected runners.', ({ slots }) => slots],
  ['holdfast_pool_slots_busy', 'Slots that are taken, by runs that are starting too.', ({ busy }) => busy],
  ['holdfast_pool_waiting', 'Executions that wait for a runner.', ({ waiting }) => waiting],
  [
    'holdfast_pool_slots_wanted',
    'Slots that would be taken if there were enough: busy and waiting. Scale to this number.',
    ({ busy, waiting }) => busy + waiting,
  ],
  [
    'holdfast_pool_oldest_wait_seconds',
    'How long the execution that has waited longest has waited; 0 when none waits.',
    ({ oldestWaitingAt }, now) => (oldestWaitingAt === undefined ? 0 : Math.max(0, now - oldestWaitingAt) / 1000),
  ],
];

/** Prometheus' text format. An id needs no escaping. */
export function metricsText(pools: readonly PoolSummary[], now: number): string {
  const lines = GAUGES.flatMap(([name, help, value]) => [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} gauge`,
    ...pools.map((pool) => `${name}{pool="${pool.id}"} ${value(pool, now)}`),
  ]);
  return `${lines.join('\n')}\n`;
}
