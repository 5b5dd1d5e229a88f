/**
 * Goal: `npm run demo` keeps its promise. Method: it runs, and its last lines and its leftovers are
 * looked at.
 */

import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ROOT } from '../../scripts/stack.ts';
import { processesWith } from '../support/real-stack.ts';

/**
 * What the demo leaves is looked for here, so that another demo on this machine does not matter.
 */
let temporary: string;
beforeEach(() => {
  temporary = mkdtempSync(join(tmpdir(), 'holdfast-of-demo-'));
});
afterEach(() => rmSync(temporary, { recursive: true, force: true, maxRetries: 5 }));

it('ends 0 with at least 300 lines, none lost, none repeated, and leaves nothing behind', { timeout: 240_000 }, async () => {
  const child = spawn('npm', ['run', '--silent', 'demo'], {
    ...{ cwd: ROOT, env: { ...process.env, TMPDIR: temporary } },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let stdout = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  const code = await new Promise((done) => child.on('close', done));
  expect(code, stdout.slice(-4000)).toBe(0);

  const lines = stdout.trimEnd().split('\n');
  const [, total] = /^(\d+) lines, 0 lost, 0 repeated$/.exec(lines.at(-1) ?? '') ?? [];
  expect(Number(total), lines.at(-1)).toBeGreaterThanOrEqual(300);
  expect(stdout).toMatch(/status +completed, exit code 0/);
  expect(stdout.match(/✂ network cut/g)).toHaveLength(2);
  expect(stdout.match(/☠ coordinator killed/g)).toHaveLength(1);
  // The numbered lines themselves, each shown once.
  const numbers = lines.map((line) => /^ *│ +(\d{4,}) /.exec(line)?.[1]).filter((number) => number !== undefined);
  expect(numbers.map(Number)).toEqual(Array.from({ length: Number(total) }, (_, i) => i + 1));

  expect(processesWith(join(temporary, 'holdfast-demo-'))).toEqual([]);
  expect(readdirSync(temporary).filter((name) => name.startsWith('holdfast-demo-'))).toEqual([]);
});
