/**
 * Goal: whatever fails, an execution has one live lease and one verdict, nothing waits while a
 * runner that fits is free, nothing is overtaken, and no concurrency limit is exceeded.
 * Method: the real Pool with models around it (test/support/pool-world.ts), seeds of random faults,
 * and checks after every turn. A seed that failed once is a named test.
 */

import { describe, expect, it } from 'vitest';
import { runPoolWorld } from '../support/pool-world.ts';
import { propertyRuns } from '../support/property-runs.ts';

const plan = (seed: number, faultRate: number) => ({ seed, runners: 4, executions: 40, faultRate, calmAtMs: 300_000 });

describe('a pool in a world of faults', () => {
  // It avoided a free runner for as long as another one was connected, and that one was busy.
  it('[POOL6] [POOL11] seed 5756', async () => {
    expect((await runPoolWorld(plan(5756, 0.02))).problems).toEqual([]);
  });

  it('[POOL1] without faults, everything runs', async () => {
    for (let seed = 1; seed <= propertyRuns(20); seed += 1) {
      const world = await runPoolWorld(plan(seed, 0));
      expect(world.problems, `seed ${seed}`).toEqual([]);
      const { completed = 0, cancelled = 0 } = world.counts.verdicts;
      expect(completed + cancelled, `seed ${seed}`).toBe(40);
    }
  });

  it('[POOL3] [POOL6] [POOL7] with faults, the rules hold after every turn, and everything ends once', async () => {
    let kills = 0;
    let recalled = 0;
    for (let seed = 1; seed <= propertyRuns(100); seed += 1) {
      const world = await runPoolWorld(plan(seed, 0.02));
      expect(world.problems, `seed ${seed}`).toEqual([]);
      kills += world.counts.kills;
      recalled += world.counts.recalled;
    }
    // Faults that never happen prove nothing.
    expect(kills).toBeGreaterThan(10);
    expect(recalled).toBeGreaterThan(10);
  });
});
