/**
 * The note by which `holdfast` finds the local stack of this user: `holdfast/dev.json` in the
 * folder for state, with the address, the API key and the pid of the process that owns the stack.
 * It is written when the stack is ready and removed when it ends. A note whose process is gone is
 * ignored.
 */

import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';

type Environment = Readonly<Record<string, string | undefined>>;

export interface RunningStack {
  url: string;
  apiKey: string;
  pid: number;
}

/** `$XDG_STATE_HOME/holdfast`, or `~/.local/state/holdfast`. Null without a home folder. */
export function stateFolder({ XDG_STATE_HOME, HOME }: Environment): string | null {
  if (XDG_STATE_HOME && isAbsolute(XDG_STATE_HOME)) return join(XDG_STATE_HOME, 'holdfast');
  return HOME ? join(HOME, '.local', 'state', 'holdfast') : null;
}

function noteFile(env: Environment): string | null {
  const folder = stateFolder(env);
  return folder === null ? null : join(folder, 'dev.json');
}

export function readRunningStack(env: Environment): RunningStack | null {
  const file = noteFile(env);
  if (file === null) return null;
  try {
    const { url, apiKey, pid } = JSON.parse(readFileSync(file, 'utf8')) as Partial<RunningStack>;
    if (typeof url !== 'string' || typeof apiKey !== 'string' || typeof pid !== 'number') return null;
    process.kill(pid, 0);
    return { url, apiKey, pid };
  } catch {
    return null;
  }
}

/** The newest stack is the one that is found. */
export function writeRunningStack(env: Environment, stack: RunningStack): void {
  const file = noteFile(env);
  if (file === null) return;
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const whole = `${file}.${stack.pid}`;
  writeFileSync(whole, `${JSON.stringify(stack)}\n`, { mode: 0o600 });
  renameSync(whole, file);
}

/** Leaves the note of another stack alone. */
export function removeRunningStack(env: Environment, pid: number): void {
  const file = noteFile(env);
  if (file !== null && readRunningStack(env)?.pid === pid) rmSync(file, { force: true });
}
