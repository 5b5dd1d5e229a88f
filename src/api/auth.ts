/** Who is asking. Everything here is decided in the stateless Worker, before a session's object is touched. */

import type { Config } from '../config.ts';

const BEARER = /^Bearer +([^\s]+)$/i;

export function bearerOf(request: Request): string | null {
  return BEARER.exec(request.headers.get('authorization') ?? '')?.[1] ?? null;
}

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
    config.allowedOrigins.includes(origin)
  );
}
