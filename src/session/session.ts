/**
 * One session, and its only entry point: the Durable Object, and the simulator in tools/simulator,
 * call the methods of this class and nothing behind it.
 *
 *   operations   what a caller can ask for         ingest, ingest-post   connections of wrappers
 *   deadlines    what the alarm does               viewers               connections of readers
 *   deletion     the end of the session            sockets               shared by both connections
 *   commit       carries out transitions           telemetry             log lines and metrics
 *   outbox, callbacks   notifications to others    alarm-clock           when the object wakes
 *   contract     what the Worker may ask           worker-services       calls to other services
 *
 * Decisions are in core/. A session has no connection registry and no timer that it depends on, so
 * it may be evicted between any two turns. Every method is one synchronous turn, except `wake`,
 * `onAlarm` and `deleteSession`. `now` is always an argument.
 */

import { type Author, CLOSE, type Failure, type Result, type TerminalSize, type WaitReason } from '../../protocol/index.ts';
import type { NormalAnswer } from '../core/asking.ts';
import type { Claim } from '../core/assignment.ts';
import { type DeadlineInputs, RETENTION_MS } from '../core/deadlines.ts';
import type { NormalInput } from '../core/input.ts';
import { isWaiting, type OutboxRecord } from '../core/outbox.ts';
import type { RecallRequest } from '../core/pool-messages.ts';
import type { ExecutionQuery, ExternalServices, SessionRuntime, SessionSocket, Store } from '../core/ports.ts';
import type { SessionLog } from '../platform/log.ts';
import { AlarmClock } from './alarm-clock.ts';
import { beginDueCallbacks } from './callbacks.ts';
import type { SessionContext } from './context.ts';
import { closeCodeOfRefusedViewer, type NormalStart, type ReadQuery, type Refusal, type ViewerRequest } from './contract.ts';
import { disconnectLost, disconnectSilent, expireDue, lastHeardAt, launchDue } from './deadlines.ts';
import { eraseSession, notFoundReason } from './deletion.ts';
import { acceptIngest, closeSocketsWithoutHello, loseIngest, onIngestMessage, refuseIngest } from './ingest.ts';
import { postIngest } from './ingest-post.ts';
import * as operations from './operations.ts';
import { beginDelivery, beginDueDelivery, deleteStorageIfDone, lastActivityAt, markIfNeverAnnounced } from './outbox.ts';
import { type Attachment, answerClose, attachmentOf, closeSocket, ingestSockets, isOpen, VIEWER_TAG } from './sockets.ts';
import { Viewers } from './viewers.ts';

export class Session {
  readonly #context: SessionContext;

  constructor(runtime: SessionRuntime, store: Store, session: string, services: ExternalServices, log: SessionLog = () => {}) {
    const alarm = new AlarmClock(runtime, () => this.#deadlineInputs(), log);
    const viewers = new Viewers(runtime, store, session);
    this.#context = { runtime, store, services, log, session, viewers, alarm, delivery: null };
  }

  /**
   * Runs first after every wake: reads the alarm, and finds what was lost while the object was
   * asleep.
   */
  async wake(now: number): Promise<void> {
    const { alarm, store, viewers } = this.#context;
    await alarm.load();
    if (store.exists) disconnectLost(this.#context, now);
    markIfNeverAnnounced(this.#context, now);
    alarm.arm(now);
    viewers.resume();
  }

  // ── connections ────────────────────────────────────────────────────────────────────────────────

  connectIngest(ws: SessionSocket, execution: string, now: number): void {
    acceptIngest(this.#context, ws, execution, now);
  }

  /** Why a wrapper's upgrade is refused, or null. */
  refuseWrapper(execution: string, now: number): Refusal | null {
    return refuseIngest(this.#context, execution, now);
  }

  /** One body of a wrapper that posts. */
  postIngest(execution: string, body: string, now: number) {
    return postIngest(this.#context, execution, body, now);
  }

  /** Why a viewer that asks for this would be refused, or null. */
  refuseViewer(request: ViewerRequest): Failure | null {
    const admitted: Result<object> = operations.admitViewer(this.#context, request);
    return admitted.ok ? null : admitted;
  }

  connectViewer(ws: SessionSocket, request: ViewerRequest): void {
    const admitted: Result<object> = operations.admitViewer(this.#context, request);
    this.#context.runtime.acceptWebSocket(ws, [VIEWER_TAG]);
    if (admitted.ok) {
      this.#context.viewers.begin(ws, request);
      if (request.until) this.#context.alarm.arm(this.#context.runtime.now());
    } else {
      closeSocket(ws, closeCodeOfRefusedViewer(admitted), admitted.code);
    }
  }

  onMessage(ws: SessionSocket, message: string | ArrayBuffer, now: number): void {
    const attachment = attachmentOf(ws);
    // Messages that were in transit when the session was deleted find no tables.
    if (!this.#context.store.exists) return this.#refuseDeleted(ws, attachment, now);
    if (attachment?.role === 'ingest') {
      onIngestMessage(this.#context, ws, attachment, message, now);
    } else if (attachment?.role === 'viewer') {
      this.#context.viewers.onMessage(ws, attachment.state, message);
    } else {
      closeSocket(ws, CLOSE.badFrame, 'this connection was refused');
    }
  }

  #refuseDeleted(ws: SessionSocket, attachment: Attachment | null, now: number): void {
    closeSocket(ws, CLOSE.notFound, attachment?.role === 'ingest' ? notFoundReason(this.#context, now) : 'session_not_found');
  }

  onClose(ws: SessionSocket, code: number, reason: string, now: number): void {
    answerClose(ws, code, reason);
    const attachment = attachmentOf(ws);
    if (attachment?.role !== 'ingest') return;
    loseIngest(this.#context, ws, attachment, { reason: 'closed', wsCloseCode: code, wsCloseReason: reason }, now);
  }

  onError(ws: SessionSocket, message: string, now: number): void {
    const attachment = attachmentOf(ws);
    if (attachment?.role !== 'ingest') return;
    loseIngest(
      this.#context,
      ws,
      attachment,
      { reason: 'connection_lost', wsCloseCode: 1006, wsCloseReason: message.slice(0, 100) },
      now,
    );
  }

  // ── what a caller asks for ─────────────────────────────────────────────────────────────────────

  startExecution(request: NormalStart, refusal: Failure | null, now: number) {
    return operations.startExecution(this.#context, request, refusal, now);
  }

  getExecution(id: string, generation?: string | null) {
    return operations.getExecution(this.#context, id, generation);
  }

  listExecutions(query: ExecutionQuery) {
    return operations.listExecutions(this.#context, query);
  }

  interruptExecution(id: string, options: { reason: string; force: boolean }, now: number) {
    return operations.interruptExecution(this.#context, id, options, now);
  }

  claimLaunch(id: string, claim: Claim, now: number) {
    return operations.claimLaunch(this.#context, id, claim, now);
  }

  recallLease(id: string, request: RecallRequest, now: number) {
    return operations.recallLease(this.#context, id, request, now);
  }

  noteWaitReason(id: string, reason: WaitReason, now: number) {
    return operations.noteWaitReason(this.#context, id, reason, now);
  }

  failExecution(id: string, failed: { code: string; message: string }, now: number) {
    return operations.failExecution(this.#context, id, failed, now);
  }

  acceptInput(id: string, input: NormalInput, now: number) {
    return operations.acceptInput(this.#context, id, input, now);
  }

  answerQuestion(id: string, answer: NormalAnswer, now: number) {
    return operations.answerQuestion(this.#context, id, answer, now);
  }

  resizeTerminal(id: string, size: TerminalSize, by: Author, now: number) {
    return operations.resizeTerminal(this.#context, id, size, by, now);
  }

  getSession() {
    return operations.getSession(this.#context);
  }

  readEvents(query: ReadQuery) {
    return operations.readEvents(this.#context, query);
  }

  /**
   * Waits until the directory and the launcher have the message, or cannot be reached for now. A
   * session that expires needs no such wait: it was idle for 90 days, so it has no container.
   */
  async deleteSession(now: number): Promise<Result<object>> {
    const { runtime, services } = this.#context;
    if (!eraseSession(this.#context, 'requested', now)) return operations.sessionNotFound;
    const released = services.release();
    runtime.waitUntil(released);
    await beginDelivery(this.#context);
    await released;
    return { ok: true };
  }

  // ── time ───────────────────────────────────────────────────────────────────────────────────────

  /**
   * Carries out everything that is due. Works early, late, twice, and with nothing due. The clock
   * is read again after the launch, which takes time.
   */
  async onAlarm(now: number, clock: () => number): Promise<void> {
    const { alarm, store, viewers } = this.#context;
    alarm.fired();
    try {
      if (store.exists) {
        for (const { id } of store.executions.open()) expireDue(this.#context, id, now);
        disconnectSilent(this.#context, now);
        closeSocketsWithoutHello(this.#context, now);
        viewers.closeExpired(now);
        viewers.resume();
        if (this.#expired(now)) this.#expire(now);
      }
      beginDueDelivery(this.#context, now);
      beginDueCallbacks(this.#context, now);
      if (!store.exists) this.#context.runtime.waitUntil(deleteStorageIfDone(this.#context, now));
    } finally {
      alarm.arm(now);
    }
    const launched = launchDue(this.#context, now, clock).then(() => alarm.arm(clock()));
    // LIF20: the next alarm fires only when this one has ended, so a slow launcher would delay the
    // deadlines of the others. What is lost with the object is launched again (LAUNCH_LEASE_MS).
    if (store.exists && store.executions.active().length > 1) this.#context.runtime.waitUntil(launched);
    else await launched;
  }

  /** LIF30: the session has been idle for so long that it is deleted. */
  #expired(now: number): boolean {
    const inputs = this.#deadlineInputs();
    return inputs?.open.length === 0 && (inputs.lastActivityAt ?? now) + RETENTION_MS <= now;
  }

  #expire(now: number): void {
    eraseSession(this.#context, 'expired', now);
    void beginDelivery(this.#context);
  }

  #deadlineInputs(): DeadlineInputs | null {
    const { store, runtime, viewers } = this.#context;
    const outboxDueAt = earliest(dueOf(store.outbox.get('directory'), store), store.callbacks.nextDueAt);
    if (!store.exists) return outboxDueAt === null ? null : { ...NO_DEADLINES, outboxDueAt };
    const open = store.executions.open().map((record) => {
      const connected = record.status === 'running' && record.connected;
      return {
        record,
        // A connection without any sign of life is overdue.
        heardAt: connected ? (lastHeardAt(this.#context, record) ?? 0) : null,
        takenAt: connected ? store.log.takenAt(record.id, record.firstOffset) : null,
      };
    });
    const unbound = ingestSockets(runtime).filter(({ ws, attachment }) => attachment.epoch === null && isOpen(ws));
    return {
      open,
      unboundSince: unbound.map(({ attachment }) => attachment.acceptedAt),
      replaying: viewers.replaying,
      ticketUntil: viewers.nextUntil,
      lastActivityAt: lastActivityAt(store),
      outboxDueAt,
    };
  }
}

const earliest = (a: number | null, b: number | null): number | null => (a === null || b === null ? (a ?? b) : Math.min(a, b));

/** A deleted session whose messages are all delivered waits for the end of its tombstone. */
function dueOf(record: OutboxRecord | null, { exists, callbacks, tombstoneUntil }: Store): number | null {
  const delivered = record && !exists && !isWaiting(record) && callbacks.nextDueAt === null;
  return delivered && tombstoneUntil > 0 ? tombstoneUntil : (record?.dueAt ?? null);
}

/** A deleted session has no deadline except that of its outbox. */
const NO_DEADLINES: DeadlineInputs = {
  open: [],
  unboundSince: [],
  replaying: false,
  ticketUntil: null,
  lastActivityAt: null,
  outboxDueAt: null,
};
