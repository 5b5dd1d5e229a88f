/**
 * Every route of the Worker. The group of a route decides who may use it. groups.ts has the
 * middleware of each group, context.ts what the middleware leaves for the handlers, handlers.ts the
 * handlers. The API description, the 405 answers and the security tests are derived from this
 * table.
 *
 *   public   no credential
 *   ingest   the ingest token of the execution that the path names
 *   reader   an API key, or a ticket of the session; pages of allowed origins may use it (CORS)
 *   actor    an API key, or a ticket of the session with the right to it; pages of allowed origins
 *            may use it (CORS)
 *   key      an API key
 *   runner   the key of a runner of the pool that the path names
 */

import type { TicketRight } from '../../protocol/index.ts';

export interface Route {
  method: 'get' | 'post' | 'delete';
  path: string;
}

export interface PublicRoute extends Route {
  /** Whether it needs a configured deployment (HTTP3). */
  configured: boolean;
}

export interface ReaderRoute extends Route {
  method: 'get';
  /**
   * `state`: closed to tickets that are bound to event types, and the credential is checked before
   * the ids of the path. `log`: the ids are checked first.
   */
  reads: 'state' | 'log';
  /** Also a WebSocket, whose refusals are close codes (STR1). */
  socket?: true;
}

export interface ActorRoute extends Route {
  method: 'post';
  /** What a ticket must allow. */
  right: Exclude<TicketRight, 'read'>;
  counts: 'input' | 'change';
}

export interface KeyRoute extends Route {
  /** The kind by which the request is counted (HTTP25). */
  counts: 'read' | 'change' | 'ticket';
}

interface Groups {
  public: Record<string, PublicRoute>;
  ingest: Record<string, Route>;
  reader: Record<string, ReaderRoute>;
  actor: Record<string, ActorRoute>;
  key: Record<string, KeyRoute>;
  runner: Record<string, Route>;
}

export type Group = keyof Groups;
export type RouteOf<G extends Group> = Groups[G][string];

const POOLS = '/v1/pools';
const POOL = `${POOLS}/:pool` as const;
const SESSIONS = '/v1/sessions';
const SESSION = `${SESSIONS}/:session` as const;
const EXECUTIONS = `${SESSION}/executions` as const;
const EXECUTION = `${EXECUTIONS}/:execution` as const;

/** By the id of the operation. */
export const ROUTES = {
  public: {
    getHealth: { method: 'get', path: '/healthz', configured: false },
    getDescription: { method: 'get', path: '/openapi.json', configured: true },
  },
  ingest: {
    dialIn: { method: 'get', path: `${EXECUTION}/ingest` },
    postIngest: { method: 'post', path: `${EXECUTION}/ingest` },
  },
  reader: {
    getSession: { method: 'get', path: SESSION, reads: 'state' },
    listExecutions: { method: 'get', path: EXECUTIONS, reads: 'state' },
    getExecution: { method: 'get', path: EXECUTION, reads: 'state' },
    followSession: { method: 'get', path: `${SESSION}/stream`, reads: 'log', socket: true },
    readEvents: { method: 'get', path: `${SESSION}/events`, reads: 'log' },
    readExecutionEvents: { method: 'get', path: `${EXECUTION}/events`, reads: 'log' },
    readLog: { method: 'get', path: `${EXECUTION}/log`, reads: 'log' },
  },
  actor: {
    interruptExecution: { method: 'post', path: `${EXECUTION}/interrupt`, right: 'interrupt', counts: 'change' },
    sendInput: { method: 'post', path: `${EXECUTION}/input`, right: 'input', counts: 'input' },
    answerQuestion: { method: 'post', path: `${EXECUTION}/answer`, right: 'input', counts: 'input' },
    resizeTerminal: { method: 'post', path: `${EXECUTION}/resize`, right: 'input', counts: 'input' },
  },
  key: {
    listSessions: { method: 'get', path: SESSIONS, counts: 'read' },
    deleteSession: { method: 'delete', path: SESSION, counts: 'change' },
    createTicket: { method: 'post', path: `${SESSION}/tickets`, counts: 'ticket' },
    startExecution: { method: 'post', path: EXECUTIONS, counts: 'change' },
    failExecution: { method: 'post', path: `${EXECUTION}/fail`, counts: 'change' },
    listPools: { method: 'get', path: POOLS, counts: 'read' },
    getPool: { method: 'get', path: POOL, counts: 'read' },
    createRunnerKey: { method: 'post', path: `${POOL}/keys`, counts: 'change' },
    listRunnerKeys: { method: 'get', path: `${POOL}/keys`, counts: 'read' },
    drainRunner: { method: 'post', path: `${POOL}/runners/:runner/drain`, counts: 'change' },
    removeRunner: { method: 'delete', path: `${POOL}/runners/:runner`, counts: 'change' },
    revokeRunnerKey: { method: 'delete', path: `${POOL}/keys/:key`, counts: 'change' },
    getMetrics: { method: 'get', path: '/v1/metrics', counts: 'read' },
  },
  runner: {
    connectRunner: { method: 'get', path: `${POOL}/connect` },
  },
} as const satisfies Groups;

type Table = typeof ROUTES;

/** The ids of a group's routes, and their paths as literal types. */
export type IdsOf<G extends Group> = keyof Table[G];
export type PathOf<G extends Group, Id extends IdsOf<G>> = Table[G][Id] extends { path: infer P extends string } ? P : never;
export type RouteId = { [G in Group]: IdsOf<G> }[Group];

/** The table as a list. */
export const ALL_ROUTES: readonly (Route & { id: RouteId; group: Group })[] = (Object.keys(ROUTES) as Group[]).flatMap((group) =>
  Object.entries<Route>(ROUTES[group]).map(([id, { method, path }]) => ({ id: id as RouteId, group, method, path })),
);
