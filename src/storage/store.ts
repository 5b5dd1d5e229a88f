/**
 * One session's storage: the tables, and the one way to change several of them together.
 *
 * Transactions are flat (nesting `transactionSync` throws on the platform) and synchronous (an async callback would not be atomic).
 */

import { drizzle } from 'drizzle-orm/durable-sqlite';
import type { Store } from '../session/ports.ts';
import { CallbackStore } from './callbacks.ts';
import { CommandStore } from './commands.ts';
import { type Database, ExecutionStore } from './executions.ts';
import { EventLog } from './log.ts';
import { MetaStore } from './meta.ts';
import { hasSchema, migrate } from './migrate.ts';

export class SessionStore implements Store {
  readonly executions: ExecutionStore;
  readonly commands: CommandStore;
  readonly callbacks: CallbackStore;
  readonly log: EventLog;
  readonly meta: MetaStore;
  readonly #storage: DurableObjectStorage;
  #exists: boolean;

  /** Migrates tables that are there. A session that was never started gets none: being asked about it must not create it. */
  constructor(storage: DurableObjectStorage, now: number) {
    this.#storage = storage;
    const db: Database = drizzle(storage, { logger: false });
    this.executions = new ExecutionStore(db);
    this.commands = new CommandStore(db);
    this.callbacks = new CallbackStore(db);
    this.log = new EventLog(storage.sql);
    this.meta = new MetaStore(db);
    this.#exists = hasSchema(storage);
    if (this.#exists) migrate(storage, now);
  }

  get exists(): boolean {
    return this.#exists;
  }

  get createdAt(): number {
    return Number(this.meta.get('created_at'));
  }

  create(now: number): void {
    if (this.#exists) return;
    migrate(this.#storage, now);
    this.meta.set('created_at', String(now));
    this.#exists = true;
  }

  transact<T>(action: () => T): T {
    try {
      return this.#storage.transactionSync(action);
    } catch (error) {
      this.executions.forget();
      this.log.forget();
      throw error;
    }
  }
}
