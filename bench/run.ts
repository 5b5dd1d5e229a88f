/**
 * `npm run bench -- [--json FILE] [--docs] [--rounds N] [--only a,b] [--smoke] [--scale X] [--list]
 * [--idle-minutes N] [--from FILE,FILE]`
 *
 * `--from` measures nothing: it combines the figures of earlier runs, each made of some of the
 * benches. `--docs` writes the figures of the bench `pool` into a table of their own, and replaces
 * only tables whose benches have run.
 *
 *   benches/     what is measured, one file each
 *   floor/       the bare objects to measure against
 *   lib/         generator, servers, figures
 *   counting/    Holdfast with counters, for its costs
 *   prices.ts    from counts to dollars
 *   profile.ts   a CPU profile of the object under load
 *
 * Everything runs on this machine, in turns. Times depend on it; ratios much less; counts not at
 * all. Exit code 0 means that everything was measured, not that all targets were met: those are in
 * the table.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { ROOT } from '../scripts/stack.ts';
import { cost } from './benches/cost.ts';
import { deaf } from './benches/deaf.ts';
import { fanout } from './benches/fanout.ts';
import { ingest } from './benches/ingest.ts';
import { latency } from './benches/latency.ts';
import { pool } from './benches/pool.ts';
import { redaction } from './benches/redaction.ts';
import { replay } from './benches/replay.ts';
import { spool } from './benches/spool.ts';
import { wrapper } from './benches/wrapper.ts';
import type { Bench } from './lib/bench.ts';
import { type Figure, markdown, table } from './lib/figures.ts';
import { serveFloor, serveHoldfast } from './lib/systems.ts';

const BENCHES: Bench[] = [ingest, latency, replay, deaf, fanout, wrapper, spool, redaction, cost, pool];
/** `--docs` writes the table into it. */
const PAGE = join(ROOT, 'docs', 'performance.md');
const ROUNDS_DEFAULT = 5;
const SMOKE_SCALE = 0.01;

/** No bench takes nearly as long; a longer one hangs. */
const WATCHDOG_MS = 40 * 60_000;

for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => process.exit(1));

const say = (text: string): void => void process.stderr.write(`${text}\n`);

async function main(argv: string[]): Promise<number> {
  const { values } = parseArgs({
    args: argv,
    options: {
      json: { type: 'string' },
      docs: { type: 'boolean', default: false },
      rounds: { type: 'string' },
      scale: { type: 'string' },
      only: { type: 'string' },
      smoke: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      from: { type: 'string' },
      'idle-minutes': { type: 'string' },
    },
  });
  if (values.list) {
    for (const { name, measures, doesNotMeasure } of BENCHES)
      process.stdout.write(`${name}\n  measures ${measures}\n  does not measure ${doesNotMeasure}\n`);
    return 0;
  }
  const rounds = Number(values.rounds ?? (values.smoke ? 1 : ROUNDS_DEFAULT));
  const scale = Number(values.scale ?? (values.smoke ? SMOKE_SCALE : 1));
  const idleMinutes = values['idle-minutes'] === undefined ? null : Number(values['idle-minutes']);
  const wanted = values.only?.split(',') ?? BENCHES.map(({ name }) => name);
  const unknown = wanted.filter((name) => !BENCHES.some((bench) => bench.name === name));
  const isWrong = !Number.isInteger(rounds) || rounds < 1 || !(scale > 0) || (idleMinutes !== null && !(idleMinutes > 0));
  if (unknown.length > 0 || isWrong) {
    say(
      `unknown: ${unknown.join(', ')}; benches are ${BENCHES.map(({ name }) => name).join(', ')}; --rounds from 1; --scale and --idle-minutes above 0`,
    );
    return 2;
  }

  const figures: Figure[] = (values.from?.split(',') ?? []).flatMap((file) => JSON.parse(readFileSync(file, 'utf8')) as Figure[]);
  const failures: string[] = [];
  for (const bench of BENCHES.filter(({ name }) => values.from === undefined && wanted.includes(name))) {
    // Fresh processes for each, so that no bench inherits another's memory.
    const [holdfast, floor] = await Promise.all([serveHoldfast(), serveFloor()]);
    try {
      const watchdog = sleep(WATCHDOG_MS, undefined, { ref: false }).then(() => Promise.reject(new Error('it hangs')));
      figures.push(...(await Promise.race([bench.run({ rounds, scale, idleMinutes, holdfast, floor, say }), watchdog])));
    } catch (error) {
      failures.push(`${bench.name}: ${(error as Error).stack}`);
    } finally {
      await Promise.all([holdfast.stop(), floor.stop()]);
    }
  }

  const [cpu] = cpus();
  const about = `${rounds} rounds, medians; ${cpus().length} × ${cpu?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB; Node ${process.version}${scale === 1 ? '' : `; SCALED TO ${scale}: no measurement`}`;
  process.stdout.write(`${about}\n\n${table(figures)}\n\n`);
  for (const { name, doesNotMeasure } of BENCHES.filter(({ name }) => wanted.includes(name)))
    process.stdout.write(`${name} does not measure ${doesNotMeasure}.\n`);
  if (values.json) writeFileSync(values.json, `${JSON.stringify(figures, null, 2)}\n`);
  if (values.docs) {
    const ofPool = figures.filter(({ name }) => name.startsWith('pool/'));
    const page = withTable(readFileSync(PAGE, 'utf8'), 'pool', about, ofPool);
    writeFileSync(
      PAGE,
      withTable(
        page,
        'figures',
        about,
        figures.filter((figure) => !ofPool.includes(figure)),
      ),
    );
  }
  for (const failure of failures) say(`\nFAILED ${failure}`);
  return failures.length > 0 ? 1 : 0;
}

/** The page with these figures between the marks of this name. */
function withTable(page: string, name: string, about: string, figures: Figure[]): string {
  if (figures.length === 0) return page;
  const [begin, end] = [`<!-- ${name}:begin -->\n`, `<!-- ${name}:end -->`];
  const [before, rest] = page.split(begin);
  const after = rest?.split(end)[1];
  if (after === undefined) throw new Error(`${PAGE} has no marks ${name}:begin and ${name}:end`);
  return `${before}${begin}${about}.\n\n${markdown(figures)}\n${end}${after}`;
}

process.exit(await main(process.argv.slice(2)));
