/** Callbacks that the queue does not have yet. Two row writes per callback: insert and delete. */

import { asc, eq, lte, min } from 'drizzle-orm';
import type { CallbackRecord } from '../core/callback.ts';
import type { CallbackTable } from '../core/ports.ts';
import type { Database } from './executions.ts';
import { callbacks } from './schema.ts';

export class CallbackStore implements CallbackTable {
  readonly #db: Database;
  readonly #hasTables: () => boolean;
  /** A cache, because the alarm reads it after every change. Undefined: not known. */
  #nextDueAt: number | null | undefined;

  constructor(db: Database, hasTables: () => boolean) {
    this.#db = db;
    this.#hasTables = hasTables;
  }

  get nextDueAt(): number | null {
    if (!this.#hasTables()) return null;
    // Null is a cached value too, and the usual one.
    if (this.#nextDueAt === undefined) {
      this.#nextDueAt =
        this.#db
          .select({ at: min(callbacks.dueAt) })
          .from(callbacks)
          .get()?.at ?? null;
    }
    return this.#nextDueAt;
  }

  add(record: CallbackRecord): void {
    this.forget();
    this.#db.insert(callbacks).values(record).run();
  }

  due(now: number, limit: number): CallbackRecord[] {
    // Usually nothing is due, which the cache answers without a query.
    if (this.nextDueAt === null || this.nextDueAt > now) return [];
    return this.#db.select().from(callbacks).where(lte(callbacks.dueAt, now)).orderBy(asc(callbacks.dueAt)).limit(limit).all();
  }

  postpone({ id, attempts, dueAt }: Pick<CallbackRecord, 'id' | 'attempts' | 'dueAt'>): void {
    this.forget();
    this.#db.update(callbacks).set({ attempts, dueAt }).where(eq(callbacks.id, id)).run();
  }

  remove(id: string): void {
    if (!this.#hasTables()) return;
    this.forget();
    this.#db.delete(callbacks).where(eq(callbacks.id, id)).run();
  }

  forget(): void {
    this.#nextDueAt = undefined;
  }
}
