/**
 * `npm test`: builds what the tests run as a user would, then runs the quick tests. `--long` (`npm
 * run test:long`) runs the others, which are named `*.long.test.ts`, and `--all` both. With
 * arguments of vitest it runs what they choose, quick or long.
 *
 * Without such arguments in two lanes side by side. The tests on real stacks wait for most of their
 * time, and do not run beside each other, since each measures its own machine; so one lane has the
 * stacks and the browser, and the other what needs a processor. A line is printed for each file
 * that ended, and the output of a part when it is done.
 *
 * `HOLDFAST_TEST_SUMMARY` names a file that gets the last lines too.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describeBrowser, findBrowser } from './browser.ts';
import { run } from './run.ts';
import { ROOT } from './stack.ts';
import { runTests, type TestRunResult } from './test-run.ts';
import { summaryLines } from './test-summary.ts';

const LONG = '.long.test.';

interface Part {
  name: string;
  args: string[];
}

const part = (projects: string[], choice: string[], ...args: string[]): Part => ({
  name: projects.join(', '),
  args: [...projects.flatMap((project) => ['--project', project]), ...choice, ...args],
});

const lanesOf = (choice: string[]): Part[][] => [
  [part(['e2e'], choice), part(['browser'], choice), part(['dashboard'], choice, '--maxWorkers=1')],
  // Node's own tests mostly wait, so more of them than processors run at once.
  [part(['workers'], choice, '--maxWorkers=2'), part(['node'], choice, '--maxWorkers=4')],
];

/** All parts, also after a failed one. */
async function runLane(parts: Part[]): Promise<TestRunResult[]> {
  const results: TestRunResult[] = [];
  for (const { name, args } of parts) {
    const output: Buffer[] = [];
    results.push(
      await runTests(args, {
        onOutput: (chunk) => output.push(chunk),
        onFileEnded: ({ project, file, passed, tests, ms }) =>
          say(`${passed ? '✓' : '✗'} ${project.padEnd(9)}  ${file} (${tests} tests) ${(ms / 1000).toFixed(1)} s`),
      }),
    );
    process.stdout.write(`\n── ${name}\n${Buffer.concat(output).toString()}`);
  }
  return results;
}

const say = (line: string): void => void process.stdout.write(`${line}\n`);

const begun = performance.now();
const built = await run(process.execPath, [join(ROOT, 'scripts', 'build.mjs')]);
if (built !== 0) process.exit(built);

try {
  say(describeBrowser(findBrowser()));
} catch (error) {
  // Each test that needs a browser fails with this; the others still run.
  say((error as Error).message);
}

const CHOICES: Record<string, string[]> = { '--quick': [`--exclude=**/*${LONG}*`], '--long': [LONG], '--all': [] };
const [first = '--quick', ...others] = process.argv.slice(2);
/** An argument next to `--long` selects by itself: vitest accepts one name or another, not both. */
const args = first in CHOICES ? others : [first, ...others];
const choice = args.length > 0 ? undefined : CHOICES[first];
const color = process.stdout.isTTY ? ['--color'] : [];
if (choice === CHOICES['--quick']) process.env.HOLDFAST_TEST_QUICK = '1';
const results = choice
  ? (await Promise.all(lanesOf([...choice, ...color]).map(runLane))).flat()
  : [await runTests([...args, ...color], { onOutput: (chunk) => process.stdout.write(chunk) })];

const lines = summaryLines(results, performance.now() - begun);
say(`\n${lines.join('\n')}`);
if (process.env.HOLDFAST_TEST_SUMMARY) writeFileSync(process.env.HOLDFAST_TEST_SUMMARY, `${lines.join('\n')}\n`);
process.exit(Math.max(...results.map(({ code }) => code)));
