/** What each route does after the middleware of its group (groups.ts) has let the request in. */

import { type Failure, START_BODY_BYTES_MAX } from '../../protocol/index.ts';
import { VERSION } from '../../protocol/version.ts';
import { failure } from '../contract/failure.ts';
import * as pools from '../operations/pools.ts';
import * as service from '../operations/service.ts';
import { obsoleteSettings } from '../platform/config.ts';
import { readText } from './body.ts';
import type { Handlers } from './context.ts';
import { readStream } from './durable-streams.ts';
import { describeApi } from './openapi/document.ts';
import type { Group } from './routes.ts';
import { upgradeRunner } from './runner-upgrade.ts';
import { listParams, readExecution, readExecutions, readSession } from './session-reads.ts';
import { streamEvents } from './sse.ts';
import { readTextLog } from './text-log.ts';
import { postToIngest, upgradeIngest, upgradeStream, wantsUpgrade } from './upgrades.ts';

/** Made once, because anyone may ask for it. */
let description: string | null = null;

const publicRoutes: Handlers<'public'> = {
  getHealth: (c) => {
    const warnings = obsoleteSettings(c.env);
    return c.json({ status: 'ok', version: VERSION, ...(warnings.length > 0 ? { warnings } : {}) });
  },

  /** HTTP24: the interface is public, and tools that read it have no credential. */
  getDescription: (c) => {
    description ??= JSON.stringify(describeApi(VERSION));
    return c.body(description, 200, { 'content-type': 'application/json', 'cache-control': 'public, max-age=300' });
  },
};

const ingest: Handlers<'ingest'> = {
  dialIn: (c) => upgradeIngest(c.req.raw, c.env, c.get('wrapper')),
  postIngest: (c) => postToIngest(c.req.raw, c.env, c.get('wrapper')),
};

const reader: Handlers<'reader'> = {
  getSession: (c) => readSession(c.get('reader'), c.req.param('session')),
  listExecutions: (c) => readExecutions(c.req.raw, c.get('reader'), c.req.param('session')),
  getExecution: (c) => readExecution(c.req.raw, c.get('reader'), c.req.param()),
  followSession: (c) => {
    const follow = wantsUpgrade(c.req.raw) ? upgradeStream : streamEvents;
    return follow(c.req.raw, c.get('reader'), c.req.param('session'));
  },
  readEvents: (c) => readStream(c.req.raw, c.get('reader'), c.req.param()),
  readExecutionEvents: (c) => readStream(c.req.raw, c.get('reader'), c.req.param()),
  readLog: (c) => readTextLog(c.req.raw, c.get('reader'), c.req.param()),
};

const actor: Handlers<'actor'> = {
  interruptExecution: async (c) => {
    const { session, execution } = c.req.param();
    const body = await readJson(c.req.raw, {});
    if (!body.ok) return body;
    const result = await service.interruptExecution(c.get('caller'), session, execution, body.value);
    if (!result.ok) return result;
    return c.json({ settled: result.settled, execution: result.execution }, result.accepted ? 202 : 200);
  },

  sendInput: async (c) => {
    const { session, execution } = c.req.param();
    const body = await readJson(c.req.raw);
    if (!body.ok) return body;
    const result = await service.sendInput(c.get('caller'), session, execution, body.value);
    return result.ok ? c.json({ commandId: result.commandId }, 202) : result;
  },

  answerQuestion: async (c) => {
    const { session, execution } = c.req.param();
    const body = await readJson(c.req.raw);
    if (!body.ok) return body;
    const idempotencyKey = c.req.header('idempotency-key');
    const result = await service.answerQuestion(c.get('caller'), session, execution, body.value, idempotencyKey);
    return result.ok ? c.json({ commandId: result.commandId }, 202) : result;
  },

  resizeTerminal: async (c) => {
    const { session, execution } = c.req.param();
    const body = await readJson(c.req.raw);
    if (!body.ok) return body;
    const result = await service.resizeTerminal(c.get('caller'), session, execution, body.value);
    return result.ok ? c.json({ terminal: result.terminal, changed: result.changed }) : result;
  },
};

const key: Handlers<'key'> = {
  listSessions: async (c) => {
    const query = listParams(new URL(c.req.url).searchParams);
    if ('code' in query) return query;
    const listed = await service.listSessions(c.get('caller'), query);
    return listed.ok ? c.json({ data: listed.data, next: listed.next }) : listed;
  },

  deleteSession: async (c) => {
    const deleted = await service.deleteSession(c.get('caller'), c.req.param('session'));
    return deleted.ok ? c.body(null, 204) : deleted;
  },

  createTicket: async (c) => {
    const body = await readJson(c.req.raw, {});
    if (!body.ok) return body;
    const result = await service.createTicket(c.get('caller'), c.req.param('session'), body.value);
    if (!result.ok) return result;
    const { ok: _, ...made } = result;
    return c.json(made, 201);
  },

  startExecution: async (c) => {
    const body = await readJson(c.req.raw);
    if (!body.ok) return body;
    const idempotencyKey = c.req.header('idempotency-key');
    const started = await service.startExecution(c.get('caller'), c.req.param('session'), body.value, idempotencyKey);
    if (!started.ok) return started;
    const { created, execution, ingest } = started;
    const path = `/v1/sessions/${execution.session}/executions/${execution.id}`;
    return c.json({ execution, ingest }, created ? 201 : 200, { location: path });
  },

  failExecution: async (c) => {
    const { session, execution } = c.req.param();
    const body = await readJson(c.req.raw);
    if (!body.ok) return body;
    const result = await service.failExecution(c.get('caller'), session, execution, body.value);
    return result.ok ? c.json({ settled: result.settled, execution: result.execution }) : result;
  },

  listPools: async (c) => {
    const listed = await pools.listPools(c.get('caller'));
    return listed.ok ? c.json({ data: listed.data }) : listed;
  },

  getPool: async (c) => {
    const found = await pools.getPool(c.get('caller'), c.req.param('pool'));
    return found.ok ? c.json({ pool: found.pool }) : found;
  },

  createRunnerKey: async (c) => {
    const body = await readJson(c.req.raw);
    if (!body.ok) return body;
    const made = await pools.createRunnerKey(c.get('caller'), c.req.param('pool'), body.value);
    return made.ok ? c.json(made.created, 201) : made;
  },

  listRunnerKeys: async (c) => {
    const listed = await pools.listRunnerKeys(c.get('caller'), c.req.param('pool'));
    return listed.ok ? c.json({ data: listed.data }) : listed;
  },

  drainRunner: async (c) => {
    const id = c.req.param('runner');
    const drained = await pools.drainRunner(c.get('caller'), c.req.param('pool'), id);
    return drained.ok ? c.json({ runner: { id, draining: true } }, 202) : drained;
  },

  removeRunner: async (c) => {
    const removed = await pools.removeRunner(c.get('caller'), c.req.param('pool'), c.req.param('runner'));
    return removed.ok ? c.body(null, 204) : removed;
  },

  revokeRunnerKey: async (c) => {
    const revoked = await pools.revokeRunnerKey(c.get('caller'), c.req.param('pool'), c.req.param('key'));
    return revoked.ok ? c.body(null, 204) : revoked;
  },

  getMetrics: async (c) => {
    const listed = await pools.listPools(c.get('caller'));
    if (!listed.ok) return listed;
    return c.body(pools.metricsText(listed.data, Date.now()), 200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
  },
};

const runner: Handlers<'runner'> = {
  connectRunner: (c) => upgradeRunner(c.req.raw, c.env, c.get('config'), c.get('runner')),
};

export const HANDLERS: { [G in Group]: Handlers<G> } = { public: publicRoutes, ingest, reader, actor, key, runner };

/**
 * Reads a JSON body of bounded size; `whenEmpty` replaces an empty one. Not hono/body-limit: it
 * trusts `Content-Length`, and it cannot refuse a body that is not UTF-8.
 */
async function readJson(request: Request, whenEmpty?: unknown): Promise<{ ok: true; value: unknown } | Failure> {
  const body = await readText(request, START_BODY_BYTES_MAX);
  if (!body.ok) return body;
  if (body.text === '' && whenEmpty !== undefined) return { ok: true, value: whenEmpty };
  try {
    return { ok: true, value: JSON.parse(body.text) };
  } catch {
    return failure('bad_request', 'The body must be JSON text in UTF-8.');
  }
}
