/**
 * A launch from the session's side: attempts are rows, made by the alarm, and the next step is
 * decided after each response.
 * Method: launcher `container`, whose runner is the test's own; alarms are run by hand, with the
 * clock moved to the row's `launchAt`.
 */

import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { provideContainers } from '../support/container-runner.ts';
import { api, get, newSession, putToSleep, type Run, readLog, start, stubOf, WrapperPeer } from '../support/peers.ts';

type Answer = Response | Error;

/** Requests to the runner, and its next responses; the last is repeated. */
const asked: { url: string; authorization: string | null; body: Record<string, unknown> }[] = [];
let answers: (() => Answer)[] = [];
let runner: (request: Request) => Promise<Response>;

beforeEach(() => {
  asked.length = 0;
  answers = [() => Response.json({ id: 'x' }, { status: 201 })];
  runner = async (request) => {
    asked.push({ url: request.url, authorization: request.headers.get('authorization'), body: await request.json() });
    const answer = (answers.length > 1 ? answers.shift() : answers[0])?.() ?? new Error('no answer');
    if (answer instanceof Error) throw answer;
    return answer;
  };
});
provideContainers((request) => runner(request));

afterEach(() => void vi.useRealTimers());

const launch = (session: string, request: object = {}) => start(session, { launcher: 'container', ...request });

const rowOf = (run: Run) =>
  runInDurableObject(stubOf(run.session), (_, { storage }) =>
    storage.sql
      .exec<{ launch_at: number | null; launch_attempts: number; env: string | null; stdin: string | null }>(
        'SELECT launch_at, launch_attempts, env, stdin FROM executions WHERE id = ?',
        run.execution.id,
      )
      .one(),
  );

/** Moves the clock to the next attempt and runs it. */
async function nextAttempt(run: Run): Promise<void> {
  const { launch_at: at } = await rowOf(run);
  if (at === null) throw new Error('no attempt is due');
  vi.useFakeTimers({ now: Math.max(at, Date.now()), toFake: ['Date'] });
  await runDurableObjectAlarm(stubOf(run.session));
}

const launched = (run: Run) => vi.waitFor(async () => expect((await rowOf(run)).launch_at).toBeNull());

test.each([
  ['auto', 'auto'],
  ['claude', 'claude'],
  ['codex', 'jsonl'],
  ['opencode', 'jsonl'],
])('[AGT1] an execution has the format %s, and its runner starts a wrapper for %s', async (format, launchedAs) => {
  const run = await launch(newSession(), { format });
  await launched(run);
  expect(run.execution.format).toBe(format);
  expect(asked[0]?.body).toMatchObject({ format: launchedAs });
});

test('[LIF1] a start calls the runner of its container at once, with everything the job needs, and keeps env and stdin no longer', async () => {
  const run = await launch(newSession(), { env: { SECRET: 'sesame' }, stdin: 'hi\n', cwd: '/srv', format: 'jsonl' });
  await launched(run);
  expect(asked).toHaveLength(1);
  expect(asked[0]).toMatchObject({
    url: 'http://runner:8788/executions',
    authorization: expect.stringMatching(/^Bearer [0-9a-f]{48}$/),
    body: {
      id: run.execution.id,
      tenant: 'acme',
      session: run.session,
      command: ['job'],
      cwd: '/srv',
      env: { SECRET: 'sesame' },
      stdin: 'hi\n',
      openStdin: false,
      format: 'jsonl',
      ingest: { url: run.ingest.url },
    },
  });
  expect(await rowOf(run)).toMatchObject({ env: null, stdin: null });
  // The token in the launch opens the ingest path.
  const { token } = (asked[0] as (typeof asked)[0]).body.ingest as Run['ingest'];
  await WrapperPeer.welcomed({ ingest: { url: run.ingest.url, token } });
  expect((await get(run)).status).toBe('running');
});

test('[LIF5] a runner that refuses fails the execution as launch_failed, and the next one is promoted', async () => {
  answers = [() => Response.json({ detail: 'no such folder' }, { status: 400 }), () => Response.json({}, { status: 201 })];
  const run = await launch(newSession());
  await vi.waitFor(async () =>
    expect(await get(run)).toMatchObject({
      status: 'failed',
      code: 'launch_failed',
      error: expect.stringContaining('no such folder'),
    }),
  );
  expect((await readLog(run.session)).at(-1)).toMatchObject({
    type: 'execution_failed',
    data: { code: 'launch_failed', fatal: true },
  });
  const next = await launch(run.session);
  await launched(next);
});

test('[LIF5] an unreachable runner is retried with growing delays, then it is a failure', async () => {
  answers = [() => new TypeError('connection refused')];
  const run = await launch(newSession(), { policy: { pendingTimeoutMs: 300_000 } });
  // Until its answer has come, the row has the lease of the attempt.
  await vi.waitFor(async () => {
    expect(asked).toHaveLength(1);
    expect((await rowOf(run)).launch_at).toBeLessThan(Date.now() + 10_000);
  });
  const waits: number[] = [];
  for (let attempt = 2; attempt <= 6; attempt += 1) {
    const before = (await rowOf(run)).launch_at ?? 0;
    await nextAttempt(run);
    const { launch_at: after } = await rowOf(run);
    if (after !== null) waits.push(after - before);
  }
  expect(waits).toEqual([1000, 2000, 4000, 8000]);
  expect(await get(run)).toMatchObject({
    status: 'failed',
    code: 'launch_failed',
    error: expect.stringContaining('connection refused'),
  });
  expect(asked).toHaveLength(6);
});

test('[LIF5] the coordinator does not wait for a runner whose run of this execution has ended already', async () => {
  answers = [() => Response.json({ id: 'x', state: 'finished' }, { status: 200 })];
  const run = await launch(newSession());
  await vi.waitFor(async () => expect(await get(run)).toMatchObject({ status: 'failed', code: 'launch_failed' }));
});

test('a saturated runner is retried after its Retry-After for as long as the execution may be pending', async () => {
  answers = [() => Response.json({}, { status: 429, headers: { 'retry-after': '7' } })];
  const run = await launch(newSession(), { policy: { pendingTimeoutMs: 60_000 } });
  await vi.waitFor(async () => expect((await rowOf(run)).launch_at).toBeGreaterThan((run.execution.pendingAt ?? 0) + 6_000));
  for (let attempt = 0; attempt < 8; attempt += 1) {
    if ((await get(run)).status !== 'pending') break;
    await nextAttempt(run);
  }
  expect(asked.length).toBeGreaterThan(6);
  expect((await get(run)).status).toBe('pending');
  vi.setSystemTime((run.execution.pendingAt ?? 0) + 60_000);
  await runDurableObjectAlarm(stubOf(run.session));
  expect(await get(run)).toMatchObject({ status: 'failed', code: 'wrapper_never_connected' });
});

test('[G5] an attempt that died with its object is repeated when its lease expires', async () => {
  runner = async () => {
    asked.push({ url: '', authorization: null, body: {} });
    if (asked.length === 1) await scheduler.wait(10_000);
    return Response.json({}, { status: 201 });
  };
  const run = await launch(newSession());
  await vi.waitFor(() => expect(asked).toHaveLength(1));
  const { launch_at: lease } = await rowOf(run);
  expect(lease).toBeGreaterThan(Date.now() + 20_000);
  await runInDurableObject(stubOf(run.session), (_, state) => state.abort('the machine went away')).catch(() => undefined);
  await nextAttempt(run);
  await launched(run);
  expect(asked).toHaveLength(2);
});

test('[G3] an execution that ended during a launch stays ended, whatever the runner answers then', async () => {
  let ended = false;
  let answered = false;
  runner = async () => {
    asked.push({ url: '', authorization: null, body: {} });
    // The response is made where the request arrives: the object cannot await a promise of the
    // test.
    while (!ended) await scheduler.wait(5);
    answered = true;
    return Response.json({ detail: 'broken' }, { status: 400 });
  };
  const run = await launch(newSession());
  await vi.waitFor(() => expect(asked).toHaveLength(1));
  await api('POST', `/v1/sessions/${run.session}/executions/${run.execution.id}/interrupt`, {
    body: { reason: 'changed my mind' },
  });
  const before = await readLog(run.session);
  ended = true;
  await vi.waitFor(() => expect(answered).toBe(true));
  await scheduler.wait(50);
  expect(await readLog(run.session)).toEqual(before);
  expect(await get(run)).toMatchObject({ status: 'interrupted', reason: 'changed my mind' });
});

test('[G5] a promoted execution is launched from the turn that promoted it, also after sleep', async () => {
  const session = newSession();
  const first = await start(session);
  const second = await launch(session, { onBusy: 'queue', env: { KEPT: 'while it waits' } });
  expect(asked).toHaveLength(0);
  await putToSleep(stubOf(session));
  await api('POST', `/v1/sessions/${session}/executions/${first.execution.id}/fail`, { body: { code: 'done', message: '' } });
  await launched(second);
  expect(asked[0]?.body).toMatchObject({ id: second.execution.id, env: { KEPT: 'while it waits' } });
});
