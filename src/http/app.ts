/** HTTP: routes and what they have in common. Every route but /healthz needs a configured deployment, and every one but that and /openapi.json a credential. */

import { type Context, Hono } from 'hono';
import { matchedRoutes } from 'hono/route';
import {
  type Failure,
  isId,
  newRequestId,
  type Problem,
  type Result,
  START_BODY_BYTES_MAX,
  URL_CHARS_MAX,
} from '../../protocol/index.ts';
import { failure, urlTooLong } from '../contract/failure.ts';
import * as service from '../operations/service.ts';
import { type Config, readConfig } from '../platform/config.ts';
import type { Env } from '../platform/env.ts';
import { logLine, messageOf, stackOf } from '../platform/log.ts';
import { type RateKind, refusalByRate } from '../platform/rate-limits.ts';
import { VERSION } from '../platform/version.ts';
import { authenticateKey } from './auth.ts';
import { readText } from './body.ts';
import { readStream } from './durable-streams.ts';
import { hstsFor } from './hsts.ts';
import { describeApi } from './openapi/document.ts';
import { problemResponse } from './problem.ts';
import { preflight, withCors } from './readers.ts';
import { listParams, readExecution, readExecutions, readSession } from './session-reads.ts';
import { streamEvents, wantsEventStream } from './sse.ts';
import { readTextLog } from './text-log.ts';
import { postToIngest, upgradeIngest, upgradeStream, wantsUpgrade } from './upgrades.ts';

type Variables = { requestId: string; config: Config; caller: service.Caller };
type AppEnv = { Bindings: Env; Variables: Variables };

export const app = new Hono<AppEnv>();

app.use(async (c, next) => {
  const given = c.req.header('x-request-id');
  c.set('requestId', isId(given) ? given : newRequestId());
  await next();
  // The headers of an upgrade's answer belong to the runtime.
  if (c.res.status === 101) return;
  c.res.headers.set('x-request-id', c.get('requestId'));
  // HTTP20: a ticket in the address is no Authorization header, so nothing else would keep a shared cache from the answer.
  if (!c.res.headers.has('cache-control')) c.res.headers.set('cache-control', 'no-store');
  c.res.headers.set('x-content-type-options', 'nosniff');
  const hsts = hstsFor(c.req.url);
  if (hsts !== null) c.res.headers.set('strict-transport-security', hsts);
  if (c.res.status >= 500) await reportFailure(c);
});

/** LIM14. Of a viewer the stream itself says it (STR1). */
app.use(async (c, next) => {
  const { url } = c.req.raw;
  if (url.length <= URL_CHARS_MAX || (wantsUpgrade(c.req.raw) && STREAM_PATH.test(new URL(url).pathname))) return next();
  return problemResponse(urlTooLong(), c.get('requestId'));
});

app.get('/healthz', (c) => c.json({ status: 'ok', version: VERSION }));

app.use(async (c, next) => {
  const configured = readConfig(c.env);
  if (!configured.ok) return problemResponse(failure('not_configured', configured.message), c.get('requestId'));
  c.set('config', configured.config);
  return next();
});

/** HTTP24: a deployment's interface is no secret, and tools that read it have no credential. */
app.get('/openapi.json', (c) => {
  // Anyone may ask, so it is made once.
  description ??= JSON.stringify(describeApi(VERSION));
  return c.body(description, 200, { 'content-type': 'application/json', 'cache-control': 'public, max-age=300' });
});
let description: string | null = null;

const STREAM_PATH = /^\/v1\/sessions\/[^/]+\/stream$/;

/** Paths that a page of another origin may read. */
const READER_PATH = /^\/v1\/sessions\/[^/]+(\/(stream|events|executions(\/[^/]+(\/(log|events))?)?))?$/;

/** These have credentials of their own. */
app.get('/v1/sessions/:session/executions/:execution/ingest', async (c) =>
  answer(c.get('requestId'), await upgradeIngest(c.req.raw, c.env, c.get('config'), c.req.param())),
);
app.post('/v1/sessions/:session/executions/:execution/ingest', async (c) =>
  answer(c.get('requestId'), await postToIngest(c.req.raw, c.env, c.get('config'), c.req.param())),
);
app.use(async (c, next) => {
  const path = READER_PATH.test(new URL(c.req.url).pathname);
  return (path && preflight(c.req.raw, c.get('config'))) || next();
});
app.get('/v1/sessions/:session/stream', async (c) => {
  const request = c.req.raw;
  if (wantsUpgrade(request) || !wantsEventStream(request)) {
    return answer(c.get('requestId'), await upgradeStream(request, c.env, c.get('config'), c.req.param('session')));
  }
  return read(c, await streamEvents(request, c.env, c.get('config'), c.req.param('session')));
});
app.get('/v1/sessions/:session/executions/:execution/log', async (c) =>
  read(c, await readTextLog(c.req.raw, c.env, c.get('config'), c.req.param())),
);

for (const path of ['/v1/sessions/:session/events', '/v1/sessions/:session/executions/:execution/events'] as const) {
  app.get(path, async (c) => read(c, await readStream(c.req.raw, c.env, c.get('config'), c.req.param())));
}

const EXECUTIONS = '/v1/sessions/:session/executions';
const EXECUTION = `${EXECUTIONS}/:execution` as const;

app.get('/v1/sessions/:session', async (c) => read(c, await readSession(c.req.raw, c.env, c.get('config'), c.req.param())));
app.get(EXECUTIONS, async (c) => read(c, await readExecutions(c.req.raw, c.env, c.get('config'), c.req.param())));
app.get(EXECUTION, async (c) => read(c, await readExecution(c.req.raw, c.env, c.get('config'), c.req.param())));

/** Everything else needs an API key. */
app.use(async (c, next) => {
  const config = c.get('config');
  const authenticated = await authenticateKey(c.req.raw, c.env, config);
  if (!authenticated.ok) return problemResponse(authenticated, c.get('requestId'));
  const { tenant } = authenticated;
  const limited = await refusalByRate(c.env, rateKindOf(c.req.raw), tenant);
  if (limited) return problemResponse(limited, c.get('requestId'));
  c.set('caller', { env: c.env, config, tenant, origin: new URL(c.req.url).origin });
  return next();
});

app.post(EXECUTIONS, async (c) => {
  const body = await readJson(c.req.raw);
  if (!body.ok) return problemResponse(body, c.get('requestId'));
  const started = await service.startExecution(
    c.get('caller'),
    c.req.param('session'),
    body.value,
    c.req.header('idempotency-key'),
  );
  if (!started.ok) return problemResponse(started, c.get('requestId'));
  const { created, execution, ingest } = started;
  const path = `/v1/sessions/${execution.session}/executions/${execution.id}`;
  return c.json({ execution, ingest }, created ? 201 : 200, { location: path });
});

app.post(`${EXECUTION}/interrupt`, async (c) => {
  const { session, execution } = c.req.param();
  const body = await readJson(c.req.raw, {});
  if (!body.ok) return problemResponse(body, c.get('requestId'));
  const result = await service.interruptExecution(c.get('caller'), session, execution, body.value);
  return answer(c.get('requestId'), result, ({ settled, accepted, execution: now }) =>
    c.json({ settled, execution: now }, accepted ? 202 : 200),
  );
});

app.post(`${EXECUTION}/fail`, async (c) => {
  const { session, execution } = c.req.param();
  const body = await readJson(c.req.raw);
  if (!body.ok) return problemResponse(body, c.get('requestId'));
  const result = await service.failExecution(c.get('caller'), session, execution, body.value);
  return answer(c.get('requestId'), result, ({ settled, execution: now }) => c.json({ settled, execution: now }));
});

app.post(`${EXECUTION}/input`, async (c) => {
  const { session, execution } = c.req.param();
  const body = await readJson(c.req.raw);
  if (!body.ok) return problemResponse(body, c.get('requestId'));
  const result = await service.sendInput(c.get('caller'), session, execution, body.value);
  return answer(c.get('requestId'), result, ({ commandId }) => c.json({ commandId }, 202));
});

app.get('/v1/sessions', async (c) => {
  const query = listParams(new URL(c.req.url).searchParams);
  if ('code' in query) return problemResponse(query, c.get('requestId'));
  const listed = await service.listSessions(c.get('caller'), query);
  return answer(c.get('requestId'), listed, ({ data, next }) => c.json({ data, next }));
});

app.delete('/v1/sessions/:session', async (c) => {
  const deleted = await service.deleteSession(c.get('caller'), c.req.param('session'));
  return answer(c.get('requestId'), deleted, () => c.body(null, 204));
});

app.post('/v1/sessions/:session/tickets', async (c) => {
  const body = await readJson(c.req.raw, {});
  if (!body.ok) return problemResponse(body, c.get('requestId'));
  const result = await service.createTicket(c.get('caller'), c.req.param('session'), body.value);
  return answer(c.get('requestId'), result, ({ ok: _, ...made }) => c.json(made, 201));
});

/** HTTP4: what is left of a known path is a method that it does not take. HEAD is answered wherever GET is. */
const known = app.routes.filter(({ method }) => method !== 'ALL');
for (const path of new Set(known.map((route) => route.path))) {
  const methods = known.filter((route) => route.path === path).map(({ method }) => method);
  const allow = [...methods, ...(methods.includes('GET') ? ['HEAD'] : [])].sort().join(', ');
  app.all(path, (c) => {
    const refused = problemResponse(failure('method_not_allowed', `This path takes ${allow}.`), c.get('requestId'));
    refused.headers.set('allow', allow);
    return refused;
  });
}

app.notFound((c) => problemResponse(failure('not_found', 'There is nothing at this path.'), c.get('requestId')));

app.onError((error, c) => {
  const requestId = c.get('requestId');
  logLine('error', 'unexpected', { requestId, message: messageOf(error), stack: stackOf(error) });
  return problemResponse(failure('internal', 'An unexpected error happened. It was logged under this request id.'), requestId);
});

/** One line for each answer of 5xx, by which a caller's request id finds what went wrong. Of the path only its pattern: a query may hold a ticket. */
async function reportFailure(c: Context<AppEnv>): Promise<void> {
  const problem = /problem/.test(c.res.headers.get('content-type') ?? '') ? await c.res.clone().json<Partial<Problem>>() : {};
  const route =
    matchedRoutes(c)
      .map(({ path }) => path)
      .findLast((path) => !path.includes('*')) ?? 'none';
  const { session, execution } = c.req.param() as { session?: string; execution?: string };
  logLine('error', 'request_failed', {
    requestId: c.get('requestId'),
    method: c.req.method,
    route,
    httpStatus: c.res.status,
    code: problem.code,
    tenant: c.get('caller')?.tenant,
    session: isId(session) ? session : undefined,
    execution: isId(execution) ? execution : undefined,
  });
}

/** A result, a failure, or a ready response, as a response. */
function answer<T extends object>(
  requestId: string,
  result: Response | Result<T>,
  render?: (value: { ok: true } & T) => Response,
): Response {
  if (result instanceof Response) return result;
  if (!result.ok) return problemResponse(result, requestId);
  if (!render) throw new Error('a result needs a rendering');
  return render(result);
}

/** The answer to a reader, which pages of allowed origins may see. */
function read(c: Context<AppEnv>, result: Response | Failure): Response {
  const response = answer(c.get('requestId'), result);
  const caching = response.headers.get('cache-control');
  // HTTP20: a cache would keep the ticket in the address, and what it opened, for longer than the ticket lasts.
  if (c.req.query('ticket') !== undefined && caching !== null) {
    response.headers.set('cache-control', /no-transform/.test(caching) ? 'no-store, no-transform' : 'no-store');
  }
  return withCors(c.req.raw, c.get('config'), response);
}

/** What a request with an API key counts as. */
function rateKindOf({ method, url }: Request): RateKind {
  if (method === 'GET' || method === 'HEAD') return 'read';
  return method === 'POST' && TICKETS_PATH.test(new URL(url).pathname) ? 'ticket' : 'change';
}

const TICKETS_PATH = /^\/v1\/sessions\/[^/]+\/tickets$/;

/** A JSON body of bounded size. `whenEmpty` stands in for an absent one. */
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
