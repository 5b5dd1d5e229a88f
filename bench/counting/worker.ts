/**
 * The unmodified Worker, with an object that counts its operations. `GET
 * /bench/counts/{tenant}/{session}` returns the counts.
 */

import holdfast from '../../src/index.ts';
import type { Env } from '../../src/platform/env.ts';
import { SessionCoordinator as Original } from '../../src/session/coordinator.ts';
import { countsOf, settledCounts, watch } from './counters.ts';

// All of its other exports; the object's class is the one below.
export * from '../../src/index.ts';

const HANDLERS = new Set(['constructor', 'fetch', 'alarm', 'webSocketMessage', 'webSocketClose', 'webSocketError']);

export class SessionCoordinator extends Original {
  readonly #name: string;

  constructor(ctx: DurableObjectState, env: Env) {
    const name = ctx.id.name ?? '';
    watch(ctx.storage, name);
    countsOf(name).wakes += 1;
    super(ctx, env);
    this.#name = name;
  }

  override fetch(request: Request): Promise<Response> {
    countsOf(this.#name).requests += 1;
    return super.fetch(request);
  }

  override alarm(): Promise<void> {
    countsOf(this.#name).alarms += 1;
    return super.alarm();
  }

  override webSocketMessage(ws: WebSocket, message: string | ArrayBuffer): void {
    countsOf(this.#name).messages += 1;
    super.webSocketMessage(ws, message);
  }

  override webSocketClose(ws: WebSocket, code: number, reason: string): void {
    countsOf(this.#name).closes += 1;
    super.webSocketClose(ws, code, reason);
  }
}

// Every other method is an operation that the Worker calls: one request each.
for (const name of Object.getOwnPropertyNames(Original.prototype)) {
  const original = (Original.prototype as unknown as Record<string, (...args: unknown[]) => unknown>)[name];
  if (HANDLERS.has(name) || typeof original !== 'function') continue;
  Object.defineProperty(SessionCoordinator.prototype, name, {
    value(this: { ctx: DurableObjectState }, ...args: unknown[]) {
      countsOf(this.ctx.id.name ?? '').requests += 1;
      return original.apply(this, args);
    },
  });
}

export default {
  fetch(request, env, ctx) {
    const [, , , tenant, session] = new URL(request.url).pathname.split('/');
    if (new URL(request.url).pathname.startsWith('/bench/counts/')) return Response.json(settledCounts(`${tenant}/${session}`));
    return holdfast.fetch(request, env, ctx);
  },
} satisfies ExportedHandler<Env>;
