/**
 * Carries out transitions: first one transaction for the rows, then the sockets.
 *
 * - A change of state is one synchronous turn: check, write, announce. There is no await in
 *   between.
 * - Settling writes the row, the verdict event and the promotion of the next execution in one
 *   transaction (G3). The row's compare-and-set decides whether it happens at all.
 * - The announcement follows the write and cannot undo it. A socket on which a send fails counts as
 *   closed.
 */

import { CLOSE, type Command, encodeFrame, isActive, isTerminal, utf8Bytes } from '../../protocol/index.ts';
import { admitNow } from '../core/admission.ts';
import { type CallbackRecord, toldEvents } from '../core/callback.ts';
import type { ExecutionRecord } from '../core/execution.ts';
import { takesLate } from '../core/late.ts';
import { becomePending, type CoordinatorEvent, settleFailed, type Transition } from '../core/lifecycle.ts';
import { describeShortage, reservedBytes, type StorageLoad } from '../core/log-limit.ts';
import type { LogRow } from '../core/ports.ts';
import { beginCallbacks, noteCallback } from './callbacks.ts';
import type { SessionContext } from './context.ts';
import { beginDelivery, markDirectoryStale } from './outbox.ts';
import { detachAndClose, ingestSockets, isOpen, sendText } from './sockets.ts';
import { recordTelemetry } from './telemetry.ts';

/** What was written and is now sent to sockets. */
export interface WrittenTransition {
  record: ExecutionRecord;
  rows: LogRow[];
  commands: Command[];
  /** The coordinator's events of this transition, for the report of log lines and metrics. */
  events: readonly CoordinatorEvent[];
  /**
   * Whether the directory must be updated (DIR1). True only if the transition has an event of the
   * coordinator other than an input.
   */
  changesDirectory: boolean;
  /** The callbacks of its events for the queue (CB1, CB12). */
  callbacks: CallbackRecord[];
  /** The next queued execution, when it ended instead of beginning (LIF35). */
  next: WrittenTransition | null;
}

/** Appends the coordinator's own events of one moment as one row without seqs. */
export function appendEvents(
  { store }: SessionContext,
  execution: string,
  events: readonly CoordinatorEvent[],
  now: number,
): LogRow[] {
  if (events.length === 0) return [];
  const body = events.map(({ type, data }) => JSON.stringify({ type, at: now, data })).join('\n');
  return [store.log.append({ execution, firstSeq: null, count: events.length, body, bytes: utf8Bytes(body) }, now)];
}

/**
 * Inside a transaction: writes a transition of one execution, and promotes the next one when this
 * one ended. Null when the execution had already ended.
 */
export function writeTransition(
  context: SessionContext,
  id: string,
  transition: Transition,
  now: number,
): WrittenTransition | null {
  const { store } = context;
  const rows: LogRow[] = [];
  let record = store.executions.update(id, transition.patch);
  if (!record) return null;
  const told = appendEvents(context, id, transition.events, now);
  rows.push(...told);
  const commands = transition.commands.map((command) => store.commands.add(id, command, now));
  const callbacks = noteWanted(context, record, transition.events, told, now);
  let next: WrittenTransition | null = null;
  if (isTerminal(record.status)) {
    const ending = finishSettledExecution(context, record, rows, now);
    ({ record, next } = ending);
    callbacks.push(...ending.callbacks);
  }
  const changesDirectory = transition.events.some(({ type }) => type !== 'input');
  if (changesDirectory) markDirectoryStale(context, now);
  return { record, rows, commands, events: transition.events, changesDirectory, callbacks, next };
}

function noteWanted(
  context: SessionContext,
  record: ExecutionRecord,
  events: readonly CoordinatorEvent[],
  [row]: readonly LogRow[],
  now: number,
): CallbackRecord[] {
  const told = row ? toldEvents(events, row.firstOffset) : [];
  return told.flatMap(({ event, offset }) => noteCallback(context, record, event, offset, now));
}

/** The other writes of an ending, in the transaction of the verdict. */
function finishSettledExecution(
  context: SessionContext,
  settled: ExecutionRecord,
  rows: LogRow[],
  now: number,
): Pick<WrittenTransition, 'record' | 'callbacks' | 'next'> {
  const { store } = context;
  const lastOffset = store.log.head;
  // An execution that never began has no output in the log.
  const logBytes = settled.startedAt === null ? 0 : store.log.bytesOf(settled.id, settled.firstOffset);
  const record = { ...settled, lastOffset, logBytes };
  store.executions.noteVerdict(record.id, { lastOffset, logBytes });
  store.commands.drop(record.id);
  store.log.forgetAcked(record.id);
  const callbacks = noteCallback(context, record, 'settled', lastOffset, now);
  return { record, callbacks, next: promoteQueued(context, rows, now) };
}

/**
 * LIF3: begins the executions at the head of the queue while there is room for them. Returns one
 * that ended instead of beginning; its own ending has considered those behind it.
 */
function promoteQueued(context: SessionContext, rows: LogRow[], now: number): WrittenTransition | null {
  const { executions } = context.store;
  for (const next of executions.queued()) {
    const admission = admitNow(next, executions.active().length, storageLoad(context));
    if (!admission) return null;
    if (admission.kind === 'storage_full') {
      const error = describeShortage(admission.shortage);
      return writeTransition(context, next.id, settleFailed(next, 'storage_full', error, now), now);
    }
    const promotion = becomePending(next, now);
    executions.update(next.id, promotion.patch);
    rows.push(...appendEvents(context, next.id, promotion.events, now));
  }
  return null;
}

/** LIF35: the bytes that the session holds, and the bytes reserved for its active executions. */
export function storageLoad({ store }: SessionContext): StorageLoad {
  let reserved = 0;
  for (const { id, status, firstOffset, policy } of store.executions.active()) {
    reserved += reservedBytes(policy, status === 'running' ? store.log.bytesOf(id, firstOffset) : 0);
  }
  return { databaseBytes: store.databaseBytes, reservedBytes: reserved };
}

/** Sends what was written, and sets the alarm from the rows. */
export function publish(context: SessionContext, written: WrittenTransition, now: number): void {
  const { record, rows, commands, events, changesDirectory, callbacks, next } = written;
  context.alarm.arm(now);
  if (changesDirectory) void beginDelivery(context);
  beginCallbacks(context, callbacks);
  for (const row of rows) context.viewers.broadcast(row);
  if (commands.length > 0) sendCommands(context, record, commands);
  if (isTerminal(record.status)) closeSettled(context, record, now);
  leavePoolIfDone(context, record);
  recordTelemetry(context, record, events);
  if (next) publish(context, next, now);
}

/** The pool is told of each end. The message may be lost: the pool asks before it acts. */
function leavePoolIfDone({ runtime, services }: SessionContext, record: ExecutionRecord): void {
  if (record.pool !== null && isTerminal(record.status)) runtime.waitUntil(services.leavePool(record));
}

/** Writes one transition and announces it. Null when the execution had already ended. */
export function commit(context: SessionContext, id: string, transition: Transition, now: number): ExecutionRecord | null {
  const written = context.store.transact(() => writeTransition(context, id, transition, now));
  if (!written) return null;
  publish(context, written, now);
  return written.record;
}

/** The open socket of the current epoch. */
export function currentIngest({ runtime }: SessionContext, record: ExecutionRecord) {
  return ingestSockets(runtime, record.id).find(({ ws, attachment }) => attachment.epoch === record.epoch && isOpen(ws)) ?? null;
}

function sendCommands(context: SessionContext, record: ExecutionRecord, commands: readonly Command[]): void {
  if (!isActive(record.status) || !record.connected) return;
  const ingest = currentIngest(context, record);
  if (!ingest) return;
  for (const command of commands) sendText(ingest.ws, encodeFrame({ type: 'command', ...command }));
}

/**
 * ING7: the normal close of every connection of the execution. A connection that has not sent its
 * hello yet may deliver late; its hello decides.
 */
export function closeSettled({ runtime }: SessionContext, record: ExecutionRecord, now: number): void {
  const mayDeliver = takesLate(record, now);
  for (const socket of ingestSockets(runtime, record.id)) {
    if (mayDeliver && socket.attachment.epoch === null) continue;
    detachAndClose(socket, CLOSE.settled, settledReason(record));
  }
}

export const settledReason = (record: Pick<ExecutionRecord, 'status'>): string => JSON.stringify({ status: record.status });
