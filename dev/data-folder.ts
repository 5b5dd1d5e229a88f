/**
 * The data folder of a local stack. The stack closes it to other users and replaces files in it, so
 * it takes a folder only when that is missing, empty, or its own. Its own has a mark, or the keys
 * of a stack from before there was a mark. Anything else is refused, and nothing is changed.
 */

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export const MARK_FILE = '.holdfast-dev';
const MARK_TEXT = 'This folder belongs to `holdfast dev` or `npm start` of Holdfast: keys, logs and sessions of a local stack.\n';

export type DataFolder = { kind: 'missing' } | { kind: 'empty' } | { kind: 'own' } | { kind: 'refused'; message: string };

/** Changes nothing. */
export function inspectDataFolder(folder: string): DataFolder {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return { kind: 'missing' };
    return { kind: 'refused', message: unusable(folder, code === 'ENOTDIR' ? 'it is not a folder' : (code ?? message)) };
  }
  if (names.length === 0) return { kind: 'empty' };
  if (names.includes(MARK_FILE) || hasKeysOfStack(folder)) return { kind: 'own' };
  return {
    kind: 'refused',
    message: `${folder} has files that no local stack wrote. Give --data a folder that is missing, empty, or from an earlier start; nothing was changed`,
  };
}

/** Throws, with the cause and the next step, when the folder cannot be used. */
export function claimDataFolder(folder: string): void {
  const found = inspectDataFolder(folder);
  if (found.kind === 'refused') throw new Error(found.message);
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    writeFileSync(join(folder, MARK_FILE), MARK_TEXT, { mode: 0o600 });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error(unusable(folder, code ?? message));
  }
}

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'this user may not write there (EACCES)',
  EPERM: 'this user may not write there (EPERM)',
  EROFS: 'the disk is read-only (EROFS)',
  ENOSPC: 'the disk is full (ENOSPC)',
  ENOTDIR: 'a part of the path is not a folder (ENOTDIR)',
  EEXIST: 'a part of the path is not a folder (EEXIST)',
};

const unusable = (folder: string, reason: string): string =>
  `the data folder ${folder} cannot be used: ${REASONS[reason] ?? reason}. Give another one with --data`;

function hasKeysOfStack(folder: string): boolean {
  try {
    const keys = JSON.parse(readFileSync(join(folder, 'keys.json'), 'utf8')) as Record<string, unknown>;
    return ['apiKey', 'signingKey', 'runnerToken'].every((name) => typeof keys[name] === 'string');
  } catch {
    return false;
  }
}
