/**
 * Calls to Holdfast return results and do not throw. This file decides which calls are retried, and
 * what the caller of this API receives.
 */

import { BackoffController, type Failure, type Result } from '@holdfast/client/protocol';

/** Three attempts in all. */
const RETRY = { baseMs: 400, capMs: 1000, maxAttempts: 2, spread: 'half' } as const;

/**
 * Only for idempotent calls: all but `sendInput`, and a start only with an id of its own. A
 * rejected call did not arrive or lost its response, for example because the other Worker is being
 * replaced.
 */
export async function calling<T extends object>(call: () => Promise<Result<T>>): Promise<Result<T>> {
  const backoff = new BackoffController(RETRY);
  for (;;) {
    const result = await call().catch((error: unknown): Failure => ({ ok: false, code: 'unavailable', message: String(error) }));
    if (result.ok || result.code !== 'unavailable' || backoff.recordFailure() === 'give-up') return result;
    await scheduler.wait(backoff.nextDelayMs());
  }
}

export function refusalOf(failure: Failure): Response {
  const { status, error, message } = inOurWords(failure);
  if (status >= 500) console.error(JSON.stringify({ event: 'holdfast_refused', code: failure.code, message: failure.message }));
  const wait = String(failure.facts?.retryAfterSeconds ?? 5);
  return Response.json({ error, message }, { status, headers: status === 429 || status === 503 ? { 'retry-after': wait } : {} });
}

function inOurWords({ code }: Failure): { status: number; error: string; message: string } {
  switch (code) {
    case 'session_not_found':
    case 'execution_not_found':
      return { status: 404, error: 'no_such_build', message: 'There is no such build.' };
    case 'execution_id_conflict':
      return { status: 409, error: 'key_taken', message: 'This Idempotency-Key belongs to another build.' };
    case 'queue_full':
      return { status: 429, error: 'too_many_builds', message: 'Too many builds of this repository are waiting.' };
    case 'rate_limited':
      return { status: 429, error: 'too_many_requests', message: 'Too many requests. Try again in a few seconds.' };
    case 'overloaded':
    case 'unavailable':
    case 'internal':
      return { status: 503, error: 'unavailable', message: 'Builds cannot be reached. Try again.' };
    // The requests of this Worker are always well-formed and allowed. These codes mean a mistake in
    // this Worker or its deployment. The caller does not need the details.
    case 'bad_request':
    case 'unauthorized':
    case 'forbidden_origin':
    case 'not_found':
    case 'pool_not_found':
    case 'key_not_found':
    case 'runner_not_found':
    case 'pools_full':
    case 'keys_full':
    case 'runner_connected':
    case 'method_not_allowed':
    case 'execution_in_progress':
    case 'session_full':
    case 'storage_full':
    case 'stdin_closed':
    case 'input_id_conflict':
    case 'wrapper_too_old':
    case 'input_full':
    case 'not_a_terminal':
    case 'not_asking':
    case 'already_answered':
    case 'not_running':
    case 'offset_ahead':
    case 'offset_expired':
    case 'log_replaced':
    case 'too_large':
    case 'upgrade_required':
    case 'not_configured':
      return { status: 500, error: 'internal', message: 'Something went wrong here.' };
    default:
      // A code of a later version.
      code satisfies never;
      return { status: 500, error: 'internal', message: 'Something went wrong here.' };
  }
}
