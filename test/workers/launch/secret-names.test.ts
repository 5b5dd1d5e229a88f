/**
 * Goal: a start can name variables whose values are redacted. The names reach the wrapper before
 * the job begins, are shown, and change nothing about a start without them. A wrapper that does not
 * support them never runs the command.
 */

import { expect, test } from 'vitest';
import { FEATURE_SECRET_NAMES, SECRET_NAMES_MAX, type WelcomeFrame } from '../../../protocol/index.ts';
import { api, exit, get, newSession, readLog, start, typesOf, WrapperPeer } from '../support/peers.ts';

const features = [FEATURE_SECRET_NAMES];
const begin = (session: string, body: object) =>
  api('POST', `/v1/sessions/${session}/executions`, { body: { command: ['job'], ...body } });
const names = (count: number): string[] => Array.from({ length: count }, (_, index) => `N${index}`);

test('[HTTP31] the names are shown, sorted and each once, and the values are not', async () => {
  const run = await start(newSession(), { env: { DEPLOY: 'deploy-value' }, secretNames: ['DEPLOY', 'B', 'A', 'B'] });
  expect(run.execution.secretNames).toEqual(['A', 'B', 'DEPLOY']);
  expect((await get(run)).secretNames).toEqual(['A', 'B', 'DEPLOY']);
  const listed = (await api('GET', `/v1/sessions/${run.session}/executions`)).body;
  expect(listed.data).toMatchObject([{ secretNames: ['A', 'B', 'DEPLOY'] }]);
  expect(JSON.stringify(await readLog(run.session))).not.toContain('deploy-value');
});

test("[ING21] the welcome has them, with the job's own context", async () => {
  const run = await start(newSession(), { secretNames: ['DEPLOY'] });
  const peer = await WrapperPeer.welcomed(run, { features });
  const { job } = peer.received[0] as WelcomeFrame;
  const { startedAt = 0, policy } = await get(run);
  expect(job).toEqual({
    session: run.session,
    execution: run.execution.id,
    url: `https://holdfast.test/sessions/${run.session}/executions/${run.execution.id}`,
    deadline: startedAt + policy.maxRuntimeMs,
    secretNames: ['DEPLOY'],
  });
  // A connection that takes over receives the same.
  const next = await WrapperPeer.welcomed(run, { features });
  expect((next.received[0] as WelcomeFrame).job).toEqual(job);
  await next.deliver(1, [exit(0)]);
  expect((await get(run)).status).toBe('completed');
});

test('[ING21] a wrapper without support for them is refused before anything runs, and the next execution begins', async () => {
  const run = await start(newSession(), { secretNames: ['DEPLOY'] });
  const next = await start(run.session, { onBusy: 'queue' });
  const old = await WrapperPeer.hello(run);
  expect(await old.closed).toMatchObject({ code: 4000 });
  expect(old.received).toEqual([]);
  const ended = await get(run);
  expect(ended).toMatchObject({ status: 'failed', code: 'wrapper_too_old', error: expect.stringContaining('was not run') });
  expect(ended.startedAt).toBeUndefined();
  expect(typesOf(await readLog(run.session))).not.toContain('wrapper_connected');
  // An execution without names accepts any wrapper.
  await WrapperPeer.welcomed(next);
  expect((await get(next)).status).toBe('running');
});

test('[LIF28] without names a repeated start is unchanged: absent and empty are the same; order and repetition do not matter', async () => {
  const session = newSession();
  expect((await begin(session, { id: 'e1' })).status).toBe(201);
  expect((await begin(session, { id: 'e1', secretNames: [] })).status).toBe(200);
  expect((await begin(session, { id: 'e1', secretNames: ['A'] })).status).toBe(409);
  expect((await begin(session, { id: 'e2', onBusy: 'queue', secretNames: ['A', 'B'] })).status).toBe(201);
  expect((await begin(session, { id: 'e2', secretNames: ['B', 'A', 'A'] })).status).toBe(200);
  expect((await begin(session, { id: 'e2' })).status).toBe(409);
});

test('[LIM3] as many names as a start may have variables, and not one more', async () => {
  expect((await begin(newSession(), { secretNames: names(SECRET_NAMES_MAX) })).status).toBe(201);
  expect((await begin(newSession(), { secretNames: names(SECRET_NAMES_MAX + 1) })).status).toBe(400);
});

test.each([[['not a name']], [['']], [['1A']], [['HOLDFAST_SESSION']], ['A'], [{ A: true }], [[7]], [null]])(
  'what is no list of names is refused, by its field: %j',
  async (secretNames) => {
    const answer = await begin(newSession(), { secretNames });
    expect(answer.status).toBe(400);
    expect(answer.body).toMatchObject({ code: 'bad_request', field: expect.stringMatching(/^secretNames/) });
  },
);
