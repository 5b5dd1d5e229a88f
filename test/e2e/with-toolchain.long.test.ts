/**
 * Goal: every npm script installs what it needs exactly when it needs to, and is otherwise not
 * noticed. Method: the script in a folder of its own, with a puppet for npm.
 */

import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ROOT } from '../../scripts/stack.ts';
import { until } from '../support/real-stack.ts';

let root: string;
const at = (...parts: string[]) => join(root, ...parts);

/**
 * What `npm ci` leaves: its own copy of the lockfile, and the Node of the toolchain. It also talks
 * on stdout, as npm does.
 */
const NPM = `
const fs = require('node:fs');
fs.appendFileSync('npm-calls', process.argv.slice(2).join(' ') + '\\n');
console.log('added 1 package');
if (fs.existsSync('npm-fails')) process.exit(3);
fs.mkdirSync('node_modules/node/bin', { recursive: true });
fs.writeFileSync('node_modules/.package-lock.json', '{}');
fs.rmSync('node_modules/node/bin/node', { force: true });
fs.symlinkSync(${JSON.stringify(process.execPath)}, 'node_modules/node/bin/node');
`;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'holdfast-toolchain-'));
  mkdirSync(at('scripts'));
  copyFileSync(join(ROOT, 'scripts', 'with-toolchain.mjs'), at('scripts', 'with-toolchain.mjs'));
  writeFileSync(at('package-lock.json'), '{"version":1}');
  writeFileSync(at('npm.js'), NPM);
  writeFileSync(
    at('scripts', 'job.ts'),
    'const args: string[] = process.argv.slice(2); console.log(args.join()); process.exit(7);',
  );
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function start(script: string, ...args: string[]) {
  const child = spawn(process.execPath, [at('scripts', 'with-toolchain.mjs'), script, ...args], {
    cwd: tmpdir(),
    env: { ...process.env, npm_execpath: at('npm.js') },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const seen = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (chunk) => {
      seen[name] += chunk;
    });
  }
  const ended = new Promise<number | string | null>((done) => child.on('close', (code, signal) => done(signal ?? code)));
  return { child, seen, ended };
}

async function run(...args: string[]) {
  const { seen, ended } = start('scripts/job.ts', ...args);
  return { code: await ended, ...seen };
}

const installs = () => (existsSync(at('npm-calls')) ? readFileSync(at('npm-calls'), 'utf8').trim().split('\n').length : 0);

it('installs in a fresh clone with a word about it, keeps stdout for the program, and passes arguments and exit code on', async () => {
  const { code, stdout, stderr } = await run('--json', 'x y');
  expect([code, stdout]).toEqual([7, '--json,x y\n']);
  expect(stderr).toContain('installing dependencies');
  expect(stderr).toContain('added 1 package');
  expect(readFileSync(at('npm-calls'), 'utf8')).toMatch(/^ci /);
});

it('installs again only when the lockfile has changed, not when a checkout has touched it', async () => {
  await run();
  expect((await run()).stderr).toBe('');
  const later = new Date(Date.now() + 60_000);
  utimesSync(at('package-lock.json'), later, later);
  expect((await run()).stderr).toBe('');
  expect(installs()).toBe(1);
  writeFileSync(at('package-lock.json'), '{"version":2}');
  utimesSync(at('package-lock.json'), later, later);
  expect((await run()).code).toBe(7);
  expect(installs()).toBe(2);
});

it('installs when an earlier installation was cut short', async () => {
  await run();
  rmSync(at('node_modules', '.package-lock.json'));
  expect((await run()).code).toBe(7);
  expect(installs()).toBe(2);
});

it('reports a failed npm and exits 1', async () => {
  writeFileSync(at('npm-fails'), '');
  const { code, stdout, stderr } = await run();
  expect([code, stdout]).toEqual([1, '']);
  expect(stderr).toContain('npm ci failed (exit 3)');
});

it('passes a signal on, and ends as the program ends', async () => {
  await run();
  writeFileSync(
    at('scripts', 'wait.ts'),
    "process.on('SIGTERM', () => process.exit(9)); console.log('up'); setInterval(() => {}, 1000);",
  );
  const polite = start('scripts/wait.ts');
  await until(() => polite.seen.stdout === 'up\n', 'it is up');
  polite.child.kill('SIGTERM');
  expect(await polite.ended).toBe(9);

  writeFileSync(at('scripts', 'die.ts'), "process.kill(process.pid, 'SIGKILL');");
  expect(await start('scripts/die.ts').ended).toBe('SIGKILL');
});
