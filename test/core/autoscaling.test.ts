/** Goal: the script of examples/autoscaling starts what is missing, once. Method: its pure functions. */

import { expect, test } from 'vitest';

type Pool = { waiting: number; runners: readonly object[] };
/** It is plain JavaScript, for people who copy it. */
const { machinesToStart, stillStarting } = (await import(
  new URL('../../examples/autoscaling/scale.mjs', import.meta.url).href
)) as {
  machinesToStart(facts: { pool: Pool; starting: string[] }, terms: { slots: number; max: number }): number;
  stillStarting(started: Map<string, number>, pool: Pool, now: number, startMs: number): Map<string, number>;
};

const runner = (name: string, slots: number, busy: number, state = 'connected') => ({ name, slots, busy, state });
const pool = (waiting: number, ...runners: ReturnType<typeof runner>[]) => ({ waiting, runners });

test('[AS1] starts as many machines as slots are missing, within the limit', () => {
  const terms = { slots: 2, max: 5 };
  expect(machinesToStart({ pool: pool(0), starting: [] }, terms)).toBe(0);
  expect(machinesToStart({ pool: pool(3), starting: [] }, terms)).toBe(2);
  expect(machinesToStart({ pool: pool(100), starting: [] }, terms)).toBe(5);
  expect(machinesToStart({ pool: pool(3, runner('a', 4, 2)), starting: [] }, terms)).toBe(1);
  expect(machinesToStart({ pool: pool(2, runner('a', 4, 2)), starting: [] }, terms)).toBe(0);
});

test('[AS2] ten looks at one queue start its machines once', () => {
  const starting: string[] = [];
  let count = 0;
  for (let look = 0; look < 10; look += 1) {
    const more = machinesToStart({ pool: pool(4), starting }, { slots: 1, max: 9 });
    for (let each = 0; each < more; each += 1) starting.push(`m${count++}`);
  }
  expect(count).toBe(4);
});

test('[AS4] a runner that drains or is lost has no slots, and its runs need none', () => {
  const others = pool(1, runner('a', 4, 2, 'draining'), runner('b', 4, 0, 'lost'));
  expect(machinesToStart({ pool: others, starting: [] }, { slots: 1, max: 5 })).toBe(1);
});

test('[AS3] a machine counts as starting until its runner is known, or its time is over', () => {
  const started = new Map([
    ['known', 0],
    ['new', 900],
    ['late', 0],
  ]);
  expect([...stillStarting(started, pool(0, runner('known', 1, 0)), 1000, 1000).keys()]).toEqual(['new']);
});
