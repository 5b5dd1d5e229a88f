/**
 * `npm run chaos -- [--runs N] [--seed S] [--only K] [--events E] [--adopt] [--json]`: real jobs
 * under real faults. `npm run chaos -- --pool [--executions N] [--seed S] [--json]`: see pool.ts.
 *
 * Each run is a job of 50,000 events with two viewers, while a seeded plan cuts, stalls, half-opens
 * and trickles the connections and kills coordinator, runner and wrapper. Then the log and both
 * viewers are compared with what the job wrote. Exit 0 only if nothing was lost, repeated or out of
 * order, every execution was settled once with the right verdict, and (from 20 runs on) every kind
 * of fault was used.
 *
 * `--adopt`: in each run the wrapper is killed 3 to 10 times and its link is cut once. Every run
 * must end with the job's own end, and every missing line must be inside a gap.
 *
 * The seed fixes what is done and when, but not how far each program is by then: the same seed does
 * not give the same interleaving.
 */

import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { processesWith } from '../../test/support/real-stack.ts';
import { auditStorage } from './audit.ts';
import { isSame } from './compare.ts';
import { describePlan, planRuns } from './plan.ts';
import { poolChaos } from './pool.ts';
import { progressLine, summarise, tables } from './report.ts';
import { performRun, RUN_WATCHDOG_MS, type RunResult } from './run.ts';
import { Stage } from './stage.ts';

const USAGE =
  'npm run chaos -- [--runs N] [--seed S] [--only K] [--events E] [--adopt] [--json], or --pool [--executions N] [--seed S] [--json]';
/** In this many runs every deck of kinds is dealt more than once. */
const RUNS_FOR_ALL_KINDS = 20;
const EVENTS_PER_SECOND = 5500;
/**
 * After the last run: a wrapper behind a half-open link is the last to learn that its job is no
 * longer wanted.
 */
const LEFTOVERS_MS = 60_000;

interface Settings {
  runs: number;
  seed: number;
  only: number | null;
  events: number;
  adopt: boolean;
  pool: boolean;
  executions: number;
  json: boolean;
}

function readSettings(argv: string[]): Settings {
  const { values } = parseArgs({
    args: argv,
    options: {
      runs: { type: 'string', default: '10' },
      seed: { type: 'string' },
      only: { type: 'string' },
      events: { type: 'string', default: '50000' },
      adopt: { type: 'boolean', default: false },
      pool: { type: 'boolean', default: false },
      executions: { type: 'string', default: '200' },
      json: { type: 'boolean', default: false },
    },
  });
  const number = (name: string, text: string, min: number): number => {
    if (!/^\d{1,9}$/.test(text) || Number(text) < min) throw new Error(`--${name} must be a whole number from ${min}`);
    return Number(text);
  };
  return {
    runs: number('runs', values.runs, 1),
    seed: values.seed === undefined ? Math.floor(Math.random() * 1_000_000) : number('seed', values.seed, 0),
    only: values.only === undefined ? null : number('only', values.only, 1),
    events: number('events', values.events, 100),
    adopt: values.adopt,
    pool: values.pool,
    executions: number('executions', values.executions, 1),
    json: values.json,
  };
}

function settings(): Settings {
  try {
    return readSettings(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}\n`);
    process.exit(2);
  }
}

const { runs, seed, only, events, adopt, pool, executions, json } = settings();
const print = (text = ''): void => {
  (json ? process.stderr : process.stdout).write(`${text}\n`);
};

/**
 * All violations, over all runs. Stops at the first failed run: later runs on a broken setup prove
 * nothing.
 */
async function perform(stage: Stage, results: RunResult[]): Promise<string[]> {
  const plans = planRuns(Math.max(runs, only ?? 0), seed, {
    events,
    adopt,
    durationMs: Math.round((events / EVENTS_PER_SECOND) * 1000),
  });
  const chosen = only === null ? plans : plans.slice(only - 1, only);
  for (const plan of chosen) {
    const result = await performRun(stage, plan, 'run');
    results.push(result);
    print(progressLine(result, runs));
    if (result.problems.length > 0) return [`plan: ${describePlan(plan)}`, ...result.problems];
  }
  const problems: string[] = [];
  // The names of the jobs' truth files are among the arguments of each wrapper and each job.
  const leftovers = () => processesWith(stage.folder).filter(({ command }) => command.includes('.truth'));
  const end = Date.now() + LEFTOVERS_MS;
  while (leftovers().length > 0 && Date.now() < end) await sleep(200);
  for (const { pid, command } of leftovers()) problems.push(`process ${pid} is left: ${command}`);
  await stage.stop();
  const audit = auditStorage(join(stage.stack.data, 'coordinator'));
  problems.push(...audit.problems);
  if (audit.sessions !== chosen.length) problems.push(`${audit.sessions} sessions are on disk in place of ${chosen.length}`);
  return problems;
}

async function main(): Promise<number> {
  print(`chaos: ${only === null ? `${runs} runs` : `run ${only}`} of ${events.toLocaleString('en-US')} events, seed ${seed}\n`);
  const signalled = new Promise<never>((_, reject) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
      process.on(signal, () => reject(new Error(`ended by ${signal}`)));
  });
  const watchdogMs = (only === null ? runs : 1) * (RUN_WATCHDOG_MS + 10_000) + 240_000;
  const watchdog = sleep(watchdogMs, undefined, { ref: false }).then(() => {
    throw new Error(`not over within ${watchdogMs / 1000} s`);
  });
  for (const promise of [signalled, watchdog]) promise.catch(() => {});
  const results: RunResult[] = [];
  const problems: string[] = [];
  let stage: Stage | null = null;
  try {
    const opening = Stage.open();
    // Stopped while it starts: what was started must still be ended.
    opening.then(
      (opened) => {
        stage = opened;
      },
      () => {},
    );
    stage = await Promise.race([opening, signalled, watchdog]);
    problems.push(...(await Promise.race([perform(stage, results), signalled, watchdog])));
  } catch (error) {
    problems.push((error as Error).stack ?? String(error));
  }

  const summary = summarise(results);
  print(`\n${tables(summary)}`);
  if (!adopt && only === null && runs >= RUNS_FOR_ALL_KINDS && summary.unusedKinds.length > 0 && problems.length === 0)
    problems.push(`never used: ${summary.unusedKinds.join(', ')}`);
  if (!isSame(summary.difference) && problems.length === 0) problems.push('see the differences above');
  const failed = problems.length > 0;
  await (stage as Stage | null)?.close({ keepFolder: failed }).catch((error: Error) => problems.push(error.message));
  if (failed) {
    print(`\nFAILED with seed ${seed}; everything is kept in ${(stage as Stage | null)?.folder ?? 'nowhere: it did not start'}`);
    for (const problem of problems) print(`  ${problem}`);
    print(`\nAgain: npm run chaos -- ${adopt ? '--adopt ' : ''}--seed ${seed} --only ${(results.at(-1)?.plan.index ?? 0) + 1}`);
  }
  if (json) process.stdout.write(`${JSON.stringify({ seed, ...summary, problems, results })}\n`);
  return failed ? 1 : 0;
}

async function poolMain(): Promise<number> {
  print(`chaos: ${executions} executions on a pool, seed ${seed}`);
  const result = await poolChaos({ seed, executions, print });
  print(
    `\n${result.seconds} s; ${Object.entries(result.faults)
      .map(([fault, count]) => `${count} × ${fault}`)
      .join(', ')}`,
  );
  const { compared, waitingAfterFaults, peaks } = result.seen;
  const most = Object.entries(peaks).map(([key, count]) => `${count} with the key ${key}`);
  print(`${compared} pairs in the order; ${waitingAfterFaults} looks at the queue after the faults; at most ${most.join(', ')}`);
  for (const problem of result.problems) print(`  ${problem}`);
  if (result.problems.length === 0)
    print(`${executions} executions, each with one verdict, each command run once, in order, within limits`);
  else print(`FAILED. Again: npm run chaos -- --pool --executions ${executions} --seed ${seed}`);
  if (json) process.stdout.write(`${JSON.stringify(result)}\n`);
  return result.problems.length > 0 ? 1 : 0;
}

process.exit(await (pool ? poolMain() : main()));
