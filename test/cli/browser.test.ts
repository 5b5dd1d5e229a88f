/**
 * Goal: an address reaches the platform's opener as one argument, read by no shell. Method: a
 * table, and a program of that name that writes down what it got.
 */

import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { browserCommand, openInBrowser } from '../../cli/browser.ts';
import { until } from '../support/fake-session.ts';

const URL_WITH_TRAPS = 'https://h.example/sessions/s/executions/e?a=1&b=$(id);`id`#ticket=x y';

let folder: string;
const path = process.env.PATH;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'holdfast-open-'));
  process.env.PATH = folder;
});
afterEach(() => {
  process.env.PATH = path;
  rmSync(folder, { recursive: true, force: true });
});

test.each([
  ['linux', 'xdg-open'],
  ['freebsd', 'xdg-open'],
  ['darwin', 'open'],
  ['win32', 'rundll32'],
] as const)('on %s it is %s', (platform, program) => {
  const [name, args] = browserCommand(platform, URL_WITH_TRAPS);
  expect(name).toBe(program);
  expect(args.at(-1)).toBe(URL_WITH_TRAPS);
});

test('the opener gets the address as it is', async () => {
  const got = join(folder, 'got');
  writeFileSync(join(folder, 'xdg-open'), `#!/bin/sh\nprintf '%s|' "$#" "$1" > '${got}.tmp'\n/bin/mv '${got}.tmp' '${got}'\n`);
  chmodSync(join(folder, 'xdg-open'), 0o755);
  expect(await openInBrowser(URL_WITH_TRAPS, 'linux')).toBe(null);
  await until('the opener', () => existsSync(got), 10_000);
  expect(readFileSync(got, 'utf8')).toBe(`1|${URL_WITH_TRAPS}|`);
});

test('a missing browser is reported', async () => {
  expect(await openInBrowser(URL_WITH_TRAPS, 'linux')).toBe('there is no xdg-open');
});
