/**
 * What happens to a run whose wrapper is gone. Pure.
 *
 *     exited, state removed       finished: the coordinator has everything
 *     exited, state still there   abandoned: the coordinator did not accept the rest
 *     exited, the job is held     like killed: it did not mean to
 *     killed                      restarted while restarts and a credential are left,
 *                                 else abandoned
 *     not finished, and the       left to the next runner on this folder, which restarts it
 *     runner stops all runs       with its credential, or else abandoned
 *
 * The exit code and signal are unknown when the wrapper is not this runner's child. Then its state
 * decides: it exists as long as something is left to report.
 */

import { type BackoffOptions, backoffDelayMs, type IngestAccess } from '../protocol/index.ts';

/** The number of restarts of one wrapper without a welcome between them. */
export const RESTARTS_MAX = 3;
/**
 * The same while the job is held: a host that kills its wrappers for a while must not cost the job.
 * Eight hours at a cap of 10 s. The limit is for a wrapper that can never work again.
 */
export const RESTARTS_HELD_MAX = 3000;

export type RestartCurve = Required<Pick<BackoffOptions, 'baseMs' | 'capMs'>>;

export interface ExitFacts {
  /** Code and signal are both null when it was not our child. */
  code: number | null;
  signal: NodeJS.Signals | null;
  /** A wrapper removes its state when the coordinator has everything. */
  hasState: boolean;
  /** A holder has the job: it runs, or its end waits to be reported. */
  jobHeld: boolean;
  /** The boot that the coordinator welcomed last; null: none. */
  welcomedBoot: string | null;
  /**
   * That boot at the exit before. With each welcome the count of restarts begins again, once: a
   * wrapper that dies before it writes anything leaves the mark of an earlier boot.
   */
  countedBoot: string | null;
  /** The restarts so far. */
  restarts: number;
  /** The credential for the reports of a restart. Null: it is missing or cannot be read. */
  ingest: IngestAccess | null;
  /** The runner is stopping all its runs (`--stop-jobs`). */
  stopping: boolean;
}

export type ExitDecision =
  | { kind: 'end'; end: 'finished' | 'abandoned'; why: string | null }
  | { kind: 'leave'; why: string }
  | { kind: 'restart'; restarts: number; delayMs: number; ingest: IngestAccess; why: string };

/** Each restart is three steps on the backoff curve. `why` is for the log, after the run's name. */
export function decideAfterExit(facts: ExitFacts, curve: RestartCurve): ExitDecision {
  const { code, signal, hasState, jobHeld, welcomedBoot, countedBoot, ingest, stopping } = facts;
  const restarts = welcomedBoot !== null && welcomedBoot !== countedBoot ? 0 : facts.restarts;
  const killed = jobHeld || (code === null && (signal !== null || hasState));
  if (!killed && !hasState) return { kind: 'end', end: 'finished', why: null };
  if (stopping && ingest !== null) return { kind: 'leave', why: 'the rest of its report is delivered by the next runner' };
  if (!killed) return { kind: 'end', end: 'abandoned', why: null };
  const cause = signal ?? (code === null ? 'unknown cause' : `exit code ${code}`);
  const restartsMax = jobHeld ? RESTARTS_HELD_MAX : RESTARTS_MAX;
  if (restarts >= restartsMax) {
    return { kind: 'end', end: 'abandoned', why: `wrapper gone again (${cause}), given up after ${restartsMax} restarts` };
  }
  if (ingest === null) {
    return { kind: 'end', end: 'abandoned', why: `wrapper gone (${cause}) and its credential too; it cannot report` };
  }
  const delayMs = backoffDelayMs(3 * restarts, curve);
  return {
    kind: 'restart',
    restarts: restarts + 1,
    delayMs,
    ingest,
    why: `wrapper gone (${cause}) with its spool unfinished, restart in ${delayMs} ms`,
  };
}
