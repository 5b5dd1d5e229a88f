/** Limits of a session and of reading it: how much it may hold, and what readers may request. */

import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { expect, vi } from 'vitest';
import {
  CLOSE,
  COMMANDS_WAITING_BYTES_MAX,
  COMMANDS_WAITING_MAX,
  COORDINATOR_FRAME_BYTES_MAX,
  CREDENTIAL_CHARS_MAX,
  CURSOR_CHARS_MAX,
  encodeFrame,
  FEATURE_ASKING,
  FILTER_ITEMS_MAX,
  INPUT_BYTES_MAX,
  LIST_LIMIT_DEFAULT,
  LIST_LIMIT_MAX,
  MAX_ACTIVE_MAX,
  POLICY_BOUNDS,
  QUESTIONS_OPEN_MAX,
  QUEUE_LENGTH_MAX,
  READ_LIMIT_MAX,
  REPLAY_ROUND_BYTES,
  SESSION_BYTES_MAX,
  SESSION_EXECUTIONS_MAX,
  TICKET_TTL_SECONDS_DEFAULT,
  TICKET_TTL_SECONDS_MAX,
  TICKET_UNTIL_SECONDS_DEFAULT,
  TICKET_UNTIL_SECONDS_MAX,
  URL_CHARS_MAX,
  utf8Bytes,
  VIEWERS_MAX,
  WAIT_SECONDS_MAX,
} from '../../../../protocol/index.ts';
import { shortageFor } from '../../../../src/core/log-limit.ts';
import type { LogRow, SessionRuntime, SessionSocket, Store } from '../../../../src/core/ports.ts';
import { signTicket } from '../../../../src/platform/tokens.ts';
import type { SessionContext } from '../../../../src/session/context.ts';
import { admitViewer } from '../../../../src/session/operations.ts';
import { Viewers } from '../../../../src/session/viewers.ts';
import { ask, deployment, expectProblem } from '../../support/http.ts';
import { newSession, ORIGIN, type Run, start, stubOf, testEnv, ViewerPeer, WrapperPeer } from '../../support/peers.ts';
import { type Edge, executionsOf, expectRefused, refusedByForm, rpc, sessionOf, textOfBytes, unchanged } from './edges.ts';

// ── commands ──────────────────────────────────────────────────────────────────────────────────

/** Its agent has asked this many questions, `q0` and so on. */
async function sessionWithQuestions(count: number): Promise<string> {
  const run = await start(newSession(), { id: 'e1' });
  const peer = await WrapperPeer.welcomed(run, { features: [FEATURE_ASKING] });
  const events = Array.from({ length: count }, (_, index) => ({
    type: 'asking',
    at: 1,
    data: { id: `q${index}`, kind: 'question', text: '', options: [{ id: 'a', label: 'A' }] },
  }));
  expect(await peer.deliver(1, events)).toEqual({ type: 'ack', seq: count });
  return run.session;
}

/**
 * A running execution whose wrapper was sent this many commands, of the same length, and
 * acknowledged not one of them.
 */
async function withWaiting(count: number, bytes: number): Promise<{ run: Run; peer: WrapperPeer }> {
  const run = await start(newSession(), { id: 'e1' });
  const peer = await WrapperPeer.welcomed(run);
  const around = utf8Bytes(JSON.stringify({ text: '' }));
  await runInDurableObject(stubOf(run.session), (_, { storage: { sql } }) => {
    for (let left = count; left > 0; left -= 1) {
      const data = JSON.stringify({ text: textOfBytes(Math.floor(bytes / count) + (left === 1 ? bytes % count : 0) - around) });
      sql.exec("INSERT INTO commands (execution, command, data, created_at) VALUES ('e1', 'input', ?, 1)", data);
    }
  });
  return { run, peer };
}

const inputTo = ({ session }: Run, data: string) => ask('POST', `${executionsOf(session)}/e1/input`, { body: { data } });

async function fullOfCommands({ run }: { run: Run }, data: string): Promise<void> {
  const { session } = run;
  await unchanged(session, async () => {
    expectProblem(await inputTo(run, data), 'input_full');
    expectRefused(await rpc.sendInput?.(session, 'e1', data), 'input_full');
  });
  // An execution with a full input queue can still be stopped.
  expect((await ask('POST', `${executionsOf(session)}/e1/interrupt`, { body: {} })).status).toBe(202);
}

/** Every wrapper can read the welcome with all of it. */
async function welcomeOf({ run }: { run: Run }): Promise<number> {
  const again = await WrapperPeer.hello(run);
  const welcome = await again.next();
  if (welcome === null || welcome === 'pong' || welcome.type !== 'welcome') throw new Error('no welcome');
  expect(utf8Bytes(encodeFrame(welcome))).toBeLessThan(COORDINATOR_FRAME_BYTES_MAX);
  return welcome.commands.length;
}

/** As JSON it is six times as long: about as much as one request may have. */
const WORST_INPUT = '\u0001'.repeat(INPUT_BYTES_MAX * 0.65);
const WORST_BYTES = utf8Bytes(JSON.stringify({ text: WORST_INPUT }));

// ── executions ────────────────────────────────────────────────────────────────────────────────

async function queueOf(count: number): Promise<string> {
  const { session } = await start(newSession(), { id: 'active' });
  for (let index = 1; index <= count; index += 1) await start(session, { id: `q${index}`, onBusy: 'queue' });
  return session;
}

// ── viewers ───────────────────────────────────────────────────────────────────────────────────

const contextWith = (viewers: number): SessionContext =>
  ({
    store: { exists: true, createdAt: 1, log: { head: 0, earliest: 1 } },
    viewers: { count: viewers },
  }) as unknown as SessionContext;
const fromStart = { after: 0, tail: null, executions: null, types: null, flow: false };

/** Number of pauses in a replay of two rows, the first of this many bytes. */
function pausesAfter(bytes: number): number {
  const row = (firstOffset: number, size: number): LogRow => ({
    firstOffset,
    count: 1,
    execution: 'e1',
    body: '{"type":"x","at":1,"data":{}}',
    bytes: size,
    own: false,
    late: false,
  });
  let pauses = 0;
  const runtime = { now: () => 1, getWebSockets: () => [], pause: () => new Promise(() => (pauses += 1)), waitUntil: () => {} };
  const store = {
    createdAt: 1,
    log: { head: 2, earliest: 1, rowsAfter: (after: number) => [row(1, bytes), row(2, 1)].slice(after) },
    executions: { newest: () => [], get: () => null },
  };
  const socket = {
    readyState: 1,
    send: () => {},
    close: () => {},
    serializeAttachment: () => {},
    deserializeAttachment: () => null,
  };
  const viewers = new Viewers(runtime as unknown as SessionRuntime, store as unknown as Store, 's');
  viewers.begin(socket as SessionSocket, fromStart);
  return pauses;
}

const typeNames = (count: number): string[] => Array.from({ length: count }, (_, index) => `type${index}`);

// ── credentials and addresses ─────────────────────────────────────────────────────────────────

const keyed = (key: string) => deployment({ HOLDFAST_API_KEYS: `acme=${key}` });
const keyOf = (chars: number): string => 'k'.repeat(chars);
const signingKey = new TextEncoder().encode(String(testEnv.HOLDFAST_SIGNING_KEYS));

/** A path of a list with a query that makes the whole URL this long. */
const pathOfUrl = (chars: number, path: string): string => `${path}?x=`.padEnd(chars - ORIGIN.length, 'x');

/** A query parameter of a session's list of executions. */
function listParam(field: string, good: string, bad: string): Edge {
  return {
    async taken() {
      const { session } = await start(newSession());
      expect((await ask('GET', `${executionsOf(session)}?${field}=${good}`)).status).toBe(200);
    },
    async refused() {
      const { session } = await start(newSession());
      expect(expectProblem(await refusedByForm('GET', `${executionsOf(session)}?${field}=${bad}`), 'bad_request').field).toBe(
        field,
      );
      const value = field === 'limit' ? Number(bad) : decodeURIComponent(bad);
      expectRefused(await rpc.listExecutions?.(session, { [field]: value }), 'bad_request', field);
    },
  };
}

/** `atob` accepts leading spaces, so that a cursor can have any length. */
const cursorOfChars = (chars: number): string => encodeURIComponent(btoa('o1').replace(/=+$/, '').padStart(chars, ' '));

export const SESSIONS = {
  MAX_ACTIVE_MAX: {
    async taken() {
      const session = newSession();
      const request = { maxActive: MAX_ACTIVE_MAX, policy: { maxLogBytes: POLICY_BOUNDS.maxLogBytes.min } };
      for (let index = 1; index <= MAX_ACTIVE_MAX; index += 1) await start(session, { id: `e${index}`, ...request });
      expect((await ask('GET', `/v1/sessions/${session}`)).body.counts).toMatchObject({ pending: MAX_ACTIVE_MAX });
    },
    async refused() {
      const session = newSession();
      const body = { command: ['job'], maxActive: MAX_ACTIVE_MAX + 1 };
      expectProblem(await ask('POST', executionsOf(session), { body }), 'bad_request');
      expectRefused(await rpc.startExecution?.(session, body), 'bad_request', 'maxActive');
      expectProblem(await ask('GET', `/v1/sessions/${session}`), 'session_not_found');
    },
  },
  QUEUE_LENGTH_MAX: {
    async taken() {
      const session = await queueOf(QUEUE_LENGTH_MAX);
      expect((await ask('GET', `/v1/sessions/${session}`)).body.counts).toMatchObject({ pending: 1, queued: QUEUE_LENGTH_MAX });
    },
    async refused() {
      const session = await queueOf(QUEUE_LENGTH_MAX);
      await unchanged(session, async () => {
        for (const onBusy of ['queue', 'replace']) {
          expectProblem(await ask('POST', executionsOf(session), { body: { command: ['job'], onBusy } }), 'queue_full');
          expectRefused(await rpc.startExecution?.(session, { command: ['job'], onBusy }), 'queue_full');
        }
      });
    },
  },
  SESSION_EXECUTIONS_MAX: {
    async taken() {
      const session = await sessionOf(SESSION_EXECUTIONS_MAX - 1);
      await start(session, { id: 'last' });
      expect((await ask('GET', `/v1/sessions/${session}`)).body.counts).toMatchObject({
        pending: 1,
        failed: SESSION_EXECUTIONS_MAX - 1,
      });
    },
    async refused() {
      const session = await sessionOf(SESSION_EXECUTIONS_MAX);
      const count = () => ask('GET', `/v1/sessions/${session}`).then(({ body }) => body.counts);
      const before = await count();
      const problem = expectProblem(await ask('POST', executionsOf(session), { body: { command: ['job'] } }), 'session_full');
      expect(problem.limit).toBe(SESSION_EXECUTIONS_MAX);
      expectRefused(await rpc.startExecution?.(session, { command: ['job'], onBusy: 'replace' }), 'session_full');
      expect(await count()).toEqual(before);
      expect((await start(session, { id: 'e1' })).execution.status).toBe('failed');
    },
  },
  COMMANDS_WAITING_MAX: {
    async taken() {
      const waiting = await withWaiting(COMMANDS_WAITING_MAX - 1, 100 * COMMANDS_WAITING_MAX);
      expect((await inputTo(waiting.run, 'x')).status).toBe(202);
      expect(await welcomeOf(waiting)).toBe(COMMANDS_WAITING_MAX);
    },
    async refused() {
      const waiting = await withWaiting(COMMANDS_WAITING_MAX, 100 * COMMANDS_WAITING_MAX);
      await fullOfCommands(waiting, 'x');
      waiting.peer.send('{"type":"command_ack","id":1}');
      waiting.peer.send('{"type":"command_ack","id":2}');
      await vi.waitFor(async () => expect((await inputTo(waiting.run, 'x')).status).toBe(202));
    },
  },
  QUESTIONS_OPEN_MAX: {
    async taken() {
      const session = await sessionWithQuestions(QUESTIONS_OPEN_MAX);
      expect((await ask('GET', `${executionsOf(session)}/e1`)).body.askingCount).toBe(QUESTIONS_OPEN_MAX);
    },
    async refused() {
      const session = await sessionWithQuestions(QUESTIONS_OPEN_MAX + 1);
      expect((await ask('GET', `${executionsOf(session)}/e1`)).body.askingCount).toBe(QUESTIONS_OPEN_MAX);
      const body = { id: `q${QUESTIONS_OPEN_MAX}`, option: 'a' };
      expectProblem(await ask('POST', `${executionsOf(session)}/e1/answer`, { body }), 'not_asking');
    },
  },
  COMMANDS_WAITING_BYTES_MAX: {
    async taken() {
      const waiting = await withWaiting(10, COMMANDS_WAITING_BYTES_MAX - WORST_BYTES);
      expect((await inputTo(waiting.run, WORST_INPUT)).status).toBe(202);
      expect(await welcomeOf(waiting)).toBe(11);
    },
    async refused() {
      await fullOfCommands(await withWaiting(10, COMMANDS_WAITING_BYTES_MAX - WORST_BYTES + 1), WORST_INPUT);
    },
  },
  VIEWERS_MAX: {
    async taken() {
      expect(admitViewer(contextWith(VIEWERS_MAX - 1), fromStart)).toEqual({ ok: true });
    },
    async refused() {
      expect(admitViewer(contextWith(VIEWERS_MAX), fromStart)).toMatchObject({ ok: false, code: 'overloaded' });
    },
  },
  REPLAY_ROUND_BYTES: {
    async taken() {
      expect(pausesAfter(REPLAY_ROUND_BYTES - 1)).toBe(0);
    },
    async refused() {
      expect(pausesAfter(REPLAY_ROUND_BYTES)).toBe(1);
    },
  },
  FILTER_ITEMS_MAX: {
    async taken() {
      const { session } = await start(newSession(), { id: 'e1' });
      const viewer = await ViewerPeer.connect(session, `?types=${typeNames(FILTER_ITEMS_MAX)}`);
      expect(await viewer.until('caught_up')).not.toBeNull();
      // The longest filters fit into what the platform stores with a socket, also with many
      // unacknowledged bytes.
      const ids = Array.from({ length: FILTER_ITEMS_MAX }, (_, index) => `${index}`.padStart(128, 'e'));
      const full = newSession();
      for (const id of ids) await start(full, { id, onBusy: 'queue' });
      const types = typeNames(FILTER_ITEMS_MAX).map((name) => name.padEnd(64, 'x'));
      const longest = await ViewerPeer.connect(full, `?flow=ack&execution=${ids}&types=${types}`);
      expect(await longest.until('caught_up')).not.toBeNull();
      const body = { types: typeNames(FILTER_ITEMS_MAX) };
      expect((await ask('POST', `/v1/sessions/${session}/tickets`, { body })).status).toBe(201);
      expect(await rpc.createTicket?.(session, body)).toMatchObject({ ok: true });
    },
    async refused() {
      const { session } = await start(newSession(), { id: 'e1' });
      for (const query of [`types=${typeNames(FILTER_ITEMS_MAX + 1)}`, `execution=${typeNames(FILTER_ITEMS_MAX + 1)}`]) {
        expect(await (await ViewerPeer.connect(session, `?${query}`)).closed).toMatchObject({ code: CLOSE.badFrame });
        const headers = { accept: 'text/event-stream' };
        expectProblem(await refusedByForm('GET', `/v1/sessions/${session}/stream?${query}`, { headers }), 'bad_request');
      }
      const body = { types: typeNames(FILTER_ITEMS_MAX + 1) };
      expectProblem(await refusedByForm('POST', `/v1/sessions/${session}/tickets`, { body }), 'bad_request');
      expectRefused(await rpc.createTicket?.(session, body), 'bad_request', 'types');
    },
  },
  LIST_LIMIT_DEFAULT: {
    async taken() {
      const { body } = await ask('GET', executionsOf(await sessionOf(LIST_LIMIT_DEFAULT)));
      expect([(body.data as unknown[]).length, body.next]).toEqual([LIST_LIMIT_DEFAULT, null]);
    },
    async refused() {
      const { body } = await ask('GET', executionsOf(await sessionOf(LIST_LIMIT_DEFAULT + 1)));
      expect([(body.data as unknown[]).length, body.next]).toEqual([LIST_LIMIT_DEFAULT, expect.any(String)]);
    },
  },
  LIST_LIMIT_MAX: listParam('limit', String(LIST_LIMIT_MAX), String(LIST_LIMIT_MAX + 1)),
  CURSOR_CHARS_MAX: listParam('cursor', cursorOfChars(CURSOR_CHARS_MAX), cursorOfChars(CURSOR_CHARS_MAX + 1)),
  READ_LIMIT_MAX: {
    async taken() {
      const { session } = await start(newSession());
      expect(await rpc.readEvents?.(session, { limit: READ_LIMIT_MAX })).toMatchObject({ ok: true });
    },
    async refused() {
      const { session } = await start(newSession());
      expectRefused(await rpc.readEvents?.(session, { limit: READ_LIMIT_MAX + 1 }), 'bad_request', 'limit');
    },
  },
  WAIT_SECONDS_MAX: {
    async taken() {
      const session = await sessionOf(1);
      expect((await ask('GET', `${executionsOf(session)}/e1?wait=${WAIT_SECONDS_MAX}`)).body.status).toBe('failed');
      expect(await rpc.getExecution?.(session, 'e1', { waitSeconds: WAIT_SECONDS_MAX })).toMatchObject({ ok: true });
    },
    async refused() {
      const session = await sessionOf(1);
      const path = `${executionsOf(session)}/e1?wait=${WAIT_SECONDS_MAX + 1}`;
      expect(expectProblem(await refusedByForm('GET', path), 'bad_request').field).toBe('wait');
      expectRefused(await rpc.getExecution?.(session, 'e1', { waitSeconds: WAIT_SECONDS_MAX + 1 }), 'bad_request', 'waitSeconds');
    },
  },
  TICKET_TTL_SECONDS_DEFAULT: ticketLife(TICKET_TTL_SECONDS_DEFAULT, {}),
  TICKET_TTL_SECONDS_MAX: {
    async taken() {
      await ticketLife(TICKET_TTL_SECONDS_MAX, { ttlSeconds: TICKET_TTL_SECONDS_MAX }).taken();
    },
    async refused() {
      const body = { ttlSeconds: TICKET_TTL_SECONDS_MAX + 1 };
      expectProblem(await refusedByForm('POST', '/v1/sessions/s/tickets', { body }), 'bad_request');
      expectRefused(await rpc.createTicket?.('s', body), 'bad_request', 'ttlSeconds');
    },
  },
  TICKET_UNTIL_SECONDS_DEFAULT: connectionLife(TICKET_TTL_SECONDS_DEFAULT + TICKET_UNTIL_SECONDS_DEFAULT, {}),
  TICKET_UNTIL_SECONDS_MAX: {
    async taken() {
      await connectionLife(TICKET_UNTIL_SECONDS_MAX, { untilSeconds: TICKET_UNTIL_SECONDS_MAX }).taken();
    },
    async refused() {
      const body = { untilSeconds: TICKET_UNTIL_SECONDS_MAX + 1 };
      expectProblem(await refusedByForm('POST', '/v1/sessions/s/tickets', { body }), 'bad_request');
      expectRefused(await rpc.createTicket?.('s', body), 'bad_request', 'untilSeconds');
    },
  },
  GENERATION_PATTERN: {
    async taken() {
      const { session } = await start(newSession());
      const answer = await ask('GET', `/v1/sessions/${session}/executions/e1/log?generation=${'z'.repeat(11)}`);
      expectProblem(answer, 'log_replaced');
    },
    async refused() {
      for (const generation of ['z'.repeat(12), 'Z', ''])
        expectProblem(await refusedByForm('GET', `/v1/sessions/s/executions/e1/log?generation=${generation}`), 'bad_request');
    },
  },
  SESSION_BYTES_MAX: {
    async taken() {
      const policy = { maxLogBytes: 1_000_000_000 };
      expect(shortageFor({ databaseBytes: 5_000_000_000, reservedBytes: SESSION_BYTES_MAX - 6_000_000_000 }, policy)).toBeNull();
    },
    async refused() {
      const policy = { maxLogBytes: 1_000_000_000 };
      const load = { databaseBytes: 5_000_000_000, reservedBytes: SESSION_BYTES_MAX - 6_000_000_000 + 1 };
      expect(shortageFor(load, policy)).toEqual({ ...load, wantedBytes: 1_000_000_000, limitBytes: SESSION_BYTES_MAX });
    },
  },
  URL_CHARS_MAX: {
    async taken() {
      const { session } = await start(newSession());
      const path = pathOfUrl(URL_CHARS_MAX, `/v1/sessions/${session}`);
      expect(`${ORIGIN}${path}`.length).toBe(URL_CHARS_MAX);
      expect((await ask('GET', path)).status).toBe(200);
      const query = pathOfUrl(URL_CHARS_MAX, `/v1/sessions/${session}/stream`).split('?')[1];
      expect(await (await ViewerPeer.connect(session, `?${query}`)).until('caught_up')).not.toBeNull();
    },
    async refused() {
      for (const path of ['/v1/sessions/s', '/v1/sessions/s/stream', '/healthz', '/nothing']) {
        const problem = expectProblem(await refusedByForm('GET', pathOfUrl(URL_CHARS_MAX + 1, path)), 'too_large');
        expect([problem.field, problem.limit]).toEqual(['url', URL_CHARS_MAX]);
      }
      const { session } = await start(newSession());
      const query = pathOfUrl(URL_CHARS_MAX + 1, `/v1/sessions/${session}/stream`).split('?')[1];
      expect(await (await ViewerPeer.connect(session, `?${query}`)).closed).toMatchObject({
        code: CLOSE.badFrame,
        reason: expect.stringContaining('too_large'),
      });
    },
  },
  CREDENTIAL_CHARS_MAX: {
    async taken() {
      const key = keyOf(CREDENTIAL_CHARS_MAX);
      expect((await ask('GET', '/v1/nothing', { key, env: keyed(key) })).status).toBe(404);
      // The longest ticket that is issued is far shorter.
      const id = 'x'.repeat(128);
      const types = typeNames(FILTER_ITEMS_MAX).map((name) => name.padEnd(64, 'x'));
      const ticket = await signTicket([signingKey], { tenant: id, session: id, execution: id, types }, 60, Date.now());
      expect(ticket.length).toBeLessThan(CREDENTIAL_CHARS_MAX / 2);
    },
    async refused() {
      const key = keyOf(CREDENTIAL_CHARS_MAX + 1);
      for (const path of ['/v1/nothing', '/v1/sessions/s', '/v1/sessions/s/executions/e/ingest']) {
        expectProblem(await refusedByForm('GET', path, { key }), 'unauthorized');
      }
      const path = `/v1/sessions/s?ticket=${key}`;
      expect(expectProblem(await refusedByForm('GET', path, { key: null }), 'unauthorized').reason).toBe('ticket_invalid');
      // A deployment never receives a longer one.
      expectProblem(await ask('GET', '/v1/nothing', { key, env: keyed(key) }), 'not_configured');
    },
  },
} satisfies Record<string, Edge>;

/**
 * A connection with a ticket made with this body is open until that many seconds have passed, and
 * then ends (STR33).
 */
function connectionLife(seconds: number, body: object): Edge {
  const closedAfter = async (ms: number): Promise<boolean> => {
    const { session } = await start(newSession());
    const now = Math.floor(Date.now() / 1000) * 1000;
    vi.useFakeTimers({ now, toFake: ['Date'] });
    const made = await ask('POST', `/v1/sessions/${session}/tickets`, { body });
    const viewer = await ViewerPeer.connect(session, `?ticket=${made.body.ticket}`, { key: '' });
    expect(await viewer.until('caught_up')).not.toBeNull();
    vi.setSystemTime(now + ms);
    await runDurableObjectAlarm(stubOf(session));
    return runInDurableObject(stubOf(session), (_, ctx) => ctx.getWebSockets().every((ws) => ws.readyState !== 1));
  };
  return {
    async taken() {
      expect(await closedAfter(seconds * 1000 - 1)).toBe(false);
    },
    async refused() {
      expect(await closedAfter(seconds * 1000)).toBe(true);
    },
  };
}

/** A ticket made with this body is valid until its last second, and not after it. */
function ticketLife(seconds: number, body: object): Edge {
  const readAfter = async (ms: number) => {
    const { session } = await start(newSession());
    const now = Math.floor(Date.now() / 1000) * 1000;
    vi.useFakeTimers({ now, toFake: ['Date'] });
    const made = await ask('POST', `/v1/sessions/${session}/tickets`, { body });
    expect(made.body.expiresAt).toBe(now + seconds * 1000);
    vi.setSystemTime(now + ms);
    return ask('GET', `/v1/sessions/${session}`, { key: String(made.body.ticket) });
  };
  return {
    async taken() {
      expect((await readAfter(seconds * 1000 - 1)).status).toBe(200);
    },
    async refused() {
      const answer = await readAfter(seconds * 1000);
      expect(expectProblem(answer, 'unauthorized').reason).toBe('ticket_expired');
    },
  };
}
