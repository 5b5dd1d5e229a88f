/**
 * `npm run crowd -- [--sessions N] [--executions M] [--seed S] [--json FILE]`: N sessions with M
 * executions each, all on one machine, under random faults.
 *
 * Real wrappers with real jobs, started by a real runner; the coordinator on plain workerd. In each
 * session the executions are started at once and queue up; the run continues when every session
 * runs a job at the same moment. Meanwhile connections are cut, stalled and half-opened, wrappers
 * are killed and stopped, coordinator and runner are killed and restarted, and viewers come, stall
 * and leave. Then the results are compared with what was done: tools/crowd/check.ts has the
 * list. Exit 0 only without a violation.
 *
 * The seed fixes what is done and when, but not how far each program is by then.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { QUEUE_LENGTH_MAX } from '../../protocol/index.ts';
import { auditStorage } from '../chaos/audit.ts';
import { performCrowd } from './perform.ts';
import { planCrowd } from './plan.ts';
import { crowdTables } from './report.ts';
import type { CrowdTimes } from './scene.ts';
import { CrowdStage } from './stage.ts';

const USAGE = 'npm run crowd -- [--sessions N] [--executions M] [--seed S] [--json FILE]';
const PROBLEMS_SHOWN = 40;

const TIMES: CrowdTimes = {
  // Longer than any fault, on a machine whose two cores start a thousand processes meanwhile.
  policy: {
    heartbeatMs: 5000,
    silenceTimeoutMs: 25_000,
    disconnectGraceMs: 120_000,
    interruptGraceMs: 45_000,
    pendingTimeoutMs: 600_000,
  },
  startsPerSecond: 8,
  watchdogMs: 25 * 60_000,
  // An object without requests leaves the memory after ten seconds.
  settleMs: 20_000,
};

function settings(): { sessions: number; executions: number; seed: number; json: string | null } {
  try {
    const { values } = parseArgs({
      options: {
        sessions: { type: 'string', default: '200' },
        executions: { type: 'string', default: '5' },
        seed: { type: 'string' },
        json: { type: 'string' },
      },
    });
    const number = (name: string, text: string, min: number, max: number): number => {
      if (!/^\d{1,9}$/.test(text) || Number(text) < min || Number(text) > max)
        throw new Error(`--${name} must be a whole number from ${min} to ${max}`);
      return Number(text);
    };
    return {
      sessions: number('sessions', values.sessions, 1, 2000),
      // The first is not in the queue, but all may arrive before it is.
      executions: number('executions', values.executions, 1, QUEUE_LENGTH_MAX),
      seed: values.seed === undefined ? Math.floor(Math.random() * 1_000_000) : number('seed', values.seed, 0, 999_999_999),
      json: values.json ?? null,
    };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}\n`);
    process.exit(2);
  }
}

const { sessions, executions, seed, json } = settings();
const print = (text = ''): void => void process.stdout.write(`${text}\n`);
const begun = Date.now();
const say = (text: string): void => print(`${((Date.now() - begun) / 1000).toFixed(0).padStart(5)} s  ${text}`);

async function main(): Promise<number> {
  print(`crowd: ${sessions} sessions of ${executions} executions, seed ${seed}\n`);
  const signalled = new Promise<never>((_, reject) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
      process.on(signal, () => reject(new Error(`ended by ${signal}`)));
  });
  signalled.catch(() => {});
  const problems: string[] = [];
  let stage: CrowdStage | null = null;
  try {
    // One that takes a stopped wrapper's place takes a slot too.
    stage = await CrowdStage.open({ max: sessions + 50, collect: 'runner' });
    const plan = planCrowd(seed, { sessions, executions });
    const result = await Promise.race([performCrowd(stage, plan, TIMES, say), signalled]);
    problems.push(...result.problems);
    await stage.stop();
    const audit = auditStorage(join(stage.stack.data, 'coordinator'));
    problems.push(...audit.problems.map((problem) => `on disk: ${problem}`));
    if (audit.sessions !== sessions) problems.push(`${audit.sessions} sessions are on disk in place of ${sessions}`);
    print(`\n${crowdTables({ ...result, problems })}`);
    if (json !== null) writeFileSync(json, `${JSON.stringify({ ...result, problems, plan }, null, 1)}\n`);
  } catch (error) {
    problems.push((error as Error).stack ?? String(error));
  }
  const failed = problems.length > 0;
  await stage?.close({ keepFolder: failed }).catch((error: Error) => problems.push(error.message));
  if (!failed) return 0;
  print(`\nFAILED with seed ${seed}; everything is kept in ${stage?.folder ?? 'nowhere: it did not start'}`);
  for (const problem of problems.slice(0, PROBLEMS_SHOWN)) print(`  ${problem}`);
  if (problems.length > PROBLEMS_SHOWN) print(`  … and ${problems.length - PROBLEMS_SHOWN} more`);
  print(`\nAgain: npm run crowd -- --sessions ${sessions} --executions ${executions} --seed ${seed}`);
  return 1;
}

process.exit(await main());
