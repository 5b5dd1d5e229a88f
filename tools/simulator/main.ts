/**
 * `npm run simulate -- --seeds N [--from S]`: runs the seeded schedules of tools/simulator/ and
 * reports the speed, the faults, and violated guarantees. `--seed S --trace` runs one and prints
 * its steps. Exits 1 on a violation.
 */

import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { simulate } from './batch.ts';
import { runFleet, THREADS } from './fleet.ts';

const FAILURES_SHOWN = 20;

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '20000' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    trace: { type: 'boolean', default: false },
    threads: { type: 'string', default: String(THREADS) },
  },
});

function count(name: string, text: string): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  process.stderr.write(`--${name} must be a whole number, not ${text}\n`);
  process.exit(2);
}

const print = (line: string) => process.stdout.write(`${line}\n`);

if (values.seed !== undefined) {
  const { trace, violations, verdicts, steps, events } = await simulate(count('seed', values.seed), values.trace);
  for (const line of trace) print(line);
  print(`${steps} steps, ${events} events; ${verdicts.join(', ')}`);
  for (const violation of violations) print(`VIOLATION ${violation}`);
  process.exit(violations.length > 0 ? 1 : 0);
}

const begun = performance.now();
const wanted = { from: count('from', values.from), count: count('seeds', values.seeds), all: true };
const report = await runFleet(join(import.meta.dirname, 'batch.ts'), wanted, Math.max(1, count('threads', values.threads)));
const seconds = (performance.now() - begun) / 1000;

const rate = Math.round(report.schedules / seconds);
print(
  `${report.schedules} schedules in ${seconds.toFixed(1)} s: ${rate} a second, ${report.steps} steps, ${report.events} events in logs`,
);
print('\nwhat went wrong in them');
for (const [fault, struck] of report.faults) print(`${String(struck).padStart(9)}  ${fault.replaceAll('_', ' ')}`);
print('\nhow executions ended');
for (const [verdict, ended] of report.verdicts) print(`${String(ended).padStart(9)}  ${verdict}`);
print(`\nviolations: ${report.failures.length}`);
for (const { seed, violation } of report.failures.slice(0, FAILURES_SHOWN)) print(`  seed ${seed}: ${violation}`);
if (report.failures[0]) print(`\nnpm run simulate -- --seed ${report.failures[0].seed} --trace`);
process.exit(report.failures.length > 0 ? 1 : 0);
