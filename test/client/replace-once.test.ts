/**
 * Goal: what is made on demand is made once, however many ask, and no failure and no late comer spoils it.
 * Method: a maker that the test resolves by hand, under fake timers.
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

describe('one replacement', () => {
  test('[O1] nothing is made before it is asked for, and what lives is given out again', async () => {
    const one = replacement();
    expect(attempts.length).toBe(0);
    const first = one.get();
    attempts[0]?.resolve(made('a'));
    expect((await first).name).toBe('a');
    expect(await one.get()).toBe(await first);
    expect(attempts.length).toBe(1);
  });

  test.each(['it says itself that it is dead', 'somebody says that it failed'])(
    '[O1] either signal ends it: %s',
    async (signal) => {
      const one = replacement();
      const first = one.get();
      attempts[0]?.resolve(made('a'));
      const value = await first;
      if (signal.includes('own')) value.alive = false;
      else one.failed(value);
      const second = one.get();
      attempts[1]?.resolve(made('b'));
      expect((await second).name).toBe('b');
    },
  );

  test('[O2] all who ask while it is replaced share one attempt', async () => {
    const one = replacement();
    const asking = Array.from({ length: 50 }, () => one.get());
    expect(attempts.length).toBe(1);
    attempts[0]?.resolve(made('a'));
    expect(new Set((await Promise.all(asking)).map(({ name }) => name))).toEqual(new Set(['a']));
  });

  test('[O3] a failed attempt poisons nothing: who shared it is told, who asks next gets a new one', async () => {
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

  test('[O4] a late attempt of an old generation can never install itself', async () => {
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

  test('[O4] nor can its failure end the attempt that came after it', async () => {
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

  test('[O5] a stale failure is a no-op: it does not end the value that replaced the failed one', async () => {
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
