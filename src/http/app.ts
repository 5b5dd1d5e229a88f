/**
 * The HTTP application: what all answers have in common, the routes of the table (routes.ts), and
 * the answers to requests without a route.
 */

import { type Context, Hono, type MiddlewareHandler } from 'hono';
import { requestId } from 'hono/request-id';
import { matchedRoutes } from 'hono/route';
import { type Failure, isId, newRequestId, type Problem } from '../../protocol/index.ts';
import { failure } from '../contract/failure.ts';
import { errorMessage, errorStack, logLine } from '../platform/log.ts';
import type { AppEnv } from './context.ts';
import { MIDDLEWARE, preflightMiddleware, unroutedMiddleware } from './groups.ts';
import { HANDLERS } from './handlers.ts';
import { hstsFor } from './hsts.ts';
import { problemResponse } from './problem.ts';
import { ALL_ROUTES, type Group, ROUTES, type Route } from './routes.ts';

export const app = new Hono<AppEnv>();

// Our own pattern decides whether the id of a caller is kept. The header is set below, because this
// middleware does not set it on a Response that a handler made itself.
app.use(
  requestId({
    headerName: '',
    generator: (c) => {
      const given = c.req.header('x-request-id');
      return isId(given) ? given : newRequestId();
    },
  }),
);

// Not hono/secure-headers: it also writes to the answer of an upgrade, and its HSTS has no
// exceptions.
app.use(async (c, next) => {
  await next();
  // The headers of an upgrade's answer belong to the runtime.
  if (c.res.status === 101) return;
  c.res.headers.set('x-request-id', c.get('requestId'));
  // HTTP20: a shared cache stores the answer to a request without an Authorization header. A ticket
  // in the URL is not such a header.
  if (!c.res.headers.has('cache-control')) c.res.headers.set('cache-control', 'no-store');
  c.res.headers.set('x-content-type-options', 'nosniff');
  const hsts = hstsFor(c.req.url);
  if (hsts !== null) c.res.headers.set('strict-transport-security', hsts);
  if (c.res.status >= 500) await reportFailure(c);
});

for (const name of Object.keys(ROUTES) as Group[]) app.route('/', group(name));
app.route('/', preflights());
app.route('/', unrouted());

app.onError((error, c) => {
  const requestId = c.get('requestId');
  logLine('error', 'unexpected', { requestId, message: errorMessage(error), stack: errorStack(error) });
  return problemResponse(failure('internal', 'An unexpected error happened. It was logged under this request id.'), requestId);
});

/** The routes of one group, each behind the middleware of the group. */
function group(name: Group): Hono<AppEnv> {
  const routes = new Hono<AppEnv>();
  // The types of the tables bind each handler to its group and path. This loop knows names only.
  const middlewareOf = MIDDLEWARE[name] as (route: Route) => MiddlewareHandler[];
  const handlers = HANDLERS[name] as Record<string, (c: Context) => Response | Promise<Response | Failure>>;
  for (const [id, route] of Object.entries<Route>(ROUTES[name])) {
    const handle = handlers[id];
    if (!handle) throw new Error(`the route ${id} has no handler`);
    routes.on(route.method.toUpperCase(), [route.path], ...middlewareOf(route), async (c) => {
      const result = await handle(c);
      return result instanceof Response ? result : problemResponse(result, c.get('requestId'));
    });
  }
  return routes;
}

function preflights(): Hono<AppEnv> {
  const routes = new Hono<AppEnv>();
  for (const { path } of Object.values(ROUTES.reader)) routes.on('OPTIONS', [path], ...preflightMiddleware('GET, HEAD'));
  for (const { path } of Object.values(ROUTES.actor)) routes.on('OPTIONS', [path], ...preflightMiddleware('POST'));
  return routes;
}

/**
 * HTTP4: unknown paths, and methods that a known path does not have. HEAD works wherever GET does.
 */
function unrouted(): Hono<AppEnv> {
  const rest = new Hono<AppEnv>();
  for (const middleware of unroutedMiddleware()) rest.use(middleware);
  for (const [path, same] of Map.groupBy(ALL_ROUTES, (route) => route.path)) {
    const methods = same.map(({ method }) => method.toUpperCase());
    const allow = [...methods, ...(methods.includes('GET') ? ['HEAD'] : [])].sort().join(', ');
    rest.all(path, (c) => {
      const refused = problemResponse(failure('method_not_allowed', `This path takes ${allow}.`), c.get('requestId'));
      refused.headers.set('allow', allow);
      return refused;
    });
  }
  rest.all('*', (c) => problemResponse(failure('not_found', 'There is nothing at this path.'), c.get('requestId')));
  return rest;
}

/**
 * One log line for each 5xx answer, so that a request id leads to its cause. It has the pattern of
 * the path and not the address, because a query may hold a ticket.
 */
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
    tenant: (c as Context).get('caller')?.tenant,
    session: isId(session) ? session : undefined,
    execution: isId(execution) ? execution : undefined,
  });
}
