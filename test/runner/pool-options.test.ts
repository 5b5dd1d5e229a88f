/**
 * Goal: the two kinds of runner are told apart, and what is wrong with an option is named.
 * Method: the readers of options and permits, with folders and links on disk.
 */

import { chmodSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Launch } from '../../protocol/launch.ts';
import { IDENTITY_FILE, takeIdentity } from '../../runner/pool/identity.ts';
import { connectUrl, dialsOut, readPoolOptions } from '../../runner/pool/options.ts';
import { permit, readPermits } from '../../runner/pool/permits.ts';
import { POOL_KEY, TENANT } from '../support/fake-pool.ts';

let base: string;
beforeEach(() => {
  base = realpathSync(mkdtempSync(join(tmpdir(), 'holdfast-pool-')));
});
afterEach(() => rmSync(base, { recursive: true, force: true }));

const URL_ARG = ['--url', 'https://holdfast.test'];
const read = (args: string[], env: NodeJS.ProcessEnv = { HOLDFAST_RUNNER_KEY: POOL_KEY }) =>
  readPoolOptions([...URL_ARG, ...args], env);
const options = (args: string[], env?: NodeJS.ProcessEnv) => {
  const reading = read(args, env);
  if (reading.kind !== 'options') throw new Error(JSON.stringify(reading));
  return reading.options;
};

describe('options', () => {
  it('a runner dials out when it is given an address or a key; otherwise it listens', () => {
    expect(dialsOut([], {})).toBe(false);
    expect(dialsOut(['--port', '0'], { HOLDFAST_URL: 'https://holdfast.test' })).toBe(false);
    for (const args of [['--url', 'x'], ['--url=x'], ['--key', 'k'], ['--key-file', 'f']]) expect(dialsOut(args, {})).toBe(true);
    expect(dialsOut([], { HOLDFAST_RUNNER_KEY: POOL_KEY })).toBe(true);
  });

  it('have defaults, and each runner has the labels os, arch and host', () => {
    const given = options([]);
    expect(given).toMatchObject({ tenant: TENANT, pool: 'default', slots: 1, once: false, idleExitMs: null, runAs: null });
    expect(Object.keys(given.labels).sort()).toEqual(['arch', 'host', 'os']);
    expect(given.spool).toMatch(/\/\.holdfast\/pools\/default$/);
  });

  it('take labels, a key file and times', () => {
    const file = join(base, 'key');
    writeFileSync(file, `${POOL_KEY}\n`);
    const given = options(['--key-file', file, '--label', 'gpu=a100', '--label', 'os=mine', '--idle-exit', '10m'], {});
    expect(given.labels).toMatchObject({ gpu: 'a100', os: 'mine' });
    expect(given.idleExitMs).toBe(600_000);
    expect(given.credential.current()).toBe(POOL_KEY);
  });

  it.each([
    [['--pool', 'a/b'], '--pool'],
    [['--name', ''], '--name'],
    [['--name', 'x\ny'], '--name'],
    [['--label', 'gpu'], '--label "gpu"'],
    [['--label', '=x'], '--label'],
    [Array.from({ length: 31 }, (_, index) => ['--label', `l${index}=x`]).flat(), 'at most 32 labels'],
    [['--slots', '0'], '--slots'],
    [['--slots', '1025'], '--slots'],
    [['--once', '--slots', '2'], '--once'],
    [['--idle-exit', '10'], '--idle-exit'],
    [['--idle-exit', '0s'], '--idle-exit'],
    [['--status-port', '65536'], '--status-port'],
    [['--coordinator', 'x'], '--coordinator'],
    [['--port', '0'], '--port was for a runner that listens'],
    [['--drain-on-term'], '--drain-on-term was for a runner that listens'],
    [['--key', 'hf_api-key'], 'not a runner key'],
    [['--key-file', '/nonexistent/key'], 'cannot be read'],
    [['--nonsense'], '--nonsense'],
  ])('%j is refused, and the message names it', (args, named) => {
    expect(read(args)).toEqual({ kind: 'wrong', message: expect.stringContaining(named) });
  });

  it('need an address and a key, and no message shows a key', () => {
    expect(readPoolOptions(['--key', POOL_KEY], {})).toMatchObject({ message: expect.stringContaining('--url') });
    expect(read([], {})).toMatchObject({ message: expect.stringContaining('holdfast runners key create') });
    expect(JSON.stringify(read(['--key', `${POOL_KEY}x`]))).not.toContain(POOL_KEY);
  });

  it('the address of the socket keeps a path, and drops a query', () => {
    expect(connectUrl(new URL('https://holdfast.test'), 'default')).toBe('wss://holdfast.test/v1/pools/default/connect');
    expect(connectUrl(new URL('http://h:8787/base/?x=1#y'), 'a:b')).toBe('ws://h:8787/base/v1/pools/a%3Ab/connect');
  });
});

describe('the id of a runner', () => {
  it('is made once for a folder, and belongs to one pool', () => {
    const first = takeIdentity(base, { tenant: TENANT, pool: 'default' });
    expect(first).toMatchObject({ ok: true, identity: { runnerId: expect.stringMatching(/^r_/) } });
    expect(takeIdentity(base, { tenant: TENANT, pool: 'default' })).toEqual(first);
    expect(takeIdentity(base, { tenant: TENANT, pool: 'gpu' })).toEqual({ ok: false, message: expect.stringContaining('--spool') });
    expect(takeIdentity(base, { tenant: 'other', pool: 'default' })).toMatchObject({ ok: false });
  });

  it('that is damaged is refused by name, and left as it is', () => {
    const file = join(base, IDENTITY_FILE);
    writeFileSync(file, '{"runnerId":');
    expect(takeIdentity(base, { tenant: TENANT, pool: 'default' })).toEqual({ ok: false, message: expect.stringContaining(file) });
    expect(readFileSync(file, 'utf8')).toBe('{"runnerId":');
  });
});

describe('permits', () => {
  const launch = (change: Partial<Launch>): Launch => ({ command: ['tool'], cwd: null, env: {}, ...change }) as Launch;
  const program = (...path: string[]) => {
    const file = join(base, ...path);
    mkdirSync(join(file, '..'), { recursive: true });
    writeFileSync(file, '#!/bin/sh\n');
    chmodSync(file, 0o755);
    return file;
  };
  const permitsOf = (commands: string[], folders: string[], PATH: string) => {
    const reading = readPermits(commands, folders, { PATH });
    if (!reading.ok) throw new Error(reading.message);
    return reading.permits;
  };

  it('without any everything is allowed, and the command stays as it was given', () => {
    const permits = permitsOf([], [], '/bin');
    expect(permit(permits, launch({ cwd: base }), '/', {})).toEqual({ ok: true, command: ['tool'], cwd: base });
    expect(permit(permits, launch({}), base, {})).toMatchObject({ ok: true, cwd: base });
    expect(permit(permits, launch({ cwd: join(base, 'no') }), '/', {})).toMatchObject({ ok: false, code: 'cwd_missing' });
  });

  it('[PM1] [PM2] --allow-command compares files, and starts the path that was checked', () => {
    const tool = program('bin', 'tool');
    program('evil', 'tool');
    symlinkSync(tool, join(base, 'evil', 'other'));
    const permits = permitsOf(['tool'], [], join(base, 'bin'));
    const env = { PATH: join(base, 'bin') };
    const asked = (change: Partial<Launch>) => permit(permits, launch(change), base, env);
    expect(asked({ command: ['tool', '-x'] })).toEqual({ ok: true, command: [tool, '-x'], cwd: base });
    expect(asked({ command: [tool] })).toMatchObject({ ok: true });
    expect(asked({ command: ['./bin/tool'] })).toMatchObject({ ok: true, command: [tool] });
    symlinkSync(join(base, 'bin'), join(base, 'link'));
    expect(asked({ command: [join(base, 'link', 'tool')] })).toMatchObject({ ok: true, command: [tool] });
    for (const refused of [
      { command: ['tool'], env: { PATH: join(base, 'evil') } },
      { command: [join(base, 'evil', 'tool')] },
      { command: [join(base, 'evil', 'other')] },
      { command: ['nothing'] },
      { command: ['tool'], env: { LD_PRELOAD: '/x.so' } },
    ])
      expect(asked(refused), JSON.stringify(refused)).toMatchObject({ ok: false, code: 'command_not_allowed' });
  });

  it('[PM3] --allow-cwd resolves links, and a start without a folder gets the first one', () => {
    for (const name of ['allowed/in', 'allowed-not', 'elsewhere']) mkdirSync(join(base, name), { recursive: true });
    symlinkSync(join(base, 'elsewhere'), join(base, 'allowed', 'out'));
    symlinkSync(join(base, 'allowed'), join(base, 'way-in'));
    const permits = permitsOf([], [join(base, 'way-in')], '/bin');
    const asked = (cwd: string | null) => permit(permits, launch({ cwd }), base, {});
    expect(asked(join(base, 'allowed'))).toMatchObject({ ok: true, cwd: join(base, 'allowed') });
    expect(asked(join(base, 'way-in', 'in'))).toMatchObject({ ok: true, cwd: join(base, 'allowed', 'in') });
    expect(asked(null)).toMatchObject({ ok: true, cwd: join(base, 'allowed') });
    for (const folder of ['elsewhere', 'allowed-not', 'allowed/out', 'allowed/../elsewhere', 'missing', 'allowed/missing', ''])
      expect(asked(join(base, folder)), folder).toMatchObject({ ok: false, code: 'cwd_not_allowed' });
  });

  it('an option that names nothing is refused', () => {
    expect(readPermits(['no-such-program'], [], { PATH: base })).toMatchObject({ ok: false });
    expect(readPermits([], [join(base, 'no')], {})).toMatchObject({ ok: false });
  });
});
