/**
 * Failing disks, behind the port of the spool (spool-files). They work the same on every system and
 * for every user.
 *
 * - smallDisk: has room for a number of bytes. A write that does not fit writes as much as fits,
 *   then fails with ENOSPC.
 * - LosingDisk: a power loss discards what was not synced: content of files, and names in folders.
 */

import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { nodeFiles, type SpoolFiles } from '../../wrapper/spool/files.ts';

const full = () => Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });

/** All files below the folder count. `room` may change at any time. */
export function smallDisk(folder: string, room: { bytes: number }): SpoolFiles {
  const sizes = new Map<number, string>();
  const used = (): number => {
    try {
      return readdirSync(folder).reduce((sum, name) => {
        try {
          return sum + statSync(join(folder, name)).size;
        } catch {
          return sum; // Gone, or a link that is a lock.
        }
      }, 0);
    } catch {
      return 0;
    }
  };
  const fits = (file: number, bytes: number, position: number): number => {
    const growth = position + bytes - nodeFiles.size(file);
    const free = room.bytes - used();
    if (growth <= 0 || growth <= free) return bytes;
    const allowed = bytes - growth + Math.max(0, free);
    if (allowed <= 0) throw full();
    return allowed;
  };
  return {
    ...nodeFiles,
    open: (path, flags) => {
      const file = nodeFiles.open(path, flags);
      sizes.set(file, path);
      return file;
    },
    write: (file, bytes, position) => nodeFiles.write(file, bytes.subarray(0, fits(file, bytes.length, position)), position),
    writev: async (file, buffers, position) => {
      const all = Buffer.concat(buffers);
      return nodeFiles.writev(file, [all.subarray(0, fits(file, all.length, position))], position);
    },
  };
}

/** A folder on a disk that keeps only what was synced when `losePower` is called. */
export class LosingDisk {
  readonly folder: string;
  readonly files: SpoolFiles;
  /** Synced names in the folder, with their synced content. */
  #durable = new Map<string, Buffer>();
  /** Synced content, by inode. */
  readonly #content = new Map<number, Buffer>();
  readonly #open = new Map<number, string>();
  #folderIsDurable = false;

  constructor(folder: string) {
    this.folder = folder;
    this.files = {
      ...nodeFiles,
      open: (path, flags) => {
        const file = nodeFiles.open(path, flags);
        this.#open.set(file, path);
        return file;
      },
      close: (file) => {
        this.#open.delete(file);
        nodeFiles.close(file);
      },
      sync: (file) => this.#sync(file),
      flush: async (file) => this.#sync(file),
    };
  }

  #sync(file: number): void {
    const path = this.#open.get(file) as string;
    if (path === this.folder) return this.#syncNames();
    if (path === dirname(this.folder)) {
      this.#folderIsDurable = true;
      return;
    }
    const { ino } = statSync(path);
    const content = readFileSync(path);
    this.#content.set(ino, content);
    if (this.#durable.has(basename(path))) this.#durable.set(basename(path), content);
  }

  #syncNames(): void {
    this.#durable = new Map();
    for (const name of readdirSync(this.folder)) {
      try {
        // A file whose name is synced and whose content is not has length zero there.
        this.#durable.set(name, this.#content.get(statSync(join(this.folder, name)).ino) ?? Buffer.alloc(0));
      } catch {
        // A link that is a lock.
      }
    }
  }

  losePower(): void {
    rmSync(this.folder, { recursive: true, force: true });
    if (!this.#folderIsDurable) return;
    mkdirSync(this.folder);
    for (const [name, content] of this.#durable) writeFileSync(join(this.folder, name), content);
  }
}
