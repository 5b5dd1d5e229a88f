/**
 * Every delay before a retry, in every program. A lint rule (lint/backoff.grit) forbids to compute
 * one elsewhere.
 *
 *   backoffDelayMs     the capped exponential curve, for attempts that are counted elsewhere, such
 *                      as in a row or by a queue
 *   retryDelayMs       the same with a spread and a lower bound, for what many peers retry at once
 *   BackoffController  either of them with a count of its own, for a loop
 *
 * Pure: no timer, no socket, no clock.
 */

export interface BackoffOptions {
  baseMs?: number;
  capMs?: number;
  /** Upper bound of a random extra delay, milliseconds, added before the cap. */
  jitterMs?: number;
  /** From this attempt on the delay is constant, past curve, jitter and cap. */
  floor?: { afterAttempts: number; delayMs: number };
  random?: (() => number) | undefined;
}

/**
 * `min(baseMs·2^attempt + jitter, capMs)`, or the floor's delay once it applies. `random` is not
 * called when `jitterMs` is 0.
 */
export function backoffDelayMs(
  attempt: number,
  { baseMs = 1000, capMs = 30_000, jitterMs = 0, floor, random = Math.random }: BackoffOptions = {},
): number {
  if (floor && attempt >= floor.afterAttempts) return floor.delayMs;
  const jitter = jitterMs > 0 ? Math.floor(random() * jitterMs) : 0;
  // 2 ** 1024 is Infinity, and Infinity times a base of 0 is no delay at all: NaN.
  return Math.min(baseMs * 2 ** Math.min(1023, Math.max(0, attempt)) + jitter, capMs);
}

export type BackoffStatus = 'idle' | 'connecting' | 'connected' | 'giving-up';

export interface BackoffControllerOptions extends BackoffOptions {
  /** Consecutive failures after which it gives up. `Infinity` never does. */
  maxAttempts?: number;
  /**
   * `half`: the delays of `retryDelayMs`, over the upper half of the curve. `full`: from 0 to the
   * curve, for callers that all failed at the same moment. Jitter and floor do not apply then.
   */
  spread?: 'half' | 'full';
}

export class BackoffController {
  status: BackoffStatus = 'idle';
  attempt = 0;
  readonly #options: BackoffControllerOptions;
  readonly #maxAttempts: number;

  constructor(options: BackoffControllerOptions = {}) {
    this.#options = options;
    this.#maxAttempts = options.maxAttempts ?? 6;
  }

  start(): void {
    this.status = 'connecting';
  }

  recordFailure(): 'retry' | 'give-up' {
    if (this.attempt >= this.#maxAttempts) {
      this.status = 'giving-up';
      return 'give-up';
    }
    this.attempt += 1;
    this.status = 'connecting';
    return 'retry';
  }

  /**
   * The curve at `attempt − 1`: the first retry waits the base. With `spread`, at least
   * `retryAfter`.
   */
  nextDelayMs(retryAfter: number | null = null): number {
    const { spread, baseMs = 1000, capMs = 30_000, random } = this.#options;
    if (!spread) return backoffDelayMs(this.attempt - 1, this.#options);
    if (spread === 'full') {
      return Math.max(retryAfter ?? 0, (random ?? Math.random)() * backoffDelayMs(this.attempt - 1, { baseMs, capMs }));
    }
    return retryDelayMs(this.attempt, { baseMs, capMs, firstImmediate: false, random }, retryAfter);
  }

  recordSuccess(): void {
    this.attempt = 0;
    this.status = 'connected';
  }

  /** A manual reconnect: resets the count. */
  reset(): void {
    this.attempt = 0;
    this.status = 'connecting';
  }

  stop(): void {
    this.status = 'idle';
  }
}

/** Whether a retry can fix an error of a WebSocket upgrade. */
export function classifyUpgradeError(error: string | { code?: number | string; message?: string }): 'permanent' | 'transient' {
  const code = typeof error === 'string' ? undefined : Number(error.code);
  const message = typeof error === 'string' ? error : (error.message ?? '');
  if (code === 4404 || (code !== undefined && code >= 400 && code <= 499)) return 'permanent';
  return /Unexpected server response: 4\d\d/.test(message) ? 'permanent' : 'transient';
}

export interface RetryDelayOptions {
  baseMs: number;
  capMs: number;
  /** The first retry goes at once: most drops are a single cut. */
  firstImmediate?: boolean;
  random?: (() => number) | undefined;
}

/**
 * The delay of our own connections: the curve above, then a spread over its upper half that also
 * applies at the cap, so that a thousand wrappers cut by one deploy do not reconnect in step. A
 * server's Retry-After is a lower bound and never shortens the curve: `Retry-After: 0` on every
 * refusal must not become a storm.
 *
 * `attempt` is 1 for the first retry.
 */
export function retryDelayMs(
  attempt: number,
  { baseMs, capMs, firstImmediate = true, random = Math.random }: RetryDelayOptions,
  retryAfter: number | null = null,
): number {
  const asked = retryAfter === null ? 0 : retryAfter + Math.floor(random() * baseMs);
  if (firstImmediate && attempt <= 1) return asked;
  const full = backoffDelayMs(attempt - (firstImmediate ? 2 : 1), { baseMs, capMs });
  return Math.max(asked, Math.floor(full / 2 + random() * (full / 2)));
}

export interface Budget {
  /**
   * When the budget began, and when the failed attempt began: of the monotonic clock, like `now`.
   */
  startedAt: number;
  attemptBeganAt: number;
  now: number;
  budgetMs: number;
}

/**
 * The delay before the next attempt within a total budget, or null without one. The last attempt
 * begins when the budget ends, so a budget expires only after an attempt that began then: a machine
 * that slept, or a timer that was late, gets one more attempt. `leastMs` is the delay that the
 * other side asked for (Retry-After); if it alone exceeds the rest of the budget, there is no
 * further attempt.
 */
export function delayWithinBudget(
  { startedAt, attemptBeganAt, now, budgetMs }: Budget,
  delayMs: number,
  leastMs = 0,
): number | null {
  const leftAtAttempt = startedAt + budgetMs - attemptBeganAt;
  if (leftAtAttempt <= 0 || leastMs > leftAtAttempt) return null;
  return Math.max(leastMs, Math.min(delayMs, Math.max(0, startedAt + budgetMs - now)));
}

/**
 * The wrapper's reconnect curve. The cap shrinks with a short grace, so that several attempts
 * always fit into it.
 */
export const WRAPPER_RECONNECT = { baseMs: 500, capMs: 8000, attemptsPerGrace: 6 } as const;

export function wrapperReconnectCapMs(disconnectGraceMs: number): number {
  return Math.max(50, Math.min(WRAPPER_RECONNECT.capMs, Math.floor(disconnectGraceMs / WRAPPER_RECONNECT.attemptsPerGrace)));
}
