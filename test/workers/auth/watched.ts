/**
 * Helpers of the security tests: bindings that record every object they are asked for, everything
 * that is stored of a tenant, and tokens made by hand, so that they can be wrong in ways that no
 * library produces.
 */

import { listDurableObjectIds, runInDurableObject } from 'cloudflare:test';
import type { Env } from '../../../src/platform/env.ts';
import { deployment } from '../support/http.ts';
import { stubOf, testEnv } from '../support/peers.ts';

export interface Watched {
  env: Env;
  /** Names of the requested objects, in order: `tenant/session` and, for directories, `tenant`. */
  reached: string[];
}

/** A normal deployment whose namespaces record the names of the requested objects. */
export function watched(settings: Parameters<typeof deployment>[0] = {}): Watched {
  const reached: string[] = [];
  const noting = <N extends object>(namespace: N): N =>
    new Proxy(namespace, {
      get(target, member) {
        const value = Reflect.get(target, member) as unknown;
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) => {
          reached.push(member === 'getByName' ? String(args[0]) : String(member));
          return (value as (...args: unknown[]) => unknown).apply(target, args);
        };
      },
    });
  const { SESSIONS, DIRECTORY, POOLS, CONTAINERS } = testEnv;
  const containers = CONTAINERS ? { CONTAINERS: noting(CONTAINERS) } : {};
  const env = deployment({
    SESSIONS: noting(SESSIONS),
    DIRECTORY: noting(DIRECTORY),
    POOLS: noting(POOLS),
    ...containers,
    ...settings,
  });
  return { env, reached };
}

const tablesOf = ({ sql }: DurableObjectStorage): Record<string, unknown[]> => {
  const names = sql.exec<{ name: string }>(
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'",
  );
  return Object.fromEntries(names.toArray().map(({ name }) => [name, sql.exec(`SELECT * FROM "${name}"`).toArray()]));
};

/** Every row of a session, its alarm, and its number of sockets. */
export const keptOf = (session: string, tenant = 'acme'): Promise<unknown> =>
  runInDurableObject(stubOf(session, tenant), async (_, state) => ({
    tables: tablesOf(state.storage),
    alarm: await state.storage.getAlarm(),
    sockets: state.getWebSockets().length,
  }));

/** Every row of a tenant's directory. */
export const directoryOf = (tenant = 'acme'): Promise<unknown> =>
  runInDurableObject(testEnv.DIRECTORY.getByName(tenant), (_, { storage }) => tablesOf(storage));

/** Every existing object. */
export async function objectIds(): Promise<string[]> {
  const namespaces = [testEnv.SESSIONS, testEnv.DIRECTORY, testEnv.POOLS];
  const all = await Promise.all(namespaces.map((namespace) => listDurableObjectIds(namespace)));
  return all
    .flat()
    .map((id) => id.toString())
    .sort();
}

const encoder = new TextEncoder();

const base64url = (bytes: Uint8Array): string =>
  btoa(String.fromCharCode(...bytes))
    .replaceAll('+', '-')
    .replaceAll('/', '_')
    .replace(/=+$/, '');

export const part = (value: unknown): string =>
  base64url(encoder.encode(typeof value === 'string' ? value : JSON.stringify(value)));

export const partsOf = (token: string): [header: string, payload: string, signature: string] => {
  const [header = '', payload = '', signature = ''] = token.split('.');
  return [header, payload, signature];
};

export const claimsIn = (token: string): Record<string, unknown> =>
  JSON.parse(atob(partsOf(token)[1].replaceAll('-', '+').replaceAll('_', '/')));

/** A JWT of exactly this header and payload, signed by HMAC whatever its header says. */
export async function handMade(
  header: unknown,
  payload: unknown,
  key: string,
  hash: 'SHA-256' | 'SHA-384' | 'SHA-512' = 'SHA-256',
): Promise<string> {
  const text = `${part(header)}.${part(payload)}`;
  const hmac = await crypto.subtle.importKey('raw', encoder.encode(key), { name: 'HMAC', hash }, false, ['sign']);
  return `${text}.${base64url(new Uint8Array(await crypto.subtle.sign('HMAC', hmac, encoder.encode(text))))}`;
}

/** The same, signed by an unknown key pair. */
export async function signedByKeyPair(payload: unknown): Promise<{ token: string; publicKey: JsonWebKey; publicPem: string }> {
  const algorithm = { name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' };
  const pair = (await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as CryptoKeyPair;
  const publicKey = (await crypto.subtle.exportKey('jwk', pair.publicKey)) as JsonWebKey;
  const spki = new Uint8Array((await crypto.subtle.exportKey('spki', pair.publicKey)) as ArrayBuffer);
  const text = `${part({ alg: 'RS256', typ: 'JWT' })}.${part(payload)}`;
  const signature = new Uint8Array(await crypto.subtle.sign(algorithm.name, pair.privateKey, encoder.encode(text)));
  const publicPem = `-----BEGIN PUBLIC KEY-----\n${btoa(String.fromCharCode(...spki))}\n-----END PUBLIC KEY-----\n`;
  return { token: `${text}.${base64url(signature)}`, publicKey, publicPem };
}
