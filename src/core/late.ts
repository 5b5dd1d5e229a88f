/**
 * What a wrapper may still deliver after the verdict (LIF38). Pure.
 *
 * The coordinator ends an execution by a deadline when it cannot hear the wrapper. The job may have
 * run on, and its wrapper has the output in its spool. When that wrapper returns within
 * LATE_MS_MAX, what it has is stored behind the verdict and marked late.
 *
 * LT1  The verdict does not change. Only the columns of `LatePatch` are written after it.
 * LT2  The binding, the epochs and the dedupe by seq are those of a running execution, so each late
 *      event is stored once, whatever is cut or repeated.
 * LT3  The terminal fact ends it: nothing of the execution is stored after that.
 */

import { type HoldfastEvent, isTerminal, LATE_MS_MAX } from '../../protocol/index.ts';
import type { ExecutionRecord, LatePatch } from './execution.ts';
import { hasRoom, isOverrun, type StorageLoad } from './log-limit.ts';

/**
 * Until when the wrapper may deliver late, for a verdict by a deadline: the grace and the wait for
 * an interrupt end without an answer of the wrapper. A wrapper that is still connected gets 4000
 * with the verdict, and returns only when its connection was dead. An execution that another one
 * replaced takes nothing, because its session belongs to the other one.
 */
export const lateUntilFor = ({ wrapperId, interruptCause }: ExecutionRecord, now: number): number | null =>
  wrapperId === null || interruptCause === 'replace' ? null : now + LATE_MS_MAX;

/** Whether a wrapper of this execution would be heard now. */
export const takesLate = ({ status, lateUntil }: ExecutionRecord, now: number): boolean =>
  isTerminal(status) && lateUntil !== null && now < lateUntil;

export type LateHello = { epoch: number; patch: LatePatch };

/**
 * The answer to a hello after the verdict; null: closed 4000. A post continues the connection of
 * its boot, as before the verdict (ING19).
 */
export function acceptLateHello(
  record: ExecutionRecord,
  hello: { wrapperId: string; bootId: string; late?: true },
  posted: boolean,
  now: number,
): LateHello | null {
  if (!takesLate(record, now) || hello.late !== true || record.wrapperId !== hello.wrapperId) return null;
  if (posted && record.bootId === hello.bootId) return { epoch: record.epoch, patch: {} };
  const epoch = record.epoch + 1;
  return { epoch, patch: { epoch, bootId: hello.bootId } };
}

export interface LateBatch {
  count: number;
  bytes: number;
  /** The terminal fact, if the batch ends with one. */
  end: HoldfastEvent | null;
}

/** The columns after a late batch was stored. `logBytes`: of the execution, with the batch. */
export function withLateBatch(
  { lateEvents, lateUntil, lateExitCode, lateSignal }: ExecutionRecord,
  { count, end }: LateBatch,
  logBytes: number,
  now: number,
): LatePatch {
  const { exitCode, signal } = end?.data ?? {};
  return {
    logBytes,
    lateEvents: (lateEvents ?? 0) + count,
    lateAt: now,
    lateExitCode: typeof exitCode === 'number' ? exitCode : lateExitCode,
    lateSignal: typeof signal === 'string' ? signal : lateSignal,
    lateUntil: end ? null : lateUntil, // LT3
  };
}

/**
 * LIF34, LIF35: whether the log takes a late batch. The end of a job is always taken. What is
 * promised to a running execution is not given away.
 */
export function hasRoomForLate(
  { policy }: ExecutionRecord,
  { bytes, end }: LateBatch,
  storedBytes: number,
  load: StorageLoad,
): boolean {
  if (end) return true;
  return !isOverrun(policy, storedBytes + bytes) && hasRoom(load, bytes);
}
