/**
 * The tables of a tenant's directory. `npm run migrations` turns a change here into the next append-only SQL file.
 *
 * sessions   one row per session that was announced, and for a while one per session that was deleted
 */

import { index, integer, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import type { Execution, OpenStatus, Status } from '../../protocol/index.ts';

export const sessions = sqliteTable(
  'sessions',
  {
    id: text().primaryKey(),
    /** What the session said it is at. Only what is newer replaces it. */
    version: integer().notNull(),
    /** Of the newest execution; null in the row of a session that was deleted. */
    status: text().$type<Status>(),
    lastActivityAt: integer('last_activity_at').notNull(),
    execution: text({ mode: 'json' }).$type<Execution>(),
    /** Executions that are not over. Null in the row of a session that was deleted, and of one that told before there was this column. */
    open: text({ mode: 'json' }).$type<Record<OpenStatus, number>>(),
    removed: integer({ mode: 'boolean' }).notNull(),
  },
  // A page of the list is one seek, with and without a status.
  (table) => [
    index('sessions_by_activity').on(table.removed, table.lastActivityAt, table.id),
    index('sessions_by_status').on(table.removed, table.status, table.lastActivityAt, table.id),
  ],
);
