/**
 * Reads the coordinator's data on disk after it was stopped: every session's own database, without
 * our code in between.
 */

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

interface LogRow {
  first_offset: number;
  count: number;
  execution: string;
  first_seq: number | null;
  last_seq: number | null;
  body: string;
}

export interface Audit {
  sessions: number;
  executions: number;
  events: number;
  problems: string[];
}

/** `data` is the coordinator's storage folder. */
export function auditStorage(data: string): Audit {
  const audit: Audit = { sessions: 0, executions: 0, events: 0, problems: [] };
  for (const file of databases(data)) {
    const database = new DatabaseSync(file, { readOnly: true });
    try {
      const tables = database.prepare("SELECT name FROM sqlite_master WHERE type = 'table'").all() as { name: string }[];
      if (tables.some(({ name }) => name === 'log')) auditSession(database, audit);
    } finally {
      database.close();
    }
  }
  return audit;
}

function databases(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.sqlite') && !name.endsWith('metadata.sqlite'))
    .map((name) => join(folder, name));
}

/** STR3, ING5, LIF18 and the tables of docs/storage.md, checked on the rows. */
function auditSession(database: DatabaseSync, audit: Audit): void {
  const executions = database.prepare('SELECT id, status FROM executions').all() as { id: string; status: string }[];
  if (executions.length === 0) return;
  audit.sessions += 1;
  audit.executions += executions.length;
  const acked = new Map<string, number>();
  const verdicts = new Map<string, string[]>();
  let next = 1;
  for (const row of database.prepare('SELECT * FROM log ORDER BY first_offset').iterate() as Iterable<LogRow>) {
    const { first_offset, count, execution, first_seq, last_seq, body } = row;
    const problem = (text: string) => audit.problems.push(`${execution}, row ${first_offset}: ${text}`);
    if (first_offset !== next) problem(`should begin at ${next}`);
    next = first_offset + count;
    audit.events += count;
    const lines = body.split('\n');
    if (lines.length !== count) problem(`has ${lines.length} lines for ${count} events`);
    if (verdicts.has(execution)) problem('stands after the verdict');
    if (first_seq === null) {
      for (const line of lines) {
        const { type } = JSON.parse(line) as { type: string };
        if (/^execution_(completed|failed|interrupted)$/.test(type))
          verdicts.set(execution, [...(verdicts.get(execution) ?? []), type]);
      }
    } else {
      if (first_seq !== (acked.get(execution) ?? 0) + 1) problem(`begins with seq ${first_seq} after ${acked.get(execution) ?? 0}`);
      if (last_seq !== first_seq + count - 1) problem(`ends with seq ${last_seq}`);
      acked.set(execution, last_seq ?? 0);
    }
  }
  for (const { id, status } of executions) {
    const own = verdicts.get(id) ?? [];
    if (own.length !== 1 || own[0] !== `execution_${status}`)
      audit.problems.push(`${id} is ${status} in its row and [${own.join(', ')}] in the log`);
  }
  const left = database.prepare('SELECT count(*) AS n FROM commands').get() as { n: number };
  if (left.n > 0) audit.problems.push(`${left.n} commands of settled executions are left`);
}
