/**
 * Goal: the checks of a pool under faults find each broken rule, and claim nothing that was not seen.
 * Method: histories with one fault each, which must be found, and their sound neighbours.
 */

import { describe, expect, it } from 'vitest';
import type { PoolView } from '../../protocol/index.ts';
import { checkPool, type PoolRun, type Snapshot } from '../../tools/chaos/pool-history.ts';

const START = 1_763_650_000_000;

type Runner = PoolView['runners'][number];

const runner = (fields: Partial<Runner> = {}): Runner => ({
  id: 'r_a',
  name: 'a',
  labels: { group: 'one' },
  slots: 2,
  busy: 2,
  version: '0.2.0',
  state: 'connected',
  connectedAt: START,
  lastHeardAt: START,
  runs: [],
  ...fields,
});

const waits = (session: string, fields: Partial<PoolView['queue'][number]> = {}): PoolView['queue'][number] => ({
  session,
  execution: 'e1',
  priority: 0,
  since: START,
  reason: 'busy',
  ...fields,
});

const look = (at: number, queue: PoolView['queue'], runners: Runner[] = [runner()]): Snapshot => ({
  sentAt: START + at,
  receivedAt: START + at + 10,
  view: { id: 'p', createdAt: START, slots: 2, busy: 2, waiting: queue.length, runners, queue },
});

const run = (session: string, fields: Partial<PoolRun> = {}): PoolRun => ({
  session,
  requires: {},
  priority: 0,
  concurrency: null,
  events: [{ type: 'execution_pending', at: START, data: {} }],
  ran: [],
  ...fields,
});

const event = (type: string, at: number, data: Record<string, string> = {}) => ({
  type,
  at: START + at,
  data: { runner: 'r_a', ...data },
});

describe('the order of a pool', () => {
  const assigned = runner({ runs: [{ session: 'low', execution: 'e1', state: 'running', since: START + 50 }] });
  const high = waits('high', { priority: 5 });
  const looks = (first = high, second = high) => [look(0, [first, waits('low')]), look(100, [second], [assigned])];
  const runs = (fields: Partial<PoolRun> = {}) => [run('low'), run('high', { priority: 5, ...fields })];

  it('[POOL4] is broken when one of higher priority waits before and after the assignment', () => {
    const { problems, seen } = checkPool(runs(), looks(), START + 1000);
    expect(problems).toEqual(['low (priority 0) overtakes high (priority 5) on a']);
    expect(seen.compared).toBe(1);
  });

  it('[POOL4] is kept when the other one has a lower rank, and then it was compared', () => {
    const { problems, seen } = checkPool(
      [run('low'), run('high')],
      looks(waits('high', { since: START + 1 }), waits('high')),
      START + 1000,
    );
    expect([problems, seen.compared]).toEqual([[], 1]);
  });

  it.each<[string, Partial<PoolRun>]>([
    ['needs another runner', { requires: { group: 'two' } }],
    ['has a concurrency limit, which may be reached', { concurrency: { key: 'k', limit: 1 } }],
    ['was recalled from this runner, and avoids it', { events: [event('execution_recalled', -20_000)] }],
    [
      'was assigned and recalled between the two looks',
      { events: [event('execution_assigned', 40), event('execution_recalled', 60, { runner: 'r_b' })] },
    ],
  ])('[POOL4] says nothing when the other one %s', (_, fields) => {
    const { problems, seen } = checkPool(runs(fields), looks(), START + 1000);
    expect([problems, seen.compared]).toEqual([[], 0]);
  });

  it('[POOL15] says nothing of a run that its runner has brought back', () => {
    const returned = run('low', { events: [event('execution_recalled', 20)] });
    expect(checkPool([returned, run('high', { priority: 5 })], looks(), START + 1000).problems).toEqual([]);
  });
});

describe('a concurrency limit', () => {
  const one = { key: 'one', limit: 1 };
  const at = (from: number, to: number) => ({ concurrency: one, ran: [{ from, to }] });

  it('[POOL7] is broken when more commands run at the same time than may', () => {
    const { problems, seen } = checkPool([run('a', at(0, 10)), run('b', at(9, 20))], [], START);
    expect(problems).toEqual(['2 commands with one run when b begins, and 1 may']);
    expect(seen.peaks).toEqual({ one: 2 });
  });

  it('[POOL7] is kept when one begins as the other ends', () => {
    expect(checkPool([run('a', at(0, 10)), run('b', at(10, 20))], [], START)).toMatchObject({
      problems: [],
      seen: { peaks: { one: 1 } },
    });
  });
});

describe('an execution that waits after the faults', () => {
  const free = (fields: Partial<Runner> = {}) => [runner({ busy: 1, ...fields })];
  const looks = (times: number[], runners = free()) => times.map((at) => look(at, [waits('w')], runners));
  const problemsOf = (snapshots: Snapshot[], fields: Partial<PoolRun> = {}) =>
    checkPool([run('w', fields)], snapshots, START - 1).problems;

  it('[POOL6] waits too long beside a runner that is free and fits', () => {
    expect(problemsOf(looks([0, 500, 1100]))).toEqual(['w waits for 1090 ms while a is free and fits']);
  });

  it.each<[string, Snapshot[], Partial<PoolRun>]>([
    ['for a second', looks([0, 500, 1010]), {}],
    ['while the machine stands still between two looks', looks([0, 5000]), {}],
    ['while the runner is full', looks([0, 500, 1100], free({ busy: 2 })), {}],
    ['while the runner is not connected', looks([0, 500, 1100], free({ state: 'lost' })), {}],
    ['while the runner rests', looks([0, 500, 1100], free({ failing: { count: 1, code: 'x', restUntil: START + 9000 } })), {}],
    ['for other labels', looks([0, 500, 1100]), { requires: { group: 'two' } }],
    [
      'and was given to the runner meanwhile',
      looks([0, 500, 1100]),
      { events: [event('execution_assigned', 300), event('execution_recalled', 300)] },
    ],
    ['before the faults end', looks([-2000, -1500, -500]), {}],
  ])('[POOL6] may wait %s', (_, snapshots, fields) => {
    expect(problemsOf(snapshots, fields)).toEqual([]);
  });

  it('[POOL6] may wait while the runner gets another one', () => {
    const runs = (since: number): Runner['runs'] => [{ session: 'other', execution: 'e1', state: 'running', since }];
    const snapshots = [0, 500, 1100].map((at) => look(at, [waits('w')], free({ runs: runs(START + at) })));
    expect(problemsOf(snapshots)).toEqual([]);
  });
});
