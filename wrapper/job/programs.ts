/** Which programs exist, and why a command cannot be executed. */

import { accessSync, closeSync, constants, existsSync, openSync, readSync, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { isDirectory } from './working-directory.ts';

const STANDARD_FOLDERS = ['/usr/bin', '/bin'];

/** The path of a program of the wrapper's own. Null: it is not installed. */
export function programPath(name: string): string | null {
  const folders = [...(process.env.PATH ?? '').split(delimiter).filter((folder) => folder.startsWith('/')), ...STANDARD_FOLDERS];
  return folders.map((folder) => join(folder, name)).find(isExecutable) ?? null;
}

/**
 * Why this command cannot be executed; null if it probably can. Checked before the holder starts,
 * because a shell reports only 126 and 127, which the command itself may return.
 */
export function whyNotExecutable([program = '']: readonly string[], cwd: string | null, env: NodeJS.ProcessEnv): string | null {
  if (cwd !== null && !existsSync(cwd)) return `the working directory ${cwd} does not exist`;
  if (cwd !== null && !isDirectory(cwd)) return `the working directory ${cwd} is not a directory`;
  const from = cwd ?? process.cwd();
  const places = program.includes('/')
    ? [program.startsWith('/') ? program : join(from, program)]
    : (env.PATH ?? '/usr/bin:/bin').split(delimiter).map((folder) => join(folder === '' ? from : folder, program));
  const found = places.filter((path) => existsSync(path) && !isDirectory(path));
  if (found.length === 0) return `the command was not found: ${program}`;
  const executable = found.find(isExecutable);
  if (executable === undefined) return `the command may not be executed: ${found[0]}`;
  const interpreter = interpreterOf(executable);
  if (interpreter !== null && !existsSync(interpreter)) {
    return `the interpreter of the command was not found: ${program} needs ${interpreter}`;
  }
  return null;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** The program that a script names in its first line. */
function interpreterOf(path: string): string | null {
  try {
    const file = openSync(path, 'r');
    try {
      const start = Buffer.alloc(256);
      const length = readSync(file, start, 0, start.length, 0);
      return /^#! *(\/[^\s]+)/.exec(start.toString('latin1', 0, length))?.[1] ?? null;
    } finally {
      closeSync(file);
    }
  } catch {
    return null;
  }
}
