/**
 * The container of a session, as pure functions over its record. The shell
 * (`container/keeper.ts`) starts the container, queries its runner and notifies the session.
 *
 *              launch              0 wrappers in flight           CONTAINER_IDLE_MS
 *   (empty) ───────────▶ watched ───────────────────────▶ idle ─────────────────────▶ (empty)
 *                          │  ▲           launch           │
 *                          │  └────────────────────────────┘
 *                          │ `running` is false: the container and its disk are gone
 *                          ▼
 *                        lost: the session is notified of each execution until it confirms
 *
 *   CT1  A boot is one start of a container. Its id and its runner's token are random and unique,
 *        so a runner that accepts the token belongs to that boot.
 *   CT2  A launch is recorded with its boot before the runner is asked, so every execution in a
 *        container is watched.
 *   CT3  An execution is not lost if it is launched again, in any boot, or if its launch failed: it
 *        was pending, so its command has not begun (SPL13).
 *   CT4  Nothing passes from a deleted session to a new one of the same name: no container, no
 *        files, no loss notification.
 *   CT5  Every alarm is bounded. Watched and lost executions are dropped at `until`, when the
 *        session must have ended them itself; an idle container ends after CONTAINER_IDLE_MS.
 */

import { backoffDelayMs } from '../../protocol/index.ts';

/** Port of the runner. Only the container's own object and processes inside it can connect. */
export const CONTAINER_PORT = 8788;

/**
 * How often a container with running executions is checked; the platform sends no event when one
 * stops. Half of the default grace: a stopped container is mostly found before the grace is over,
 * so the verdict names the cause. A check costs one alarm and one row, about a dollar per million.
 */
export const WATCH_MS = 30_000;

/**
 * Delay from finding a container gone to the verdict. The last frames of its wrappers may still be
 * in flight, and may hold an exit.
 */
export const LOSS_SETTLE_MS = 5_000;

/**
 * How long a container is kept for the next execution of its session, which then starts in
 * milliseconds and finds the files of the last one. The instance is billed meanwhile.
 */
export const CONTAINER_IDLE_MS = 10 * 60_000;

/**
 * The platform's own inactivity timeout. It matters only if alarms are lost. It is longer than the
 * idle time, the lateness of an alarm (a minute) and its retries together. The platform's maximum
 * is six hours.
 */
export const INACTIVITY_TIMEOUT_MS = CONTAINER_IDLE_MS + 5 * 60_000;

/** Backoff between attempts to notify the session. */
const REPORT_RETRY_BASE_MS = 5_000;
const REPORT_RETRY_CAP_MS = 5 * 60_000;

/** Failure code of an execution whose container stopped. */
export const CONTAINER_STOPPED = 'container_stopped';

/** One start of a container (CT1). */
export interface Boot {
  id: string;
  /** Bearer token that the runner of this boot expects. */
  token: string;
  startedAt: number;
}

export interface LaunchedExecution {
  execution: string;
  /** When the launch was recorded. */
  at: number;
  /** When the session must have ended the execution, whatever its outcome. */
  until: number;
}

export interface LostContainer extends LaunchedExecution {
  boot: string;
  attempts: number;
  dueAt: number;
}

/** The stored state of a session's container. */
export interface ContainerRecord {
  /** Creation time of the session that owns the container; null before the first launch (CT4). */
  sessionSince: number | null;
  /** The newest boot. Null if the container was never started, or if its end was requested. */
  boot: Boot | null;
  /** Launched in that boot, and not known to have ended. */
  launched: LaunchedExecution[];
  /** Since when nothing has run in it; null while something runs. */
  idleSince: number | null;
  /** Launched in a boot that is gone. The session has not been notified yet. */
  lost: LostContainer[];
}

export const NO_CONTAINER: Readonly<ContainerRecord> = { sessionSince: null, boot: null, launched: [], idleSince: null, lost: [] };

export type LaunchStep =
  | { kind: 'start'; record: ContainerRecord }
  | { kind: 'use'; record: ContainerRecord; boot: Boot }
  /** A container runs that is not this session's, or whose token is not known. It is unusable. */
  | { kind: 'unknown_container'; record: ContainerRecord };

export interface ContainerJob extends Pick<LaunchedExecution, 'execution' | 'until'> {
  /** Creation time of its session. */
  sessionSince: number;
}

/** Decides what a launch has to do. `fresh` is the boot to use if a container must be started. */
export function beginLaunch(
  record: ContainerRecord,
  running: boolean,
  { execution, until, sessionSince }: ContainerJob,
  fresh: Boot,
  now: number,
): LaunchStep {
  const own = record.sessionSince === null || record.sessionSince === sessionSince ? record : NO_CONTAINER; // CT4
  if (running && !own.boot) return { kind: 'unknown_container', record: own };
  const before = running ? own : recordLoss(own, now);
  const others = <T extends LaunchedExecution>(all: readonly T[]): T[] => all.filter((each) => each.execution !== execution);
  const boot = running && own.boot ? own.boot : fresh;
  // CT2, CT3
  const next = {
    sessionSince,
    boot,
    launched: [...others(before.launched), { execution, at: now, until }],
    lost: others(before.lost),
    idleSince: null,
  };
  return running ? { kind: 'use', record: next, boot } : { kind: 'start', record: next };
}

/** The boot is gone, and with it every execution launched in it. */
export function recordLoss(record: ContainerRecord, now: number): ContainerRecord {
  const { boot, launched, lost } = record;
  if (!boot) return record;
  const gone = launched.map((each) => ({ ...each, boot: boot.id, attempts: 0, dueAt: now + LOSS_SETTLE_MS }));
  return { ...record, boot: null, launched: [], idleSince: null, lost: [...lost, ...gone] };
}

/**
 * The launch failed. The session learns that from the answer, and launches again or ends the
 * execution itself. So this execution is no longer watched, and it is not lost when the container
 * stops: a loss notification would fail an execution that waits for its next attempt.
 */
export function recordFailedLaunch(record: ContainerRecord, execution: string, now: number): ContainerRecord {
  const others = <T extends LaunchedExecution>(all: readonly T[]): T[] => all.filter((each) => each.execution !== execution);
  const launched = others(record.launched);
  const lost = others(record.lost);
  if (launched.length === record.launched.length && lost.length === record.lost.length) return record;
  const idleSince = record.boot && launched.length === 0 ? (record.idleSince ?? now) : null;
  return { ...record, launched, lost, idleSince };
}

/**
 * The runner was queried at `askedAt` and reported its number of wrappers. If it is 0, every
 * launched execution has ended, except those recorded so shortly before the query that their
 * requests may still have been in flight.
 */
export function applyInFlightCount(
  record: ContainerRecord,
  inFlight: number,
  askedAt: number,
  launchTimeoutMs: number,
  now: number,
): ContainerRecord {
  if (inFlight > 0) return record;
  const launched = record.launched.filter(({ at }) => at > askedAt - launchTimeoutMs);
  if (launched.length === record.launched.length) return record;
  return { ...record, launched, idleSince: launched.length === 0 ? now : null };
}

/** Applies what is known without querying the runner (CT5). */
export function applyRunningState(record: ContainerRecord, running: boolean, now: number): ContainerRecord {
  const seen = running ? record : recordLoss(record, now);
  const launched = seen.launched.filter(({ until }) => until > now);
  const lost = seen.lost.filter(({ until }) => until > now);
  if (launched.length === seen.launched.length && lost.length === seen.lost.length) return seen;
  return { ...seen, launched, lost, idleSince: seen.boot && launched.length === 0 ? (seen.idleSince ?? now) : null };
}

export const dueReports = (record: ContainerRecord, now: number): LostContainer[] =>
  record.lost.filter(({ dueAt }) => dueAt <= now);

const isSameLoss = (a: LostContainer, b: LostContainer): boolean => a.execution === b.execution && a.boot === b.boot;

/** The session was notified, or it no longer needs the notification. */
export const markReported = (record: ContainerRecord, reported: LostContainer): ContainerRecord => ({
  ...record,
  lost: record.lost.filter((each) => !isSameLoss(each, reported)),
});

export function scheduleReportRetry(record: ContainerRecord, lost: LostContainer, now: number): ContainerRecord {
  const dueAt = now + backoffDelayMs(lost.attempts, { baseMs: REPORT_RETRY_BASE_MS, capMs: REPORT_RETRY_CAP_MS });
  return {
    ...record,
    lost: record.lost.map((each) => (isSameLoss(each, lost) ? { ...each, attempts: each.attempts + 1, dueAt } : each)),
  };
}

/** Nothing has run in the container for CONTAINER_IDLE_MS. */
export const isIdle = ({ idleSince, launched }: ContainerRecord, now: number): boolean =>
  launched.length === 0 && idleSince !== null && idleSince + CONTAINER_IDLE_MS <= now;

/** The record holds nothing that is still needed. */
export const isEmpty = ({ boot, launched, lost }: ContainerRecord): boolean =>
  boot === null && launched.length === 0 && lost.length === 0;

/** When the next check is due; null when nothing is left to check. */
export function nextCheckAt({ boot, launched, idleSince, lost }: ContainerRecord, now: number): number | null {
  const times = lost.map(({ dueAt }) => dueAt);
  if (boot) times.push(launched.length > 0 || idleSince === null ? now + WATCH_MS : idleSince + CONTAINER_IDLE_MS);
  return times.length > 0 ? Math.min(...times) : null;
}

/** The platform's errors for "no free instance". They have messages and no codes. */
const FULL = /no container instance|maximum number of running container instances/i;

export const isCapacityError = (message: string): boolean => FULL.test(message);
