/**
 * Goal: what holds keys is closed to other users of the machine, also when it was there before with
 * another mode.
 */

import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { keepForOwner } from '../../dev/keys.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-data-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const modeOf = (path: string): number => statSync(path).mode & 0o777;

it.each([0o755, 0o750, 0o701, 0o770])('a folder of mode %o is 0700 afterwards, and that is reported once', (mode) => {
  chmodSync(folder, mode);
  const said: string[] = [];
  keepForOwner(folder, (line) => said.push(line));
  keepForOwner(folder, (line) => said.push(line));
  expect(modeOf(folder)).toBe(0o700);
  expect(said).toEqual([expect.stringContaining(folder)]);
});

it('a file of keys that others may read is for its owner alone', () => {
  const file = join(folder, 'keys.json');
  writeFileSync(file, '{}');
  chmodSync(file, 0o644);
  keepForOwner(file, () => {});
  expect(modeOf(file)).toBe(0o600);
});

it('what is closed, or not there, is left alone without a word', () => {
  const said: string[] = [];
  keepForOwner(folder, (line) => said.push(line));
  keepForOwner(join(folder, 'missing'), (line) => said.push(line));
  expect(modeOf(folder)).toBe(0o700);
  expect(said).toEqual([]);
});
