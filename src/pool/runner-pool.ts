/**
 * The Durable Object of one pool, named `tenant/pool`. It passes the platform's events and the
 * Worker's calls to pool.ts, and decides nothing.
 */

import { DurableObject } from 'cloudflare:workers';
import { type Failure, PING, PONG, POOL_KEYS_MAX, type WaitReason } from '../../protocol/index.ts';
import { RUNNER_SUBPROTOCOL } from '../../protocol/pool.ts';
import type { PoolEntry } from '../core/pool-entry.ts';
import type { PoolOffer, RunnerKeyRecord } from '../core/pool-messages.ts';
import type { PoolRuntime, PoolServices } from '../core/pool-ports.ts';
import { type PoolCalls, RUNNER_HEADER, type RunnerUpgrade } from '../launch/pool.ts';
import type { Env } from '../platform/env.ts';
import { errorMessage, logLine, type PoolLog } from '../platform/log.ts';
import { splitName } from '../platform/object-name.ts';
import { within } from '../platform/time-limit.ts';
import { sessionStub } from '../session/call-object.ts';
import type { SessionCalls } from '../session/contract.ts';
import { Pool } from './pool.ts';
import { PoolRows } from './rows.ts';

/** A call to a session takes milliseconds; its rows are read and one is written. */
const CALL_TIMEOUT_MS = 10_000;

/** From the object's side an answer may be synchronous. */
type PoolOperations = {
  [M in keyof PoolCalls]: (...args: Parameters<PoolCalls[M]>) => ReturnType<PoolCalls[M]> | Awaited<ReturnType<PoolCalls[M]>>;
};

const refused: Failure = {
  ok: false,
  code: 'unauthorized',
  message:
    'This is not a key of this pool, or it has expired or was revoked. Make one with `holdfast runners key create`, or POST /v1/pools/{pool}/keys.',
};

export class RunnerPool extends DurableObject<Env> implements PoolOperations {
  readonly #pool: Pool;
  readonly #name: string;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const { tenant, session: pool } = splitName(ctx.id.name);
    this.#name = pool;
    const log: PoolLog = (level, event, fields) => logLine(level, event, { tenant, pool, ...fields });
    const store = new PoolRows(ctx.storage, Date.now());
    this.#pool = new Pool(platformRuntime(ctx), store, sessionServices(env, tenant, log), log);
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
    ctx.blockConcurrencyWhile(() => this.#pool.wake(Date.now()));
  }

  /** Upgrades only; the Worker has checked the form of the key. */
  override async fetch(request: Request): Promise<Response> {
    const wanted = JSON.parse(request.headers.get(RUNNER_HEADER) ?? 'null') as RunnerUpgrade | null;
    if (!wanted) return new Response('not a request of the Worker', { status: 400 });
    const now = Date.now();
    const key = this.#pool.admitKey(wanted.keyId, wanted.digest, now);
    if (!key) return Response.json(refused);
    const { 0: client, 1: server } = new WebSocketPair();
    this.#pool.connect(server, key, now);
    return new Response(null, { status: 101, webSocket: client, headers: { 'sec-websocket-protocol': RUNNER_SUBPROTOCOL } });
  }

  override webSocketMessage(ws: WebSocket, message: string | ArrayBuffer): void {
    this.#pool.onMessage(ws, message, Date.now());
  }

  override webSocketClose(ws: WebSocket, code: number, reason: string): void {
    this.#pool.onClose(ws, code, reason, Date.now());
  }

  override webSocketError(ws: WebSocket): void {
    this.#pool.onError(ws, Date.now());
  }

  override async alarm(): Promise<void> {
    this.#pool.onAlarm(Date.now());
  }

  offer(offer: PoolOffer) {
    return this.#pool.offer(offer, Date.now());
  }
  settled(session: string, execution: string) {
    return this.#pool.settled(session, execution, Date.now());
  }
  inspect(session: string, execution: string) {
    return this.#pool.inspect(session, execution);
  }
  poolExists() {
    return this.#pool.exists;
  }
  view() {
    return this.#pool.view(this.#name);
  }
  summary() {
    return this.#pool.summary(this.#name);
  }
  addKey(key: RunnerKeyRecord) {
    return this.#pool.addKey(key, POOL_KEYS_MAX, Date.now());
  }
  listKeys() {
    return this.#pool.keys();
  }
  drainRunner(id: string) {
    return this.#pool.exists ? this.#pool.drainRunner(id, Date.now()) : null;
  }
  removeRunner(id: string) {
    return this.#pool.exists ? this.#pool.removeRunner(id, Date.now()) : null;
  }
  revokeKey(id: string) {
    return this.#pool.exists ? this.#pool.revokeKey(id, Date.now()) : null;
  }
}

function platformRuntime(ctx: DurableObjectState): PoolRuntime {
  return {
    getWebSockets: (tag) => ctx.getWebSockets(tag),
    acceptWebSocket: (ws, tags) => ctx.acceptWebSocket(ws as WebSocket, tags),
    lastPingAt: (ws) => ctx.getWebSocketAutoResponseTimestamp(ws as WebSocket)?.getTime() ?? null,
    getAlarm: () => ctx.storage.getAlarm(),
    setAlarm: (at) => ctx.storage.setAlarm(at),
    waitUntil: (work) => ctx.waitUntil(work),
    now: () => Date.now(),
  };
}

/** Each call makes one attempt; the deadline of the row makes the next. */
function sessionServices(env: Env, tenant: string, log: PoolLog): PoolServices {
  async function call<T>(
    { session, execution }: Pick<PoolEntry, 'session' | 'execution'>,
    ask: (stub: SessionCalls) => Promise<T>,
  ): Promise<T | null> {
    try {
      return await within(CALL_TIMEOUT_MS, ask(sessionStub(env, tenant, session) as unknown as SessionCalls));
    } catch (error) {
      log('warn', 'session_call_failed', { session, execution, message: errorMessage(error) });
      return null;
    }
  }
  return {
    claim: (entry, runner) => call(entry, (stub) => stub.claimLaunch(entry.execution, { lease: entry.lease ?? 0, runner })),
    recall: (entry, request) => call(entry, (stub) => stub.recallLease(entry.execution, request)),
    tellReason: async (entry, reason: WaitReason) => {
      await call(entry, (stub) => stub.noteWaitReason(entry.execution, reason));
    },
  };
}
