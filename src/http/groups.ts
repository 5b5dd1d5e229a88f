/**
 * The middleware of each group of routes (routes.ts): the checks that run before a handler. It is
 * bound to each route of the group, so the order of routes and groups has no effect on rights.
 */

import type { Context, MiddlewareHandler } from 'hono';
import { createMiddleware } from 'hono/factory';
import { type Author, type Failure, isId, STREAM_SUBPROTOCOL, URL_CHARS_MAX } from '../../protocol/index.ts';
import { failure, urlTooLong } from '../contract/failure.ts';
import type { Caller } from '../operations/service.ts';
import { obsoleteSettings, readConfig } from '../platform/config.ts';
import type { Env } from '../platform/env.ts';
import { logLine } from '../platform/log.ts';
import { checkRateLimit, type RateKind } from '../platform/rate-limits.ts';
import { authenticateKey, originAllowed } from './auth.ts';
import type { AppEnv, ConfiguredEnv, GroupEnv } from './context.ts';
import { preflight, withCors } from './cors.ts';
import { problemResponse } from './problem.ts';
import { authenticateTicketHolder, outsideTicketScope } from './readers.ts';
import type { ActorRoute, Group, ReaderRoute, RouteOf } from './routes.ts';
import { readRunnerClaims } from './runner-upgrade.ts';
import { wantsEventStream } from './sse.ts';
import { authenticateWrapper, refuseViewer, wantsUpgrade } from './upgrades.ts';

export const MIDDLEWARE: { [G in Group]: (route: RouteOf<G>) => MiddlewareHandler[] } = {
  public: (route) => (route.configured ? [boundedUrl(), configured] : [boundedUrl()]),
  ingest: () => [boundedUrl(), configured, asWrapper],
  reader: (route) => [boundedUrl(refusalOf(route)), configured, readableByPages, asReader(route, refusalOf(route))],
  actor: (route) => [boundedUrl(), configured, readableByPages, asActor(route)],
  key: ({ counts }) => [boundedUrl(), configured, asTenant(() => counts)],
  runner: () => [boundedUrl(), configured, asRunner],
};

/**
 * For requests without a route: unknown paths, and other methods of known paths. They need a key,
 * so that a stranger does not learn which paths exist.
 */
export const unroutedMiddleware = (): MiddlewareHandler[] => [
  boundedUrl(),
  configured,
  asTenant(({ method }) => (method === 'GET' || method === 'HEAD' ? 'read' : 'change')),
];

/**
 * For OPTIONS at the path of a route that pages may use. It answers the preflights of allowed
 * origins; any other request counts as unrouted.
 */
export const preflightMiddleware = (methods: string): MiddlewareHandler[] => [
  boundedUrl(),
  configured,
  createMiddleware<ConfiguredEnv>(async (c, next) => preflight(c.req.raw, c.get('config'), methods) ?? next()),
];

type Refuse = (c: Context, refusal: Failure) => Response;

const asProblem: Refuse = (c, refusal) => problemResponse(refusal, c.get('requestId'));

/** An upgrade is refused by a close code, because a browser cannot read its status (STR1). */
const refusalOf =
  ({ socket }: ReaderRoute): Refuse =>
  (c, refusal) =>
    socket && wantsUpgrade(c.req.raw) ? refuseViewer(c.req.raw, refusal) : asProblem(c, refusal);

/** LIM14 */
const boundedUrl = (refuse: Refuse = asProblem) =>
  createMiddleware<AppEnv>(async (c, next) => (c.req.raw.url.length > URL_CHARS_MAX ? refuse(c, urlTooLong()) : next()));

/** One line for each instance of the Worker is enough to be found. */
let warned = false;

function warnOnce(env: Env): void {
  if (warned) return;
  warned = true;
  for (const message of obsoleteSettings(env)) logLine('warn', 'obsolete_setting', { message });
}

/** HTTP3 */
const configured = createMiddleware<ConfiguredEnv>(async (c, next) => {
  const read = readConfig(c.env);
  if (!read.ok) return asProblem(c, failure('not_configured', read.message));
  warnOnce(c.env);
  c.set('config', read.config);
  return next();
});

const asWrapper = createMiddleware<GroupEnv<'ingest'>, '/:session/:execution'>(async (c, next) => {
  const wrapper = await authenticateWrapper(c.req.raw, c.get('config'), c.req.param());
  if (!wrapper.ok) return asProblem(c, wrapper);
  c.set('wrapper', wrapper.claims);
  return next();
});

const asRunner = createMiddleware<GroupEnv<'runner'>, '/:pool'>(async (c, next) => {
  const runner = await readRunnerClaims(c.req.raw, c.env, c.get('config'), c.req.param('pool'));
  if (!runner.ok) return asProblem(c, runner);
  c.set('runner', runner.claims);
  return next();
});

/** Refusals included: otherwise a page cannot tell an expired ticket from a broken network. */
const readableByPages = createMiddleware<ConfiguredEnv>(async (c, next) => {
  await next();
  // The headers of an upgrade's answer belong to the runtime.
  if (c.res.status === 101) return;
  const caching = c.res.headers.get('cache-control');
  // HTTP20: a cache would keep the address with its ticket, and the answer, past the ticket's end.
  if (c.req.query('ticket') !== undefined && caching !== null) {
    c.res.headers.set('cache-control', /no-transform/.test(caching) ? 'no-store, no-transform' : 'no-store');
  }
  withCors(c.req.raw, c.get('config'), c.res);
});

/** Checks ids, origin and credential before any session is asked. */
const asReader = ({ reads, socket }: ReaderRoute, refuse: Refuse) =>
  createMiddleware<GroupEnv<'reader'>>(async (c, next) => {
    const request = c.req.raw;
    const config = c.get('config');
    if (socket && !wantsUpgrade(request) && !wantsEventStream(request)) {
      return asProblem(c, failure('upgrade_required', `Connect by WebSocket with subprotocol ${STREAM_SUBPROTOCOL}.`));
    }
    const ids: Record<string, string> = c.req.param();
    if (reads === 'log' && !Object.values(ids).every(isId)) {
      return refuse(c, failure('bad_request', 'The path holds an id that is not valid.'));
    }
    if (!originAllowed(request, config)) {
      return refuse(c, failure('forbidden_origin', 'Pages of this origin may not read here.'));
    }
    const reader = await authenticateTicketHolder(request, c.env, config, ids.session ?? '', { right: 'read', counts: 'read' });
    if (!reader.ok) return refuse(c, reader);
    const { ticket } = reader;
    if (reads === 'state' && ticket?.types) return refuse(c, outsideTicketScope());
    c.set('reader', { caller: callerOf(c, reader), ticket });
    return next();
  });

/** An API key, or a ticket of the session that allows it and does not name another execution. */
const asActor = ({ right, counts }: ActorRoute) =>
  createMiddleware<GroupEnv<'actor'>, '/:session/:execution'>(async (c, next) => {
    const request = c.req.raw;
    const config = c.get('config');
    if (!originAllowed(request, config)) {
      return asProblem(c, failure('forbidden_origin', 'Pages of this origin may not do this.'));
    }
    const { session, execution } = c.req.param();
    const actor = await authenticateTicketHolder(request, c.env, config, session, { right, counts });
    if (!actor.ok) return asProblem(c, actor);
    if (actor.ticket?.execution !== undefined && actor.ticket.execution !== execution) return asProblem(c, outsideTicketScope());
    c.set('caller', callerOf(c, actor));
    return next();
  });

const asTenant = (kindOf: (request: Request) => RateKind) =>
  createMiddleware<GroupEnv<'key'>>(async (c, next) => {
    const authenticated = await authenticateKey(c.req.raw, c.env, c.get('config'));
    if (!authenticated.ok) return asProblem(c, authenticated);
    const limited = await checkRateLimit(c.env, kindOf(c.req.raw), authenticated.tenant);
    if (limited) return asProblem(c, limited);
    c.set('caller', callerOf(c, authenticated));
    return next();
  });

const callerOf = (c: Context, { tenant, author }: { tenant: string; author: Author }): Caller => ({
  env: c.env,
  config: c.get('config'),
  tenant,
  author,
  origin: new URL(c.req.url).origin,
});
