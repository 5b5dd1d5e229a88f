/**
 * An execution in its pool, as one row, and what each event does to the row. Pure.
 *
 *            offer                 claim, launch            launched              wrapper seen
 *   (none) ─────────▶ waiting ─────────────────▶ leased ──────────────▶ launched ─────────────▶ running
 *                        ▲                          │ refused, lost,       │ lost                 │
 *                        │    session: still        │ not confirmed        │                      │ ended
 *                        └──────── pending ───── recalled ◀────────────────┘                      ▼
 *                                                   │ session: it runs ──▶ running             (none)
 *                                                   └ session: it is over ──▶ (none)
 *
 * The session owns the execution: the pool asks it before a launch (claim) and before it gives up a
 * lease (recall). The row reserves a slot of a runner and a place under a concurrency limit.
 *
 * E1  A lease number is never used twice. An event that names another lease than the row's changes
 *     nothing, so frames may come twice or late.
 * E2  A row has at most one lease, so an execution has at most one live lease.
 * E3  `over`: the session has ended the execution, but its runner still holds the slot.
 */

import type { PoolOffer, RecallCause } from './pool-messages.ts';
import { type ConcurrencyLimit, LEASE_CONFIRM_MS, type WaitReason } from './pool-terms.ts';

export type EntryState = 'waiting' | 'leased' | 'launched' | 'running' | 'recalled' | 'over';

export interface PoolEntry {
  session: string;
  execution: string;
  state: EntryState;
  /** Executions of one lane fit the same runners at the same time, and go in the order of `since`. */
  lane: string;
  /** Lowest first. */
  rank: number;
  priority: number;
  /** When the pool was first asked for it. */
  since: number;
  /** When the session gives up waiting. */
  waitUntil: number;
  /** The reason that the session was told last; null: none since it last began to wait. */
  told: WaitReason | null;
  lease: number | null;
  runnerId: string | null;
  bootId: string | null;
  assignedAt: number | null;
  /** When the state is looked at again. */
  dueAt: number | null;
}

// ── lanes ───────────────────────────────────────────────────────────────────────────────────────

/** What an execution needs of a runner, and who may not have it. */
export interface Lane {
  requires: Readonly<Record<string, string>>;
  /** Features of the wrapper (ING21). */
  needs: readonly string[];
  concurrency: ConcurrencyLimit | null;
  /** The runner that had it last and did not start it. */
  avoid: Avoidance | null;
  priority: number;
}

export interface Avoidance {
  runnerId: string;
  /** It may have it again from then on. */
  until: number;
  /** Also when no other runner fits: it said itself that it cannot start it. */
  evenAlone: boolean;
}

/** Sorted, so that two spellings are one lane. */
export const laneText = ({ requires, needs, concurrency, avoid, priority }: Lane): string =>
  JSON.stringify([
    Object.entries(requires).sort(([a], [b]) => (a < b ? -1 : 1)),
    [...needs].sort(),
    concurrency ? [concurrency.key, concurrency.limit] : null,
    avoid ? [avoid.runnerId, avoid.until, avoid.evenAlone] : null,
    priority,
  ]);

export function parseLane(text: string): Lane {
  const [requires, needs, concurrency, avoid, priority] = JSON.parse(text) as [
    [string, string][],
    string[],
    [string, number] | null,
    [string, number, boolean?] | null,
    number?,
  ];
  return {
    requires: Object.fromEntries(requires),
    needs,
    concurrency: concurrency && { key: concurrency[0], limit: concurrency[1] },
    avoid: avoid && { runnerId: avoid[0], until: avoid[1], evenAlone: avoid[2] ?? true },
    priority: priority ?? 0,
  };
}

/**
 * One level of priority is worth this much waiting. So priority decides among executions that came
 * within this time, and nothing starves: an execution of the lowest priority is overtaken only by
 * what comes within 20 levels of it, which is 100 minutes.
 */
export const PRIORITY_STEP_MS = 5 * 60_000;

/** The order is fixed when an execution comes, so it can be an index. */
export const rankOf = (priority: number, since: number): number => since - priority * PRIORITY_STEP_MS;

/**
 * After a runner had an execution and did not start it, another one that fits has this long to get a
 * free slot. Then the same may have it again, also while the others are busy.
 */
export const SAME_RUNNER_AFTER_MS = 30_000;

// ── events ──────────────────────────────────────────────────────────────────────────────────────

/** Of a row that waits: no runner has it. */
const UNASSIGNED = {
  state: 'waiting',
  told: null,
  lease: null,
  runnerId: null,
  bootId: null,
  assignedAt: null,
  dueAt: null,
} as const satisfies Partial<PoolEntry>;

/** It comes to the pool. `since`: no two executions of a pool have the same. */
export function enter(offer: PoolOffer, since: number): PoolEntry {
  const { session, execution, priority, waitUntil } = offer;
  const rank = rankOf(priority, since);
  return { ...UNASSIGNED, session, execution, lane: laneOf(offer), rank, priority, since, waitUntil };
}

const laneOf = ({ requires, needs, concurrency, priority }: PoolOffer): string =>
  laneText({ requires, needs, concurrency, avoid: null, priority });

/** Asks whether a wrapper has connected, unless the run has ended by then. */
export const CHECK_AFTER_MS = 15_000;

/** A recall that the session did not answer is asked again. */
export const RECALL_AGAIN_MS = 5_000;

/** A run whose runner is lost is looked at this often: it goes on without its runner. */
export const ORPHAN_CHECK_MS = 60_000;

/**
 * A waiting row that its session forgot to take back is dropped this long after it gave up, when the
 * pool is awake. Until then it delays nothing: the claim of it is refused.
 */
export const FORGOTTEN_AFTER_MS = 60_000;

/** The states in which a runner's slot is taken. */
export const holdsSlot = ({ state }: Pick<PoolEntry, 'state'>): boolean =>
  state === 'leased' || state === 'launched' || state === 'running' || state === 'over';

/** The states that count for a concurrency limit: it may be running. */
export const isActive = ({ state }: Pick<PoolEntry, 'state'>): boolean =>
  state === 'leased' || state === 'launched' || state === 'running' || state === 'recalled';

/** Its wrapper has not been seen, so the loss of its runner concerns it. */
export const isUnseen = ({ state }: Pick<PoolEntry, 'state'>): boolean => state === 'leased' || state === 'launched';

export const assign = (entry: PoolEntry, lease: number, runner: { id: string; bootId: string }, now: number): PoolEntry => ({
  ...entry,
  state: 'leased',
  lease,
  runnerId: runner.id,
  bootId: runner.bootId,
  assignedAt: now,
  dueAt: now + LEASE_CONFIRM_MS,
});

/** The wrapper was started. Null: the frame is late (E1). */
export const confirm = (entry: PoolEntry, now: number): PoolEntry | null =>
  entry.state === 'leased' ? { ...entry, state: 'launched', dueAt: now + CHECK_AFTER_MS } : null;

/**
 * The lease is given up when the session agrees. The slot is free from now on. A run that has ended
 * is nearly always over, and what waits does not need the answer: it is asked again with the alarm
 * that its lease has set, because an earlier one costs a row.
 */
export const recall = (entry: PoolEntry, now: number, hasEnded = false): PoolEntry => ({
  ...entry,
  state: 'recalled',
  dueAt: now + (hasEnded ? CHECK_AFTER_MS : RECALL_AGAIN_MS),
});

/** The wrapper was seen. Nothing is due while the runner is there: the runner says when it ended. */
export const markRunning = (entry: PoolEntry, orphaned: boolean, now: number): PoolEntry => ({
  ...entry,
  state: 'running',
  dueAt: orphaned ? now + ORPHAN_CHECK_MS : null,
});

/** The session takes it back: it waits again, in its old place, and not for the same runner. */
export function requeue(entry: PoolEntry, cause: RecallCause, sameRunner: boolean, now: number): PoolEntry {
  const { runnerId } = entry;
  const evenAlone = cause.kind === 'refused' || cause.kind === 'ended';
  const avoid = sameRunner || runnerId === null ? null : { runnerId, until: now + SAME_RUNNER_AFTER_MS, evenAlone };
  return { ...entry, ...UNASSIGNED, lane: laneText({ ...parseLane(entry.lane), avoid }) };
}

/**
 * Whether its session is asked when the runner has nothing of it any more: a wrapper that never
 * connected is started again, and a run whose wrapper is only away counts for its limit.
 */
export const needsAnswer = (entry: PoolEntry): boolean =>
  isUnseen(entry) || (entry.state === 'running' && parseLane(entry.lane).concurrency !== null);

/**
 * The session has ended the execution. Null: the row can go. A runner that is there says when the
 * slot is free; one that never confirmed has until its deadline.
 */
export function markOver(entry: PoolEntry, runnerConnected: boolean): PoolEntry | null {
  if (!runnerConnected || entry.state === 'waiting' || entry.state === 'recalled') return null;
  // Nothing depends on it, and the runner's word is on its way.
  if (entry.state === 'running' && parseLane(entry.lane).concurrency === null) return entry;
  return { ...entry, state: 'over', dueAt: entry.state === 'leased' ? entry.dueAt : null };
}

/** Whether a row that waits is for this offer: a session may be deleted, and made again. */
export function isOfferOf({ lane, waitUntil }: PoolEntry, offer: PoolOffer): boolean {
  return laneText({ ...parseLane(lane), avoid: null }) === laneOf(offer) && waitUntil === offer.waitUntil;
}

/**
 * Whether a runner has what was recalled from it and has a wrapper all the same. One that is
 * connected does not have it: it said so, or it never got it. If it was away, it named it in its
 * hello since. A wrapper of an earlier lease may run on another runner.
 */
export function hasRun(runner: { open: boolean; extraRuns: readonly string[] } | null, run: string, cause: RecallCause): boolean {
  if (cause.kind === 'ended') return false;
  return !runner?.open || runner.extraRuns.includes(run);
}

/** Why an entry is recalled that the runner's hello does not have. */
export const causeOfAbsence = (entry: PoolEntry, rebooted: boolean): RecallCause => {
  if (!isUnseen(entry)) return { kind: 'ended' };
  return { kind: rebooted ? 'lost' : 'not_started' };
};

/**
 * A runner said hello and listed its runs; it has this one, or not. `same`: it is still the same
 * process. Null: the row can go.
 */
export function afterHello(
  entry: PoolEntry,
  { has, bootId, now }: { has: boolean; bootId: string; now: number },
): PoolEntry | null {
  if (!has) return needsAnswer(entry) ? recall(entry, now) : null;
  if (entry.state === 'leased') return { ...entry, bootId, state: 'launched', dueAt: now + CHECK_AFTER_MS };
  if (entry.state === 'running') return entry.bootId === bootId && entry.dueAt === null ? entry : { ...entry, bootId, dueAt: null };
  return { ...entry, bootId };
}
