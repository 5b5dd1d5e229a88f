/**
 * A verdict that somebody asked to be told of, until the queue of callbacks has it: a row, written in the transaction of the verdict.
 *
 * CO1  The row is all of it: its id, where it goes, and the execution as it ended. So it needs nothing of a session that is deleted meanwhile.
 * CO2  `dueAt` is a deadline like all others (G5). It is moved before an attempt is made, to when the next would be if this one fails, and never to less than
 *      an attempt may take. So a failed attempt writes nothing, and one that died with the object is found by the alarm.
 * CO3  The row goes when the queue has it. Until then it is sent again under the same id, so the queue may get it twice.
 */

import type { Execution } from '../../protocol/index.ts';
import { RETENTION_MS } from './deadlines.ts';
import { OUTBOX_LEASE_MS, RETRY_CAP_MS } from './outbox.ts';

export interface CallbackRecord {
  /** One per verdict; receivers know a repetition by it. */
  id: string;
  execution: string;
  url: string;
  /** Offset of the verdict event. */
  verdictOffset: number;
  createdAt: number;
  /** Made by the alarm; the one right after the verdict is not counted. */
  attempts: number;
  /** When to try (again). */
  dueAt: number;
  /** The execution as it ended. Null in rows from before callbacks were delivered. */
  snapshot: Execution | null;
}

/** The attempt right after the verdict has its time before the alarm makes another. */
export const newCallback = (
  fields: Pick<CallbackRecord, 'id' | 'execution' | 'url' | 'verdictOffset' | 'snapshot'>,
  now: number,
): CallbackRecord => ({ ...fields, createdAt: now, attempts: 0, dueAt: now + OUTBOX_LEASE_MS });

/** CO2: what is written before an attempt. The delays grow from the lease, and those of two callbacks differ. */
export function beforeAttempt(record: CallbackRecord, now: number): CallbackRecord {
  const wholeMs = Math.min(RETRY_CAP_MS, OUTBOX_LEASE_MS * 2 ** Math.min(record.attempts + 1, 16));
  const spread = (record.createdAt % 1000) / 1000;
  return {
    ...record,
    attempts: record.attempts + 1,
    dueAt: now + Math.max(OUTBOX_LEASE_MS, Math.ceil(wholeMs * (0.5 + spread / 2))),
  };
}

/** A queue that was not there for as long as a session is kept is none: a deployment that lost its binding must not wake its sessions for ever. */
export const isPast = ({ createdAt }: CallbackRecord, now: number): boolean => createdAt + RETENTION_MS <= now;
