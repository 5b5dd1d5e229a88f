/**
 * Goal: nothing is lost, repeated or out of order, and every execution is settled once, whatever is
 * cut, stalled, half-opened, trickled or killed.
 * Method: a short set of the runs of `npm run chaos`, with fixed plans instead of drawn ones.
 */

import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { auditStorage } from '../../tools/chaos/audit.ts';
import { NO_DIFFERENCE } from '../../tools/chaos/compare.ts';
import type { Fault, FaultKind, RunPlan } from '../../tools/chaos/plan.ts';
import { performRun } from '../../tools/chaos/run.ts';
import { Stage } from '../../tools/chaos/stage.ts';
import { processesWith, until } from '../support/real-stack.ts';

const EVENTS = 10_000;
const DURATION_MS = 3000;

function fault<K>(kind: K, atMs: number, forMs = 0): Fault<K> {
  return { kind, atMs, forMs, direction: 'both', bytesPerSecond: 16 * 1024, answer: '403 Forbidden', roomBytes: 0 };
}

const late: RunPlan['late'] = { atMs: 1200, execution: true, types: false, ticket: false, flow: true, resumes: false };
const plan = {
  index: 0,
  events: EVENTS,
  durationMs: DURATION_MS,
  ending: fault('exit' as const, DURATION_MS),
  next: true,
  late,
  waits: true,
  kills: [],
};

const PLANS: Record<string, RunPlan> = {
  'cuts on both sides, and the coordinator killed': {
    ...plan,
    wrapper: [fault('wrapper-cut', 300, 200), fault('wrapper-cut', 2000)],
    viewer: [fault('viewer-cut', 600, 100), fault('viewer-cut', 1500)],
    process: [fault('coordinator-kill', 1000, 200)],
  },
  'stalls on both sides, the runner killed, and an interrupt': {
    ...plan,
    durationMs: 7000,
    wrapper: [fault('wrapper-stall', 400, 1200)],
    // Longer than a viewer waits for a pong. The fault would hold up the interrupt too.
    viewer: [fault('viewer-stall', 700, 3000)],
    process: [fault('runner-kill', 500, 300)],
    ending: fault('interrupt', 5000),
    next: false,
    late: { ...late, types: true, ticket: true },
  },
  'a trickle on both sides, a viewer that takes nothing for a while, and the wrapper killed three times': {
    ...plan,
    wrapper: [fault('wrapper-trickle', 300, 900)],
    viewer: [fault('viewer-trickle', 500, 900), fault('viewer-pause', 1500, 1000)],
    process: [],
    kills: [fault('wrapper-kill', 600), fault('wrapper-kill', 1400), fault('wrapper-kill', 1900)],
    late: { ...late, execution: false, flow: false },
  },
  'a middlebox that answers HTML on both sides, and a disk that is full for a while': {
    ...plan,
    durationMs: 6000,
    wrapper: [fault('wrapper-answer', 400, 2000)],
    viewer: [fault('viewer-answer', 800, 2000)],
    process: [fault('disk-full', 300, 2500)],
    next: false,
  },
  'half-open links on both sides, and a call that fails the execution': {
    ...plan,
    wrapper: [fault('wrapper-half-open-up', 500)],
    viewer: [fault('viewer-half-open', 800), fault('viewer-half-open-down', 1500)],
    process: [],
    ending: fault('fail-call', 2200),
    late: { ...late, resumes: true },
  },
};
const EXPECTED: Record<string, { verdicts: string[]; kinds: FaultKind[] }> = Object.fromEntries(
  Object.entries(PLANS).map(([name, { wrapper, viewer, process, kills, ending, next }]) => {
    const first = {
      exit: 'completed',
      interrupt: 'interrupted',
      'fail-call': 'failed asked_by_chaos',
    }[ending.kind];
    const kinds = [...wrapper, ...viewer, ...process, ...kills, ending].map(({ kind }) => kind).filter((kind) => kind !== 'exit');
    return [name, { verdicts: next ? [first, 'completed'] : [first], kinds: kinds.sort() }];
  }),
);

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.open();
});
afterAll(() => stage?.close());

describe('[G1] [G2] [G3] each event once and in order, one verdict each', () => {
  for (const [index, [name, runPlan]] of Object.entries(PLANS).entries()) {
    it(name, { timeout: 300_000 }, async () => {
      const result = await performRun(stage, { ...runPlan, index }, 'set');
      expect(result.problems).toEqual([]);
      expect(result.difference).toEqual(NO_DIFFERENCE);
      expect(result.verdicts).toEqual(EXPECTED[name]?.verdicts);
      expect(result.settledOnce).toBe(result.executions);
      expect(result.injected.map(({ kind }) => kind).sort()).toEqual(EXPECTED[name]?.kinds);
    });
  }

  it('no process of any run is left, and what is on disk follows the same rules', { timeout: 90_000 }, async () => {
    await until(() => processesWith(stage.folder).every(({ command }) => !command.includes('.truth')), 'all jobs are gone', 60_000);
    await stage.stop();
    const audit = auditStorage(join(stage.stack.data, 'coordinator'));
    expect(audit).toMatchObject({ sessions: Object.keys(PLANS).length, problems: [] });
    expect(processesWith(stage.folder)).toEqual([]);
  });
});
