/**
 * Goal: what becomes of a session's container and of what was launched in it, decided in pure
 * functions (CT1–CT5). Method: the record and the clock are plain values.
 */

import { describe, expect, it, test } from 'vitest';
import {
  applyInFlightCount,
  applyRunningState,
  type Boot,
  beginLaunch,
  CONTAINER_IDLE_MS,
  type ContainerRecord,
  dueReports,
  INACTIVITY_TIMEOUT_MS,
  isCapacityError,
  isEmpty,
  isIdle,
  LOSS_SETTLE_MS,
  markReported,
  NO_CONTAINER,
  nextCheckAt,
  recordFailedLaunch,
  recordLoss,
  scheduleReportRetry,
  WATCH_MS,
} from '../../src/core/container.ts';
import { ALARM_OVERDUE_MS } from '../../src/core/deadlines.ts';
import { LAUNCH_TIMEOUT_MS } from '../../src/core/launching.ts';

const T0 = 1_763_650_000_000;
const UNTIL = T0 + 86_400_000;
const boot = (id: string): Boot => ({ id, token: `token of ${id}`, startedAt: T0 });
const SINCE = T0 - 1000;
const job = (execution: string) => ({ execution, until: UNTIL, sessionSince: SINCE });

/** A container that was started for these at T0. */
function running(...executions: string[]): ContainerRecord {
  let record: ContainerRecord = NO_CONTAINER;
  for (const [index, execution] of executions.entries()) {
    const step = beginLaunch(record, index > 0, job(execution), boot('b1'), T0);
    if (step.kind === 'unknown_container') throw new Error('a stranger');
    record = step.record;
  }
  return record;
}

const inFlight = (record: ContainerRecord, count: number, askedAt: number): ContainerRecord =>
  applyInFlightCount(record, count, askedAt, LAUNCH_TIMEOUT_MS, askedAt);

describe('a launch', () => {
  it('[CT1] [CT2] starts a container where none runs, and records the execution with its boot', () => {
    const step = beginLaunch(NO_CONTAINER, false, job('e1'), boot('b1'), T0);
    expect(step).toEqual({
      kind: 'start',
      record: {
        sessionSince: SINCE,
        boot: boot('b1'),
        launched: [{ execution: 'e1', at: T0, until: UNTIL }],
        idleSince: null,
        lost: [],
      },
    });
  });

  it('[CT1] uses the one that runs, with the boot it has', () => {
    const step = beginLaunch(running('e1'), true, job('e2'), boot('b2'), T0 + 1);
    expect(step).toMatchObject({ kind: 'use', boot: boot('b1'), record: { boot: boot('b1') } });
    expect(step.kind === 'use' && step.record.launched.map(({ execution }) => execution)).toEqual(['e1', 'e2']);
  });

  it('[CT2] is noted once, however often it is repeated', () => {
    const step = beginLaunch(running('e1'), true, job('e1'), boot('b2'), T0 + 700);
    expect(step.kind === 'use' && step.record.launched).toEqual([{ execution: 'e1', at: T0 + 700, until: UNTIL }]);
  });

  it('[CT1] an unknown container is not reused', () => {
    expect(beginLaunch(NO_CONTAINER, true, job('e1'), boot('b1'), T0).kind).toBe('unknown_container');
  });

  it('where the last container is gone starts another; what ran in that is lost with its boot', () => {
    const step = beginLaunch(running('e1'), false, job('e2'), boot('b2'), T0 + 1000);
    expect(step).toMatchObject({
      kind: 'start',
      record: {
        boot: boot('b2'),
        launched: [{ execution: 'e2' }],
        lost: [{ execution: 'e1', boot: 'b1', attempts: 0, dueAt: T0 + 1000 + LOSS_SETTLE_MS }],
      },
    });
  });

  it('[CT3] of an execution that was lost takes it back: it is pending, so it has not begun', () => {
    const gone = recordLoss(running('e1', 'e2'), T0);
    const step = beginLaunch(gone, false, job('e1'), boot('b2'), T0 + 1);
    expect(step.kind === 'start' && step.record.lost.map(({ execution }) => execution)).toEqual(['e2']);
    const same = beginLaunch(running('e1'), false, job('e1'), boot('b2'), T0 + 1);
    expect(same.kind === 'start' && same.record.lost).toEqual([]);
  });

  it('[CT4] of a session of the same name takes nothing over from the one that was deleted', () => {
    const next = { ...job('e1'), sessionSince: T0 + 1 };
    const old = recordLoss(running('e0', 'e1'), T0);
    expect(beginLaunch(running('e0'), true, next, boot('b2'), T0 + 2)).toEqual({ kind: 'unknown_container', record: NO_CONTAINER });
    for (const record of [running('e0'), old]) {
      const step = beginLaunch(record, false, next, boot('b2'), T0 + 2);
      expect(step).toMatchObject({ kind: 'start', record: { sessionSince: T0 + 1, launched: [{ execution: 'e1' }], lost: [] } });
    }
  });

  it('[CT3] that was no success is not waited for and not lost: its session has the answer', () => {
    expect(recordFailedLaunch(running('e1', 'e2'), 'e2', T0)).toMatchObject({ launched: [{ execution: 'e1' }], idleSince: null });
    expect(recordFailedLaunch(running('e1'), 'e1', T0 + 5)).toMatchObject({ boot: boot('b1'), launched: [], idleSince: T0 + 5 });
    const lost = recordLoss(running('e1', 'e2'), T0);
    expect(recordFailedLaunch(lost, 'e2', T0).lost.map(({ execution }) => execution)).toEqual(['e1']);
    expect(isEmpty(recordFailedLaunch(recordLoss(running('e1'), T0), 'e1', T0))).toBe(true);
  });

  it('ends the idle time', () => {
    const idle = inFlight(running('e1'), 0, T0 + WATCH_MS);
    expect(idle.idleSince).toBe(T0 + WATCH_MS);
    const step = beginLaunch(idle, true, job('e2'), boot('b2'), T0 + WATCH_MS + 1);
    expect(step.kind === 'use' && step.record).toMatchObject({ idleSince: null, launched: [{ execution: 'e2' }] });
  });
});

describe('while it runs', () => {
  it('[CT5] is looked at every WATCH_MS for as long as something was launched in it and has not ended', () => {
    const record = running('e1');
    expect(nextCheckAt(record, T0)).toBe(T0 + WATCH_MS);
    expect(applyRunningState(record, true, T0 + WATCH_MS)).toBe(record);
    expect(inFlight(record, 1, T0 + WATCH_MS)).toBe(record);
    expect(nextCheckAt(record, T0 + WATCH_MS)).toBe(T0 + 2 * WATCH_MS);
  });

  it('[CT5] with nothing in flight it is idle, and looked at once more', () => {
    const idle = inFlight(running('e1', 'e2'), 0, T0 + WATCH_MS);
    expect(idle).toMatchObject({ launched: [], idleSince: T0 + WATCH_MS });
    expect(nextCheckAt(idle, T0 + WATCH_MS)).toBe(T0 + WATCH_MS + CONTAINER_IDLE_MS);
    expect(isIdle(idle, T0 + WATCH_MS + CONTAINER_IDLE_MS - 1)).toBe(false);
    expect(isIdle(idle, T0 + WATCH_MS + CONTAINER_IDLE_MS)).toBe(true);
  });

  it.each([
    [LAUNCH_TIMEOUT_MS - 1, false],
    [LAUNCH_TIMEOUT_MS, true],
  ])('[CT2] what was noted %i ms before the question may have been under way', (ms, ended) => {
    expect(inFlight(running('e1'), 0, T0 + ms).launched.length === 0).toBe(ended);
  });

  it('[CT5] an execution that the session must have ended by now is no longer watched, whatever its runner reports', () => {
    expect(applyRunningState(running('e1'), true, UNTIL - 1).launched).toHaveLength(1);
    expect(applyRunningState(running('e1'), true, UNTIL)).toMatchObject({ launched: [], idleSince: UNTIL });
  });

  test('the platform ends it only when alarms are lost, however late these are', () => {
    expect(INACTIVITY_TIMEOUT_MS).toBeGreaterThan(CONTAINER_IDLE_MS + ALARM_OVERDUE_MS + WATCH_MS);
    expect(INACTIVITY_TIMEOUT_MS).toBeLessThanOrEqual(6 * 60 * 60 * 1000);
    expect(WATCH_MS).toBeGreaterThan(LAUNCH_TIMEOUT_MS);
  });
});

describe('when it is gone', () => {
  it('everything launched in it is lost, and reported after pending messages had time to arrive', () => {
    const gone = applyRunningState(running('e1'), false, T0 + WATCH_MS);
    expect(gone).toMatchObject({ boot: null, launched: [], idleSince: null, lost: [{ execution: 'e1', boot: 'b1' }] });
    expect(nextCheckAt(gone, T0 + WATCH_MS)).toBe(T0 + WATCH_MS + LOSS_SETTLE_MS);
    expect(dueReports(gone, T0 + WATCH_MS + LOSS_SETTLE_MS - 1)).toEqual([]);
    expect(dueReports(gone, T0 + WATCH_MS + LOSS_SETTLE_MS)).toHaveLength(1);
  });

  it('seen twice it is lost once', () => {
    const gone = applyRunningState(running('e1'), false, T0);
    expect(applyRunningState(gone, false, T0 + 1)).toBe(gone);
  });

  it('when it is empty no session is notified, and no row is left', () => {
    const gone = applyRunningState(inFlight(running('e1'), 0, T0 + WATCH_MS), false, T0 + WATCH_MS + 1);
    expect(isEmpty(gone)).toBe(true);
    expect(nextCheckAt(gone, T0)).toBeNull();
  });

  it('[CT5] an execution is removed when the session was notified, each of its boots separately', () => {
    let record = recordLoss(running('e1'), T0);
    const next = beginLaunch(record, false, job('e2'), boot('b2'), T0 + 1);
    record = recordLoss(next.kind === 'start' ? next.record : record, T0 + 2);
    const [first, second] = record.lost;
    if (!first || !second) throw new Error('nothing was lost');
    expect([first.boot, second.boot]).toEqual(['b1', 'b2']);
    expect(isEmpty(markReported(record, first))).toBe(false);
    expect(isEmpty(markReported(markReported(record, first), second))).toBe(true);
  });

  it('[CT5] an unreachable session is notified again with backoff, until it must have ended the execution itself', () => {
    let record = recordLoss(running('e1'), T0);
    const waits: number[] = [];
    for (let attempt = 0; attempt < 9; attempt += 1) {
      const [lost] = record.lost;
      if (!lost) throw new Error('it was forgotten');
      record = scheduleReportRetry(record, lost, T0);
      waits.push((record.lost[0]?.dueAt ?? 0) - T0);
    }
    expect(waits).toEqual([5, 10, 20, 40, 80, 160, 300, 300, 300].map((seconds) => seconds * 1000));
    expect(applyRunningState(record, false, UNTIL - 1).lost).toHaveLength(1);
    expect(isEmpty(applyRunningState(record, false, UNTIL))).toBe(true);
  });
});

test('the platform’s error for a missing instance is distinguished from other errors', () => {
  expect(
    isCapacityError('Error: There is no container instance that can be provided to this Durable Object, try again later'),
  ).toBe(true);
  expect(
    isCapacityError('Maximum number of running container instances exceeded. Try again later, or try configuring a higher value.'),
  ).toBe(true);
  expect(isCapacityError('the container is not listening in the TCP address 10.0.0.1:8788')).toBe(false);
});
