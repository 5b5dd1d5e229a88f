/**
 * Time limits for work in the Worker. Unlike `AbortSignal.timeout`, the timer ends with the work: a
 * timer that is left over keeps a Durable Object awake, and billed.
 */

const timedOut = (ms: number): DOMException => new DOMException(`no answer within ${ms} ms`, 'TimeoutError');

/** Rejects with a `TimeoutError` after `ms`. The work goes on; its late result is ignored. */
export async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | null = null;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(timedOut(ms)), ms);
  });
  try {
    return await Promise.race([work, timeout]);
  } finally {
    if (timer !== null) clearTimeout(timer);
  }
}

/**
 * Gives the work a signal that aborts after `ms`; the work must obey it. Rejects as the work does,
 * mostly with the signal's `TimeoutError`.
 */
export async function withTimeLimit<T>(ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(timedOut(ms)), ms);
  try {
    return await work(limit.signal);
  } finally {
    clearTimeout(timer);
  }
}
