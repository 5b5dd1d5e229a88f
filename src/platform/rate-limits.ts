/**
 * Rate limits, through the platform's rate limiting binding. They bound how often, not how much at
 * once (that is protocol/limits.ts). The numbers are in wrangler.toml; a deployment without a
 * binding does not limit that kind. A check calls no object and waits for no network: the platform
 * counts on the Worker's machine, per location, and is permissive. The limits keep one caller from
 * using up shared capacity; they are not exact accounting.
 *
 *   what is counted                   key              why
 *   ───────────────────────────────   ──────────────   ──────────────────────────────────────────
 *   changes: start, interrupt, fail,  tenant           Each is a request to an object and mostly
 *   delete                                             written rows, which cost the most. Per
 *                                                      tenant, so that a second key does not
 *                                                      double the limit.
 *   inputs                            tenant/inputs    The same, but a file that is piped into a
 *                                                      job is thousands of them, and must not
 *                                                      delay a start or an interrupt.
 *   reads, upgrades of viewers        tenant           Each is a request to an object. The limit is
 *                                                      below the capacity of one object, so readers
 *                                                      of a session leave room for its wrapper.
 *   tickets                           tenant/tickets   They use no object, and each connection of a
 *                                                      page needs one: after a deploy all pages of
 *                                                      a tenant ask at once. That must not delay
 *                                                      its starts, and starts must not delay them.
 *   refused API keys                  client address   They could be guesses. Tokens and tickets
 *                                                      that this deployment signed cannot.
 *
 * Ingest is never counted, because a job must not fail by a limit. A wrapper's own backoff bounds
 * its attempts, and its token comes from a start, which is counted. /healthz and /openapi.json are
 * not counted either; their answers need no work.
 *
 * RL1  A limiter that is missing, fails or hangs lets everything pass. A failure or hang is logged.
 * RL2  A valid API key passes, whatever else its address sends: clients behind one NAT share an
 *      address, and a guesser must not lock out valid users. The length of the keys prevents
 *      guessing (API_KEY_CHARS_MIN). The limit only answers 429, and reports the address to
 *      operators.
 */

import type { Failure } from '../../protocol/index.ts';
import { clientKey, parseIp } from '../../protocol/ip-address.ts';
import type { Env } from './env.ts';
import { errorMessage, logLine } from './log.ts';
import { within } from './time-limit.ts';

/**
 * Retry-After of a caller over its limit: the period in which wrangler.toml counts tenants (a test
 * compares them).
 */
export const RATE_RETRY_SECONDS = 10;

/** A limiter answers from memory. After this time it will not answer. */
const LIMITER_TIMEOUT_MS = 1000;

/** Remembered kinds of log lines per isolate, some 100 bytes each. */
const LOGGED_MAX = 1000;

/** A log line of one kind is written once in this time, so that refusals do not flood the log. */
const LOG_AGAIN_MS = 10_000;

export type RateKind = 'change' | 'input' | 'read' | 'ticket';

const LIMITERS = {
  change: { binding: 'RATE_CHANGES', keyOf: (tenant: string) => tenant, what: 'changes' },
  // A tenant's name has no slash.
  input: { binding: 'RATE_CHANGES', keyOf: (tenant: string) => `${tenant}/inputs`, what: 'inputs' },
  read: { binding: 'RATE_READS', keyOf: (tenant: string) => tenant, what: 'reads' },
  ticket: { binding: 'RATE_READS', keyOf: (tenant: string) => `${tenant}/tickets`, what: 'tickets' },
} as const satisfies Record<RateKind, { binding: keyof Env; keyOf: (tenant: string) => string; what: string }>;

/** Counts one request of a tenant. Returns the failure to answer with when it is over the limit. */
export async function checkRateLimit(env: Env, kind: RateKind, tenant: string): Promise<Failure | null> {
  const { binding, keyOf, what } = LIMITERS[kind];
  if (await passes(env[binding], keyOf(tenant), binding)) return null;
  logAtMostOnce(`limited ${kind} ${tenant}`, Date.now(), () => logLine('warn', 'rate_limited', { tenant, reason: what }));
  return rateLimited(`Too many ${what} by this tenant in a few seconds.`);
}

export const rateLimited = (why: string): Failure => ({
  ok: false,
  code: 'rate_limited',
  message: `${why} Try again in ${RATE_RETRY_SECONDS} s.`,
  facts: { retryAfterSeconds: RATE_RETRY_SECONDS },
});

/** Counts a refused API key by its client's address. True when it is over the limit (RL2). */
export async function exceedsGuessLimit(request: Request, env: Env): Promise<boolean> {
  const limiter = env.RATE_REFUSED_KEYS;
  const address = limiter && clientKeyOf(request.headers);
  if (!address || (await passes(limiter, address, 'RATE_REFUSED_KEYS'))) return false;
  logAtMostOnce(`guesses ${address}`, Date.now(), () => logLine('warn', 'refused_keys_limited', { address }));
  return true;
}

/**
 * Requests from Workers of other zones all have this address. A header of the platform holds the
 * zone.
 */
const WORKERS_ADDRESS = '2a06:98c0:3600::103';

/**
 * The key by which a client is counted, from a header that the platform sets and a client cannot
 * choose; or null without that header.
 */
export function clientKeyOf(headers: Headers): string | null {
  const text = headers.get('cf-connecting-ip');
  if (!text) return null;
  const address = parseIp(text);
  if (address?.toString() === WORKERS_ADDRESS) return `${WORKERS_ADDRESS} ${headers.get('cf-worker') ?? ''}`;
  return clientKey(address);
}

/** RL1: true when the limiter allows the request, or does not answer. */
async function passes(limiter: RateLimit | undefined, key: string, binding: string): Promise<boolean> {
  if (!limiter) return true;
  try {
    const { success } = await within(LIMITER_TIMEOUT_MS, limiter.limit({ key }));
    return success !== false;
  } catch (error) {
    logAtMostOnce(`failed ${binding}`, Date.now(), () =>
      logLine('error', 'rate_limiter_failed', { reason: binding, message: errorMessage(error) }),
    );
    return true;
  }
}

let loggedAt = new Map<string, number>();

function logAtMostOnce(what: string, now: number, write: () => void): void {
  if (now - (loggedAt.get(what) ?? Number.NEGATIVE_INFINITY) < LOG_AGAIN_MS) return;
  if (loggedAt.size >= LOGGED_MAX) loggedAt = new Map();
  loggedAt.set(what, now);
  write();
}
