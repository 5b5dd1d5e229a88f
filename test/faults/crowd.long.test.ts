/**
 * Goal: many parallel sessions keep the guarantees of a single one, whatever is cut, stalled,
 * stopped or killed meanwhile, and leave nothing behind.
 * Method: a small crowd, as `npm run crowd` runs with two hundred sessions: real wrappers and jobs,
 * the coordinator on plain workerd.
 */

import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { auditStorage } from '../../tools/chaos/audit.ts';
import { performCrowd } from '../../tools/crowd/perform.ts';
import { planCrowd } from '../../tools/crowd/plan.ts';
import { CrowdStage } from '../../tools/crowd/stage.ts';

const SEED = 1;
const SESSIONS = 6;
const EXECUTIONS = 3;

let stage: CrowdStage;
beforeAll(async () => {
  stage = await CrowdStage.open({ max: SESSIONS + 4, collect: 'runner' });
});
afterAll(() => stage?.close());

it('[G1] [G2] [G3] [G4] [G9] six sessions of three executions, with faults', { timeout: 180_000 }, async () => {
  const plan = planCrowd(SEED, { sessions: SESSIONS, executions: EXECUTIONS });
  const result = await performCrowd(
    stage,
    plan,
    {
      policy: {
        heartbeatMs: 1000,
        silenceTimeoutMs: 6000,
        disconnectGraceMs: 40_000,
        interruptGraceMs: 9000,
        pendingTimeoutMs: 60_000,
      },
      startsPerSecond: 20,
      watchdogMs: 150_000,
      // The runner's heap is sampled every three seconds.
      settleMs: 3500,
    },
    console.log,
  );
  expect(result.problems).toEqual([]);
  expect(result.atOnce.sessions).toBe(SESSIONS);
  expect(Object.values(result.verdicts).reduce((a, b) => a + b, 0)).toBe(SESSIONS * EXECUTIONS);
  expect(result.callbacks.ids).toBe(SESSIONS * EXECUTIONS);
  expect(Object.keys(result.faults).length).toBeGreaterThanOrEqual(5);
  expect(Object.values(result.deeds).some(({ took }) => took > 0)).toBe(true);
  await stage.stop();
  expect(auditStorage(join(stage.stack.data, 'coordinator'))).toMatchObject({
    sessions: SESSIONS,
    executions: SESSIONS * EXECUTIONS,
    problems: [],
  });
});
