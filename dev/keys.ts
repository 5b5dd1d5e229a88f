/**
 * The keys of a local stack. They are made once for a data folder, so that a later start with the
 * same folder continues.
 */

import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export interface Keys {
  apiKey: string;
  signingKey: string;
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

/** In a data folder of a stack (data-folder). Throws when there are keys that cannot be read. */
export function readKeys(data: string, log: (message: string) => void): Keys {
  const file = join(data, 'keys.json');
  for (const path of [data, file]) keepForOwner(path, log);
  const known = knownKeys(file);
  // Keys that exist stay. A folder from before callbacks existed has no key for them.
  const keys: Keys = {
    apiKey: `hf_${randomBytes(24).toString('hex')}`,
    signingKey: randomBytes(32).toString('hex'),
    callbackKey: `whsec_${randomBytes(32).toString('base64')}`,
    ...known,
  };
  if (Object.keys(keys).some((name) => !(name in known))) writeWhole(file, `${JSON.stringify(keys, null, 2)}\n`);
  return keys;
}

function knownKeys(file: string): Partial<Keys> {
  const broken = (why: string) =>
    new Error(
      `${file} ${why}. Restore it, or remove it: the next start makes new keys, and the sessions of this folder stay but are read with the new API key`,
    );
  if (!existsSync(file)) return {};
  let known: unknown;
  try {
    known = JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw broken(code === undefined ? 'is not JSON' : `cannot be read (${code})`);
  }
  if (typeof known !== 'object' || known === null || Object.values(known).some((key) => typeof key !== 'string' || key === ''))
    throw broken('does not hold keys');
  return known;
}

/** A start that is cut short leaves the whole file, or none. */
function writeWhole(file: string, text: string): void {
  const beside = `${file}.${process.pid}`;
  try {
    writeFileSync(beside, text, { mode: 0o600, flush: true });
    renameSync(beside, file);
  } finally {
    rmSync(beside, { force: true });
  }
}
