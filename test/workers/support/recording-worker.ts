/**
 * The Worker with classes that print their calls and results, for scripts/record-frames.ts. A
 * session called `callback` has a queue that refuses every message, so that its stored callback can
 * be recorded.
 */

import worker, { TenantDirectory as Directory, SessionCoordinator as Session } from '../../../src/index.ts';
import type { Env } from '../../../src/platform/env.ts';
import { callSession } from '../../../src/session/call-object.ts';
import { REQUEST_HEADER } from '../../../src/session/contract.ts';

/** Only another Worker calls this operation, so the recorder has no other way to trigger it. */
const READ_EVENTS_PATH = '/v1/record/read-events/';

export default {
  ...worker,
  async fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    if (!pathname.startsWith(READ_EVENTS_PATH)) return worker.fetch(request, env, ctx);
    const session = pathname.slice(READ_EVENTS_PATH.length);
    return Response.json(await callSession(env, 'local', session, (stub) => stub.readEvents({ after: 0, limit: 2 })));
  },
} satisfies ExportedHandler<Env, never>;
/** The other exports of the configuration; the two classes below take precedence. */
export * from '../../../src/index.ts';

const PLATFORM = new Set(['constructor', 'alarm', 'fetch', 'webSocketMessage', 'webSocketClose', 'webSocketError']);

const tell = (call: { object: string; name: string | undefined; method: string; args: unknown[]; answer: unknown }): void => {
  console.log(`HOLDFAST_CALL ${JSON.stringify(call)}`);
};

type Method = (...args: unknown[]) => unknown;

/**
 * Gives the subclass a method for each method of the class, which calls it and records the call.
 */
function tellOfCalls(object: string, base: { prototype: object }, sub: { prototype: object }): void {
  for (const method of Object.getOwnPropertyNames(base.prototype).filter((name) => !PLATFORM.has(name))) {
    const inner = (base.prototype as Record<string, Method>)[method] as Method;
    Object.defineProperty(sub.prototype, method, {
      async value(this: { name: string }, ...args: unknown[]) {
        const answer = await inner.apply(this, args);
        tell({ object, name: this.name, method, args, answer });
        return answer;
      },
    });
  }
}

const brokenQueue = {
  send: () => Promise.reject(new Error('the queue takes nothing')),
  sendBatch: () => Promise.reject(new Error('the queue takes nothing')),
};

export class SessionCoordinator extends Session {
  readonly name: string;

  constructor(ctx: DurableObjectState, env: Env) {
    const name = ctx.id.name ?? '';
    super(ctx, name.endsWith('/callback') ? ({ ...env, CALLBACKS: brokenQueue } as unknown as Env) : env);
    this.name = name;
  }

  override async fetch(request: Request): Promise<Response> {
    const args = [JSON.parse(request.headers.get(REQUEST_HEADER) ?? 'null') as unknown];
    const answer = await super.fetch(request);
    tell({ object: 'session', name: this.name, method: 'fetch', args, answer: { status: answer.status } });
    return answer;
  }
}
tellOfCalls('session', Session, SessionCoordinator);

export class TenantDirectory extends Directory {
  readonly name: string;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.name = ctx.id.name ?? '';
  }
}
tellOfCalls('directory', Directory, TenantDirectory);
