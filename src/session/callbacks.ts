/**
 * Sends callbacks to the queue (core/callback.ts): right after the turn of the event, and at the
 * alarm when that attempt failed or was lost.
 *
 * Callbacks are independent: one that the queue refuses does not delay the others. Order is not
 * kept and not needed, because each message is complete.
 */

import { type CallbackEvent, type Execution, newCallbackId } from '../../protocol/index.ts';
import { addressFor, type CallbackRecord, isExpired, leaseForAttempt, newCallback } from '../core/callback.ts';
import { type ExecutionRecord, executionView } from '../core/execution.ts';
import type { SessionContext } from './context.ts';
import { deleteStorageIfDone } from './outbox.ts';

/** Callbacks of one alarm. When more are due, the next alarm is due at once. */
const AT_ONCE_MAX = 10;

/**
 * CB1, CB12: one id for an event that its start asked to be told of, and a snapshot of the execution,
 * in the transaction of the event. Empty: it did not ask.
 */
export function noteCallback(
  { store, session }: SessionContext,
  record: ExecutionRecord,
  event: CallbackEvent,
  offset: number,
  now: number,
): CallbackRecord[] {
  const url = addressFor(record, event);
  if (url === null) return [];
  const snapshot = executionView(session, record);
  const callback = newCallback({ id: newCallbackId(), execution: record.id, url, event, offset, snapshot }, now);
  store.callbacks.add(callback);
  return [callback];
}

/** After the events are written. The output gate holds each message until its event is durable. */
export function beginCallbacks(context: SessionContext, records: readonly CallbackRecord[]): void {
  for (const record of records) context.runtime.waitUntil(enqueueCallback(context, record));
}

/** At the alarm: sends the callbacks that are due. */
export function beginDueCallbacks(context: SessionContext, now: number): void {
  const { callbacks } = context.store;
  for (const record of callbacks.due(now, AT_ONCE_MAX)) {
    if (isExpired(record, now)) {
      giveUp(context, record, 'the queue did not take it for as long as a session is kept');
    } else {
      const attempt = leaseForAttempt(record, now);
      callbacks.postpone(attempt);
      beginCallbacks(context, [attempt]);
    }
  }
}

async function enqueueCallback(context: SessionContext, record: CallbackRecord): Promise<void> {
  const execution = record.snapshot ?? snapshotNow(context, record);
  if (!execution) return giveUp(context, record, 'its execution was deleted');
  if (!(await context.services.enqueue(record, execution))) {
    context.log('warn', 'callback_not_queued', { ...logFields(record), attempt: record.attempts + 1 });
    return;
  }
  context.store.callbacks.remove(record.id);
  context.alarm.release(record.dueAt, context.runtime.now());
  await deleteStorageIfDone(context, context.runtime.now());
}

function snapshotNow({ store, session }: SessionContext, { execution }: CallbackRecord): Execution | null {
  const record = store.exists ? store.executions.get(execution) : null;
  return record && executionView(session, record);
}

function giveUp(context: SessionContext, record: CallbackRecord, reason: string): void {
  context.log('error', 'callback_given_up', { ...logFields(record), reason });
  context.store.callbacks.remove(record.id);
  context.runtime.waitUntil(deleteStorageIfDone(context, context.runtime.now()));
}

/** Without the URL, which may hold a secret. */
const logFields = ({ id: callback, execution }: CallbackRecord) => ({ callback, execution });
