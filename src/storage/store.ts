/**
 * The storage of one session: its tables, and the one way to change several of them together.
 *
 * Transactions are flat, because nesting `transactionSync` throws on the platform. They are
 * synchronous, because an async callback would not be atomic.
 */

import { drizzle } from 'drizzle-orm/durable-sqlite';
import { createdAtAfter } from '../core/generation.ts';
import type { Store } from '../core/ports.ts';
import { AnswerStore } from './answers.ts';
import { CallbackStore } from './callbacks.ts';
import { CommandStore } from './commands.ts';
import { type Database, ExecutionStore } from './executions.ts';
import { InputStore } from './inputs.ts';
import { EventLog } from './log.ts';
import { MetaStore } from './meta.ts';
import { hasSchema, migrate } from './migrate.ts';
import { OutboxStore } from './outbox.ts';
import { answers, commands, executions, inputs, log, meta } from './schema.ts';

export class SessionStore implements Store {
  readonly executions: ExecutionStore;
  readonly commands: CommandStore;
  readonly inputs: InputStore;
  readonly answers: AnswerStore;
  readonly callbacks: CallbackStore;
  readonly log: EventLog;
  readonly outbox: OutboxStore;
  readonly meta: MetaStore;
  readonly #db: Database;
  readonly #storage: DurableObjectStorage;
  /** Null when it is not known. */
  #hasTables: boolean | null = null;
  #createdAt: number | null = null;
  /** The newest creation time that this instance wrote or read, of a deleted session too. */
  #lastCreatedAt = 0;

  /** Migrates existing tables. A session that was never started gets no tables from a read. */
  constructor(storage: DurableObjectStorage, now: number) {
    this.#storage = storage;
    const db: Database = drizzle(storage, { logger: false });
    this.#db = db;
    this.executions = new ExecutionStore(db);
    this.commands = new CommandStore(db);
    this.inputs = new InputStore(db);
    this.answers = new AnswerStore(db);
    this.callbacks = new CallbackStore(db, () => this.#tables);
    this.log = new EventLog(storage.sql);
    this.outbox = new OutboxStore(db, () => this.#tables);
    this.meta = new MetaStore(db);
    if (this.#tables) migrate(storage, now);
  }

  get #tables(): boolean {
    this.#hasTables ??= hasSchema(this.#storage);
    return this.#hasTables;
  }

  get exists(): boolean {
    return this.createdAt > 0;
  }

  get createdAt(): number {
    this.#createdAt ??= this.#tables ? Number(this.meta.get('created_at')) : 0;
    this.#lastCreatedAt = Math.max(this.#lastCreatedAt, this.#createdAt);
    return this.#createdAt;
  }

  get databaseBytes(): number {
    return this.#storage.sql.databaseSize;
  }

  create(now: number): void {
    if (this.exists) return;
    migrate(this.#storage, now);
    // An earlier version deleted the session of this name and left the rows that it did not know.
    for (const table of [inputs, answers]) this.#db.delete(table).run();
    this.meta.set('created_at', String(createdAtAfter(this.#lastCreatedAt, this.outbox.get('directory'), now)));
    this.forget();
  }

  erase(tombstoneUntil: number | null): void {
    for (const table of [executions, commands, inputs, answers, log, meta]) this.#db.delete(table).run();
    if (tombstoneUntil !== null) this.meta.set('tombstone_until', String(tombstoneUntil));
    this.forget();
  }

  get tombstoneUntil(): number {
    return this.#tables ? Number(this.meta.get('tombstone_until')) : 0;
  }

  forget(): void {
    this.#hasTables = null;
    this.#createdAt = null;
    this.executions.forget();
    this.callbacks.forget();
    this.log.forget();
  }

  transact<T>(action: () => T): T {
    try {
      return this.#storage.transactionSync(action);
    } catch (error) {
      this.forget();
      throw error;
    }
  }
}
