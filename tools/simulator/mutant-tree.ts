/**
 * A copy of the code that the simulator runs, with a planted bug. Each edit replaces a text that
 * must occur exactly once. A mutation whose target moved therefore fails loudly.
 */

import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Mutation } from './mutations.ts';

const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Whole folders: a list of files would have to follow each new import. */
const PARTS = ['protocol', 'agent', 'src', 'wrapper', 'tools/simulator', 'package.json', 'packages/holdfast/package.json'];

export interface MutantTree {
  batchFile: string;
  remove(): void;
}

export function plant({ name, edits }: Mutation): MutantTree {
  const directory = mkdtempSync(join(tmpdir(), 'holdfast-mutant-'));
  for (const part of PARTS) {
    mkdirSync(dirname(join(directory, part)), { recursive: true });
    cpSync(join(ROOT, part), join(directory, part), { recursive: true });
  }
  symlinkSync(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
  for (const { file, find, replace } of edits) {
    const path = join(directory, file);
    const text = readFileSync(path, 'utf8');
    const places = text.split(find).length - 1;
    if (places !== 1) {
      rmSync(directory, { recursive: true, force: true });
      throw new Error(`mutation "${name}": its place occurs ${places} times in ${file}:\n${find}`);
    }
    writeFileSync(
      path,
      text.replace(find, () => replace),
    );
  }
  return {
    batchFile: join(directory, 'tools/simulator/batch.ts'),
    remove: () => rmSync(directory, { recursive: true, force: true }),
  };
}
