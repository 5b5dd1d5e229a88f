/**
 * The tables of one pool. `npm run migrations` turns a change here into the next append-only SQL
 * file. rows.ts uses plain SQL for the first two, because they are the hot path.
 *
 * waiting  executions that wait for a runner: the queue
 * active   executions that a runner has, or had a moment ago
 * runners  runners that said hello, for a day after their last connection
 * keys     keys of runners, as digests
 * meta     facts of the pool itself
 */

import { index, integer, primaryKey, sqliteTable, text } from 'drizzle-orm/sqlite-core';
import type { EntryState } from '../core/pool-entry.ts';
import type { WaitReason } from '../core/pool-terms.ts';

const entry = {
  session: text().notNull(),
  execution: text().notNull(),
  lane: text().notNull(),
  rank: integer().notNull(),
  priority: integer().notNull(),
  since: integer().notNull(),
  waitUntil: integer('wait_until').notNull(),
};

// All tables are WITHOUT ROWID, so that a row is one written row and not two. Drizzle cannot express
// it: the statements in the migration were completed by hand.
export const waiting = sqliteTable('waiting', { ...entry, told: text().$type<WaitReason>() }, (table) => [
  primaryKey({ columns: [table.session, table.execution] }),
  // The first of each lane is one seek.
  index('waiting_by_lane').on(table.lane, table.rank),
]);

export const active = sqliteTable(
  'active',
  {
    ...entry,
    state: text().$type<EntryState>().notNull(),
    lease: integer(),
    runnerId: text('runner_id'),
    bootId: text('boot_id'),
    assignedAt: integer('assigned_at'),
    dueAt: integer('due_at'),
  },
  (table) => [primaryKey({ columns: [table.session, table.execution] })],
);

export const runners = sqliteTable('runners', {
  id: text().primaryKey(),
  /** The record as JSON (core/pool-runner.ts): runners are only read all together. */
  record: text().notNull(),
});

export const keys = sqliteTable('keys', {
  id: text().primaryKey(),
  name: text().notNull(),
  /** SHA-256 in hex. */
  digest: text().notNull(),
  createdAt: integer('created_at').notNull(),
  expiresAt: integer('expires_at'),
  lastUsedAt: integer('last_used_at'),
});

export const meta = sqliteTable('meta', {
  key: text().primaryKey(),
  value: text().notNull(),
});
