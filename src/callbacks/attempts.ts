/** What follows an attempt to deliver a callback. Pure. */

import { backoffDelayMs } from '../../protocol/index.ts';

/** First delay after a failed attempt. It doubles from there. */
export const CALLBACK_RETRY_BASE_SECONDS = 5;

/**
 * The longest delay, so also the longest wait of a receiver that is back up. With it, all attempts
 * are over within a day, however slow each of them is. A message older than that may be deleted
 * from a queue (24 hours on a free plan), silently and without reaching the dead-letter queue.
 */
export const CALLBACK_RETRY_CAP_SECONDS = 840;

/**
 * Attempts after the first: the platform's maximum for a queue. wrangler.toml has the same number,
 * and a test compares them. With the delays above, the last attempt comes more than 20 hours after
 * the first, so a receiver that is down for an hour or a night loses nothing.
 */
export const CALLBACK_RETRIES_MAX = 100;

/** Timeout of one attempt. A receiver should answer before it does its work. */
export const CALLBACK_TIMEOUT_MS = 15_000;

/**
 * Messages per batch. A Worker can wait for six answers at a time; with more, a slow receiver would
 * use up the timeout of another's attempt.
 */
export const CALLBACK_BATCH_MAX = 6;

export type AttemptOutcome =
  | { kind: 'answered'; status: number; retryAfterMs: number | null }
  | { kind: 'unreachable'; reason: 'timeout' | 'connection_failed' }
  /** Callbacks may not, or no longer, go to this address. */
  | { kind: 'refused'; reason: string }
  /** No usable signing key for this tenant. Unsigned callbacks are not sent. */
  | { kind: 'unsigned' }
  /** Not a message of a known version. */
  | { kind: 'unreadable' };

export type NextAttempt = { kind: 'done' } | { kind: 'retry'; delaySeconds: number } | { kind: 'give_up'; reason: string };

/**
 * `attempts`: as the platform counts them, including this one. Every answer except 2xx is retried,
 * also 4xx: a receiver that was deployed wrong is usually fixed within the hour. Only 410 says that
 * it is gone for good. What this deployment cannot send now is retried too: its configuration may
 * be fixed; otherwise the message ends in the dead-letter queue, where operators see it.
 */
export function afterAttempt(outcome: AttemptOutcome, attempts: number): NextAttempt {
  switch (outcome.kind) {
    case 'answered': {
      const { status, retryAfterMs } = outcome;
      if (status >= 200 && status < 300) return { kind: 'done' };
      if (status === 410) return { kind: 'give_up', reason: 'the receiver is gone (410)' };
      return { kind: 'retry', delaySeconds: pauseSeconds(attempts, retryAfterMs) };
    }
    case 'unreachable':
    case 'unsigned':
    case 'refused':
    case 'unreadable':
      return { kind: 'retry', delaySeconds: pauseSeconds(attempts, null) };
    default:
      return outcome satisfies never;
  }
}

/** A receiver may ask for a longer delay than ours, not a shorter one, and not above the cap. */
function pauseSeconds(attempts: number, retryAfterMs: number | null): number {
  const curve = { baseMs: CALLBACK_RETRY_BASE_SECONDS * 1000, capMs: CALLBACK_RETRY_CAP_SECONDS * 1000 };
  const delayMs = Math.max(backoffDelayMs(attempts - 1, curve), retryAfterMs ?? 0);
  return Math.min(Math.ceil(delayMs / 1000), CALLBACK_RETRY_CAP_SECONDS);
}
