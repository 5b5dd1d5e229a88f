/** Ids of accepted inputs, with what the answer to a repeated call needs. */

import { eq } from 'drizzle-orm';
import type { NotedInput } from '../core/input.ts';
import type { InputTable } from '../core/ports.ts';
import type { Database } from './executions.ts';
import { inputs } from './schema.ts';

const keyOf = (execution: string, inputId: string): string => `${execution}/${inputId}`;

export class InputStore implements InputTable {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  find(execution: string, inputId: string): NotedInput | null {
    const row = this.#db
      .select({ digest: inputs.digest, commandId: inputs.commandId })
      .from(inputs)
      .where(eq(inputs.key, keyOf(execution, inputId)))
      .get();
    return row ?? null;
  }

  note(execution: string, inputId: string, noted: NotedInput): void {
    this.#db
      .insert(inputs)
      .values({ key: keyOf(execution, inputId), ...noted })
      .run();
  }
}
