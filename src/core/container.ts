/**
 * The container of a session: what follows from what is known of it, as pure functions over its record. The shell (`container/keeper.ts`) starts, asks and tells.
 *
 *                launch                     the runner says that nothing runs          CONTAINER_IDLE_MS without a launch
 *   (nothing) ───────────▶ running, watched ─────────────────────────────────▶ idle ─────────────────────────────────────▶ (nothing)
 *                             │   ▲                    launch                   │
 *                             │   └─────────────────────────────────────────────┘
 *                             │ `running` is false: the container is gone, and its disk with it
 *                             ▼
 *                          lost: the session is told for each execution, until it has heard
 *
 *   CT1  A boot is one start of a container. Its id and its runner's token are random and are never those of another, so whoever answers to the token is that boot.
 *   CT2  What was launched is noted with its boot before the runner is asked, so that no execution runs in a container that nobody watches.
 *   CT3  An execution that is launched again, in whichever boot, or could not be launched, is not lost: it was pending, so its command has not begun (SPL13).
 *   CT4  Nothing crosses from a session that was deleted to one of the same name: no container, no files, no word of an execution.
 *   CT5  Every alarm has an end: something runs, at most until the session itself must have ended it (`until`); or it was lost, with the same bound; or it is idle.
 */

import { backoffDelayMs } from '../../protocol/index.ts';

/** The port of the runner in a container. Nobody but the container's own object, and what runs in it, can reach it. */
export const CONTAINER_PORT = 8788;

/**
 * How often a container in which something runs is looked at. The platform wakes nobody when a container stops. Half of the default grace: a container that is
 * gone is mostly found before the grace is over, so that the verdict names the cause. A look is one alarm and one row, about a dollar per million.
 */
export const WATCH_MS = 30_000;

/** From the look that finds a container gone to the verdict: what its wrappers sent last may still be on the way, and it may be an exit. */
export const GONE_SETTLE_MS = 5_000;

/** How long a container waits for the next execution of its session, which then begins in milliseconds and finds the files of the last. An instance is billed while it waits. */
export const CONTAINER_IDLE_MS = 10 * 60_000;

/**
 * What the platform is told to do by itself when it hears nothing from the object: only if alarms are lost. Longer than the idle time, an alarm's lateness (a
 * minute) and its repetitions together; the platform's maximum is six hours.
 */
export const INACTIVITY_TIMEOUT_MS = CONTAINER_IDLE_MS + 5 * 60_000;

/** Between two tries to tell the session. */
const TELL_RETRY_BASE_MS = 5_000;
const TELL_RETRY_CAP_MS = 5 * 60_000;

/** What an execution failed with when its container was gone. */
export const CONTAINER_STOPPED = 'container_stopped';

/** One start of a container (CT1). */
export interface Boot {
  id: string;
  /** What its runner expects as bearer token. */
  token: string;
  startedAt: number;
}

export interface Launched {
  execution: string;
  /** When it was noted. */
  at: number;
  /** When the session must have ended it, whatever became of it. */
  until: number;
}

export interface Lost extends Launched {
  boot: string;
  attempts: number;
  dueAt: number;
}

/** What is kept of a session's container. */
export interface ContainerRecord {
  /** When the session was made whose container it is; null before the first launch (CT4). */
  sessionSince: number | null;
  /** The newest start. Null: none, or its end was asked for. */
  boot: Boot | null;
  /** Launched in that boot, and not known to have ended. */
  launched: Launched[];
  /** Since when nothing runs in it. */
  idleSince: number | null;
  /** Launched in a boot that is gone; the session has yet to be told. */
  lost: Lost[];
}

export const NO_CONTAINER: Readonly<ContainerRecord> = { sessionSince: null, boot: null, launched: [], idleSince: null, lost: [] };

export type LaunchStep =
  | { kind: 'start'; record: ContainerRecord }
  | { kind: 'use'; record: ContainerRecord; boot: Boot }
  /** A container runs that is not this session's, or of which nothing is known, so that nobody can talk to it. */
  | { kind: 'stranger'; record: ContainerRecord };

export interface ContainerJob extends Pick<Launched, 'execution' | 'until'> {
  /** When its session was made. */
  sessionSince: number;
}

/** What a launch has to do. `fresh` is the boot that it would be; `running` what the platform says. */
export function beginLaunch(
  record: ContainerRecord,
  running: boolean,
  { execution, until, sessionSince }: ContainerJob,
  fresh: Boot,
  now: number,
): LaunchStep {
  const own = record.sessionSince === null || record.sessionSince === sessionSince ? record : NO_CONTAINER; // CT4
  if (running && !own.boot) return { kind: 'stranger', record: own };
  const before = running ? own : noteGone(own, now);
  const others = <T extends Launched>(all: readonly T[]): T[] => all.filter((each) => each.execution !== execution);
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

/** The boot is gone, and with it all that was launched in it. */
export function noteGone(record: ContainerRecord, now: number): ContainerRecord {
  const { boot, launched, lost } = record;
  if (!boot) return record;
  const gone = launched.map((each) => ({ ...each, boot: boot.id, attempts: 0, dueAt: now + GONE_SETTLE_MS }));
  return { ...record, boot: null, launched: [], idleSince: null, lost: [...lost, ...gone] };
}

/**
 * The launch was no success, and the session is told so by the answer: it launches again, which is noted then, or ends the execution itself. So this one is not waited for, and is
 * not lost when the container goes: else a session that is waiting for its next attempt would be told that there is none.
 */
export function noteNotLaunched(record: ContainerRecord, execution: string, now: number): ContainerRecord {
  const others = <T extends Launched>(all: readonly T[]): T[] => all.filter((each) => each.execution !== execution);
  const launched = others(record.launched);
  const lost = others(record.lost);
  if (launched.length === record.launched.length && lost.length === record.lost.length) return record;
  const idleSince = record.boot && launched.length === 0 ? (record.idleSince ?? now) : null;
  return { ...record, launched, lost, idleSince };
}

/**
 * The runner was asked at `askedAt`, and said how many wrappers it has. With none, all that was launched has ended; not what was noted so shortly before that its
 * request may have been under way.
 */
export function noteInFlight(
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

/** What can be said without asking anyone (CT5). */
export function look(record: ContainerRecord, running: boolean, now: number): ContainerRecord {
  const seen = running ? record : noteGone(record, now);
  const launched = seen.launched.filter(({ until }) => until > now);
  const lost = seen.lost.filter(({ until }) => until > now);
  if (launched.length === seen.launched.length && lost.length === seen.lost.length) return seen;
  return { ...seen, launched, lost, idleSince: seen.boot && launched.length === 0 ? (seen.idleSince ?? now) : null };
}

export const dueLost = (record: ContainerRecord, now: number): Lost[] => record.lost.filter(({ dueAt }) => dueAt <= now);

const same = (a: Lost, b: Lost): boolean => a.execution === b.execution && a.boot === b.boot;

/** The session has heard of it, or there is none to hear. */
export const noteTold = (record: ContainerRecord, told: Lost): ContainerRecord => ({
  ...record,
  lost: record.lost.filter((each) => !same(each, told)),
});

export function noteNotTold(record: ContainerRecord, lost: Lost, now: number): ContainerRecord {
  const dueAt = now + backoffDelayMs(lost.attempts, { baseMs: TELL_RETRY_BASE_MS, capMs: TELL_RETRY_CAP_MS });
  return {
    ...record,
    lost: record.lost.map((each) => (same(each, lost) ? { ...each, attempts: each.attempts + 1, dueAt } : each)),
  };
}

/** Nothing has run in it for long enough. */
export const isIdle = ({ idleSince, launched }: ContainerRecord, now: number): boolean =>
  launched.length === 0 && idleSince !== null && idleSince + CONTAINER_IDLE_MS <= now;

/** Nothing is left that anyone will ask for. */
export const isEmpty = ({ boot, launched, lost }: ContainerRecord): boolean =>
  boot === null && launched.length === 0 && lost.length === 0;

/** When to look again; null when there is nothing to look for. */
export function nextLook({ boot, launched, idleSince, lost }: ContainerRecord, now: number): number | null {
  const times = lost.map(({ dueAt }) => dueAt);
  if (boot) times.push(launched.length > 0 || idleSince === null ? now + WATCH_MS : idleSince + CONTAINER_IDLE_MS);
  return times.length > 0 ? Math.min(...times) : null;
}

/** What the platform says where it has no instance to give. Its errors have texts and no codes. */
const FULL = /no container instance|maximum number of running container instances/i;

export const saysFull = (message: string): boolean => FULL.test(message);
