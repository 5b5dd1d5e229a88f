/**
 * What is said about an end and about the page's own connection: every code has a sentence, and
 * every state a word.
 */

import { describe, expect, test } from 'vitest';
import { describeFailure, endingNotice, errorText, verdictText } from '../../../dashboard/src/execution/messages.ts';
import { streamView } from '../../../dashboard/src/execution/stream-view.ts';
import { REFUSAL_CODES } from '../../../protocol/pool.ts';
import { CONTAINER_STOPPED } from '../../../src/core/container.ts';
import { type ExecutionRecord, NEW_EXECUTION_FIELDS } from '../../../src/core/execution.ts';
import { afterLaunch } from '../../../src/core/launching.ts';
import { expire, refuseOldWrapper, settleByFact } from '../../../src/core/lifecycle.ts';
import { ended, madeExecution, T0 } from './made.ts';

const recordOf = (fields: Partial<ExecutionRecord>): ExecutionRecord => {
  const { id, command, format, launcher, labels, policy, createdAt } = madeExecution();
  return {
    ...NEW_EXECUTION_FIELDS,
    ...{ id, command, format, launcher, labels, policy, createdAt },
    ordinal: 1,
    status: 'running',
    requestDigest: '',
    cwd: null,
    env: null,
    stdin: null,
    openStdin: false,
    merge: false,
    output: 'text',
    terminal: null,
    callbackUrl: null,
    traceparent: null,
    secretNames: null,
    origin: '',
    firstOffset: 1,
    queueRank: 0,
    ...fields,
  };
};

test('[LIF38] what arrived after the verdict stands below it', () => {
  const late = { events: 2, exitCode: 0, signal: null, at: T0 };
  const failed = endingNotice(ended('failed', { code: 'wrapper_disconnected', late }));
  expect(failed?.facts).toContain('2 events arrived after the verdict; the job had ended with exit code 0');
  const interrupted = endingNotice(ended('interrupted', { forced: true, late: { ...late, events: 1, exitCode: null } }));
  expect(interrupted?.facts).toContain('1 event arrived after the verdict; how the job ended is not known');
  const killed = endingNotice(ended('failed', { late: { ...late, exitCode: null, signal: 'SIGKILL' } }));
  expect(killed?.facts).toContain('2 events arrived after the verdict; the job had been ended by SIGKILL');
});

describe('failures', () => {
  test('every code that the coordinator gives has a sentence of its own', () => {
    // The decisions themselves create the codes, so that a new one cannot be forgotten here.
    const codes = [
      expire(recordOf({ status: 'pending', pendingUntil: 1 }), 2),
      expire(recordOf({ status: 'running', graceUntil: 1 }), 2),
      expire(recordOf({ status: 'running', interruptUntil: 1, interruptCause: 'runtime' }), 2),
      settleByFact(recordOf({ status: 'running' }), { type: 'exit', at: 0, data: { exitCode: 3, signal: null } }, 2),
      settleByFact(recordOf({ status: 'running' }), { type: 'error', at: 0, data: { error: 'x', fatal: true } }, 2),
      afterLaunch(recordOf({ status: 'pending' }), { kind: 'refused', message: 'x' }, 2),
      refuseOldWrapper(recordOf({ status: 'pending', secretNames: ['A'] }), [], 2),
    ].map((transition) => String(transition?.patch.code));
    expect(codes).toEqual([
      'wrapper_never_connected',
      'wrapper_disconnected',
      'runtime_exceeded',
      'exit_nonzero',
      'wrapper_error',
      'launch_failed',
      'wrapper_too_old',
    ]);
    const refused = REFUSAL_CODES.filter((code) => code !== 'full' && code !== 'draining');
    for (const code of [...codes, CONTAINER_STOPPED, 'no_runner', 'runners_lost', ...refused])
      expect(describeFailure(code), code).not.toEqual(describeFailure('something_else'));
  });

  test('the box names the code, the message and how the process ended', () => {
    const outcome = endingNotice(ended('failed', { code: 'exit_nonzero', error: 'the command exited with code 2', exitCode: 2 }));
    expect(outcome).toMatchObject({ tone: 'danger', title: 'The command failed' });
    expect(outcome?.facts).toEqual(['the command exited with code 2', 'code: exit_nonzero']);
  });

  test('a forced end states that the job may still run', () => {
    expect(endingNotice(ended('interrupted', { forced: true }))?.meaning).toContain('may still have been running');
    expect(endingNotice(ended('interrupted', { reason: 'enough' }))).toMatchObject({
      title: 'Interrupted',
      facts: ['reason: enough'],
    });
    expect(endingNotice(ended('completed', { exitCode: 0 }))).toBeNull();
  });

  test('a verdict in one line', () => {
    expect(verdictText({ exitCode: 0 })).toBe('exit code 0');
    expect(verdictText({ exitCode: null, signal: 'SIGKILL', reason: 'maxRuntimeMs is over', forced: true })).toBe(
      'ended by SIGKILL · maxRuntimeMs is over · forced: the wrapper did not answer in time',
    );
    expect(verdictText({})).toBeNull();
  });

  test('refusals of the API are explained', () => {
    expect(errorText({ code: 'stdin_closed' })).toContain('without an open stdin');
    expect(errorText({ code: 'execution_in_progress', facts: { activeExecutionId: 'e7' } })).toContain('(e7)');
    expect(errorText(new Error('odd'))).toBe('odd');
  });
});

describe('the connection of the page', () => {
  test('reconnecting counts down from the moment it began', () => {
    const state = { status: 'reconnecting', attempt: 3, retryInMs: 8_000, code: 1006, reason: 'x' } as const;
    expect(streamView(state, T0, T0)).toMatchObject({ label: 'Reconnecting', detail: 'attempt 3, in 8 s', canReconnect: true });
    expect(streamView(state, T0, T0 + 7_100).detail).toBe('attempt 3, in 1 s');
    expect(streamView(state, T0, T0 + 20_000).detail).toBe('attempt 3, now');
  });

  test('only the label is news: it does not change with every tick', () => {
    const state = { status: 'reconnecting', attempt: 1, retryInMs: 8_000, code: 1006, reason: '' } as const;
    expect(streamView(state, T0, T0).label).toBe(streamView(state, T0, T0 + 3_000).label);
  });

  test.each([
    [null, 'Connecting'],
    [{ status: 'replaying' }, 'Catching up'],
    [{ status: 'live' }, 'Live'],
    [{ status: 'refreshing-credential' }, 'Refreshing the credential'],
    [{ status: 'paused', reason: 'hidden' }, 'Paused'],
    [{ status: 'ended', execution: 'e1', executionStatus: 'failed' }, 'Complete'],
    [{ status: 'failed', code: 'unauthorized', reason: 'x' }, 'Disconnected'],
  ] as const)('%o', (state, label) => {
    expect(streamView(state, T0, T0).label).toBe(label);
  });
});
