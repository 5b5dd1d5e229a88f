/**
 * Goal: a shared value is made once for all callers, and neither a failure nor a late value harms
 * it.
 * Method: a `make` that the test resolves by hand, under fake timers.
 */

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ReplaceOnce, type ReplaceOnceOptions } from '../../client/http/replace-once.ts';

interface Made {
  name: string;
  alive: boolean;
}

let attempts: { resolve: (value: Made) => void; reject: (error: Error) => void }[];
let disposed: string[];

beforeEach(() => {
  vi.useFakeTimers();
  attempts = [];
  disposed = [];
});
afterEach(() => vi.useRealTimers());

const replacement = (port: Partial<ReplaceOnceOptions<Made>> = {}) =>
  new ReplaceOnce<Made>({
    giveUpMs: 1_000,
    make: () => new Promise((resolve, reject) => attempts.push({ resolve, reject })),
    isAlive: ({ alive }) => alive,
    dispose: ({ name }) => disposed.push(name),
    ...port,
  });

const made = (name: string): Made => ({ name, alive: true });

describe('ReplaceOnce', () => {
  test('[O1] makes nothing before the first call, and hands out a live value again', async () => {
    const one = replacement();
    expect(attempts.length).toBe(0);
    const first = one.get();
    attempts[0]?.resolve(made('a'));
    expect((await first).name).toBe('a');
    expect(await one.get()).toBe(await first);
    expect(attempts.length).toBe(1);
  });

  test.each(['its own isAlive', 'a reported failure'])('[O1] either signal ends a value: %s', async (signal) => {
    const one = replacement();
    const first = one.get();
    attempts[0]?.resolve(made('a'));
    const value = await first;
    if (signal.includes('own')) value.alive = false;
    else one.failed(value);
    const second = one.get();
    attempts[1]?.resolve(made('b'));
    expect((await second).name).toBe('b');
  });

  test('[O2] concurrent callers share one attempt', async () => {
    const one = replacement();
    const asking = Array.from({ length: 50 }, () => one.get());
    expect(attempts.length).toBe(1);
    attempts[0]?.resolve(made('a'));
    expect(new Set((await Promise.all(asking)).map(({ name }) => name))).toEqual(new Set(['a']));
  });

  test('[O3] a failed attempt rejects the callers that shared it, and the next call starts a new one', async () => {
    const one = replacement();
    const asking = [one.get(), one.get()];
    attempts[0]?.reject(new Error('down'));
    expect((await Promise.allSettled(asking)).map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    const next = one.get();
    attempts[1]?.resolve(made('b'));
    expect((await next).name).toBe('b');
    const throws = replacement({
      make: () => {
        throw new Error('at once');
      },
    });
    await expect(throws.get()).rejects.toThrow('at once');
  });

  test('[O4] a late attempt never installs its value', async () => {
    const one = replacement();
    const first = one.get();
    const refused = expect(first).rejects.toThrow('within 1 s');
    await vi.advanceTimersByTimeAsync(1_000);
    await refused;
    const second = one.get();
    attempts[0]?.resolve(made('late'));
    await vi.advanceTimersByTimeAsync(0);
    expect(disposed).toEqual(['late']);
    attempts[1]?.resolve(made('b'));
    expect((await second).name).toBe('b');
    expect((await one.get()).name).toBe('b');
    expect(attempts.length).toBe(2);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('[O4] the failure of a late attempt does not end the next attempt', async () => {
    const one = replacement();
    one.get().catch(() => {});
    await vi.advanceTimersByTimeAsync(1_000);
    const second = one.get();
    attempts[0]?.reject(new Error('late'));
    await vi.advanceTimersByTimeAsync(0);
    expect(one.get()).toBe(second);
    attempts[1]?.resolve(made('b'));
    expect((await second).name).toBe('b');
  });

  test('[O5] reporting an old value does not end its replacement', async () => {
    const one = replacement();
    const first = one.get();
    attempts[0]?.resolve(made('a'));
    const old = await first;
    expect(one.failed(old)).toBe(true);
    const second = one.get();
    attempts[1]?.resolve(made('b'));
    const current = await second;
    expect(one.failed(old)).toBe(false);
    expect(await one.get()).toBe(current);
  });
});
