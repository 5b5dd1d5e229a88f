/** Who is asking. Everything here is decided in the stateless Worker, before a session's object is touched. */

import { CREDENTIAL_CHARS_MAX, type Failure } from '../../protocol/index.ts';
import { failure } from '../contract/failure.ts';
import type { Config } from '../platform/config.ts';
import type { Env } from '../platform/env.ts';
import { guessedTooOften, rateLimited } from '../platform/rate-limits.ts';

const BEARER = /^Bearer +([^\s]+)$/i;

/** Null too for one that is longer than any of ours: it is not looked at. */
export function bearerOf(request: Request): string | null {
  const credential = BEARER.exec(request.headers.get('authorization') ?? '')?.[1] ?? null;
  return credential !== null && credential.length <= CREDENTIAL_CHARS_MAX ? credential : null;
}

/** Where an API key is the only credential. A refused one is counted (RL2). */
export async function authenticateKey(request: Request, env: Env, config: Config): Promise<{ ok: true; tenant: string } | Failure> {
  const key = bearerOf(request);
  const tenant = key === null ? null : await tenantOf(config, key);
  if (tenant !== null) return { ok: true, tenant };
  if (key !== null && (await guessedTooOften(request, env))) return tooManyGuesses();
  return failure('unauthorized', 'An API key is needed: Authorization: Bearer <api key>.');
}

export const tooManyGuesses = (): Failure => rateLimited('Too many wrong API keys from this address.');

/** The tenant of an API key, or null. Digests are compared, in constant time and all of them, so that time tells nothing about a key. */
export async function tenantOf(config: Config, key: string): Promise<string | null> {
  const given = await sha256(key);
  let tenant: string | null = null;
  for (const candidate of config.apiKeys) {
    if (crypto.subtle.timingSafeEqual(given, await sha256(candidate.key))) tenant = candidate.tenant;
  }
  return tenant;
}

const sha256 = (text: string): Promise<ArrayBuffer> => crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));

/** The origin of sandboxed frames and of data: addresses. Any page can make one, so to allow it would be to allow all. */
const OPAQUE = 'null';

/**
 * Browsers say where a page comes from; a socket is not protected by CORS, so this is where a foreign page is turned away. Programs send no
 * Origin and are judged by their credential alone.
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
