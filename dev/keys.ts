/**
 * The keys of a local stack. They are made once for a data folder, so that a later start with the
 * same folder continues.
 */

import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Keys {
  apiKey: string;
  signingKey: string;
  runnerToken: string;
  /** Signs callbacks; a receiver checks them with it. */
  callbackKey: string;
}

/**
 * Closes a folder or file of keys to other users of this machine, also when it existed before. Says
 * so when the mode cannot be changed.
 */
export function keepForOwner(path: string, log: (message: string) => void): void {
  if (!existsSync(path)) return;
  const mode = statSync(path).mode & 0o777;
  if ((mode & 0o077) === 0) return;
  try {
    chmodSync(path, mode & 0o700);
    log(
      `${path} could be opened by other users of this machine, and keys are in it: its mode is ${(mode & 0o700).toString(8)} now`,
    );
  } catch (error) {
    log(`${path} can be opened by other users of this machine, and keys are in it: ${(error as Error).message}`);
  }
}

export function readKeys(data: string, log: (message: string) => void): Keys {
  mkdirSync(data, { recursive: true, mode: 0o700 });
  const file = join(data, 'keys.json');
  for (const path of [data, file]) keepForOwner(path, log);
  const known: Partial<Keys> = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
  // Keys that exist stay. A folder from before callbacks existed has no key for them.
  const keys: Keys = {
    apiKey: `hf_${randomBytes(24).toString('hex')}`,
    signingKey: randomBytes(32).toString('hex'),
    runnerToken: randomBytes(24).toString('hex'),
    callbackKey: `whsec_${randomBytes(32).toString('base64')}`,
    ...known,
  };
  if (known.callbackKey === undefined) writeFileSync(file, `${JSON.stringify(keys, null, 2)}\n`, { mode: 0o600 });
  return keys;
}
