/**
 * `npm run soak -- [--minutes M] [--rate LINES] [--seed S] [--json FILE]`: steady traffic, and a
 * linear fit of each process's resource use.
 *
 * Three jobs print all the time, and one execution after the other runs in one session after the
 * other. Viewers come and go, connections are cut. Every few seconds resident memory, JavaScript
 * heap and open files of coordinator, runner and the long wrappers are sampled. Exit 0 only if no
 * figure rises over the second half of the time by more than its bound, and everything delivered is
 * what the jobs wrote.
 */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { auditStorage } from '../chaos/audit.ts';
import { CrowdStage } from '../crowd/stage.ts';
import { BOUNDS, performSoak, type SoakResult, type SoakSize } from './soak.ts';

const USAGE = 'npm run soak -- [--minutes M] [--rate LINES] [--seed S] [--json FILE]';
const PROBLEMS_SHOWN = 40;

function settings(): SoakSize & { json: string | null } {
  try {
    const { values } = parseArgs({
      options: {
        minutes: { type: 'string', default: '10' },
        rate: { type: 'string', default: '50' },
        seed: { type: 'string' },
        json: { type: 'string' },
      },
    });
    const number = (name: string, text: string, min: number, max: number): number => {
      const value = Number(text);
      if (text === '' || !(value >= min && value <= max)) throw new Error(`--${name} must be a number from ${min} to ${max}`);
      return value;
    };
    return {
      // Below this there are too few samples for a fit.
      minutes: number('minutes', values.minutes, 3, 24 * 60),
      rate: Math.round(number('rate', values.rate, 5, 5000)),
      seed: Math.floor(number('seed', values.seed ?? String(Math.floor(Math.random() * 1_000_000)), 0, 999_999_999)),
      json: values.json ?? null,
    };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}\n`);
    process.exit(2);
  }
}

const print = (text = ''): void => void process.stdout.write(`${text}\n`);
const begun = Date.now();
const say = (text: string): void => print(`${((Date.now() - begun) / 1000).toFixed(0).padStart(5)} s  ${text}`);
const { json, ...size } = settings();

function table({ series, base, idle, ...result }: SoakResult): string {
  const column = (text: string | number): string => String(text).padStart(11);
  const row = (name: string, ...values: (string | number)[]): string => `  ${name.padEnd(30)}${values.map(column).join('')}`;
  const names = { rssMiB: 'resident MiB', heapMiB: 'heap MiB', fds: 'open files' } as const;
  return [
    row('sessions', result.sessions),
    row('executions', result.executions),
    row('lines written by jobs', result.lines),
    row('events in the logs', result.events),
    row('connections of viewers', result.reconnects),
    row('connections cut', result.cuts),
    row('attempts of callbacks', result.callbacks),
    row(
      'open files before, idle again',
      `${base.coordinator?.fds}, ${idle.coordinator?.fds}`,
      `${base.runner?.fds}, ${idle.runner?.fds}`,
    ),
    '',
    row('', 'first', 'last', 'peak', 'a minute', '2nd half', 'allowed', ''),
    ...series.map(({ process: name, what, verdict: { first, last, peak, fit, growth, allowed, flat } }) =>
      row(
        `${name}, ${names[what]}`,
        ...[first, last, peak].map((value) => value.toFixed(1)),
        ...[fit.perMinute, growth, allowed].map((value) => value.toFixed(2)),
        flat ? 'flat' : 'RISES',
      ),
    ),
    `  (allowed: resident ${BOUNDS.rssMiB.share * 100} % or ${BOUNDS.rssMiB.least} MiB, heap ${BOUNDS.heapMiB.share * 100} % or ${BOUNDS.heapMiB.least} MiB, ` +
      `files ${BOUNDS.fds.share * 100} % or ${BOUNDS.fds.least}; a runner's heap also what it keeps of each run for an hour;\n   the coordinator's resident memory also what workerd takes for each new object: docs/testing.md)`,
  ].join('\n');
}

async function main(): Promise<number> {
  print(`soak: ${size.minutes} minutes, ${size.rate} lines a second, seed ${size.seed}\n`);
  const signalled = new Promise<never>((_, reject) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
      process.on(signal, () => reject(new Error(`ended by ${signal}`)));
  });
  signalled.catch(() => {});
  const problems: string[] = [];
  let stage: CrowdStage | null = null;
  try {
    stage = await CrowdStage.open({ max: 50, collect: 'all' });
    const result = await Promise.race([performSoak(stage, size, say), signalled]);
    problems.push(...result.problems);
    await stage.stop();
    problems.push(...auditStorage(join(stage.stack.data, 'coordinator')).problems.map((problem) => `on disk: ${problem}`));
    print(`\n${table(result)}`);
    print(`\n${size.minutes} minutes, ${result.executions} executions, ${result.lines} lines: ${problems.length} violations`);
    if (json !== null) writeFileSync(json, `${JSON.stringify({ ...result, problems }, null, 1)}\n`);
  } catch (error) {
    problems.push((error as Error).stack ?? String(error));
  }
  const failed = problems.length > 0;
  await stage?.close({ keepFolder: failed }).catch((error: Error) => problems.push(error.message));
  if (!failed) return 0;
  print(`\nFAILED with seed ${size.seed}; everything is kept in ${stage?.folder ?? 'nowhere: it did not start'}`);
  for (const problem of problems.slice(0, PROBLEMS_SHOWN)) print(`  ${problem}`);
  return 1;
}

process.exit(await main());
