/** Time limits for waits of the wrapper and the runner. */

/**
 * Whether the work settles within `ms`. Rejects when the work does in that time. After a timeout
 * the work goes on and its result is ignored. The timer ends with the work, so it does not delay
 * the end of the process.
 */
export async function settlesWithin(ms: number, work: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<false>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  try {
    return await Promise.race([work.then(() => true), timeout]);
  } finally {
    clearTimeout(timer);
  }
}
