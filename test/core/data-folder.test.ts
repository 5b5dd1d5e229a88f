/**
 * Goal: a local stack takes a folder that is missing, empty or its own, and changes no other. What
 * holds keys is closed to other users of the machine, also when it was there before with another
 * mode.
 */

import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { claimDataFolder, inspectDataFolder, MARK_FILE } from '../../dev/data-folder.ts';
import { keepForOwner, readKeys } from '../../dev/keys.ts';
import { Stack } from '../../scripts/stack.ts';

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

const KEYS = { apiKey: 'hf_1', signingKey: 's', runnerToken: 'r', callbackKey: 'whsec_1' };

it('a folder that is missing or empty is taken and marked, and is its own afterwards', () => {
  for (const data of [join(folder, 'a', 'b'), folder]) {
    if (data === folder) rmSync(join(folder, 'a'), { recursive: true });
    expect(inspectDataFolder(data).kind).toBe(data === folder ? 'empty' : 'missing');
    claimDataFolder(data);
    expect(readdirSync(data)).toEqual([MARK_FILE]);
    expect(inspectDataFolder(data)).toEqual({ kind: 'own' });
    claimDataFolder(data);
  }
});

it('a folder with the keys of a stack from before there was a mark is its own', () => {
  writeFileSync(join(folder, 'keys.json'), JSON.stringify(KEYS));
  expect(inspectDataFolder(folder)).toEqual({ kind: 'own' });
});

it.each(['{"apiKey":"mine"}', 'not JSON', ''])(
  'a folder of something else is refused and not changed (keys.json: %j)',
  async (keys) => {
    mkdirSync(join(folder, 'worker'));
    writeFileSync(join(folder, 'worker', 'index.ts'), 'mine');
    writeFileSync(join(folder, 'keys.json'), keys);
    chmodSync(folder, 0o755);
    chmodSync(join(folder, 'keys.json'), 0o644);
    await expect(Stack.start({ data: folder })).rejects.toThrow(/no local stack wrote.*--data.*nothing was changed/);
    expect(readdirSync(folder).sort()).toEqual(['keys.json', 'worker']);
    expect(readFileSync(join(folder, 'worker', 'index.ts'), 'utf8')).toBe('mine');
    expect(modeOf(folder)).toBe(0o755);
    expect(modeOf(join(folder, 'keys.json'))).toBe(0o644);
  },
);

it('a path that is not a folder, or below one, is refused with the cause', () => {
  const file = join(folder, 'file');
  writeFileSync(file, '');
  expect(inspectDataFolder(file)).toMatchObject({ kind: 'refused', message: expect.stringContaining('it is not a folder') });
  expect(() => claimDataFolder(join(file, 'below'))).toThrow(/cannot be used: .*folder.*--data/);
});

it('keys are made once, whole, and kept', () => {
  claimDataFolder(folder);
  const keys = readKeys(folder, () => {});
  expect(readKeys(folder, () => {})).toEqual(keys);
  expect(readdirSync(folder).sort()).toEqual([MARK_FILE, 'keys.json']);
  expect(modeOf(join(folder, 'keys.json'))).toBe(0o600);
  const { callbackKey: _, ...older } = keys;
  writeFileSync(join(folder, 'keys.json'), JSON.stringify(older));
  expect(readKeys(folder, () => {})).toMatchObject(older);
  expect(JSON.parse(readFileSync(join(folder, 'keys.json'), 'utf8')).callbackKey).toMatch(/^whsec_/);
});

it.each(['', '{"apiKey":', 'null', '[1]', '{"apiKey":1}'])('keys that cannot be read are named, and kept: %j', (text) => {
  claimDataFolder(folder);
  const file = join(folder, 'keys.json');
  writeFileSync(file, text);
  expect(() => readKeys(folder, () => {})).toThrow(new RegExp(`${file} (is not JSON|does not hold keys).*remove it`));
  expect(readFileSync(file, 'utf8')).toBe(text);
});
