/**
 * Goal: `runners` shows pools as they are, makes keys so that a script can keep them, and says what
 * comes next; `run` says why it waits.
 * Method: the program in this process, against a coordinator that a test steers.
 */

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readRunFlags } from '../../cli/commands/run.ts';
import { poolText } from '../../cli/commands/runners.ts';
import { UsageError } from '../../cli/settings.ts';
import { waitingText } from '../../cli/waiting.ts';
import { result as resultOf, call as startCall } from '../support/cli-call.ts';
import { FakeSession, until } from '../support/fake-session.ts';

let fake: FakeSession;
beforeEach(async () => {
  fake = await new FakeSession().start();
});
afterEach(() => fake.stop());
const result = (args: string[]) => resultOf(fake.url, args);

const runner = {
  id: 'r_1',
  name: 'gpu-3',
  labels: { os: 'linux', gpu: 'a100' },
  slots: 4,
  busy: 1,
  version: '0.2.0',
  state: 'connected',
  connectedAt: 1,
  lastHeardAt: 1,
  runs: [{ session: 's1', execution: 'e1', state: 'running' }],
};
const view = {
  id: 'default',
  createdAt: 1,
  slots: 4,
  busy: 1,
  waiting: 1,
  oldestWaitingAt: 1,
  runners: [
    runner,
    { ...runner, id: 'r_2', name: 'old\u001b[31m', state: 'lost', busy: 0 },
    { ...runner, id: 'r_3', name: 'gone', state: 'ended', busy: 0 },
  ],
  queue: [],
};

function answers(match: RegExp, status: number, body: unknown): void {
  const override = { status, body: body === null ? '' : JSON.stringify(body), headers: { 'content-type': 'application/json' } };
  // Each is used once.
  for (let times = 0; times < 3; times += 1) fake.overrides.push({ match, override });
}

describe('runners', () => {
  test('lists every pool with its runners', async () => {
    answers(/^GET \/v1\/pools$/, 200, { data: [{ ...view, runners: 1 }] });
    answers(/^GET \/v1\/pools\/default$/, 200, { pool: view });
    const { code, out } = await result(['runners']);
    expect(code).toBe(0);
    expect(out).toMatch(/^pool default: 1 of 4 slots taken, 1 waiting \(for \d+ d\)\n/);
    expect(out).toContain('gpu-3');
    expect(out).toContain('1 of 4');
    expect(out).toContain('os=linux,gpu=a100');
    expect(out).toMatch(/lost, last heard \d+ d ago/);
    expect(out).toMatch(/gone +ended \d+ d ago/);
    expect(out).not.toContain('\u001b[31m');
  });

  test('without a pool says how one is made', async () => {
    answers(/^GET \/v1\/pools$/, 200, { data: [] });
    expect((await result(['runners'])).err).toContain('holdfast runners key create');
  });

  test('key create prints the key alone on stdout, and how a machine joins on stderr', async () => {
    answers(/^POST \/v1\/pools\/gpu\/keys$/, 201, { id: 'rk_1', name: 'rack 3', key: 'hfr_x.rk_1.y', createdAt: 1 });
    const { code, out, err } = await result(['runners', 'key', 'create', '--pool', 'gpu', '--name', 'rack 3', '--expires', '30d']);
    expect([code, out]).toEqual([0, 'hfr_x.rk_1.y\n']);
    expect(err).toContain(`holdfast-wrapper serve --url ${fake.url} --pool gpu --key-file`);
    expect(fake.requests.at(-1)?.body).toMatchObject({ name: 'rack 3', expiresAt: expect.any(Number) });
  });

  test('key list and key revoke', async () => {
    answers(/^GET \/v1\/pools\/default\/keys$/, 200, { data: [{ id: 'rk_1', name: 'rack 3', createdAt: 0 }] });
    answers(/^DELETE \/v1\/pools\/default\/keys\/rk_1$/, 204, null);
    expect((await result(['runners', 'key'])).out).toBe('rk_1  rack 3  made 1970-01-01T00:00:00.000Z  never used\n');
    expect((await result(['runners', 'key', 'revoke', 'rk_1'])).code).toBe(0);
  });

  test('drain finds a runner by its name', async () => {
    answers(/^GET \/v1\/pools\/default$/, 200, { pool: view });
    answers(/^POST \/v1\/pools\/default\/runners\/r_1\/drain$/, 202, { runner });
    expect((await result(['runners', 'drain', 'gpu-3'])).err).toContain('gpu-3 takes nothing new');
    const { code, err } = await result(['runners', 'drain', 'unknown']);
    expect([code, err]).toEqual([2, expect.stringContaining('has no runner unknown')]);
  });

  test('drain of a runner that has ended, or has no connection, says so', async () => {
    answers(/^GET \/v1\/pools\/default$/, 200, { pool: view });
    answers(/^POST \/v1\/pools\/default\/runners\/r_[23]\/drain$/, 202, { runner });
    const ended = await result(['runners', 'drain', 'gone']);
    expect([ended.code, ended.err]).toEqual([0, expect.stringContaining('gone has ended before; there is nothing to drain')]);
    expect((await result(['runners', 'drain', 'r_2'])).err).toContain('has no connection; it takes nothing new when it connects');
  });

  test('remove takes a runner that is gone out of the list, and says what goes on', async () => {
    answers(/^GET \/v1\/pools\/default$/, 200, {
      pool: { ...view, runners: [...view.runners, { ...runner, id: 'r_4', state: 'lost', busy: 2 }] },
    });
    answers(/^DELETE \/v1\/pools\/default\/runners\/r_3$/, 204, null);
    answers(/^DELETE \/v1\/pools\/default\/runners\/r_4$/, 204, null);
    const ended = await result(['runners', 'remove', 'gone']);
    expect([ended.code, ended.err]).toEqual([0, expect.stringContaining('gone is removed from the pool default\n')]);
    // Of two with this name, the one that is gone.
    expect((await result(['runners', 'remove', 'gpu-3'])).err).toContain('its 2 runs go on');
  });

  test('remove of a connected runner says to drain it first', async () => {
    answers(/^GET \/v1\/pools\/default$/, 200, { pool: view });
    fake.overrides.push({ match: /^DELETE \/v1\/pools\/default\/runners\/r_1$/, override: { problem: 'runner_connected' } });
    const { code, err } = await result(['runners', 'remove', 'gpu-3']);
    expect([code, err]).toEqual([125, expect.stringContaining('holdfast runners drain RUNNER')]);
  });

  test.each([['nonsense'], ['remove'], ['drain'], ['key', 'nonsense'], ['key', 'revoke'], ['list', 'x']])(
    '%s %s is a mistake',
    async (...words) => {
      expect((await result(['runners', ...words])).code).toBe(2);
      expect(fake.requests).toEqual([]);
    },
  );
});

describe('run --continues', () => {
  const read = (flags: object, env = {}) => readRunFlags({ giveUpAfter: '10m', ...flags }, ['job'], env);

  test('names the run before, and its session where that is not given', () => {
    for (const given of [
      read({ continues: 'chat/e1' }),
      read({ continues: 'e1', session: 'chat' }),
      read({ continues: 'e1' }, { HOLDFAST_SESSION: 'chat' }),
    ]) {
      expect(given).toMatchObject({ reference: { session: 'chat' }, request: { continues: 'e1' } });
    }
  });

  test.each([[{ continues: 'e1' }], [{ continues: 'chat/e1', session: 'other' }], [{ continues: 'a/b/c' }], [{ continues: '' }]])(
    '%j is a mistake',
    (flags) => expect(() => read(flags)).toThrow(UsageError),
  );
});

describe('run on a pool', () => {
  const read = (flags: object) => readRunFlags({ giveUpAfter: '10m', ...flags }, ['job'], {}).request;

  test('its flags become the request, and choose the launcher', () => {
    const flags = { pool: 'gpu', requires: ['gpu=a100'], priority: '-3', concurrency: 'a=b=2', wait: '1h' };
    expect(read(flags)).toMatchObject({
      launcher: 'pool',
      pool: 'gpu',
      requires: { gpu: 'a100' },
      priority: -3,
      concurrency: { key: 'a=b', limit: 2 },
      waitMs: 3_600_000,
    });
    expect(read({})).not.toHaveProperty('launcher');
  });

  test.each([
    { priority: '11' },
    { priority: 'high' },
    { concurrency: 'deploy' },
    { concurrency: '=1' },
    { concurrency: 'deploy=0' },
    { requires: ['gpu'] },
    { pool: 'a/b' },
    { pool: 'gpu', launcher: 'none' },
    { wait: '10' },
  ])('%j is a mistake', (flags) => {
    expect(() => read(flags)).toThrow(UsageError);
  });

  test('says why it waits, and which runner has it', async () => {
    const call = startCall(fake.url, ['run', '--pool', 'default', '--', 'job']);
    await until('the start', () => fake.executions.size > 0);
    const [id = ''] = fake.executions.keys();
    fake.append(id, [{ type: 'execution_waiting', data: { pool: 'default', reason: 'busy' } }]);
    fake.append(id, [{ type: 'execution_assigned', data: { runner: 'r_1', name: 'gpu-3' } }]);
    fake.settle(id, 'completed', { exitCode: 0 });
    expect(await call.done).toBe(0);
    const err = call.err();
    expect(err).toContain('waiting in pool default: ');
    expect(err).toContain('assigned to runner gpu-3');
  });

  test('texts', () => {
    expect(waitingText({ pool: 'p' })).toBe('waiting in pool p');
    expect(waitingText({ pool: 'p', reason: 'concurrency', position: 1 })).toMatch(/^waiting in pool p: .+; it is next$/);
    expect(waitingText({ pool: 'p', reason: 'busy', position: 3 })).toMatch(/; 2 are before it$/);
    expect(poolText({ id: 'p', createdAt: 0, slots: 2, busy: 0, waiting: 0 }, 9)).toBe('pool p: 0 of 2 slots taken, nothing waits');
  });
});
