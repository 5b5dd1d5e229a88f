/**
 * The disk below the spools of one stage, which a fault can fill: the controls of full-disk.mjs.
 */

import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const SHIM = fileURLToPath(new URL('full-disk.mjs', import.meta.url));

export class FullDisk {
  readonly #control: string;

  /** `control` is created, and belongs to the disk. */
  constructor(control: string) {
    mkdirSync(control, { recursive: true });
    this.#control = control;
  }

  /**
   * Options of Node that put a program on this disk, and the programs that it starts with the same
   * options.
   */
  get nodeArguments(): string[] {
    const shim = pathToFileURL(SHIM);
    shim.searchParams.set('control', this.#control);
    return ['--import', shim.href];
  }

  /** From now on the spools may grow by this many bytes in all. */
  fill(roomBytes: number): void {
    writeFileSync(join(this.#control, 'room'), String(roomBytes));
  }

  empty(): void {
    rmSync(join(this.#control, 'room'), { force: true });
  }

  /** Number of writes that found no room so far. */
  refusals(): number {
    const file = join(this.#control, 'refused');
    return existsSync(file) ? statSync(file).size : 0;
  }
}
