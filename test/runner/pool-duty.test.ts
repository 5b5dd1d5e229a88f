/**
 * Goal: a runner takes what it may, refuses with the right code, and ends when nothing can come any
 * more.
 * Method: the pure functions of runner/pool, with every case of their tables.
 */

import { describe, expect, it } from 'vitest';
import { accepted, type Duty, decideLaunch, drain, drained, ended, isIdleOver, isOver, newDuty } from '../../runner/pool/duty.ts';
import { endOfAnswer, endOfClose } from '../../runner/pool/link.ts';
import { metricsText } from '../../runner/pool/status.ts';
import { problemAnswer } from '../support/fake-coordinator.ts';

const terms = { slots: 2, once: false, idleExitMs: null };
const once = { slots: 1, once: true, idleExitMs: null };
const idle = { slots: 2, once: false, idleExitMs: 1000 };

describe('a launch', () => {
  const duty = newDuty(0);
  it('starts while a slot is free, and is refused as full otherwise', () => {
    expect(decideLaunch(duty, terms, 'nothing', 1)).toEqual({ kind: 'start' });
    expect(decideLaunch(duty, terms, 'nothing', 2)).toMatchObject({ kind: 'refuse', code: 'full' });
  });

  it('[DU3] of what runs here starts nothing, also without a free slot and while draining', () => {
    for (const each of [duty, drain(duty, 'told'), drained(drain(duty, 'once'))])
      expect(decideLaunch(each, terms, 'running', 2)).toEqual({ kind: 'running' });
  });

  it('[DU4] of what ended here is answered as before for the same lease, and started again for another', () => {
    expect(decideLaunch(duty, terms, 'ended_same_lease', 2)).toEqual({ kind: 'ended' });
    expect(decideLaunch(duty, terms, 'ended', 0)).toEqual({ kind: 'start_again' });
    expect(decideLaunch(duty, terms, 'undelivered', 0)).toMatchObject({ kind: 'refuse', code: 'start_failed' });
  });

  it.each(['once', 'told'] as const)('is refused while draining (%s)', (cause) => {
    expect(decideLaunch(drain(duty, cause), terms, 'nothing', 0)).toMatchObject({ kind: 'refuse', code: 'draining' });
  });

  it('[DU2] that meets the draining of an idle runner on its way is run', () => {
    const draining = drain(newDuty(0), 'idle');
    expect(decideLaunch(draining, idle, 'nothing', 0)).toEqual({ kind: 'start' });
    const busy = accepted(drained(draining), idle);
    expect(isOver(busy, { connected: true, running: 1 })).toBe(false);
    expect(isOver(ended(busy, 0, 9), { connected: true, running: 0 })).toBe(true);
    // A signal that comes meanwhile is an order.
    expect(decideLaunch(drain(draining, 'told'), idle, 'nothing', 0)).toMatchObject({ code: 'draining' });
  });
});

describe('the end of a runner', () => {
  it('[DU1] with --once comes after the first accepted launch', () => {
    const taken = accepted(newDuty(0), once);
    expect(decideLaunch(taken, once, 'nothing', 0)).toMatchObject({ code: 'draining' });
    expect(isOver(taken, { connected: true, running: 1 })).toBe(false);
    expect(isOver(drained(taken), { connected: true, running: 0 })).toBe(true);
  });

  it('waits for `drained`, or the end of the connection, and for every run', () => {
    const draining = drain(newDuty(0), 'told');
    expect(isOver(draining, { connected: true, running: 0 })).toBe(false);
    expect(isOver(draining, { connected: false, running: 0 })).toBe(true);
    expect(isOver(draining, { connected: false, running: 1 })).toBe(false);
    expect(isOver(drained(draining), { connected: true, running: 0 })).toBe(true);
    expect(isOver(newDuty(0), { connected: false, running: 0 })).toBe(false);
  });

  it('with --idle-exit comes when nothing has run for the time, counted from the last end', () => {
    let duty: Duty = newDuty(0);
    expect(isIdleOver(duty, idle, 999)).toBe(false);
    expect(isIdleOver(duty, idle, 1000)).toBe(true);
    expect(isIdleOver(duty, terms, 1e9)).toBe(false);
    duty = accepted(duty, idle);
    expect(isIdleOver(duty, idle, 1e9)).toBe(false);
    expect(isIdleOver(ended(duty, 1, 5000), idle, 1e9)).toBe(false);
    duty = ended(duty, 0, 5000);
    expect(isIdleOver(duty, idle, 5999)).toBe(false);
    expect(isIdleOver(duty, idle, 6000)).toBe(true);
  });
});

describe('what a close or an answer means', () => {
  it.each([
    [1006, '', 'retry'],
    [1012, '', 'retry'],
    [4408, 'no hello in time', 'retry'],
    [4401, 'key_revoked', 'key_refused'],
    [4001, 'superseded', 'refused'],
    [4400, 'hello.slots is not valid', 'refused'],
    [4409, 'cloned runner id', 'refused'],
    // Another service answers in the pool's place.
    [4409, 'something else', 'retry'],
    [4999, '', 'retry'],
  ])('%i %s: %s', (code, reason, kind) => {
    expect(endOfClose(code, reason).kind).toBe(kind);
  });

  it('only the refusals of a coordinator count', () => {
    const answer = (code: Parameters<typeof problemAnswer>[0]) => {
      const { status, headers, body = '' } = problemAnswer(code);
      return endOfAnswer(status, headers?.['content-type'] ?? null, body, 7000);
    };
    expect(answer('unauthorized').kind).toBe('key_refused');
    expect(answer('bad_request').kind).toBe('refused');
    expect(answer('rate_limited')).toMatchObject({ kind: 'retry', retryAfterMs: 7000 });
    expect(answer('unavailable').kind).toBe('retry');
    expect(answer('upgrade_required').kind).toBe('retry');
    expect(answer('not_configured').kind).toBe('retry');
    expect(endOfAnswer(401, 'text/html', '<title>Sign in</title>', 7000)).toMatchObject({ kind: 'retry', retryAfterMs: null });
    expect(endOfAnswer(404, null, '', null).kind).toBe('retry');
  });
});

it('metrics escape the name of a runner', () => {
  const facts = { connected: true, connects: 1, running: 0, slots: 2, draining: false, outcomes: new Map([['full', 3] as const]) };
  const text = metricsText({ ...facts, endedRuns: 4, name: 'a"b\\c', pool: 'default', runnerId: 'r_1' });
  expect(text).toContain('holdfast_runner_connected{name="a\\"b\\\\c",pool="default"} 1\n');
  expect(text).toContain('holdfast_runner_launches_total{name="a\\"b\\\\c",pool="default",outcome="full"} 3\n');
});
