/**
 * The Workers RPC: the same operations for another Worker. Its results are compared with the HTTP
 * response to the same request, for good input and for bad, so that the two cannot drift apart.
 * Method: the real entrypoint, over a loopback binding whose props the test provides.
 */

import { createExecutionContext, runInDurableObject } from 'cloudflare:test';
import { exports, type WorkerEntrypoint } from 'cloudflare:workers';
import { describe, expect, test, vi } from 'vitest';
import packageJson from '../../../packages/holdfast/package.json?raw';
import {
  type Execution,
  type Failure,
  GENERATION_PATTERN,
  type LoggedEvent,
  PROBLEMS,
  PROTOCOL_VERSION,
  type StartRequest,
  WAIT_SECONDS_MAX,
} from '../../../protocol/index.ts';
import type { Env } from '../../../src/platform/env.ts';
import { verifyIngestToken, verifyTicket } from '../../../src/platform/tokens.ts';
import { Holdfast, type HoldfastProps } from '../../../src/rpc.ts';
import { ask, deployment, objectCount, untouchable } from '../support/http.ts';
import { api, exit, newSession, ORIGIN, output, readLog, start, stubOf, testEnv, WrapperPeer } from '../support/peers.ts';
import { newPool, RunnerPeer, viewOf } from '../support/runners.ts';

/**
 * The entrypoint's methods with their own types. The platform's mapping of RPC types does not
 * preserve result unions.
 */
type Calls = {
  [M in Exclude<keyof Holdfast, keyof WorkerEntrypoint | symbol>]: Holdfast[M] extends (...args: infer A) => infer R
    ? (...args: A) => R
    : never;
};

const bound = (props: HoldfastProps): Calls => exports.Holdfast({ props }) as unknown as Calls;
const acme = bound({ tenant: 'acme' });

/** The same class in a deployment with another configuration. */
const deployed = (settings: Parameters<typeof deployment>[0], props: HoldfastProps = { tenant: 'acme' }): Calls =>
  new Holdfast(Object.assign(createExecutionContext(), { props }) as ExecutionContext<HoldfastProps>, deployment(settings) as Env);

const executionsOf = (session: string): string => `/v1/sessions/${session}/executions`;
const request: StartRequest = { command: ['job', 'a'], env: { A: '1' }, labels: { team: 'a' } };

function granted<T extends object>(result: ({ ok: true } & T) | Failure): T {
  if (!result.ok) throw new Error(`${result.code}: ${result.message}`);
  return result;
}

describe('the same as HTTP', () => {
  test('[HTTP12] startExecution creates an execution, and finds one that HTTP created', async () => {
    const session = newSession();
    const made = granted(await acme.startExecution(session, { id: 'e1', ...request }));
    expect(made.created).toBe(true);
    expect(made.ingest.url).toBe(`${ORIGIN}/v1/sessions/${session}/executions/e1/ingest`);
    const keys = [new TextEncoder().encode(testEnv.HOLDFAST_SIGNING_KEYS)];
    expect(await verifyIngestToken(keys, made.ingest.token, Date.now())).toEqual({
      ok: true,
      claims: { tenant: 'acme', session, execution: 'e1' },
    });
    const http = await ask('POST', executionsOf(session), { body: { id: 'e1', ...request } });
    expect(http.status).toBe(200);
    expect(http.body.execution).toEqual(made.execution);

    const other = newSession();
    const first = await ask('POST', executionsOf(other), { body: { id: 'e1', ...request } });
    const found = granted(await acme.startExecution(other, { id: 'e1', ...request }));
    expect(found).toMatchObject({ created: false, execution: first.body.execution });
  });

  test('[HTTP22] listSessions returns what HTTP returns, for its own tenant', async () => {
    const sessions = [newSession(), newSession(), newSession()];
    for (const session of sessions) await start(session, { id: 'e1' });
    await vi.waitFor(async () => {
      const { data } = granted(await acme.listSessions({ limit: 200 }));
      expect(data.map(({ id }) => id)).toEqual(expect.arrayContaining(sessions));
    });
    for (const query of [{}, { limit: 2 }, { status: 'pending' }, { status: 'interrupted' }]) {
      const search = new URLSearchParams(Object.entries(query).map(([key, value]) => [key, String(value)]));
      const { data, next } = granted(await acme.listSessions(query));
      expect({ data, next }).toEqual((await ask('GET', `/v1/sessions?${search}`)).body);
    }
    const { data, next } = granted(await acme.listSessions({ limit: 1 }));
    const more = granted(await acme.listSessions({ limit: 1, cursor: next as string }));
    expect(more.data[0]?.id).not.toBe(data[0]?.id);
    const theirs = granted(await bound({ tenant: 'globex' }).listSessions({ limit: 200 }));
    expect(theirs.data.filter(({ id }) => sessions.includes(id))).toEqual([]);
  });

  test('[HTTP23] deleteSession deletes, and the second time finds nothing', async () => {
    const { session } = await start(newSession());
    expect(await acme.deleteSession(session)).toEqual({ ok: true });
    expect(await acme.deleteSession(session)).toMatchObject({ ok: false, code: 'session_not_found' });
    expect((await ask('GET', `/v1/sessions/${session}`)).status).toBe(404);
  });

  test('version returns the deployed version to every caller, also without keys', async () => {
    const version = { protocol: PROTOCOL_VERSION, version: JSON.parse(packageJson).version };
    expect(await acme.version()).toEqual(version);
    expect(await deployed({ HOLDFAST_API_KEYS: undefined }, {}).version()).toEqual(version);
    expect((await ask('GET', '/healthz', { key: null })).body).toMatchObject({ version: version.version });
  });

  test('getExecution, listExecutions and getSession return what HTTP returns', async () => {
    const session = newSession();
    for (const id of ['e1', 'e2', 'e3']) await start(session, { id, onBusy: 'queue' });
    expect(granted(await acme.getExecution(session, 'e2')).execution).toEqual(
      (await ask('GET', `${executionsOf(session)}/e2`)).body,
    );
    expect(granted(await acme.getSession(session)).session).toEqual((await ask('GET', `/v1/sessions/${session}`)).body);
    for (const query of [{}, { limit: 2 }, { status: 'queued' }, { status: 'queued', limit: 1 }]) {
      const search = new URLSearchParams(Object.entries(query).map(([key, value]) => [key, String(value)]));
      const { data, next } = granted(await acme.listExecutions(session, query));
      const http = (await ask('GET', `${executionsOf(session)}?${search}`)).body;
      expect({ data, next }).toEqual(http);
      if (next === null) continue;
      // A cursor of the one continues in the other.
      const page = granted(await acme.listExecutions(session, { ...query, cursor: String(http.next) }));
      expect(page.data).toEqual((await ask('GET', `${executionsOf(session)}?${search}&cursor=${next}`)).body.data);
    }
  });

  test('[LIF12] [HTTP18] interruptExecution and failExecution settle once, and report it', async () => {
    const session = newSession();
    for (const id of ['e1', 'e2']) await start(session, { id, onBusy: 'queue' });
    const interrupted = granted(await acme.interruptExecution(session, 'e1', { reason: 'enough' }));
    expect(interrupted).toMatchObject({ settled: true, execution: { status: 'interrupted', reason: 'enough' } });
    expect(granted(await acme.interruptExecution(session, 'e1'))).toMatchObject({ settled: false });
    const failed = granted(await acme.failExecution(session, 'e2', { code: 'gave_up', message: 'no more' }));
    expect(failed).toMatchObject({ settled: true, execution: { status: 'failed', code: 'gave_up', error: 'no more' } });
    expect(granted(await acme.failExecution(session, 'e2', { code: 'other', message: 'x' }))).toMatchObject({ settled: false });
    expect((await ask('POST', `${executionsOf(session)}/e2/fail`, { body: { code: 'x', message: 'x' } })).body).toEqual({
      settled: false,
      execution: failed.execution,
    });
  });

  test('sendInput reaches the job', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    const { commandId } = granted(await acme.sendInput(run.session, run.execution.id, 'yes\n'));
    expect(await peer.next()).toEqual({ type: 'command', id: commandId, command: 'input', data: { text: 'yes\n' } });
  });

  test('getExecution waits for the end on request', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    const waiting = acme.getExecution(run.session, run.execution.id, { waitSeconds: 25 });
    await scheduler.wait(100);
    await peer.deliver(1, [exit(0)]);
    expect(granted(await waiting).execution).toMatchObject({ status: 'completed' });
    const unchanged = granted(await acme.getExecution((await start(run.session, { id: 'e2' })).session, 'e2', { waitSeconds: 0 }));
    expect(unchanged.execution.status).toBe('pending');
  });

  test('createTicket returns a ticket for its tenant', async () => {
    const session = newSession();
    const { ticket, expiresAt } = granted(await acme.createTicket(session, { execution: 'e1', types: ['output'], ttlSeconds: 90 }));
    expect(expiresAt).toBeGreaterThan(Date.now() + 85_000);
    expect(await verifyTicket([new TextEncoder().encode(testEnv.HOLDFAST_SIGNING_KEYS)], ticket, Date.now())).toEqual({
      ok: true,
      claims: { tenant: 'acme', session, execution: 'e1', types: ['output'], id: expect.stringMatching(/^t_/) },
    });
    expect(granted(await acme.createTicket(session))).toMatchObject({ ticket: expect.any(String) });
  });

  /** One request in both ways: an RPC call, and the equivalent HTTP request. */
  const REFUSED: [what: string, rpc: (session: string) => Promise<object>, http: [method: string, path: string, body?: unknown]][] =
    [
      ['an unknown execution', (s) => acme.getExecution(s, 'unknown'), ['GET', '/executions/unknown']],
      ['a busy session', (s) => acme.startExecution(s, { command: ['x'] }), ['POST', '/executions', { command: ['x'] }]],
      [
        'an id conflict',
        (s) => acme.startExecution(s, { id: 'e1', command: ['x'] }),
        ['POST', '/executions', { id: 'e1', command: ['x'] }],
      ],
      ['no command', (s) => acme.startExecution(s, {} as StartRequest), ['POST', '/executions', {}]],
      [
        'a policy out of bounds',
        (s) => acme.startExecution(s, { command: ['x'], policy: { maxRuntimeMs: 999 } }),
        ['POST', '/executions', { command: ['x'], policy: { maxRuntimeMs: 999 } }],
      ],
      [
        'a launcher that is not here',
        (s) => acme.startExecution(s, { command: ['x'], launcher: 'container' }),
        ['POST', '/executions', { command: ['x'], launcher: 'container' }],
      ],
      ['input to what does not run', (s) => acme.sendInput(s, 'e1', 'x'), ['POST', '/executions/e1/input', { data: 'x' }]],
      ['input that is no text', (s) => acme.sendInput(s, 'e1', 1 as never), ['POST', '/executions/e1/input', { data: 1 }]],
      [
        'a bad failure code',
        (s) => acme.failExecution(s, 'e1', { code: 'X', message: '' }),
        ['POST', '/executions/e1/fail', { code: 'X', message: '' }],
      ],
      [
        'a bad reason',
        (s) => acme.interruptExecution(s, 'e1', { reason: 1 as never }),
        ['POST', '/executions/e1/interrupt', { reason: 1 }],
      ],
      ['a ticket for too long', (s) => acme.createTicket(s, { ttlSeconds: 3601 }), ['POST', '/tickets', { ttlSeconds: 3601 }]],
      ['a status that is none', (s) => acme.listExecutions(s, { status: 'active' }), ['GET', '/executions?status=active']],
      ['a limit too high', (s) => acme.listExecutions(s, { limit: 201 }), ['GET', '/executions?limit=201']],
      ['a cursor that is none', (s) => acme.listExecutions(s, { cursor: 'x' }), ['GET', '/executions?cursor=x']],
      ['an execution id that is none', (s) => acme.getExecution(s, '../x'), ['GET', '/executions/..%2Fx']],
      ['a session id that is none', () => acme.getSession('a/b'), ['GET', '%2F']],
      ['an unknown session', () => acme.getSession('never'), ['GET', '-never']],
    ];
  test.each(REFUSED)('[HTTP1] %s: the same code, message and facts', async (_, rpc, [method, path, body]) => {
    const { session } = await start(newSession(), { id: 'e1' });
    const result = (await rpc(session)) as Failure;
    expect(result.ok).toBe(false);
    const http = (await ask(method, `/v1/sessions/${session}${path}`, { body })).body;
    const {
      title: _title,
      type: _type,
      status: _status,
      retryable: _retryable,
      requestId: _requestId,
      code,
      detail,
      ...facts
    } = http;
    expect({ code: result.code, message: result.message, facts: result.facts ?? {} }).toEqual({ code, message: detail, facts });
    expect(Object.keys(PROBLEMS)).toContain(result.code);
  });

  test('[HTTP20] no result contains env or stdin', async () => {
    const session = newSession();
    const secret = { env: { TOKEN: 'secret-77aa' }, stdin: 'secret-77aa' };
    const results = [
      await acme.startExecution(session, { id: 'e1', command: ['x'], ...secret }),
      await acme.startExecution(session, { id: 'e1', command: ['other'], ...secret }),
      await acme.getExecution(session, 'e1'),
      await acme.listExecutions(session),
      await acme.readEvents(session),
    ];
    expect(JSON.stringify(results)).not.toContain('secret-77aa');
  });
});

describe('readEvents', () => {
  test('pages through a log of batches: every offset once, in order, whatever the page size', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    for (let seq = 1; seq <= 60; seq += 3) {
      await peer.deliver(seq, [output(`${seq}\n`), output(`${seq + 1}\n`), output(`${seq + 2}\n`)]);
    }
    await peer.deliver(61, [exit(0)]);
    const head = 3 + 61 + 1;
    for (const limit of [1, 2, 4, 7, head - 1, head, 1000]) {
      const all: LoggedEvent[] = [];
      for (let after = 0; ; ) {
        const page = granted(await acme.readEvents(run.session, { after, limit }));
        expect(page.head).toBe(head);
        expect(page.events.length).toBe(Math.min(limit, head - after));
        all.push(...page.events);
        after = page.next;
        if (page.next === page.head) break;
      }
      expect(all.map(({ offset }) => offset)).toEqual(Array.from({ length: head }, (_, index) => index + 1));
      expect(all.map(({ offset, execution, type, data }) => ({ offset, execution, type, data }))).toEqual(
        await readLog(run.session),
      );
    }
    expect(granted(await acme.readEvents(run.session, { after: head }))).toEqual({
      ok: true,
      events: [],
      next: head,
      head,
      generation: expect.stringMatching(GENERATION_PATTERN),
    });
    expect(granted(await acme.readEvents(run.session)).events).toHaveLength(head);
  });

  test("[STR4] offset and execution are the log's own, also of an event that has fields of these names", async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    const event = { type: 'output', at: 5, data: { stream: 'stdout', text: 'x' }, offset: 1, execution: 'other', extra: true };
    peer.send(`{"type":"events","seq":1,"count":1}\n${JSON.stringify(event)}`);
    expect(await peer.next()).toEqual({ type: 'ack', seq: 1 });
    const { events, next } = granted(await acme.readEvents(run.session, { after: 3 }));
    expect(events).toEqual([{ offset: 4, execution: run.execution.id, type: 'output', at: 5, data: event.data }]);
    expect(next).toBe(4);
  });

  test('[HTTP9] [HTTP10] an offset outside the log is refused, with the earliest one', async () => {
    const run = await start(newSession());
    await WrapperPeer.welcomed(run);
    expect(await acme.readEvents(run.session, { after: 4 })).toMatchObject({ ok: false, code: 'offset_ahead', facts: { head: 3 } });
    await runInDurableObject(
      stubOf(run.session),
      (_, { storage }) => void storage.sql.exec('DELETE FROM log WHERE first_offset = 1'),
    );
    expect(await acme.readEvents(run.session)).toMatchObject({ ok: false, code: 'offset_expired', facts: { earliest: 2 } });
    expect(granted(await acme.readEvents(run.session, { after: 1 })).events).toHaveLength(2);
  });

  test.each([
    ['after', { after: -1 }],
    ['after', { after: 1.5 }],
    ['after', { after: Number.NaN }],
    ['after', { after: 2 ** 53 }],
    ['after', { after: '1' as never }],
    ['after', { after: null as never }],
    ['limit', { limit: 0 }],
    ['limit', { limit: 1001 }],
    ['limit', { limit: Number.POSITIVE_INFINITY }],
  ])('[HTTP8] %s in %j is refused', async (field, query) => {
    const { session } = await start(newSession());
    expect(await acme.readEvents(session, query)).toMatchObject({ ok: false, code: 'bad_request', facts: { field } });
  });
});

describe('pools', () => {
  const bad = ['', 'a/b', 7, null, undefined, {}] as never[];

  test('listPools and getPool return what HTTP returns, for their own tenant', async () => {
    const made = await newPool();
    const runner = await RunnerPeer.ready(made);
    const { data } = granted(await acme.listPools());
    expect(data).toEqual((await api('GET', '/v1/pools')).body.data);
    expect(data).toContainEqual(expect.objectContaining({ id: made.pool, runners: 1 }));
    const { pool } = granted(await acme.getPool(made.pool));
    expect(pool).toEqual(await viewOf(made.pool));
    expect(pool.runners).toMatchObject([{ id: runner.id, state: 'connected' }]);
    expect(await bound({ tenant: 'globex' }).getPool(made.pool)).toMatchObject({ ok: false, code: 'pool_not_found' });
  });

  test('[POOL24] drainRunner and removeRunner: a connected runner is drained first, and one that is gone is removed once', async () => {
    const made = await newPool();
    const runner = await RunnerPeer.ready(made);
    expect(await acme.removeRunner(made.pool, runner.id)).toMatchObject({ ok: false, code: 'runner_connected' });
    expect(await acme.drainRunner(made.pool, runner.id)).toEqual({ ok: true });
    expect(await runner.next()).toEqual({ type: 'drain' });
    runner.close();
    await vi.waitFor(async () => expect((await viewOf(made.pool)).runners).toMatchObject([{ state: 'ended' }]));
    expect(await acme.removeRunner(made.pool, runner.id)).toEqual({ ok: true });
    expect(await acme.removeRunner(made.pool, runner.id)).toMatchObject({ ok: false, code: 'runner_not_found' });
    expect(await acme.drainRunner(made.pool, runner.id)).toMatchObject({ ok: false, code: 'runner_not_found' });
  });

  test.each(['listPools', 'getPool', 'drainRunner', 'removeRunner'] as const)(
    '[HTTP2] [HTTP3] %s needs a tenant and keys',
    async (method) => {
      const call = (calls: Calls) => calls[method]('default', 'r_1');
      expect(await call(bound({}))).toMatchObject({ ok: false, code: 'unauthorized' });
      const { POOLS, DIRECTORY, touched } = untouchable();
      expect(await call(deployed({ POOLS, DIRECTORY, HOLDFAST_API_KEYS: undefined }))).toMatchObject({ code: 'not_configured' });
      expect(touched).toEqual([]);
    },
  );

  test('[HTTP5] an invalid id is a bad request, and reaches no pool', async () => {
    const { POOLS, touched } = untouchable();
    const calls = deployed({ POOLS });
    const field = (name: string) => ({ ok: false, code: 'bad_request', facts: { field: name } });
    for (const id of bad) {
      expect(await calls.getPool(id)).toMatchObject(field('pool'));
      for (const method of ['drainRunner', 'removeRunner'] as const) {
        expect(await calls[method](id, 'r_1')).toMatchObject(field('pool'));
        expect(await calls[method]('default', id)).toMatchObject(field('runner'));
      }
    }
    expect(touched).toEqual([]);
  });
});

describe('callers and calls', () => {
  const EVERY: [name: string, call: (calls: Calls, session: unknown, execution: unknown) => Promise<object>][] = [
    ['startExecution', (calls, s) => calls.startExecution(s as string, request)],
    ['getExecution', (calls, s, e) => calls.getExecution(s as string, e as string)],
    ['listExecutions', (calls, s) => calls.listExecutions(s as string)],
    ['interruptExecution', (calls, s, e) => calls.interruptExecution(s as string, e as string)],
    ['failExecution', (calls, s, e) => calls.failExecution(s as string, e as string, { code: 'x', message: 'x' })],
    ['sendInput', (calls, s, e) => calls.sendInput(s as string, e as string, 'x')],
    ['answerQuestion', (calls, s, e) => calls.answerQuestion(s as string, e as string, { id: 'q1', option: 'allow' })],
    ['resizeTerminal', (calls, s, e) => calls.resizeTerminal(s as string, e as string, { cols: 80, rows: 24 })],
    ['readEvents', (calls, s) => calls.readEvents(s as string)],
    ['createTicket', (calls, s) => calls.createTicket(s as string)],
    ['getSession', (calls, s) => calls.getSession(s as string)],
    ['deleteSession', (calls, s) => calls.deleteSession(s as string)],
  ];
  const WITHOUT_SESSION = ['listSessions', 'listPools', 'getPool', 'drainRunner', 'removeRunner', 'version'];

  test('every method is here', () => {
    const methods = Object.getOwnPropertyNames(Holdfast.prototype).filter((name) => name !== 'constructor');
    expect(methods.sort()).toEqual([...EVERY.map(([name]) => name), ...WITHOUT_SESSION].sort());
  });

  test('[HTTP2] [HTTP3] listSessions needs a tenant and keys', async () => {
    expect(await bound({}).listSessions()).toMatchObject({ ok: false, code: 'unauthorized' });
    const { DIRECTORY, touched } = untouchable();
    expect(await deployed({ DIRECTORY, HOLDFAST_API_KEYS: undefined }).listSessions()).toMatchObject({ code: 'not_configured' });
    for (const query of [null, { limit: 0 }, { limit: 201 }, { status: 'done' }, { cursor: 'x' }, { more: 1 }] as never[]) {
      expect(await deployed({ DIRECTORY }).listSessions(query)).toMatchObject({ ok: false, code: 'bad_request' });
    }
    expect(touched).toEqual([]);
  });
  const takesExecution = ['getExecution', 'interruptExecution', 'failExecution', 'sendInput', 'answerQuestion', 'resizeTerminal'];

  test.each(EVERY)('[HTTP2] %s without a tenant, or with an invalid one, is unauthorized', async (_, call) => {
    const before = await objectCount();
    for (const props of [
      {},
      { tenant: '' },
      { tenant: 'a/b' },
      { tenant: 7 as never },
      { tenant: null as never },
      undefined as never,
    ]) {
      expect(await call(bound(props), 's', 'e')).toMatchObject({
        ok: false,
        code: 'unauthorized',
        message: expect.stringContaining('props.tenant'),
      });
    }
    expect(await objectCount()).toBe(before);
  });

  test.each(EVERY)('[HTTP3] %s of a deployment without keys is not_configured', async (_, call) => {
    const { SESSIONS, touched } = untouchable();
    expect(await call(deployed({ SESSIONS, HOLDFAST_API_KEYS: undefined }), 's', 'e')).toMatchObject({
      ok: false,
      code: 'not_configured',
    });
    expect(await call(deployed({ SESSIONS, HOLDFAST_SIGNING_KEYS: 'short' }), 's', 'e')).toMatchObject({
      ok: false,
      code: 'not_configured',
    });
    expect(touched).toEqual([]);
  });

  test.each(EVERY)('[HTTP5] %s with an invalid id is a bad request, and reaches no session', async (name, call) => {
    const { SESSIONS, touched } = untouchable();
    for (const id of ['', '..', 'a/b', 'x'.repeat(129), 'a\n', 7, null, undefined, {}, ['s'], { toString: () => 's' }]) {
      expect(await call(deployed({ SESSIONS }), id, 'e')).toMatchObject({
        ok: false,
        code: 'bad_request',
        facts: { field: 'session' },
      });
      if (!takesExecution.includes(name) || id === undefined) continue;
      expect(await call(deployed({ SESSIONS }), 's', id)).toMatchObject({
        ok: false,
        code: 'bad_request',
        facts: { field: 'execution' },
      });
    }
    expect(touched).toEqual([]);
  });

  test.each(EVERY.filter(([name]) => !['startExecution', 'createTicket'].includes(name)))(
    '[HTTP11] %s of an unknown session, or of another tenant, finds nothing',
    async (_, call) => {
      const run = await start(newSession(), { id: 'e1' });
      expect(await call(acme, 'never-started', 'e1')).toMatchObject({ ok: false, code: 'session_not_found' });
      expect(await call(bound({ tenant: 'globex' }), run.session, 'e1')).toMatchObject({ ok: false, code: 'session_not_found' });
      const { execution } = granted(await acme.getExecution(run.session, 'e1'));
      expect(execution).toEqual(run.execution satisfies Execution);
    },
  );

  test('[HTTP3] the address for wrappers is required: without HOLDFAST_PUBLIC_URL a start is not_configured, and the rest works', async () => {
    const { session } = await start(newSession(), { id: 'e1' });
    const calls = deployed({ HOLDFAST_PUBLIC_URL: undefined });
    const fresh = newSession();
    expect(await calls.startExecution(fresh, request)).toMatchObject({
      ok: false,
      code: 'not_configured',
      message: expect.stringContaining('HOLDFAST_PUBLIC_URL'),
    });
    expect(await acme.getSession(fresh)).toMatchObject({ code: 'session_not_found' });
    expect(await calls.getExecution(session, 'e1')).toMatchObject({ ok: true });
    expect(await calls.createTicket(session)).toMatchObject({ ok: true });
  });

  test('no input of a caller makes a method throw', async () => {
    const { session } = await start(newSession(), { id: 'e1' });
    const nothing = null as never;
    const results = [
      await acme.startExecution(session, nothing),
      await acme.startExecution(session, undefined as never),
      await acme.startExecution(session, 'make' as never),
      await acme.failExecution(session, 'e1', nothing),
      await acme.interruptExecution(session, 'e1', nothing),
      await acme.createTicket(session, nothing),
      await acme.sendInput(session, 'e1', nothing),
      await acme.getExecution(session, 'e1', nothing),
      await acme.listExecutions(session, nothing),
      await acme.readEvents(session, nothing),
    ];
    for (const result of results) expect(result).toMatchObject({ ok: false, code: 'bad_request' });
  });

  test.each([WAIT_SECONDS_MAX + 1, -1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, '30'])(
    '[HTTP8] waitSeconds %s is refused, as HTTP refuses it',
    async (waitSeconds) => {
      const { session } = await start(newSession(), { id: 'e1' });
      expect(await acme.getExecution(session, 'e1', { waitSeconds: waitSeconds as number })).toMatchObject({
        ok: false,
        code: 'bad_request',
        facts: { field: 'waitSeconds' },
      });
    },
  );
});
