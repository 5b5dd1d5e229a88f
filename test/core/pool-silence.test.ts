/** Goal: a pool tells a delay of its own from the silence of its runners. */

import { expect, test } from 'vitest';
import { LEASE_CONFIRM_MS, RUNNER_SILENCE_MS } from '../../protocol/pool.ts';
import { HEARD, isSecondLook, LOOK_AGAIN_MS, type Look, lookAt, nextLookAt } from '../../src/core/pool-silence.ts';

const NOW = 1_000_000;
const SILENT = NOW - RUNNER_SILENCE_MS;
const FIRST: Look = { doubtedAt: NOW, isLost: false };

test.each<[string, number, number | null, Look]>([
  ['it was heard in time', SILENT + 1, null, HEARD],
  ['it is heard again', SILENT + 1, NOW - LOOK_AGAIN_MS, HEARD],
  ['it looks silent for the first time', SILENT, null, FIRST],
  ['it was looked at a moment ago', SILENT, NOW - LOOK_AGAIN_MS + 1, { doubtedAt: NOW - LOOK_AGAIN_MS + 1, isLost: false }],
  ['it was not heard between two looks', SILENT, NOW - LOOK_AGAIN_MS, { doubtedAt: NOW - LOOK_AGAIN_MS, isLost: true }],
  ['the second look is late', SILENT - 60_000, SILENT - 1, { doubtedAt: SILENT - 1, isLost: true }],
  ['it was heard after the first look, and the pool was late again', SILENT, SILENT - 1, FIRST],
])('[POOL11] %s', (_, signAt, before, expected) => {
  expect(lookAt(signAt, before, NOW)).toEqual(expected);
});

test('[POOL11] the next look', () => {
  expect(nextLookAt(NOW, null)).toBe(NOW + RUNNER_SILENCE_MS);
  expect(nextLookAt(SILENT, NOW)).toBe(NOW + LOOK_AGAIN_MS);
  expect(isSecondLook({ assignedAt: NOW, dueAt: NOW + LEASE_CONFIRM_MS })).toBe(false);
  expect(isSecondLook({ assignedAt: NOW, dueAt: NOW + LEASE_CONFIRM_MS + LOOK_AGAIN_MS })).toBe(true);
});
