/**
 * The error of an API call: the problem document if there was one, else what is known about the
 * failed attempt.
 */

import type { ProblemCode } from '../../protocol/index.ts';

/**
 * `unreachable`: no answer. `timeout`: none in time. `bad_answer`: one that is not the API's, such
 * as a proxy's error page. `no_ticket`: the ticket function failed, and nothing was sent.
 */
export type ClientErrorCode = ProblemCode | 'unreachable' | 'timeout' | 'bad_answer' | 'no_ticket';

export interface HoldfastErrorFields {
  code: ClientErrorCode;
  message: string;
  retryable: boolean;
  /** 0 when there was no answer. */
  status: number;
  requestId?: string | undefined;
  /** Fields of the problem document that belong to its code: `activeExecutionId`, `earliest`, … */
  facts?: Record<string, unknown>;
  retryAfterMs?: number | null;
  cause?: unknown;
}

export class HoldfastError extends Error {
  override readonly name = 'HoldfastError';
  readonly code: ClientErrorCode;
  readonly retryable: boolean;
  readonly status: number;
  readonly requestId: string | undefined;
  readonly facts: Record<string, unknown>;
  readonly retryAfterMs: number | null;

  constructor({ code, message, retryable, status, requestId, facts = {}, retryAfterMs = null, cause }: HoldfastErrorFields) {
    super(message, cause === undefined ? undefined : { cause });
    this.code = code;
    this.retryable = retryable;
    this.status = status;
    this.requestId = requestId;
    this.facts = facts;
    this.retryAfterMs = retryAfterMs;
  }
}
