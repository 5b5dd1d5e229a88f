/** Bindings, secrets and variables of the Worker. All may be missing: config.ts validates them. */

import type { CallbackMessage } from '../core/callback-message.ts';

export interface Env {
  /**
   * SessionCoordinator: one per session, named `tenant/session`. Its operations are typed in
   * session/contract.ts. The objects import this file, so it does not name them.
   */
  SESSIONS: DurableObjectNamespace;
  /** TenantDirectory: one per tenant, with the tenant's name. Called through directory/calls.ts. */
  DIRECTORY: DurableObjectNamespace;
  /** RunnerPool: one per pool, named `tenant/pool`. Called through launch/pool.ts. */
  POOLS: DurableObjectNamespace;
  /**
   * JobContainer: one per session that launches in containers, with the session's name. Called
   * through launch/container-calls.ts.
   */
  CONTAINERS?: DurableObjectNamespace;
  /** Missing in a deployment without callbacks: a start that asks for one is refused. */
  CALLBACKS?: Queue<CallbackMessage>;
  /** Missing in a deployment without metrics (docs/operations.md). */
  METRICS?: AnalyticsEngineDataset;
  /** rate-limits.ts says what each counts. A missing one limits nothing. */
  RATE_CHANGES?: RateLimit;
  RATE_READS?: RateLimit;
  RATE_REFUSED_KEYS?: RateLimit;
  /** Secret: `tenant=key,tenant2=key2`. */
  HOLDFAST_API_KEYS?: string;
  /** Secret: comma list of keys for tokens and tickets; the first signs, all verify. */
  HOLDFAST_SIGNING_KEYS?: string;
  /** Secret: `tenant=whsec_…`, several for one tenant newest first. */
  HOLDFAST_CALLBACK_KEYS?: string;
  /** `1`: callbacks may go to private and loopback addresses, and over http. */
  HOLDFAST_CALLBACK_ALLOW_PRIVATE?: string;
  HOLDFAST_ALLOWED_ORIGINS?: string;
  HOLDFAST_LAUNCHER?: string;
  /** `1`: the class JobContainer has a container (wrangler.containers.toml). */
  HOLDFAST_CONTAINERS?: string;
  /** Of the launcher `runner` of 0.1.0. It has no effect but a warning (config.ts). */
  HOLDFAST_RUNNER_URL?: string;
  /** Where wrappers reach this deployment, if it differs from the URL of the start request. */
  HOLDFAST_PUBLIC_URL?: string;
}
