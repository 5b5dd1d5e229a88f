/**
 * Goal: the shims in packages/holdfast/bin/ say what to do when nothing is built, and start the
 * bundle when there is one. Method: copies beside a stub.
 */

import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';

let root: string;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'holdfast-bin-'));
  cpSync(fileURLToPath(new URL('../../packages/holdfast/bin', import.meta.url)), join(root, 'bin'), { recursive: true });
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

test.each(['holdfast', 'holdfast-acp', 'holdfast-wrapper'])('%s', (name) => {
  const shim = join(root, 'bin', `${name}.mjs`);
  const unbuilt = spawnSync(process.execPath, [shim, 'x'], { encoding: 'utf8' });
  expect([unbuilt.status, unbuilt.stdout]).toEqual([125, '']);
  expect(unbuilt.stderr).toBe(`${name} is not built yet: run \`npm run build\` in the repository, then try again\n`);

  mkdirSync(join(root, 'dist'));
  writeFileSync(join(root, 'dist', `${name}.mjs`), 'console.log(JSON.stringify(process.argv.slice(2))); process.exitCode = 7;');
  const built = spawnSync(process.execPath, [shim, 'run', '--', 'a b'], { encoding: 'utf8' });
  expect([built.status, built.stdout, built.stderr]).toEqual([7, '["run","--","a b"]\n', '']);
});
