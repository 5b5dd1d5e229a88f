/**
 * What a session requires of its Store, as one suite for every implementation: the SQLite one of
 * the Durable Object and the simulator's. What the simulator proves over one therefore holds over
 * the other. Imports no platform; each caller provides its own way to open a store.
 */

import { describe, expect, test } from 'vitest';
import { POLICY_DEFAULTS, utf8Bytes } from '../../protocol/index.ts';
import type { CallbackRecord } from '../../src/core/callback.ts';
import { type ExecutionRecord, executionView, NEW_EXECUTION_FIELDS } from '../../src/core/execution.ts';
import type { NewCommand } from '../../src/core/lifecycle.ts';
import type { Store } from '../../src/core/ports.ts';

/**
 * Gives the body a fresh, empty storage. `open` may be called repeatedly: each store knows what is
 * stored, and no more.
 */
export type WithStorage = (body: (open: () => Store) => void) => void | Promise<void>;

const NOW = 1_763_650_000_000;

type Row = Omit<ExecutionRecord, 'ordinal'>;

/** A new row, as a start makes it. */
export const newRow = (id: string, fields: Partial<Row> = {}): Row => ({
  id,
  status: 'pending',
  requestDigest: `digest of ${id}`,
  command: ['echo', 'hello'],
  cwd: null,
  env: { KEY: 'wörth' },
  stdin: null,
  openStdin: false,
  secretNames: null,
  format: 'text',
  merge: false,
  output: 'text',
  terminal: null,
  launcher: 'none',
  labels: { team: 'a' },
  policy: POLICY_DEFAULTS,
  callbackUrl: null,
  traceparent: null,
  origin: 'https://holdfast.test',
  createdAt: NOW,
  ...NEW_EXECUTION_FIELDS,
  firstOffset: 1,
  queueRank: 0,
  ...fields,
});

const callback = (id: string, dueAt: number): CallbackRecord => ({
  id,
  execution: 'e1',
  url: 'https://caller.test/done',
  event: 'settled',
  offset: 4,
  createdAt: NOW,
  attempts: 0,
  dueAt,
  snapshot: executionView('s1', { ...newRow('e1', { status: 'failed', error: 'wörth', lastOffset: 4 }), ordinal: 1 }),
});

const input = (text: string): NewCommand => ({ command: 'input', data: { text } });

const ids = (rows: readonly { id: string }[]): string[] => rows.map(({ id }) => id);

/** Appends a wrapper's batch, or with `firstSeq` null one of the coordinator. */
function append({ log }: Store, execution: string, firstSeq: number | null, count: number, now = NOW) {
  const body = Array.from({ length: count }, (_, index) => JSON.stringify({ type: 'status', at: now, data: { index } })).join('\n');
  return log.append({ execution, firstSeq, count, body, bytes: body.length }, now);
}

const spans = (rows: Iterable<{ firstOffset: number; count: number }>): [number, number][] =>
  [...rows].map(({ firstOffset, count }) => [firstOffset, firstOffset + count - 1]);

export function describeStore(name: string, withStorage: WithStorage): void {
  const it = (title: string, body: (store: Store, open: () => Store) => void) =>
    test(title, () =>
      withStorage((open) => {
        const store = open();
        store.create(NOW);
        body(store, open);
      }),
    );

  describe(`the store contract: ${name}`, () => {
    test('a session exists after its creation, and is created once', () =>
      withStorage((open) => {
        const store = open();
        expect(store.exists).toBe(false);
        store.create(NOW);
        store.create(NOW + 5);
        expect([store.exists, store.createdAt]).toEqual([true, NOW]);
        expect([open().exists, open().createdAt]).toEqual([true, NOW]);
      }));

    test('a query of a session that was never created throws', () =>
      withStorage((open) => {
        expect(() => open().executions.get('e1')).toThrow();
      }));

    describe('executions', () => {
      it('a row is read back as it was written, also after a wake', (store, open) => {
        const inserted = store.executions.insert(newRow('e1'));
        expect(inserted).toEqual({ ...newRow('e1'), ordinal: inserted.ordinal });
        expect(store.executions.get('e1')).toEqual(inserted);
        expect(open().executions.get('e1')).toEqual(inserted);
        expect(store.executions.get('e2')).toBeNull();
      });

      it('an id is used once', (store) => {
        store.executions.insert(newRow('e1'));
        expect(() => store.executions.insert(newRow('e1'))).toThrow(/UNIQUE/);
      });

      it('a patch changes its columns and no others, and no other row', (store, open) => {
        const e1 = store.executions.insert(newRow('e1'));
        const e2 = store.executions.insert(newRow('e2', { status: 'queued' }));
        const patched = store.executions.update('e1', { status: 'running', epoch: 3, connected: true, env: null });
        expect(patched).toEqual({ ...e1, status: 'running', epoch: 3, connected: true, env: null });
        expect(open().executions.get('e1')).toEqual(patched);
        expect(store.executions.get('e2')).toEqual(e2);
      });

      it('[LIF15] a terminal row is not changed again, and the second ending reports that', (store) => {
        store.executions.insert(newRow('e1'));
        expect(store.executions.update('e1', { status: 'failed', code: 'first' })?.status).toBe('failed');
        expect(store.executions.update('e1', { status: 'completed', code: 'second' })).toBeNull();
        expect(store.executions.update('e1', {})).toBeNull();
        expect(store.executions.get('e1')).toMatchObject({ status: 'failed', code: 'first' });
      });

      it('an empty patch returns the row unchanged, and null for an unknown id', (store) => {
        const row = store.executions.insert(newRow('e1'));
        expect(store.executions.update('e1', {})).toEqual(row);
        expect(store.executions.update('e2', { epoch: 1 })).toBeNull();
      });

      it('the position of the verdict can be stored after the ending', (store, open) => {
        store.executions.insert(newRow('e1'));
        store.executions.update('e1', { status: 'failed' });
        store.executions.noteVerdict('e1', { lastOffset: 12, logBytes: 345 });
        for (const one of [store, open()]) expect(one.executions.get('e1')).toMatchObject({ lastOffset: 12, logBytes: 345 });
      });

      it('active, open and queued follow the rows', (store) => {
        expect([store.executions.active(), store.executions.open(), store.executions.queued()]).toEqual([[], [], []]);
        store.executions.insert(newRow('e1', { status: 'completed' }));
        store.executions.insert(newRow('e2', { status: 'running' }));
        store.executions.insert(newRow('e3', { status: 'queued' }));
        store.executions.insert(newRow('e4', { status: 'queued' }));
        store.executions.insert(newRow('e5', { status: 'queued', queueRank: -1 }));
        store.executions.insert(newRow('e6', { status: 'pending' }));
        expect(ids(store.executions.active())).toEqual(['e2', 'e6']);
        expect(ids(store.executions.open())).toEqual(['e2', 'e3', 'e4', 'e5', 'e6']);
        expect(ids(store.executions.queued())).toEqual(['e5', 'e3', 'e4']);
      });

      it('the lowest rank is that of the queued executions, 0 without any', (store) => {
        store.executions.insert(newRow('e1', { queueRank: -7 }));
        expect(store.executions.lowestQueueRank()).toBe(0);
        store.executions.insert(newRow('e2', { status: 'queued', queueRank: -2 }));
        expect(store.executions.lowestQueueRank()).toBe(-2);
      });

      it('[HTTP27] tells whether a number of executions exists, whatever ordinals are left out', (store, open) => {
        expect(store.executions.hasAtLeast(1)).toBe(false);
        store.executions.insert(newRow('e1'));
        expect(() =>
          store.transact(() => {
            store.executions.insert(newRow('e2'));
            throw new Error('no');
          }),
        ).toThrow('no');
        store.executions.insert(newRow('e3', { status: 'failed' }));
        for (const { executions } of [store, open()])
          expect([1, 2, 3].map((count) => executions.hasAtLeast(count))).toEqual([true, true, false]);
        store.erase(null);
        store.create(NOW + 1);
        store.executions.insert(newRow('e4'));
        expect([1, 2].map((count) => store.executions.hasAtLeast(count))).toEqual([true, false]);
      });

      it('lists newest first, by status, in pages', (store) => {
        for (const [index, status] of (['failed', 'completed', 'failed', 'running'] as const).entries()) {
          store.executions.insert(newRow(`e${index + 1}`, { status }));
        }
        const [first, second] = store.executions.list({ limit: 2 });
        expect([first?.id, second?.id]).toEqual(['e4', 'e3']);
        expect(ids(store.executions.list({ limit: 2, before: second?.ordinal }))).toEqual(['e2', 'e1']);
        expect(ids(store.executions.list({ limit: 9, status: 'failed' }))).toEqual(['e3', 'e1']);
        expect(ids(store.executions.list({ limit: 9, only: 'e2' }))).toEqual(['e2']);
        expect(ids(store.executions.list({ limit: 9, only: 'e2', status: 'failed' }))).toEqual([]);
        expect(store.executions.newest(1)).toEqual([{ id: 'e4', status: 'running' }]);
        expect(store.executions.counts()).toEqual({ queued: 0, pending: 0, running: 1, completed: 1, failed: 2, interrupted: 0 });
        expect(store.executions.openCounts()).toEqual({ queued: 0, pending: 0, running: 1 });
      });
    });

    describe('callbacks', () => {
      it('[LIF19] are read back as they were written, longest due first, and an id is used once', (store, open) => {
        const [late, early] = [callback('cb_2', NOW + 9), callback('cb_1', NOW + 4)];
        expect([store.callbacks.nextDueAt, store.callbacks.due(NOW + 99, 9)]).toEqual([null, []]);
        store.callbacks.add(late);
        store.callbacks.add(early);
        for (const { callbacks } of [store, open()]) {
          expect(callbacks.nextDueAt).toBe(NOW + 4);
          expect(callbacks.due(NOW + 3, 9)).toEqual([]);
          expect(callbacks.due(NOW + 4, 9)).toEqual([early]);
          expect(callbacks.due(NOW + 9, 9)).toEqual([early, late]);
          expect(callbacks.due(NOW + 9, 1)).toEqual([early]);
        }
        expect(() => store.callbacks.add(callback('cb_1', NOW))).toThrow(/UNIQUE/);
      });

      it('[CB6] are postponed and removed one by one', (store, open) => {
        store.callbacks.add(callback('cb_1', NOW));
        store.callbacks.add(callback('cb_2', NOW + 5));
        store.callbacks.postpone({ id: 'cb_1', attempts: 3, dueAt: NOW + 7 });
        store.callbacks.postpone({ id: 'cb_9', attempts: 3, dueAt: NOW });
        expect(store.callbacks.nextDueAt).toBe(NOW + 5);
        expect(open().callbacks.due(NOW + 7, 9)).toEqual([
          callback('cb_2', NOW + 5),
          { ...callback('cb_1', NOW + 7), attempts: 3 },
        ]);
        store.callbacks.remove('cb_2');
        store.callbacks.remove('cb_2');
        expect([store.callbacks.nextDueAt, open().callbacks.nextDueAt]).toEqual([NOW + 7, NOW + 7]);
        store.callbacks.remove('cb_1');
        expect([store.callbacks.nextDueAt, open().callbacks.nextDueAt]).toEqual([null, null]);
      });

      it('an undone callback was never pending, and a removed one whose removal is undone is pending again', (store) => {
        store.callbacks.add(callback('cb_1', NOW + 5));
        const fails = () =>
          store.transact(() => {
            store.callbacks.remove('cb_1');
            store.callbacks.add(callback('cb_2', NOW));
            expect(store.callbacks.nextDueAt).toBe(NOW);
            throw new Error('no');
          });
        expect(fails).toThrow('no');
        expect([store.callbacks.nextDueAt, store.callbacks.due(NOW + 9, 9)]).toEqual([NOW + 5, [callback('cb_1', NOW + 5)]]);
      });

      test('a session that was never created has none to deliver and none to remove', () =>
        withStorage((open) => {
          const { callbacks } = open();
          callbacks.remove('cb_1');
          expect([callbacks.nextDueAt, callbacks.due(NOW, 9)]).toEqual([null, []]);
        }));
    });

    describe('outbox', () => {
      const record = { topic: 'directory', version: 7, delivered: 5, attempts: 2, dueAt: NOW + 9 } as const;

      it('[DIR1] holds one row per receiver, as it was written last', (store, open) => {
        expect(store.outbox.get('directory')).toBeNull();
        store.outbox.put({ ...record, version: 6 });
        store.outbox.put(record);
        expect(store.outbox.get('directory')).toEqual(record);
        expect(open().outbox.get('directory')).toEqual(record);
      });

      it('[DIR6] [CB7] survives the session, as callbacks do: all other rows are deleted, and the session does not exist until it is created again', (store, open) => {
        store.executions.insert(newRow('e1'));
        append(store, 'e1', 1, 3);
        store.commands.add('e1', input('x'), NOW);
        store.callbacks.add(callback('cb_1', NOW + 5));
        store.transact(() => {
          store.erase(null);
          store.outbox.put(record);
        });
        for (const one of [store, open()]) {
          expect(one.exists).toBe(false);
          expect(one.outbox.get('directory')).toEqual(record);
          expect([one.callbacks.nextDueAt, one.callbacks.due(NOW + 5, 9)]).toEqual([NOW + 5, [callback('cb_1', NOW + 5)]]);
        }
        store.create(NOW + 1);
        for (const one of [store, open()]) {
          expect([one.exists, one.createdAt, one.log.head]).toEqual([true, NOW + 1, 0]);
          expect([one.executions.open(), one.commands.waiting('e1')]).toEqual([[], []]);
          expect(one.callbacks.due(NOW + 5, 9)).toEqual([callback('cb_1', NOW + 5)]);
          expect(one.outbox.get('directory')).toEqual(record);
        }
      });

      it('[STR29] a session that is created again has a later time than the one before, also in the same millisecond or with a clock that went back', (store, open) => {
        const times = [store.createdAt];
        const makeAgain = (one: Store, version: number, now: number): void => {
          one.transact(() => {
            one.erase(null);
            one.outbox.put({ ...record, version });
          });
          one.create(now);
          times.push(one.createdAt);
        };
        makeAgain(store, 1, NOW);
        // Another object has no memory of it, except the row of the outbox. Every change and the
        // end have raised that row's version.
        makeAgain(open(), (times.at(-1) ?? 0) + 1, NOW - 5);
        expect(times).toEqual([...new Set(times)].sort((a, b) => a - b));
        expect(times).toHaveLength(3);
      });

      it('[DIR6] a deletion that is undone changes nothing', (store, open) => {
        const row = store.executions.insert(newRow('e1'));
        append(store, 'e1', 1, 3);
        const fails = () =>
          store.transact(() => {
            store.erase(null);
            throw new Error('no');
          });
        expect(fails).toThrow('no');
        for (const one of [store, open()]) {
          expect([one.exists, one.createdAt, one.log.head, one.executions.get('e1')]).toEqual([true, NOW, 3, row]);
        }
      });

      test('a session that was never created has none', () =>
        withStorage((open) => {
          expect(open().outbox.get('directory')).toBeNull();
        }));
    });

    describe('commands', () => {
      it('[ING9] are pending in their order until they are acknowledged, and an id is never reused', (store, open) => {
        const one = store.commands.add('e1', input('a'), NOW);
        const two = store.commands.add('e1', input('b'), NOW);
        expect(one).toEqual({ id: one.id, ...input('a') });
        expect(two.id).toBeGreaterThan(one.id);
        expect(open().commands.waiting('e1')).toEqual([one, two]);
        store.commands.ack('e1', two.id);
        expect(store.commands.waiting('e1')).toEqual([one]);
        expect(open().commands.add('e1', input('c'), NOW).id).toBeGreaterThan(two.id);
      });

      it('[HTTP28] are counted with the bytes of their data as JSON, by execution', (store, open) => {
        expect(store.commands.load('e1')).toEqual({ count: 0, bytes: 0 });
        const one = store.commands.add('e1', input('a'), NOW);
        store.commands.add('e1', input('\u0001漢'), NOW);
        store.commands.add('e2', input('b'), NOW);
        const bytes = utf8Bytes('{"text":"a"}') + utf8Bytes('{"text":"\\u0001漢"}');
        for (const { commands } of [store, open()]) expect(commands.load('e1')).toEqual({ count: 2, bytes });
        store.commands.ack('e1', one.id);
        expect(store.commands.load('e1')).toEqual({ count: 1, bytes: bytes - utf8Bytes('{"text":"a"}') });
      });

      it('an acknowledgement by another execution, or of an unknown id, changes nothing', (store) => {
        const one = store.commands.add('e1', input('a'), NOW);
        store.commands.ack('e2', one.id);
        store.commands.ack('e1', 4711);
        expect(store.commands.waiting('e1')).toEqual([one]);
        expect(store.commands.waiting('e2')).toEqual([]);
      });

      it('those of one execution are dropped, those of another stay', (store) => {
        store.commands.add('e1', input('a'), NOW);
        const other = store.commands.add('e2', input('b'), NOW);
        store.commands.drop('e1');
        expect(store.commands.waiting('e1')).toEqual([]);
        expect(store.commands.waiting('e2')).toEqual([other]);
      });
    });

    describe('log', () => {
      it('an empty one ends at 0 and begins at 1', ({ log }) => {
        expect([log.head, log.earliest, log.lastReceivedAt, log.takenAt('e1', 1)]).toEqual([0, 1, null, null]);
        expect([...log.rowsAfter(0)]).toEqual([]);
        expect(log.ackedSeq('e1', 1)).toBe(0);
        expect(log.tailOffset(5)).toBe(0);
      });

      it('offsets have no holes; rows name their execution and are read back as they were written', (store, open) => {
        const rows = [append(store, 'e1', null, 1), append(store, 'e1', 1, 3), append(store, 'e2', 1, 2)];
        expect(spans(rows)).toEqual([
          [1, 1],
          [2, 4],
          [5, 6],
        ]);
        expect(rows.map(({ own }) => own)).toEqual([true, false, false]);
        expect([store.log.head, store.log.earliest]).toEqual([6, 1]);
        expect(open().log.head).toBe(6);
        expect([...open().log.rowsAfter(0)]).toEqual(rows);
      });

      it('reading begins with the row that holds the next event; at the head there is no row', (store) => {
        append(store, 'e1', 1, 3);
        append(store, 'e2', 1, 2);
        append(store, 'e1', 4, 1);
        const starts = (after: number, executions?: string[]) =>
          spans(store.log.rowsAfter(after, executions)).map(([first]) => first);
        expect([0, 2, 3, 4, 5, 6].map((after) => starts(after))).toEqual([[1, 4, 6], [1, 4, 6], [4, 6], [4, 6], [6], []]);
        expect([starts(0, ['e2']), starts(3, ['e1']), starts(1, ['e1', 'e2']), starts(0, ['e9'])]).toEqual([
          [4],
          [6],
          [1, 4, 6],
          [],
        ]);
      });

      it('[ING5] the acknowledged seq of an execution is read from the log, also after a wake', (store, open) => {
        append(store, 'e1', 1, 3);
        append(store, 'e1', null, 1);
        append(store, 'e2', 1, 7);
        expect([store.log.ackedSeq('e1', 1), store.log.ackedSeq('e2', 1), store.log.ackedSeq('e3', 1)]).toEqual([3, 7, 0]);
        expect([open().log.ackedSeq('e1', 1), open().log.ackedSeq('e2', 5)]).toEqual([3, 7]);
        append(store, 'e1', 4, 2);
        expect(store.log.ackedSeq('e1', 1)).toBe(5);
        store.log.forgetAcked('e1');
        expect(store.log.ackedSeq('e1', 1)).toBe(5);
      });

      it('[LIF34] the bytes of an execution are those of its wrapper’s rows, also after a wake, without undone rows', (store, open) => {
        const [first, , second] = [append(store, 'e1', 1, 3), append(store, 'e1', null, 1), append(store, 'e1', 4, 2)];
        append(store, 'e2', 1, 7);
        const bytes = (first?.bytes ?? 0) + (second?.bytes ?? 0);
        for (const { log } of [store, open()]) expect([log.bytesOf('e1', 1), log.bytesOf('e3', 1)]).toEqual([bytes, 0]);
        expect(() =>
          store.transact(() => {
            append(store, 'e1', 6, 2);
            throw new Error('in the middle');
          }),
        ).toThrow();
        expect(store.log.bytesOf('e1', 1)).toBe(bytes);
        const third = append(store, 'e1', 6, 2);
        for (const { log } of [store, open()]) expect(log.bytesOf('e1', 1)).toBe(bytes + third.bytes);
        expect(store.databaseBytes).toBeGreaterThan(0);
      });

      it("a wrapper's batch is a sign of life of its execution, after a wake too; the coordinator's own is not", (store, open) => {
        append(store, 'e1', null, 1, NOW + 1);
        expect([store.log.takenAt('e1', 1), store.log.lastReceivedAt]).toEqual([null, NOW + 1]);
        append(store, 'e1', 1, 1, NOW + 2);
        append(store, 'e1', null, 1, NOW + 3);
        append(store, 'e2', 1, 1, NOW + 4);
        for (const { log } of [store, open()])
          expect([log.takenAt('e1', 1), log.takenAt('e2', 1), log.lastReceivedAt]).toEqual([NOW + 2, NOW + 4, NOW + 4]);
      });

      it('a tally covers one execution: its events, their bytes, and what the coordinator wrote about it', (store, open) => {
        expect(store.log.tally('e1', 1)).toEqual({ events: 0, bytes: 0, own: '' });
        const rows = [
          append(store, 'e1', null, 1),
          append(store, 'e1', 1, 3),
          append(store, 'e2', 1, 2),
          append(store, 'e1', 4, 1),
        ];
        const last = append(store, 'e1', null, 1);
        const bytes = (rows[1]?.bytes ?? 0) + (rows[3]?.bytes ?? 0);
        for (const { log } of [store, open()]) {
          const { own, ...counts } = log.tally('e1', 1);
          expect(counts).toEqual({ events: 4, bytes });
          expect(own.split('\n').sort()).toEqual([rows[0]?.body, last.body].sort());
          expect(log.tally('e1', 2)).toMatchObject({ events: 4, own: last.body });
        }
      });

      it('the tail is counted in events', (store) => {
        append(store, 'e1', 1, 3);
        append(store, 'e1', 4, 3);
        expect([0, 2, 6, 99].map((count) => store.log.tailOffset(count))).toEqual([6, 4, 0, 0]);
      });
    });

    describe('transactions', () => {
      it('return what their action returns', (store) => {
        expect(store.transact(() => 'done')).toBe('done');
      });

      it('[LIF19] are atomic: a throw undoes rows, commands and events, and what the store remembered of them', (store, open) => {
        store.executions.insert(newRow('e1', { status: 'running' }));
        append(store, 'e1', 1, 2);
        const before = store.executions.get('e1');
        expect(store.log.ackedSeq('e1', 1)).toBe(2);
        expect(() =>
          store.transact(() => {
            append(store, 'e1', 3, 2);
            store.executions.update('e1', { status: 'completed', exitCode: 0 });
            store.executions.noteVerdict('e1', { lastOffset: 4, logBytes: 9 });
            store.executions.insert(newRow('e2'));
            store.commands.add('e1', input('x'), NOW);
            store.callbacks.add(callback('cb_1', NOW));
            throw new Error('in the middle');
          }),
        ).toThrow('in the middle');
        for (const one of [store, open()]) {
          expect(one.executions.get('e1')).toEqual(before);
          expect(one.executions.get('e2')).toBeNull();
          expect(one.commands.waiting('e1')).toEqual([]);
          expect(one.callbacks.nextDueAt).toBeNull();
          expect([one.log.head, one.log.ackedSeq('e1', 1)]).toEqual([2, 2]);
        }
        expect(append(store, 'e1', 3, 1).firstOffset).toBe(3);
      });

      it('earlier writes stay when a later transaction fails', (store, open) => {
        store.executions.insert(newRow('e1'));
        const fails = () =>
          store.transact(() => {
            throw new Error('no');
          });
        expect(fails).toThrow('no');
        expect(open().executions.get('e1')?.id).toBe('e1');
      });
    });
  });
}
