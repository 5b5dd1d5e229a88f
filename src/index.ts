/**
 * The Worker. Each folder imports only folders that stand above it here.
 *
 *   core/        decisions, as pure functions; ports.ts: what a session needs from outside
 *   platform/    settings, log lines, tokens, rate limits
 *   contract/    what a caller may send, and failures as values
 *   storage/     a session's tables and queries
 *   directory/   the Durable Object of a tenant: the list of its sessions
 *   callbacks/   admission of callbacks, and their delivery as signed requests
 *   launch/      how a wrapper is started
 *   session/     the Durable Object of one session; contract.ts: what the Worker asks of it
 *   container/   the Durable Object of a session's container
 *   pool/        the Durable Object of a pool of runners that dial in
 *   operations/  what a tenant can do, for HTTP and RPC alike
 *   http/        routes, credentials, upgrades, readers
 *   rpc.ts       the operations for other Workers, over a service binding
 */

import { deliverCallbacks } from './callbacks/consumer.ts';
import type { CallbackMessage } from './core/callback-message.ts';
import { app } from './http/app.ts';
import type { Env } from './platform/env.ts';

export { JobContainer } from './container/job-container.ts';
export { TenantDirectory } from './directory/tenant-directory.ts';
export { RunnerPool } from './pool/runner-pool.ts';
export { Holdfast } from './rpc.ts';
export { SessionCoordinator } from './session/coordinator.ts';

export default {
  fetch: (request, env, ctx) => app.fetch(request, env, ctx),
  queue: (batch, env) => deliverCallbacks(batch, env),
} satisfies ExportedHandler<Env, CallbackMessage>;
