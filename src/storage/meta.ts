/** Facts of the session itself, one row each. */

import { eq } from 'drizzle-orm';
import type { Database } from './executions.ts';
import { meta } from './schema.ts';

export type MetaKey = 'created_at' | 'tombstone_until';

export class MetaStore {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  get(key: MetaKey): string | null {
    return this.#db.select({ value: meta.value }).from(meta).where(eq(meta.key, key)).limit(1).get()?.value ?? null;
  }

  set(key: MetaKey, value: string): void {
    this.#db.insert(meta).values({ key, value }).onConflictDoUpdate({ target: meta.key, set: { value } }).run();
  }
}
