/**
 * Goal: the documented times of an execution are pinned, their bounds hold at the edge, and no
 * policy calls a healthy wrapper dead.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { POLICY_BOUNDS, POLICY_DEFAULTS, POLICY_KEYS, type Policy, resolvePolicy } from '../../protocol/index.ts';
import { HOSTILE_VALUES } from './arbitraries.ts';

it('[LIF16] the documented defaults are pinned', () => {
  expect(POLICY_DEFAULTS).toEqual({
    pendingTimeoutMs: 300_000,
    disconnectGraceMs: 300_000,
    silenceTimeoutMs: 60_000,
    heartbeatMs: 15_000,
    interruptGraceMs: 30_000,
    maxRuntimeMs: 21_600_000,
    maxLogBytes: 2_147_483_648,
  });
  expect(POLICY_KEYS).toEqual(Object.keys(POLICY_DEFAULTS));
});

it('[LIM9] the documented bounds are pinned', () => {
  expect(POLICY_BOUNDS).toEqual({
    pendingTimeoutMs: { min: 1000, max: 86_400_000 },
    disconnectGraceMs: { min: 1000, max: 86_400_000 },
    silenceTimeoutMs: { min: 1000, max: 86_400_000 },
    heartbeatMs: { min: 250, max: 600_000 },
    interruptGraceMs: { min: 1000, max: 3_600_000 },
    maxRuntimeMs: { min: 1000, max: 2_592_000_000 },
    maxLogBytes: { min: 1_048_576, max: 8_589_934_592 },
  });
});

describe('resolvePolicy', () => {
  it('[LIF16] fills in the defaults, and never hands out the defaults themselves', () => {
    const first = resolvePolicy();
    expect(first).toEqual({ ok: true, policy: POLICY_DEFAULTS });
    expect(first.ok && first.policy).not.toBe(POLICY_DEFAULTS);
    expect(resolvePolicy({ disconnectGraceMs: 5000 })).toEqual({
      ok: true,
      policy: { ...POLICY_DEFAULTS, disconnectGraceMs: 5000 },
    });
  });

  describe.each(POLICY_KEYS)('[LIM9] %s', (key) => {
    const { min: minMs, max: maxMs } = POLICY_BOUNDS[key];
    // A heartbeat may be at most half of the silence limit; give each edge room for the other rule.
    const given = (value: number): Partial<Policy> => ({ silenceTimeoutMs: POLICY_BOUNDS.silenceTimeoutMs.max, [key]: value });

    it('is accepted at both edges', () => {
      for (const value of [minMs, maxMs]) {
        const answer = resolvePolicy(given(value));
        expect(answer.ok && answer.policy[key]).toBe(value);
      }
    });

    it('is refused one past each edge, with its name and bounds', () => {
      for (const value of [minMs - 1, maxMs + 1]) {
        const answer = resolvePolicy(given(value));
        expect(answer).toMatchObject({ ok: false, key });
        if (!answer.ok) for (const fact of [`policy.${key}`, String(minMs), String(maxMs)]) expect(answer.message).toContain(fact);
      }
    });

    it('is refused when it is not a whole number', () => {
      for (const value of [...HOSTILE_VALUES, Number.NaN, Number.POSITIVE_INFINITY, minMs + 0.5, String(minMs), BigInt(minMs)]) {
        expect(resolvePolicy({ [key]: value })).toMatchObject({ ok: false, key });
      }
    });
  });

  it('[LIF17] a given heartbeat may be at most half of the silence limit', () => {
    expect(resolvePolicy({ silenceTimeoutMs: 2000, heartbeatMs: 1000 })).toMatchObject({ ok: true });
    expect(resolvePolicy({ silenceTimeoutMs: 2000, heartbeatMs: 1001 })).toMatchObject({ ok: false, key: 'heartbeatMs' });
    expect(resolvePolicy({ heartbeatMs: 30_000 })).toMatchObject({ ok: true });
    expect(resolvePolicy({ heartbeatMs: 30_001 })).toMatchObject({ ok: false, key: 'heartbeatMs' });
  });

  it('[LIF17] a heartbeat that was not given shrinks with the silence limit', () => {
    expect(resolvePolicy({ silenceTimeoutMs: 30_000 })).toMatchObject({ policy: { heartbeatMs: 15_000 } });
    expect(resolvePolicy({ silenceTimeoutMs: 29_999 })).toMatchObject({ policy: { heartbeatMs: 7499 } });
    expect(resolvePolicy({ silenceTimeoutMs: 1000 })).toMatchObject({ policy: { heartbeatMs: 250 } });
  });

  it('[LIF17] whatever is given: a policy within all bounds with room for a lost heartbeat, or a refusal that names a key', () => {
    const value = fc.oneof(fc.constant(undefined), fc.maxSafeInteger(), fc.integer({ min: 0, max: 100_000 }), fc.anything());
    fc.assert(
      fc.property(fc.record(Object.fromEntries(POLICY_KEYS.map((key) => [key, value]))), (given) => {
        const answer = resolvePolicy(given as Partial<Policy>);
        if (!answer.ok) {
          expect(POLICY_KEYS).toContain(answer.key);
          return;
        }
        expect(Object.keys(answer.policy)).toEqual(POLICY_KEYS);
        for (const key of POLICY_KEYS) {
          expect(answer.policy[key]).toBeGreaterThanOrEqual(POLICY_BOUNDS[key].min);
          expect(answer.policy[key]).toBeLessThanOrEqual(POLICY_BOUNDS[key].max);
        }
        expect(answer.policy.heartbeatMs * 2).toBeLessThanOrEqual(answer.policy.silenceTimeoutMs);
      }),
    );
  });

  it('[LIF16] unknown keys are dropped, and __proto__ sets nothing', () => {
    const given = JSON.parse('{"laterMs":1,"__proto__":{"disconnectGraceMs":1}}') as Partial<Policy>;
    expect(resolvePolicy(given)).toEqual({ ok: true, policy: POLICY_DEFAULTS });
  });
});
