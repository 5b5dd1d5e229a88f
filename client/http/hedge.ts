/**
 * A hedged request: while nothing answers, the same request is sent again alongside the first. The
 * first answer counts.
 *
 * For a network that disappeared silently. A browser keeps its old connections and offers them to
 * new calls, and each call then waits for its whole timeout on a dead connection. A second call
 * gets another connection, and at last a new one. Only for requests that may run several times at
 * once.
 *
 * FA1  The next attempt begins when no earlier one was answered for `HEDGE_DELAY_MS`, up to
 *      `ATTEMPTS_MAX`.
 * FA2  The first answer decides, a refusal too. The other attempts are aborted then, and with them
 *      the dead connections.
 * FA3  A broken connection is no answer, so the others go on. When none is left, the last error is
 *      thrown, and no further attempt begins.
 */

/** Longer than an answer from far away takes on a slow line. Most take a tenth of it. */
export const HEDGE_DELAY_MS = 2_000;
/** A browser has six connections per host. A page's stream uses at most one of them. */
export const ATTEMPTS_MAX = 4;

export function hedge<T>(
  request: (signal: AbortSignal) => Promise<T>,
  { signal, isAnswer }: { signal: AbortSignal; isAnswer(error: unknown): boolean },
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const others = new AbortController();
    const either = AbortSignal.any([signal, others.signal]);
    let started = 0;
    let waiting = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const finish = (): void => {
      clearTimeout(timer);
      others.abort(); // FA2
    };
    const attempt = (): void => {
      started += 1;
      waiting += 1;
      if (started < ATTEMPTS_MAX) timer = setTimeout(attempt, HEDGE_DELAY_MS); // FA1
      request(either).then(
        (answer) => {
          resolve(answer);
          finish();
        },
        (error: unknown) => {
          waiting -= 1;
          if (waiting > 0 && !isAnswer(error)) return; // FA3
          reject(error);
          finish();
        },
      );
    };
    attempt();
  });
}
