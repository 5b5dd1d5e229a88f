/**
 * The list of a tenant's sessions (DIR rules): the updates from sessions to their directory, also
 * when it is unreachable, has lost its data, or receives updates late.
 * Method: the real objects; the directory is broken by removing its tables, or by a namespace that
 * fails.
 */

import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Execution, SessionEntry } from '../../../protocol/index.ts';
import type { Announcement } from '../../../src/core/directory.ts';
import { DIRECTORY_TOMBSTONE_MS } from '../../../src/core/directory.ts';
import { LEASE_MS } from '../../../src/core/leased-row.ts';
import { type OutboxRecord, REFRESH_MIN_MS } from '../../../src/core/outbox.ts';
import { directoryStub } from '../../../src/directory/calls.ts';
import type { TenantDirectory } from '../../../src/directory/tenant-directory.ts';
import { type Answer, ask, deployment, expectProblem, untouchable } from '../support/http.ts';
import {
  ACME_KEY,
  api,
  exit,
  GLOBEX_KEY,
  get,
  newSession,
  output,
  putToSleep,
  start,
  stubOf,
  testEnv,
  WrapperPeer,
} from '../support/peers.ts';

afterEach(() => void vi.useRealTimers());

const at = (now: number): void => void vi.useFakeTimers({ now, toFake: ['Date'] });
const stub = (tenant = 'acme') => testEnv.DIRECTORY.getByName(tenant) as DurableObjectStub<TenantDirectory>;
const list = (query = '', key = ACME_KEY): Promise<Answer> => ask('GET', `/v1/sessions${query}`, { key });

interface Page {
  data: SessionEntry[];
  next: string | null;
}
const page = async (query = '', key = ACME_KEY): Promise<Page> => (await list(query, key)).body as unknown as Page;

async function entryOf(session: string, key = ACME_KEY): Promise<SessionEntry | undefined> {
  for (let query = '?limit=200'; ; ) {
    const { data, next } = await page(query, key);
    const found = data.find(({ id }) => id === session);
    if (found || next === null) return found;
    query = `?limit=200&cursor=${next}`;
  }
}

const outboxOf = (session: string) =>
  runInDurableObject(stubOf(session), (_, { storage }) => {
    const [row] = storage.sql
      .exec<OutboxRecord & Record<string, SqlStorageValue>>('SELECT *, due_at AS dueAt FROM outbox')
      .toArray();
    return row as OutboxRecord;
  });

const told = (session: string) =>
  vi.waitFor(async () => {
    const row = await outboxOf(session);
    expect(row.delivered).toBe(row.version);
    return row;
  });

const announce = (announcement: Announcement, tenant = 'acme') => directoryStub(testEnv, tenant).announce(announcement);
const executionOf = (id: string, fields: Partial<Execution> = {}) => ({ id, status: 'completed', ...fields }) as Execution;

describe('[DIR1] the updates', () => {
  test('a start, a connection, its loss, its return and the verdict, each as the API shows it', async () => {
    const run = await start(newSession(), {
      launcher: 'none',
      env: { SECRET: 'open sesame' },
      stdin: 'whisper',
      labels: { a: 'b' },
    });
    // These two are known when the execution itself is read. They change without a row.
    const shown = async () => {
      const { lastHeardAt: _heard, logBytes: _bytes, ...execution } = await get(run);
      return execution;
    };
    const agree = () =>
      vi.waitFor(async () => {
        const entry = await entryOf(run.session);
        expect({ ...entry?.execution, logBytes: undefined }).toEqual({ ...(await shown()), logBytes: undefined });
      });
    await agree();
    expect((await get(run)).status).toBe('pending');
    const peer = await WrapperPeer.welcomed(run);
    await agree();
    expect((await get(run)).connected).toBe(true);
    peer.close();
    await vi.waitFor(async () => expect((await get(run)).connected).toBe(false));
    await agree();
    const again = await WrapperPeer.welcomed(run);
    await agree();
    await again.deliver(1, [output('x'), exit(0)]);
    await agree();
    expect((await get(run)).status).toBe('completed');
    expect(JSON.stringify(await list())).not.toMatch(/sesame|whisper/);
    const rows = await runInDurableObject(stub(), (_, { storage }) => storage.sql.exec('SELECT * FROM sessions').toArray());
    expect(JSON.stringify(rows)).not.toMatch(/sesame|whisper|SECRET/);
  });

  test('the newest execution, whichever execution changes', async () => {
    const first = await start(newSession(), { id: 'e1' });
    await start(first.session, { id: 'e2', onBusy: 'queue' });
    await vi.waitFor(async () => expect((await entryOf(first.session))?.execution).toMatchObject({ id: 'e2', status: 'queued' }));
    const peer = await WrapperPeer.welcomed(first);
    await peer.deliver(1, [exit(0)]);
    await vi.waitFor(async () => expect((await entryOf(first.session))?.execution).toMatchObject({ id: 'e2', status: 'pending' }));
  });

  test('[HTTP22] the number of open executions, so that a running one is visible behind a waiting one', async () => {
    const { session } = await start(newSession(), { id: 'e1' });
    const open = async (counts: Record<string, number>) => {
      await vi.waitFor(async () =>
        expect((await entryOf(session))?.open).toEqual({ queued: 0, pending: 0, running: 0, ...counts }),
      );
    };
    await open({ pending: 1 });
    const peer = await WrapperPeer.welcomed(await start(session, { id: 'e1' }));
    await open({ running: 1 });
    await start(session, { id: 'e2', onBusy: 'queue' });
    await start(session, { id: 'e3', onBusy: 'queue' });
    await open({ running: 1, queued: 2 });
    await api('POST', `/v1/sessions/${session}/executions/e3/interrupt`, { body: {} });
    await open({ running: 1, queued: 1 });
    expect((await entryOf(session))?.execution).toMatchObject({ id: 'e3', status: 'interrupted' });
    await peer.deliver(1, [exit(0)]);
    await open({ pending: 1 });
  });

  test('[HTTP22] an entry from before the counts has none', async () => {
    const id = newSession();
    await announce({ session: id, version: 1, entry: { id, lastActivityAt: 1, execution: executionOf('e1') } });
    expect(await entryOf(id)).toEqual({ id, lastActivityAt: 1, execution: executionOf('e1') });
  });

  test('events of a running job write no further row, and send no update', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    await peer.deliver(1, [output('warm')]);
    const before = await told(run.session);
    const changes = () =>
      runInDurableObject(
        stubOf(run.session),
        (_, { storage }) => storage.sql.exec('SELECT total_changes() AS n').one().n as number,
      );
    const written = await changes();
    for (let seq = 2; seq <= 21; seq += 1) await peer.deliver(seq, [output('x')]);
    expect((await changes()) - written).toBe(20);
    expect(await outboxOf(run.session)).toEqual(before);
  });

  test('a change is one row more, and one when it was delivered; a call without a change adds no row', async () => {
    const run = await start(newSession());
    const before = await told(run.session);
    await api('POST', `/v1/sessions/${run.session}/executions/e9/fail`, { body: { code: 'x', message: 'x' } });
    expect(await outboxOf(run.session)).toEqual(before);
    await runInDurableObject(stubOf(run.session), (_, { storage }) => {
      const { topic, version, delivered, attempts, dueAt } = before;
      const cursor = storage.sql.exec(
        `INSERT INTO outbox (topic, version, delivered, attempts, due_at) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (topic) DO UPDATE SET version = excluded.version, delivered = excluded.delivered, due_at = excluded.due_at`,
        ...[topic, version, delivered, attempts, dueAt],
      );
      expect(cursor.rowsWritten).toBe(1);
    });
  });
});

describe('[DIR4] [DIR5] the time of the updates', () => {
  test("after immediate delivery the lease is released: the alarm is the session's, and an idle hour has no alarm", async () => {
    const run = await start(newSession(), { policy: { pendingTimeoutMs: 600_000 } });
    await told(run.session);
    const alarmAt = () => runInDurableObject(stubOf(run.session), (_, { storage }) => storage.getAlarm());
    await vi.waitFor(async () => expect(await alarmAt()).toBe((run.execution.pendingAt ?? 0) + 600_000));
    const peer = await WrapperPeer.welcomed(run);
    await peer.deliver(1, [exit(0)]);
    const { dueAt } = await told(run.session);
    expect(dueAt).toBeGreaterThanOrEqual(((await get(run)).endedAt ?? 0) + REFRESH_MIN_MS);
    // The alarm that was set for the connection before its hello still fires, without effect. After
    // it there is no alarm for a day.
    await runDurableObjectAlarm(stubOf(run.session));
    expect(await alarmAt()).toBe(dueAt);
    expect(await outboxOf(run.session)).toMatchObject({ dueAt });
  });

  test('after the object died before an update, the alarm sends it', async () => {
    const run = await start(newSession());
    await told(run.session);
    // As if the object had died between its change and its update.
    await runInDurableObject(stubOf(run.session), (_, { storage }) => {
      storage.sql.exec('UPDATE outbox SET version = version + 1, due_at = ?', Date.now() + LEASE_MS);
    });
    await putToSleep(stubOf(run.session));
    const row = await outboxOf(run.session);
    expect(row.delivered).toBeLessThan(row.version);
    const alarm = await runInDurableObject(stubOf(run.session), (_, { storage }) => storage.getAlarm());
    expect(alarm).toBe(row.dueAt);
    at(row.dueAt);
    await runDurableObjectAlarm(stubOf(run.session));
    await told(run.session);
  });

  test('an unreachable directory is updated later; the session works meanwhile, and the list catches up', async () => {
    const session = newSession();
    await start(newSession());
    await runInDurableObject(stub(), (_, { storage }) => storage.sql.exec('ALTER TABLE sessions RENAME TO taken_away'));
    const run = await start(session, { id: 'e1' });
    await vi.waitFor(async () => expect((await outboxOf(session)).attempts).toBe(1));
    const peer = await WrapperPeer.welcomed(run);
    await peer.deliver(1, [output('x'), exit(0)]);
    expect((await get(run)).status).toBe('completed');
    expectProblem(await list(), 'internal');
    await vi.waitFor(async () => expect((await outboxOf(session)).attempts).toBeGreaterThan(0));
    await runInDurableObject(stub(), (_, { storage }) => storage.sql.exec('ALTER TABLE taken_away RENAME TO sessions'));
    expect(await entryOf(session)).toBeUndefined();
    at((await outboxOf(session)).dueAt);
    await runDurableObjectAlarm(stubOf(session));
    await told(session);
    expect((await entryOf(session))?.execution).toEqual(await get(run));
  });

  test('[DIR5] a directory that lost everything has the session after its next update, and no row is written for it elsewhere', async () => {
    const run = await start(newSession(), { id: 'e1' });
    await api('POST', `/v1/sessions/${run.session}/executions/e1/fail`, { body: { code: 'x', message: 'x' } });
    const { dueAt, version } = await told(run.session);
    await runInDurableObject(stub(), (_, { storage }) => storage.deleteAll());
    await putToSleep(stub());
    expect(await page()).toEqual({ data: [], next: null });
    at(dueAt);
    await runDurableObjectAlarm(stubOf(run.session));
    await vi.waitFor(async () => expect((await entryOf(run.session))?.execution).toEqual(await get(run)));
    const after = await told(run.session);
    expect(after.version).toBe(version);
    expect(after.dueAt - dueAt).toBeGreaterThanOrEqual(REFRESH_MIN_MS);
  });

  test('a session from before the directory existed is listed once it wakes', async () => {
    const run = await start(newSession());
    await told(run.session);
    await runInDurableObject(stubOf(run.session), (_, { storage }) => storage.sql.exec('DELETE FROM outbox'));
    await runInDurableObject(stub(), (_, { storage }) => storage.sql.exec('DELETE FROM sessions WHERE id = ?', run.session));
    await putToSleep(stubOf(run.session));
    const { dueAt } = await outboxOf(run.session);
    at(dueAt);
    await runDurableObjectAlarm(stubOf(run.session));
    await vi.waitFor(async () => expect(await entryOf(run.session)).toBeDefined());
  });
});

describe('[DIR2] late, duplicate and reordered updates', () => {
  const entry = (id: string, lastActivityAt: number, execution: Execution | null = executionOf('e1')): SessionEntry => ({
    id,
    lastActivityAt,
    execution,
  });

  test('only a newer version replaces an entry; an old update does not restore a removed one', async () => {
    const id = newSession();
    expect(await announce({ session: id, version: 5, entry: entry(id, 5) })).toEqual({ taken: true, held: 5 });
    expect(await announce({ session: id, version: 3, entry: entry(id, 3) })).toEqual({ taken: false, held: 5 });
    expect(await announce({ session: id, version: 5, entry: entry(id, 5) })).toEqual({ taken: true, held: 5 });
    expect((await entryOf(id))?.lastActivityAt).toBe(5);
    expect(await announce({ session: id, version: 6, entry: null })).toEqual({ taken: true, held: 6 });
    expect(await announce({ session: id, version: 5, entry: entry(id, 5) })).toEqual({ taken: false, held: 6 });
    expect(await entryOf(id)).toBeUndefined();
    expect(await announce({ session: id, version: 7, entry: entry(id, 7) })).toEqual({ taken: true, held: 7 });
    expect((await entryOf(id))?.lastActivityAt).toBe(7);
  });

  test('a session that finds a higher version in the directory exceeds it, and is accepted', async () => {
    const run = await start(newSession());
    const { version } = await told(run.session);
    await announce({ session: run.session, version: version + 1_000_000, entry: null });
    const peer = await WrapperPeer.welcomed(run);
    await vi.waitFor(async () => expect((await entryOf(run.session))?.execution?.status).toBe('running'));
    expect((await told(run.session)).version).toBeGreaterThan(version + 1_000_000);
    peer.close();
  });

  test('[DIR6] a removal is forgotten in the end, as is an entry that must have expired without an update', async () => {
    const [removed, ancient, other] = [newSession(), newSession(), newSession()];
    const now = Date.now();
    await announce({ session: removed, version: 1, entry: null });
    await announce({ session: ancient, version: 1, entry: entry(ancient, 1000) });
    at(now + DIRECTORY_TOMBSTONE_MS + 60_000);
    await announce({ session: other, version: 1, entry: null });
    const left = await runInDurableObject(stub(), (_, { storage }) =>
      storage.sql.exec('SELECT id FROM sessions WHERE id IN (?, ?, ?)', removed, ancient, other).toArray(),
    );
    expect(left).toEqual([{ id: other }]);
  });
});

describe('[HTTP22] the list', () => {
  const TENANT = 'globex';
  const fill = async (entries: [id: string, lastActivityAt: number, status: Execution['status']][]) => {
    for (const [id, lastActivityAt, status] of entries) {
      const execution = executionOf('e1', { status, session: id });
      await announce({ session: id, version: Date.now(), entry: { id, lastActivityAt, execution } }, TENANT);
    }
  };
  const ids = ({ data }: Page): string[] => data.map(({ id }) => id);

  test('is empty for a tenant without sessions, and a read creates nothing', async () => {
    expect(await page('', GLOBEX_KEY)).toEqual({ data: [], next: null });
    await runInDurableObject(stub(TENANT), (_, { storage }) => {
      expect(storage.sql.exec('SELECT name FROM sqlite_master').toArray()).toEqual([]);
    });
  });

  test('newest first, in pages, by status; a cursor continues where the page ended', async () => {
    await fill([
      ['a', 100, 'running'],
      ['b', 300, 'failed'],
      ['c', 200, 'running'],
      ['d', 300, 'running'],
      ['e', 50, 'queued'],
    ]);
    expect(ids(await page('', GLOBEX_KEY))).toEqual(['d', 'b', 'c', 'a', 'e']);
    expect(ids(await page('?status=running', GLOBEX_KEY))).toEqual(['d', 'c', 'a']);
    expect(ids(await page('?status=completed', GLOBEX_KEY))).toEqual([]);
    for (const query of ['', '&status=running']) {
      const seen: string[] = [];
      let cursor = '';
      for (let pages = 0; pages < 10; pages += 1) {
        const one = await page(`?limit=1${query}${cursor}`, GLOBEX_KEY);
        seen.push(...ids(one));
        if (one.next === null) break;
        cursor = `&cursor=${one.next}`;
      }
      expect(seen).toEqual(query === '' ? ['d', 'b', 'c', 'a', 'e'] : ['d', 'c', 'a']);
    }
    expect(ids(await page('', ACME_KEY)).filter((id) => /^[a-e]$/.test(id))).toEqual([]);
  });

  test('a page of it is a seek, with a status and without, however many sessions there are', async () => {
    const plans = await runInDurableObject(stub(TENANT), (_, { storage }) =>
      ['', "AND status = 'running'"].map((status) =>
        storage.sql
          .exec<{ detail: string }>(
            `EXPLAIN QUERY PLAN SELECT id, last_activity_at, execution FROM sessions WHERE removed = 0 ${status}
             AND (last_activity_at, id) < (300, 'b') ORDER BY last_activity_at DESC, id DESC LIMIT 51`,
          )
          .toArray()
          .map(({ detail }) => detail)
          .join('; '),
      ),
    );
    expect(plans[0]).toMatch(
      /SEARCH sessions USING INDEX sessions_by_activity \(removed=\? AND \(last_activity_at,id\)<\(\?,\?\)\)$/,
    );
    expect(plans[1]).toMatch(/SEARCH sessions USING INDEX sessions_by_status \(removed=\? AND status=\? AND/);
  });

  test('a page ends early where its executions are large, and the next continues', async () => {
    for (let index = 0; index < 9; index += 1) {
      const execution = executionOf('e1', { error: 'x'.repeat(600_000) });
      await announce(
        { session: `big${index}`, version: 1, entry: { id: `big${index}`, lastActivityAt: 1000 + index, execution } },
        TENANT,
      );
    }
    const first = await page('', GLOBEX_KEY);
    expect(first.data.length).toBeLessThan(9);
    expect(first.data.length).toBeGreaterThan(5);
    const rest = await page(`?cursor=${first.next}`, GLOBEX_KEY);
    expect(ids(rest)[0]).toBe(`big${8 - first.data.length}`);
  });

  test.each([
    '?limit=0',
    '?limit=201',
    '?limit=1e1',
    '?limit=',
    '?status=done',
    '?cursor=',
    '?cursor=%00',
    '?cursor=bzEy',
    '?cursor=YXgvYQ',
  ])('[HTTP8] %s is refused, and no directory is touched', async (query) => {
    const { DIRECTORY, touched } = untouchable();
    expectProblem(await ask('GET', `/v1/sessions${query}`, { env: deployment({ DIRECTORY }) }), 'bad_request');
    expect(touched).toEqual([]);
  });

  test('a ticket is no credential for it', async () => {
    const made = await api('POST', '/v1/sessions/s/tickets');
    expectProblem(await list('', String(made.body.ticket)), 'unauthorized');
    expectProblem(await ask('GET', `/v1/sessions?ticket=${made.body.ticket}`, { key: null }), 'unauthorized');
  });
});
