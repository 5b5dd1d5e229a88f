/** How the stateless part calls a session's object, or a tenant's directory: by name, with retries where the platform says that a retry is safe and useful. */

import type { Failure } from '../../protocol/index.ts';
import { type DirectoryCalls, directoryStub } from '../directory/calls.ts';
import type { Env } from '../platform/env.ts';
import { type LogFields, logLine, messageOf } from '../platform/log.ts';
import type { SessionCalls } from './contract.ts';

const ATTEMPTS_MAX = 4;
const BASE_MS = 50;
const CAP_MS = 1000;

/** The narrowest reading of an error that crossed the object boundary. */
interface PlatformError {
  retryable?: boolean;
  overloaded?: boolean;
  durableObjectReset?: boolean;
}

export function sessionStub(env: Env, tenant: string, session: string): DurableObjectStub {
  return env.SESSIONS.getByName(`${tenant}/${session}`);
}

/**
 * Every operation but `sendInput` is idempotent, so an answer that was lost may be asked for again. An overloaded object is never asked again: that
 * would make it worse. A stub is dead after any exception, so each attempt gets its own.
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

/** The same for the list of the tenant's sessions. */
export function callDirectory<T>(env: Env, tenant: string, call: (stub: DirectoryCalls) => Promise<T>): Promise<T | Failure> {
  return callObject({ kind: 'directory', names: { tenant } }, () => call(directoryStub(env, tenant)), true);
}

async function callObject<T>(
  { kind, names }: { kind: 'session' | 'directory'; names: Pick<LogFields, 'tenant' | 'session'> },
  call: () => Promise<T>,
  idempotent: boolean,
): Promise<T | Failure> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call();
    } catch (error) {
      const { retryable, overloaded, durableObjectReset } = error as PlatformError;
      logLine('warn', `${kind}_call_failed`, {
        ...names,
        attempt,
        retryable,
        overloaded,
        durableObjectReset,
        message: messageOf(error),
      });
      if (overloaded) return { ok: false, code: 'overloaded', message: `The ${kind} has too much to do. Try again later.` };
      if (!retryable && !durableObjectReset) return { ok: false, code: 'internal', message: `The ${kind} failed to answer.` };
      if (!idempotent || attempt >= ATTEMPTS_MAX) {
        return { ok: false, code: 'unavailable', message: `The ${kind} could not be reached. Try again.` };
      }
      await scheduler.wait(Math.random() * Math.min(CAP_MS, BASE_MS * 2 ** attempt));
    }
  }
}
