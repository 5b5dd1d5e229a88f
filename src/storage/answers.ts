/** Accepted answers. They stay until the session is deleted. */

import { eq } from 'drizzle-orm';
import type { NotedAnswer } from '../core/asking.ts';
import type { AnswerTable } from '../core/ports.ts';
import type { Database } from './executions.ts';
import { answers } from './schema.ts';

const keyOf = (execution: string, question: string): string => `${execution}/${question}`;

export class AnswerStore implements AnswerTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  find(execution: string, question: string): NotedAnswer | null {
    const { answerId, digest, by, at, commandId } = answers;
    const row = this.#db
      .select({ answerId, digest, by, at, commandId })
      .from(answers)
      .where(eq(answers.key, keyOf(execution, question)))
      .get();
    return row ?? null;
  }

  note(execution: string, question: string, noted: NotedAnswer): void {
    this.#db
      .insert(answers)
      .values({ key: keyOf(execution, question), ...noted })
      .onConflictDoUpdate({ target: answers.key, set: noted })
      .run();
  }
}
