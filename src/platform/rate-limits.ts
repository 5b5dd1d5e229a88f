/**
 * Rate limits, by the platform's rate limiting binding: how often, not how much at once (that is protocol/limits.ts). The numbers are in wrangler.toml; a
 * deployment without a binding limits nothing of that kind. A check asks no object and waits for no network: the platform counts on the machine that the
 * Worker runs on, for each of its locations, and is permissive. So these limits keep one caller from taking what all share; they are no accounts.
 *
 *   what is counted                       by which key        why
 *   ───────────────────────────────────   ─────────────────   ────────────────────────────────────────────────────────────────────────────────────────
 *   changes: start, interrupt, fail,      tenant              Each is a request to an object and mostly written rows, which cost the most. A tenant and
 *   input, delete                                             not a key, or two keys would be twice the limit.
 *   reads, upgrades of viewers            tenant              Each is a request to an object. The limit is below what one object can answer, so that
 *                                                             readers of one session leave room for its wrapper.
 *   tickets                               tenant, apart       They touch no object, and each connection of each page needs one: after a deploy all pages
 *                                                             of a tenant ask at once, and must not keep its starts waiting, nor these them.
 *   API keys that were refused            client address      What could be guessed. Signed tokens and tickets can not.
 *
 * Never counted: ingest. A job must not fail because of a limit; a wrapper's own backoff bounds its attempts, and its token was given out by a start, which
 * is counted. Neither are /healthz and /openapi.json, whose answers are at hand.
 *
 * RL1  A limiter that is missing, fails or hangs lets everything pass; the last two are logged.
 * RL2  A right API key passes, whatever else comes from its address: many share one, and who guesses must not be able to keep the others out. That keys are not guessed is
 *      the keys' own doing (API_KEY_CHARS_MIN); what is over this limit is told so, and operators are told of the address.
 */

import type { Failure } from '../../protocol/index.ts';
import type { Env } from './env.ts';
import { logLine, messageOf } from './log.ts';
import { within } from './time-limit.ts';

/** What a caller over its limit is asked to wait: the period that wrangler.toml counts tenants by (a test compares them). */
export const RATE_RETRY_SECONDS = 10;

/** A limiter answers from memory; one that has not by then is not going to. */
const LIMITER_TIMEOUT_MS = 1000;

/** Kinds of lines that are remembered as said, of one isolate. Some 100 bytes each. */
const SAYINGS_MAX = 1000;

/** Log lines of one kind are said once in so long: a limit that logged every refusal would be the next thing to be flooded. */
const SAID_AGAIN_MS = 10_000;

export type RateKind = 'change' | 'read' | 'ticket';

const LIMITERS = {
  change: { binding: 'RATE_CHANGES', keyOf: (tenant: string) => tenant, what: 'changes' },
  read: { binding: 'RATE_READS', keyOf: (tenant: string) => tenant, what: 'reads' },
  // A tenant's name has no slash.
  ticket: { binding: 'RATE_READS', keyOf: (tenant: string) => `${tenant}/tickets`, what: 'tickets' },
} as const satisfies Record<RateKind, { binding: keyof Env; keyOf: (tenant: string) => string; what: string }>;

/** Counts one request of a tenant. The failure to answer with when it is one too many, else null. */
export async function refusalByRate(env: Env, kind: RateKind, tenant: string): Promise<Failure | null> {
  const { binding, keyOf, what } = LIMITERS[kind];
  if (await passes(env[binding], keyOf(tenant), binding)) return null;
  saidNow(`limited ${kind} ${tenant}`, Date.now(), () => logLine('warn', 'rate_limited', { tenant, reason: what }));
  return rateLimited(`Too many ${what} by this tenant in a few seconds.`);
}

export const rateLimited = (why: string): Failure => ({
  ok: false,
  code: 'rate_limited',
  message: `${why} Try again in ${RATE_RETRY_SECONDS} s.`,
  facts: { retryAfterSeconds: RATE_RETRY_SECONDS },
});

/** Counts a refused API key by where it came from. True when it was one too many (RL2). */
export async function guessedTooOften(request: Request, env: Env): Promise<boolean> {
  const limiter = env.RATE_REFUSED_KEYS;
  const address = limiter && addressOf(request.headers);
  if (!address || (await passes(limiter, address, 'RATE_REFUSED_KEYS'))) return false;
  saidNow(`guesses ${address}`, Date.now(), () => logLine('warn', 'refused_keys_limited', { address }));
  return true;
}

/** All requests that Workers of other zones make come from this one; which zone it was is in a header that the platform sets. */
const WORKERS_ADDRESS = '2a06:98c0:3600::103';

/**
 * What one client is counted by, as the platform says it (a client can not choose it), or null. Of IPv6 the first 64 bits: that much belongs to one
 * customer, who may use any address in it.
 */
export function addressOf(headers: Headers): string | null {
  const address = headers.get('cf-connecting-ip');
  if (!address) return null;
  if (address === WORKERS_ADDRESS) return `${address} ${headers.get('cf-worker') ?? ''}`;
  if (!address.includes(':') || address.includes('.')) return address.slice(address.lastIndexOf(':') + 1);
  const [head = '', tail = ''] = address.split('::');
  const groups = head === '' ? [] : head.split(':');
  const behind = tail === '' ? [] : tail.split(':');
  const whole = [...groups, ...Array(Math.max(0, 8 - groups.length - behind.length)).fill('0'), ...behind];
  const prefix = whole.slice(0, 4).map((group) => group.toLowerCase().replace(/^0+(?=.)/, ''));
  return `${prefix.join(':')}::/64`;
}

/** RL1 */
async function passes(limiter: RateLimit | undefined, key: string, binding: string): Promise<boolean> {
  if (!limiter) return true;
  try {
    const { success } = await within(LIMITER_TIMEOUT_MS, limiter.limit({ key }));
    return success !== false;
  } catch (error) {
    saidNow(`failed ${binding}`, Date.now(), () =>
      logLine('error', 'rate_limiter_failed', { reason: binding, message: messageOf(error) }),
    );
    return true;
  }
}

let sayings = new Map<string, number>();

function saidNow(what: string, now: number, say: () => void): void {
  if (now - (sayings.get(what) ?? Number.NEGATIVE_INFINITY) < SAID_AGAIN_MS) return;
  if (sayings.size >= SAYINGS_MAX) sayings = new Map();
  sayings.set(what, now);
  say();
}
