/** Bindings, secrets and variables of the Worker. Everything is text and may be missing: config.ts decides what that means. */

import type { TenantDirectory } from './directory/tenant-directory.ts';
import type { SessionCoordinator } from './session/coordinator.ts';

export interface Env {
  SESSIONS: DurableObjectNamespace<SessionCoordinator>;
  /** One per tenant, named as it. */
  DIRECTORY: DurableObjectNamespace<TenantDirectory>;
  /** Secret: `tenant=key,tenant2=key2`. */
  HOLDFAST_API_KEYS?: string;
  /** Secret: comma list of keys for tokens and tickets; the first signs, all verify. */
  HOLDFAST_SIGNING_KEYS?: string;
  /** Secret: what the runner expects as its bearer token. */
  HOLDFAST_RUNNER_TOKEN?: string;
  HOLDFAST_ALLOWED_ORIGINS?: string;
  HOLDFAST_LAUNCHER?: string;
  HOLDFAST_RUNNER_URL?: string;
  /** Where wrappers reach this deployment, when it differs from the URL of the start request. */
  HOLDFAST_PUBLIC_URL?: string;
}
