/**
 * Keys of runners: `hfr_` + base64url(tenant) + `.` + id + `.` + base64url of 32 random bytes. The key
 * names its tenant and its id, so that one object can check it. Only the SHA-256 is stored: 256
 * random bits need no salt and no slow hash.
 */

import { isId } from '../../protocol/index.ts';
import { RUNNER_KEY_PATTERN, RUNNER_KEY_PREFIX } from '../../protocol/pool.ts';

const SECRET_BYTES = 32;

const toBase64Url = (bytes: Uint8Array): string =>
  btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replaceAll('=', '');

export function makeRunnerKey(tenant: string, id: string): string {
  const secret = crypto.getRandomValues(new Uint8Array(SECRET_BYTES));
  return `${RUNNER_KEY_PREFIX}${toBase64Url(new TextEncoder().encode(tenant))}.${id}.${toBase64Url(secret)}`;
}

/** Whose key it claims to be. Null for text that is no runner key. Nothing is verified here. */
export function readRunnerKey(key: string): { tenant: string; id: string } | null {
  const [, encoded, id] = RUNNER_KEY_PATTERN.exec(key) ?? [];
  if (encoded === undefined || id === undefined) return null;
  try {
    const tenant = atob(encoded.replaceAll('-', '+').replaceAll('_', '/'));
    return isId(tenant) ? { tenant, id } : null;
  } catch {
    return null;
  }
}

export async function sha256Hex(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
