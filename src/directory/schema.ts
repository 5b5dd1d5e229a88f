/**
 * The tables of a tenant's directory. `npm run migrations` turns a change here into the next
 * append-only SQL file.
 *
 * sessions   one row per announced session, and for a while one per deleted session (a tombstone)
 * pools      one row per pool, written before the first key of the pool is made
 */

import { index, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import type { Execution, OpenStatus, Status } from '../../protocol/index.ts';

export const sessions = sqliteTable(
  'sessions',
  {
    id: text().primaryKey(),
    /** The version of the report. Only a newer version replaces it. */
    version: integer().notNull(),
    /** Status of the newest execution; null in a tombstone. */
    status: text().$type<Status>(),
    lastActivityAt: integer('last_activity_at').notNull(),
    execution: text({ mode: 'json' }).$type<Execution>(),
    /** Counts of open executions. Null in a tombstone, and in rows older than this column. */
    open: text({ mode: 'json' }).$type<Record<OpenStatus, number>>(),
    /** One of its executions waits for an answer. Null: none, or an older row. */
    asking: integer({ mode: 'boolean' }),
    removed: integer({ mode: 'boolean' }).notNull(),
  },
  // A page of the list is one seek, with and without a status.
  (table) => [
    index('sessions_by_activity').on(table.removed, table.lastActivityAt, table.id),
    index('sessions_by_status').on(table.removed, table.status, table.lastActivityAt, table.id),
  ],
);

export const pools = sqliteTable('pools', {
  id: text().primaryKey(),
  createdAt: integer('created_at').notNull(),
});
