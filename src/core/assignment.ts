/**
 * An execution that waits for a runner of a pool, from its session's side. Pure.
 *
 *               offer answered            claim                     hello accepted
 *   pending ────────────────▶ waiting ───────────────▶ assigned ──────────────────▶ running
 *                                ▲                        │
 *                                └──────── recall ────────┘
 *
 * All of it is status `pending`. Waiting is bounded by `waitUntil`, an assignment by `pendingUntil`,
 * and exactly one of the two is set. The session is the owner: it hands out its request once for
 * each lease, and only while the execution is pending.
 */

import { WAIT_MS_DEFAULT, type WaitReason } from '../../protocol/index.ts';
import type { ExecutionPatch, ExecutionRecord } from './execution.ts';
import { neededFeatures, settleFailed, type Transition } from './lifecycle.ts';
import type { OfferAnswer, PoolOffer, RecallAnswer, RecallCause, RecallRequest } from './pool-messages.ts';

/** A pool that lost its rows gets the offer again after this. */
export const OFFER_AGAIN_MS = 15 * 60_000;

/** The pool said that it has a runner; its claim takes milliseconds. */
export const CLAIM_EXPECTED_MS = 60_000;

/** Assignments in a row that come to nothing before the execution fails. */
export const ASSIGNMENTS_FAILED_MAX = 3;

export function offerOf(session: string, record: ExecutionRecord): PoolOffer {
  return {
    session,
    execution: record.id,
    requires: record.requires ?? {},
    needs: neededFeatures(record).map(({ feature }) => feature),
    priority: record.priority ?? 0,
    concurrency: record.concurrency,
    waitUntil: record.waitUntil ?? 0,
  };
}

/** Null: there is nothing to change, because the claim was faster than the answer. */
export function afterOffer(record: ExecutionRecord, answer: OfferAnswer, now: number): Transition | null {
  if (record.assignedAt !== null) return null;
  switch (answer.kind) {
    case 'no_pool':
      return settleFailed(record, 'launch_failed', `there is no pool ${record.pool}: make a runner key of it`, now);
    case 'assigned':
      return { patch: { launchAt: now + CLAIM_EXPECTED_MS }, events: [], commands: [] };
    case 'waiting': {
      const noted = noteReason(record, answer.reason);
      return {
        patch: { ...noted?.patch, launchAt: now + OFFER_AGAIN_MS },
        events: noted?.events ?? [],
        commands: [],
      };
    }
    default:
      return answer satisfies never;
  }
}

/** Null when it was known, or does not wait. */
export function noteReason(record: ExecutionRecord, reason: WaitReason): Transition | null {
  if (record.status !== 'pending' || record.assignedAt !== null || record.waitReason === reason) return null;
  return {
    patch: { waitReason: reason },
    events: [{ type: 'execution_waiting', data: { pool: record.pool, reason } }],
    commands: [],
  };
}

export interface Claim {
  lease: number;
  runner: { id: string; name: string };
}

export type ClaimDecision = { kind: 'gone' } | { kind: 'bound'; transition: Transition | null };

/**
 * A repeated claim of the lease that holds is answered as the first was. One that arrives after its
 * recall is refused: it would bind a lease that the pool has given up.
 */
export function decideClaim(record: ExecutionRecord, { lease, runner }: Claim, now: number): ClaimDecision {
  if (record.status !== 'pending' || record.pool === null) return { kind: 'gone' };
  if (record.lease === lease && record.assignedAt !== null) return { kind: 'bound', transition: null };
  if (record.lease !== null && record.lease >= lease) return { kind: 'gone' };
  return {
    kind: 'bound',
    transition: {
      patch: {
        lease,
        runnerId: runner.id,
        runnerName: runner.name,
        assignedAt: now,
        pendingUntil: now + record.policy.pendingTimeoutMs,
        waitUntil: null,
        waitReason: null,
        launchAt: null,
      },
      events: [{ type: 'execution_assigned', data: { runner: runner.id, name: runner.name } }],
      commands: [],
    },
  };
}

export interface RecallDecision {
  answer: RecallAnswer['kind'];
  transition: Transition | null;
}

/** `record`: null when there is no such execution any more. */
export function decideRecall(record: ExecutionRecord | null, { lease, cause }: RecallRequest, now: number): RecallDecision {
  if (record?.status === 'running') return { answer: 'active', transition: null };
  if (record?.status !== 'pending') return { answer: 'over', transition: null };
  if (cause.kind === 'check') return { answer: 'pending', transition: null };
  const known = record.lease ?? 0;
  // Another call has ended this lease.
  if (lease < known || (lease === known && record.assignedAt === null)) return { answer: 'waiting', transition: null };
  // Its claim did not arrive, and must not count any more if it still does.
  if (lease > known) {
    return { answer: 'waiting', transition: { patch: { ...waitsAgain(record, now), lease }, events: [], commands: [] } };
  }
  if (cause.kind === 'refused' && !cause.retry && !isNoFault(cause.code)) {
    return { answer: 'over', transition: settleFailed(record, cause.code, textOf(record, cause), now) };
  }
  const counts = cause.kind === 'refused' ? !isNoFault(cause.code) : cause.kind !== 'not_started';
  const failed = record.assignmentsFailed + (counts ? 1 : 0);
  if (failed >= ASSIGNMENTS_FAILED_MAX) {
    const error = `${failed} assignments came to nothing; the last: ${textOf(record, cause)}`;
    return { answer: 'over', transition: giveUp(record, cause, error, now) };
  }
  return {
    answer: 'waiting',
    transition: {
      patch: { ...waitsAgain(record, now), assignmentsFailed: failed },
      events: [
        {
          type: 'execution_recalled',
          data: {
            runner: record.runnerId,
            name: record.runnerName,
            cause: cause.kind === 'refused' ? cause.code : CAUSES[cause.kind],
            message: textOf(record, cause),
          },
        },
      ],
      commands: [],
    },
  };
}

const waitsAgain = ({ pendingAt, waitMs }: ExecutionRecord, now: number): ExecutionPatch => ({
  runnerId: null,
  runnerName: null,
  assignedAt: null,
  pendingUntil: null,
  waitUntil: (pendingAt ?? now) + (waitMs ?? WAIT_MS_DEFAULT),
  launchAt: now + OFFER_AGAIN_MS,
});

function giveUp(record: ExecutionRecord, cause: RecallCause, error: string, now: number): Transition {
  switch (cause.kind) {
    case 'refused':
      // The runner's code: one of REFUSAL_CODES, or of a later version.
      return settleFailed(record, cause.code, error, now);
    case 'ended':
      return settleFailed(record, 'wrapper_never_connected', error, now);
    default:
      return settleFailed(record, 'runners_lost', error, now);
  }
}

/** The runner could not take it now. That says nothing about the execution. */
const isNoFault = (code: string): boolean => code === 'full' || code === 'draining';

const CAUSES = { lost: 'runner_lost', not_started: 'not_started', ended: 'ended_before_it_connected' } as const;

function textOf({ runnerName, runnerId }: ExecutionRecord, cause: Exclude<RecallRequest['cause'], { kind: 'check' }>): string {
  const runner = `runner ${runnerName ?? runnerId}`;
  switch (cause.kind) {
    case 'lost':
      return `${runner} was lost before the wrapper connected`;
    case 'not_started':
      return `${runner} did not get it`;
    case 'ended':
      return `the wrapper on ${runner} ended before it connected`;
    case 'refused':
      return `${runner} refused it: ${(cause.message || cause.code).replace(/\.$/, '')}`;
    default:
      return cause satisfies never;
  }
}
