/**
 * Writes the tables of the pages that repeat what protocol/ has: `npm run docs`.
 * A table stands between two comments that name it. test/contract/docs-generated.test.ts fails
 * when a page and the code differ.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as protocol from '../protocol/index.ts';
import { CLOSE_OPERATOR, CLOSE_RULES, LIMIT_ROWS, type LimitRow, PROBLEM_TEXTS } from './reference-texts.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

type Row = readonly (string | number)[];

function table(head: Row, rule: string, rows: readonly Row[]): string {
  return [head, ...rows]
    .map((cells) => `| ${cells.join(' | ')} |`.replaceAll('|  |', '| |'))
    .toSpliced(1, 0, rule)
    .join('\n');
}

const yesOrNo = (value: boolean): string => (value ? 'yes' : 'no');
const problems = Object.entries(protocol.PROBLEMS) as [
  protocol.ProblemCode,
  { status: number; retryable: boolean; title: string },
][];

function limitCells(row: LimitRow): [name: string, value: string, past: string] {
  if ('policy' in row) {
    const { min, max } = protocol.POLICY_BOUNDS[row.policy];
    return [`\`${row.policy}\``, `${min} to ${max}`, '400'];
  }
  if ('label' in row) return [row.label, String(row.value), row.past];
  const value = (protocol as Record<string, unknown>)[row.constant];
  if (value === undefined) throw new Error(`protocol/ has no ${row.constant}`);
  const text = value instanceof RegExp ? `\`${value.source.replaceAll('\\/', '/')}\`` : String(value);
  return [`\`${row.constant}\`${row.note ? ` (${row.note})` : ''}`, text, row.past];
}

const TABLES: Record<string, () => string> = {
  'problem-codes': () =>
    table(
      ['code', 'status', 'retryable', 'meaning', 'next'],
      '|---|---|---|---|---|',
      problems.map(([code, { status, retryable, title }]) => [
        `\`${code}\``,
        status,
        yesOrNo(retryable),
        `${title}.`,
        PROBLEM_TEXTS[code].next,
      ]),
    ),
  'problem-codes-operator': () =>
    table(
      ['code', 'status', 'retry', "an operator's view"],
      '|---|--:|---|---|',
      problems.map(([code, { status, retryable }]) => [`\`${code}\``, status, yesOrNo(retryable), PROBLEM_TEXTS[code].operator]),
    ),
  'close-codes': () =>
    table(
      ['rule', 'code', 'meaning', 'the peer'],
      '|---|---|---|---|',
      CLOSE_RULES.map(({ name, meaning, peer }, index) => [`**CLS${index + 1}**`, protocol.CLOSE[name], meaning, peer]),
    ),
  'close-codes-operator': () =>
    table(
      ['code', 'on', 'meaning', "an operator's view"],
      '|---|---|---|---|',
      CLOSE_OPERATOR.map(({ codes, on, meaning, operator }) => [
        codes.map((code) => (typeof code === 'number' ? code : protocol.CLOSE[code])).join(', '),
        on,
        meaning,
        operator,
      ]),
    ),
  limits: () =>
    table(
      ['rule', 'name', 'value', 'past it'],
      '|---|---|---|---|',
      LIMIT_ROWS.flatMap((rows, rule) => rows.map((row, index) => [index === 0 ? `**LIM${rule + 1}**` : '', ...limitCells(row)])),
    ),
};

export const GENERATED_PAGES = ['PROTOCOL.md', 'docs/http-api.md', 'docs/operations.md'];

/** The page with its tables as the code has them now. */
export function withTables(page: string): string {
  return page.replaceAll(
    /(<!-- generated: ([\w-]+) [^>]*-->\n)[\s\S]*?(<!-- \/generated -->)/g,
    (_, begin: string, name: string, end: string) => {
      const make = TABLES[name];
      if (!make) throw new Error(`there is no table ${name}`);
      return `${begin}\n${make()}\n\n${end}`;
    },
  );
}

if (import.meta.main) {
  for (const page of GENERATED_PAGES) {
    const file = join(ROOT, page);
    const text = readFileSync(file, 'utf8');
    const next = withTables(text);
    if (next !== text) {
      writeFileSync(file, next);
      console.log(`wrote ${page}`);
    }
  }
}
