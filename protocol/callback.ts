/** What a receiver of callbacks gets (CB2), for its own code: the type of the JSON body. How to receive one is docs/callbacks.md. */

import type { Execution } from './api.ts';
import type { TerminalStatus } from './statuses.ts';

export interface CallbackPayload {
  type: `execution.${TerminalStatus}`;
  /** When the execution ended, ISO 8601. */
  timestamp: string;
  data: {
    tenant: string;
    session: string;
    /** As `GET` shows it. */
    execution: Execution;
    /** Fields of `execution` that were shortened or emptied to fit (CB10); absent when there are none. */
    cut?: string[];
  };
}
