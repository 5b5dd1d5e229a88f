/** Commands that a wrapper has not acknowledged yet (ING9). Their ids rise and are never reused. */

import { and, asc, eq, sql } from 'drizzle-orm';
import type { Command } from '../../protocol/index.ts';
import type { NewCommand } from '../core/lifecycle.ts';
import type { CommandTable } from '../core/ports.ts';
import type { Database } from './executions.ts';
import { commands } from './schema.ts';

export class CommandStore implements CommandTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  add(execution: string, { command, data }: NewCommand, now: number): Command {
    const { id } = this.#db
      .insert(commands)
      .values({ execution, command, data, createdAt: now })
      .returning({ id: commands.id })
      .get();
    return { id, command, data } as Command;
  }

  waiting(execution: string): Command[] {
    return this.#db
      .select({ id: commands.id, command: commands.command, data: commands.data })
      .from(commands)
      .where(eq(commands.execution, execution))
      .orderBy(asc(commands.id))
      .all() as unknown as Command[];
  }

  load(execution: string): { count: number; bytes: number } {
    const load = this.#db
      .select({
        count: sql<number>`count(*)`,
        bytes: sql<number>`coalesce(sum(length(cast(${commands.data} as blob))), 0)`,
      })
      .from(commands)
      .where(eq(commands.execution, execution))
      .get();
    return load ?? { count: 0, bytes: 0 };
  }

  ack(execution: string, id: number): void {
    this.#db
      .delete(commands)
      .where(and(eq(commands.id, id), eq(commands.execution, execution)))
      .run();
  }

  dropResizes(execution: string): void {
    this.#db
      .delete(commands)
      .where(and(eq(commands.execution, execution), eq(commands.command, 'resize')))
      .run();
  }

  drop(execution: string): void {
    this.#db.delete(commands).where(eq(commands.execution, execution)).run();
  }
}
