/**
 * Whether a pool kept its rules while it was under faults, from what was seen of it. Pure.
 *
 * A snapshot is the pool's own view, with the times before and after the request, and the pool notes
 * when it decided an assignment. So what waited before and after a decision waited at the decision,
 * however late an answer was. Where the snapshots leave a doubt nothing is claimed; `Seen` says how
 * much was compared.
 */

import type { LoggedEvent, PoolView } from '../../protocol/index.ts';

export interface Snapshot {
  sentAt: number;
  receivedAt: number;
  view: PoolView;
}

/** An execution, how it was started, and what is known of it at the end. */
export interface PoolRun {
  session: string;
  requires: Readonly<Record<string, string>>;
  priority: number;
  concurrency: { key: string; limit: number } | null;
  events: readonly Pick<LoggedEvent, 'type' | 'at' | 'data'>[];
  /** When its command began and ended, by its own notes. */
  ran: readonly { from: number; to: number }[];
}

export interface Seen {
  /** Pairs of an execution that was assigned and one that waited meanwhile and fits the same runner. */
  compared: number;
  /** Snapshots after the faults in which something waits. */
  waitingAfterFaults: number;
  /** The most commands of one key at the same time. */
  peaks: Record<string, number>;
}

/** POOL4, written anew: a check must not share the error that it looks for. */
const PRIORITY_STEP_MS = 5 * 60_000;
const rankOf = (priority: number, since: number): number => since - priority * PRIORITY_STEP_MS;

/** POOL11: it avoids the runner for 30 s. They begin when the pool has the session's answer. */
const AVOIDS_MAX_MS = 60_000;

/** A free runner gets what fits it at once; this is for the looks themselves. */
export const IDLE_MAX_MS = 1_000;
/** So many looks in a row have to agree that it is free: a machine may stand still between two. */
const LOOKS = 3;

type RunnerView = PoolView['runners'][number];

export function checkPool(
  runs: readonly PoolRun[],
  snapshots: readonly Snapshot[],
  faultsEndedAt: number,
): { problems: string[]; seen: Seen } {
  const bySession = new Map(runs.map((run) => [run.session, run]));
  const [limits, order, idle] = [
    checkLimits(runs),
    checkOrder(bySession, snapshots),
    checkIdle(bySession, snapshots, faultsEndedAt),
  ];
  return {
    problems: [...limits.problems, ...order.problems, ...idle.problems],
    seen: { compared: order.compared, waitingAfterFaults: idle.waiting, peaks: limits.peaks },
  };
}

/** POOL7, by what really ran. */
function checkLimits(runs: readonly PoolRun[]): { problems: string[]; peaks: Record<string, number> } {
  const problems: string[] = [];
  const peaks: Record<string, number> = {};
  for (const { concurrency, ran, session } of runs) {
    if (!concurrency) continue;
    const { key, limit } = concurrency;
    for (const { from } of ran) {
      const others = runs.filter((run) => run.concurrency?.key === key && run.ran.some((one) => one.from <= from && from < one.to));
      peaks[key] = Math.max(peaks[key] ?? 0, others.length);
      if (others.length > limit)
        problems.push(`${others.length} commands with ${key} run when ${session} begins, and ${limit} may`);
    }
  }
  return { problems, peaks };
}

/** POOL4 */
function checkOrder(
  bySession: ReadonlyMap<string, PoolRun>,
  snapshots: readonly Snapshot[],
): { problems: string[]; compared: number } {
  const problems: string[] = [];
  let compared = 0;
  for (const { session, runner, at } of assignmentsIn(snapshots)) {
    const run = bySession.get(session);
    const before = snapshots.findLast(({ receivedAt }) => receivedAt < at);
    const after = snapshots.find(({ sentAt }) => sentAt > at);
    // A runner that was cut off gets back what it runs, in no order.
    if (!run || !before || !after || wasAssignedBefore(run, runner.id, at)) continue;
    const rank = rankOf(run.priority, queuedSince(run, snapshots));
    for (const entry of before.view.queue) {
      const other = bySession.get(entry.session);
      if (!other || other === run || other.concurrency || !mayHave(other, runner, at)) continue;
      if (!waitsThrough(entry.session, other, before, after)) continue;
      compared += 1;
      if (rankOf(entry.priority, entry.since) < rank)
        problems.push(
          `${session} (priority ${run.priority}) overtakes ${entry.session} (priority ${entry.priority}) on ${runner.name}`,
        );
    }
  }
  return { problems, compared };
}

/** POOL6 */
function checkIdle(
  bySession: ReadonlyMap<string, PoolRun>,
  snapshots: readonly Snapshot[],
  faultsEndedAt: number,
): { problems: string[]; waiting: number } {
  const problems: string[] = [];
  const reported = new Set<string>();
  let waiting = 0;
  let before: Snapshot | null = null;
  /** By execution and runner: the looks in a row at which the one waited and the other was free. */
  let streaks = new Map<string, { from: number; looks: number }>();
  for (const snapshot of snapshots) {
    if (snapshot.sentAt <= faultsEndedAt) continue;
    const { view, sentAt, receivedAt } = snapshot;
    if (view.queue.length > 0) waiting += 1;
    const next: typeof streaks = new Map();
    for (const entry of view.queue) {
      const run = bySession.get(entry.session);
      if (!run || run.concurrency) continue;
      for (const runner of view.runners) {
        if (!isFree(runner, bySession, sentAt) || !mayHave(run, runner, sentAt)) continue;
        const name = `${entry.session} on ${runner.name}`;
        const goesOn =
          before && waitsThrough(entry.session, run, before, snapshot) && gotNothing(runner, bySession, before, snapshot);
        const streak = (goesOn ? streaks.get(name) : undefined) ?? { from: receivedAt, looks: 0 };
        streak.looks += 1;
        next.set(name, streak);
        if (streak.looks < LOOKS || sentAt - streak.from <= IDLE_MAX_MS || reported.has(name)) continue;
        reported.add(name);
        problems.push(`${entry.session} waits for ${sentAt - streak.from} ms while ${runner.name} is free and fits`);
      }
    }
    streaks = next;
    before = snapshot;
  }
  return { problems, waiting };
}

interface Assignment {
  session: string;
  runner: RunnerView;
  at: number;
}

/** Each once, by the pool's own time. */
function assignmentsIn(snapshots: readonly Snapshot[]): Assignment[] {
  const found = new Map<string, Assignment>();
  for (const { view } of snapshots) {
    for (const runner of view.runners) {
      for (const { session, since } of runner.runs) {
        if (since !== undefined) found.set(`${session} ${since}`, { session, runner, at: since });
      }
    }
  }
  return [...found.values()];
}

/** The pool's time, or an earlier one, with which it would rather be overtaken than overtake. */
function queuedSince({ session, events }: PoolRun, snapshots: readonly Snapshot[]): number {
  for (const { view } of snapshots) {
    const entry = view.queue.find((one) => one.session === session);
    if (entry) return entry.since;
  }
  return events[0]?.at ?? 0;
}

const between = ({ events }: PoolRun, type: string, from: number, to: number): boolean =>
  events.some((event) => event.type === type && event.at >= from && event.at <= to);

/** It waits in both, and was not assigned and recalled in between. */
function waitsThrough(session: string, run: PoolRun, before: Snapshot, after: Snapshot): boolean {
  const waits = ({ view }: Snapshot): boolean => view.queue.some((entry) => entry.session === session);
  if (!waits(before) || !waits(after)) return false;
  return !['execution_assigned', 'execution_recalled'].some((type) => between(run, type, before.sentAt, after.receivedAt));
}

function wasAssignedBefore({ events }: PoolRun, runnerId: string, at: number): boolean {
  return events.some((event) => event.type === 'execution_recalled' && event.data.runner === runnerId && event.at <= at);
}

/** It has the labels, and is not the one that had it last and did not start it (POOL11). */
function mayHave(run: PoolRun, { id, labels }: RunnerView, at: number): boolean {
  if (!Object.entries(run.requires).every(([name, value]) => labels[name] === value)) return false;
  return !run.events.some(({ data, at: seenAt }) => data.runner === id && seenAt <= at && seenAt >= at - AVOIDS_MAX_MS);
}

/** It rests after a launch that came to nothing, which the view says, or after an answer `full`, which it does not. */
function isFree({ id, state, busy, slots, failing }: RunnerView, bySession: ReadonlyMap<string, PoolRun>, at: number): boolean {
  if (state !== 'connected' || busy >= slots || (failing && failing.restUntil > at)) return false;
  return ![...bySession.values()].some(({ events }) =>
    events.some(({ type, data }) => type === 'execution_recalled' && data.runner === id && data.cause === 'full'),
  );
}

function gotNothing({ id }: RunnerView, bySession: ReadonlyMap<string, PoolRun>, before: Snapshot, after: Snapshot): boolean {
  const runsOf = ({ view }: Snapshot): string =>
    (view.runners.find((runner) => runner.id === id)?.runs ?? []).map(({ session, since }) => `${session} ${since}`).join();
  if (runsOf(before) !== runsOf(after)) return false;
  return ![...bySession.values()].some(({ events }) =>
    events.some(
      ({ type, at, data }) => type === 'execution_assigned' && data.runner === id && at >= before.sentAt && at <= after.receivedAt,
    ),
  );
}
