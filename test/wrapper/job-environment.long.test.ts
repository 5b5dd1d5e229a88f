/**
 * Goal: the shell between wrapper and job is not noticed by the job: command, arguments and
 * environment arrive as they were given, whatever is in them.
 * Method: real wrappers. A job prints what it was given, with NUL between the entries.
 */

import { chmodSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeCoordinator } from '../support/fake-coordinator.ts';
import { removeTemporaryFolders, runInProcess, temporaryFolder } from '../support/wrapper-run.ts';

let coordinator: FakeCoordinator;
beforeEach(async () => {
  coordinator = await new FakeCoordinator().start();
});
afterEach(async () => {
  await coordinator.stop();
  removeTemporaryFolders();
});

const PRINT = 'process.stdout.write(JSON.stringify({ args: process.argv.slice(1), env: process.env, cwd: process.cwd() }))';
const print = (...args: string[]) => [process.execPath, '-e', PRINT, '--', ...args];
const printed = (): { args: string[]; env: Record<string, string>; cwd: string } => JSON.parse(coordinator.text());

function script(folder: string, name: string, text = '#!/bin/sh\necho ran "$@"\n'): string {
  writeFileSync(join(folder, name), text);
  chmodSync(join(folder, name), 0o755);
  return join(folder, name);
}
const run = (command: string[], options: Parameters<typeof runInProcess>[2] = {}) =>
  runInProcess(coordinator, command, options).exitCode;
const end = () => coordinator.events.at(-1);

describe('the environment of a job', () => {
  it('has every variable, with names that a shell cannot assign, and values of every kind', async () => {
    const env = {
      PATH: process.env.PATH ?? '',
      'a.b': '1',
      'BASH_FUNC_x%%': '() { echo x; }',
      'npm_config_//registry.example/:_auth': 'y',
      '1st': 'digit',
      EMPTY: '',
      LINES_OF_IT: 'one\ntwo\n',
      QUOTES: `'"\\$(echo no)\`echo no\``,
      EQUALS: 'a=b=c',
      IFS: '0123456789/',
      ENV: '/nonexistent',
      PERL5OPT: '-Mnonexistent',
      UNICODE: 'größe 🦀',
    };
    expect(await run(print(), { env })).toBe(0);
    expect(printed().env).toMatchObject(env);
    expect(coordinator.text('stderr')).toBe('');
  });

  it.each(['', '/nonexistent', '.'])('has PATH %j, and the job runs', async (path) => {
    expect(await run(print('x'), { env: { PATH: path } })).toBe(0);
    expect(printed().env.PATH).toBe(path);
    expect(printed().args).toEqual(['x']);
  });

  it('has no PATH, and the job runs', async () => {
    expect(await run(print(), { env: { A: 'b' } })).toBe(0);
    expect(printed().env).toMatchObject({ A: 'b', HOLDFAST: '1' });
  });

  it('names an unknown locale: an exit code that looks like a signal is still an exit code', async () => {
    expect(await run(['/bin/sh', '-c', 'exit 137'], { env: { PATH: '/usr/bin:/bin', LC_ALL: 'xx_YY.UTF-8' } })).toBe(137);
    expect(end()).toMatchObject({ type: 'exit', data: { exitCode: 137, signal: null } });
  });

  it('is a megabyte', async () => {
    const big = Object.fromEntries(Array.from({ length: 10 }, (_, index) => [`BIG${index}`, 'x'.repeat(100_000)]));
    expect(await run(print(), { env: { PATH: process.env.PATH, ...big } })).toBe(0);
    expect(printed().env.BIG9).toHaveLength(100_000);
  });

  it('is larger than the system allows: the command was not started, and that is the verdict', async () => {
    const big = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`BIG${index}`, 'x'.repeat(130_000)]));
    expect(await run(['/bin/echo', 'must not run'], { env: { PATH: process.env.PATH, ...big } })).toBe(127);
    expect(coordinator.text()).toBe('');
    expect(end()).toMatchObject({ type: 'error', data: { code: 'spawn_failed', fatal: true } });
  });
});

describe('the command of a job', () => {
  it('keeps its arguments: empty ones, spaces, lines, quotes, patterns, options', async () => {
    const args = ['', ' ', 'a b', 'x\ny', "it's", '"', '$HOME', '*', '\\', '-e', '--', '🦀', 'x'.repeat(100_000)];
    expect(await run(print(...args))).toBe(0);
    expect(printed().args).toEqual(args);
  });

  it.each(['-dash', '-c', '--', 'A=b', 'with space', 'exit', 'über', '%s'])('is named %s', async (name) => {
    const folder = temporaryFolder();
    script(folder, name);
    expect(await run([name, 'x'], { env: { PATH: `${folder}:${process.env.PATH}` } })).toBe(0);
    expect(coordinator.text()).toBe('ran x\n');
  });

  it('is relative to its working directory', async () => {
    const cwd = temporaryFolder();
    mkdirSync(join(cwd, 'bin dir'));
    script(join(cwd, 'bin dir'), 'tool', '#!/bin/sh\npwd -P\n');
    expect(await run(['bin dir/tool'], { cwd })).toBe(0);
    expect(coordinator.text()).toContain(cwd.split('/').at(-1));
  });

  it('removes its own working directory', async () => {
    const cwd = temporaryFolder();
    expect(await run(['sh', '-c', `rmdir ${cwd} && echo gone; exit 6`], { cwd })).toBe(6);
    expect(coordinator.text()).toBe('gone\n');
  });

  it('does not exist: nothing of it is left in the spool', async () => {
    const spoolDirectory = temporaryFolder();
    expect(await run(['/nonexistent/program'], { spoolDirectory })).toBe(127);
    expect(end()).toMatchObject({ type: 'error', data: { code: 'spawn_failed' } });
    expect(readdirSync(spoolDirectory)).toEqual([]);
  });

  it.each([
    ['plain', {}],
    ['with a variable that a shell cannot assign', { 'odd.name': '1' }],
  ])('cannot be executed (%s): it was not started, and its stderr says why', async (_, more) => {
    const folder = temporaryFolder();
    // Its interpreter exists, and is no program.
    const broken = script(folder, 'broken', `#!${folder}\n`);
    expect(await run([broken], { env: { PATH: process.env.PATH, ...more } })).toBe(127);
    expect(end()).toMatchObject({ type: 'error', data: { code: 'spawn_failed', fatal: true } });
    expect(coordinator.text('stderr')).toMatch(/broken: .*permission denied/i);
  });
});
