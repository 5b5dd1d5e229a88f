/**
 * Brings an object's tables up to the newest migration. Migrations are append-only SQL files that
 * drizzle-kit writes.
 *
 * This replaces drizzle's own migrator for two reasons. Drizzle reports every failed statement as
 * "Rollback" without the cause. It also decides by creation time, so it silently skips a migration
 * that was merged late. This one is synchronous, applies by name, and refuses a history that
 * differs from the files.
 */

import bundle from '../../migrations/migrations.js';

/** The narrowest part of `ctx.storage` that is used here. */
export interface MigratableStorage {
  sql: { exec(statement: string, ...bindings: unknown[]): { toArray(): Record<string, unknown>[] } };
  transactionSync<T>(action: () => T): T;
}

interface Migration {
  name: string;
  sql: string;
}

const BREAKPOINT = '--> statement-breakpoint';

/** The migrations of a bundle from drizzle-kit, in order. */
export const migrationsOf = ({ journal, migrations }: typeof bundle): Migration[] =>
  journal.entries.map(({ idx, tag }) => {
    const sql = migrations[`m${String(idx).padStart(4, '0')}`];
    if (sql === undefined) throw new Error(`migration ${tag} is in the journal but not in the bundle`);
    return { name: tag, sql };
  });

/** The migrations of a session. */
export const MIGRATIONS = migrationsOf(bundle);

/** True when the object has tables. A session that was never started has no tables. */
export function hasSchema(storage: MigratableStorage): boolean {
  return storage.sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'schema_migrations'").toArray().length > 0;
}

/** Applies missing migrations, each in its own transaction. Returns their names. */
export function migrate(storage: MigratableStorage, now: number, migrations: readonly Migration[] = MIGRATIONS): string[] {
  storage.sql.exec(
    'CREATE TABLE IF NOT EXISTS schema_migrations (position INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at INTEGER NOT NULL)',
  );
  const applied = storage.sql.exec('SELECT name FROM schema_migrations ORDER BY position').toArray();
  for (const [position, { name }] of applied.entries()) {
    // Before a rollback a newer Worker may have migrated this object. Its extra migrations are
    // additive and may stay.
    if (position < migrations.length && migrations[position]?.name !== name) {
      throw new Error(`migration ${position} was applied as ${String(name)} but is now ${migrations[position]?.name}`);
    }
  }
  const missing = migrations.slice(applied.length);
  for (const [index, { name, sql }] of missing.entries()) {
    storage.transactionSync(() => {
      for (const statement of sql.split(BREAKPOINT)) storage.sql.exec(statement);
      storage.sql.exec(
        'INSERT INTO schema_migrations (position, name, applied_at) VALUES (?, ?, ?)',
        applied.length + index,
        name,
        now,
      );
    });
  }
  return missing.map(({ name }) => name);
}
