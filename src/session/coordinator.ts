/**
 * The Durable Object of one session, named `tenant/session`. It passes the platform's events and
 * the Worker's calls to session.ts, and decides nothing.
 */

import { DurableObject } from 'cloudflare:workers';
import {
  type Author,
  type Failure,
  INGEST_SUBPROTOCOL,
  PING,
  PONG,
  STREAM_SUBPROTOCOL,
  type TerminalSize,
  type WaitReason,
} from '../../protocol/index.ts';
import { inputOfEarlierWorker } from '../contract/input.ts';
import type { NormalAnswer } from '../core/asking.ts';
import type { Claim } from '../core/assignment.ts';
import type { NormalInput } from '../core/input.ts';
import type { RecallRequest } from '../core/pool-messages.ts';
import type { ExecutionQuery, SessionRuntime } from '../core/ports.ts';
import type { Env } from '../platform/env.ts';
import { errorMessage, logLine, type SessionLog } from '../platform/log.ts';
import { splitName } from '../platform/object-name.ts';
import { SessionStore } from '../storage/store.ts';
import {
  type NormalStart,
  REQUEST_HEADER,
  type ReadQuery,
  type Refusal,
  type SessionOperations,
  type SocketRequest,
} from './contract.ts';
import { Session } from './session.ts';
import { WorkerServices } from './worker-services.ts';

/** Between two rounds of a replay. */
const PAUSE_MS = 1;

export class SessionCoordinator extends DurableObject<Env> implements SessionOperations {
  readonly #session: Session;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const { tenant, session } = splitName(ctx.id.name);
    const store = new SessionStore(ctx.storage, Date.now());
    const log: SessionLog = (level, event, fields) => logLine(level, event, { tenant, session, ...fields });
    const services = new WorkerServices({ env, tenant, session, createdAt: () => store.createdAt, state: ctx, log });
    this.#session = new Session(platformRuntime(ctx), store, session, services, log);
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
    ctx.blockConcurrencyWhile(() => this.#session.wake(Date.now()));
  }

  /** Upgrades only; the Worker has checked the credential and every parameter. */
  override async fetch(request: Request): Promise<Response> {
    const wanted = JSON.parse(request.headers.get(REQUEST_HEADER) ?? 'null') as SocketRequest | null;
    if (!wanted) return new Response('not a request of the Worker', { status: 400 });
    // VER8: a Worker of a later version, while both versions are deployed. It can ask again when
    // this object has that version too.
    if (wanted.kind !== 'ingest' && wanted.kind !== 'stream') {
      return new Response('not a request that this version knows', { status: 503, headers: { 'retry-after': '5' } });
    }
    const refused = wanted.answerRefusals ? this.#refusalOf(wanted) : null;
    if (refused) return Response.json(refused);
    const { 0: client, 1: server } = new WebSocketPair();
    if (wanted.kind === 'ingest') {
      this.#session.connectIngest(server, wanted.execution, Date.now());
    } else {
      this.#session.connectViewer(server, wanted.request);
    }
    const protocol = wanted.kind === 'ingest' ? INGEST_SUBPROTOCOL : STREAM_SUBPROTOCOL;
    const offered = request.headers.get('sec-websocket-protocol');
    return new Response(null, { status: 101, webSocket: client, headers: offered ? { 'sec-websocket-protocol': protocol } : {} });
  }

  #refusalOf(wanted: SocketRequest): Failure | Refusal | null {
    if (wanted.kind === 'ingest') return this.#session.refuseWrapper(wanted.execution, Date.now());
    return this.#session.refuseViewer(wanted.request);
  }

  override webSocketMessage(ws: WebSocket, message: string | ArrayBuffer): void {
    this.#session.onMessage(ws, message, Date.now());
  }

  override webSocketClose(ws: WebSocket, code: number, reason: string): void {
    this.#session.onClose(ws, code, reason, Date.now());
  }

  override webSocketError(ws: WebSocket, error: unknown): void {
    this.#session.onError(ws, errorMessage(error), Date.now());
  }

  /** The platform's argument is not used: some runtimes omit it, and the rows say what is due. */
  override async alarm(): Promise<void> {
    await this.#session.onAlarm(Date.now(), Date.now);
  }

  // ── operations, each one synchronous turn ──────────────────────────────────────────────────────

  startExecution(request: NormalStart, refusal: Failure | null = null) {
    return this.#session.startExecution(request, refusal, Date.now());
  }
  getExecution(id: string, generation?: string | null) {
    return this.#session.getExecution(id, generation);
  }
  listExecutions(query: ExecutionQuery) {
    return this.#session.listExecutions(query);
  }
  interruptExecution(id: string, options: { reason: string; force: boolean }) {
    return this.#session.interruptExecution(id, options, Date.now());
  }
  claimLaunch(id: string, claim: Claim) {
    return this.#session.claimLaunch(id, claim, Date.now());
  }
  recallLease(id: string, request: RecallRequest) {
    return this.#session.recallLease(id, request, Date.now());
  }
  noteWaitReason(id: string, reason: WaitReason) {
    return this.#session.noteWaitReason(id, reason, Date.now());
  }
  failExecution(id: string, failed: { code: string; message: string }) {
    return this.#session.failExecution(id, failed, Date.now());
  }
  acceptInput(id: string, input: NormalInput) {
    return this.#session.acceptInput(id, input, Date.now());
  }
  async sendInput(id: string, text: string, input?: NormalInput) {
    return this.acceptInput(id, input ?? (await inputOfEarlierWorker(text)));
  }
  answerQuestion(id: string, answer: NormalAnswer) {
    return this.#session.answerQuestion(id, answer, Date.now());
  }
  resizeTerminal(id: string, size: TerminalSize, by: Author) {
    return this.#session.resizeTerminal(id, size, by, Date.now());
  }
  postIngest(execution: string, body: string) {
    return this.#session.postIngest(execution, body, Date.now());
  }
  deleteSession() {
    return this.#session.deleteSession(Date.now());
  }
  getSession() {
    return this.#session.getSession();
  }
  readEvents(query: ReadQuery) {
    return this.#session.readEvents(query);
  }
}

function platformRuntime(ctx: DurableObjectState): SessionRuntime {
  return {
    getWebSockets: (tag) => ctx.getWebSockets(tag),
    acceptWebSocket: (ws, tags) => ctx.acceptWebSocket(ws as WebSocket, tags),
    lastPingAt: (ws) => ctx.getWebSocketAutoResponseTimestamp(ws as WebSocket)?.getTime() ?? null,
    getAlarm: () => ctx.storage.getAlarm(),
    setAlarm: (at) => ctx.storage.setAlarm(at),
    pause: () => scheduler.wait(PAUSE_MS),
    waitUntil: (work) => ctx.waitUntil(work),
    now: () => Date.now(),
    deleteAll: () => ctx.storage.deleteAll(),
  };
}
