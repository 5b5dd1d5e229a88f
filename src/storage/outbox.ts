/** Pending reports. The key of a row never changes, so a change costs one row write. */

import { eq } from 'drizzle-orm';
import type { OutboxRecord, Topic } from '../core/outbox.ts';
import type { OutboxTable } from '../core/ports.ts';
import type { Database } from './executions.ts';
import { outbox } from './schema.ts';

export class OutboxStore implements OutboxTable {
  readonly #db: Database;
  readonly #hasTables: () => boolean;

  constructor(db: Database, hasTables: () => boolean) {
    this.#db = db;
    this.#hasTables = hasTables;
  }

  get(topic: Topic): OutboxRecord | null {
    if (!this.#hasTables()) return null;
    return this.#db.select().from(outbox).where(eq(outbox.topic, topic)).limit(1).get() ?? null;
  }

  put(record: OutboxRecord): void {
    const { topic: _, ...set } = record;
    this.#db.insert(outbox).values(record).onConflictDoUpdate({ target: outbox.topic, set }).run();
  }
}
