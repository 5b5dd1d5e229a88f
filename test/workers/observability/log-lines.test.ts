/**
 * Goal: every log line of the Worker is JSON of a fixed shape, names its session, and contains
 * nothing of a job.
 * Method: a life with every kind of failure runs with markers wherever a caller or a job can supply
 * text. Then the whole console is searched.
 */

import { runInDurableObject } from 'cloudflare:test';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { signalName } from '../../../src/core/signal.ts';
import { errorMessage, errorStack, LOG_EVENTS } from '../../../src/platform/log.ts';
import source from '../../../src/platform/log.ts?raw';
import { Holdfast } from '../../../src/rpc.ts';
import { provideContainers } from '../support/container-runner.ts';
import { ask, deployment } from '../support/http.ts';
import { ACME_KEY, api, exit, get, newSession, output, start, stubOf, ViewerPeer, WrapperPeer } from '../support/peers.ts';

interface Line extends Record<string, unknown> {
  level: string;
  event: string;
}
let spoken: string[];
beforeEach(() => {
  spoken = [];
  for (const level of ['debug', 'log', 'info', 'warn', 'error'] as const) {
    vi.spyOn(console, level).mockImplementation((...args) => void spoken.push(args.map(String).join(' ')));
  }
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
  vi.useRealTimers();
});

/** The names of LogFields, as the source has them. */
const FIELDS = [...source.matchAll(/^ {2}(\w+)\?: /gm)].map(([, name]) => name as string);
const lines = (): Line[] => spoken.map((text) => JSON.parse(text) as Line);
const linesOf = (event: string): Line[] => lines().filter((line) => line.event === event);

/** Every line: known event, its level, known fields, plain values. */
function expectShape(): void {
  for (const line of lines()) {
    const { level, event, ...fields } = line;
    expect(Object.keys(LOG_EVENTS), JSON.stringify(line)).toContain(event);
    expect(level).toBe(LOG_EVENTS[event as keyof typeof LOG_EVENTS]);
    for (const [name, value] of Object.entries(fields)) {
      expect(FIELDS).toContain(name);
      expect(['string', 'number', 'boolean']).toContain(typeof value);
    }
  }
}

const MARK = 'mark-7f3a';
const POLICY = { disconnectGraceMs: 5_000, interruptGraceMs: 3_000 };
const marked = {
  ...{ command: ['sh', '-c', MARK], cwd: `/${MARK}`, env: { A: MARK }, stdin: MARK, labels: { [MARK]: MARK }, policy: POLICY },
  traceparent: '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
};

test('the fields were found in the source', () =>
  expect(FIELDS).toEqual(expect.arrayContaining(['tenant', 'wsCloseCode', 'stack'])));

describe('the life of a session', () => {
  provideContainers(() => Response.json({ detail: MARK }, { status: 503 }));

  test('a line for each connection that opened or closed, with its close code, and one for the verdict; no line contains anything of the job', async () => {
    const run = await start(newSession(), { ...marked, launcher: 'container' });
    await vi.waitFor(() => expect(linesOf('launch_attempt_failed')).not.toEqual([]));
    const viewer = await ViewerPeer.connect(run.session);
    const first = await WrapperPeer.welcomed(run, { wrapperId: 'w_1' });
    await first.deliver(1, [output(MARK), { type: 'agent', at: 1, data: { said: MARK } }]);
    const stranger = await WrapperPeer.hello(run, { wrapperId: 'w_2' });
    expect((await stranger.closed).code).toBe(4409);
    first.close(4777, MARK);
    await vi.waitFor(() => expect(linesOf('wrapper_disconnected')).toHaveLength(1));
    const second = await WrapperPeer.welcomed(run, { wrapperId: 'w_1', nextSeq: 3 });
    await api('POST', `/v1/sessions/${run.session}/executions/${run.execution.id}/interrupt`, { body: { reason: MARK } });
    await second.next();
    await second.deliver(3, [exit(null, `SIG ${MARK}`)]);
    await viewer.until('end');
    await ask('DELETE', `/v1/sessions/${run.session}`);

    expectShape();
    const own = { tenant: 'acme', session: run.session, execution: run.execution.id };
    expect(linesOf('launch_attempt_failed')[0]).toMatchObject({ ...own, launcher: 'container', attempt: 1, outcome: 'failed' });
    expect(linesOf('wrapper_connected')).toEqual([
      { level: 'info', event: 'wrapper_connected', ...own, epoch: 1, transport: 'socket' },
    ]);
    expect(linesOf('wrapper_refused')).toEqual([{ level: 'warn', event: 'wrapper_refused', ...own, wsCloseCode: 4409 }]);
    expect(linesOf('wrapper_disconnected')).toEqual([
      { level: 'warn', event: 'wrapper_disconnected', ...own, epoch: 1, reason: 'closed', wsCloseCode: 4777 },
    ]);
    expect(linesOf('wrapper_reconnected')).toMatchObject([
      { ...own, epoch: 2, transport: 'socket', downMs: expect.any(Number), eventsLost: 0 },
    ]);
    expect(linesOf('execution_ended')).toEqual([
      {
        ...{ level: 'info', event: 'execution_ended', ...own, status: 'interrupted', signal: 'unknown', epoch: 2 },
        runMs: expect.any(Number),
      },
    ]);
    expect(linesOf('session_deleted')).toEqual([
      { level: 'info', event: 'session_deleted', tenant: 'acme', session: run.session, reason: 'requested', open: 0 },
    ]);
    expect(spoken.join('\n')).not.toContain(MARK);
    for (const secret of [run.ingest.token, ACME_KEY]) expect(spoken.join('\n')).not.toContain(secret);
  });

  test('a failure has its code, and the close code that led to it', async () => {
    const run = await start(newSession(), marked);
    (await WrapperPeer.welcomed(run)).close(4888, MARK);
    await vi.waitFor(async () => expect((await get(run)).connected).toBe(false));
    vi.useFakeTimers({ now: Date.now() + POLICY.disconnectGraceMs + 1, toFake: ['Date'] });
    await runInDurableObject(stubOf(run.session), (instance) => instance.alarm());
    expect(linesOf('execution_ended')).toMatchObject([{ status: 'failed', code: 'wrapper_disconnected', wsCloseCode: 4888 }]);
    expectShape();
    expect(spoken.join('\n')).not.toContain(MARK);
  });
});

describe('a request that fails with 5xx', () => {
  const failing = (error: Error) =>
    deployment({ SESSIONS: { getByName: () => new Proxy({}, { get: () => () => Promise.reject(error) }) } as never });

  test('has one line with its request id and its route, without its query', async () => {
    const error = Object.assign(new Error('gone'), { overloaded: true });
    const path = `/v1/sessions/s9/executions/e9?wait=0&note=${MARK}`;
    const answer = await ask('GET', path, { env: failing(error), headers: { 'x-request-id': 'req_mine' } });
    expect(answer.status).toBe(503);
    expect(linesOf('request_failed')).toMatchObject([
      {
        ...{ level: 'error', requestId: 'req_mine', method: 'GET', route: '/v1/sessions/:session/executions/:execution' },
        ...{ httpStatus: 503, code: 'overloaded', session: 's9', execution: 'e9' },
      },
    ]);
    expect(linesOf('session_call_failed')).toMatchObject([{ tenant: 'acme', session: 's9', attempt: 1, overloaded: true }]);
    expectShape();
    expect(spoken.join('\n')).not.toContain(MARK);
  });

  test('also an unexpected one, and that of a deployment without keys', async () => {
    const broken = deployment({ SESSIONS: { getByName: () => JSON.parse(`{"${MARK}": `) } as never });
    const answer = await ask('POST', '/v1/sessions/s/executions', { env: broken, body: { command: [MARK] } });
    expect(answer.status).toBe(500);
    expect((await ask('GET', `/v1/${MARK}`, { env: deployment({ HOLDFAST_API_KEYS: undefined }) })).status).toBe(503);
    expect(linesOf('request_failed')).toMatchObject([
      { httpStatus: 500, code: 'internal', tenant: 'acme', session: 's', method: 'POST' },
      { httpStatus: 503, code: 'not_configured', route: 'none' },
    ]);
    expectShape();
    expect(spoken.join('\n')).not.toContain(MARK);
  });

  test('a client error has no line', async () => {
    await ask('GET', '/v1/sessions/none');
    await ask('POST', '/v1/sessions/s/executions', { body: { command: MARK } });
    await ask('GET', '/v1/sessions', { key: MARK });
    expect(linesOf('request_failed')).toEqual([]);
  });

  test('over RPC too', async () => {
    const error = Object.assign(new Error('gone'), { overloaded: true });
    const rpc = new Holdfast({ props: { tenant: 'acme' } } as never, failing(error));
    expect(await rpc.getExecution('s9', 'e9')).toMatchObject({ ok: false, code: 'overloaded' });
    expect(linesOf('rpc_failed')).toEqual([
      { level: 'error', event: 'rpc_failed', method: 'getExecution', tenant: 'acme', session: 's9', code: 'overloaded' },
    ]);
  });
});

describe('log lines of errors', () => {
  test('not the text that a parser did not understand, and not the parameters of a statement', () => {
    const parser = (() => {
      try {
        return JSON.parse(`x${MARK}`);
      } catch (error) {
        return error;
      }
    })();
    expect(errorMessage(parser)).toBe('SyntaxError');
    const query = new Error(`Failed query: insert into "executions" ("command") values (?)\nparams: ["${MARK}"]`);
    expect(errorMessage(query)).toBe('Failed query: insert into "executions" ("command") values (?)');
    for (const error of [parser, query]) expect(errorStack(error)).not.toContain(MARK);
    expect(errorStack(query)).toMatch(/^\s+at /);
    expect(errorMessage(new Error('x'.repeat(9999))).length).toBe(500);
    expect([errorMessage('plain'), errorStack('plain')]).toEqual(['plain', undefined]);
  });

  test('not the parameters of a real statement', async () => {
    const run = await start(newSession(), marked);
    await WrapperPeer.welcomed(run);
    await runInDurableObject(stubOf(run.session), (_, { storage }) => storage.sql.exec('ALTER TABLE commands RENAME TO away'));
    const path = `/v1/sessions/${run.session}/executions/${run.execution.id}/interrupt`;
    expect((await ask('POST', path, { body: { reason: MARK } })).status).toBe(500);
    expect(linesOf('request_failed')).toMatchObject([{ httpStatus: 500, session: run.session, execution: run.execution.id }]);
    expect(linesOf('session_call_failed')).toHaveLength(1);
    expectShape();
    expect(spoken.join('\n')).not.toContain(MARK);
  });

  test("a signal's name", () => {
    expect([signalName(null), signalName('SIGTERM'), signalName(MARK)]).toEqual([undefined, 'SIGTERM', 'unknown']);
  });
});
