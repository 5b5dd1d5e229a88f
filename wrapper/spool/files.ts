/**
 * The file system as the spool uses it: a narrow port, so that a test can simulate a disk that
 * fills up, fails, or loses power.
 *
 *   SF1  `replaceFile` with `durable` returns after the new content and its name are synced. It is
 *        used where a promise depends on it.
 *   SF2  On a full disk `replaceFile` overwrites the old file in place, if the new content fits.
 *        That needs no free block on most file systems. It is not atomic: a power loss at that
 *        moment may tear the file, so its reader must accept a torn one.
 */

import {
  closeSync,
  existsSync,
  fdatasync,
  fstatSync,
  writev as fsWritev,
  fsyncSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  readSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';

export interface SpoolFiles {
  /**
   * Creates the folder with its parents. Returns the first one that it created; undefined if all
   * existed.
   */
  makeFolder(path: string): string | undefined;
  /** Names in a folder. */
  list(path: string): string[];
  exists(path: string): boolean;
  readWhole(path: string): Buffer;
  open(path: string, flags: 'r' | 'r+' | 'w' | 'w+'): number;
  close(file: number): void;
  size(file: number): number;
  read(file: number, target: Buffer, position: number): number;
  write(file: number, bytes: Buffer, position: number): number;
  writev(file: number, buffers: Buffer[], position: number): Promise<number>;
  truncate(file: number, length: number): void;
  /** Returns when the content of the file, or the names in the folder, are synced. */
  sync(file: number): void;
  /** The same, asynchronously. */
  flush(file: number): Promise<void>;
  rename(from: string, to: string): void;
  /** No error if there is no such file. */
  remove(path: string): void;
  /** Fails with EEXIST if the path exists. */
  symlink(target: string, path: string): void;
  readLink(path: string): string;
}

export const nodeFiles: SpoolFiles = {
  makeFolder: (path) => mkdirSync(path, { recursive: true, mode: 0o700 }),
  list: (path) => readdirSync(path),
  exists: existsSync,
  readWhole: (path) => readFileSync(path),
  open: (path, flags) => openSync(path, flags, 0o600),
  close: closeSync,
  size: (file) => fstatSync(file).size,
  read: (file, target, position) => readSync(file, target, 0, target.length, position),
  write: (file, bytes, position) => writeSync(file, bytes, 0, bytes.length, position),
  writev: (file, buffers, position) =>
    new Promise((resolve, reject) => {
      fsWritev(file, buffers, position, (error, written) => (error ? reject(error) : resolve(written)));
    }),
  truncate: ftruncateSync,
  sync: fsyncSync,
  flush: (file) => new Promise((resolve, reject) => fdatasync(file, (error) => (error ? reject(error) : resolve()))),
  rename: renameSync,
  remove: (path) => rmSync(path, { force: true }),
  symlink: symlinkSync,
  readLink: (path) => readlinkSync(path),
};

/**
 * One page of most file systems. Padded to a multiple of it, a file can be overwritten in place by
 * a somewhat longer text (SF2).
 */
const PAGE_BYTES = 4096;

const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException).code;

export const isMissing = (error: unknown): boolean => codeOf(error) === 'ENOENT';
export const isFolder = (error: unknown): boolean => codeOf(error) === 'EISDIR';
export const isDiskFull = (error: unknown): boolean => codeOf(error) === 'ENOSPC' || codeOf(error) === 'EDQUOT';

/** Best effort: some systems cannot open a folder. A folder that cannot be synced is not fatal. */
export function syncFolder(files: SpoolFiles, path: string): void {
  try {
    const folder = files.open(path, 'r');
    try {
      files.sync(folder);
    } finally {
      files.close(folder);
    }
  } catch {
    // The file itself is synced.
  }
}

/** Creates the folder. The names of new folders are synced when this returns (SF1). */
export function makeFolderDurably(files: SpoolFiles, path: string): void {
  const first = files.makeFolder(path);
  if (first === undefined) return;
  const top = dirname(first);
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    syncFolder(files, folder);
    if (folder === top || folder === dirname(folder)) return;
  }
}

function writeFully(files: SpoolFiles, file: number, bytes: Buffer): void {
  for (let at = 0; at < bytes.length; ) at += files.write(file, bytes.subarray(at), at);
}

/** Pads JSON text with spaces to a whole number of pages, or to `length`. */
function padded(text: string, length = 0): Buffer {
  const bytes = Buffer.byteLength(text) + 1;
  const room = Math.max(length, Math.ceil(bytes / PAGE_BYTES) * PAGE_BYTES);
  return Buffer.from(`${text}${' '.repeat(room - bytes)}\n`);
}

/** A failure here must not hide the earlier one. */
function removeIfPossible(files: SpoolFiles, path: string): void {
  try {
    files.remove(path);
  } catch {
    // The next write reports the cause.
  }
}

/** Replaces a file of JSON text as a whole. */
export function replaceFile(files: SpoolFiles, path: string, text: string, { durable }: { durable: boolean }): void {
  const beside = `${path}.tmp`;
  try {
    const file = files.open(beside, 'w');
    try {
      writeFully(files, file, padded(text));
      if (durable) files.sync(file);
    } finally {
      files.close(file);
    }
    files.rename(beside, path);
    if (durable) syncFolder(files, dirname(path));
  } catch (error) {
    removeIfPossible(files, beside);
    if (!isDiskFull(error)) throw error;
    overwrite(files, path, text, error, durable);
  }
}

/** SF2 */
function overwrite(files: SpoolFiles, path: string, text: string, cause: unknown, durable: boolean): void {
  let file: number;
  try {
    file = files.open(path, 'r+');
  } catch {
    throw cause;
  }
  try {
    const size = files.size(file);
    const bytes = padded(text, size);
    if (bytes.length > size) throw cause;
    writeFully(files, file, bytes);
    if (durable) files.sync(file);
  } finally {
    files.close(file);
  }
}
