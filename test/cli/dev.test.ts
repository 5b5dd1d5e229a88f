/**
 * Goal: the command line finds a local stack of its user that runs, and no other; a port, a folder
 * or an environment that cannot be used is named with the next step. Method: notes in a folder of
 * the test's own; the stack itself is in test/e2e/dev.long and test/e2e/packages.long.
 */

import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readSettings } from '../../cli/settings.ts';
import { stopsAnswering } from '../../dev/health.ts';
import { leaveNpm, npmAncestors } from '../../dev/npm.ts';
import { describeListenFailure, listenFailure } from '../../dev/ports.ts';
import { findRunningStack, notesFolder, removeRunningStack, writeRunningStack } from '../../dev/running.ts';
import { portsOf, readPort, untilOver } from '../../dev/serve.ts';
import { provideWrangler, WRANGLER_VERSION } from '../../dev/wrangler.ts';
import manifest from '../../package.json' with { type: 'json' };

const stack = { url: 'http://127.0.0.1:1', apiKey: 'hf_1', pid: process.pid };
let env: Record<string, string>;
beforeEach(() => {
  env = { XDG_STATE_HOME: mkdtempSync(join(tmpdir(), 'holdfast-state-')) };
});
afterEach(() => rmSync(env.XDG_STATE_HOME as string, { recursive: true, force: true }));
const notes = (): string => notesFolder(env) as string;
const file = (): string => join(notes(), `${process.pid}.json`);

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
  const { port } = new URL(stack.url);
  for (const other of ['http://127.0.0.1:2', `http://localhost.example:${port}`, `https://127.0.0.1:${port}`])
    expect(() => readSettings({ url: other }, env)).toThrow(/no API key/);
  expect(readSettings({ url: `${stack.url}/` }, env)).toEqual({ url: stack.url, apiKey: stack.apiKey });
  expect(() => readSettings({ apiKey: 'k' }, env)).toThrow(/no coordinator/);
});

test('its note is for its owner alone, and is removed by the stack that wrote it', () => {
  expect(writeRunningStack(env, stack)).toBeNull();
  expect(readdirSync(notes())).toEqual([`${process.pid}.json`]);
  expect(statSync(file()).mode & 0o777).toBe(0o600);
  removeRunningStack(env, stack.pid + 1);
  expect(findRunningStack(env)).toEqual({ kind: 'running', stack });
  removeRunningStack(env, stack.pid);
  expect(findRunningStack(env)).toEqual({ kind: 'none' });
});

test('of two stacks the newest is found, and its end does not hide the other', () => {
  const other = { url: 'http://127.0.0.1:2', apiKey: 'hf_2', pid: process.ppid };
  writeRunningStack(env, other, 1000);
  writeRunningStack(env, stack, 2000);
  expect(findRunningStack(env)).toEqual({ kind: 'running', stack });
  removeRunningStack(env, stack.pid);
  expect(readSettings({}, env)).toEqual({ url: other.url, apiKey: other.apiKey });
});

test('a folder for the note that cannot be written is reported, and leaves nothing behind', () => {
  mkdirSync(join(env.XDG_STATE_HOME as string, 'holdfast'));
  writeFileSync(notes(), 'a file');
  expect(writeRunningStack(env, stack)).toMatch(/EEXIST|ENOTDIR/);
  removeRunningStack(env, stack.pid);
  rmSync(notes());
  mkdirSync(file(), { recursive: true });
  writeFileSync(join(file(), 'x'), '');
  expect(writeRunningStack(env, stack)).toMatch(/EISDIR|ENOTEMPTY|EEXIST|directory/);
  expect(readdirSync(notes())).toEqual([`${process.pid}.json`]);
});

test.each(['', '{', '{}', 'null', '{"url":1,"apiKey":"k","pid":1}'])('a note of %j counts as none', (text) => {
  writeRunningStack(env, stack);
  writeFileSync(file(), text);
  expect(() => readSettings({}, env)).toThrow(/holdfast dev/);
});

test('a stack that ended without removing its note is named, and the next stack removes the note', () => {
  mkdirSync(notes(), { recursive: true });
  // Above the largest pid of Linux and macOS; and a process with this pid that is another one.
  const gone = { ...stack, pid: 2 ** 30, start: 'x', since: 2 };
  const reused = { ...stack, pid: process.ppid, start: 'x', since: 1 };
  for (const note of [gone, reused]) writeFileSync(join(notes(), `${note.pid}.json`), JSON.stringify(note));
  expect(findRunningStack(env)).toEqual({ kind: 'gone', pid: 2 ** 30 });
  expect(() => readSettings({}, env)).toThrow(/has ended.*holdfast dev/);
  writeRunningStack(env, stack);
  expect(readdirSync(notes())).toEqual([`${process.pid}.json`]);
});

test('jobs get the environment without what npm adds', () => {
  const given = {
    PATH: '/p/node_modules/.bin:/p/sub/node_modules/.bin:/node_modules/.bin:/other/node_modules/.bin:/x/node-gyp-bin:/usr/bin',
    npm_execpath: '/npm/bin/npm-cli.js',
    npm_node_execpath: '/usr/bin/node',
    npm_package_name: 'p',
    npm_config_local_prefix: '/p',
    npm_config_yes: 'true',
    NPM_CONFIG_REGISTRY: 'r',
    INIT_CWD: '/p/sub',
    NODE: '/usr/bin/node',
    COLOR: '0',
    EDITOR: 'vi',
  };
  leaveNpm(given, ['/q']);
  expect(given).toEqual({ PATH: '/other/node_modules/.bin:/usr/bin', NPM_CONFIG_REGISTRY: 'r' });
});

test('without npm above the environment stays as it is', () => {
  const given = { PATH: '/p/node_modules/.bin:/usr/bin', npm_config_registry: 'r', COLOR: '1', EDITOR: 'vi', NODE: '/n' };
  const before = { ...given };
  leaveNpm(given, ['/p']);
  expect(given).toEqual(before);
});

test('npm is found above the shell that it starts programs with; otherwise the parent counts', () => {
  const process = (pid: number, parent: number, command: string) => ({ pid, parent, command, group: pid, session: null });
  const shell = process(30, 20, "sh -c 'holdfast' dev");
  const user = process(10, 1, 'bash');
  expect(npmAncestors(30, [user, process(20, 10, 'npm exec holdfast dev'), shell])).toEqual([30, 20]);
  expect(npmAncestors(20, [user, process(20, 10, 'node /usr/lib/node_modules/npm/bin/npx-cli.js holdfast dev')])).toEqual([20]);
  expect(npmAncestors(30, [user, process(20, 10, 'yarn holdfast dev'), shell])).toEqual([30]);
});

test('a port is a number up to 65535, and 0 is any', () => {
  const read = (text: string | undefined) => readPort(text, 8787, '--port');
  expect([read(undefined), read('0'), read('65535')]).toEqual([8787, undefined, 65_535]);
  for (const text of ['65536', '-1', 'abc', '']) {
    expect(() => readPort(text, 1, '--runner-port')).toThrow(
      `--runner-port must be a whole number from 0 to 65535 (0 picks a free port), not "${text}"`,
    );
  }
  expect(() => portsOf({ port: '9000', runnerPort: '9000' })).toThrow(/--port and --runner-port are both 9000/);
  expect(portsOf({ port: '0', runnerPort: '0' })).toEqual({});
});

test('a port that cannot be listened on is reported with the cause and the flag', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((done) => server.once('listening', done));
  const { port } = server.address() as { port: number };
  expect(await listenFailure(port)).toBe('EADDRINUSE');
  await new Promise((done) => server.close(done));
  expect(await listenFailure(port)).toBeNull();
  expect(describeListenFailure('EADDRINUSE', 8788, '--runner-port')).toMatch(/8788 is in use\. Choose another with --runner-port/);
  const denied = describeListenFailure('EACCES', 80, '--port');
  expect(denied).toContain('EACCES');
  expect(denied).not.toContain('in use');
});

test('without npm, and without a folder to download into, the way without a download is named', async () => {
  const search = { from: join(env.XDG_STATE_HOME as string, 'x.mjs'), note: () => {}, signal: new AbortController().signal };
  const beside = /npm install wrangler@4/;
  await expect(provideWrangler({ ...search, env: {} })).rejects.toThrow(/no home folder.*npm install wrangler@4/);
  const cache = join(env.XDG_STATE_HOME as string, 'cache');
  const before = process.env.PATH;
  process.env.PATH = join(env.XDG_STATE_HOME as string, 'empty');
  try {
    await expect(provideWrangler({ ...search, env: { XDG_CACHE_HOME: cache } })).rejects.toThrow(/there is no npm on the PATH/);
  } finally {
    process.env.PATH = before;
  }
  expect(readdirSync(join(cache, 'holdfast'))).toEqual([]);
  writeFileSync(join(cache, 'file'), '');
  await expect(provideWrangler({ ...search, env: { XDG_CACHE_HOME: join(cache, 'file') } })).rejects.toThrow(beside);
});

test('the wrangler that is downloaded is the one of the tests', () => {
  expect(WRANGLER_VERSION).toBe(manifest.devDependencies.wrangler);
});

test('a coordinator that misses checks in a row does not answer any more; one answer between begins again', async () => {
  const answers = [true, false, false, true, false, false, false];
  const asked: boolean[] = [];
  const isHealthy = async () => {
    const answer = answers.shift() ?? true;
    asked.push(answer);
    return answer;
  };
  const times = { everyMs: 1, failures: 3 };
  expect(await stopsAnswering(isHealthy, new AbortController().signal, times)).toBe(true);
  expect(asked).toEqual([true, false, false, true, false, false, false]);
  expect(await stopsAnswering(async () => false, AbortSignal.abort(), times)).toBe(false);
});

test('a coordinator that does not answer is started again, and the stack goes on', async () => {
  const never = new Promise<never>(() => {});
  const notes: string[] = [];
  let restarts = 0;
  let end = (_: 'signal') => {};
  const ended = new Promise<'signal'>((resolve) => {
    end = resolve;
  });
  const fake = {
    crashed: () => never,
    silent: async () => restarts === 0 || never,
    restart: async () => {
      restarts += 1;
      end('signal');
    },
  };
  expect(await untilOver(fake, ended, (text) => notes.push(text))).toBe('signal');
  expect([restarts, notes]).toEqual([1, [expect.stringContaining('started again'), 'the coordinator answers again']]);
  const broken = { ...fake, silent: async () => true, restart: () => Promise.reject(new Error('the port 8787 is in use')) };
  expect(await untilOver(broken, never, () => {})).toBe('the port 8787 is in use');
});
