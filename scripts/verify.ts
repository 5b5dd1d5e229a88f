/**
 * `npm run verify`: everything that CI runs. Every step runs even when an earlier one failed, so
 * that one run shows all failures.
 */

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './run.ts';
import { ROOT } from './stack.ts';

const modules = join(ROOT, 'node_modules');
const tsc = join(modules, 'typescript', 'bin', 'tsc');

const steps: [name: string, program: string, args: string[]][] = [
  ['lint and format', process.execPath, [join(modules, '@biomejs', 'biome', 'bin', 'biome'), 'check', '.']],
  ['types, Worker', process.execPath, [tsc, '--noEmit', '-p', 'tsconfig.json']],
  ['types, Node', process.execPath, [tsc, '--noEmit', '-p', 'tsconfig.node.json']],
  ['types, page', process.execPath, [tsc, '--noEmit', '-p', 'tsconfig.dashboard.json']],
  ['types, browser tests', process.execPath, [tsc, '--noEmit', '-p', 'tsconfig.browser.json']],
  ['types, examples: API', process.execPath, [tsc, '--noEmit', '-p', 'examples/api-worker']],
  ['types, examples: page', process.execPath, [tsc, '--noEmit', '-p', 'examples/viewer-page']],
  ['types, examples: agent page', process.execPath, [tsc, '--noEmit', '-p', 'examples/agent-page']],
  ['types, examples: processes', process.execPath, [tsc, '--noEmit', '-p', 'examples/sandbox-processes']],
  ['packages', process.execPath, [join(ROOT, 'scripts', 'check-packages.ts')]],
  ['dependencies', process.execPath, [join(ROOT, 'scripts', 'audit.ts')]],
  ['tests', process.execPath, [join(ROOT, 'scripts', 'test.ts'), '--all']],
];

const folder = mkdtempSync(join(tmpdir(), 'holdfast-verify-'));
const summary = join(folder, 'tests.txt');
process.env.HOLDFAST_TEST_SUMMARY = summary;

const results: { name: string; code: number; ms: number }[] = [];
for (const [name, program, args] of steps) {
  process.stdout.write(`\n── ${name}\n`);
  const begun = Date.now();
  const code = await run(program, args);
  results.push({ name, code, ms: Date.now() - begun });
}

process.stdout.write('\n');
for (const { name, code, ms } of results) {
  const verdict = code === 0 ? 'ok    ' : 'FAILED';
  process.stdout.write(`  ${verdict}  ${name.padEnd(22)} ${(ms / 1000).toFixed(1)} s${code === 0 ? '' : `  (exit ${code})`}\n`);
}
// Last, since CI reads the totals of a run at the end of its output.
if (existsSync(summary)) process.stdout.write(`\n${readFileSync(summary, 'utf8')}`);
rmSync(folder, { recursive: true, force: true });
process.exit(results.some(({ code }) => code !== 0) ? 1 : 0);
