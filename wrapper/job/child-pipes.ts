/**
 * Named pipes for the output of the job. Node's own 'pipe' is a socket pair, and a socket cannot be
 * opened by name: `echo x >/dev/stderr` fails with ENXIO. A named pipe can. It is created in a
 * private folder and unlinked as soon as both ends are open.
 *
 *   PI1  The reading end is opened before the writing end, so that neither open blocks. Only the
 *        reading end is non-blocking: the two ends are separate file descriptions, and the job gets
 *        an ordinary blocking one.
 *   PI2  The wrapper closes its writing ends once the job has them. Otherwise it would never see
 *        the end of the output.
 *   PI3  The identity of the pipes is known before the job starts, so a later boot can recognise
 *        processes of the job by them (processes).
 */

import { execFileSync } from 'node:child_process';
import { closeSync, constants, fstatSync, mkdirSync, openSync, rmSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import type { Log } from '../log.ts';

const PIPES_FOLDER = 'pipes';
/**
 * Writable for all, because a job may change its user. The folder is private and soon removed, so
 * the name is not reachable.
 */
const PIPE_MODE = '622';
const MKFIFO_TIMEOUT_MS = 5000;

export interface OutputPipe {
  /** `device:inode`, the same for every process that has it open. */
  id: string;
  reader: number;
  writer: number;
}

export interface OutputPipes {
  stdout: OutputPipe;
  stderr: OutputPipe;
}

/**
 * Null if there is no `mkfifo` or the file system has no named pipes; the caller then uses Node's
 * own pipes.
 */
export function openOutputPipes(directory: string, log: Log): OutputPipes | null {
  const folder = join(directory, PIPES_FOLDER);
  const opened: OutputPipe[] = [];
  try {
    mkdirSync(folder, { mode: 0o700 });
    const names = [join(folder, 'stdout'), join(folder, 'stderr')];
    execFileSync('mkfifo', ['-m', PIPE_MODE, ...names], { stdio: 'ignore', timeout: MKFIFO_TIMEOUT_MS });
    for (const name of names) opened.push(openPipe(name));
    const [stdout, stderr] = opened as [OutputPipe, OutputPipe];
    return { stdout, stderr };
  } catch (error) {
    for (const { reader, writer } of opened) for (const file of [reader, writer]) closeSync(file);
    log.fact('no_named_pipes', { why: (error as Error).message });
    return null;
  } finally {
    removePipesFolder(directory);
  }
}

/** A boot that was killed at this point may have left one. */
export const removePipesFolder = (directory: string): void =>
  rmSync(join(directory, PIPES_FOLDER), { recursive: true, force: true });

function openPipe(name: string): OutputPipe {
  const reader = openSync(name, constants.O_RDONLY | constants.O_NONBLOCK); // PI1
  try {
    const { dev, ino } = fstatSync(reader, { bigint: true });
    return { id: `${dev}:${ino}`, reader, writer: openSync(name, constants.O_WRONLY) };
  } catch (error) {
    closeSync(reader);
    throw error;
  }
}

/** PI2. Call once: after the spawn, or instead of it. */
export function closeWriters({ stdout, stderr }: OutputPipes): void {
  for (const { writer } of [stdout, stderr]) closeSync(writer);
}

/** The reading end as a stream, which then owns it. */
export const readPipe = ({ reader }: OutputPipe): Socket => new Socket({ fd: reader, readable: true, writable: false });
