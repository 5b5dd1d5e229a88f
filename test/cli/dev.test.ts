/**
 * Goal: the command line finds the local stack of its user, and no other. Method: notes in a folder
 * of the test's own; the stack itself is in test/e2e/packages.long.
 */

import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readSettings } from '../../cli/settings.ts';
import { readRunningStack, removeRunningStack, writeRunningStack } from '../../dev/running.ts';
import { leaveNpm, readPort } from '../../dev/serve.ts';
import { WRANGLER_VERSION } from '../../dev/wrangler.ts';
import manifest from '../../package.json' with { type: 'json' };

const stack = { url: 'http://127.0.0.1:1', apiKey: 'hf_1', pid: process.pid };
let env: Record<string, string>;
beforeEach(() => {
  env = { XDG_STATE_HOME: mkdtempSync(join(tmpdir(), 'holdfast-state-')) };
});
afterEach(() => rmSync(env.XDG_STATE_HOME as string, { recursive: true, force: true }));
const file = (): string => join(env.XDG_STATE_HOME as string, 'holdfast', 'dev.json');

test('a running stack is used where neither flags nor environment name a coordinator', () => {
  writeRunningStack(env, stack);
  expect(readSettings({}, env)).toEqual({ url: stack.url, apiKey: stack.apiKey });
  expect(readSettings({ url: 'http://flag', apiKey: 'k' }, env)).toEqual({ url: 'http://flag', apiKey: 'k' });
  expect(readSettings({}, { ...env, HOLDFAST_URL: 'http://env', HOLDFAST_API_KEY: 'k' })).toEqual({
    url: 'http://env',
    apiKey: 'k',
  });
});

test('its key is not sent to a URL that was given without one, nor a given key to it', () => {
  writeRunningStack(env, stack);
  expect(() => readSettings({ url: 'http://elsewhere' }, env)).toThrow(/no API key/);
  expect(() => readSettings({ apiKey: 'k' }, env)).toThrow(/no coordinator/);
});

test('its note is for its owner alone, and is removed by the stack that wrote it', () => {
  writeRunningStack(env, stack);
  expect(statSync(file()).mode & 0o777).toBe(0o600);
  removeRunningStack(env, stack.pid + 1);
  expect(readRunningStack(env)).toEqual(stack);
  removeRunningStack(env, stack.pid);
  expect(readRunningStack(env)).toBeNull();
});

test.each(['', '{', '{}', 'null', '{"url":1,"apiKey":"k","pid":1}'])('a note of %j counts as none', (text) => {
  writeRunningStack(env, stack);
  writeFileSync(file(), text);
  expect(() => readSettings({}, env)).toThrow(/holdfast dev/);
});

test('a note whose process is gone counts as none', () => {
  // Above the largest pid of Linux and macOS.
  writeRunningStack(env, { ...stack, pid: 2 ** 30 });
  expect(readRunningStack(env)).toBeNull();
});

test('jobs get the environment without what npm adds', () => {
  const given = {
    PATH: '/p/node_modules/.bin:/other/node_modules/.bin:/x/node-gyp-bin:/usr/bin',
    npm_package_name: 'p',
    npm_config_registry: 'r',
    INIT_CWD: '/p',
  };
  leaveNpm(given, ['/p/q']);
  expect(given).toEqual({ PATH: '/other/node_modules/.bin:/usr/bin', npm_config_registry: 'r' });
});

test('a port is a number up to 65535, and 0 is any', () => {
  expect([readPort(undefined, 8787), readPort('0', 8787), readPort('65535', 8787)]).toEqual([8787, undefined, 65_535]);
  for (const text of ['65536', '-1', 'x', '']) expect(() => readPort(text, 1)).toThrow(/not a port/);
});

test('the wrangler that is downloaded is the one of the tests', () => {
  expect(WRANGLER_VERSION).toBe(manifest.devDependencies.wrangler);
});
