/** Bindings, secrets and variables of the Worker. Everything is text and may be missing: config.ts decides what that means. */

import type { CallbackMessage } from './callbacks/message.ts';
import type { TenantDirectory } from './directory/tenant-directory.ts';
import type { SessionCoordinator } from './session/coordinator.ts';

export interface Env {
  SESSIONS: DurableObjectNamespace<SessionCoordinator>;
  /** One per tenant, named as it. */
  DIRECTORY: DurableObjectNamespace<TenantDirectory>;
  /** Missing where no callbacks are wanted: a start that asks for one is refused. */
  CALLBACKS?: Queue<CallbackMessage>;
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
  HOLDFAST_RUNNER_URL?: string;
  /** Where wrappers reach this deployment, when it differs from the URL of the start request. */
  HOLDFAST_PUBLIC_URL?: string;
}
