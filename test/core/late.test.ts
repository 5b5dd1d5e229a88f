/**
 * The decisions on late results (LIF38), as pure functions: which verdicts admit them, which hello,
 * what a batch changes, and what does not fit.
 */

import { describe, expect, test } from 'vitest';
import { LATE_MS_MAX, POLICY_DEFAULTS, SESSION_BYTES_MAX } from '../../protocol/index.ts';
import { type ExecutionRecord, executionView, NEW_EXECUTION_FIELDS } from '../../src/core/execution.ts';
import { acceptLateHello, hasRoomForLate, takesLate, withLateBatch } from '../../src/core/late.ts';
import { expire } from '../../src/core/lifecycle.ts';

const NOW = 1_763_650_000_000;

/** A running execution whose wrapper is away; its grace is over now. */
const away = (fields: Partial<ExecutionRecord> = {}): ExecutionRecord => ({
  ...NEW_EXECUTION_FIELDS,
  ...{ ordinal: 1, id: 'e1', status: 'running', requestDigest: '', command: ['job'], cwd: null, env: null, stdin: null },
  ...{
    openStdin: false,
    format: 'text',
    merge: false,
    output: 'text',
    terminal: null,
    launcher: 'none',
    labels: {},
    policy: POLICY_DEFAULTS,
    callbackUrl: null,
  },
  ...{ traceparent: null, secretNames: null, origin: 'https://h', createdAt: 1, firstOffset: 1, queueRank: 0 },
  ...{ wrapperId: 'w_1', bootId: 'b_1', epoch: 3, startedAt: 1, disconnectedAt: 1, graceUntil: NOW },
  ...fields,
});

const settled = (fields: Partial<ExecutionRecord> = {}): ExecutionRecord => {
  const record = away(fields);
  return { ...record, ...expire(record, NOW)?.patch };
};

describe('[LIF38] the verdict', () => {
  test.each([
    ['wrapper_disconnected', {}, 'wrapper_disconnected'],
    ['an unanswered interrupt', { interruptUntil: NOW, interruptRequestedAt: 1, interruptCause: 'request' as const }, null],
    [
      'an unanswered interrupt at the time limit',
      { interruptUntil: NOW, interruptRequestedAt: 1, interruptCause: 'runtime' as const },
      'runtime_exceeded',
    ],
  ])('%s admits late events for 7 days', (_, fields, code) => {
    const record = settled(fields);
    expect(record.code).toBe(code);
    expect(record.lateUntil).toBe(NOW + LATE_MS_MAX);
    expect(takesLate(record, NOW + LATE_MS_MAX - 1)).toBe(true);
    expect(takesLate(record, NOW + LATE_MS_MAX)).toBe(false);
  });

  test('of an execution that another one replaced admits none', () => {
    const record = settled({ interruptUntil: NOW, interruptRequestedAt: 1, interruptCause: 'replace' });
    expect(record).toMatchObject({ status: 'interrupted', lateUntil: null });
  });

  test('of an execution that no wrapper ever had admits none', () => {
    expect(settled({ status: 'pending', wrapperId: null, graceUntil: null, pendingUntil: NOW })).toMatchObject({
      code: 'wrapper_never_connected',
      lateUntil: null,
    });
  });

  test('a running execution takes nothing late', () => {
    expect(takesLate(away({ lateUntil: NOW + 1 }), NOW)).toBe(false);
  });
});

describe('[ING22] the hello', () => {
  const hello = { wrapperId: 'w_1', bootId: 'b_1', late: true } as const;

  test('of a socket raises the epoch, also of the same boot', () => {
    expect(acceptLateHello(settled(), hello, false, NOW)).toEqual({ epoch: 4, patch: { epoch: 4, bootId: 'b_1' } });
  });

  test('of a post of the same boot continues, and of another boot raises the epoch', () => {
    expect(acceptLateHello(settled(), hello, true, NOW)).toEqual({ epoch: 3, patch: {} });
    expect(acceptLateHello(settled(), { ...hello, bootId: 'b_2' }, true, NOW)?.epoch).toBe(4);
  });

  test.each([
    ['without `late`', { wrapperId: 'w_1', bootId: 'b_1' }],
    ['of another wrapper', { ...hello, wrapperId: 'w_2' }],
  ])('%s is refused', (_, refused) => {
    expect(acceptLateHello(settled(), refused, false, NOW)).toBeNull();
  });
});

describe('[LIF38] a batch', () => {
  const exit = (data: Record<string, unknown>) => ({ type: 'exit', at: 1, data });

  test('adds up, and its terminal fact ends the delivery', () => {
    const first = { ...settled(), ...withLateBatch(settled(), { count: 2, bytes: 20, end: null }, 120, NOW + 5) };
    expect(executionView('s1', first).late).toEqual({ events: 2, exitCode: null, signal: null, at: NOW + 5 });
    expect(takesLate(first, NOW + 5)).toBe(true);
    const end = exit({ exitCode: 0, signal: null });
    const last = { ...first, ...withLateBatch(first, { count: 3, bytes: 30, end }, 150, NOW + 9) };
    expect(executionView('s1', last)).toMatchObject({ logBytes: 150, late: { events: 5, exitCode: 0, signal: null, at: NOW + 9 } });
    expect(takesLate(last, NOW + 9)).toBe(false);
  });

  test.each([
    [exit({ exitCode: null, signal: 'SIGKILL' }), { exitCode: null, signal: 'SIGKILL' }],
    [
      { type: 'error', at: 1, data: { error: 'no', fatal: true } },
      { exitCode: null, signal: null },
    ],
  ])('ends with %j', (end, expected) => {
    const record = { ...settled(), ...withLateBatch(settled(), { count: 1, bytes: 1, end }, 1, NOW) };
    expect(executionView('s1', record).late).toMatchObject(expected);
  });

  test('changes nothing of the verdict', () => {
    const patch = withLateBatch(settled(), { count: 1, bytes: 1, end: exit({ exitCode: 0, signal: null }) }, 1, NOW);
    expect(Object.keys(patch).sort()).toEqual(['lateAt', 'lateEvents', 'lateExitCode', 'lateSignal', 'lateUntil', 'logBytes']);
  });

  test('an execution without late events has no `late` in its view', () => {
    expect('late' in executionView('s1', settled())).toBe(false);
  });
});

describe('[LIF34 LIF35] the room for a batch', () => {
  const record = settled({ policy: { ...POLICY_DEFAULTS, maxLogBytes: 1_000_000 } });
  const batch = { count: 1, bytes: 100, end: null };
  const idle = { databaseBytes: 0, reservedBytes: 0 };

  test('ends at 110 % of maxLogBytes', () => {
    expect(hasRoomForLate(record, batch, 1_100_000 - 100, idle)).toBe(true);
    expect(hasRoomForLate(record, batch, 1_100_000 - 99, idle)).toBe(false);
  });

  test('ends where the space of an active execution begins', () => {
    const full = { databaseBytes: SESSION_BYTES_MAX - 1000, reservedBytes: 900 };
    expect(hasRoomForLate(record, batch, 0, full)).toBe(true);
    expect(hasRoomForLate(record, batch, 0, { ...full, reservedBytes: 901 })).toBe(false);
  });

  test('is always there for the end of the job', () => {
    const end = { type: 'exit', at: 1, data: { exitCode: 0, signal: null } };
    expect(hasRoomForLate(record, { ...batch, end }, 5_000_000, { databaseBytes: SESSION_BYTES_MAX, reservedBytes: 0 })).toBe(true);
  });
});
