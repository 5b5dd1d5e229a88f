/**
 * Goal: a new test folder is described where a reader looks for it.
 * Method: the folders that hold files are compared with the tables of the two pages.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const TESTS = join(import.meta.dirname, '..');

const rowsOf = (page: string): string[] =>
  [...readFileSync(join(TESTS, page), 'utf8').matchAll(/^\| `([a-z\d/]+)` \|/gm)].map(([, folder]) => folder as string);
const foldersIn = (folder: string): string[] =>
  readdirSync(join(TESTS, folder), { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));

it('test/README.md has a row for each folder', () => {
  const rows = rowsOf('README.md');
  expect([...new Set(rows.map((row) => row.split('/')[0]))].sort()).toEqual(foldersIn('.').sort());
  expect(rows.flatMap((row) => row.split('dashboard/')[1] ?? []).sort()).toEqual(foldersIn('dashboard').sort());
});

it('test/workers/README.md has a row for each folder', () => {
  expect(rowsOf('workers/README.md').sort()).toEqual(foldersIn('workers').sort());
});
