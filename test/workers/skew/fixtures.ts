/**
 * Recorded messages and storage of earlier versions (test/skew/README.md), for the tests in
 * workerd; and objects with the storage of such a version.
 */

import { runInDurableObject } from 'cloudflare:test';
import {
  type DatabaseSnapshot,
  type Fixture,
  parseFixture,
  type RecordedCall,
  type SpoolSnapshot,
  type StorageSnapshot,
} from '../../skew/support/fixtures.ts';
import type { Vocabulary } from '../../skew/support/vocabulary.ts';
import { putToSleep, stubOf, testEnv } from '../support/peers.ts';

const files = import.meta.glob<string>('../../skew/fixtures/*/*/*', { query: '?raw', import: 'default', eager: true });

export interface RecordedVersion {
  name: string;
  fixture: (name: string) => Fixture;
  storage: () => StorageSnapshot;
  spools: () => Record<string, SpoolSnapshot>;
  calls: () => RecordedCall[];
  vocabulary: () => Vocabulary;
}

const PATH = /fixtures\/([^/]+\/[^/]+)\/([^/]+)$/;

export const VERSIONS: RecordedVersion[] = [...new Set(Object.keys(files).map((path) => PATH.exec(path)?.[1] ?? ''))]
  .sort()
  .map((name) => {
    const read = (file: string): string => {
      const text = files[`../../skew/fixtures/${name}/${file}`];
      if (text === undefined) throw new Error(`${name} has no ${file}`);
      return text;
    };
    return {
      name,
      fixture: (fixture) => parseFixture(read(`${fixture}.ndjson`)),
      storage: () => JSON.parse(read('storage.json')) as StorageSnapshot,
      spools: () => JSON.parse(read('spools.json')) as Record<string, SpoolSnapshot>,
      calls: () => JSON.parse(read('calls.json')) as RecordedCall[],
      vocabulary: () => JSON.parse(read('vocabulary.json')) as Vocabulary,
    };
  });

/** Columns with points in time. All are moved together, so that an old recording looks recent. */
const isTime = (column: string): boolean => /_(at|until)$/.test(column);

type Row = Record<string, string | number | null>;

function moved(table: string, row: Row, byMs: number): Row {
  const shifted = Object.entries(row).map(([column, value]) => {
    const time = isTime(column) || (table === 'meta' && row.key === 'created_at' && column === 'value');
    if (!time || value === null || Number(value) === 0) return [column, value];
    return [column, typeof value === 'string' ? String(Number(value) + byMs) : value + byMs];
  });
  return Object.fromEntries(shifted) as Row;
}

/** Writes the tables as they were recorded. `byMs` moves their times. */
export function loadDatabase({ sql }: DurableObjectStorage, { schema, tables }: DatabaseSnapshot, byMs = 0): void {
  for (const statement of schema) sql.exec(statement);
  for (const [table, rows] of Object.entries(tables)) {
    for (const row of rows.map((one) => moved(table, one, byMs))) {
      const columns = Object.keys(row);
      sql.exec(
        `INSERT INTO "${table}" (${columns.map((column) => `"${column}"`).join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`,
        ...Object.values(row),
      );
    }
  }
}

/** A session's object as the recorded version left it, before today's code has read it. */
export async function loadSession(
  version: RecordedVersion,
  name: string,
  session: string,
  { now }: { now?: number } = {},
): Promise<void> {
  const { takenAt, sessions } = version.storage();
  const snapshot = sessions[name];
  if (!snapshot) throw new Error(`${version.name} has no session ${name}`);
  await runInDurableObject(stubOf(session), async (_, { storage }) => {
    await storage.deleteAll();
    loadDatabase(storage, snapshot, now === undefined ? 0 : now - takenAt);
  });
  await putToSleep(stubOf(session));
}

export async function loadDirectory(version: RecordedVersion, tenant: string): Promise<void> {
  const stub = testEnv.DIRECTORY.getByName(tenant);
  await runInDurableObject(stub, async (_, { storage }) => {
    await storage.deleteAll();
    loadDatabase(storage, version.storage().directory);
  });
  await putToSleep(stub);
}
