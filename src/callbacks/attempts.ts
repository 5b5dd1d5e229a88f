/** What follows an attempt to deliver a callback. Pure. */

import { backoffDelayMs } from '../../protocol/index.ts';

/** First pause after a failed attempt; it doubles from there. */
export const CALLBACK_RETRY_BASE_SECONDS = 5;

/**
 * A receiver that is back waits for no longer than this. It is such that all attempts are over within a day, however slow each of them is: what is
 * longer in a queue than that may be deleted (24 hours on a free plan), without a word and without reaching the dead-letter queue.
 */
export const CALLBACK_RETRY_CAP_SECONDS = 840;

/**
 * Attempts after the first. The platform's maximum for a queue; wrangler.toml says the same number, and a test compares them. With the pauses above the
 * last attempt comes more than 20 hours after the first: a receiver that is down for an hour, or for a night, loses nothing.
 */
export const CALLBACK_RETRIES_MAX = 100;

/** One attempt. A receiver should answer first and work then. */
export const CALLBACK_TIMEOUT_MS = 15_000;

/** Messages of one batch. The platform lets a Worker wait for six answers at a time: with more, one slow receiver would use up the time of another's attempt. */
export const CALLBACK_BATCH_MAX = 6;

export type AttemptOutcome =
  | { kind: 'answered'; status: number; retryAfterMs: number | null }
  | { kind: 'unreachable'; reason: 'timeout' | 'connection_failed' }
  /** The address is not, or no longer, one that callbacks may go to. */
  | { kind: 'refused'; reason: string }
  /** The tenant has no key any more, or the deployment has none that can be used: what can not be signed is not sent. */
  | { kind: 'unsigned' }
  /** It is no message that this version knows. */
  | { kind: 'unreadable' };

export type NextAttempt = { kind: 'done' } | { kind: 'retry'; delaySeconds: number } | { kind: 'give_up'; reason: string };

/**
 * `attempts`: made so far, this one counted, as the platform counts them. Whatever is not a 2xx is tried again, 4xx too: a receiver that was deployed wrong
 * is put right within the hour, and one that is gone for good (410) says so by that status alone. What this deployment can not send now is tried again as
 * well: its configuration may be put right, and if it is not, the message ends in the dead-letter queue, where it can be seen.
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

/** A receiver may ask for more time than our own pause, not for less, and not for more than the cap. */
function pauseSeconds(attempts: number, retryAfterMs: number | null): number {
  const curve = { baseMs: CALLBACK_RETRY_BASE_SECONDS * 1000, capMs: CALLBACK_RETRY_CAP_SECONDS * 1000 };
  const delayMs = Math.max(backoffDelayMs(attempts - 1, curve), retryAfterMs ?? 0);
  return Math.min(Math.ceil(delayMs / 1000), CALLBACK_RETRY_CAP_SECONDS);
}
