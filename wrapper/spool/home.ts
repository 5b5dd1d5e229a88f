/**
 * Where a spool lies when no folder is named: in `$XDG_STATE_HOME/holdfast/spools`
 * (`~/.local/state/holdfast/spools`), because it is state that should survive a reboot and the
 * cleaning of temporary files. If that folder cannot be created, in the system's folder for
 * temporary files.
 *
 * No later boot finds a spool with a random folder name, unless a person passes it. Such a spool is
 * therefore removed after `KEPT_MS`.
 */

import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { isAbsolute, join } from 'node:path';
import { findHeldJob, releaseHolder } from '../job/holder.ts';
import { lockSpool } from './lock.ts';
import { readSpoolState } from './state.ts';

/** Longer than any ingest token is accepted after its execution's deadline. */
const KEPT_MS = 14 * 24 * 3_600_000;
const PREFIX = 'holdfast-spool-';

/** Creates a new folder. Throws when that fails everywhere. */
export function newSpoolFolder(env: NodeJS.ProcessEnv, now: number): string {
  try {
    const state =
      env.XDG_STATE_HOME && isAbsolute(env.XDG_STATE_HOME) ? env.XDG_STATE_HOME : join(env.HOME || homedir(), '.local', 'state');
    const home = join(state, 'holdfast', 'spools');
    mkdirSync(home, { recursive: true, mode: 0o700 });
    const folder = mkdtempSync(join(home, PREFIX));
    sweep(home, now);
    return folder;
  } catch {
    return mkdtempSync(join(tmpdir(), PREFIX));
  }
}

function sweep(home: string, now: number): void {
  for (const name of readdirSync(home)) {
    if (!name.startsWith(PREFIX)) continue;
    const folder = join(home, name);
    try {
      if (now - statSync(folder).mtimeMs < KEPT_MS) continue;
      if (lockSpool(folder).kind !== 'acquired') continue;
      const held = findHeldJob(folder, readSpoolState(folder)?.job ?? null);
      if (held) releaseHolder(held);
      rmSync(folder, { recursive: true, force: true });
    } catch {
      // Another wrapper is removing it, or it belongs to another user.
    }
  }
}
