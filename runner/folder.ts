/**
 * The folder of a run on disk: its record, its credential, its wrapper's log and spool.
 *
 *     <spool>/<session>/<execution>/
 *       run.json       the record (record.ts)
 *       ingest.json    URL and token, 0600, while a restart may need them (R3)
 *       wrapper.log    stdout and stderr of the wrapper
 *       stop-reason    the reason for a stop, when there is one besides the signal
 *       spool/         the wrapper's own
 *
 * The runner writes each of its files whole or not at all, also when the host loses power. A run
 * with half a record would be lost.
 */

import { createHash } from 'node:crypto';
import { existsSync, openSync, readdirSync, readFileSync, rmdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { IngestAccess } from '../protocol/index.ts';
import { findHeldJob, type HeldJob, releaseHolder } from '../wrapper/job/holder.ts';
import { removeHolderFolder } from '../wrapper/job/holder-folder.ts';
import { type ProcessIdentity, processTree } from '../wrapper/processes.ts';
import { listSegments } from '../wrapper/spool/recovery.ts';
import { readSpoolIdentity, readSpoolState } from '../wrapper/spool/state.ts';
import type { RunRecord } from './record.ts';
import { replaceFile } from './replace-file.ts';

const RECORD_FILE = 'run.json';
const INGEST_FILE = 'ingest.json';
const LOG_FILE = 'wrapper.log';
const STOP_REASON_FILE = 'stop-reason';
/** The wrapper's own folder, apart from the runner's files. */
const SPOOL_FOLDER = 'spool';

export const spoolFolder = (folder: string): string => join(folder, SPOOL_FOLDER);
export const stopReasonFile = (folder: string): string => join(folder, STOP_REASON_FILE);

/**
 * A folder name for an id: readable, and different for different ids also where a file system
 * ignores case, forbids `:` or limits the length of names.
 */
export function folderName(id: string): string {
  const readable = id
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, '_')
    .slice(0, 48);
  return `${readable}.${createHash('sha256').update(id).digest('hex').slice(0, 24)}`;
}

/** Subfolders of `parent`; an empty list when there is no such folder. */
export function foldersIn(parent: string): string[] {
  try {
    return readdirSync(parent, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(parent, entry.name));
  } catch {
    return [];
  }
}

/** True once a wrapper has started in this folder. */
export const hasSpool = (folder: string): boolean => existsSync(spoolFolder(folder));

/**
 * A wrapper removes its state when the coordinator has everything. When the state file is damaged,
 * events or the identity show that there is something to deliver.
 */
export function spoolFacts(folder: string): { hasState: boolean; jobHeld: boolean; welcomedBoot: string | null } {
  const spool = spoolFolder(folder);
  const state = readSpoolState(spool);
  const hasState = state !== null || readSpoolIdentity(spool) !== null || listSegments(spool).length > 0;
  return {
    hasState,
    jobHeld: hasState && heldJobOf(folder) !== null,
    welcomedBoot: state?.welcomedBoot ?? null,
  };
}

/** The job that a holder has, whether its wrapper is alive or not. */
function heldJobOf(folder: string): HeldJob | null {
  return findHeldJob(spoolFolder(folder), readSpoolState(spoolFolder(folder))?.job ?? null);
}

/** The processes of the job. Its holder notes its end, so it is usually left. */
export function jobTree(folder: string, { withHolder = false } = {}): ProcessIdentity[] {
  const holder = heldJobOf(folder)?.holder;
  return holder ? processTree(holder.pid).filter(({ pid }) => withHolder || pid !== holder.pid) : [];
}

/**
 * No wrapper reports this run any more. Its job continues, if it runs, and its output is dropped.
 */
export function releaseJob(folder: string): void {
  const held = heldJobOf(folder);
  if (held) releaseHolder(held);
  else removeHolderFolder(spoolFolder(folder));
}

export const writeRecord = (folder: string, record: RunRecord): void =>
  replaceFile(join(folder, RECORD_FILE), `${JSON.stringify(record)}\n`);

/** Null when there is no file, or it is not a runner's record. */
export function readRecord(folder: string): RunRecord | null {
  try {
    const record = JSON.parse(readFileSync(join(folder, RECORD_FILE), 'utf8')) as RunRecord;
    return record.version === 1 && typeof record.id === 'string' && Array.isArray(record.command) ? record : null;
  } catch {
    return null;
  }
}

export const writeIngest = (folder: string, ingest: IngestAccess): void =>
  replaceFile(join(folder, INGEST_FILE), `${JSON.stringify(ingest)}\n`);

export function readIngest(folder: string): IngestAccess | null {
  try {
    const ingest = JSON.parse(readFileSync(join(folder, INGEST_FILE), 'utf8')) as IngestAccess;
    return typeof ingest.url === 'string' && typeof ingest.token === 'string' ? ingest : null;
  } catch {
    return null;
  }
}

/** The coordinator answers at another origin now. */
export function moveIngest(folder: string, origin: string): void {
  const ingest = readIngest(folder);
  if (ingest === null || !URL.canParse(ingest.url)) return;
  const { origin: known, pathname, search } = new URL(ingest.url);
  if (known !== origin) writeIngest(folder, { ...ingest, url: `${origin}${pathname}${search}` });
}

/** R3. */
export const removeIngest = (folder: string): void => rmSync(join(folder, INGEST_FILE), { force: true });

/** Open for the wrapper to append to. */
export const openLog = (folder: string): number => openSync(join(folder, LOG_FILE), 'a', 0o600);

/**
 * The job's stdin as a file without a name. The wrapper can read it without the runner, and it
 * leaves nothing on disk.
 */
export function openInput(folder: string, text: string | null): number | null {
  if (text === null) return null;
  const path = join(folder, 'stdin.tmp');
  writeFileSync(path, text, { mode: 0o600 });
  const file = openSync(path, 'r');
  unlinkSync(path);
  return file;
}

/** Removes the run's folder, and its session's folder when that is empty then. */
export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true });
  try {
    rmdirSync(join(folder, '..'));
  } catch {
    // Other runs of the session are still there.
  }
}
