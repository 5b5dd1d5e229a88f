/**
 * Goal: the reconnect policy has the names and semantics that other programs rely on, and what was
 * added on top holds: a spread that also applies at the cap, a budget, Retry-After as a lower
 * bound, and delays of which several fit into the grace.
 *
 * Method: one test per line of S1; for our own delays the extremes of `random`, since every other
 * value lies between them.
 */

import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import {
  BackoffController,
  backoffDelayMs,
  classifyUpgradeError,
  delayWithinBudget,
  POLICY_BOUNDS,
  POLICY_DEFAULTS,
  RETRY_AFTER_MS_MAX,
  retryDelayMs,
  WRAPPER_RECONNECT,
  wrapperReconnectCapMs,
} from '../../protocol/index.ts';

const NEVER = (): number => {
  throw new Error('random was called');
};
/** The largest answer of Math.random, as near as it matters. */
const ALMOST_ONE = (): number => 1 - Number.EPSILON;
const ZERO = (): number => 0;

describe('backoffDelayMs', () => {
  it('doubles from baseMs 1000 to capMs 30000 when nothing is given', () => {
    expect([0, 1, 2, 3, 4, 5, 6, 50].map((attempt) => backoffDelayMs(attempt))).toEqual([
      1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000,
    ]);
  });

  it('is min(baseMs·2^attempt + floor(random()·jitterMs), capMs)', () => {
    const options = { baseMs: 100, capMs: 1000, jitterMs: 50, random: () => 0.999 };
    expect([0, 1, 2, 3, 4].map((attempt) => backoffDelayMs(attempt, options))).toEqual([149, 249, 449, 849, 1000]);
    expect(backoffDelayMs(1, { ...options, random: () => 0.5 })).toBe(225);
    expect(backoffDelayMs(1, { ...options, random: ZERO })).toBe(200);
  });

  it('floors the jitter, not the sum', () => {
    expect(backoffDelayMs(0, { baseMs: 10.5, jitterMs: 3, random: () => 0.99 })).toBe(12.5);
  });

  it('the cap holds for jitter too', () => {
    expect(backoffDelayMs(3, { baseMs: 1000, capMs: 8000, jitterMs: 500, random: ALMOST_ONE })).toBe(8000);
    expect(backoffDelayMs(0, { baseMs: 1000, capMs: 500 })).toBe(500);
  });

  it('random is not called when jitterMs is 0, and once when it is not', () => {
    expect(backoffDelayMs(2, { jitterMs: 0, random: NEVER })).toBe(4000);
    expect(backoffDelayMs(2, { random: NEVER })).toBe(4000);
    const random = vi.fn(() => 0.5);
    expect(backoffDelayMs(2, { jitterMs: 100, random })).toBe(4050);
    expect(random).toHaveBeenCalledTimes(1);
  });

  it('uses Math.random when no random is given', () => {
    const random = vi.spyOn(Math, 'random').mockReturnValue(0.5);
    expect(backoffDelayMs(0, { jitterMs: 100 })).toBe(1050);
    backoffDelayMs(0);
    expect(random).toHaveBeenCalledTimes(1);
    random.mockRestore();
  });

  it('a negative attempt counts as 0', () => {
    expect(backoffDelayMs(-1)).toBe(1000);
    expect(backoffDelayMs(Number.NEGATIVE_INFINITY)).toBe(1000);
  });

  it('from floor.afterAttempts on the answer is floor.delayMs', () => {
    const floor = { afterAttempts: 3, delayMs: 60_000 };
    expect([0, 2, 3, 4, 1000].map((attempt) => backoffDelayMs(attempt, { floor }))).toEqual([1000, 4000, 60_000, 60_000, 60_000]);
  });

  it('the floor is past curve, jitter and cap, above and below them', () => {
    const options = { capMs: 5000, jitterMs: 1000, random: NEVER };
    expect(backoffDelayMs(3, { ...options, floor: { afterAttempts: 3, delayMs: 60_000 } })).toBe(60_000);
    expect(backoffDelayMs(9, { ...options, floor: { afterAttempts: 3, delayMs: 1 } })).toBe(1);
    expect(backoffDelayMs(0, { ...options, floor: { afterAttempts: 0, delayMs: 7 } })).toBe(7);
  });

  it('the floor compares the attempt itself: a negative one is below afterAttempts 0', () => {
    expect(backoffDelayMs(-1, { floor: { afterAttempts: 0, delayMs: 7 } })).toBe(1000);
  });

  it('is a finite delay between base and cap for any attempt', () => {
    fc.assert(
      fc.property(
        fc.nat({ max: 5000 }),
        fc.nat({ max: 10_000 }),
        fc.nat({ max: 100_000 }),
        fc.nat({ max: 5000 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (attempt, baseMs, capMs, jitterMs, draw) => {
          const delay = backoffDelayMs(attempt, { baseMs, capMs, jitterMs, random: () => draw });
          expect(delay).toBeGreaterThanOrEqual(Math.min(baseMs, capMs));
          expect(delay).toBeLessThanOrEqual(capMs);
        },
      ),
    );
    expect(backoffDelayMs(5000, { baseMs: 0 })).toBe(0);
    expect(backoffDelayMs(Number.POSITIVE_INFINITY)).toBe(30_000);
  });
});

describe('BackoffController', () => {
  it('begins idle at attempt 0', () => {
    const controller = new BackoffController();
    expect([controller.status, controller.attempt]).toEqual(['idle', 0]);
  });

  it('start() is connecting', () => {
    const controller = new BackoffController();
    controller.start();
    expect([controller.status, controller.attempt]).toEqual(['connecting', 0]);
  });

  it('recordFailure() is retry with attempt + 1, still connecting', () => {
    const controller = new BackoffController();
    controller.start();
    expect(controller.recordFailure()).toBe('retry');
    expect([controller.status, controller.attempt]).toEqual(['connecting', 1]);
  });

  it('maxAttempts is 6 when not given: six retries, then give-up', () => {
    const controller = new BackoffController();
    controller.start();
    expect(Array.from({ length: 7 }, () => controller.recordFailure())).toEqual([...Array(6).fill('retry'), 'give-up']);
  });

  it('give-up is giving-up with the attempt unchanged, every further time too', () => {
    const controller = new BackoffController({ maxAttempts: 2 });
    controller.start();
    expect([
      controller.recordFailure(),
      controller.recordFailure(),
      controller.recordFailure(),
      controller.recordFailure(),
    ]).toEqual(['retry', 'retry', 'give-up', 'give-up']);
    expect([controller.status, controller.attempt]).toEqual(['giving-up', 2]);
  });

  it('maxAttempts 0 gives up at the first failure', () => {
    const controller = new BackoffController({ maxAttempts: 0 });
    controller.start();
    expect(controller.recordFailure()).toBe('give-up');
    expect([controller.status, controller.attempt]).toEqual(['giving-up', 0]);
  });

  it('nextDelayMs() is the curve of attempt − 1: the first retry waits the base', () => {
    const controller = new BackoffController({ baseMs: 100, capMs: 1000 });
    controller.start();
    const delays = Array.from({ length: 6 }, () => {
      controller.recordFailure();
      return controller.nextDelayMs();
    });
    expect(delays).toEqual([100, 200, 400, 800, 1000, 1000]);
  });

  it('nextDelayMs() before any failure is the base', () => {
    expect(new BackoffController({ baseMs: 100 }).nextDelayMs()).toBe(100);
  });

  it('nextDelayMs() applies jitter, cap and floor of its options, and changes nothing', () => {
    const random = vi.fn(() => 0.5);
    const controller = new BackoffController({
      baseMs: 100,
      jitterMs: 10,
      random,
      floor: { afterAttempts: 2, delayMs: 9 },
      maxAttempts: Number.POSITIVE_INFINITY,
    });
    controller.start();
    const delays = Array.from({ length: 4 }, () => {
      controller.recordFailure();
      return controller.nextDelayMs();
    });
    expect(delays).toEqual([105, 205, 9, 9]);
    expect(controller.nextDelayMs()).toBe(9);
    expect([controller.status, controller.attempt]).toEqual(['connecting', 4]);
    expect(random).toHaveBeenCalledTimes(2);
  });

  it('recordSuccess() is attempt 0, connected; the next failure waits the base again', () => {
    const controller = new BackoffController();
    controller.start();
    controller.recordFailure();
    controller.recordFailure();
    controller.recordSuccess();
    expect([controller.status, controller.attempt]).toEqual(['connected', 0]);
    expect(controller.recordFailure()).toBe('retry');
    expect(controller.nextDelayMs()).toBe(1000);
    expect(controller.status).toBe('connecting');
  });

  it('reset() is the manual reconnect after giving up: attempt 0, connecting, all retries again', () => {
    const controller = new BackoffController({ maxAttempts: 1 });
    controller.start();
    controller.recordFailure();
    controller.recordFailure();
    expect(controller.status).toBe('giving-up');
    controller.reset();
    expect([controller.status, controller.attempt]).toEqual(['connecting', 0]);
    expect([controller.recordFailure(), controller.recordFailure()]).toEqual(['retry', 'give-up']);
  });

  it('stop() is idle, from every status', () => {
    for (const bring of [
      () => {},
      (controller: BackoffController) => controller.start(),
      (controller: BackoffController) => controller.recordSuccess(),
      (controller: BackoffController) => void controller.recordFailure(),
    ]) {
      const controller = new BackoffController({ maxAttempts: 0 });
      bring(controller);
      controller.stop();
      expect(controller.status).toBe('idle');
    }
  });

  it('with spread: nextDelayMs() is retryDelayMs of the attempt, at least what was asked for', () => {
    const curve = { baseMs: 250, capMs: 4000, random: () => 0.5 };
    const backoff = new BackoffController({ ...curve, spread: 'half' });
    for (const attempt of [1, 2, 3, 4, 5, 6]) {
      backoff.recordFailure();
      expect(backoff.nextDelayMs()).toBe(retryDelayMs(attempt, { ...curve, firstImmediate: false }));
      expect(backoff.nextDelayMs(9000)).toBe(9125);
    }
  });

  it('with a full spread: from 0 to the curve, at least what was asked for', () => {
    const curve = { baseMs: 250, capMs: 1000, spread: 'full' } as const;
    const [none, half] = [0, 0.5].map((part) => new BackoffController({ ...curve, random: () => part }));
    for (const full of [250, 500, 1000, 1000]) {
      none?.recordFailure();
      half?.recordFailure();
      expect([none?.nextDelayMs(), half?.nextDelayMs(), half?.nextDelayMs(9000)]).toEqual([0, full / 2, 9000]);
    }
  });

  it('Infinity never gives up', () => {
    const controller = new BackoffController({ maxAttempts: Number.POSITIVE_INFINITY });
    controller.start();
    for (let failure = 1; failure <= 5000; failure += 1) expect(controller.recordFailure()).toBe('retry');
    expect([controller.status, controller.attempt, controller.nextDelayMs()]).toEqual(['connecting', 5000, 30_000]);
  });
});

describe('classifyUpgradeError', () => {
  it('code 4404 is permanent', () => {
    expect(classifyUpgradeError({ code: 4404 })).toBe('permanent');
    expect(classifyUpgradeError({ code: 4404, message: 'socket hang up' })).toBe('permanent');
  });

  it.each([400, 401, 403, 404, 408, 425, 426, 429, 499, '404'])('code %s is permanent', (code) => {
    expect(classifyUpgradeError({ code: code as number })).toBe('permanent');
  });

  it.each([
    399,
    500,
    502,
    503,
    1006,
    1011,
    4000,
    4401,
    4403,
    4405,
    4429,
    0,
    -404,
    Number.NaN,
    'ECONNREFUSED',
    'ETIMEDOUT',
    '',
    undefined,
  ])('code %s is transient', (code) => {
    expect(classifyUpgradeError({ code } as { code?: number })).toBe('transient');
  });

  it.each(['400', '401', '404', '429', '499'])(
    'the message "Unexpected server response: %s" is permanent, as text or in an error',
    (status) => {
      expect(classifyUpgradeError(`Unexpected server response: ${status}`)).toBe('permanent');
      expect(classifyUpgradeError({ message: `Unexpected server response: ${status}` })).toBe('permanent');
      expect(classifyUpgradeError(new Error(`Unexpected server response: ${status}`))).toBe('permanent');
      expect(classifyUpgradeError({ code: 500, message: `Unexpected server response: ${status}` })).toBe('permanent');
    },
  );

  it.each([
    'Unexpected server response: 500',
    'Unexpected server response: 302',
    'Unexpected server response: 40',
    'connect ECONNREFUSED 127.0.0.1:4404',
    'HTTP 404',
    '404',
    '4404',
    '',
  ])('the message %j is transient', (message) => {
    expect(classifyUpgradeError(message)).toBe('transient');
    expect(classifyUpgradeError({ message })).toBe('transient');
  });

  it('an error without a reason is transient', () => {
    expect(classifyUpgradeError({})).toBe('transient');
  });

  it('408, 425 and 429 are permanent here; our own connections do not ask it, but the table of next-step.ts', () => {
    for (const status of [408, 425, 429]) expect(classifyUpgradeError({ code: status })).toBe('permanent');
  });
});

describe('retryDelayMs', () => {
  const curve = { baseMs: 500, capMs: 8000 };

  it('[SPL7] the first retry is immediate, then exponential to the cap', () => {
    const most = [1, 2, 3, 4, 5, 6, 7, 99].map((attempt) => retryDelayMs(attempt, { ...curve, random: ALMOST_ONE }));
    expect(most.map(Math.ceil)).toEqual([0, 500, 1000, 2000, 4000, 8000, 8000, 8000].map((full) => (full === 0 ? 0 : full - 1)));
    const least = [1, 2, 3, 4, 5, 6, 7, 99].map((attempt) => retryDelayMs(attempt, { ...curve, random: ZERO }));
    expect(least).toEqual([0, 250, 500, 1000, 2000, 4000, 4000, 4000]);
  });

  it('[SPL7] the jitter also applies at the cap: a herd spreads over half of it', () => {
    const delays = Array.from({ length: 1000 }, (_, index) => retryDelayMs(50, { ...curve, random: () => index / 1000 }));
    expect(Math.min(...delays)).toBe(4000);
    expect(Math.max(...delays)).toBeGreaterThan(7990);
    expect(new Set(delays).size).toBeGreaterThan(900);
  });

  it('[SPL7] without firstImmediate the first retry waits about the base', () => {
    const options = { ...curve, firstImmediate: false };
    expect(retryDelayMs(1, { ...options, random: ZERO })).toBe(250);
    expect(retryDelayMs(1, { ...options, random: ALMOST_ONE })).toBe(499);
    expect(retryDelayMs(2, { ...options, random: ZERO })).toBe(500);
  });

  it('[CLS13] Retry-After is a lower bound, spread upwards by at most the base', () => {
    expect(retryDelayMs(1, { ...curve, random: ZERO }, 5000)).toBe(5000);
    expect(retryDelayMs(1, { ...curve, random: ALMOST_ONE }, 5000)).toBeLessThan(5500);
    expect(retryDelayMs(9, { ...curve, random: ZERO }, 60_000)).toBe(60_000);
  });

  it('[CLS13] Retry-After: 0 on every refusal does not become a storm: the curve still holds', () => {
    expect([2, 3, 4, 5, 6].map((attempt) => retryDelayMs(attempt, { ...curve, random: ZERO }, 0))).toEqual([
      250, 500, 1000, 2000, 4000,
    ]);
  });

  it('[CLS13] for any request: finite, never below Retry-After, never far above it or the cap', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 5000 }),
        fc.option(fc.nat({ max: RETRY_AFTER_MS_MAX })),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        fc.boolean(),
        (attempt, retryAfter, draw, firstImmediate) => {
          const delay = retryDelayMs(attempt, { ...curve, firstImmediate, random: () => draw }, retryAfter);
          expect(delay).toBeGreaterThanOrEqual(retryAfter ?? 0);
          expect(delay).toBeLessThanOrEqual(Math.max(curve.capMs, (retryAfter ?? 0) + curve.baseMs));
          expect(delay).toBeLessThan(2 ** 31);
        },
      ),
    );
  });
});

describe('delayWithinBudget', () => {
  const budget = { startedAt: 1000, attemptBeganAt: 5000, now: 5000, budgetMs: 10_000 };
  it('a total-time budget: the last attempt begins when it ends', () => {
    expect(delayWithinBudget(budget, 5999)).toBe(5999);
    expect(delayWithinBudget(budget, 9000)).toBe(6000);
    expect(delayWithinBudget({ ...budget, attemptBeganAt: 10_999, now: 10_999 }, 500)).toBe(1);
    expect(delayWithinBudget({ ...budget, attemptBeganAt: 11_000, now: 11_000 }, 500)).toBeNull();
    expect(delayWithinBudget({ ...budget, budgetMs: Number.POSITIVE_INFINITY }, 1e12)).toBe(1e12);
  });
  it('a budget of 0 allows one attempt', () => {
    expect(delayWithinBudget({ startedAt: 1000, attemptBeganAt: 1000, now: 1000, budgetMs: 0 }, 0)).toBeNull();
  });
  it('after a sleep in the middle of an attempt there is one more attempt', () => {
    const slept = { ...budget, now: 5000 + 11 * 60_000 };
    expect(delayWithinBudget(slept, 500)).toBe(0);
    expect(delayWithinBudget({ ...slept, attemptBeganAt: slept.now }, 500)).toBeNull();
  });
  it('the requested delay is a lower bound, and ends the retries when it exceeds the rest of the budget', () => {
    expect(delayWithinBudget(budget, 500, 2000)).toBe(2000);
    expect(delayWithinBudget(budget, 500, 6000)).toBe(6000);
    expect(delayWithinBudget(budget, 500, 6001)).toBeNull();
  });
});

describe('[SPL8] the delays are derived from the grace', () => {
  /**
   * When each attempt begins, counted from the cut, if every attempt but the last fails after
   * `attemptMs` and chance is always against us.
   */
  const attemptTimes = (disconnectGraceMs: number, attemptMs: number): number[] => {
    const options = { baseMs: WRAPPER_RECONNECT.baseMs, capMs: wrapperReconnectCapMs(disconnectGraceMs), random: ALMOST_ONE };
    const times: number[] = [];
    let now = 0;
    for (let attempt = 1; attempt <= 10_000; attempt += 1) {
      now += retryDelayMs(attempt, options);
      if (now >= disconnectGraceMs) break;
      times.push(now);
      now += attemptMs;
    }
    return times;
  };

  it('[SPL8] the constants are pinned', () => {
    expect(WRAPPER_RECONNECT).toEqual({ baseMs: 500, capMs: 8000, attemptsPerGrace: 6 });
  });

  it('[SPL8] with the default grace ten attempts begin within it, at the worst', () => {
    expect(wrapperReconnectCapMs(POLICY_DEFAULTS.disconnectGraceMs)).toBe(8000);
    expect(attemptTimes(POLICY_DEFAULTS.disconnectGraceMs, 0).length).toBeGreaterThanOrEqual(10);
  });

  it('[SPL8] and still six when each takes two seconds to fail', () => {
    expect(attemptTimes(POLICY_DEFAULTS.disconnectGraceMs, 2000).length).toBeGreaterThanOrEqual(WRAPPER_RECONNECT.attemptsPerGrace);
  });

  it.each([1000, 1500, 2000, 5000, 10_000, 30_000, 47_999, 48_000, 48_001])(
    '[SPL8] with a grace of %i ms six attempts begin within it, at the worst',
    (grace) => {
      expect(attemptTimes(grace, 0).length).toBeGreaterThanOrEqual(WRAPPER_RECONNECT.attemptsPerGrace);
    },
  );

  it('[SPL8] with any grace that a policy may have, and with the last of them not in the first half', () => {
    const { min: minMs, max: maxMs } = POLICY_BOUNDS.disconnectGraceMs;
    fc.assert(
      fc.property(fc.oneof(fc.integer({ min: minMs, max: 120_000 }), fc.integer({ min: minMs, max: maxMs })), (grace) => {
        const times = attemptTimes(grace, 0);
        expect(times.length).toBeGreaterThanOrEqual(WRAPPER_RECONNECT.attemptsPerGrace);
        expect(times.at(-1)).toBeGreaterThan(grace / 2);
      }),
    );
  });

  it('[SPL8] the cap is at most 8 s, a sixth of the grace below that, and never a spin', () => {
    expect([1000, 6000, 48_000, 48_001, 86_400_000].map(wrapperReconnectCapMs)).toEqual([166, 1000, 8000, 8000, 8000]);
    expect(wrapperReconnectCapMs(0)).toBe(50);
  });
});
