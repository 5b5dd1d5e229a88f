/**
 * Goal: what 0.1.0 left of its launcher `runner`: starts that are repeated, executions that no
 * runner has, and executions whose wrapper is there.
 * Method: the session `launched` of 0.1.0, whose rows are put back to the state under test; new
 * starts over HTTP.
 */

import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { Execution } from '../../../protocol/index.ts';
import type { Env } from '../../../src/platform/env.ts';
import { exchangesOf } from '../../skew/support/fixtures.ts';
import { ask, deployment, expectProblem } from '../support/http.ts';
import { api, newSession, putToSleep, readLog, start, stubOf, WrapperPeer } from '../support/peers.ts';
import { loadSession, VERSIONS } from './fixtures.ts';

const version = VERSIONS.find(({ name }) => name.endsWith('/0.1.0')) as (typeof VERSIONS)[number];
const OBSOLETE = { HOLDFAST_RUNNER_URL: 'https://runner.test' };

afterEach(() => void vi.useRealTimers());

/** The start that made the session `launched`, from the launch request that 0.1.0 sent for it. */
function startThen(): Record<string, unknown> {
  const [{ request } = { request: { body: '{}' } }] = exchangesOf(version.fixture('runner-launch'));
  const { id, command, cwd, env, stdin, format } = JSON.parse(request.body) as Record<string, unknown>;
  return { id, command, cwd, env, stdin, format };
}

const startAgain = (session: string, body: object, env?: Env) =>
  ask('POST', `/v1/sessions/${session}/executions`, { body, ...(env ? { env } : {}) });
const executionIn = async (session: string): Promise<Execution> =>
  (await api('GET', `/v1/sessions/${session}/executions/e1`)).body as unknown as Execution;

/** The session as it was before the runner had it. */
async function putBack(session: string, columns: string, now = Date.now()): Promise<void> {
  await loadSession(version, 'launched', session, { now });
  await runInDurableObject(stubOf(session), (_, { storage }) => {
    storage.sql.exec(
      `UPDATE executions SET started_at = NULL, ended_at = NULL, last_offset = NULL, exit_code = NULL, launched_at = NULL,
       epoch = 0, wrapper_id = NULL, boot_id = NULL, transport = NULL, heard_at = NULL, connected_at = NULL, launch_attempts = 0,
       pending_at = ?, pending_until = ?, ${columns}`,
      now,
      now + 300_000,
    );
    storage.sql.exec('DELETE FROM log WHERE first_offset > 1');
  });
  await putToSleep(stubOf(session));
}

describe('a start that is repeated', () => {
  test('[LIF28] [VER7] is answered with the execution that 0.1.0 made of it, by name and as the default of then', async () => {
    const session = newSession();
    await loadSession(version, 'launched', session, { now: Date.now() });
    const ways = [
      [{ ...startThen(), launcher: 'runner' }, undefined],
      [startThen(), deployment({ HOLDFAST_LAUNCHER: 'pool' })],
      [startThen(), deployment({ HOLDFAST_LAUNCHER: 'runner', ...OBSOLETE })],
    ] as const;
    for (const [body, env] of ways) {
      const answer = await startAgain(session, body, env);
      expect(answer.status).toBe(200);
      expect(answer.body).toMatchObject({ execution: { id: 'e1', launcher: 'runner', status: 'completed' } });
    }
  });

  test('[LIF28] with another request is a conflict, as before', async () => {
    const session = newSession();
    await loadSession(version, 'launched', session, { now: Date.now() });
    for (const change of [{ stdin: 'other' }, { stdin: 'other', launcher: 'runner' }, { launcher: 'none' }, { launcher: 'pool' }]) {
      const answer = await startAgain(session, { ...startThen(), ...change }, deployment({ HOLDFAST_LAUNCHER: 'pool' }));
      expectProblem(answer, 'execution_id_conflict');
    }
  });
});

describe('a new start', () => {
  test('[HTTP38] with the launcher runner is 400, names pool, and makes nothing', async () => {
    const session = newSession();
    for (const [body, env] of [
      [{ command: ['job'], launcher: 'runner' }, undefined],
      [{ command: ['job'], launcher: 'runner', id: 'e1' }, deployment(OBSOLETE)],
      [{ command: ['job'], id: 'e1' }, deployment({ HOLDFAST_LAUNCHER: 'runner', ...OBSOLETE })],
      [{ command: ['job'] }, deployment({ HOLDFAST_LAUNCHER: 'runner', ...OBSOLETE })],
    ] as const) {
      const problem = expectProblem(await startAgain(session, body, env), 'bad_request');
      expect(problem.field).toBe('launcher');
      expect(problem.detail).toContain('pool');
    }
    expectProblem(await ask('GET', `/v1/sessions/${session}`), 'session_not_found');
  });

  test('[HTTP38] that names another launcher is accepted where runner is still the default', async () => {
    const env = deployment({ HOLDFAST_LAUNCHER: 'runner', ...OBSOLETE });
    expect((await startAgain(newSession(), { command: ['job'], launcher: 'none' }, env)).status).toBe(201);
  });
});

describe('an execution of 0.1.0', () => {
  test('[HTTP38] [LIF5] that is pending fails as launch_failed on the next wake, and its error says what to do', async () => {
    const session = newSession();
    const now = Date.now();
    await putBack(session, `status = 'pending', env = '{"COLOUR":"blue"}', launch_at = ${now + 1000}`, now);
    expect(await executionIn(session)).toMatchObject({ status: 'pending', launcher: 'runner' });
    vi.useFakeTimers({ now: now + 1000, toFake: ['Date'] });
    await runDurableObjectAlarm(stubOf(session));
    await vi.waitFor(async () =>
      expect(await executionIn(session)).toMatchObject({
        status: 'failed',
        code: 'launch_failed',
        error: expect.stringMatching(/runner was removed.*pool/),
      }),
    );
    expect((await readLog(session)).map(({ type }) => type)).toEqual(['execution_pending', 'execution_failed']);
    const kept = await runInDurableObject(stubOf(session), (_, { storage }) =>
      storage.sql.exec('SELECT env FROM executions').one(),
    );
    expect(kept).toEqual({ env: null });
  });

  test('[HTTP38] that was launched and whose wrapper connects goes on to its own end', async () => {
    const session = newSession();
    const now = Date.now();
    await putBack(session, `status = 'pending', launch_at = NULL`, now);
    // A repeated start gives a credential for it.
    const { body } = await startAgain(session, { ...startThen(), launcher: 'runner' });
    const peer = await WrapperPeer.welcomed(body as never);
    expect(await executionIn(session)).toMatchObject({ status: 'running' });
    await peer.deliver(1, [{ type: 'exit', at: 1, data: { exitCode: 0, signal: null } }]);
    expect(await executionIn(session)).toMatchObject({ status: 'completed', launcher: 'runner' });
  });

  test('[HTTP38] that is queued fails when its turn comes', async () => {
    const session = newSession();
    await putBack(session, `status = 'queued', launch_at = NULL, pending_at = NULL, pending_until = NULL`);
    await start(session, { id: 'e2' });
    expect(await executionIn(session)).toMatchObject({ status: 'queued' });
    await api('POST', `/v1/sessions/${session}/executions/e2/fail`, { body: { code: 'done', message: '' } });
    await vi.waitFor(async () => expect(await executionIn(session)).toMatchObject({ status: 'failed', code: 'launch_failed' }));
  });
});

describe('a deployment with settings of the launcher runner', () => {
  test('[HTTP38] serves, and /healthz says which have no effect and what to do', async () => {
    const warnings = async (settings: object) =>
      (await ask('GET', '/healthz', { key: null, env: deployment(settings) })).body.warnings as string[] | undefined;
    expect(await warnings({})).toBeUndefined();
    const [one] = (await warnings(OBSOLETE)) ?? [];
    expect(one).toMatch(/^HOLDFAST_RUNNER_URL has no effect: .*docs\/runners\.md/);
    const both = (await warnings({ HOLDFAST_LAUNCHER: 'runner', ...OBSOLETE })) ?? [];
    expect(both).toEqual([expect.stringMatching(/^HOLDFAST_LAUNCHER is runner.*pool/), one]);
  });
});
