/**
 * Goal: docs/operations.md has every code that can be met and every line and column there is, and
 * no other. Method: its tables are compared with the lists of the code, both ways; codes that are
 * in no list are looked for in the source.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  CLOSE,
  nextStepAfterClose,
  PROBLEMS,
  QUEUE_LENGTH_MAX,
  SESSION_EXECUTIONS_MAX,
  VIEWERS_MAX,
} from '../../protocol/index.ts';
import { REFUSAL_CODES } from '../../protocol/pool.ts';
import { CONTAINER_STOPPED } from '../../src/core/container.ts';
import { RETENTION_MS } from '../../src/core/deadlines.ts';
import { LAUNCH_ATTEMPTS_MAX } from '../../src/core/launching.ts';
import { BLOBS, DOUBLES, INDEX_CHARS_MAX } from '../../src/core/metrics.ts';
import { LOG_EVENTS } from '../../src/platform/log.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const page = read('docs/operations.md');

/** All files below a folder, as one text each. */
const sources = (folder: string): string[] =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => read(join(folder, name)));
const worker = sources('src');
const found = (texts: readonly string[], pattern: RegExp): string[] =>
  texts.flatMap((text) => [...text.matchAll(pattern)].map(([, code]) => code as string));

/** The page from a heading to the next of its level. */
function section(title: string): string {
  const [, text] = page.split(`## ${title}\n`);
  if (text === undefined) throw new Error(`there is no section ${title}`);
  return text.split(/^## /m)[0] as string;
}
/** Rows of a table, by the first cell of its head. */
function table(text: string, head: string): string[][] {
  const lines = text.split('\n');
  const start = lines.findIndex((line) => line.startsWith(`| ${head} |`));
  if (start === -1) throw new Error(`there is no table of ${head}`);
  const end = lines.findIndex((line, index) => index > start && !line.startsWith('|'));
  return lines.slice(start + 2, end).map((line) =>
    line
      .split(/(?<!\\)\|/)
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}
const words = (cell = ''): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, word]) => word as string);
const firsts = (rows: string[][]): string[] => rows.flatMap(([cell = '']) => words(cell));
const same = (told: readonly string[], known: readonly string[]): void => {
  expect(new Set(told).size, 'nothing is told twice').toBe(told.length);
  expect([...told].sort()).toEqual([...new Set(known)].sort());
};

describe('codes', () => {
  const why = section('A run failed: why?');

  test('every failure code that the Worker writes, and no other', () => {
    // `settleFailed(record, 'code', …)`, however it is broken into lines; an argument that is not a
    // literal is the code of an API caller, or that of a runner that refused.
    const written = found(worker, /\bsettleFailed\(\s*\w+,\s*'([a-z_]+)'/g);
    expect(written.length).toBeGreaterThan(5);
    expect(new Set(found(worker, /(?<!function )\bsettleFailed\(\s*\w+,\s*([^'\s][^,]*),/g))).toEqual(
      new Set(['code', 'cause.code']),
    );
    for (const code of REFUSAL_CODES.filter((each) => each !== 'full' && each !== 'draining')) expect(why).toContain(`\`${code}\``);
    same(firsts(table(why, 'code')), [...written, CONTAINER_STOPPED]);
  });

  test('every reason of a wrapper that cannot continue', () => {
    const written = found(sources('wrapper'), /code: '([a-z_]+)', fatal: true/g);
    expect(written.length).toBeGreaterThan(1);
    same(firsts(table(why, 'reason')), written);
  });

  test('every close code of ours, and only those others after which a peer reconnects', () => {
    const told = table(section('Close codes'), 'code').flatMap(([cell = '']) => cell.split(',').map((code) => code.trim()));
    const ofOthers = [1000, 1001, 1005, 1006, 1008, 1011, 1012, 1013, 1014];
    for (const code of ofOthers) expect(nextStepAfterClose(code), String(code)).toBe('retry');
    same(told, [...ofOthers, ...Object.values(CLOSE)].map(String));
  });

  test('every reason of a lost connection', () => {
    const written = found(worker, /reason: '([a-z_]+)',\s*wsCloseCode/g);
    same(firsts(table(section('Close codes'), 'reason')), written);
  });

  test('every problem code, with its status and whether to retry', () => {
    const rows = table(section('Problem codes of the API'), 'code').map(([code, status, retry]) => [words(code)[0], status, retry]);
    const known = Object.entries(PROBLEMS).map(([code, { status, retryable }]) => [code, String(status), retryable ? 'yes' : 'no']);
    expect(rows.sort()).toEqual(known.sort());
  });
});

describe('logs', () => {
  const rows = table(section('Logs'), 'event');
  const fields = found([read('src/platform/log.ts')], /^ {2}(\w+)\?: /gm);

  test('every line, with its level', () => {
    const told = rows.map(([event, level]) => [words(event)[0], level]);
    expect(told.sort()).toEqual(Object.entries(LOG_EVENTS).sort());
  });

  test('only fields there are', () => {
    expect(fields).toContain('wsCloseCode');
    const values = ['failed', 'saturated', 'refused', 'requested', 'expired'];
    const told = rows.flatMap((row) => words(row[3])).filter((word) => !values.includes(word));
    expect(told.filter((name) => !fields.includes(name))).toEqual([]);
  });

  test('every line of the wrapper', () => {
    const written = found(sources('wrapper'), /\.fact\(\s*'(\w+)'/g);
    expect(written.length).toBeGreaterThan(15);
    same(firsts(table(section('Logs'), 'of the wrapper')), [...written, 'problem']);
  });

  test('every one is written somewhere', () => {
    const literal = found(worker, /\b(?:log|logLine)\(\s*'\w+',\s*'(\w+)'/g);
    const ofBothKinds = found(worker, /\blogLine\(\s*'\w+',\s*`\$\{kind\}(\w+)`/g).flatMap((rest) => [
      `session${rest}`,
      `directory${rest}`,
    ]);
    const written = [...literal, ...ofBothKinds];
    same([...new Set(written)], Object.keys(LOG_EVENTS));
  });
});

describe('metrics', () => {
  const metrics = section('Metrics');
  const columns = new Map<string, string>([
    ...BLOBS.map((name, index) => [`blob${index + 1}`, name] as const),
    ...DOUBLES.map((name, index) => [`double${index + 1}`, name] as const),
  ]);
  const queries = [...page.matchAll(/^```sql\n(.*?)^```/gms), ...page.matchAll(/--data "(SELECT [^"]*)"/g)].map(
    ([, text]) => text as string,
  );

  test('every column, in its place', () => {
    const told = table(metrics, 'column').map(([column, name]) => [words(column)[0], words(name)[0]]);
    expect(told).toEqual([...columns]);
    expect(metrics).toContain(`its first ${INDEX_CHARS_MAX} characters`);
  });

  test.each(queries.map((query, index) => [index, query] as const))(
    'query %i asks for columns there are, by their names',
    (_, query) => {
      for (const [column] of query.matchAll(/\b(?:blob|double|index)\d+\b/g)) {
        expect(['index1', ...columns.keys()]).toContain(column);
      }
      for (const [, column = '', alias = ''] of query.matchAll(/\b((?:blob|double)\d+) AS (\w+)/g)) {
        const name = columns.get(column)?.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`) ?? '';
        expect(name.endsWith(alias), `${column} is ${name}, not ${alias}`).toBe(true);
      }
      for (const [, kind] of query.matchAll(/blob1 = '(\w+)'/g)) expect(['verdict', 'disconnect']).toContain(kind);
      // What is sampled has to be weighed.
      for (const [, body = ''] of query.matchAll(/\b(?:SUM|quantileExactWeighted\([\d.]+\))\(([^()]*(?:\([^()]*\)[^()]*)*)\)/g)) {
        expect(body).toContain('_sample_interval');
      }
      const dataset = /binding = "METRICS"\ndataset = "(\w+)"/.exec(read('wrangler.toml'))?.[1];
      expect(/FROM (\w+)/.exec(query)?.[1]).toBe(dataset);
    },
  );

  test('the codes of the alert are codes', () => {
    const list = /blob3 IN \(([^)]*)\)/.exec(page)?.[1] ?? '';
    const told = [...list.matchAll(/'(\w+)'/g)].map(([, code]) => code as string);
    expect(told.length).toBeGreaterThan(3);
    for (const code of told) expect(firsts(table(section('A run failed: why?'), 'code'))).toContain(code);
  });
});

test('the figures are those of the code', () => {
  const number = (value: number): string => value.toLocaleString('en-US');
  expect(section('Retention and deletion')).toContain(`kept for ${RETENTION_MS / 86_400_000} days`);
  const capacity = section('Capacity');
  expect(capacity).toContain(`${QUEUE_LENGTH_MAX} queued, ${number(SESSION_EXECUTIONS_MAX)} in its life`);
  expect(capacity).toContain(`${number(VIEWERS_MAX)} connected`);
  expect(LAUNCH_ATTEMPTS_MAX).toBe(6);
  expect(section('A run failed: why?')).toContain('in six attempts');
});
