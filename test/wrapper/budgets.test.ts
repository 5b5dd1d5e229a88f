/**
 * Goal: a wrapper keeps trying for exactly its budgets. Method: each budget at its end and a
 * millisecond past it.
 */

import { describe, expect, it } from 'vitest';
import { drainBudgetMs, isAckOverdue, isDrainOverdue, isRefusalBelieved, isStartOverdue } from '../../wrapper/run/budgets.ts';
import { WRAPPER_TIMES } from '../../wrapper/times.ts';

describe('an ack', () => {
  const { ackStallMs } = WRAPPER_TIMES;
  it('is overdue when it has been awaited for longer than its time', () => {
    expect(isAckOverdue({ inflightBytes: 1, awaitedSince: 1000 }, 1000 + ackStallMs, WRAPPER_TIMES)).toBe(false);
    expect(isAckOverdue({ inflightBytes: 1, awaitedSince: 1000 }, 1001 + ackStallMs, WRAPPER_TIMES)).toBe(true);
  });
  it('is not awaited while nothing is in flight', () => {
    expect(isAckOverdue({ inflightBytes: 0, awaitedSince: 0 }, Number.MAX_SAFE_INTEGER, WRAPPER_TIMES)).toBe(false);
  });
});

describe('the start', () => {
  const { firstWelcomeBudgetMs, signalledBudgetMs } = WRAPPER_TIMES;
  it('is waited for since the coordinator was last heard of', () => {
    const wait = { unheardSince: 1000, stopAskedAt: null };
    expect(isStartOverdue(wait, 1000 + firstWelcomeBudgetMs, WRAPPER_TIMES)).toBe(false);
    expect(isStartOverdue(wait, 1001 + firstWelcomeBudgetMs, WRAPPER_TIMES)).toBe(true);
  });
  it('is much shorter after a request to stop', () => {
    expect(signalledBudgetMs).toBeLessThan(firstWelcomeBudgetMs);
    const wait = { unheardSince: 1000, stopAskedAt: 2000 };
    expect(isStartOverdue(wait, 2000 + signalledBudgetMs, WRAPPER_TIMES)).toBe(false);
    expect(isStartOverdue(wait, 2001 + signalledBudgetMs, WRAPPER_TIMES)).toBe(true);
    expect(isStartOverdue({ ...wait, stopAskedAt: 0 }, 1 + signalledBudgetMs, WRAPPER_TIMES)).toBe(true);
  });
});

describe('a refusal', () => {
  const { refusedBudgetMs, graceMarginMs } = WRAPPER_TIMES;
  it('[SPL30] before the first welcome is believed when it has lasted for its time', () => {
    const refusal = { refusedSince: 1000, connectedAt: 0, policy: null };
    expect(isRefusalBelieved(refusal, 1000 + refusedBudgetMs, WRAPPER_TIMES)).toBe(false);
    expect(isRefusalBelieved(refusal, 1001 + refusedBudgetMs, WRAPPER_TIMES)).toBe(true);
  });
  const policy = { disconnectGraceMs: 60_000, silenceTimeoutMs: 40_000 };
  it('[SPL29] after it is believed when the silence limit and twice the grace are over since the connection was sound', () => {
    const refusal = { refusedSince: 1000, connectedAt: 1000, policy };
    const over = 1000 + 40_000 + 2 * 60_000 + graceMarginMs;
    expect(isRefusalBelieved(refusal, over, WRAPPER_TIMES)).toBe(false);
    expect(isRefusalBelieved(refusal, over + 1, WRAPPER_TIMES)).toBe(true);
  });
  it('[SPL29] and when the coordinator has refused for a whole grace: before that it may have been down', () => {
    const refusal = { refusedSince: 3_600_000, connectedAt: 1000, policy };
    expect(isRefusalBelieved(refusal, 3_600_000 + 60_000 + graceMarginMs, WRAPPER_TIMES)).toBe(false);
    expect(isRefusalBelieved(refusal, 3_600_001 + 60_000 + graceMarginMs, WRAPPER_TIMES)).toBe(true);
  });
});

describe('the delivery of the end', () => {
  const { drainBudgetMinMs } = WRAPPER_TIMES;
  it('has twice the grace, and never less than its least time', () => {
    expect(drainBudgetMs(drainBudgetMinMs, WRAPPER_TIMES)).toBe(2 * drainBudgetMinMs);
    expect(drainBudgetMs(1, WRAPPER_TIMES)).toBe(drainBudgetMinMs);
  });
  it('ends when neither its start nor an ack is recent', () => {
    expect(isDrainOverdue({ since: 1000, ackedAt: null }, 1500, 500)).toBe(false);
    expect(isDrainOverdue({ since: 1000, ackedAt: null }, 1501, 500)).toBe(true);
    expect(isDrainOverdue({ since: 1000, ackedAt: 1400 }, 1900, 500)).toBe(false);
    expect(isDrainOverdue({ since: 1000, ackedAt: 1400 }, 1901, 500)).toBe(true);
    // An ack from before the job's end does not shorten it.
    expect(isDrainOverdue({ since: 1000, ackedAt: 100 }, 1500, 500)).toBe(false);
  });
});
