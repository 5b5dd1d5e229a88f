/** The outbox of callbacks: written with the verdict it tells of. */

import { asc } from 'drizzle-orm';
import type { CallbackRecord, CallbackTable } from '../session/ports.ts';
import type { Database } from './executions.ts';
import { callbacks } from './schema.ts';

export class CallbackStore implements CallbackTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  add(record: CallbackRecord): void {
    this.#db.insert(callbacks).values(record).run();
  }

  waiting(): CallbackRecord[] {
    return this.#db.select().from(callbacks).orderBy(asc(callbacks.createdAt), asc(callbacks.verdictOffset)).all();
  }
}
