/**
 * A pending callback: an event of an execution until the callback queue has it. It is a leased row
 * (leased-row.ts), written in the transaction of the event. Pure.
 *
 * - The row is complete: id, address, and the execution as it was. Deleting the session therefore
 *   loses no callback.
 * - `dueAt` moves before an attempt, to the time of the next one, and by at least the longest
 *   duration of an attempt. A failed attempt therefore writes nothing.
 * - The row is removed when the queue has the message. Until then it is sent again under the same
 *   id, so the queue may get duplicates.
 */

import type { CallbackEvent, Execution } from '../../protocol/index.ts';
import { RETENTION_MS } from './deadlines.ts';
import type { ExecutionRecord } from './execution.ts';
import { LEASE_MS, type LeasedRow, reschedule } from './leased-row.ts';

/** `attempts` counts those of the alarm, not the one right after the event. */
export interface CallbackRecord extends LeasedRow {
  /** One per event; receivers dedupe by it. */
  id: string;
  execution: string;
  url: string;
  event: CallbackEvent;
  /** Of the event in the session's log. */
  offset: number;
  /** When it happened. */
  createdAt: number;
  /** The execution as it was then. Null in rows from before callbacks were delivered. */
  snapshot: Execution | null;
}

/** What its message tells besides the execution. */
export type CallbackFacts = Pick<CallbackRecord, 'id' | 'url' | 'event' | 'offset' | 'createdAt'>;

/** The attempt right after the event has the first lease. */
export const newCallback = (
  fields: Pick<CallbackRecord, 'id' | 'execution' | 'url' | 'event' | 'offset' | 'snapshot'>,
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

/** Events of the coordinator that a caller can be told of. A verdict is told by its status. */
const TOLD: Readonly<Record<string, CallbackEvent>> = {
  execution_running: 'started',
  execution_waiting: 'waiting',
  wrapper_disconnected: 'disconnected',
};

/** CB12: the events of one row of the log of which a caller can be told, with their offsets. */
export function toldEvents(events: readonly { type: string }[], firstOffset: number): { event: CallbackEvent; offset: number }[] {
  return events.flatMap(({ type }, index) => {
    const event = Object.hasOwn(TOLD, type) ? TOLD[type] : undefined;
    return event ? [{ event, offset: firstOffset + index }] : [];
  });
}

/** CB1, CB12. The address that is told of this event. Null: the start did not ask for it. */
export const addressFor = (
  { callbackUrl, callbackEvents }: Pick<ExecutionRecord, 'callbackUrl' | 'callbackEvents'>,
  event: CallbackEvent,
): string | null => ((callbackEvents ?? ['settled']).includes(event) ? callbackUrl : null);
