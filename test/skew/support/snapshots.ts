/** What is on disk after a run: spools of wrappers, databases of objects. Read, never written. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { DatabaseSnapshot, SpoolSnapshot } from './fixtures.ts';

/**
 * A pid that no system assigns, so that a wrapper that takes this spool over finds no live holder.
 */
const NO_PID = 2_147_483_646;

export function snapshotOfSpool(directory: string, acked: number): SpoolSnapshot {
  const files: Record<string, string> = {};
  let exitCode: number | null = null;
  for (const name of readdirSync(directory).sort()) {
    if (name !== 'state.json' && !name.endsWith('.ndjson')) continue;
    let text = readFileSync(join(directory, name), 'utf8');
    if (name === 'state.json') {
      const state = JSON.parse(text) as { job: { pid: number | null; exitCode: number | null } & Record<string, unknown> };
      ({ exitCode } = state.job);
      const { job } = state;
      const { pid } = job;
      Object.assign(job, pid === null ? {} : { pid: NO_PID, start: '1' }, 'pipes' in job ? { pipes: [] } : {});
      text = `${JSON.stringify(state)}\n`;
    }
    files[name] = text;
  }
  return { files, acked, exitCode };
}

/** Tables of the platform have these prefixes. */
const PLATFORM = /^(_cf_|sqlite_)/;

export function snapshotOfDatabase(path: string): DatabaseSnapshot {
  const database = new DatabaseSync(path);
  try {
    const made = database.prepare('SELECT name, tbl_name, type, sql FROM sqlite_master ORDER BY rowid').all() as {
      name: string;
      tbl_name: string;
      type: string;
      sql: string | null;
    }[];
    const own = made.filter(({ tbl_name, sql }) => sql !== null && !PLATFORM.test(tbl_name));
    const tables = own
      .filter(({ type }) => type === 'table')
      .map(({ name }) => [name, database.prepare(`SELECT * FROM "${name}" ORDER BY rowid`).all()] as const);
    return { schema: own.map(({ sql }) => String(sql)), tables: Object.fromEntries(tables) as DatabaseSnapshot['tables'] };
  } finally {
    database.close();
  }
}

/** Every database below a folder of `wrangler dev --persist-to`, of objects of this class. */
export function databasesIn(folder: string, className: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith('.sqlite') && path.includes(className))
    .map((path) => join(folder, path));
}
