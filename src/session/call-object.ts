/**
 * Calls of the stateless Worker to a session's object, a pool or a tenant's directory. Objects are
 * addressed by name. A call is retried when the platform says that a retry is safe and useful.
 */

import { BackoffController, type Failure } from '../../protocol/index.ts';
import { type DirectoryCalls, directoryStub } from '../directory/calls.ts';
import { type PoolCalls, poolStub } from '../launch/pool.ts';
import type { Env } from '../platform/env.ts';
import { errorMessage, type LogFields, logLine } from '../platform/log.ts';
import type { SessionCalls } from './contract.ts';

/** Four attempts in all. */
const CALL_RETRY = { baseMs: 100, capMs: 1000, maxAttempts: 3, spread: 'full' } as const;

/** The fields we read of an error that crossed the object boundary. */
interface PlatformError {
  retryable?: boolean;
  overloaded?: boolean;
  durableObjectReset?: boolean;
}

export function sessionStub(env: Env, tenant: string, session: string): DurableObjectStub {
  return env.SESSIONS.getByName(`${tenant}/${session}`);
}

/**
 * Every operation except an input without an id is idempotent, so a call whose answer was lost is
 * retried. An overloaded object is not called again, because a retry adds load. A stub is broken
 * after any exception, so each attempt gets a new one.
 */
export function callSession<T>(
  env: Env,
  tenant: string,
  session: string,
  call: (stub: SessionCalls) => Promise<T>,
  { idempotent = true }: { idempotent?: boolean } = {},
): Promise<T | Failure> {
  const attempt = () => call(sessionStub(env, tenant, session) as unknown as SessionCalls);
  return callObject({ kind: 'session', names: { tenant, session } }, attempt, idempotent);
}

/** The same for the directory of the tenant's sessions. */
export function callDirectory<T>(env: Env, tenant: string, call: (stub: DirectoryCalls) => Promise<T>): Promise<T | Failure> {
  return callObject({ kind: 'directory', names: { tenant } }, () => call(directoryStub(env, tenant)), true);
}

/** The same for one pool. Every operation on it is idempotent. */
export function callPool<T>(env: Env, tenant: string, pool: string, call: (stub: PoolCalls) => Promise<T>): Promise<T | Failure> {
  return callObject({ kind: 'pool', names: { tenant, pool } }, () => call(poolStub(env, tenant, pool)), true);
}

async function callObject<T>(
  { kind, names }: { kind: 'session' | 'directory' | 'pool'; names: Pick<LogFields, 'tenant' | 'session' | 'pool'> },
  call: () => Promise<T>,
  idempotent: boolean,
): Promise<T | Failure> {
  const backoff = new BackoffController(CALL_RETRY);
  for (;;) {
    try {
      return await call();
    } catch (error) {
      const { retryable, overloaded, durableObjectReset } = error as PlatformError;
      logLine('warn', `${kind}_call_failed`, {
        ...names,
        attempt: backoff.attempt + 1,
        retryable,
        overloaded,
        durableObjectReset,
        message: errorMessage(error),
      });
      if (overloaded) return { ok: false, code: 'overloaded', message: `The ${kind} has too much to do. Try again later.` };
      if (!retryable && !durableObjectReset) return { ok: false, code: 'internal', message: `The ${kind} failed to answer.` };
      if (!idempotent || backoff.recordFailure() === 'give-up') {
        return { ok: false, code: 'unavailable', message: `The ${kind} could not be reached. Try again.` };
      }
      await scheduler.wait(backoff.nextDelayMs());
    }
  }
}
