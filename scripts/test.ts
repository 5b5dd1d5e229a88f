/**
 * `npm test [-- vitest arguments]`: builds what the tests run as a user would, then runs every test.
 *
 * Without arguments in two lanes side by side. The tests on real stacks wait for most of their time, and may not run beside each other, since each measures
 * its own machine; so one lane has the stacks and then what needs neither of the two runtimes, and the other the browser and then workerd.
 * The second lane's output follows when it is done.
 *
 * `HOLDFAST_TEST_REPORTS` names a folder for the reports in JSON; without it the failures are told again at the end.
 */

import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { failureLines } from './failures.ts';
import { run } from './run.ts';
import { ROOT } from './stack.ts';

const asked = process.env.HOLDFAST_TEST_REPORTS;
const folder = mkdtempSync(join(tmpdir(), 'holdfast-test-'));
const reports = asked ?? join(folder, 'reports');

const VITEST = [join(ROOT, 'node_modules', 'vitest', 'vitest.mjs'), 'run'];
const reported = (name: string): string[] => [
  '--reporter=default',
  '--reporter=json',
  `--outputFile.json=${join(reports, `${name}.json`)}`,
];
const ofProjects = (...names: string[]): string[] => [
  ...VITEST,
  ...names.flatMap((name) => ['--project', name]),
  ...reported(names.join('-')),
];

const FIRST_LANE = [ofProjects('e2e'), [...ofProjects('node'), '--maxWorkers=2']];
// One file at a time, as vitest does by itself on two cores: with two runtimes at once the runner of these tests has waited for ever for a file that had ended.
const SECOND_LANE = [ofProjects('browser'), [...ofProjects('workers', 'dashboard'), '--maxWorkers=1']];

/** All steps, also behind one that failed; the worst exit code. */
async function lane(steps: string[][], output?: number): Promise<number> {
  let worst = 0;
  for (const step of steps) worst = Math.max(worst, await run(process.execPath, step, output));
  return worst;
}

async function inLanes(): Promise<number> {
  const file = join(folder, 'second-lane.log');
  const output = openSync(file, 'a');
  try {
    const codes = await Promise.all([lane(FIRST_LANE), lane(SECOND_LANE, output)]);
    process.stdout.write(`\n── browser, workers, dashboard\n${readFileSync(file, 'utf8')}`);
    return Math.max(...codes);
  } finally {
    closeSync(output);
  }
}

const built = await run(process.execPath, [join(ROOT, 'scripts', 'build.mjs')]);
if (built !== 0) process.exit(built);
const args = process.argv.slice(2);
const code = args.length > 0 ? await run(process.execPath, [...VITEST, ...args]) : await inLanes();
if (code !== 0 && args.length === 0 && asked === undefined)
  for (const line of failureLines(reports)) process.stdout.write(`  ${line}\n`);
rmSync(folder, { recursive: true, force: true });
process.exit(code);
