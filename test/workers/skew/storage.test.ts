/**
 * Goal: today's code serves sessions and directories that an earlier version left: lists, replays,
 * resumes and settles them, and sends their callbacks.
 * Method: recorded rows are written into fresh objects, which are then evicted, so that today's
 * code finds them as after a deploy. Times are moved to now.
 */

import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { exports } from 'cloudflare:workers';
import { afterEach, describe, expect, test, vi } from 'vitest';
import directoryBundle from '../../../migrations/directory/migrations.js';
import poolBundle from '../../../migrations/pool/migrations.js';
import type { Execution } from '../../../protocol/index.ts';
import type { CallbackMessage } from '../../../src/core/callback-message.ts';
import { readConfig } from '../../../src/platform/config.ts';
import { signIngestToken } from '../../../src/platform/tokens.ts';
import { MIGRATIONS, migrationsOf } from '../../../src/storage/migrate.ts';
import { connectionsOf, exchangesOf, framesOf } from '../../skew/support/fixtures.ts';
import { request as requestOf } from '../support/http.ts';
import {
  api,
  GLOBEX_KEY,
  get,
  newSession,
  type Run,
  readLog,
  start,
  stubOf,
  testEnv,
  ViewerPeer,
  WrapperPeer,
} from '../support/peers.ts';
import { SseReader } from '../support/readers.ts';
import { loadDirectory, loadSession, VERSIONS } from './fixtures.ts';

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const at = (now: number): void => void vi.useFakeTimers({ now, toFake: ['Date'] });

/**
 * An ingest token for an existing execution. The identical start is not available here, so the
 * signer makes one for the wrapper of the test.
 */
async function runOf(session: string, id: string): Promise<Run> {
  const configured = readConfig(testEnv);
  if (!configured.ok) throw new Error(configured.message);
  const token = await signIngestToken(configured.config.signingKeys, { tenant: 'acme', session, execution: id }, 3600, Date.now());
  const execution = (await api('GET', `/v1/sessions/${session}/executions/${id}`)).body as unknown as Execution;
  return { session, execution, ingest: { url: `https://holdfast.test/v1/sessions/${session}/executions/${id}/ingest`, token } };
}

const rowsOf = (session: string, sql: string) =>
  runInDurableObject(stubOf(session), (_, { storage }) => storage.sql.exec(sql).toArray());

describe.each(VERSIONS)('the storage of $name', (version) => {
  const now = 1_800_000_000_000;
  const stored = version.storage();

  test('[VER6] is migrated: newer migrations are applied, and each once', async () => {
    const session = newSession();
    await loadSession(version, 'cuts', session);
    const history = stored.sessions.cuts?.tables.schema_migrations?.map(({ name }) => name) ?? [];
    expect(history.length).toBeGreaterThan(0);
    expect((await api('GET', `/v1/sessions/${session}`)).status).toBe(200);
    const names = await rowsOf(session, 'SELECT name FROM schema_migrations ORDER BY position');
    expect(names.map(({ name }) => name)).toEqual(MIGRATIONS.map(({ name }) => name));
    expect(names.slice(0, history.length).map(({ name }) => name)).toEqual(history);
  });

  test('[VER6] is listed and shown as before: every field that its GET had is there', async () => {
    const exchanges = exchangesOf(version.fixture('http-executions'));
    for (const name of ['cuts', 'text']) {
      await loadSession(version, name, name);
      for (const { request, response } of exchanges.filter(({ request: { path } }) => path.startsWith(`/v1/sessions/${name}`))) {
        const answer = await api(request.method, request.path);
        expect(answer.status).toBe(response.status);
        expect(answer.body, request.path).toMatchObject(JSON.parse(response.body) as object);
      }
    }
  });

  test.each(['viewer-replay', 'viewer-tail', 'viewer-types', 'viewer-resumed', 'viewer-flow', 'viewer-ahead'])(
    '[VER1] [VER6] is read as it was: %s gets the same frames, event for event, in the same order',
    async (name) => {
      const recorded = version.fixture(name);
      const [entries = []] = connectionsOf(recorded);
      const opened = entries.find((entry) => 'open' in entry);
      const path = opened && 'open' in opened ? opened.open.path : '';
      await loadSession(version, 'cuts', 'cuts');
      const peer = await ViewerPeer.connect('cuts', path.slice(path.indexOf('?')));
      for (const entry of entries) {
        if ('frame' in entry && entry.from === 'caller') peer.send(entry.frame);
        if ('frame' in entry && entry.from === 'callee') expect(await peer.next()).toMatchObject(JSON.parse(entry.frame) as object);
        if ('close' in entry && entry.from === 'callee') expect(await peer.closed).toMatchObject(entry.close);
      }
      expect(framesOf(entries, 'callee').length + entries.filter((entry) => 'close' in entry).length).toBeGreaterThan(0);
    },
  );

  test('[VER1] [VER6] is read as before over HTTP: Server-Sent Events, Durable Streams, the plain log', async () => {
    await loadSession(version, 'cuts', 'cuts');
    const [sse] = exchangesOf(version.fixture('http-sse'));
    const reader = await SseReader.open(sse?.request.path ?? '');
    expect(await reader.reader.ended).toBe('whole');
    const withoutComments = (text: string): string => text.replaceAll(/^(:.*|retry: .*)\n+/gm, '');
    // Ids now contain the log's generation too (`1@generation`). 0.1.0 sent the offset alone, which
    // is still accepted.
    const withoutGeneration = (text: string): string => text.replaceAll(/^(id: \d+)@[a-z0-9]+/gm, '$1');
    expect(withoutGeneration(withoutComments(reader.reader.text))).toBe(withoutComments(sse?.response.body ?? ''));

    const exchanges = [...exchangesOf(version.fixture('http-durable-streams')), ...exchangesOf(version.fixture('http-log'))];
    expect(exchanges.length).toBeGreaterThan(5);
    // The content of an ETag may change; its presence may not.
    let etag = '';
    for (const { request, response } of exchanges) {
      const conditional = request.headers['if-none-match'] !== undefined;
      const answer = await exports.default.fetch(
        requestOf(request.method, request.path, { headers: conditional ? { 'if-none-match': etag } : {} }),
      );
      if (request.path.endsWith('offset=-1')) etag = answer.headers.get('etag') ?? '';
      const text = request.method === 'HEAD' ? '' : new TextDecoder().decode(await answer.arrayBuffer());
      const what = `${request.method} ${request.path}`;
      expect(answer.status, what).toBe(response.status);
      expect(text, what).toBe(response.body);
      for (const [header, value] of Object.entries(response.headers)) {
        if (/^(stream-(next-offset|up-to-date|closed)|content-type)$/.test(header))
          // An offset now contains the log's generation too.
          expect(answer.headers.get(header)?.replace(/^(\d{16})_[a-z0-9]+$/, '$1'), what).toBe(value);
        if (header === 'etag') expect(answer.headers.get(header), what).toMatch(/^"[^"]+"$/);
      }
    }
  });

  test('[VER6] a wrapper of a running execution reconnects: it learns what is durable and gets its command again, sends the rest, and ends it; the next begins', async () => {
    const session = newSession();
    await loadSession(version, 'left', session, { now: Date.now() });
    const run = await runOf(session, 'e1');
    expect(run.execution).toMatchObject({ status: 'running' });
    const spool = version.spools().left;
    const { wrapperId, bootId } = JSON.parse(spool?.files['state.json'] ?? '') as { wrapperId: string; bootId: string };
    const lines =
      Object.entries(spool?.files ?? {})
        .find(([name]) => name.endsWith('.ndjson'))?.[1]
        .split('\n')
        .slice(0, -1) ?? [];

    const stranger = await WrapperPeer.hello(run, { wrapperId: 'w_stranger' });
    expect(await stranger.closed).toMatchObject({ code: 4409 });
    const peer = await WrapperPeer.connect(run);
    peer.send(JSON.stringify({ type: 'hello', protocol: 1, wrapperId, bootId, nextSeq: lines.length + 1, lost: 0 }));
    const welcome = await peer.next();
    expect(welcome).toMatchObject({
      type: 'welcome',
      ackedSeq: spool?.acked,
      epoch: 2,
      commands: [{ command: 'input', data: { text: 'unread\n' } }],
    });
    const exit = JSON.stringify({ type: 'exit', at: Date.now(), data: { exitCode: 0, signal: null } });
    // All of it again: known events are dropped.
    peer.send(`{"type":"events","seq":1,"count":${lines.length + 1}}\n${[...lines, exit].join('\n')}`);
    expect(await peer.next()).toEqual({ type: 'ack', seq: lines.length + 1 });
    expect(await peer.closed).toMatchObject({ code: 4000 });
    const log = await readLog(session);
    const facts = log.filter(({ execution, type }) => execution === 'e1' && ['started', 'output', 'exit'].includes(type));
    expect(facts.map(({ type, data }) => ({ type, data }))).toEqual(
      [...lines, exit].map((line) => JSON.parse(line) as { type: string; data: object }).map(({ type, data }) => ({ type, data })),
    );
    expect(log.map(({ offset }) => offset)).toEqual(log.map((_, index) => index + 1));
    expect(await get(run)).toMatchObject({ status: 'completed', exitCode: 0 });
    expect((await api('GET', `/v1/sessions/${session}/executions/e2`)).body).toMatchObject({ status: 'pending' });
  });

  test('[VER6] a running execution whose wrapper does not come back fails by its grace, and the queued one begins', async () => {
    at(now);
    const session = newSession();
    await loadSession(version, 'left', session, { now });
    const before = (await api('GET', `/v1/sessions/${session}/executions/e1`)).body as unknown as Execution;
    expect(before).toMatchObject({ status: 'running', connected: false });
    expect(before.graceUntil).toBe(now + before.policy.disconnectGraceMs);
    at((before.graceUntil ?? 0) - 1);
    await runDurableObjectAlarm(stubOf(session));
    expect((await api('GET', `/v1/sessions/${session}/executions/e1`)).body).toMatchObject({ status: 'running' });
    at(before.graceUntil ?? 0);
    await runDurableObjectAlarm(stubOf(session));
    expect((await api('GET', `/v1/sessions/${session}/executions/e1`)).body).toMatchObject({
      status: 'failed',
      code: 'wrapper_disconnected',
    });
    expect((await api('GET', `/v1/sessions/${session}/executions/e2`)).body).toMatchObject({ status: 'pending' });
    expect(await rowsOf(session, "SELECT * FROM commands WHERE execution = 'e1'")).toEqual([]);
  });

  test('[VER6] accepts new executions: ids of commands and offsets continue', async () => {
    const session = newSession();
    await loadSession(version, 'cuts', session, { now: Date.now() });
    const { head } = (await api('GET', `/v1/sessions/${session}`)).body as { head: number };
    const run = await start(session, { id: 'e2' });
    expect(run.execution.firstOffset).toBe(head + 1);
    const peer = await WrapperPeer.welcomed(run);
    expect(await peer.deliver(1, [{ type: 'exit', at: 1, data: { exitCode: 0 } }])).toEqual({ type: 'ack', seq: 1 });
    expect(await get(run)).toMatchObject({ status: 'completed' });
    const list = (await api('GET', `/v1/sessions/${session}/executions`)).body as { data: Execution[] };
    expect(list.data.map(({ id }) => id)).toEqual(['e2', 'e1']);
  });

  test('[VER6] a callback that was not delivered to its queue is sent by today’s alarm, under its own id', async () => {
    const queued: CallbackMessage[] = [];
    const binding = Object.getPrototypeOf(testEnv.CALLBACKS) as Queue<CallbackMessage>;
    vi.spyOn(binding, 'send').mockImplementation(async (message) => {
      queued.push(message);
      return { metadata: { metrics: { backlogCount: 1, backlogBytes: 1 } } } as QueueSendResponse;
    });
    const rows = stored.sessions.callback?.tables.callbacks ?? [];
    expect(rows).toHaveLength(1);
    const session = newSession();
    await loadSession(version, 'callback', session, { now });
    at(now + 3_600_000);
    await api('GET', `/v1/sessions/${session}`);
    await runDurableObjectAlarm(stubOf(session));
    await vi.waitFor(() => expect(queued).toHaveLength(1));
    expect(queued[0]).toMatchObject({ version: 1, id: rows[0]?.id, execution: 'e1', url: rows[0]?.url });
    expect(JSON.parse(queued[0]?.body ?? '')).toMatchObject({ type: 'execution.failed', data: { execution: { code: 'gave_up' } } });
    await vi.waitFor(async () => expect(await rowsOf(session, 'SELECT id FROM callbacks')).toEqual([]));
  });

  test('[VER6] a directory lists its stored entries', async () => {
    await loadDirectory(version, 'globex');
    const rows = (stored.directory.tables.sessions ?? []).filter(({ removed }) => removed === 0);
    expect(rows.length).toBeGreaterThan(5);
    const { status, body } = await api('GET', '/v1/sessions?limit=200', { key: GLOBEX_KEY });
    expect(status).toBe(200);
    const { data } = body as { data: { id: string; lastActivityAt: number; execution: Execution }[] };
    expect(data.map(({ id }) => id).sort()).toEqual(rows.map(({ id }) => id).sort());
    for (const { id, execution } of data) {
      const row = rows.find((one) => one.id === id);
      expect(execution).toMatchObject(JSON.parse(String(row?.execution)) as object);
    }
  });

  test('[VER6] is deleted as a whole', async () => {
    const session = newSession();
    await loadSession(version, 'left', session, { now: Date.now() });
    expect((await api('DELETE', `/v1/sessions/${session}`)).status).toBe(204);
    expect((await api('GET', `/v1/sessions/${session}`)).status).toBe(404);
  });
});

describe('migrations', () => {
  const sums = import.meta.glob<string>('../../skew/migrations.json', { query: '?raw', import: 'default', eager: true });
  const written = JSON.parse(Object.values(sums)[0] ?? '{}') as Record<'session' | 'directory' | 'pool', Record<string, string>>;

  const sha256 = async (text: string): Promise<string> => {
    const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
    return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  };

  test.each([
    ['session', MIGRATIONS],
    ['directory', migrationsOf(directoryBundle)],
    ['pool', migrationsOf(poolBundle)],
  ] as const)(
    '[VER6] those of a %s are only ever appended: none that was written down has changed, and every one is written down',
    async (kind, migrations) => {
      const now: Record<string, string> = {};
      for (const { name, sql } of migrations) now[name] = await sha256(sql);
      // For a new migration, add its line to test/skew/migrations.json. For a changed one, revert
      // the change and append another migration.
      expect(now).toEqual(written[kind]);
      expect(Object.keys(now)).toEqual(Object.keys(written[kind]));
    },
  );

  test.each(VERSIONS)('[VER6] the migrations of $name are the beginning of today’s', (version) => {
    const { sessions, directory } = version.storage();
    for (const { tables } of Object.values(sessions)) {
      const names = (tables.schema_migrations ?? []).map(({ name }) => name);
      expect(MIGRATIONS.slice(0, names.length).map(({ name }) => name)).toEqual(names);
    }
    const names = (directory.tables.schema_migrations ?? []).map(({ name }) => name);
    expect(
      migrationsOf(directoryBundle)
        .slice(0, names.length)
        .map(({ name }) => name),
    ).toEqual(names);
  });
});
