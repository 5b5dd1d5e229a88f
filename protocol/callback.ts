/**
 * The JSON body that a receiver of callbacks gets (CB2), as a type for its own code.
 * docs/callbacks.md explains how to receive one.
 */

import type { Execution } from './api.ts';
import type { TerminalStatus } from './statuses.ts';

export interface CallbackPayload {
  type: `execution.${TerminalStatus}`;
  /** When the execution ended, ISO 8601. */
  timestamp: string;
  data: {
    tenant: string;
    session: string;
    /** As `GET` returns it. */
    execution: Execution;
    /**
     * Fields of `execution` that were shortened or emptied to fit (CB10); absent if there are no
     * such fields.
     */
    cut?: string[];
  };
}
