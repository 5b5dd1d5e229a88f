/**
 * The JSON body that a receiver of callbacks gets (CB2), as a type for its own code.
 * docs/callbacks.md explains how to receive one.
 */

import type { CallbackEvent, Execution } from './api.ts';
import type { TerminalStatus } from './statuses.ts';

export interface CallbackPayload {
  /** The verdict of one that is settled; otherwise the event. */
  type: `execution.${TerminalStatus | Exclude<CallbackEvent, 'settled'>}`;
  /** When it happened, ISO 8601. */
  timestamp: string;
  data: {
    tenant: string;
    session: string;
    /**
     * As `GET` returned it then. With `execution.asking`, its `asking` is the question that was asked.
     */
    execution: Execution;
    /** Of the event in the session's log. Absent in callbacks that a coordinator before 0.2.0 wrote. */
    offset?: number;
    /**
     * Fields of `execution` that were shortened or emptied to fit (CB10); absent if there are no
     * such fields.
     */
    cut?: string[];
  };
}
