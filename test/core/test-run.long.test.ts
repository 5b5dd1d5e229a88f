/**
 * Goal: `npm test` cannot hang, and leaves nothing behind. Method: vitest runs planted files under
 * the watchdog, with a short limit for silence; each planted process has a mark of its own among
 * its arguments.
 */

import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ROOT } from '../../scripts/stack.ts';
import { runTests, type TestRunResult } from '../../scripts/test-run.ts';
import { summaryLines } from '../../scripts/test-summary.ts';
import { listProcesses } from '../../wrapper/processes.ts';
import { until } from '../support/wrapper-run.ts';

/** Longer than vitest takes to its first file on a loaded machine. */
const SILENCE_MS = 12_000;

let folder: string;
let mark: string;
beforeEach(() => {
  // In here the planted files find vitest.
  const parent = join(ROOT, 'node_modules', '.holdfast-planted');
  mkdirSync(parent, { recursive: true });
  folder = mkdtempSync(join(parent, 'run-'));
  mark = `planted-${randomUUID()}`;
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const left = (): string[] => listProcesses().flatMap(({ command }) => (command.includes(mark) ? [command] : []));

/** A process that only SIGKILL ends, in a group of its own. */
const stubborn = (): string =>
  `const planted = spawn(process.execPath, ['-e', 'process.on("SIGTERM", () => {}); console.log("up"); setInterval(() => {}, 1000)', '${mark}'],
     { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
   await once(planted.stdout, 'data');
   planted.unref(); planted.stdout.destroy();`;

function plant(files: Record<string, string>): void {
  const imports = `import { spawn } from 'node:child_process'; import { once } from 'node:events'; import { expect, it } from 'vitest';\n`;
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), imports + text);
  writeFileSync(
    join(folder, 'vitest.config.ts'),
    "export default { test: { include: ['*.test.ts'], testTimeout: 0, hookTimeout: 0 } };\n",
  );
}

async function run(files: Record<string, string>): Promise<{ result: TestRunResult; output: string; summary: string }> {
  plant(files);
  let output = '';
  const onOutput = (chunk: Buffer): void => {
    output += chunk.toString();
  };
  const result = await runTests(['--root', folder, '--maxWorkers=1'], {
    cwd: folder,
    silenceMs: SILENCE_MS,
    leftoverMs: 1000,
    onOutput,
  });
  return { result, output, summary: summaryLines([result], 1234).join('\n') };
}

describe('a test run that falls silent', { timeout: 120_000 }, () => {
  it.each([
    ['waits for ever', 'await new Promise(() => {});'],
    ['never gives the processor back', 'for (;;);'],
  ])('is ended, with a child that ignores SIGTERM, when a test %s', async (_, forever) => {
    const { result, summary } = await run({
      'stands-still.test.ts': `it('hangs', async () => { ${stubborn()} ${forever} });`,
    });
    expect(left()).toEqual([]);
    expect(result.code).not.toBe(0);
    expect(summary).toMatch(/FAILED {2}stands-still\.test\.ts › hangs: No output and no progress for 12 s; the run was ended\./);
  });

  it('is ended when a file hangs before its first test', async () => {
    const { result, summary } = await run({
      'never-loads.test.ts': "await new Promise(() => {}); it('is not reached', () => {});",
    });
    expect(result.code).not.toBe(0);
    expect(summary).toMatch(/FAILED {2}never-loads\.test\.ts: No output and no progress/);
  });
});

it('a test run that gets a signal ends soon, begins no other part, and leaves nothing behind', { timeout: 120_000 }, async () => {
  plant({ 'waits.test.ts': `it('waits', async () => { ${stubborn()} await new Promise(() => {}); });` });
  const module = JSON.stringify(join(ROOT, 'scripts', 'test-run.ts'));
  const program = `import { runTests } from ${module};
    const part = () => runTests(['--root', '.'], { cwd: '.', onOutput: () => {} });
    const [first, second] = [await part(), await part()];
    console.log(JSON.stringify([first.code > 0, first.failures[0].message, second.code, second.files.length]));`;
  const runner = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  runner.stdout.on('data', (chunk) => {
    said += chunk;
  });
  const ended = new Promise((done) => runner.on('close', done));
  await until(() => left().length > 0, 'the planted process is up');
  runner.kill('SIGTERM');
  await ended;
  expect(JSON.parse(said)).toEqual([true, 'by SIGTERM', 143, 0]);
  expect(left()).toEqual([]);
});

describe('a test run that ends', { timeout: 120_000 }, () => {
  it('fails and names the process when a test left one behind, which is ended', async () => {
    const { result, summary } = await run({ 'careless.test.ts': `it('leaves a process', async () => { ${stubborn()} });` });
    expect(left()).toEqual([]);
    expect(result.code).not.toBe(0);
    expect(summary).toMatch(/FAILED {2}left behind: .* -e process\.on\("SIGTERM"/);
  });

  it('closes with what failed, and with totals in the form of vitest', async () => {
    const { result, output, summary } = await run({
      'mixed.test.ts': "it('adds', () => expect(1 + 1).toBe(3)); it('passes', () => {}); it.skip('later', () => {});",
      'broken.test.ts': "throw new Error('cannot load');",
    });
    expect(result.code).toBe(1);
    expect(output).toContain('expected 2 to be 3');
    expect(summary.split('\n').sort()).toEqual([
      '      Tests  1 failed | 1 passed | 1 skipped (3)',
      '   Duration  1.2 s, FAILED',
      '  FAILED  broken.test.ts: cannot load',
      '  FAILED  mixed.test.ts › adds: expected 2 to be 3 // Object.is equality',
      ' Test Files  2 failed (2)',
    ]);
  });

  it('is not successful when there was no test', async () => {
    const { result, summary } = await run({});
    expect(result.code).toBe(1);
    expect(summary).toContain('The log above says more');
  });
});
