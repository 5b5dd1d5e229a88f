/**
 * Rows of a tenant's directory: the reports of its sessions, pages of them, and the names of the
 * tenant's pools.
 */

import { and, desc, eq, inArray, lt, type SQL, sql } from 'drizzle-orm';
import { type DrizzleSqliteDODatabase, drizzle } from 'drizzle-orm/durable-sqlite';
import bundle from '../../migrations/directory/migrations.js';
import { POOLS_MAX, type SessionEntry, type Status, TERMINAL_STATUSES, utf8Bytes } from '../../protocol/index.ts';
import { RETENTION_MS } from '../core/deadlines.ts';
import { type Announcement, type AnnouncementAnswer, DIRECTORY_TOMBSTONE_MS, decideUpsert } from '../core/directory.ts';
import { hasSchema, migrate, migrationsOf } from '../storage/migrate.ts';
import { pools, sessions } from './schema.ts';

const MIGRATIONS = migrationsOf(bundle);

/**
 * An answer between Workers is one message. A page therefore ends early if its executions are large
 * (commands and labels of tens of kilobytes).
 */
const PAGE_BYTES_MAX = 4 * 1024 * 1024;

/** A position in the list: after the session of this name and time. */
export interface ListPosition {
  lastActivityAt: number;
  id: string;
}

export interface DirectoryQuery {
  status?: Status | undefined;
  limit: number;
  after?: ListPosition | undefined;
}

export interface DirectoryPage {
  data: SessionEntry[];
  next: ListPosition | null;
}

export class Entries {
  readonly #storage: DurableObjectStorage;
  readonly #db: DrizzleSqliteDODatabase<Record<string, never>>;
  #exists: boolean;

  /** A directory without reports has no tables, and reads do not create them. */
  constructor(storage: DurableObjectStorage, now: number) {
    this.#storage = storage;
    this.#db = drizzle(storage, { logger: false });
    this.#exists = hasSchema(storage);
    if (this.#exists) migrate(storage, now, MIGRATIONS);
  }

  #create(now: number): void {
    if (!this.#exists) migrate(this.#storage, now, MIGRATIONS);
    this.#exists = true;
  }

  addPool(id: string, now: number): boolean {
    this.#create(now);
    const have = this.pools();
    if (have.includes(id)) return true;
    if (have.length >= POOLS_MAX) return false;
    this.#db.insert(pools).values({ id, createdAt: now }).run();
    return true;
  }

  pools(): string[] {
    if (!this.#exists) return [];
    return this.#db
      .select({ id: pools.id })
      .from(pools)
      .orderBy(pools.id)
      .all()
      .map(({ id }) => id);
  }

  take(announcement: Announcement, now: number): AnnouncementAnswer {
    this.#create(now);
    const { session: id, version, entry } = announcement;
    const { version: of, removed } = sessions;
    const held = this.#db.select({ version: of, removed }).from(sessions).where(eq(sessions.id, id)).limit(1).get() ?? null;
    const decision = decideUpsert(held, announcement);
    if (decision === 'stale') return { taken: false, held: held?.version ?? 0 };
    if (decision === 'apply') {
      const row = {
        version,
        removed: entry === null,
        status: entry?.execution?.status ?? null,
        lastActivityAt: entry?.lastActivityAt ?? now,
        execution: entry?.execution ?? null,
        open: entry?.open ?? null,
        asking: entry?.asking ?? null,
      };
      this.#db
        .insert(sessions)
        .values({ id, ...row })
        .onConflictDoUpdate({ target: sessions.id, set: row })
        .run();
      if (entry === null) this.#sweep(now);
    }
    return { taken: true, held: version };
  }

  list({ status, limit, after }: DirectoryQuery): DirectoryPage {
    if (!this.#exists) return { data: [], next: null };
    const { id, lastActivityAt, execution, open, asking, removed } = sessions;
    const conditions: SQL[] = [eq(removed, false)];
    if (status) conditions.push(eq(sessions.status, status));
    // One comparison of a pair, which SQLite answers with a seek.
    if (after) conditions.push(sql`(${lastActivityAt}, ${id}) < (${after.lastActivityAt}, ${after.id})`);
    const rows = this.#db
      .select({ id, lastActivityAt, execution, open, asking })
      .from(sessions)
      .where(and(...conditions))
      .orderBy(desc(lastActivityAt), desc(id))
      .limit(limit + 1)
      .all();
    const entries = rows.map(
      ({ open: counts, asking: asks, ...entry }): SessionEntry => ({
        ...entry,
        ...(counts ? { open: counts } : {}),
        ...(asks ? { asking: true } : {}),
      }),
    );
    const data = entries.slice(0, pageLength(entries, limit));
    const last = data.at(-1);
    return { data, next: last && data.length < rows.length ? { id: last.id, lastActivityAt: last.lastActivityAt } : null };
  }

  /**
   * Deletes tombstones that are old enough, and sessions that must have expired without a report.
   * The latter exist only in a directory that was restored from a backup.
   */
  #sweep(now: number): void {
    const { removed, status, lastActivityAt } = sessions;
    const forgotten = and(eq(removed, true), lt(lastActivityAt, now - DIRECTORY_TOMBSTONE_MS));
    const expired = and(
      eq(removed, false),
      inArray(status, [...TERMINAL_STATUSES]),
      lt(lastActivityAt, now - RETENTION_MS - DIRECTORY_TOMBSTONE_MS),
    );
    for (const old of [forgotten, expired]) this.#db.delete(sessions).where(old).run();
  }
}

/** How many of the rows make a page: at least one, at most `limit`. */
function pageLength(rows: readonly SessionEntry[], limit: number): number {
  let bytes = 0;
  for (const [index, row] of rows.entries()) {
    bytes += utf8Bytes(JSON.stringify(row));
    if (index === limit || (index > 0 && bytes > PAGE_BYTES_MAX)) return index;
  }
  return rows.length;
}
