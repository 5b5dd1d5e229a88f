/**
 * A runner of a pool as it is stored, and the decisions about one runner. Pure.
 *
 * R1  The state of a boot only moves forward: a boot that was replaced never comes back, and one
 *     that drains takes nothing any more.
 * R2  `hello.runs` is the truth of what a runner holds.
 */

import { backoffDelayMs } from '../../protocol/index.ts';
import { RUNNER_CLONE_MS, RUNNER_SILENCE_MS, RUNNER_VERSION_MIN, type RunnerHello } from '../../protocol/pool.ts';
import type { Lane } from './pool-entry.ts';

export interface RunnerRecord {
  id: string;
  bootId: string;
  /** Boots that were replaced, newest first. */
  pastBoots: string[];
  keyId: string;
  name: string;
  labels: Record<string, string>;
  slots: number;
  version: string;
  /** By its hello. */
  tooOld: boolean;
  features: string[];
  draining: boolean;
  helloAt: number;
  /** When its connection was found to be gone; null while it has one. */
  goneAt: number | null;
  /** What was not confirmed was taken back after its silence. */
  lost: boolean;
  /** Runs that it holds and the pool does not know, such as those of an earlier life of the pool. */
  extraRuns: string[];
  /** Launches in a row that came to nothing, and the last reason. */
  failures: number;
  failure: string | null;
  /** It gets nothing before this time. */
  restUntil: number;
  /** Answers `full` since it last took a launch. Absent in older rows. */
  fulls?: number;
}

/** What only the platform knows, and what the rows say it holds. */
export interface RunnerStatus {
  readonly record: RunnerRecord;
  /** It has a connection. */
  readonly open: boolean;
  /** It has a connection, and is not silent. */
  readonly connected: boolean;
  readonly held: number;
}

/** Boots that are remembered, so that a late connection of one of them is refused. */
const PAST_BOOTS_MAX = 8;

/** A runner that is not heard of for this long is no longer listed. */
export const RUNNER_FORGOTTEN_MS = 24 * 60 * 60 * 1000;

/** Runners of one pool, connected or listed; the longest gone makes room for a new one. The platform allows 32,768 sockets to an object. */
export const RUNNERS_MAX = 10_000;

// ── hello ───────────────────────────────────────────────────────────────────────────────────────

export type HelloDecision =
  /** `closes`: what becomes of the older connection of this id, if there is one. */
  | { kind: 'accept'; record: RunnerRecord; rebooted: boolean; closes: 'superseded' | 'cloned' }
  | { kind: 'refuse_clone' }
  | { kind: 'refuse_full' };

/**
 * The newest hello of a runner id wins. `heardAt`: when the connection that there is was last
 * heard; null without one.
 */
export function decideHello(
  before: RunnerRecord | null,
  hello: RunnerHello,
  { keyId, heardAt, runners, now }: { keyId: string; heardAt: number | null; runners: number; now: number },
): HelloDecision {
  if (!before && runners >= RUNNERS_MAX) return { kind: 'refuse_full' };
  // R1
  if (before?.pastBoots.includes(hello.bootId)) return { kind: 'refuse_clone' };
  const rebooted = before !== null && before.bootId !== hello.bootId;
  const record: RunnerRecord = {
    id: hello.runnerId,
    bootId: hello.bootId,
    pastBoots: rebooted ? [before.bootId, ...before.pastBoots].slice(0, PAST_BOOTS_MAX) : (before?.pastBoots ?? []),
    keyId,
    name: hello.name,
    labels: hello.labels,
    slots: hello.slots,
    version: hello.version,
    tooOld: isTooOld(hello.version),
    features: hello.features,
    draining: hello.draining || (before !== null && !rebooted && before.draining),
    helloAt: now,
    goneAt: null,
    lost: false,
    extraRuns: [],
    failures: rebooted ? 0 : (before?.failures ?? 0),
    failure: rebooted ? null : (before?.failure ?? null),
    restUntil: rebooted ? 0 : (before?.restUntil ?? 0),
    fulls: rebooted ? 0 : (before?.fulls ?? 0),
  };
  const alive = heardAt !== null && now - heardAt < RUNNER_CLONE_MS;
  return { kind: 'accept', record, rebooted, closes: rebooted && alive ? 'cloned' : 'superseded' };
}

/** Dotted numbers; a version that is something else is not older. */
export function isTooOld(version: string): boolean {
  const numbers = (text: string) => /^(\d+)\.(\d+)\.(\d+)/.exec(text)?.slice(1).map(Number);
  const have = numbers(version);
  const least = numbers(RUNNER_VERSION_MIN);
  if (!have || !least) return false;
  for (const [index, wanted] of least.entries()) {
    const part = have[index] ?? 0;
    if (part !== wanted) return part < wanted;
  }
  return false;
}

export const tooOldNotice = (version: string) => ({
  code: 'too_old',
  message: `This runner has version ${version}, and the coordinator needs ${RUNNER_VERSION_MIN} or later, so it gets nothing. Upgrade the runner.`,
});

// ── what it may get ─────────────────────────────────────────────────────────────────────────────

/** It has what the lane asks for. */
export const fits = ({ requires, needs }: Lane, { labels, features }: RunnerRecord): boolean =>
  Object.entries(requires).every(([name, value]) => labels[name] === value) && needs.every((need) => features.includes(need));

const takesNew = ({ draining, tooOld }: RunnerRecord): boolean => !draining && !tooOld;

/** It takes new runs when a slot is free. */
export const isServing = (runner: RunnerStatus): boolean => takesNew(runner.record) && runner.connected;

/** It takes new runs, or may in a moment: a silence is believed at the second look. */
export const mayServe = (runner: RunnerStatus): boolean => takesNew(runner.record) && runner.open;

/** It can be sent something now. */
export const canTake = (runner: RunnerStatus, now: number): boolean =>
  runner.held < runner.record.slots && runner.record.restUntil <= now && isServing(runner);

export const isSilent = (heardAt: number, now: number): boolean => now - heardAt >= RUNNER_SILENCE_MS;

export type RunnerState = 'connected' | 'draining' | 'too_old' | 'lost' | 'ended';

export function stateOf({ record, connected, held }: RunnerStatus): RunnerState {
  // A runner that drained and has no runs leaves, as it was asked to. Nothing was lost with it.
  if (!connected) return record.draining && held === 0 ? 'ended' : 'lost';
  if (record.tooOld) return 'too_old';
  return record.draining ? 'draining' : 'connected';
}

// ── rest ────────────────────────────────────────────────────────────────────────────────────────

/** After the first `full`, unless it says before that a run has ended. */
const FULL_REST_MS = 5_000;

const REST_BASE_MS = 5_000;
const REST_CAP_MS = 5 * 60_000;

/**
 * A runner whose launches come to nothing gets fewer of them, so that one bad host does not fail
 * what others would run. What runs there goes on.
 */
export function noteFailure(record: RunnerRecord, failure: string, now: number): RunnerRecord {
  const failures = record.failures + 1;
  const restMs = backoffDelayMs(failures - 1, { baseMs: REST_BASE_MS, capMs: REST_CAP_MS });
  return { ...record, failures, failure, restUntil: now + restMs };
}

/** A runner that always answers `full` counts its slots in another way than the pool does. */
export function noteFull(record: RunnerRecord, now: number): RunnerRecord {
  const fulls = (record.fulls ?? 0) + 1;
  const restMs = backoffDelayMs(fulls - 1, { baseMs: FULL_REST_MS, capMs: REST_CAP_MS });
  return { ...record, fulls, restUntil: Math.max(record.restUntil, now + restMs) };
}

/** Null when there is nothing to change. */
export const noteSuccess = (record: RunnerRecord): RunnerRecord | null =>
  record.failures === 0 && record.restUntil === 0 ? null : { ...record, failures: 0, failure: null, restUntil: 0 };
