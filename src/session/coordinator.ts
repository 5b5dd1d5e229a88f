/**
 * The Durable Object of one session, named `tenant/session`. It is wiring: who calls what. Decisions are in core/, their writing in commit.ts,
 * connections in ingest.ts and viewers.ts, time in alarm-clock.ts.
 *
 * It holds no connection registry and no timer that matters, so it may be evicted between any two of its turns.
 */

import { DurableObject } from 'cloudflare:workers';
import { CLOSE, type Failure, INGEST_SUBPROTOCOL, PING, PONG, STREAM_SUBPROTOCOL } from '../../protocol/index.ts';
import { type Horizon, RETENTION_MS } from '../core/deadlines.ts';
import { expire } from '../core/lifecycle.ts';
import type { Env } from '../env.ts';
import { logLine, messageOf } from '../log.ts';
import { SessionStore } from '../storage/store.ts';
import { AlarmClock } from './alarm-clock.ts';
import { commit, currentIngest } from './commit.ts';
import type { SessionContext } from './context.ts';
import { acceptIngest, closeSilentStrangers, loseIngest, onIngestMessage } from './ingest.ts';
import { launchDue } from './launch.ts';
import { findSilent, heardAt, reconcile } from './liveness.ts';
import * as operations from './operations.ts';
import { answerClose, attachmentOf, closeSocket, ingestSockets, isOpen, VIEWER_TAG } from './sockets.ts';
import { type ViewerRequest, Viewers } from './viewers.ts';

/** Header in which the Worker hands over what it verified; only the Worker can reach the object. */
export const REQUEST_HEADER = 'x-holdfast-request';

export type SocketRequest = { kind: 'ingest'; execution: string } | { kind: 'stream'; request: ViewerRequest };

export class SessionCoordinator extends DurableObject<Env> {
  readonly #context: SessionContext;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const [tenant = '', session = ''] = splitName(ctx.id.name ?? '');
    const store = new SessionStore(ctx.storage, Date.now());
    const alarm = new AlarmClock(ctx.storage, () => this.#horizon());
    const viewers = new Viewers(ctx, store, session, (work) => ctx.waitUntil(work));
    this.#context = { ctx, env, store, tenant, session, viewers, alarm };
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
    ctx.blockConcurrencyWhile(async () => {
      await alarm.load();
      if (!store.exists) return;
      const now = Date.now();
      reconcile(this.#context, now);
      alarm.arm(now);
      viewers.resume();
    });
  }

  /** Upgrades only; the Worker has checked the credential and every parameter. */
  override async fetch(request: Request): Promise<Response> {
    const wanted = JSON.parse(request.headers.get(REQUEST_HEADER) ?? 'null') as SocketRequest | null;
    if (!wanted) return new Response('not a request of the Worker', { status: 400 });
    const { 0: client, 1: server } = new WebSocketPair();
    if (wanted.kind === 'ingest') {
      acceptIngest(this.#context, server, wanted.execution, Date.now());
    } else {
      this.#acceptViewer(server, wanted.request);
    }
    const protocol = wanted.kind === 'ingest' ? INGEST_SUBPROTOCOL : STREAM_SUBPROTOCOL;
    const offered = request.headers.get('sec-websocket-protocol');
    return new Response(null, { status: 101, webSocket: client, headers: offered ? { 'sec-websocket-protocol': protocol } : {} });
  }

  #acceptViewer(ws: WebSocket, request: ViewerRequest): void {
    const admitted = operations.admitViewer(this.#context, request);
    this.ctx.acceptWebSocket(ws, [VIEWER_TAG]);
    if (admitted.ok) {
      this.#context.viewers.begin(ws, request);
    } else {
      closeSocket(ws, closeCodeOf(admitted), admitted.code);
    }
  }

  override webSocketMessage(ws: WebSocket, message: string | ArrayBuffer): void {
    const attachment = attachmentOf(ws);
    if (attachment?.role === 'ingest') {
      onIngestMessage(this.#context, ws, attachment, message, Date.now());
    } else if (attachment?.role === 'viewer') {
      this.#context.viewers.onMessage(ws, attachment.state, message);
    } else {
      closeSocket(ws, CLOSE.badFrame, 'this connection was refused');
    }
  }

  override webSocketClose(ws: WebSocket, code: number, reason: string): void {
    answerClose(ws, code, reason);
    const attachment = attachmentOf(ws);
    if (attachment?.role !== 'ingest') return;
    loseIngest(this.#context, ws, attachment, { reason: 'closed', wsCloseCode: code, wsCloseReason: reason }, Date.now());
  }

  override webSocketError(ws: WebSocket, error: unknown): void {
    const attachment = attachmentOf(ws);
    if (attachment?.role !== 'ingest') return;
    const facts = { reason: 'connection_lost', wsCloseCode: 1006, wsCloseReason: messageOf(error).slice(0, 100) };
    loseIngest(this.#context, ws, attachment, facts, Date.now());
  }

  /** Works without its argument, early, late, twice, and with nothing due. */
  override async alarm(): Promise<void> {
    const { alarm, store } = this.#context;
    alarm.fired();
    if (!store.exists) return;
    const now = Date.now();
    if (await this.#deleteWhenExpired(now)) return;
    try {
      this.#expireAll(now);
      findSilent(this.#context, now);
      closeSilentStrangers(this.#context, now);
      this.#context.viewers.resume();
    } finally {
      alarm.arm(now);
    }
    await launchDue(this.#context, now);
    alarm.arm(Date.now());
  }

  #expireAll(now: number): void {
    for (const { id } of this.#context.store.executions.open()) {
      // An interrupt at the time limit leaves a new deadline behind, which may be over too when the alarm is late.
      for (let record = this.#context.store.executions.get(id); record; record = this.#context.store.executions.get(id)) {
        const transition = expire(record, now);
        if (!transition || !commit(this.#context, id, transition, now)) break;
      }
    }
  }

  async #deleteWhenExpired(now: number): Promise<boolean> {
    const horizon = this.#horizon();
    if (!horizon || horizon.open.length > 0 || horizon.lastActivityAt + RETENTION_MS > now) return false;
    logLine('info', 'session_expired', { session: this.#context.session });
    this.#context.viewers.closeAll(CLOSE.notFound, 'session_not_found');
    await this.ctx.storage.deleteAll();
    this.ctx.abort('the session was deleted');
    return true;
  }

  #horizon(): Horizon | null {
    const { store, ctx, viewers } = this.#context;
    if (!store.exists) return null;
    const open = store.executions.open();
    const running = open.find(({ status, connected }) => status === 'running' && connected);
    const socket = running ? currentIngest(this.#context, running) : null;
    const unbound = ingestSockets(ctx).filter(({ ws, attachment }) => attachment.epoch === null && isOpen(ws));
    return {
      open,
      heardAt: running ? (socket ? heardAt(this.#context, running, socket.ws) : 0) : null,
      unboundSince: unbound.map(({ attachment }) => attachment.acceptedAt),
      replaying: viewers.replaying,
      lastActivityAt: store.log.lastReceivedAt ?? Number(store.meta.get('created_at')),
    };
  }

  // ── operations, each one synchronous turn ─────────────────────────────────────────────────────────────────────────

  startExecution(request: operations.NormalStart) {
    return operations.startExecution(this.#context, request, Date.now());
  }
  getExecution(id: string) {
    return operations.getExecution(this.#context, id);
  }
  listExecutions(query: operations.ListQuery) {
    return operations.listExecutions(this.#context, query);
  }
  interruptExecution(id: string, options: { reason: string; force: boolean }) {
    return operations.interruptExecution(this.#context, id, options, Date.now());
  }
  failExecution(id: string, failure: { code: string; message: string }) {
    return operations.failExecution(this.#context, id, failure, Date.now());
  }
  sendInput(id: string, text: string) {
    return operations.sendInput(this.#context, id, text, Date.now());
  }
  getSession() {
    return operations.getSession(this.#context);
  }
  readEvents(query: { after: number; limit: number }) {
    return operations.readEvents(this.#context, query);
  }
}

/** Session ids may not contain a slash, so the first one divides. */
function splitName(name: string): string[] {
  const cut = name.indexOf('/');
  return [name.slice(0, Math.max(0, cut)), name.slice(cut + 1)];
}

/** A browser can not read the status of a refused upgrade, so refusals are close codes. */
function closeCodeOf({ code }: Failure): number {
  switch (code) {
    case 'offset_ahead':
    case 'offset_expired':
      return CLOSE.offsetUnavailable;
    case 'overloaded':
      return CLOSE.tooManyConnections;
    default:
      return CLOSE.notFound;
  }
}
