/**
 * How the stateless part calls a session: what it retries, how often, with what delays.
 * Method: a namespace of stubs that fail as the platform's do (by the flags on the error, never by
 * its message). Each stub is valid for one attempt.
 */

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { ATTEMPT_TIMEOUT_MS } from '../../../src/core/leased-row.ts';
import * as service from '../../../src/operations/service.ts';
import { readConfig } from '../../../src/platform/config.ts';
import type { Env } from '../../../src/platform/env.ts';
import { callDirectory, callSession } from '../../../src/session/call-object.ts';
import { ask, deployment, expectProblem } from '../support/http.ts';
import { outsideOf, testEnv } from '../support/peers.ts';

interface Flags {
  retryable?: boolean;
  overloaded?: boolean;
  durableObjectReset?: boolean;
  remote?: boolean;
}

const RETRYABLE: Flags = { retryable: true };
const RESET: Flags = { durableObjectReset: true };
const OVERLOADED: Flags = { overloaded: true };
const BUG: Flags = { remote: true };

const failing = (flags: Flags): Error => Object.assign(new Error('told by the platform'), flags);

/**
 * Sessions whose stubs answer in turn: the first call fails with the first flags, and so on; later
 * calls succeed.
 */
function sessions(...failures: Flags[]) {
  const names: string[] = [];
  const calls: { stub: number; method: string }[] = [];
  const getByName = (name: string) => {
    const stub = names.push(name);
    return new Proxy(
      {},
      {
        get: (_, method) => async () => {
          calls.push({ stub, method: String(method) });
          const flags = failures[calls.length - 1];
          if (flags) throw failing(flags);
          return { ok: true, commandId: 1, settled: true, execution: { id: 'e', status: 'failed' } };
        },
      },
    );
  };
  return { SESSIONS: { getByName } as unknown as Env['SESSIONS'], names, calls };
}

const call = (fake: ReturnType<typeof sessions>, options?: { idempotent?: boolean }) =>
  callSession(deployment({ SESSIONS: fake.SESSIONS }), 'acme', 's', (stub) => stub.getExecution('e'), options);

let waits: number[];
let lines: string[];
beforeEach(() => {
  waits = [];
  lines = [];
  vi.spyOn(scheduler, 'wait').mockImplementation(async (ms) => void waits.push(Number(ms)));
  vi.spyOn(console, 'warn').mockImplementation((line) => void lines.push(String(line)));
});
afterEach(() => void vi.restoreAllMocks());

describe('callSession', () => {
  test('calls the object of tenant and session once, without a failure', async () => {
    const fake = sessions();
    expect(await call(fake)).toMatchObject({ ok: true });
    expect(fake.names).toEqual(['acme/s']);
    expect(fake.calls).toEqual([{ stub: 1, method: 'getExecution' }]);
    expect([waits, lines]).toEqual([[], []]);
  });

  test.each([
    ['retryable', [RETRYABLE]],
    ['reset', [RESET]],
    ['retryable and reset', [{ ...RETRYABLE, ...RESET }]],
    ['one after the other', [RETRYABLE, RESET, RETRYABLE]],
  ])('asks again after an error that is %s, with a new stub each time', async (_, failures) => {
    const fake = sessions(...failures);
    expect(await call(fake)).toMatchObject({ ok: true });
    expect(fake.calls.map(({ stub }) => stub)).toEqual(Array.from({ length: failures.length + 1 }, (_, index) => index + 1));
    expect(waits).toHaveLength(failures.length);
    expect(lines).toHaveLength(failures.length);
  });

  test('gives up after four attempts: unavailable', async () => {
    const fake = sessions(...Array<Flags>(10).fill(RETRYABLE));
    expect(await call(fake)).toMatchObject({ ok: false, code: 'unavailable' });
    expect(fake.calls).toHaveLength(4);
    expect(waits).toHaveLength(3);
  });

  test('waits longer each time, at most a second, with jitter', async () => {
    const highest = vi.spyOn(Math, 'random').mockReturnValue(0.999_999);
    await call(sessions(...Array<Flags>(3).fill(RETRYABLE)));
    expect(waits.map(Math.round)).toEqual([100, 200, 400]);
    highest.mockReturnValue(0);
    waits = [];
    await call(sessions(RETRYABLE));
    expect(waits).toEqual([0]);
  });

  test.each([
    ['overloaded', OVERLOADED],
    ['overloaded, although it is called retryable', { ...OVERLOADED, ...RETRYABLE }],
    ['overloaded, although it was reset', { ...OVERLOADED, ...RESET }],
  ])('never asks again what is %s: that would make it worse', async (_, flags) => {
    const fake = sessions(flags);
    expect(await call(fake)).toMatchObject({ ok: false, code: 'overloaded' });
    expect(fake.calls).toHaveLength(1);
  });

  test('stops retrying when the object becomes overloaded', async () => {
    const fake = sessions(RETRYABLE, OVERLOADED);
    expect(await call(fake)).toMatchObject({ ok: false, code: 'overloaded' });
    expect(fake.calls).toHaveLength(2);
  });

  test('does not retry after a bug, and does not reveal its message to the caller', async () => {
    const fake = sessions(BUG);
    const failed = await call(fake);
    expect(failed).toMatchObject({ ok: false, code: 'internal' });
    expect(JSON.stringify(failed)).not.toContain('told by the platform');
    expect(lines.join()).toContain('told by the platform');
    expect(fake.calls).toHaveLength(1);
  });

  test('calls only once when a second call would have a second effect', async () => {
    for (const flags of [RETRYABLE, RESET]) {
      const fake = sessions(flags);
      expect(await call(fake, { idempotent: false })).toMatchObject({ ok: false, code: 'unavailable' });
      expect(fake.calls).toHaveLength(1);
    }
  });

  test('a refusal is a result: it is returned, not retried', async () => {
    let asked = 0;
    const refusal = { ok: false, code: 'execution_not_found', message: 'x' } as const;
    const getByName = () => ({
      getExecution: async () => {
        asked += 1;
        return refusal;
      },
    });
    const env = deployment({ SESSIONS: { getByName } as unknown as Env['SESSIONS'] });
    expect(await callSession(env, 'acme', 's', (stub) => stub.getExecution('e'))).toEqual(refusal);
    expect(asked).toBe(1);
  });
});

describe('through the operations', () => {
  const configured = readConfig(testEnv);
  if (!configured.ok) throw new Error(configured.message);
  const { config } = configured;
  const callerOf = (fake: ReturnType<typeof sessions>): service.Caller => ({
    env: deployment({ SESSIONS: fake.SESSIONS }),
    config,
    tenant: 'acme',
    author: { kind: 'rpc', id: 'acme' },
    origin: null,
  });

  const IDEMPOTENT: [name: string, operation: (caller: service.Caller) => Promise<unknown>][] = [
    ['getExecution', (caller) => service.getExecution(caller, 's', 'e')],
    ['listExecutions', (caller) => service.listExecutions(caller, 's', {})],
    ['interruptExecution', (caller) => service.interruptExecution(caller, 's', 'e', {})],
    ['failExecution', (caller) => service.failExecution(caller, 's', 'e', { code: 'x', message: 'x' })],
    ['readEvents', (caller) => service.readEvents(caller, 's', {})],
    ['getSession', (caller) => service.getSession(caller, 's')],
  ];
  test.each(IDEMPOTENT)('%s is retried', async (name, operation) => {
    const fake = sessions(RESET);
    await operation(callerOf(fake));
    expect(fake.calls).toEqual([
      { stub: 1, method: name },
      { stub: 2, method: name },
    ]);
  });

  test('sendInput without an id is not: the text might reach the job twice', async () => {
    const fake = sessions(RESET);
    expect(await service.sendInput(callerOf(fake), 's', 'e', { data: 'yes\n' })).toMatchObject({ ok: false, code: 'unavailable' });
    expect(fake.calls).toEqual([{ stub: 1, method: 'sendInput' }]);
  });

  test('[HTTP34] sendInput with an id is: a repeat changes nothing', async () => {
    const fake = sessions(RESET);
    await service.sendInput(callerOf(fake), 's', 'e', { text: 'yes\n', inputId: 'i1' });
    expect(fake.calls).toEqual([
      { stub: 1, method: 'acceptInput' },
      { stub: 2, method: 'acceptInput' },
    ]);
  });

  test('[LIF28] a start whose response was lost is retried under the same generated id', async () => {
    const ids: unknown[] = [];
    const getByName = () => ({
      startExecution: async ({ id }: { id: string }) => {
        ids.push(id);
        if (ids.length === 1) throw failing(RESET);
        return { ok: false, code: 'queue_full', message: 'x' };
      },
    });
    const env = deployment({ SESSIONS: { getByName } as unknown as Env['SESSIONS'] });
    await service.startExecution({ ...callerOf(sessions()), env }, 's', { command: ['job'] });
    expect(ids).toHaveLength(2);
    expect(ids[0]).toBe(ids[1]);
  });

  test('[HTTP1] HTTP reports whether and when to retry', async () => {
    const answer = async (...failures: Flags[]) =>
      ask('GET', '/v1/sessions/s', { env: deployment({ SESSIONS: sessions(...failures).SESSIONS }) });
    expect(expectProblem(await answer(OVERLOADED), 'overloaded').retryable).toBe(true);
    expect(expectProblem(await answer(...Array<Flags>(4).fill(RETRYABLE)), 'unavailable').retryable).toBe(true);
    expect(expectProblem(await answer(BUG), 'internal').detail).not.toContain('told by the platform');
  });

  test('the log has the session and the attempt, and nothing of the input', async () => {
    const fake = sessions(RESET);
    await service.sendInput(callerOf(fake), 's', 'e', { data: 'secret-44ce' });
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { level: 'warn', event: 'session_call_failed', session: 's', attempt: 1, durableObjectReset: true },
    ]);
    expect(lines.join()).not.toContain('secret-44ce');
  });
});

describe('the directory', () => {
  const directory = (...failures: Flags[]) => {
    const { SESSIONS, names, calls } = sessions(...failures);
    return { env: deployment({ DIRECTORY: SESSIONS as unknown as Env['DIRECTORY'] }), names, calls };
  };

  test('is called by the name of the tenant, with the retries of a session', async () => {
    const fake = directory(RETRYABLE, RESET);
    expect(await callDirectory(fake.env, 'acme', (stub) => stub.list({ limit: 1 }))).toMatchObject({ ok: true });
    expect(fake.names).toEqual(['acme', 'acme', 'acme']);
    expect(fake.calls.map(({ stub, method }) => [stub, method])).toEqual([
      [1, 'list'],
      [2, 'list'],
      [3, 'list'],
    ]);
    for (const [flags, code] of [
      [OVERLOADED, 'overloaded'],
      [BUG, 'internal'],
    ] as const) {
      expect(await callDirectory(directory(flags).env, 'acme', (stub) => stub.list({ limit: 1 }))).toMatchObject({
        ok: false,
        code,
      });
    }
  });

  test('[DIR4] a failure or a timeout is one attempt: the outbox makes the next', async () => {
    const announcement = { session: 's', version: 1, entry: null };
    const failing = directory(RETRYABLE);
    expect(await outsideOf(failing.env).announce(announcement)).toBeNull();
    expect(failing.calls.length).toBe(1);

    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const silent = { getByName: () => ({ announce: () => new Promise(() => {}) }) } as unknown as Env['DIRECTORY'];
    let answer: unknown = 'none yet';
    void outsideOf(deployment({ DIRECTORY: silent }))
      .announce(announcement)
      .then((given) => {
        answer = given;
      });
    await vi.advanceTimersByTimeAsync(ATTEMPT_TIMEOUT_MS - 1);
    expect(answer).toBe('none yet');
    await vi.advanceTimersByTimeAsync(1);
    expect(answer).toBeNull();
    expect(vi.getTimerCount()).toBe(0);
    vi.useRealTimers();
  });
});
