/**
 * Rows of executions. Rows are cached, because the ingest path reads the same one with every frame.
 * Every write goes through here, so a cached row is never older than the table. Call `forget()`
 * after a transaction that was rolled back.
 */

import { and, asc, count, desc, eq, inArray, isNotNull, lt, max, min } from 'drizzle-orm';
import type { DrizzleSqliteDODatabase } from 'drizzle-orm/durable-sqlite';
import { ACTIVE_STATUSES, OPEN_STATUSES, type OpenStatus, STATUSES, type Status, TERMINAL_STATUSES } from '../../protocol/index.ts';
import type { ExecutionPatch, ExecutionRecord, LatePatch } from '../core/execution.ts';
import type { ExecutionQuery, ExecutionTable } from '../core/ports.ts';
import { executions } from './schema.ts';

export type Database = DrizzleSqliteDODatabase<Record<string, never>>;

const isOpen = (status: Status): boolean => (OPEN_STATUSES as readonly Status[]).includes(status);

export class ExecutionStore implements ExecutionTable {
  readonly #db: Database;
  readonly #remembered = new Map<string, ExecutionRecord>();

  constructor(db: Database) {
    this.#db = db;
  }

  forget(): void {
    this.#remembered.clear();
  }

  get(id: string): ExecutionRecord | null {
    const known = this.#remembered.get(id);
    if (known) return known;
    const row: ExecutionRecord | undefined = this.#db.select().from(executions).where(eq(executions.id, id)).limit(1).get();
    if (!row) return null;
    // Only open executions are read repeatedly; others would only fill memory.
    if (isOpen(row.status)) this.#remembered.set(id, row);
    return row;
  }

  insert(record: Omit<ExecutionRecord, 'ordinal'>): ExecutionRecord {
    const row: ExecutionRecord = this.#db.insert(executions).values(record).returning().get();
    this.#remembered.set(row.id, row);
    return row;
  }

  update(id: string, patch: ExecutionPatch): ExecutionRecord | null {
    if (Object.keys(patch).length === 0) {
      const same = this.get(id);
      return same && isOpen(same.status) ? same : null;
    }
    this.#remembered.delete(id);
    const row: ExecutionRecord | undefined = this.#db
      .update(executions)
      .set(patch)
      .where(and(eq(executions.id, id), inArray(executions.status, [...OPEN_STATUSES])))
      .returning()
      .get();
    if (row && isOpen(row.status)) this.#remembered.set(id, row);
    return row ?? null;
  }

  noteVerdict(id: string, verdict: { lastOffset: number; logBytes: number }): void {
    this.#db.update(executions).set(verdict).where(eq(executions.id, id)).run();
  }

  noteLate(id: string, patch: LatePatch): void {
    if (Object.keys(patch).length === 0) return;
    this.#db
      .update(executions)
      .set(patch)
      .where(and(eq(executions.id, id), inArray(executions.status, [...TERMINAL_STATUSES])))
      .run();
  }

  active(): ExecutionRecord[] {
    return this.#db
      .select()
      .from(executions)
      .where(inArray(executions.status, [...ACTIVE_STATUSES]))
      .orderBy(executions.ordinal)
      .all();
  }

  open(): ExecutionRecord[] {
    return this.#db
      .select()
      .from(executions)
      .where(inArray(executions.status, [...OPEN_STATUSES]))
      .orderBy(asc(executions.ordinal))
      .all();
  }

  queued(): ExecutionRecord[] {
    return this.#db
      .select()
      .from(executions)
      .where(eq(executions.status, 'queued'))
      .orderBy(asc(executions.queueRank), asc(executions.ordinal))
      .all();
  }

  lowestQueueRank(): number {
    const row = this.#db
      .select({ rank: min(executions.queueRank) })
      .from(executions)
      .where(eq(executions.status, 'queued'))
      .get();
    return row?.rank ?? 0;
  }

  list({ status, limit, before, only }: ExecutionQuery): ExecutionRecord[] {
    const conditions = [
      ...(status ? [eq(executions.status, status)] : []),
      ...(before === undefined ? [] : [lt(executions.ordinal, before)]),
      ...(only === undefined ? [] : [eq(executions.id, only)]),
    ];
    return this.#db
      .select()
      .from(executions)
      .where(and(...conditions))
      .orderBy(desc(executions.ordinal))
      .limit(limit)
      .all();
  }

  openCounts(): Record<OpenStatus, number> {
    const counts: Record<OpenStatus, number> = { queued: 0, pending: 0, running: 0 };
    const open = inArray(executions.status, [...OPEN_STATUSES]);
    for (const { status } of this.#db.select({ status: executions.status }).from(executions).where(open).all())
      counts[status as OpenStatus] += 1;
    return counts;
  }

  asks(): boolean {
    const row = this.#db.select({ id: executions.id }).from(executions).where(isNotNull(executions.asking)).limit(1).get();
    return row !== undefined;
  }

  counts(): Record<Status, number> {
    const counts = Object.fromEntries(STATUSES.map((status) => [status, 0])) as Record<Status, number>;
    for (const { status } of this.#db.select({ status: executions.status }).from(executions).all()) counts[status] += 1;
    return counts;
  }

  /** Ordinals rise by at least one, so a small ordinal answers without a count. */
  hasAtLeast(wanted: number): boolean {
    const newest = this.#db
      .select({ ordinal: max(executions.ordinal) })
      .from(executions)
      .get();
    if ((newest?.ordinal ?? 0) < wanted) return false;
    const rows = this.#db.select({ count: count() }).from(executions).get();
    return (rows?.count ?? 0) >= wanted;
  }

  newest(limit: number): { id: string; status: Status }[] {
    return this.#db
      .select({ id: executions.id, status: executions.status })
      .from(executions)
      .orderBy(desc(executions.ordinal))
      .limit(limit)
      .all();
  }
}
