/**
 * Goal: break G1–G4, and "no execution stays active forever", with faults in an order that no
 * hand-written test has.
 * Method: the real session and the real sender run over a simulated network, clock and disk, from a
 * seed (tools/simulator/world.ts says what a schedule is). That the same checks catch planted bugs
 * is in simulator.long.test.ts.
 *
 * `npm run simulate -- --seed S --trace` prints every step of a seed that fails here, and the seed
 * becomes a named test below.
 */

import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { simulate } from '../../tools/simulator/batch.ts';
import { AWAY, FAULTS, KILLED_AT_QUESTION, SLOW_UPLINK } from '../../tools/simulator/faults.ts';
import { runFleet } from '../../tools/simulator/fleet.ts';

const BATCH_FILE = join(import.meta.dirname, '..', '..', 'tools', 'simulator', 'batch.ts');
/** Many more, and the planted bugs, are in simulator.long.test.ts. */
const SCHEDULES = 2_000;

describe('fixed seeds', () => {
  test(`[G1 G2 G3 G4] ${SCHEDULES} schedules break no guarantee, and each fault strikes in some of them`, {
    timeout: 300_000,
  }, async () => {
    const report = await runFleet(BATCH_FILE, { from: 1, count: SCHEDULES, all: true });
    const [first] = report.failures;
    const trace = first ? (await simulate(first.seed, true)).trace.join('\n') : '';
    expect(report.failures, `seed ${first?.seed}:\n${trace}`).toEqual([]);
    expect(report.schedules).toBe(SCHEDULES);
    expect([...FAULTS, SLOW_UPLINK, AWAY, KILLED_AT_QUESTION].filter((fault) => !report.faults.has(fault))).toEqual([]);
  });

  test('the same seed is the same schedule', async () => {
    for (const seed of [3, 1853, 7777]) {
      const [once, again] = [await simulate(seed, true), await simulate(seed, true)];
      expect(once.trace.length).toBeGreaterThan(10);
      expect(again.trace).toEqual(once.trace);
    }
  });
});

describe('seeds that failed once', () => {
  // Each names what was wrong. The schedule of a seed changes with the simulator, so a planted bug
  // below keeps watch where that is possible.
  test.each([[631, 'a hello that was on its way to a session that was never started made its handler throw']])(
    'seed %i: %s',
    async (seed) => {
      const { violations, trace } = await simulate(seed, true);
      expect(violations, trace.join('\n')).toEqual([]);
    },
  );
});

/** 4817: a stored chunk of several frames. 9695, 9767: wrappers that were killed at a question. */
test.each([4817, 9695, 9767])('[ASK9] [ASK10] the schedule of seed %i, which broke a guarantee once, breaks none', async (seed) => {
  expect((await simulate(seed, false)).violations).toEqual([]);
});
