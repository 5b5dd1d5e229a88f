import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { within, withTimeLimit } from '../../src/platform/time-limit.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const heeding = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));

it('[G7] leaves no timer behind, whether the work succeeds or fails', async () => {
  await expect(withTimeLimit(20_000, async () => 'done')).resolves.toBe('done');
  expect(vi.getTimerCount()).toBe(0);
  await expect(withTimeLimit(20_000, () => Promise.reject(new Error('broken')))).rejects.toThrow('broken');
  expect(vi.getTimerCount()).toBe(0);
});

it('aborts the work when its time is over, and not before', async () => {
  let signal: AbortSignal | null = null;
  const ended = withTimeLimit(20_000, (given) => {
    signal = given;
    return heeding(given);
  }).catch((error: Error) => error);
  await vi.advanceTimersByTimeAsync(19_999);
  expect((signal as AbortSignal | null)?.aborted).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  expect(await ended).toMatchObject({ name: 'TimeoutError', message: 'no answer within 20000 ms' });
  expect(vi.getTimerCount()).toBe(0);
});

it('[G7] work without a signal: rejects at the limit and not before, and leaves no timer behind', async () => {
  await expect(within(1000, Promise.resolve('done'))).resolves.toBe('done');
  await expect(within(1000, Promise.reject(new Error('broken')))).rejects.toThrow('broken');
  expect(vi.getTimerCount()).toBe(0);
  let error: unknown = null;
  void within(1000, new Promise(() => {})).catch((reason: unknown) => {
    error = reason;
  });
  await vi.advanceTimersByTimeAsync(999);
  expect(error).toBeNull();
  await vi.advanceTimersByTimeAsync(1);
  expect(error).toMatchObject({ name: 'TimeoutError', message: 'no answer within 1000 ms' });
  expect(vi.getTimerCount()).toBe(0);
});
