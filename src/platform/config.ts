/** Reads the configuration. Fails closed: without usable keys only /healthz is served. */

import { CREDENTIAL_CHARS_MAX, isId, LAUNCHERS, RECORDED_LAUNCHERS, type RecordedLauncher } from '../../protocol/index.ts';
import type { Env } from './env.ts';

/** A shorter API key could be guessed; 16 characters of random text cannot. */
export const API_KEY_CHARS_MIN = 16;

/** HS256 needs a key of at least 256 bits (RFC 7518 §3.2). */
export const SIGNING_KEY_BYTES_MIN = 32;

/** The range that Standard Webhooks requires for a symmetric key. */
export const CALLBACK_KEY_BYTES_MIN = 24;
export const CALLBACK_KEY_BYTES_MAX = 64;

export interface Config {
  apiKeys: { tenant: string; key: string }[];
  signingKeys: Uint8Array[];
  allowedOrigins: string[];
  /** Of starts that name none. With `runner`, of 0.1.0, such a start is refused. */
  launcher: RecordedLauncher;
  /** Whether executions may be launched in containers. */
  containers: boolean;
  publicUrl: string | null;
  /** `keys`: those of one tenant newest first. All of them sign. */
  callbacks: { keys: CallbackKey[]; allowPrivate: boolean };
}

export interface CallbackKey {
  tenant: string;
  /** In the form of Standard Webhooks: `whsec_` and base64. */
  key: string;
}

export type ConfigResult = { ok: true; config: Config } | { ok: false; message: string };

const list = (text: string | undefined): string[] =>
  (text ?? '')
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');

const refuse = (message: string): ConfigResult => ({ ok: false, message });

/** `tenant=value` pairs. A value may contain equals signs. */
const pairs = (text: string | undefined): { tenant: string; key: string }[] =>
  list(text).map((item) => {
    const cut = item.indexOf('=');
    return { tenant: item.slice(0, Math.max(0, cut)), key: item.slice(cut + 1) };
  });

/** With padding, because the libraries of some receivers require it. */
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function isCallbackKey(key: string): boolean {
  const text = key.startsWith('whsec_') ? key.slice('whsec_'.length) : '';
  if (!BASE64.test(text)) return false;
  const bytes = atob(text).length;
  return bytes >= CALLBACK_KEY_BYTES_MIN && bytes <= CALLBACK_KEY_BYTES_MAX;
}

/** Messages name the variable and what is wrong with it, never its value. */
export function readConfig(env: Env): ConfigResult {
  const apiKeys = pairs(env.HOLDFAST_API_KEYS);
  if (apiKeys.length === 0) return refuse('HOLDFAST_API_KEYS is not set: give it tenant=key pairs');
  if (apiKeys.some(({ tenant, key }) => !isId(tenant) || key.length < API_KEY_CHARS_MIN)) {
    return refuse(`HOLDFAST_API_KEYS must be tenant=key pairs with keys of at least ${API_KEY_CHARS_MIN} characters`);
  }
  if (apiKeys.some(({ key }) => key.length > CREDENTIAL_CHARS_MAX)) {
    return refuse(`HOLDFAST_API_KEYS must have keys of at most ${CREDENTIAL_CHARS_MAX} characters: longer ones are not looked at`);
  }
  if (new Set(apiKeys.map(({ key }) => key)).size < apiKeys.length) {
    return refuse('HOLDFAST_API_KEYS gives one key twice: a key belongs to one tenant');
  }
  const signingKeys = list(env.HOLDFAST_SIGNING_KEYS).map((key) => new TextEncoder().encode(key));
  if (signingKeys.length === 0) return refuse('HOLDFAST_SIGNING_KEYS is not set');
  if (signingKeys.some((key) => key.byteLength < SIGNING_KEY_BYTES_MIN)) {
    return refuse(`each of HOLDFAST_SIGNING_KEYS must have at least ${SIGNING_KEY_BYTES_MIN} bytes`);
  }
  const launcher = env.HOLDFAST_LAUNCHER || 'none';
  // Runs of 0.1.0 may be under way, so this value does not close the deployment: obsoleteSettings().
  if (!(RECORDED_LAUNCHERS as readonly string[]).includes(launcher))
    return refuse(`HOLDFAST_LAUNCHER must be one of ${LAUNCHERS.join(', ')}`);
  const containers = env.HOLDFAST_CONTAINERS || '0';
  if (containers !== '0' && containers !== '1') return refuse('HOLDFAST_CONTAINERS must be 1 or 0');
  if (containers === '1' && !env.CONTAINERS) return refuse('HOLDFAST_CONTAINERS is 1, but there is no binding CONTAINERS');
  if (launcher === 'container' && containers !== '1')
    return refuse('HOLDFAST_LAUNCHER is container, but HOLDFAST_CONTAINERS is not 1: deploy with wrangler.containers.toml');
  const callbackKeys = pairs(env.HOLDFAST_CALLBACK_KEYS);
  if (callbackKeys.some(({ tenant, key }) => !isId(tenant) || !isCallbackKey(key))) {
    return refuse(
      `HOLDFAST_CALLBACK_KEYS must be tenant=whsec_… pairs: base64 of ${CALLBACK_KEY_BYTES_MIN} to ${CALLBACK_KEY_BYTES_MAX} bytes, with padding`,
    );
  }
  if (new Set(callbackKeys.map(({ key }) => key)).size < callbackKeys.length) {
    return refuse('HOLDFAST_CALLBACK_KEYS gives one key twice: who knows it could speak for both');
  }
  const allowPrivate = env.HOLDFAST_CALLBACK_ALLOW_PRIVATE || '0';
  if (allowPrivate !== '0' && allowPrivate !== '1') return refuse('HOLDFAST_CALLBACK_ALLOW_PRIVATE must be 1 or 0');
  const publicUrl = env.HOLDFAST_PUBLIC_URL?.replace(/\/+$/, '') || null;
  return {
    ok: true,
    config: {
      apiKeys,
      signingKeys,
      allowedOrigins: list(env.HOLDFAST_ALLOWED_ORIGINS),
      launcher: launcher as RecordedLauncher,
      containers: containers === '1',
      publicUrl,
      callbacks: { keys: callbackKeys, allowPrivate: allowPrivate === '1' },
    },
  };
}

/**
 * What is set for a part that this version does not have: one sentence for each, with what to do.
 * The deployment serves all the same.
 */
export function obsoleteSettings(env: Env): string[] {
  const warnings: string[] = [];
  if (env.HOLDFAST_LAUNCHER === 'runner') {
    warnings.push(
      'HOLDFAST_LAUNCHER is runner, a launcher that was removed: starts that name no launcher are refused. Make a runner key, start a runner with it, and set HOLDFAST_LAUNCHER to pool (docs/runners.md)',
    );
  }
  if (env.HOLDFAST_RUNNER_URL) {
    warnings.push(
      'HOLDFAST_RUNNER_URL has no effect: runners dial out to a pool now. Move the runner to a pool, then delete this variable and HOLDFAST_RUNNER_TOKEN (docs/runners.md)',
    );
  }
  return warnings;
}
