/**
 * How much a log may hold, per execution and per session (LIF34, LIF35). Pure.
 *
 * A wrapper enforces `maxLogBytes` itself: it drops output behind a `gap`, and its end always fits.
 * A wrapper that does not know the limit, or ignores it, is ended at 10 % above it. The stored
 * bytes are therefore bounded for every peer.
 */

import { POLICY_DEFAULTS, type Policy, SESSION_BYTES_MAX } from '../../protocol/index.ts';

const OVERRUN_PERCENT = 10;

type Limited = Pick<Policy, 'maxLogBytes'>;

/** Whether this exceeds what an execution may store. Executions without `maxLogBytes` are older. */
export const isOverrun = ({ maxLogBytes }: Limited, bytes: number): boolean =>
  maxLogBytes !== undefined && bytes > maxLogBytes + Math.floor((maxLogBytes * OVERRUN_PERCENT) / 100);

/** Bytes that an execution may still write. */
export const reservedBytes = ({ maxLogBytes = POLICY_DEFAULTS.maxLogBytes }: Limited, storedBytes: number): number =>
  Math.max(0, maxLogBytes - storedBytes);

export interface StorageLoad {
  databaseBytes: number;
  /** For the active execution. */
  reservedBytes: number;
}

export interface Shortage extends StorageLoad {
  wantedBytes: number;
  limitBytes: number;
}

/** Whether the session has room for this, beside what is reserved for its active execution. */
export const hasRoom = ({ databaseBytes, reservedBytes: reserved }: StorageLoad, bytes: number): boolean =>
  databaseBytes + reserved + bytes <= SESSION_BYTES_MAX;

/** Null when there is room for one more execution with this policy. */
export function shortageFor(load: StorageLoad, policy: Limited): Shortage | null {
  const wantedBytes = reservedBytes(policy, 0);
  return hasRoom(load, wantedBytes) ? null : { ...load, wantedBytes, limitBytes: SESSION_BYTES_MAX };
}

export const describeShortage = ({ databaseBytes, reservedBytes: reserved, wantedBytes, limitBytes }: Shortage): string =>
  `The session holds ${databaseBytes} bytes and keeps ${reserved} for what is active; ${wantedBytes} more (policy.maxLogBytes) would pass ${limitBytes}.`;
