/**
 * The notes by which `holdfast` finds the local stacks of this user: `holdfast/running/PID.json` in
 * the folder for state, with the address, the API key and the process that owns the stack. A note
 * is written when its stack is ready and removed when that ends, so stacks do not hide each other.
 * A note whose process is gone is ignored, and removed by the next stack.
 *
 * The notes are a convenience: a stack runs without one.
 */

import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { identityOf, isAlive } from '../wrapper/processes.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export interface RunningStack {
  url: string;
  apiKey: string;
  pid: number;
}

interface Note extends RunningStack {
  /** With the pid: the identity of the process. */
  start: string;
  since: number;
}

/** `$XDG_STATE_HOME/holdfast`, or `~/.local/state/holdfast`. Null without a home folder. */
export function stateFolder({ XDG_STATE_HOME, HOME }: Environment): string | null {
  if (XDG_STATE_HOME && isAbsolute(XDG_STATE_HOME)) return join(XDG_STATE_HOME, 'holdfast');
  return HOME ? join(HOME, '.local', 'state', 'holdfast') : null;
}

export function notesFolder(env: Environment): string | null {
  const folder = stateFolder(env);
  return folder === null ? null : join(folder, 'running');
}

const noteOf = (folder: string, pid: number): string => join(folder, `${pid}.json`);

/** The newest stack that runs. Otherwise whether one has ended without removing its note. */
export type StackSearch = { kind: 'running'; stack: RunningStack } | { kind: 'gone'; pid: number } | { kind: 'none' };

export function findRunningStack(env: Environment): StackSearch {
  const folder = notesFolder(env);
  const notes = folder === null ? [] : readNotes(folder);
  for (const { url, apiKey, pid, start } of notes)
    if (isAlive({ pid, start })) return { kind: 'running', stack: { url, apiKey, pid } };
  const [newest] = notes;
  return newest ? { kind: 'gone', pid: newest.pid } : { kind: 'none' };
}

/** The newest first. */
function readNotes(folder: string): Note[] {
  const notes: Note[] = [];
  for (const name of namesIn(folder)) {
    if (!/^\d+\.json$/.test(name)) continue;
    try {
      const note = JSON.parse(readFileSync(join(folder, name), 'utf8')) as Partial<Note>;
      const { url, apiKey, pid, start, since } = note;
      if (typeof url !== 'string' || typeof apiKey !== 'string' || typeof start !== 'string') continue;
      if (typeof pid === 'number' && typeof since === 'number') notes.push({ url, apiKey, pid, start, since });
    } catch {
      // Removed since the listing, or damaged.
    }
  }
  return notes.sort((a, b) => b.since - a.since);
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/** Null when the note is there; otherwise why other commands will not find this stack. */
export function writeRunningStack(env: Environment, stack: RunningStack, now: number = Date.now()): string | null {
  const folder = notesFolder(env);
  if (folder === null) return 'there is no home folder';
  const start = identityOf(stack.pid)?.start;
  if (start === undefined) return 'this system does not say when a process began';
  const file = noteOf(folder, stack.pid);
  const beside = `${file}.tmp`;
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    for (const note of readNotes(folder)) if (!isAlive(note)) rmSync(noteOf(folder, note.pid), { force: true });
    const note: Note = { ...stack, start, since: now };
    writeFileSync(beside, `${JSON.stringify(note)}\n`, { mode: 0o600 });
    renameSync(beside, file);
    return null;
  } catch (error) {
    return (error as Error).message;
  } finally {
    remove(beside);
  }
}

export function removeRunningStack(env: Environment, pid: number): void {
  const folder = notesFolder(env);
  if (folder !== null) remove(noteOf(folder, pid));
}

function remove(file: string): void {
  try {
    rmSync(file, { force: true });
  } catch {
    // The folder cannot be written. A note that stays is ignored when its process is gone.
  }
}
