/**
 * One question, asked again beside itself while nobody answers, of which the first answer counts.
 *
 * For a network that went away without a word: a browser keeps the connections of before and offers them for new calls, each of which then waits for its whole
 * time on a connection that is dead. A call beside it gets another connection, in the end a new one. Only for what may be asked several times at once.
 *
 * FA1  The next asking begins when none of those before has been answered for `ASK_AGAIN_MS`; there are `ASKINGS_MAX` at most.
 * FA2  The first that is answered decides, a refusal too. The others are ended then, and the dead connections with them.
 * FA3  A broken connection is no answer: the others are waited for. When none is left the last failure is given, and no further asking begins.
 */

/** An answer from far away on a slow line is there before; most are in a tenth of it. */
export const ASK_AGAIN_MS = 2_000;
/** A browser has six connections per host, one of them a page's stream or none. */
export const ASKINGS_MAX = 4;

export function firstAnswer<T>(
  ask: (signal: AbortSignal) => Promise<T>,
  { signal, isAnswer }: { signal: AbortSignal; isAnswer(error: unknown): boolean },
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const rest = new AbortController();
    const ends = AbortSignal.any([signal, rest.signal]);
    let asked = 0;
    let waiting = 0;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const decided = (): void => {
      clearTimeout(timer);
      rest.abort(); // FA2
    };
    const askOnce = (): void => {
      asked += 1;
      waiting += 1;
      if (asked < ASKINGS_MAX) timer = setTimeout(askOnce, ASK_AGAIN_MS); // FA1
      ask(ends).then(
        (answer) => {
          resolve(answer);
          decided();
        },
        (error: unknown) => {
          waiting -= 1;
          if (waiting > 0 && !isAnswer(error)) return; // FA3
          reject(error);
          decided();
        },
      );
    };
    askOnce();
  });
}
