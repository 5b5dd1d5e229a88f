/**
 * Serves the agent's requests for files, inside one directory.
 *
 * Owns: which file a path means, and whether it may be touched. Does not own: what the agent does
 * without asking; it has the rights of its user.
 *
 *   FI1  A path is resolved before it is used: `..` by its text, links by the file system.
 *   FI2  Where /proc is, the directory of the file is opened and checked, and the file is opened
 *        through it. So a directory that is replaced by a link meanwhile changes nothing.
 *   FI3  The last part is never followed as a link (O_NOFOLLOW).
 *   FI4  Only regular files, of at most `FILE_BYTES_MAX`, and only UTF-8: other bytes would be
 *        damaged when the agent writes back what it read.
 *   FI5  One request after the other, so that a read after a write sees it.
 *
 * A hard link to a file elsewhere is a file of the directory. Nothing tells the two apart.
 */

import { constants, existsSync } from 'node:fs';
import { type FileHandle, mkdir, open, readlink, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, relative, resolve, sep } from 'node:path';

/** Text that a model reads is far smaller. */
export const FILE_BYTES_MAX = 16 * 1024 * 1024;

/** By how much a file may grow while it is read. */
const GROWTH_BYTES_MAX = 64 * 1024;

export type Refusal = 'outside' | 'not_found' | 'not_possible';

/** A request that is not served, with the reason for the agent. */
export class FileRefusal extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal, message: string) {
    super(message);
    this.refusal = refusal;
  }
}

const { O_RDONLY, O_WRONLY, O_CREAT, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;
/** A FIFO must not block the open; it is refused afterwards. */
const READ = O_RDONLY | O_NOFOLLOW | O_NONBLOCK;
const WRITE = O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK;
const DIRECTORY = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;

const PROC = '/proc/self/fd';

export class Files {
  readonly #root: string;
  readonly #hasProc: boolean;
  #last: Promise<unknown> = Promise.resolve();

  /** `root`: a real path, without links. */
  constructor(root: string, hasProc = existsSync(PROC)) {
    this.#root = root;
    this.#hasProc = hasProc;
  }

  /** `line`: the first one, counted from 1. */
  read(path: string, line: number | null = null, limit: number | null = null): Promise<string> {
    return this.#inTurn(path, async () => linesOf(await this.#read(path), line, limit));
  }

  /** Makes the file and its directories where they are missing. */
  write(path: string, content: string): Promise<void> {
    return this.#inTurn(path, () => this.#write(path, content));
  }

  /** The real path of a directory inside. */
  directory(path: string): Promise<string> {
    return this.#inTurn(path, async () => {
      const { parent, rest } = await this.#place(path);
      if (rest.length > 0 || !(await stat(parent)).isDirectory()) throw new FileRefusal('not_found', `${path} is no directory`);
      return parent;
    });
  }

  #inTurn<T>(path: string, work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work).catch((error: unknown) => {
      throw error instanceof FileRefusal ? error : refusalOf(path, error as NodeJS.ErrnoException);
    });
    this.#last = done.catch(() => {}); // FI5
    return done;
  }

  async #read(path: string): Promise<Buffer> {
    const place = await this.#place(path);
    if (place.rest.length > 0) throw new FileRefusal('not_found', `${path} does not exist`);
    if (place.parent === this.#root) throw new FileRefusal('not_possible', `${path} is a directory`);
    return this.#inside(path, dirname(place.parent), [], async (folder) => {
      const file = await open(join(folder, basename(place.parent)), READ);
      try {
        await this.#check(path, file);
        return await contentOf(path, file);
      } finally {
        await file.close();
      }
    });
  }

  async #write(path: string, content: string): Promise<void> {
    const bytes = Buffer.from(content);
    if (bytes.length > FILE_BYTES_MAX)
      throw new FileRefusal('not_possible', `${path} would have more than ${FILE_BYTES_MAX} bytes`);
    const { parent, rest } = await this.#place(path);
    const all = rest.length > 0 ? [parent, ...rest] : [dirname(parent), basename(parent)];
    const name = all.at(-1) as string;
    if (rest.length === 0 && parent === this.#root) throw new FileRefusal('not_possible', `${path} is a directory`);
    await this.#inside(path, all[0] as string, all.slice(1, -1), async (folder) => {
      const file = await open(join(folder, name), WRITE, 0o666);
      try {
        await this.#check(path, file);
        await file.truncate(0);
        await file.writeFile(bytes);
      } finally {
        await file.close();
      }
    });
  }

  /**
   * Where a path leads: the deepest part that exists, without links, and the names that do not exist
   * (FI1).
   */
  async #place(path: string): Promise<{ parent: string; rest: string[] }> {
    if (path === '' || path.includes('\0')) throw new FileRefusal('not_possible', 'the path is empty or has a zero byte');
    const rest: string[] = [];
    for (let at = resolve(this.#root, path); ; at = dirname(at)) {
      const real = await realpath(at).catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null;
        throw refusalOf(path, error);
      });
      if (real !== null) {
        if (!isInside(this.#root, real)) throw outside(path, this.#root);
        return { parent: real, rest };
      }
      rest.unshift(basename(at));
    }
  }

  /** Works in a directory, which is made where it is missing (FI2). `folder`: a path to it. */
  async #inside<T>(path: string, from: string, missing: readonly string[], work: (folder: string) => Promise<T>): Promise<T> {
    const handle = await open(from, DIRECTORY);
    try {
      const folder = this.#hasProc ? `${PROC}/${handle.fd}` : from;
      const real = this.#hasProc ? await readlink(folder) : await realpath(from);
      if (!isInside(this.#root, real)) throw outside(path, this.#root);
      const [first, ...further] = missing;
      if (first === undefined) return await work(folder);
      await mkdir(join(folder, first)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      });
      return await this.#inside(path, join(folder, first), further, work);
    } finally {
      await handle.close();
    }
  }

  /** What was opened is a regular file, and inside. */
  async #check(path: string, file: FileHandle): Promise<void> {
    if (this.#hasProc && !isInside(this.#root, await readlink(`${PROC}/${file.fd}`))) throw outside(path, this.#root);
    if (!(await file.stat()).isFile()) throw new FileRefusal('not_possible', `${path} is no regular file`);
  }
}

async function contentOf(path: string, file: FileHandle): Promise<Buffer> {
  const { size } = await file.stat();
  if (size > FILE_BYTES_MAX) throw new FileRefusal('not_possible', `${path} has ${size} bytes; at most ${FILE_BYTES_MAX} are read`);
  const buffer = Buffer.alloc(Math.min(FILE_BYTES_MAX, size + GROWTH_BYTES_MAX) + 1);
  let length = 0;
  for (;;) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length, length);
    length += bytesRead;
    if (bytesRead === 0) return buffer.subarray(0, length);
    if (length === buffer.length) throw new FileRefusal('not_possible', `${path} grows while it is read`);
  }
}

/** Decodes what was read (FI4), and takes the lines that were asked for. */
function linesOf(bytes: Buffer, line: number | null, limit: number | null): string {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new FileRefusal('not_possible', 'the file is not UTF-8 text');
  }
  if (line === null && limit === null) return text;
  const lines = text.split('\n');
  const first = Math.max(0, (line ?? 1) - 1);
  return lines.slice(first, limit === null ? undefined : first + Math.max(0, limit)).join('\n');
}

const isInside = (root: string, path: string): boolean => {
  const way = relative(root, path);
  return way === '' || (way !== '..' && !way.startsWith(`..${sep}`));
};

const outside = (path: string, root: string): FileRefusal =>
  new FileRefusal('outside', `${path} is outside of the working directory ${root}`);

function refusalOf(path: string, { code, message }: NodeJS.ErrnoException): FileRefusal {
  if (code === 'ELOOP') return new FileRefusal('outside', `${path} is a link that is not followed`);
  if (code === 'ENOENT') return new FileRefusal('not_found', `${path} does not exist`);
  return new FileRefusal('not_possible', `${path}: ${message}`);
}
