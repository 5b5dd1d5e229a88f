/**
 * How much a log may hold, of one execution and of a session (LIF34, LIF35). Pure.
 *
 * A wrapper keeps to `maxLogBytes` by itself: it drops output behind a `gap`, and its end always fits. One that does not know the limit, or goes past it, is ended
 * at 10 % more, so that what is stored is bounded whoever sends it.
 */

import { POLICY_DEFAULTS, type Policy, SESSION_BYTES_MAX } from '../../protocol/index.ts';

const OVERRUN_PERCENT = 10;

type Limited = Pick<Policy, 'maxLogBytes'>;

/** Whether so many bytes are more than an execution may store at all. One from before there was a limit has none. */
export const isOverrun = ({ maxLogBytes }: Limited, bytes: number): boolean =>
  maxLogBytes !== undefined && bytes > maxLogBytes + Math.floor((maxLogBytes * OVERRUN_PERCENT) / 100);

/** What was promised to an execution and is not in the database yet. */
export const reservedBytes = ({ maxLogBytes = POLICY_DEFAULTS.maxLogBytes }: Limited, storedBytes: number): number =>
  Math.max(0, maxLogBytes - storedBytes);

export interface StorageLoad {
  databaseBytes: number;
  /** For what is active. */
  reservedBytes: number;
}

export interface Shortage extends StorageLoad {
  wantedBytes: number;
  limitBytes: number;
}

/** Null: there is room for one more execution of this policy. */
export function shortageFor({ databaseBytes, reservedBytes: reserved }: StorageLoad, policy: Limited): Shortage | null {
  const wantedBytes = reservedBytes(policy, 0);
  if (databaseBytes + reserved + wantedBytes <= SESSION_BYTES_MAX) return null;
  return { databaseBytes, reservedBytes: reserved, wantedBytes, limitBytes: SESSION_BYTES_MAX };
}

export const describeShortage = ({ databaseBytes, reservedBytes: reserved, wantedBytes, limitBytes }: Shortage): string =>
  `The session holds ${databaseBytes} bytes and keeps ${reserved} for what is active; ${wantedBytes} more (policy.maxLogBytes) would pass ${limitBytes}.`;
