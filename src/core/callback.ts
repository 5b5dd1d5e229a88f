/**
 * A verdict that somebody asked to be notified of, until the queue of callbacks has it: a leased row (leased-row.ts), written
 * in the transaction of the verdict. Pure.
 *
 * CO1  The row is complete: its id, its address, and the execution as it ended. So a deletion of the session takes nothing
 *      from it.
 * CO2  `dueAt` is moved before an attempt is made, to when the next one would be if this one fails, and never by less than an
 *      attempt may take. So a failed attempt writes nothing.
 * CO3  The row is removed when the queue has it. Until then it is sent again under the same id, so the queue may get it twice.
 */

import type { Execution } from '../../protocol/index.ts';
import { RETENTION_MS } from './deadlines.ts';
import { LEASE_MS, type LeasedRow, reschedule } from './leased-row.ts';

/** `attempts`: made by the alarm. The attempt right after the verdict is not counted. */
export interface CallbackRecord extends LeasedRow {
  /** One per verdict; receivers know a repetition by it. */
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

/** CO2: what is written before an attempt of the alarm. One write is both the lease and the next retry. */
export const leaseForAttempt = (record: CallbackRecord, now: number): CallbackRecord =>
  reschedule(record, now, { baseMs: 2 * LEASE_MS, leastMs: LEASE_MS, seedMs: record.createdAt });

/**
 * A queue that has failed for as long as a session is kept is gone: a deployment that lost its binding must not wake its
 * sessions for ever.
 */
export const isExpired = ({ createdAt }: CallbackRecord, now: number): boolean => createdAt + RETENTION_MS <= now;
