/**
 * Every recorded version, from the folder of fixtures. For Node; in workerd
 * test/workers/skew/fixtures.ts does the same.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Fixture, parseFixture, type SpoolSnapshot } from './fixtures.ts';
import type { Vocabulary } from './vocabulary.ts';

const FOLDER = fileURLToPath(new URL('../fixtures/', import.meta.url));

export interface RecordedVersion {
  name: string;
  files: string[];
  fixture: (name: string) => Fixture;
  spools: () => Record<string, SpoolSnapshot>;
  vocabulary: () => Vocabulary;
}

const folders = (path: string): string[] =>
  readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort();

/** One per folder `protocol-N/VERSION`. */
export const VERSIONS: RecordedVersion[] = folders(FOLDER).flatMap((protocol) =>
  folders(join(FOLDER, protocol)).map((version) => {
    const read = (file: string): string => readFileSync(join(FOLDER, protocol, version, file), 'utf8');
    return {
      name: `${protocol}/${version}`,
      files: readdirSync(join(FOLDER, protocol, version)).sort(),
      fixture: (name) => parseFixture(read(`${name}.ndjson`)),
      spools: () => JSON.parse(read('spools.json')) as Record<string, SpoolSnapshot>,
      vocabulary: () => JSON.parse(read('vocabulary.json')) as Vocabulary,
    };
  }),
);
