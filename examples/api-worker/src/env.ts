import type { HoldfastRpc } from '@holdfast/client/protocol';

export interface Env {
  /**
   * The service binding. The platform's own type for it, `Service<typeof Holdfast>`, does not
   * preserve results that are unions.
   */
  HOLDFAST: HoldfastRpc;
  NOTICES: KVNamespace;
  /** Secret: `whsec_…`. */
  CALLBACK_SECRET: string;
  PUBLIC_URL: string;
  HOLDFAST_URL: string;
  BUILD_COMMAND: string[];
}
