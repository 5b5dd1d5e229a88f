import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { settlesWithin } from '../../wrapper/time-limit.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

it('is true for work that ends in time, rejects with it, and leaves no timer', async () => {
  await expect(settlesWithin(2000, Promise.resolve())).resolves.toBe(true);
  await expect(settlesWithin(2000, Promise.reject(new Error('broken')))).rejects.toThrow('broken');
  expect(vi.getTimerCount()).toBe(0);
});

it('is false at the limit and not before; a failure that comes later is ignored', async () => {
  let fail: (error: Error) => void = () => {};
  const work = new Promise((_, reject) => {
    fail = reject;
  });
  const answer = vi.fn();
  void settlesWithin(2000, work).then(answer);
  await vi.advanceTimersByTimeAsync(1999);
  expect(answer).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  expect(answer).toHaveBeenCalledWith(false);
  fail(new Error('later'));
  await vi.advanceTimersByTimeAsync(1);
});
