/**
 * What becomes of a run whose wrapper is gone. Pure.
 *
 *     it left by itself, and its state with it        finished: the coordinator has all of it
 *     it left by itself, its state is still there     abandoned: what is left is what the coordinator would not take
 *     it was killed                                   restarted, while restarts and a credential to report with are left; else abandoned
 *
 * Of a wrapper that is not this runner's child neither code nor signal is known. Then its state tells: it is there for as long as something is to be reported.
 */

import { type BackoffOptions, backoffDelayMs, type IngestAccess } from '../protocol/index.ts';

/** How often a wrapper is started again. */
export const RESTARTS_MAX = 3;

export type RestartCurve = Required<Pick<BackoffOptions, 'baseMs' | 'capMs'>>;

export interface GoneFacts {
  /** Both null when it was not our child. */
  code: number | null;
  signal: NodeJS.Signals | null;
  /** A wrapper removes its state when the coordinator has all of it. */
  hasState: boolean;
  /** So far. */
  restarts: number;
  /** What a restart would report with. Null: it is not there, or can not be read. */
  ingest: IngestAccess | null;
}

export type AfterGone =
  | { kind: 'end'; end: 'finished' | 'abandoned'; why: string | null }
  | { kind: 'restart'; delayMs: number; ingest: IngestAccess; why: string };

/** Each restart is three steps on the curve. `why` is for the log, after the run's name. */
export function decideAfterGone({ code, signal, hasState, restarts, ingest }: GoneFacts, curve: RestartCurve): AfterGone {
  if (code !== null || (signal === null && !hasState)) {
    return { kind: 'end', end: hasState ? 'abandoned' : 'finished', why: null };
  }
  const cause = signal ?? 'unknown cause';
  if (restarts >= RESTARTS_MAX) {
    return { kind: 'end', end: 'abandoned', why: `wrapper gone again (${cause}), given up after ${RESTARTS_MAX} restarts` };
  }
  if (ingest === null) {
    return { kind: 'end', end: 'abandoned', why: `wrapper gone (${cause}) and its credential too; it can not report` };
  }
  const delayMs = backoffDelayMs(3 * restarts, curve);
  return { kind: 'restart', delayMs, ingest, why: `wrapper gone (${cause}) with its spool unfinished, restart in ${delayMs} ms` };
}
