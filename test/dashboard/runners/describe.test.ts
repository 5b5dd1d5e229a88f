/** Pools and runners in words, their order, and the commands that the page names. */

import { describe, expect, it } from 'vitest';
import {
  inOrder,
  isLoopback,
  joinCommand,
  keyCommand,
  runnerStateDetail,
  runnerStateText,
  runnersText,
  runStateText,
  slotsText,
} from '../../../dashboard/src/runners/describe.ts';
import { RUNNER_STATES } from '../../../protocol/index.ts';
import { madeRunner } from '../app/fake-api.ts';

const NOW = 1_000_000;

it('every state has a word of its own, and each state without work says so', () => {
  expect(RUNNER_STATES.map(runnerStateText)).toEqual(['Connected', 'Draining', 'Too old', 'Lost', 'Ended']);
  expect(RUNNER_STATES.map((state) => runnerStateDetail({ state, busy: 1 }, NOW))).toEqual([
    null,
    'takes nothing new',
    'gets nothing: upgrade it',
    'its jobs go on',
    null,
  ]);
  expect(runnerStateDetail({ state: 'lost', busy: 0 }, NOW)).toBeNull();
  expect(runnerStateText('of_a_later_version')).toBe('of a later version');
});

it('[POOL19] a runner that rests says until when and why, and only until then', () => {
  const failing = { count: 3, code: 'start_failed', restUntil: NOW + 20_000 };
  expect(runnerStateDetail({ state: 'connected', busy: 0, failing }, NOW)).toBe('rests for 20 s: 3 failed launches (start_failed)');
  expect(runnerStateDetail({ state: 'connected', busy: 0, failing: { ...failing, count: 1 } }, NOW)).toContain('1 failed launch (');
  expect(runnerStateDetail({ state: 'connected', busy: 0, failing }, NOW + 20_000)).toBeNull();
});

it('what a run on a runner does is said when it does not run', () => {
  expect(['assigned', 'starting', 'running', 'ended'].map(runStateText)).toEqual([
    'assigned',
    'starting',
    null,
    'ended, the slot is not free yet',
  ]);
});

it('runners that need a person come first, those that drain and those that ended last, and numbers in names count as numbers', () => {
  const failing = { count: 1, code: 'cwd_missing', restUntil: NOW };
  const runners = [
    madeRunner('gpu-10'),
    madeRunner('gpu-0', { state: 'ended' }),
    madeRunner('gpu-1', { state: 'draining' }),
    madeRunner('gpu-2'),
    madeRunner('gpu-3', { state: 'lost' }),
    madeRunner('gpu-11', { failing }),
  ];
  expect(inOrder(runners).map(({ name }) => name)).toEqual(['gpu-3', 'gpu-11', 'gpu-2', 'gpu-10', 'gpu-1', 'gpu-0']);
});

it('counts runners by state, and slots', () => {
  expect(runnersText([])).toBe('none');
  expect(runnersText([madeRunner('a'), madeRunner('b', { state: 'lost' }), madeRunner('c')])).toBe('2 connected, 1 lost');
  expect(slotsText({ busy: 0, slots: 0 })).toBe('none');
  expect(slotsText({ busy: 3, slots: 2_000 })).toBe('3 of 2,000 taken');
});

describe('the commands', () => {
  it('name the pool only when it is not the default', () => {
    expect(keyCommand('default')).toBe("holdfast runners key create --name 'my machines' > runner.key");
    expect(keyCommand('gpu')).toContain('key create --pool gpu ');
    expect(joinCommand('https://h.example', 'default')).toBe(
      'holdfast-wrapper serve --url https://h.example --key-file runner.key',
    );
    expect(joinCommand('https://h.example', 'gpu')).toContain('--pool gpu --key-file');
  });

  it.each([
    ['localhost', true],
    ['127.0.0.1', true],
    ['[::1]', true],
    ['app.localhost', true],
    ['h.example', false],
    ['127.example.com', false],
  ])('%s is an address of the machine itself: %s', (hostname, loopback) => {
    expect(isLoopback(hostname)).toBe(loopback);
  });
});
