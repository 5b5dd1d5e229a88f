/**
 * Goal and method: as simulator.test.ts, with many more schedules. The checks must also catch each
 * of a list of planted bugs; else their silence would prove nothing.
 */

import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { simulate } from '../../tools/simulator/batch.ts';
import { FAULTS } from '../../tools/simulator/faults.ts';
import { runFleet, runWorker } from '../../tools/simulator/fleet.ts';
import { plant } from '../../tools/simulator/mutant-tree.ts';
import { MUTATIONS } from '../../tools/simulator/mutations.ts';

const BATCH_FILE = join(import.meta.dirname, '..', '..', 'tools', 'simulator', 'batch.ts');
const SCHEDULES = 20_000;
/**
 * A part is short enough that a slow machine says something within the time in which a test run may
 * be silent.
 */
const PART = 2_000;
/** Far above the slowest of them. */
const MUTANT_SEEDS = 3_000;

test(`[G1 G2 G3 G4] ${SCHEDULES} schedules break no guarantee, and each fault strikes in some of them`, {
  timeout: 600_000,
}, async () => {
  const faults = new Set<string>();
  for (let from = 1; from < SCHEDULES; from += PART) {
    const report = await runFleet(BATCH_FILE, { from, count: PART, all: true });
    const [first] = report.failures;
    const trace = first ? (await simulate(first.seed, true)).trace.join('\n') : '';
    expect(report.failures, `seed ${first?.seed}:\n${trace}`).toEqual([]);
    expect(report.schedules).toBe(PART);
    for (const fault of report.faults.keys()) faults.add(fault);
    console.log(`seeds up to ${from + PART - 1} are done`);
  }
  expect(FAULTS.filter((fault) => !faults.has(fault))).toEqual([]);
});

describe('planted bugs', () => {
  test.concurrent.each(MUTATIONS.map((mutation) => [mutation.name, mutation] as const))(
    'is caught: %s',
    { timeout: 120_000 },
    async (_, mutation) => {
      const tree = plant(mutation);
      try {
        const { failures } = await runWorker(tree.batchFile, { from: 1, count: MUTANT_SEEDS, step: 1, all: false });
        expect(failures.length).toBe(1);
      } finally {
        tree.remove();
      }
    },
  );
});
