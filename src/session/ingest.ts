/**
 * Ingest connections: hello, events, command acks. The path from a frame to its ack is one
 * synchronous turn: parse, check, write, ack, broadcast. It has no `await`, because handlers of one
 * socket interleave there. The output gate holds ack and broadcast until the write is durable
 * (ING6).
 */

import {
  CLAIMED_REASON,
  CLOSE,
  COORDINATOR_FEATURES,
  type EventsFrame,
  encodeFrame,
  FRAME_BYTES_MAX,
  HELLO_TIMEOUT_MS,
  type HelloFrame,
  type HoldfastEvent,
  isTerminal,
  isTerminalFact,
  type JobTerms,
  lastEventOf,
  PROTOCOL_VERSION,
  parseWrapperFrame,
  SETTLED_REASON,
  UNBOUND_SOCKETS_MAX,
  utf8Bytes,
  type WelcomeFrame,
  WINDOW_BYTES,
} from '../../protocol/index.ts';
import { questionsAfter } from '../core/asking.ts';
import type { CallbackRecord } from '../core/callback.ts';
import type { ExecutionRecord, LatePatch } from '../core/execution.ts';
import { commandsFor } from '../core/input.ts';
import { acceptLateHello, hasRoomForLate, type LateBatch, takesLate, withLateBatch } from '../core/late.ts';
import {
  acceptHello,
  continuesByPost,
  type Disconnect,
  loseConnection,
  refuseOldWrapper,
  settleByFact,
  settleFailed,
} from '../core/lifecycle.ts';
import { isOverrun } from '../core/log-limit.ts';
import type { Batch, LogRow, SessionSocket } from '../core/ports.ts';
import { dropKnownPrefix, receive } from '../core/receiver.ts';
import { signalName } from '../core/signal.ts';
import { executionPageUrl } from '../platform/urls.ts';
import { beginCallbacks, noteCallback } from './callbacks.ts';
import { closeSettled, commit, publish, settledReason, storageLoad, writeTransition } from './commit.ts';
import type { SessionContext } from './context.ts';
import type { Refusal } from './contract.ts';
import { expireDue } from './deadlines.ts';
import { notFoundReason } from './deletion.ts';
import { beginDelivery, markDirectoryStale } from './outbox.ts';
import {
  attach,
  closeSocket,
  detachAndClose,
  INGEST_TAG,
  type IngestAttachment,
  ingestSockets,
  ingestTag,
  isOpen,
  sendText,
} from './sockets.ts';

/** Before an upgrade: why it is refused, or null. */
export function refuseIngest(context: SessionContext, execution: string, now: number): Refusal | null {
  const record = context.store.exists ? context.store.executions.get(execution) : null;
  if (!record) {
    refuseWrapper(context, execution, CLOSE.notFound);
    return { closeCode: CLOSE.notFound, reason: notFoundReason(context, now) };
  }
  // Only the hello says whether the wrapper can deliver late.
  if (!isTerminal(record.status) || takesLate(record, now)) return null;
  return { closeCode: CLOSE.settled, reason: settledReason(record) };
}

/**
 * Accepts an upgraded socket whose token was checked. The wrapper must send its hello before the
 * hello timeout (ING1).
 */
export function acceptIngest(context: SessionContext, ws: SessionSocket, execution: string, now: number): void {
  context.runtime.acceptWebSocket(ws, [INGEST_TAG, ingestTag(execution)]);
  attach(ws, { role: 'ingest', execution, epoch: null, acceptedAt: now });
  const refused = refuseIngest(context, execution, now);
  if (refused) return closeSocket(ws, refused.closeCode, refused.reason);
  const unbound = ingestSockets(context.runtime, execution).filter(({ attachment }) => attachment.epoch === null);
  for (const socket of unbound.slice(0, Math.max(0, unbound.length - UNBOUND_SOCKETS_MAX))) {
    refuseWrapper(context, execution, CLOSE.tooManyConnections);
    detachAndClose(socket, CLOSE.tooManyConnections, 'too many connections without a hello');
  }
  context.alarm.arm(now);
}

export function onIngestMessage(
  context: SessionContext,
  ws: SessionSocket,
  attachment: IngestAttachment,
  message: string | ArrayBuffer,
  now: number,
): void {
  if (attachment.detached) return;
  if (typeof message !== 'string') return refuseFrame(context, ws, attachment, 'a frame must be text, not binary', now);
  // The socket of a session that does not exist was refused or closed before. A message that was
  // still in transit finds no tables.
  const record = context.store.exists ? context.store.executions.get(attachment.execution) : null;
  if (!record) return closeSocket(ws, CLOSE.notFound, notFoundReason(context, now));
  // ING4: messages of a fenced connection are ignored, including invalid ones.
  if (attachment.epoch !== null && attachment.epoch !== record.epoch) return;

  // The platform replaces bytes that are not UTF-8 with U+FFFD before this code sees them. A valid
  // frame never has that character itself, because senders write \ufffd. So the character means
  // that data was lost (ING20). A posted body is decoded strictly and may have it.
  if (!attachment.posted && message.includes('\ufffd')) {
    return refuseFrame(context, ws, attachment, 'a frame must be UTF-8; U+FFFD itself is written as \\ufffd', now);
  }
  const parsed = parseWrapperFrame(message);
  if (!parsed.ok) return refuseFrame(context, ws, attachment, parsed.detail, now);
  const { frame } = parsed;
  if (frame.type === 'hello') {
    if (attachment.epoch !== null) return refuseFrame(context, ws, attachment, 'hello was sent before', now);
    // A wrapper that returns after its deadline is refused even if the alarm has not fired yet
    // (LIF).
    expireDue(context, record.id, now);
    return onHello(context, ws, attachment, context.store.executions.get(record.id) ?? record, frame, now);
  }
  if (attachment.epoch === null) return refuseFrame(context, ws, attachment, 'hello must come first', now);
  if (isTerminal(record.status) && !(attachment.late && takesLate(record, now))) return closeSettled(context, record, now);
  switch (frame.type) {
    case 'events':
      return onEvents(context, ws, record, frame, now);
    case 'command_ack':
      return context.store.commands.ack(record.id, frame.id);
    default:
      return frame satisfies never;
  }
}

/** ING2, ING3, ING7, ING9. */
function onHello(
  context: SessionContext,
  ws: SessionSocket,
  attachment: IngestAttachment,
  record: ExecutionRecord,
  hello: HelloFrame,
  now: number,
): void {
  const { store } = context;
  const socket = { ws, attachment };
  const late = isTerminal(record.status) ? acceptLateHello(record, hello, attachment.posted === true, now) : null;
  if (isTerminal(record.status) && !late) return detachAndClose(socket, CLOSE.settled, settledReason(record));
  const ackedSeq = store.log.ackedSeq(record.id, record.firstOffset);
  const sendWelcome = (epoch: number): void => {
    attach(ws, { ...attachment, epoch, ...(late ? { late: true } : {}) });
    const welcome: WelcomeFrame = {
      type: 'welcome',
      protocol: Math.min(hello.protocol, PROTOCOL_VERSION),
      epoch,
      ackedSeq,
      logBytes: store.log.bytesOf(record.id, record.firstOffset),
      policy: record.policy,
      limits: { frameBytes: FRAME_BYTES_MAX, windowBytes: WINDOW_BYTES },
      commands: commandsFor(hello.features ?? [], store.commands.waiting(record.id)),
      features: COORDINATOR_FEATURES,
      ...(late ? { late: true } : {}),
      job: jobTermsOf(context.session, store.executions.get(record.id) ?? record),
    };
    sendText(ws, encodeFrame(welcome));
  };
  if (late) {
    store.transact(() => noteLate(context, record.id, late.patch, now));
    tellDirectory(context, now);
    supersede(context, record.id, ws, attachment);
    sendWelcome(late.epoch);
    return context.log('info', 'wrapper_late', { execution: record.id, epoch: late.epoch });
  }
  const tooOld = refuseOldWrapper(record, hello.features ?? [], now);
  if (tooOld) {
    commit(context, record.id, tooOld, now);
    const ended = store.executions.get(record.id);
    return detachAndClose(socket, CLOSE.settled, ended ? settledReason(ended) : SETTLED_REASON);
  }
  if (attachment.posted && continuesByPost(record, hello)) return sendWelcome(record.epoch);
  const answer = acceptHello(record, hello, ackedSeq, attachment.posted ? 'http' : 'socket', now);
  switch (answer.kind) {
    case 'claimed':
      refuseWrapper(context, record.id, CLOSE.claimed);
      return detachAndClose(socket, CLOSE.claimed, CLAIMED_REASON);
    case 'not_yet':
      return detachAndClose(socket, CLOSE.tryAgainLater, 'queued');
    case 'accept': {
      const written = store.transact(() => writeTransition(context, record.id, answer.transition, now));
      if (!written) return detachAndClose(socket, CLOSE.settled, SETTLED_REASON);
      supersede(context, record.id, ws, attachment);
      sendWelcome(answer.epoch);
      return publish(context, written, now);
    }
    default:
      return answer satisfies never;
  }
}

/** ING3: closes the older connections of the execution. */
function supersede({ runtime }: SessionContext, execution: string, ws: SessionSocket, { acceptedAt }: IngestAttachment): void {
  for (const other of ingestSockets(runtime, execution)) {
    // A younger socket without a hello may be the next attempt of the same wrapper. It may still
    // send its hello.
    const older = other.attachment.epoch !== null || other.attachment.acceptedAt < acceptedAt;
    if (other.ws !== ws && older) detachAndClose(other, CLOSE.superseded, 'superseded');
  }
}

const jobTermsOf = (
  session: string,
  { id, origin, runtimeUntil, secretNames, merge, output, terminal }: ExecutionRecord,
): JobTerms => ({
  session,
  execution: id,
  url: executionPageUrl(origin, session, id),
  ...(runtimeUntil === null ? {} : { deadline: runtimeUntil }),
  ...(secretNames === null ? {} : { secretNames }),
  ...(merge ? { merge } : {}),
  ...(output === 'bytes' ? { output } : {}),
  ...(terminal ? { terminal } : {}),
});

/** ING5, ING6. Ends the run when the last event says so. */
function onEvents(context: SessionContext, ws: SessionSocket, record: ExecutionRecord, frame: EventsFrame, now: number): void {
  const { store, viewers } = context;
  const receipt = receive(store.log.ackedSeq(record.id, record.firstOffset), frame);
  if (receipt.kind === 'duplicate') return void sendText(ws, encodeFrame({ type: 'ack', seq: receipt.ack }));
  if (receipt.kind === 'gap') return void sendText(ws, encodeFrame({ type: 'nack', expected: receipt.expected }));

  const body = dropKnownPrefix(frame.body, receipt.skip);
  const batch = { execution: record.id, firstSeq: receipt.firstSeq, count: receipt.count, body, bytes: utf8Bytes(body) };
  const last = lastEventOf(frame);
  if (isTerminal(record.status)) {
    return storeLate(context, ws, record, { ...batch, end: isTerminalFact(last) ? last : null }, receipt.ack, now);
  }
  // The row of the execution is written only with a screen: about once for 256 KiB of output.
  const screen = frame.lastScreen === null ? -1 : frame.lastScreen - receipt.skip;
  const hasScreen = screen >= 0 && record.terminal !== null;
  const questions = questionFacts(
    body,
    (frame.questions ?? []).map((line) => line - receipt.skip),
  );
  const asking = questionsAfter(
    record.asking,
    questions.map(({ fact }) => fact),
  );
  const callbacks: CallbackRecord[] = [];
  const append = (): LogRow => {
    const row = store.log.append(batch, now);
    if (hasScreen) store.executions.update(record.id, { screenOffset: row.firstOffset + screen });
    if (asking) {
      const updated = store.executions.update(record.id, { asking: asking.open.length === 0 ? null : asking.open });
      markDirectoryStale(context, now);
      // The view shows the oldest open question; the callback tells of this one.
      for (const { question, fact } of asking.asked) {
        // The verdict of this frame closes its questions.
        if (!updated || isTerminalFact(last)) break;
        const asks = { ...updated, asking: [question] };
        callbacks.push(...noteCallback(context, asks, 'asking', row.firstOffset + (questions[fact]?.line ?? 0), now));
      }
    }
    return row;
  };
  if (!isTerminalFact(last)) {
    // LIF34. The frame that holds the run's end is always accepted: there is one per run, and the
    // verdict needs it.
    if (isOverrun(record.policy, store.log.bytesOf(record.id, record.firstOffset) + batch.bytes)) {
      const error = `the wrapper sent more than 110 % of the ${record.policy.maxLogBytes} bytes that the log of this execution takes`;
      return void commit(context, record.id, settleFailed(record, 'log_full', error, now), now);
    }
    const row = hasScreen || asking ? store.transact(append) : append();
    sendText(ws, ackText(receipt.ack));
    viewers.broadcast(row);
    if (asking) tellDirectory(context, now);
    beginCallbacks(context, callbacks);
    return;
  }
  const { row, written } = store.transact(() => ({
    row: append(),
    written: writeTransition(context, record.id, settleByFact(record, last, now), now),
  }));
  sendText(ws, ackText(receipt.ack));
  viewers.broadcast(row);
  if (written) publish(context, written, now);
}

/** ASK2. The events of these lines of the body; a line below 0 is known already. */
function questionFacts(body: string, lines: readonly number[]): { line: number; fact: HoldfastEvent }[] {
  const kept = lines.filter((line) => line >= 0);
  if (kept.length === 0) return [];
  const all = body.split('\n');
  return kept.map((line) => ({ line, fact: JSON.parse(all[line] ?? '') as HoldfastEvent }));
}

/**
 * DIR2: what a version of the directory's entry says does not change, so a changed view is another
 * version.
 */
function noteLate(context: SessionContext, execution: string, patch: LatePatch, now: number): void {
  if (Object.keys(patch).length === 0) return;
  context.store.executions.noteLate(execution, patch);
  markDirectoryStale(context, now);
}

function tellDirectory(context: SessionContext, now: number): void {
  context.alarm.arm(now);
  void beginDelivery(context);
}

/** LIF38: behind the verdict, in one transaction with what the row says of it. */
function storeLate(
  context: SessionContext,
  ws: SessionSocket,
  record: ExecutionRecord,
  batch: Batch & LateBatch,
  ack: number,
  now: number,
): void {
  const { store, viewers } = context;
  const storedBytes = store.log.bytesOf(record.id, record.firstOffset);
  if (!hasRoomForLate(record, batch, storedBytes, storageLoad(context))) {
    store.executions.noteLate(record.id, { lateUntil: null });
    return closeSettled(context, { ...record, lateUntil: null }, now);
  }
  const patch = withLateBatch(record, batch, storedBytes + batch.bytes, now);
  const row = store.transact(() => {
    noteLate(context, record.id, patch, now);
    const { end: _, ...rest } = batch;
    return store.log.append({ ...rest, late: true }, now);
  });
  sendText(ws, ackText(ack));
  viewers.broadcast(row);
  tellDirectory(context, now);
  if (!batch.end) return;
  store.log.forgetAcked(record.id);
  const ended = { ...record, ...patch };
  context.log('info', 'late_delivered', {
    execution: record.id,
    lateEvents: ended.lateEvents ?? undefined,
    exitCode: ended.lateExitCode ?? undefined,
    signal: signalName(ended.lateSignal),
  });
  closeSettled(context, ended, now);
}

const ackText = (seq: number): string => `{"type":"ack","seq":${seq}}`;

/**
 * ING8: nothing is stored and the connection ends. For a bound connection that is an ordinary
 * disconnect.
 */
function refuseFrame(context: SessionContext, ws: SessionSocket, attachment: IngestAttachment, detail: string, now: number): void {
  // A bound connection is reported as lost.
  if (attachment.epoch === null) refuseWrapper(context, attachment.execution, CLOSE.badFrame);
  loseIngest(context, ws, attachment, { reason: 'bad_frame', wsCloseCode: CLOSE.badFrame, wsCloseReason: detail }, now);
  detachAndClose({ ws, attachment }, CLOSE.badFrame, detail);
}

/**
 * A connection ended. This matters only for the connection of the current epoch of a running
 * execution. A superseded, settled or unbound socket starts no grace.
 */
export function loseIngest(
  context: SessionContext,
  ws: SessionSocket,
  attachment: IngestAttachment,
  facts: Disconnect,
  now: number,
): void {
  if (attachment.detached || attachment.epoch === null) return;
  const record = context.store.executions.get(attachment.execution);
  if (record?.status !== 'running' || !record.connected || record.epoch !== attachment.epoch) return;
  // Written before the socket is detached: if the write fails, the connection keeps working.
  // Otherwise it would stay open while its messages are ignored.
  commit(context, record.id, loseConnection(record, facts, now), now);
  attach(ws, { ...attachment, detached: true });
}

/** Logs for operators that a wrapper passed the upgrade and was refused afterwards. */
const refuseWrapper = ({ log }: SessionContext, execution: string, wsCloseCode: number): void =>
  log('warn', 'wrapper_refused', { execution, wsCloseCode });

/** ING1: closes sockets that sent no hello in time. */
export function closeSocketsWithoutHello(context: SessionContext, now: number): void {
  for (const socket of ingestSockets(context.runtime)) {
    const { ws, attachment } = socket;
    if (attachment.epoch === null && isOpen(ws) && attachment.acceptedAt + HELLO_TIMEOUT_MS <= now) {
      refuseWrapper(context, attachment.execution, CLOSE.helloTimeout);
      detachAndClose(socket, CLOSE.helloTimeout, 'no hello in time');
    }
  }
}
