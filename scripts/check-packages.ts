/**
 * A step of `npm run verify`: publint on the tarballs of both packages, and arethetypeswrong on the
 * one that has types.
 */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { packPackages } from './packages.ts';
import { ROOT } from './stack.ts';

const modules = join(ROOT, 'node_modules');
const PUBLINT = join(modules, 'publint', 'src', 'cli.js');
const ATTW = join(modules, '@arethetypeswrong', 'cli', 'dist', 'index.js');

const folder = mkdtempSync(join(tmpdir(), 'holdfast-packages-'));
let failed = false;
try {
  const { holdfast, client } = packPackages(folder);
  const check = (script: string, ...args: string[]): void => {
    const { status } = spawnSync(process.execPath, [script, ...args], { cwd: ROOT, stdio: 'inherit' });
    failed ||= status !== 0;
  };
  check(PUBLINT, holdfast.tarball, '--strict');
  check(PUBLINT, client.tarball, '--strict');
  // The package is for ESM alone.
  check(ATTW, client.tarball, '--profile', 'esm-only', '--no-emoji');
  for (const [name, { sizeBytes, files }] of Object.entries({ holdfast, client }))
    process.stdout.write(`${name.padEnd(9)} ${(sizeBytes / 1024).toFixed(0)} KiB, ${files.length} files\n`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);
