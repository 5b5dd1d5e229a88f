/**
 * Goal: a request without an answer is sent again alongside the first, and the first answer counts.
 * Method: attempts that the test settles by hand, under fake timers.
 */

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { HoldfastError } from '../../client/http/error.ts';
import { ATTEMPTS_MAX, HEDGE_DELAY_MS, hedge } from '../../client/http/hedge.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

interface Attempt {
  signal: AbortSignal;
  answer(text: string): void;
  fail(error: Error): void;
}

function begin() {
  const attempts: Attempt[] = [];
  const caller = new AbortController();
  const outcome = hedge<string>(
    (signal) =>
      new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
        attempts.push({ signal, answer: resolve, fail: reject });
      }),
    { signal: caller.signal, isAnswer: (error) => error instanceof HoldfastError },
  ).then(
    (answer) => ({ answer }),
    (error: Error) => ({ error: error.message }),
  );
  const attempt = (index: number): Attempt => {
    const found = attempts[index];
    if (!found) throw new Error(`there is no attempt ${index}`);
    return found;
  };
  return { attempts, attempt, outcome, caller };
}
const broken = new TypeError('Failed to fetch');
const refused = new HoldfastError({ code: 'unauthorized', message: 'no', retryable: false, status: 401 });

describe('a hedged request', () => {
  it('is sent once when the answer comes soon', async () => {
    const { attempts, attempt, outcome } = begin();
    await vi.advanceTimersByTimeAsync(HEDGE_DELAY_MS - 1);
    attempt(0).answer('yes');
    expect(await outcome).toEqual({ answer: 'yes' });
    await vi.advanceTimersByTimeAsync(10 * HEDGE_DELAY_MS);
    expect(attempts).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('[FA1] [FA2] is sent again up to the limit; the first answer aborts the other attempts', async () => {
    const { attempts, attempt, outcome } = begin();
    await vi.advanceTimersByTimeAsync(10 * HEDGE_DELAY_MS);
    expect(attempts).toHaveLength(ATTEMPTS_MAX);
    expect(attempts.some(({ signal }) => signal.aborted)).toBe(false);
    attempt(2).answer('third');
    expect(await outcome).toEqual({ answer: 'third' });
    expect(attempts.every(({ signal }) => signal.aborted)).toBe(true);
  });

  it('[FA2] counts a refusal as an answer', async () => {
    const { attempts, attempt, outcome } = begin();
    await vi.advanceTimersByTimeAsync(HEDGE_DELAY_MS);
    attempt(1).fail(refused);
    expect(await outcome).toEqual({ error: 'no' });
    await vi.advanceTimersByTimeAsync(10 * HEDGE_DELAY_MS);
    expect(attempts).toHaveLength(2);
    expect(attempt(0).signal.aborted).toBe(true);
  });

  it('[FA3] ignores a broken connection while another attempt runs, and throws the last error', async () => {
    const first = begin();
    await vi.advanceTimersByTimeAsync(HEDGE_DELAY_MS);
    first.attempt(0).fail(broken);
    first.attempt(1).answer('yes');
    expect(await first.outcome).toEqual({ answer: 'yes' });

    const second = begin();
    await vi.advanceTimersByTimeAsync(HEDGE_DELAY_MS);
    second.attempt(1).fail(new TypeError('reset'));
    second.attempt(0).fail(broken);
    expect(await second.outcome).toEqual({ error: broken.message });
    await vi.advanceTimersByTimeAsync(10 * HEDGE_DELAY_MS);
    expect(second.attempts).toHaveLength(2);
  });

  it('is aborted by its caller', async () => {
    const { attempts, outcome, caller } = begin();
    await vi.advanceTimersByTimeAsync(HEDGE_DELAY_MS);
    caller.abort(new Error('enough'));
    expect(await outcome).toEqual({ error: 'enough' });
    await vi.advanceTimersByTimeAsync(10 * HEDGE_DELAY_MS);
    expect(attempts).toHaveLength(2);
  });
});
