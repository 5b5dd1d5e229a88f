/**
 * The tables of a session: created by the migrations, changed only by appending to them.
 * Method: the real storage of objects that were never started, with the project's migrations and
 * with made-up ones.
 */

import { runInDurableObject } from 'cloudflare:test';
import { getTableConfig } from 'drizzle-orm/sqlite-core';
import { describe, expect, test } from 'vitest';
import { app } from '../../../src/http/app.ts';
import { hasSchema, MIGRATIONS, migrate } from '../../../src/storage/migrate.ts';
import * as schema from '../../../src/storage/schema.ts';
import deployed from '../../../wrangler.toml?raw';
import { api, newSession, start, stubOf } from '../support/peers.ts';
import tested from '../wrangler.toml?raw';

/** Runs on the storage of a session without tables. */
const fresh = <T>(work: (storage: DurableObjectStorage) => T | Promise<T>): Promise<T> =>
  runInDurableObject(stubOf(newSession()), (_, { storage }) => work(storage));

const tablesOf = ({ sql }: DurableObjectStorage): string[] =>
  sql
    .exec<{ name: string }>(
      "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
    )
    .toArray()
    .map(({ name }) => name);

const schemaOf = ({ sql }: DurableObjectStorage) =>
  sql.exec('SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name').toArray();

const historyOf = ({ sql }: DurableObjectStorage) => sql.exec('SELECT * FROM schema_migrations ORDER BY position').toArray();

const A = { name: '0000_a', sql: 'CREATE TABLE a (x INTEGER);--> statement-breakpoint\nCREATE INDEX a_x ON a (x);' };
const B = { name: '0001_b', sql: 'CREATE TABLE b (x INTEGER);' };
const BROKEN = {
  name: '0001_b',
  sql: 'CREATE TABLE b (x INTEGER);--> statement-breakpoint\nINSERT INTO a VALUES (7);--> statement-breakpoint\nINSERT INTO nowhere VALUES (1);',
};

describe("the project's migrations", () => {
  test('from an empty storage they create the tables that docs/storage.md names, and record it', () =>
    fresh((storage) => {
      expect(hasSchema(storage)).toBe(false);
      expect(migrate(storage, 1234)).toEqual(MIGRATIONS.map(({ name }) => name));
      expect(hasSchema(storage)).toBe(true);
      expect(tablesOf(storage)).toEqual([
        'answers',
        'callbacks',
        'commands',
        'executions',
        'inputs',
        'log',
        'meta',
        'outbox',
        'schema_migrations',
      ]);
      expect(historyOf(storage)).toEqual(MIGRATIONS.map(({ name }, position) => ({ position, name, applied_at: 1234 })));
    }));

  test('applied again, they change nothing', () =>
    fresh((storage) => {
      migrate(storage, 1);
      storage.sql.exec("INSERT INTO meta (key, value) VALUES ('created_at', '5')");
      const before = [schemaOf(storage), historyOf(storage)];
      expect(migrate(storage, 2)).toEqual([]);
      expect([schemaOf(storage), historyOf(storage)]).toEqual(before);
      expect(storage.sql.exec('SELECT value FROM meta').toArray()).toEqual([{ value: '5' }]);
    }));

  test.each(
    [schema.executions, schema.commands, schema.callbacks, schema.log, schema.meta, schema.outbox].map(
      (table) => [getTableConfig(table).name, table] as const,
    ),
  )('the table %s is what src/storage/schema.ts says', (name, table) =>
    fresh((storage) => {
      migrate(storage, 1);
      const columns = storage.sql.exec(`PRAGMA table_info(${name})`).toArray();
      const made = columns.map((column) => [
        column.name,
        String(column.type).toLowerCase(),
        column.notnull === 1,
        Number(column.pk) > 0,
      ]);
      const declared = getTableConfig(table).columns.map((column) => [
        column.name,
        column.getSQLType(),
        column.notNull,
        column.primary,
      ]);
      expect(made.sort()).toEqual(declared.sort());
    }),
  );

  test('a batch costs one written row: the key of the log is its rowid, and there is no index', () =>
    fresh((storage) => {
      migrate(storage, 1);
      expect(storage.sql.exec("SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'log'").toArray()).toEqual([]);
      const cursor = storage.sql.exec(
        `INSERT INTO log (first_offset, count, execution, first_seq, last_seq, bytes, received_at, body) VALUES (1, 1, 'e', 1, 1, 2, 3, '{}')`,
      );
      expect(cursor.rowsWritten).toBe(1);
      expect(storage.sql.exec('SELECT rowid FROM log').toArray()).toEqual([{ first_offset: 1 }]);
    }));

  test('a session that was started has them all', async () => {
    const { session } = await start(newSession());
    await runInDurableObject(stubOf(session), (_, { storage }) => {
      expect(historyOf(storage)).toHaveLength(MIGRATIONS.length);
      expect(migrate(storage, 1)).toEqual([]);
    });
  });

  test('their names are in rising order, so that an appended one comes last', () => {
    const names = MIGRATIONS.map(({ name }) => name);
    expect(names.length).toBeGreaterThan(0);
    for (const [index, name] of names.entries()) expect(name).toMatch(new RegExp(`^${String(index).padStart(4, '0')}_[a-z0-9_]+$`));
  });
});

describe('migrate', () => {
  test('applies appended migrations, and only those', () =>
    fresh((storage) => {
      expect(migrate(storage, 1, [A])).toEqual(['0000_a']);
      expect(migrate(storage, 2, [A, B])).toEqual(['0001_b']);
      expect(tablesOf(storage)).toEqual(['a', 'b', 'schema_migrations']);
      expect(historyOf(storage)).toEqual([
        { position: 0, name: '0000_a', applied_at: 1 },
        { position: 1, name: '0001_b', applied_at: 2 },
      ]);
    }));

  test('a failed one leaves nothing of itself, keeps those before it, and reports the cause', () =>
    fresh((storage) => {
      expect(() => migrate(storage, 1, [A, BROKEN])).toThrow(/no such table: nowhere/);
      expect(tablesOf(storage)).toEqual(['a', 'schema_migrations']);
      expect(storage.sql.exec('SELECT * FROM a').toArray()).toEqual([]);
      expect(historyOf(storage)).toEqual([{ position: 0, name: '0000_a', applied_at: 1 }]);
      // Corrected, it is applied.
      expect(migrate(storage, 2, [A, B])).toEqual(['0001_b']);
    }));

  test('a changed history is refused, and changes nothing', () =>
    fresh((storage) => {
      migrate(storage, 1, [A, B]);
      const before = [schemaOf(storage), historyOf(storage)];
      const C = { name: '0001_c', sql: 'CREATE TABLE c (x INTEGER);' };
      for (const [what, changed] of [
        ['renamed', [A, C]],
        ['reordered', [B, A]],
        ['merged in between', [A, C, B]],
        ['merged in front', [C, A, B]],
      ] as const) {
        expect(() => migrate(storage, 2, changed), what).toThrow(/was applied as 000\d_[ab] but is now 000\d_\w/);
      }
      expect([schemaOf(storage), historyOf(storage)]).toEqual(before);
    }));

  test('an older Worker does not change what a newer one added', () =>
    fresh((storage) => {
      migrate(storage, 1, [A, B]);
      expect(migrate(storage, 2, [A])).toEqual([]);
      expect(tablesOf(storage)).toEqual(['a', 'b', 'schema_migrations']);
      expect(migrate(storage, 3, [A, B])).toEqual([]);
    }));
});

describe('the configuration of these tests is that of the deployment', () => {
  /** The lines of each table of a TOML file, without comments; the top is ''. */
  function sectionsOf(toml: string): Record<string, string[]> {
    const sections: Record<string, string[]> = { '': [] };
    let name = '';
    for (const line of toml.split('\n').map((text) => text.replace(/^\s*#.*$/, '').trim())) {
      if (line === '') continue;
      if (line.startsWith('[')) name = line;
      sections[name] = [...(sections[name] ?? []), line];
    }
    return sections;
  }

  const settingOf = (toml: string, key: string): string | undefined =>
    (sectionsOf(toml)[''] ?? [])
      .find((line) => line.startsWith(`${key} =`))
      ?.slice(key.length + 2)
      .trim();

  /**
   * The allowed differences. The tests have keys of their own, and no observability. They run the
   * Worker alone; in a deployment the platform serves the dashboard in front of it, which test/e2e
   * covers. The tests consume the queue themselves, so that no message is sent in the background.
   * Rates are limited in rate-limits.test.ts alone.
   */
  const OWN = ['', '[vars]', '[observability]', '[assets]', '[[queues.consumers]]'];
  const shared = (toml: string) =>
    Object.fromEntries(Object.entries(sectionsOf(toml.replaceAll(/ limit = \d+,/g, ''))).filter(([name]) => !OWN.includes(name)));

  test('the same bindings, classes and rules', () => {
    expect(shared(tested)).toEqual(shared(deployed));
    expect(Object.keys(shared(deployed))).toContain('[[durable_objects.bindings]]');
  });

  test.each(['compatibility_date', 'compatibility_flags'])('the same %s', (key) => {
    expect(settingOf(deployed, key)).toMatch(/\S/);
    expect(settingOf(tested, key)).toBe(settingOf(deployed, key));
  });

  test('the same entry', () => {
    expect(settingOf(deployed, 'main')).toBe('"src/index.ts"');
    expect(settingOf(tested, 'main')).toBe('"../../src/index.ts"');
  });

  test('every route of the Worker bypasses the dashboard', () => {
    const first = sectionsOf(deployed)['[assets]']?.find((line) => line.startsWith('run_worker_first = ')) ?? '';
    const patterns = JSON.parse(first.slice(first.indexOf('['))) as string[];
    const paths = new Set(app.routes.filter(({ method }) => method !== 'ALL').map(({ path }) => path));
    expect(paths.size).toBeGreaterThan(5);
    for (const path of paths) {
      const taken = patterns.some((one) => (one.endsWith('/*') ? path.startsWith(one.slice(0, -1)) : path === one));
      expect(taken, path).toBe(true);
    }
  });

  test('no secret is among the variables of the deployment', () => {
    const vars = sectionsOf(deployed)['[vars]']?.join('\n') ?? '';
    expect(vars).not.toMatch(/HOLDFAST_(API_KEYS|SIGNING_KEYS)/);
  });

  test('and it is the configuration that runs here', async () => {
    expect((await api('GET', '/healthz', { key: null })).status).toBe(200);
  });
});
