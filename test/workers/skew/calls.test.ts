/**
 * Goal: during a deploy the Worker and the object that it calls may be of two versions, in either
 * combination.
 * Method: the recorded calls are a contract. Today's object is called with what an earlier Worker
 * sent. Today's Worker calls an object that has only the recorded methods and answers as recorded.
 */

import { runInDurableObject } from 'cloudflare:test';
import { describe, expect, test } from 'vitest';
import type { Env } from '../../../src/platform/env.ts';
import { REQUEST_HEADER } from '../../../src/session/contract.ts';
import type { RecordedCall } from '../../skew/support/fixtures.ts';
import { exchangesOf } from '../../skew/support/fixtures.ts';
import { vocabularyOf } from '../../skew/support/vocabulary.ts';
import { ask, deployment } from '../support/http.ts';
import { api, callsOf, newSession, start, stubOf, testEnv, WrapperPeer } from '../support/peers.ts';
import { loadSession, type RecordedVersion, VERSIONS } from './fixtures.ts';

type Shape = string | { [key: string]: Shape };

/** Kinds instead of values. A null may have any kind; of lists the first item counts. */
function shapeOf(value: unknown): Shape {
  if (value === null || value === undefined) return 'any';
  if (Array.isArray(value)) return value.length === 0 ? 'list' : { list: shapeOf(value[0]) };
  if (typeof value !== 'object') return typeof value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, shapeOf(item)]));
}

/**
 * Paths at which `now` lacks what `then` had, or has another kind. Other fields of `now` are
 * additions.
 */
function lacking(then: Shape, now: Shape | undefined, path = ''): string[] {
  if (then === 'any') return now === undefined ? [path] : [];
  if (now === undefined) return [path];
  if (now === 'any' || then === 'list' || now === 'list') return [];
  if (typeof then === 'string' || typeof now === 'string')
    return then === now ? [] : [`${path}: ${JSON.stringify(then)} is now ${JSON.stringify(now)}`];
  return Object.entries(then).flatMap(([key, item]) => lacking(item, now[key], `${path}.${key}`));
}

const isOk = ({ answer }: RecordedCall): boolean => (answer as { ok?: boolean }).ok !== false;
const codeOf = ({ answer }: RecordedCall): string => String((answer as { code?: string }).code);

/** A name for each call, for the titles of tests. */
const named = (calls: readonly RecordedCall[]): [string, RecordedCall][] =>
  calls.map((call) => [`${call.object}.${call.method} ${isOk(call) ? 'done' : codeOf(call)}`, call]);

const withUnknown = (args: readonly unknown[]): unknown[] =>
  args.map((arg) => (typeof arg === 'object' && arg !== null ? { ...arg, futureField: { a: [1] } } : arg));

/** A session in which the recorded call has the recorded outcome. */
async function sessionFor(version: RecordedVersion, call: RecordedCall): Promise<string> {
  const session = newSession();
  switch (`${call.method} ${isOk(call) ? 'ok' : codeOf(call)}`) {
    case 'startExecution ok':
    case 'getSession session_not_found':
    case 'readEvents session_not_found':
    case 'deleteSession session_not_found':
      return session;
    case 'startExecution execution_id_conflict':
    case 'startExecution execution_in_progress':
    case 'sendInput not_running':
      await start(session, { id: 'e1' });
      return session;
    case 'sendInput ok':
    case 'interruptExecution ok':
    case 'postIngest ok': {
      const run = await start(session, { id: 'e1', openStdin: true });
      if (call.method !== 'postIngest') await WrapperPeer.welcomed(run);
      return session;
    }
    case 'failExecution ok':
      await start(session, { id: 'e1' });
      await start(session, { id: 'e2', onBusy: 'queue' });
      await callsOf(session).failExecution('e1', { code: 'gave_up', message: 'because' });
      return session;
    default:
      await loadSession(version, 'api', session, { now: Date.now() });
      return session;
  }
}

describe.each(VERSIONS)('a Worker of $name', (version) => {
  const calls = version.calls();

  test('was recorded with every operation that it had', () => {
    const methods = new Set(calls.map(({ object, method }) => `${object}.${method}`));
    for (const method of [
      'startExecution',
      'getExecution',
      'listExecutions',
      'interruptExecution',
      'failExecution',
      'sendInput',
      'postIngest',
      'deleteSession',
      'getSession',
      'readEvents',
      'fetch',
    ]) {
      expect([...methods]).toContain(`session.${method}`);
    }
    expect([...methods]).toEqual(expect.arrayContaining(['directory.announce', 'directory.list']));
  });

  const ofSessions = named(calls.filter(({ object, method }) => object === 'session' && method !== 'fetch'));

  test.each(ofSessions)(
    '[VER8] %s: today’s object accepts its call, with and without unknown fields, and returns every recorded field',
    async (_, call) => {
      for (const args of [call.args, withUnknown(call.args)]) {
        const session = await sessionFor(version, call);
        const stub = stubOf(session) as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
        const answer = await stub[call.method]?.(...args);
        expect(answer).toMatchObject(
          isOk(call) ? ('ok' in (call.answer as object) ? { ok: true } : {}) : { ok: false, code: codeOf(call) },
        );
        expect(lacking(shapeOf(call.answer), shapeOf(answer))).toEqual([]);
      }
    },
  );

  test('[VER8] a start without the fields that may be null is a start', async () => {
    const call = calls.find((one) => one.method === 'startExecution' && isOk(one));
    const request = call?.args[0] as Record<string, unknown>;
    const { cwd: _c, env: _e, stdin: _s, callbackUrl: _u, traceparent: _t, openStdin: _o, ...rest } = request;
    const session = newSession();
    const answer = await callsOf(session).startExecution(rest as never);
    expect(answer).toMatchObject({ ok: true, created: true, execution: { status: 'pending', command: request.command } });
    // The same start by today's Worker, with all of them.
    expect(await callsOf(session).startExecution(request as never)).toMatchObject({ ok: true, created: false });
  });

  const upgrades = calls.filter(({ object, method }) => object === 'session' && method === 'fetch');

  test.each(named(upgrades))('[VER8] %s: today’s object accepts its upgrade', async (_, { args, answer }) => {
    for (const wanted of [args[0], ...withUnknown(args)] as Record<string, unknown>[]) {
      const session = newSession();
      await start(session, { id: 'e1' });
      const request = wanted.request ? { ...wanted, request: { ...wanted.request, futureFilter: ['x'] } } : wanted;
      const response = await stubOf(session).fetch('https://session/', {
        headers: { upgrade: 'websocket', [REQUEST_HEADER]: JSON.stringify(request) },
      });
      expect(response.status).toBe((answer as { status: number }).status);
      const socket = response.webSocket;
      const first =
        wanted.kind === 'stream' &&
        new Promise((resolve) => socket?.addEventListener('message', ({ data }) => resolve(JSON.parse(String(data)))));
      socket?.accept();
      if (first) expect(await first).toMatchObject({ type: 'hello', session });
      socket?.close(1000, 'done');
    }
  });

  test('[VER8] the directory accepts its updates and queries', async () => {
    for (const { method, args, answer } of calls.filter(({ object }) => object === 'directory')) {
      for (const given of [args, withUnknown(args)]) {
        const stub = testEnv.DIRECTORY.getByName(newSession()) as unknown as Record<
          string,
          (...args: unknown[]) => Promise<unknown>
        >;
        if (method === 'list') {
          const [entry] = (answer as { data: { id: string }[] }).data;
          await stub.announce?.({ session: entry?.id, version: 1, entry });
        }
        const said = (await stub[method]?.(...given)) as { data?: unknown[] };
        expect(lacking(shapeOf(answer), shapeOf(said))).toEqual([]);
        if (method === 'list') expect(said.data).toHaveLength(1);
      }
    }
  });
});

/** An object of another version: it has these methods and responses, and records its calls. */
function objectOf(calls: readonly RecordedCall[], answerWith: (call: RecordedCall) => unknown = ({ answer }) => answer) {
  const asked: { method: string; args: unknown[] }[] = [];
  const stub = new Proxy(
    {},
    {
      get(_, method: string) {
        if (method === 'then') return undefined;
        return async (...args: unknown[]) => {
          const call = calls.find((one) => one.method === method && isOk(one));
          if (!call) throw new TypeError(`The RPC receiver does not implement the method "${method}".`);
          asked.push({ method, args });
          return answerWith(call);
        };
      },
    },
  );
  return { asked, namespace: { getByName: () => stub, idFromName: () => 'id', get: () => stub } };
}

const deploymentWith = (session: ReturnType<typeof objectOf>, directory: ReturnType<typeof objectOf>): Env =>
  deployment({
    SESSIONS: session.namespace as unknown as Env['SESSIONS'],
    DIRECTORY: directory.namespace as unknown as Env['DIRECTORY'],
  });

const E1 = '/v1/sessions/s1/executions/e1';
const REQUESTS: [string, string, string, unknown, number][] = [
  [
    'startExecution',
    'POST',
    '/v1/sessions/s1/executions',
    { command: ['job'], cwd: '/srv', env: { A: 'b' }, stdin: 'x', labels: { team: 'blue' } },
    201,
  ],
  ['getExecution', 'GET', E1, undefined, 200],
  ['listExecutions', 'GET', '/v1/sessions/s1/executions?limit=1', undefined, 200],
  ['interruptExecution', 'POST', `${E1}/interrupt`, { reason: 'enough' }, 202],
  ['failExecution', 'POST', `${E1}/fail`, { code: 'gave_up', message: 'because' }, 200],
  ['sendInput', 'POST', `${E1}/input`, { data: 'x' }, 202],
  ['getSession', 'GET', '/v1/sessions/s1', undefined, 200],
  ['deleteSession', 'DELETE', '/v1/sessions/s1', undefined, 204],
  ['list', 'GET', '/v1/sessions?limit=2', undefined, 200],
];

describe.each(VERSIONS)('an object of $name', (version) => {
  const calls = version.calls();
  const ofSession = calls.filter(({ object }) => object === 'session');
  const ofDirectory = calls.filter(({ object }) => object === 'directory');
  const recordedFor = (method: string): RecordedCall => {
    const call = calls.find((one) => one.method === method && isOk(one));
    if (!call) throw new Error(`${method} was not recorded`);
    return call;
  };

  test.each(REQUESTS)(
    '[VER8] %s: today’s Worker calls only methods that it has, sends every recorded field, and accepts its response',
    async (method, verb, path, body, status) => {
      for (const extra of [{}, { futureField: { a: [1] } }]) {
        const session = objectOf(ofSession, ({ answer }) => ({ ...(answer as object), ...extra }));
        const directory = objectOf(ofDirectory, ({ answer }) => ({ ...(answer as object), ...extra }));
        const answer = await ask(verb, path, { env: deploymentWith(session, directory), ...(body === undefined ? {} : { body }) });
        expect(answer.status, answer.text).toBe(status);
        const [asked, ...more] = [...session.asked, ...directory.asked];
        expect(more).toEqual([]);
        expect(asked?.method).toBe(method);
        expect(lacking(shapeOf(recordedFor(method).args), shapeOf(asked?.args))).toEqual([]);
      }
    },
  );

  test('[VER8] a start that is the same as an earlier Worker’s has the same digest, so it finds the existing execution (LIF28)', async () => {
    const [first] = exchangesOf(version.fixture('http-api'));
    const session = newSession();
    await loadSession(version, 'api', session, { now: Date.now() });
    const answer = await api('POST', `/v1/sessions/${session}/executions`, { body: first?.request.body ?? '' });
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({ execution: { id: 'e1', status: 'interrupted' } });
    const other = { ...(JSON.parse(first?.request.body ?? '') as object), command: ['other'] };
    expect((await api('POST', `/v1/sessions/${session}/executions`, { body: other })).status).toBe(409);
  });

  test('[VER8] a missing method is a temporary failure: the response is 500 and retryable, and nothing was done', async () => {
    const empty = objectOf([]);
    const answer = await ask('GET', E1, { env: deploymentWith(empty, empty) });
    expect(answer.status).toBe(500);
    expect(answer.body).toMatchObject({ code: 'internal', retryable: true });
  });
});

test.each(VERSIONS)('[VER1] every route of $name is there', async (version) => {
  const { body } = await api('GET', '/openapi.json', { key: null });
  const { routes } = vocabularyOf(body as never);
  expect(routes).toEqual(expect.arrayContaining(version.vocabulary().routes));
  expect(version.vocabulary().routes.length).toBeGreaterThan(10);
});

describe('a Worker and an object of a later version', () => {
  test('[VER5] [VER8] a code that the Worker does not know is answered as a temporary failure', async () => {
    const calls: RecordedCall[] = [{ object: 'session', method: 'getExecution', args: [], answer: { ok: true } }];
    const session = objectOf(calls, () => ({ ok: false, code: 'moon_phase', message: 'of a later version', facts: { a: 1 } }));
    const answer = await ask('GET', E1, { env: deploymentWith(session, session) });
    expect(answer.status).toBe(500);
    expect(answer.body).toMatchObject({ code: 'internal', retryable: true });
  });

  test('[VER8] an upgrade of an unknown kind is refused temporarily, and no socket is left behind', async () => {
    const session = newSession();
    await start(session, { id: 'e1' });
    for (const wanted of [{ kind: 'control', execution: 'e1' }, { kind: 'tunnel' }, {}]) {
      const response = await stubOf(session).fetch('https://session/', {
        headers: { upgrade: 'websocket', [REQUEST_HEADER]: JSON.stringify(wanted) },
      });
      expect(response.status).toBe(503);
      expect(response.headers.get('retry-after')).toMatch(/^\d+$/);
      await response.arrayBuffer();
    }
    const open = await runInDurableObject(stubOf(session), (_, ctx) => ctx.getWebSockets().length);
    expect(open).toBe(0);
  });
});
