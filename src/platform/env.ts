/** Bindings, secrets and variables of the Worker. Everything is text and may be missing: config.ts decides what that means. */

import type { CallbackMessage } from '../core/callback-message.ts';

export interface Env {
  /** One per session, named `tenant/session`: SessionCoordinator. What can be called on it is in calls.ts; the objects import this file, so it does not name them. */
  SESSIONS: DurableObjectNamespace;
  /** One per tenant, named as it: TenantDirectory, by directory/calls.ts. */
  DIRECTORY: DurableObjectNamespace;
  /** One per session that launches in containers, named as it: JobContainer, by container/calls.ts. */
  CONTAINERS?: DurableObjectNamespace;
  /** Missing where no callbacks are wanted: a start that asks for one is refused. */
  CALLBACKS?: Queue<CallbackMessage>;
  /** Missing where nobody counts verdicts and disconnects (docs/operations.md). */
  METRICS?: AnalyticsEngineDataset;
  /** What each counts: rate-limits.ts. One that is missing limits nothing. */
  RATE_CHANGES?: RateLimit;
  RATE_READS?: RateLimit;
  RATE_REFUSED_KEYS?: RateLimit;
  /** Secret: `tenant=key,tenant2=key2`. */
  HOLDFAST_API_KEYS?: string;
  /** Secret: comma list of keys for tokens and tickets; the first signs, all verify. */
  HOLDFAST_SIGNING_KEYS?: string;
  /** Secret: what the runner expects as its bearer token. */
  HOLDFAST_RUNNER_TOKEN?: string;
  /** Secret: `tenant=whsec_…`, several for one tenant newest first. */
  HOLDFAST_CALLBACK_KEYS?: string;
  /** `1`: callbacks may go to private and loopback addresses, and by http. */
  HOLDFAST_CALLBACK_ALLOW_PRIVATE?: string;
  HOLDFAST_ALLOWED_ORIGINS?: string;
  HOLDFAST_LAUNCHER?: string;
  /** `1`: the class JobContainer has a container (wrangler.containers.toml), so the launcher `container` can be used. */
  HOLDFAST_CONTAINERS?: string;
  HOLDFAST_RUNNER_URL?: string;
  /** Where wrappers reach this deployment, when it differs from the URL of the start request. */
  HOLDFAST_PUBLIC_URL?: string;
}
