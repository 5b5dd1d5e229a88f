/**
 * What a pool may run on this host: `--allow-command`, `--allow-cwd`.
 *
 *   PM1  Programs are compared by the file that they are, with symbolic links resolved, and by
 *        name: one file may be several programs (busybox).
 *   PM2  The program is started by the path that was checked, so a changed PATH or link starts
 *        nothing else.
 *   PM3  The folder is compared, and used, with symbolic links resolved.
 *   PM4  A variable of the dynamic loader would run other code in an allowed program, so such a
 *        start is refused.
 *
 * Not a sandbox: an allowed interpreter can do everything that its user may do.
 */

import { accessSync, constants, realpathSync, statSync } from 'node:fs';
import { basename, delimiter, isAbsolute, join, relative, resolve } from 'node:path';
import type { Launch } from '../../protocol/launch.ts';
import type { RefusalCode } from '../../protocol/pool.ts';

export interface Permits {
  /** Null: every program. */
  programs: { path: string; file: string }[] | null;
  /** Null: every folder. */
  folders: string[] | null;
}

export type PermitsReading = { ok: true; permits: Permits } | { ok: false; message: string };

export function readPermits(commands: readonly string[], folders: readonly string[], env: NodeJS.ProcessEnv): PermitsReading {
  const programs: { path: string; file: string }[] = [];
  for (const command of commands) {
    const path = findProgram(command, env.PATH, process.cwd());
    if (path === null) return { ok: false, message: `--allow-command ${command}: there is no such program on this host` };
    programs.push({ path, file: realpathSync(path) });
  }
  const allowed: string[] = [];
  for (const folder of folders) {
    const real = realFolder(resolve(folder));
    if (real === null) return { ok: false, message: `--allow-cwd ${folder}: there is no such folder on this host` };
    allowed.push(real);
  }
  return {
    ok: true,
    permits: { programs: commands.length === 0 ? null : programs, folders: folders.length === 0 ? null : allowed },
  };
}

export type Permission =
  | { ok: true; command: string[]; cwd: string }
  | { ok: false; code: Extract<RefusalCode, 'command_not_allowed' | 'cwd_not_allowed' | 'cwd_missing'>; message: string };

/** `usualFolder`: for a launch that names none. */
export function permit({ programs, folders }: Permits, launch: Launch, usualFolder: string, env: NodeJS.ProcessEnv): Permission {
  const asked = launch.cwd === null ? usualFolder : resolve(launch.cwd);
  const real = realFolder(asked);
  const inside = (folder: string | null) => folder !== null && (folders === null || folders.some((one) => isWithin(one, folder)));
  // A start that names no folder takes the first one that is allowed.
  const cwd = launch.cwd === null && folders !== null && !inside(real) ? (folders[0] ?? null) : real;
  if (cwd === null && folders !== null) {
    // Whether a folder outside of the allowed ones exists is not told.
    return refuse('cwd_not_allowed', 'The folder of this start is not one that this runner allows, or does not exist.');
  }
  if (cwd === null) return refuse('cwd_missing', `cwd is not a folder on this host: ${asked}`);
  if (!inside(cwd))
    return refuse('cwd_not_allowed', 'The folder of this start is not one that this runner allows, or does not exist.');

  const [program = '', ...args] = launch.command;
  if (programs === null) return { ok: true, command: launch.command, cwd: folders === null ? asked : cwd };
  const loader = Object.keys(launch.env).find((name) => /^(LD|DYLD)_/.test(name)); // PM4
  if (loader !== undefined) {
    return refuse('command_not_allowed', `This runner allows only some programs, and then no variable ${loader}.`);
  }
  const path = findProgram(program, launch.env.PATH ?? env.PATH, cwd);
  const file = path === null ? null : realpathSync(path);
  const allowed = programs.find((one) => one.file === file && basename(one.path) === basename(path ?? '')); // PM1
  if (!allowed) return refuse('command_not_allowed', 'This runner does not allow the program of this start.');
  return { ok: true, command: [allowed.path, ...args], cwd }; // PM2
}

const refuse = (code: Exclude<Permission, { ok: true }>['code'], message: string): Permission => ({ ok: false, code, message });

function isWithin(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way === '' || (!isAbsolute(way) && way !== '..' && !way.startsWith('../'));
}

function realFolder(path: string): string | null {
  try {
    const real = realpathSync(path);
    return statSync(real).isDirectory() ? real : null;
  } catch {
    return null;
  }
}

/** As a shell would: by the PATH, unless the name has a slash. */
function findProgram(program: string, path: string | undefined, cwd: string): string | null {
  const places = program.includes('/')
    ? [resolve(cwd, program)]
    : (path ?? '/usr/bin:/bin').split(delimiter).map((folder) => join(resolve(cwd, folder), program));
  return places.find(isProgram) ?? null;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
