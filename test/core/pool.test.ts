/**
 * Goal: who gets what, and what each event does to a lease, by plain functions.
 * Method: tables, and properties over random pools; the model test (pool-model.test.ts) runs the
 * whole pool.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { POLICY_DEFAULTS } from '../../protocol/index.ts';
import type { RunnerHello } from '../../protocol/pool.ts';
import { ASSIGNMENTS_FAILED_MAX, decideClaim, decideRecall } from '../../src/core/assignment.ts';
import { type ExecutionRecord, NEW_EXECUTION_FIELDS } from '../../src/core/execution.ts';
import { acceptHello, becomePending, expire } from '../../src/core/lifecycle.ts';
import {
  afterHello,
  assign,
  confirm,
  laneText,
  markOver,
  type PoolEntry,
  PRIORITY_STEP_MS,
  parseLane,
  rankOf,
  requeue,
} from '../../src/core/pool-entry.ts';
import { entryKey, PoolIndex } from '../../src/core/pool-index.ts';
import { chooseLane, chooseRunner, type PoolScene, reasonOf } from '../../src/core/pool-match.ts';
import type { RecallCause } from '../../src/core/pool-messages.ts';
import { decideHello, isTooOld, noteFailure, noteFull, type RunnerRecord, type RunnerStatus } from '../../src/core/pool-runner.ts';
import { propertyRuns } from '../support/property-runs.ts';

const NOW = 1_763_650_000_000;
const ANY = { requires: {}, needs: [], concurrency: null, avoid: null, priority: 0 };

const runner = (id: string, fields: Partial<RunnerRecord> = {}, status: Partial<RunnerStatus> = {}): RunnerStatus => ({
  record: {
    id,
    bootId: 'b1',
    pastBoots: [],
    keyId: 'rk_1',
    name: id,
    labels: {},
    slots: 2,
    version: '0.2.0',
    tooOld: false,
    features: [],
    draining: false,
    helloAt: NOW,
    goneAt: null,
    lost: false,
    extraRuns: [],
    failures: 0,
    failure: null,
    restUntil: 0,
    ...fields,
  },
  open: true,
  connected: true,
  held: 0,
  ...status,
});

const scene = (runners: RunnerStatus[], active: Record<string, number> = {}, last: Record<string, number> = {}): PoolScene => ({
  runners: () => runners,
  activeWith: (key) => active[key] ?? 0,
  lastLeaseOf: (id) => last[id] ?? 0,
});

const entry = (fields: Partial<PoolEntry> = {}): PoolEntry => ({
  session: 's1',
  execution: 'e1',
  state: 'waiting',
  lane: laneText(ANY),
  rank: NOW,
  priority: 0,
  since: NOW,
  waitUntil: NOW + 1000,
  told: null,
  lease: null,
  runnerId: null,
  bootId: null,
  assignedAt: null,
  dueAt: null,
  ...fields,
});

const hello = (fields: Partial<RunnerHello> = {}): RunnerHello => ({
  type: 'hello',
  protocol: 1,
  runnerId: 'r1',
  bootId: 'b1',
  name: 'one',
  labels: {},
  slots: 2,
  version: '0.2.0',
  runs: [],
  features: [],
  draining: false,
  ...fields,
});

describe('which runner', () => {
  it('[POOL2] has every label with its value, and every feature', () => {
    const gpu = runner('r1', { labels: { gpu: 'a100', zone: 'b' }, features: ['merge'] });
    const chosen = (lane: object) => chooseRunner({ ...ANY, ...lane }, scene([gpu]), NOW)?.record.id ?? null;
    expect(chosen({})).toBe('r1');
    expect(chosen({ requires: { gpu: 'a100' } })).toBe('r1');
    expect(chosen({ requires: { gpu: 'a100', zone: 'c' } })).toBeNull();
    expect(chosen({ requires: { disk: 'ssd' } })).toBeNull();
    expect(chosen({ needs: ['merge'] })).toBe('r1');
    expect(chosen({ needs: ['merge', 'bytes'] })).toBeNull();
  });

  it.each<[string, RunnerStatus]>([
    ['without a free slot', runner('r1', {}, { held: 2 })],
    ['that drains', runner('r1', { draining: true })],
    ['that is too old', runner('r1', { tooOld: true })],
    ['without a connection', runner('r1', {}, { open: false, connected: false })],
    ['that rests', runner('r1', { restUntil: NOW + 1 })],
  ])('[POOL17] [POOL18] [POOL19] a runner %s gets nothing', (_, one) => {
    expect(chooseRunner(ANY, scene([one]), NOW)).toBeNull();
    expect(chooseLane(one, [{ lane: ANY, rank: 1 }], scene([one]), NOW)).toBeNull();
  });

  it('[POOL5] launches spread evenly, by the part of the slots that is taken and then by the last launch', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 6 }),
        fc.nat({ max: 40 }),
        (slots, launches) => {
          const held = slots.map(() => 0);
          const last: Record<string, number> = {};
          for (let lease = 1; lease <= launches; lease += 1) {
            const runners = slots.map((count, index) => runner(`r${index}`, { slots: count }, { held: held[index] ?? 0 }));
            const chosen = chooseRunner(ANY, scene(runners, {}, last), NOW);
            const free = held.some((count, index) => count < (slots[index] ?? 0));
            expect(chosen !== null).toBe(free);
            if (!chosen) break;
            const index = Number(chosen.record.id.slice(1));
            held[index] = (held[index] ?? 0) + 1;
            last[chosen.record.id] = lease;
          }
          const parts = held.map((count, index) => count / (slots[index] ?? 1));
          for (const [index, part] of parts.entries()) {
            // No runner could have been spared one launch that a freer one had room for.
            for (const other of parts) expect(part - 1 / (slots[index] ?? 1)).toBeLessThanOrEqual(other + 1e-9);
          }
        },
      ),
      { numRuns: propertyRuns(200) },
    );
    // One after the other, each alone: ties do not go to the first id.
    const last: Record<string, number> = {};
    const order = [1, 2, 3, 4].map((lease) => {
      const chosen = chooseRunner(ANY, scene([runner('a'), runner('b')], {}, last), NOW)?.record.id ?? '';
      last[chosen] = lease;
      return chosen;
    });
    expect(order).toEqual(['a', 'b', 'a', 'b']);
  });

  it('[POOL11] not the one that had it last, for 30 s, while another that fits is connected, also a busy one', () => {
    const avoiding = { ...ANY, avoid: { runnerId: 'a', until: NOW + 30_000, evenAlone: false } };
    const [a, b, busy] = [runner('a'), runner('b'), runner('b', {}, { held: 2 })];
    expect(chooseRunner(avoiding, scene([a, b]), NOW)?.record.id).toBe('b');
    expect(chooseRunner(avoiding, scene([a, busy]), NOW + 29_999)).toBeNull();
    expect(chooseRunner(avoiding, scene([a, busy]), NOW + 30_000)?.record.id).toBe('a');
    expect(chooseRunner(avoiding, scene([a]), NOW)?.record.id).toBe('a');
    // A silence is believed at the second look.
    expect(chooseRunner(avoiding, scene([a, runner('b', {}, { connected: false })]), NOW)).toBeNull();
  });

  it('[POOL11] not the one that could not start it, for 30 s, also when no other fits', () => {
    const avoiding = { ...ANY, avoid: { runnerId: 'a', until: NOW + 30_000, evenAlone: true } };
    expect(chooseRunner(avoiding, scene([runner('a')]), NOW + 29_999)).toBeNull();
    expect(chooseRunner(avoiding, scene([runner('a')]), NOW + 30_000)?.record.id).toBe('a');
  });
});

describe('which execution', () => {
  it('[POOL4] the one with the higher priority, then the older one; a level is worth five minutes', () => {
    const heads = (...ranks: number[]) => ranks.map((rank) => ({ lane: ANY, rank }));
    const one = runner('r1');
    expect(chooseLane(one, heads(3, 1, 2), scene([one]), NOW)?.rank).toBe(1);
    expect(rankOf(1, NOW)).toBeLessThan(rankOf(0, NOW - PRIORITY_STEP_MS + 1));
    expect(rankOf(0, NOW - PRIORITY_STEP_MS)).toBeLessThanOrEqual(rankOf(1, NOW));
  });

  it('[POOL4] endless arrivals of the highest priority delay one of the lowest by 100 minutes at most', () => {
    const bound = 20 * PRIORITY_STEP_MS;
    expect(bound).toBe(100 * 60_000);
    const low = rankOf(-10, NOW);
    fc.assert(
      fc.property(fc.integer({ min: -10, max: 10 }), fc.nat({ max: 10 * bound }), (priority, laterMs) => {
        if (laterMs > bound) expect(low).toBeLessThan(rankOf(priority, NOW + laterMs));
      }),
    );
  });

  it('[POOL6] one that nothing fits delays no other', () => {
    const one = runner('r1');
    const heads = [
      { lane: { ...ANY, requires: { gpu: 'yes' } }, rank: 1 },
      { lane: ANY, rank: 2 },
    ];
    expect(chooseLane(one, heads, scene([one]), NOW)?.rank).toBe(2);
  });

  it('[POOL7] one whose limit is reached waits, and the next lane goes', () => {
    const one = runner('r1');
    const limited = { ...ANY, concurrency: { key: 'deploy', limit: 2 } };
    const heads = [
      { lane: limited, rank: 1 },
      { lane: ANY, rank: 2 },
    ];
    expect(chooseLane(one, heads, scene([one], { deploy: 1 }), NOW)?.rank).toBe(1);
    expect(chooseLane(one, heads, scene([one], { deploy: 2 }), NOW)?.rank).toBe(2);
    expect(reasonOf(limited, scene([one], { deploy: 2 }))).toBe('concurrency');
    expect(reasonOf(limited, scene([one], { deploy: 1 }))).toBe('busy');
    expect(reasonOf(limited, scene([]))).toBe('no_runner');
  });
});

describe('a lease', () => {
  const leased = assign(entry(), 7, { id: 'r1', bootId: 'b1' }, NOW);

  it('[POOL3] is confirmed once; a second or a late frame changes nothing', () => {
    const launched = confirm(leased, NOW);
    expect(launched?.state).toBe('launched');
    expect(launched && confirm(launched, NOW)).toBeNull();
    expect(confirm({ ...leased, state: 'recalled' }, NOW)).toBeNull();
  });

  it('[POOL15] follows the hello of its runner', () => {
    const launched = { ...leased, state: 'launched' as const };
    const running = { ...leased, state: 'running' as const, dueAt: null };
    const at = { bootId: 'b2', now: NOW };
    expect(afterHello(leased, { has: true, ...at })).toMatchObject({ state: 'launched', bootId: 'b2' });
    expect(afterHello(leased, { has: false, ...at })?.state).toBe('recalled');
    expect(afterHello(launched, { has: false, ...at })?.state).toBe('recalled');
    expect(afterHello(running, { has: true, ...at })).toMatchObject({ state: 'running', bootId: 'b2' });
    expect(afterHello(running, { has: false, ...at })).toBeNull();
    // It may still run, so its place under the limit is not free before its session says so.
    const lane = laneText({ ...ANY, concurrency: { key: 'k', limit: 1 } });
    expect(afterHello({ ...running, lane }, { has: false, ...at })?.state).toBe('recalled');
  });

  it('[POOL21] of an execution that was ended keeps its slot until the runner speaks, and no place under a limit', () => {
    const lane = laneText({ ...ANY, concurrency: { key: 'k', limit: 1 } });
    const running = { ...leased, lane, state: 'running' as const };
    expect(markOver(entry(), true)).toBeNull();
    expect(markOver(running, false)).toBeNull();
    const over = markOver(running, true);
    expect(over?.state).toBe('over');
    const index = new PoolIndex(over ? [over] : []);
    expect([index.heldCount('r1'), index.activeWith('k')]).toEqual([1, 0]);
  });

  it('[POOL11] that came to nothing gives the execution its old place, without the runner', () => {
    const again = requeue({ ...leased, rank: 5 }, { kind: 'lost' }, false, NOW);
    expect(again).toMatchObject({ state: 'waiting', rank: 5, lease: null, runnerId: null });
    expect(parseLane(again.lane).avoid).toEqual({ runnerId: 'r1', until: NOW + 30_000, evenAlone: false });
    expect(parseLane(requeue(leased, { kind: 'ended' }, false, NOW).lane).avoid?.evenAlone).toBe(true);
    expect(parseLane(requeue(leased, { kind: 'not_started' }, true, NOW).lane).avoid).toBeNull();
  });
});

describe('the index', () => {
  it('[POOL7] is what the rows say, after any sequence of writes', () => {
    const states = fc.constantFrom('waiting', 'leased', 'launched', 'running', 'recalled', 'over');
    const write = fc.record({
      execution: fc.constantFrom('e1', 'e2', 'e3', 'e4'),
      state: states,
      runnerId: fc.constantFrom('r1', 'r2'),
      key: fc.constantFrom('k1', 'k2', null),
      gone: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(write, { maxLength: 30 }), (writes) => {
        const rows = new Map<string, PoolEntry>();
        const index = new PoolIndex();
        for (const [lease, { execution, state, runnerId, key, gone }] of writes.entries()) {
          const concurrency = key === null ? null : { key, limit: 1 };
          const waits = state === 'waiting';
          const row = entry({
            execution,
            state: state as PoolEntry['state'],
            lane: laneText({ ...ANY, concurrency }),
            lease: waits ? null : lease + 1,
            runnerId: waits ? null : runnerId,
          });
          if (gone) {
            rows.delete(entryKey(row));
            index.delete(entryKey(row));
          } else {
            rows.set(entryKey(row), row);
            index.set(row);
          }
          const rebuilt = new PoolIndex([...rows.values()].filter((one) => one.state !== 'waiting'));
          expect([...index.active.keys()].sort()).toEqual([...rebuilt.active.keys()].sort());
          for (const id of ['r1', 'r2']) expect(index.heldCount(id)).toBe(rebuilt.heldCount(id));
          for (const name of ['k1', 'k2']) expect(index.activeWith(name)).toBe(rebuilt.activeWith(name));
        }
      }),
      { numRuns: propertyRuns(300) },
    );
  });

  it('two spellings of one requirement are one lane', () => {
    const a = laneText({ ...ANY, requires: { a: '1', b: '2' }, needs: ['x', 'y'] });
    const b = laneText({ ...ANY, requires: { b: '2', a: '1' }, needs: ['y', 'x'] });
    expect(a).toBe(b);
    const lane = {
      requires: { a: '1' },
      needs: ['x'],
      concurrency: { key: 'k', limit: 2 },
      avoid: { runnerId: 'r', until: 3, evenAlone: false },
      priority: -2,
    };
    expect(parseLane(laneText(lane))).toEqual(lane);
  });
});

describe('a hello', () => {
  const decide = (before: RunnerRecord | null, said: RunnerHello, heardAt: number | null = null) =>
    decideHello(before, said, { keyId: 'rk_1', heardAt, runners: 0, now: NOW });

  it('[POOL16] the newest wins; the older one is a clone when it was heard within 20 s', () => {
    const { record } = runner('r1');
    expect(decide(record, hello({ bootId: 'b2' }), NOW - 19_999)).toMatchObject({
      kind: 'accept',
      closes: 'cloned',
      rebooted: true,
    });
    expect(decide(record, hello({ bootId: 'b2' }), NOW - 20_000)).toMatchObject({ kind: 'accept', closes: 'superseded' });
    expect(decide(record, hello(), NOW)).toMatchObject({ kind: 'accept', closes: 'superseded', rebooted: false });
  });

  it('[POOL16] a boot that was replaced never comes back', () => {
    const first = decide(runner('r1').record, hello({ bootId: 'b2' }));
    if (first.kind !== 'accept') throw new Error(first.kind);
    expect(decide(first.record, hello({ bootId: 'b1' })).kind).toBe('refuse_clone');
    expect(decide(first.record, hello({ bootId: 'b2' })).kind).toBe('accept');
  });

  it('[POOL17] draining lasts for the boot, and not longer', () => {
    const { record } = runner('r1', { draining: true });
    expect(decide(record, hello())).toMatchObject({ record: { draining: true } });
    expect(decide(record, hello({ bootId: 'b2' }))).toMatchObject({ record: { draining: false } });
    expect(decide(null, hello({ draining: true }))).toMatchObject({ record: { draining: true } });
  });

  it('[POOL2] its labels replace those of the hello before', () => {
    const { record } = runner('r1', { labels: { gpu: 'old' } });
    expect(decide(record, hello({ labels: { disk: 'ssd' } }))).toMatchObject({ record: { labels: { disk: 'ssd' } } });
  });

  it.each([
    ['0.0.9', true],
    ['0.1.0', false],
    ['0.1.0-rc.1', false],
    ['0.10.0', false],
    ['1.0.0', false],
    ['main', false],
  ])('[POOL18] version %s is too old: %s', (version, old) => {
    expect(isTooOld(version)).toBe(old);
  });

  it('[POOL19] each launch that comes to nothing doubles the rest, up to five minutes', () => {
    let { record } = runner('r1');
    const rests = Array.from({ length: 9 }, () => {
      record = noteFailure(record, 'start_failed', NOW);
      return (record.restUntil - NOW) / 1000;
    });
    expect(rests).toEqual([5, 10, 20, 40, 80, 160, 300, 300, 300]);
  });
});

it('[POOL12] [POOL19] each `full` in a row doubles the rest, up to five minutes', () => {
  let { record } = runner('r1');
  const rests = Array.from({ length: 9 }, () => {
    record = noteFull(record, NOW);
    return (record.restUntil - NOW) / 1000;
  });
  expect(rests).toEqual([5, 10, 20, 40, 80, 160, 300, 300, 300]);
});

describe('the session of an execution that waits', () => {
  const queued = {
    ...NEW_EXECUTION_FIELDS,
    id: 'e1',
    status: 'queued',
    launcher: 'pool',
    pool: 'default',
    waitMs: 60_000,
    policy: POLICY_DEFAULTS,
  } as unknown as ExecutionRecord;
  const waiting = { ...queued, ...becomePending(queued, NOW).patch } as ExecutionRecord;
  const claimed = (record: ExecutionRecord, lease: number): ExecutionRecord => {
    const decision = decideClaim(record, { lease, runner: { id: 'r1', name: 'one' } }, NOW + 1000);
    if (decision.kind !== 'bound' || !decision.transition) throw new Error('not bound');
    return { ...record, ...decision.transition.patch };
  };
  const recalled = (record: ExecutionRecord, cause: RecallCause, lease = record.lease ?? 0) =>
    decideRecall(record, { lease, cause }, NOW + 2000);

  it('[POOL9] has the time of its wrapper from the assignment on, and fails when no runner took it', () => {
    expect(waiting).toMatchObject({ pendingUntil: null, waitUntil: NOW + 60_000 });
    expect(expire(waiting, NOW + 59_999)).toBeNull();
    expect(expire({ ...waiting, waitReason: 'busy' }, NOW + 60_000)?.patch).toMatchObject({
      status: 'failed',
      code: 'no_runner',
      error: expect.stringContaining('busy'),
    });
    expect(claimed(waiting, 7)).toMatchObject({ waitUntil: null, pendingUntil: NOW + 1000 + POLICY_DEFAULTS.pendingTimeoutMs });
  });

  it('[POOL3] [POOL10] a claim is answered again in the same way, and refused when it is older or nothing is pending', () => {
    const record = claimed(waiting, 7);
    const claim = (lease: number, at: ExecutionRecord) => decideClaim(at, { lease, runner: { id: 'r1', name: 'one' } }, NOW);
    expect(claim(7, record)).toEqual({ kind: 'bound', transition: null });
    expect(claim(6, record)).toEqual({ kind: 'gone' });
    for (const status of ['queued', 'running', 'completed', 'failed', 'interrupted'] as const)
      expect(claim(8, { ...record, status })).toEqual({ kind: 'gone' });
  });

  it('[POOL11] a lost lease makes it wait again; the third in a row ends it', () => {
    let record = waiting;
    for (let lost = 1; lost < ASSIGNMENTS_FAILED_MAX; lost += 1) {
      record = claimed(record, lost);
      const { answer, transition } = recalled(record, { kind: 'lost' });
      expect(answer).toBe('waiting');
      expect(transition?.events[0]).toMatchObject({ type: 'execution_recalled', data: { cause: 'runner_lost', name: 'one' } });
      record = { ...record, ...transition?.patch };
      expect(record).toMatchObject({ runnerId: null, pendingUntil: null, waitUntil: NOW + 60_000, assignmentsFailed: lost });
    }
    const { answer, transition } = recalled(claimed(record, 9), { kind: 'lost' });
    expect(answer).toBe('over');
    expect(transition?.patch).toMatchObject({ status: 'failed', code: 'runners_lost' });
  });

  it.each<[string, boolean, string, string | null]>([
    ['full', true, 'waiting', null],
    ['draining', false, 'waiting', null],
    ['cwd_missing', true, 'waiting', null],
    ['cwd_missing', false, 'over', 'cwd_missing'],
    ['command_not_allowed', false, 'over', 'command_not_allowed'],
  ])('[POOL12] refused with %s, retry %s: %s', (code, retry, answer, failed) => {
    const decision = recalled(claimed(waiting, 7), { kind: 'refused', code, message: 'no', retry });
    expect(decision.answer).toBe(answer);
    expect(decision.transition?.patch.code ?? null).toBe(failed);
    const counts = code !== 'full' && code !== 'draining';
    if (answer === 'waiting') expect(decision.transition?.patch.assignmentsFailed).toBe(counts ? 1 : 0);
  });

  it('[POOL3] a recall that is repeated, or of another lease, changes nothing', () => {
    const record = claimed(waiting, 7);
    expect(recalled(record, { kind: 'lost' }, 6)).toEqual({ answer: 'waiting', transition: null });
    expect(recalled(record, { kind: 'check' })).toEqual({ answer: 'pending', transition: null });
    expect(recalled({ ...record, status: 'running' }, { kind: 'lost' })).toEqual({ answer: 'active', transition: null });
    expect(recalled({ ...record, status: 'failed' }, { kind: 'lost' })).toEqual({ answer: 'over', transition: null });
    expect(decideRecall(null, { lease: 7, cause: { kind: 'lost' } }, NOW)).toEqual({ answer: 'over', transition: null });
  });

  it('[POOL3] a claim that arrives after the recall of its lease is refused', () => {
    const claim = (lease: number, at: ExecutionRecord) => decideClaim(at, { lease, runner: { id: 'r1', name: 'one' } }, NOW);
    const given = { ...claimed(waiting, 7), ...recalled(claimed(waiting, 7), { kind: 'not_started' }).transition?.patch };
    const overtaken = { ...waiting, ...recalled(waiting, { kind: 'lost' }, 7).transition?.patch };
    for (const record of [given, overtaken]) {
      expect(record).toMatchObject({ pendingUntil: null, waitUntil: NOW + 60_000, runnerId: null });
      expect(claim(7, record)).toEqual({ kind: 'gone' });
      expect(claim(6, record)).toEqual({ kind: 'gone' });
      expect(claim(8, record).kind).toBe('bound');
      // A wrapper of an earlier lease does not begin beside the limits of the pool.
      const said = { wrapperId: 'w', bootId: 'b', nextSeq: 1, lost: 0 };
      expect(acceptHello(record, said, 0, 'socket', NOW).kind).toBe('not_yet');
    }
  });

  it('[POOL14] takes no wrapper while no runner has it', () => {
    const said = { wrapperId: 'w', bootId: 'b', nextSeq: 1, lost: 0 };
    expect(acceptHello(waiting, said, 0, 'socket', NOW).kind).toBe('not_yet');
    expect(acceptHello(claimed(waiting, 7), said, 0, 'socket', NOW).kind).toBe('accept');
  });
});
