/**
 * The unmodified Worker, with objects that count their operations. `GET
 * /bench/counts/{tenant}/{session}` returns the counts of a session, `GET
 * /bench/pool-counts/{tenant}/{pool}` those of a pool. `POST
 * /bench/pool-offers/{tenant}/{pool}/{from}/{to}` lets so many executions wait in a pool, for
 * runners that do not exist.
 */

import holdfast from '../../src/index.ts';
import type { Env } from '../../src/platform/env.ts';
import { RunnerPool as OriginalPool } from '../../src/pool/runner-pool.ts';
import { SessionCoordinator as OriginalSession } from '../../src/session/coordinator.ts';
import { countsOf, settledCounts, watch } from './counters.ts';

// All of its other exports; the classes of the objects are those below.
export * from '../../src/index.ts';

interface Handlers {
  fetch(request: Request): Promise<Response>;
  alarm(): Promise<void>;
  webSocketMessage(ws: WebSocket, message: string | ArrayBuffer): void;
  webSocketClose(ws: WebSocket, code: number, reason: string): void;
}

const HANDLERS = new Set(['constructor', 'fetch', 'alarm', 'webSocketMessage', 'webSocketClose', 'webSocketError']);

const poolName = (name: string): string => `pool ${name}`;

/** Counts the calls of a class's methods, by the name of the object. */
function counted(prototype: Handlers, nameOf: (object: Handlers) => string): void {
  const original = Object.getPrototypeOf(prototype) as Handlers & Record<string, (...args: unknown[]) => unknown>;
  const count = (method: string, what: 'requests' | 'alarms' | 'messages' | 'closes'): void => {
    const own = original[method];
    if (typeof own !== 'function') return;
    Object.defineProperty(prototype, method, {
      value(this: Handlers, ...args: unknown[]) {
        countsOf(nameOf(this))[what] += 1;
        return own.apply(this, args);
      },
    });
  };
  count('fetch', 'requests');
  count('alarm', 'alarms');
  count('webSocketMessage', 'messages');
  count('webSocketClose', 'closes');
  // Every other method is an operation that the Worker calls: one request each.
  for (const name of Object.getOwnPropertyNames(original)) if (!HANDLERS.has(name)) count(name, 'requests');
}

const names = new WeakMap<object, string>();
const nameOf = (object: object): string => names.get(object) ?? '';

export class SessionCoordinator extends OriginalSession {
  constructor(ctx: DurableObjectState, env: Env) {
    const name = ctx.id.name ?? '';
    watch(ctx.storage, name);
    countsOf(name).wakes += 1;
    super(ctx, env);
    names.set(this, name);
  }
}
counted(SessionCoordinator.prototype, nameOf);

export class RunnerPool extends OriginalPool {
  constructor(ctx: DurableObjectState, env: Env) {
    const name = poolName(ctx.id.name ?? '');
    watch(ctx.storage, name);
    countsOf(name).wakes += 1;
    super(ctx, env);
    names.set(this, name);
  }

  async offerMany(from: number, to: number): Promise<number> {
    const terms = { requires: { gpu: 'none' }, needs: [], priority: 10, concurrency: null };
    const waitUntil = Date.now() + 24 * 60 * 60_000;
    for (let index = from; index < to; index += 1) this.offer({ session: `waits-${index}`, execution: 'e1', ...terms, waitUntil });
    return to - from;
  }
}
counted(RunnerPool.prototype, nameOf);

export default {
  async fetch(request, env, ctx) {
    const [, bench, kind, tenant, name, from, to] = new URL(request.url).pathname.split('/');
    if (bench !== 'bench') return holdfast.fetch(request, env, ctx);
    const object = `${tenant}/${name}`;
    if (kind === 'pool-offers') {
      const pool = env.POOLS.getByName(object) as unknown as { offerMany(from: number, to: number): Promise<number> };
      return Response.json({ waiting: await pool.offerMany(Number(from), Number(to)) });
    }
    return Response.json(settledCounts(kind === 'pool-counts' ? poolName(object) : object));
  },
} satisfies ExportedHandler<Env>;
