/** Goal: a question that nobody answers is asked beside itself, and the first answer is the only one. Method: askings that the test settles by hand, on a clock of its own. */

import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { HoldfastError } from '../../client/http/error.ts';
import { ATTEMPTS_MAX, HEDGE_DELAY_MS, hedge } from '../../client/http/hedge.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

interface Asking {
  signal: AbortSignal;
  answer(text: string): void;
  fail(error: Error): void;
}

function begin() {
  const askings: Asking[] = [];
  const caller = new AbortController();
  const outcome = hedge<string>(
    (signal) =>
      new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason));
        askings.push({ signal, answer: resolve, fail: reject });
      }),
    { signal: caller.signal, isAnswer: (error) => error instanceof HoldfastError },
  ).then(
    (answer) => ({ answer }),
    (error: Error) => ({ error: error.message }),
  );
  const asking = (index: number): Asking => {
    const found = askings[index];
    if (!found) throw new Error(`there is no asking ${index}`);
    return found;
  };
  return { askings, asking, outcome, caller };
}
const broken = new TypeError('Failed to fetch');
const refused = new HoldfastError({ code: 'unauthorized', message: 'no', retryable: false, status: 401 });

describe('a question', () => {
  it('that is answered soon is asked once', async () => {
    const { askings, asking, outcome } = begin();
    await vi.advanceTimersByTimeAsync(HEDGE_DELAY_MS - 1);
    asking(0).answer('yes');
    expect(await outcome).toEqual({ answer: 'yes' });
    await vi.advanceTimersByTimeAsync(10 * HEDGE_DELAY_MS);
    expect(askings).toHaveLength(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  it('[FA1] [FA2] that is not is asked again beside itself, so often and no oftener; the first answer ends the others', async () => {
    const { askings, asking, outcome } = begin();
    await vi.advanceTimersByTimeAsync(10 * HEDGE_DELAY_MS);
    expect(askings).toHaveLength(ATTEMPTS_MAX);
    expect(askings.some(({ signal }) => signal.aborted)).toBe(false);
    asking(2).answer('third');
    expect(await outcome).toEqual({ answer: 'third' });
    expect(askings.every(({ signal }) => signal.aborted)).toBe(true);
  });

  it('[FA2] a refusal is an answer', async () => {
    const { askings, asking, outcome } = begin();
    await vi.advanceTimersByTimeAsync(HEDGE_DELAY_MS);
    asking(1).fail(refused);
    expect(await outcome).toEqual({ error: 'no' });
    await vi.advanceTimersByTimeAsync(10 * HEDGE_DELAY_MS);
    expect(askings).toHaveLength(2);
    expect(asking(0).signal.aborted).toBe(true);
  });

  it('[FA3] a broken connection is none while another may bring one; the last of them says what went wrong', async () => {
    const first = begin();
    await vi.advanceTimersByTimeAsync(HEDGE_DELAY_MS);
    first.asking(0).fail(broken);
    first.asking(1).answer('yes');
    expect(await first.outcome).toEqual({ answer: 'yes' });

    const second = begin();
    await vi.advanceTimersByTimeAsync(HEDGE_DELAY_MS);
    second.asking(1).fail(new TypeError('reset'));
    second.asking(0).fail(broken);
    expect(await second.outcome).toEqual({ error: broken.message });
    await vi.advanceTimersByTimeAsync(10 * HEDGE_DELAY_MS);
    expect(second.askings).toHaveLength(2);
  });

  it('ends with its caller', async () => {
    const { askings, outcome, caller } = begin();
    await vi.advanceTimersByTimeAsync(HEDGE_DELAY_MS);
    caller.abort(new Error('enough'));
    expect(await outcome).toEqual({ error: 'enough' });
    await vi.advanceTimersByTimeAsync(10 * HEDGE_DELAY_MS);
    expect(askings).toHaveLength(2);
  });
});
