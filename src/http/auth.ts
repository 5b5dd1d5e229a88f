/** Authenticates callers in the stateless Worker, before any object is called. */

import { type Author, CREDENTIAL_CHARS_MAX, type Failure } from '../../protocol/index.ts';
import { failure } from '../contract/failure.ts';
import type { Config } from '../platform/config.ts';
import type { Env } from '../platform/env.ts';
import { exceedsGuessLimit, rateLimited } from '../platform/rate-limits.ts';
import { isSigned } from '../platform/tokens.ts';

const BEARER = /^Bearer +([^\s]+)$/i;

/** Null also for a credential longer than any of ours. */
export function bearerToken(request: Request): string | null {
  const credential = BEARER.exec(request.headers.get('authorization') ?? '')?.[1] ?? null;
  return credential !== null && credential.length <= CREDENTIAL_CHARS_MAX ? credential : null;
}

/** For routes that take an API key only. Possible guesses are counted (rate-limits.ts). */
export async function authenticateKey(request: Request, env: Env, config: Config): Promise<({ ok: true } & KeyHolder) | Failure> {
  const key = bearerToken(request);
  const holder = key === null ? null : await findKeyHolder(config, key);
  if (holder !== null) return { ok: true, ...holder };
  const limited = key === null ? null : await countGuess(request, env, config, key);
  return limited ?? failure('unauthorized', 'An API key is needed: Authorization: Bearer <api key>.');
}

/**
 * Counts a refused credential, unless this deployment signed it: an expired ticket, or an ingest
 * token on another route, cannot be a guess. The refusal when the address is over the limit.
 */
export async function countGuess(request: Request, env: Env, config: Config, credential: string): Promise<Failure | null> {
  if ((await isSigned(config.signingKeys, credential)) || !(await exceedsGuessLimit(request, env))) return null;
  return rateLimited('Too many wrong API keys from this address.');
}

/** Whose key it is, and which. */
export interface KeyHolder {
  tenant: string;
  author: Author;
}

/**
 * The holder of an API key, or null. All digests are compared, each in constant time, so that the
 * time says nothing about a key.
 */
export async function findKeyHolder(config: Config, key: string): Promise<KeyHolder | null> {
  const given = await sha256(key);
  let tenant: string | null = null;
  for (const candidate of config.apiKeys) {
    if (crypto.subtle.timingSafeEqual(given, await sha256(candidate.key))) tenant = candidate.tenant;
  }
  return tenant === null ? null : { tenant, author: { kind: 'key', id: await keyId(key) } };
}

/**
 * Identifies a key in a log, which holders of a ticket read too. 32 bits tell the keys of a tenant
 * apart. They confirm no guess: a key of 16 characters has far more.
 */
async function keyId(key: string): Promise<string> {
  const digest = new DataView(await sha256(`holdfast key id ${key}`));
  return `key_${digest.getUint32(0).toString(16).padStart(8, '0')}`;
}

const sha256 = (text: string): Promise<ArrayBuffer> => crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));

/**
 * The origin of sandboxed frames and data: addresses. Any page can make one, so it is never
 * allowed.
 */
const OPAQUE = 'null';

/**
 * CORS does not protect a WebSocket, so pages of other origins are refused here. A program sends no
 * Origin; only its credential counts.
 */
export function originAllowed(request: Request, config: Config): boolean {
  const origin = request.headers.get('origin');
  return (
    origin === null ||
    origin === new URL(request.url).origin ||
    origin === config.publicUrl ||
    (origin !== OPAQUE && config.allowedOrigins.includes(origin))
  );
}
