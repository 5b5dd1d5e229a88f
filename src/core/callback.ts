/**
 * A pending callback: the verdict of an execution until the callback queue has it. It is a leased
 * row (leased-row.ts), written in the transaction of the verdict. Pure.
 *
 * - The row is complete: id, address, and the execution as it ended. Deleting the session therefore
 *   loses no callback.
 * - `dueAt` moves before an attempt, to the time of the next one, and by at least the longest
 *   duration of an attempt. A failed attempt therefore writes nothing.
 * - The row is removed when the queue has the message. Until then it is sent again under the same
 *   id, so the queue may get duplicates.
 */

import type { Execution } from '../../protocol/index.ts';
import { RETENTION_MS } from './deadlines.ts';
import { LEASE_MS, type LeasedRow, reschedule } from './leased-row.ts';

/** `attempts` counts those of the alarm, not the one right after the verdict. */
export interface CallbackRecord extends LeasedRow {
  /** One per verdict; receivers dedupe by it. */
  id: string;
  execution: string;
  url: string;
  /** Offset of the verdict event. */
  verdictOffset: number;
  createdAt: number;
  /** The execution as it ended. Null in rows from before callbacks were delivered. */
  snapshot: Execution | null;
}

/** The attempt right after the verdict has the first lease. */
export const newCallback = (
  fields: Pick<CallbackRecord, 'id' | 'execution' | 'url' | 'verdictOffset' | 'snapshot'>,
  now: number,
): CallbackRecord => ({ ...fields, createdAt: now, attempts: 0, dueAt: now + LEASE_MS });

/** Written before an attempt by the alarm. One write is both the lease and the next retry. */
export const leaseForAttempt = (record: CallbackRecord, now: number): CallbackRecord =>
  reschedule(record, now, { baseMs: 2 * LEASE_MS, leastMs: LEASE_MS, seedMs: record.createdAt });

/**
 * Gives up after the retention time of a session. A deployment that lost its queue binding must not
 * wake its sessions forever.
 */
export const isExpired = ({ createdAt }: CallbackRecord, now: number): boolean => createdAt + RETENTION_MS <= now;
