/** A limit for work that can be given up. Unlike `AbortSignal.timeout`, its timer goes with the work: a timer that is left keeps a Durable Object awake, and billed. */

/** Gives the work a signal that aborts after `ms`; the work must heed it. Rejects as the work does: mostly with the signal's `TimeoutError`. */
export async function withTimeLimit<T>(ms: number, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(new DOMException(`no answer within ${ms} ms`, 'TimeoutError')), ms);
  try {
    return await work(limit.signal);
  } finally {
    clearTimeout(timer);
  }
}
