/**
 * The Worker.
 *
 *   api/       HTTP: routes, credentials, upgrades, readers (log, Server-Sent Events, Durable Streams), problem documents
 *   rpc.ts     the same operations for other Workers, over a service binding
 *   session/   the Durable Object of one session, and its shell: sockets, alarm, transactions
 *   directory/ the Durable Object of a tenant: the list of its sessions, which they keep up themselves
 *   core/      the decisions, as pure functions
 *   storage/   a session's tables and queries
 *   launch/    how a wrapper is started
 *   container/ the Durable Object of a session's container: starts it, and notices its end
 *   callbacks/ how somebody is told of a verdict: into the queue, and out of it as a signed request
 *   log.ts     every line it writes · core/metrics.ts what is counted (docs/operations.md is for who reads both)
 *   tokens.ts  signed credentials · config.ts what a deployment must be given · calls.ts how a session is called
 *   rate-limits.ts  who may ask how often · plain-input.ts  the form of what a caller hands in
 */

import { deliverCallbacks } from './callbacks/consumer.ts';
import type { CallbackMessage } from './core/callback-message.ts';
import { app } from './http/app.ts';
import type { Env } from './platform/env.ts';

export { JobContainer } from './container/job-container.ts';
export { TenantDirectory } from './directory/tenant-directory.ts';
export { Holdfast } from './rpc.ts';
export { SessionCoordinator } from './session/coordinator.ts';

export default {
  fetch: (request, env, ctx) => app.fetch(request, env, ctx),
  queue: (batch, env) => deliverCallbacks(batch, env),
} satisfies ExportedHandler<Env, CallbackMessage>;
