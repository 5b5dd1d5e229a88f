/** Goal: a pool wakes for everything that will be due, and sleeps while nothing will. */

import { expect, test } from 'vitest';
import { HELLO_TIMEOUT_MS } from '../../protocol/index.ts';
import { RUNNER_SILENCE_MS } from '../../protocol/pool.ts';
import { nextPoolWake, type PoolDeadlines } from '../../src/core/pool-deadlines.ts';
import type { Lane, PoolEntry } from '../../src/core/pool-entry.ts';
import type { RunnerRecord } from '../../src/core/pool-runner.ts';
import { LOOK_AGAIN_MS } from '../../src/core/pool-silence.ts';

const NOW = 1_000_000;
const NONE: PoolDeadlines = { active: [], heads: [], runners: [], sockets: [], tellAt: null };
const LANE: Lane = { requires: {}, needs: [], concurrency: null, avoid: null, priority: 0 };
const entry = (fields: Partial<PoolEntry>) => ({ state: 'running', runnerId: 'r_1', dueAt: null, ...fields }) as PoolEntry;
const runner = (
  fields: Partial<RunnerRecord>,
  status: { open?: boolean; signAt?: number; heldByRows?: number; doubtedAt?: number } = {},
) => ({
  record: { id: 'r_1', goneAt: null, lost: false, restUntil: 0, ...fields } as RunnerRecord,
  open: true,
  signAt: NOW - 3,
  heldByRows: 0,
  doubtedAt: null,
  ...status,
});
const head = (lane: Partial<Lane> = {}) => ({ lane: { ...LANE, ...lane } });

test('[G7] idle runners, and runs of runners that are there, let the pool sleep', () => {
  expect(nextPoolWake(NONE, NOW)).toBeNull();
  const sockets = [{ runnerId: 'r_1', acceptedAt: NOW, expiresAt: null }];
  expect(nextPoolWake({ ...NONE, active: [entry({})], runners: [runner({}, { heldByRows: 1 })], sockets }, NOW)).toBeNull();
  expect(nextPoolWake({ ...NONE, runners: [runner({ restUntil: NOW + 5 })] }, NOW)).toBeNull();
  expect(nextPoolWake({ ...NONE, heads: [head()], runners: [runner({}, { heldByRows: 1 })] }, NOW)).toBeNull();
});

const avoid = (until: number): Partial<Lane> => ({ avoid: { runnerId: 'r_1', until, evenAlone: false } });
test.each<[string, Partial<PoolDeadlines>, number]>([
  ['a deadline of an entry', { active: [entry({ dueAt: NOW + 7 })] }, NOW + 7],
  [
    'the silence of a runner whose launch was not seen to work',
    { active: [entry({ state: 'leased', dueAt: NOW + 10 ** 6 })], runners: [runner({}, { heldByRows: 1 })] },
    NOW - 3 + RUNNER_SILENCE_MS,
  ],
  [
    'the loss of a runner that is gone',
    { runners: [runner({ goneAt: NOW }, { open: false, signAt: NOW, heldByRows: 1 })] },
    NOW + RUNNER_SILENCE_MS,
  ],
  ['the second look at a runner that is silent', { runners: [runner({}, { doubtedAt: NOW })] }, NOW + LOOK_AGAIN_MS],
  [
    'the second look at a runner that is gone',
    { runners: [runner({ goneAt: 1 }, { open: false, signAt: 1, heldByRows: 1, doubtedAt: NOW })] },
    NOW + LOOK_AGAIN_MS,
  ],
  ['the end of a rest', { heads: [head()], runners: [runner({ restUntil: NOW + 5 })] }, NOW + 5],
  ['a hello', { sockets: [{ runnerId: null, acceptedAt: NOW, expiresAt: null }] }, NOW + HELLO_TIMEOUT_MS],
  ['the end of a key', { sockets: [{ runnerId: 'r_1', acceptedAt: NOW, expiresAt: NOW + 9 }] }, NOW + 9],
  ['a runner that may have an execution again', { heads: [head(avoid(NOW + 4))] }, NOW + 4],
  ['a reason to be told', { heads: [head()], tellAt: NOW + 2 }, NOW + 2],
])('%s', (_, deadlines, at) => {
  expect(nextPoolWake({ ...NONE, ...deadlines }, NOW)).toBe(at);
});
