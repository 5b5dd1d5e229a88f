/** Goal: a time limit is stated exactly, in as few words as possible. */

import { expect, test } from 'vitest';
import { exactDuration } from '../../src/core/exact-duration.ts';
import type { ExecutionRecord } from '../../src/core/execution.ts';
import { expire } from '../../src/core/lifecycle.ts';

test.each([
  [0, '0 s'],
  [2000, '2 s'],
  [1500, '1 s 500 ms'],
  [5_400_000, '1 h 30 min'],
  [21_600_000, '6 h'],
  [2_592_000_000, '30 d'],
])('%i ms is %s', (ms, words) => {
  expect(exactDuration(ms)).toBe(words);
});

test('[LIF11] the interrupt at the time limit names the limit', () => {
  const record = {
    ...{ status: 'running', runtimeUntil: 2000, pendingUntil: null, graceUntil: null, interruptUntil: null, waitUntil: null },
    ...{ interruptRequestedAt: null, policy: { maxRuntimeMs: 2000, interruptGraceMs: 1000 } },
  } as unknown as ExecutionRecord;
  const said = expire(record, 2000);
  expect(said?.events).toMatchObject([
    { type: 'interrupt_requested', data: { cause: 'runtime', reason: 'ran longer than its limit of 2 s' } },
  ]);
  expect(said?.commands).toMatchObject([{ command: 'interrupt', data: { signal: 'SIGINT' } }]);
});
