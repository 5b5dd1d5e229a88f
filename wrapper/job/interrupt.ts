/**
 * How a job is made to stop: a ladder of ever stronger signals. Pure: times are arguments, job-stop sends the signals.
 *
 *   IN1  A ladder never gets weaker and never later: a second request can only bring the end nearer.
 *   IN2  A ladder that was asked to force ends in SIGKILL.
 */

export type StopSignal = 'SIGINT' | 'SIGTERM' | 'SIGKILL';

export interface Rung {
  at: number;
  signal: NodeJS.Signals;
}

/** The asked signal now, SIGTERM at half of the patience, SIGKILL at its end. A rung weaker than one before it is left out. */
export function interruptLadder(signal: StopSignal, forceAfterMs: number, now: number): Rung[] {
  switch (signal) {
    case 'SIGKILL':
      return [{ at: now, signal }];
    case 'SIGTERM':
      return [
        { at: now, signal },
        { at: now + forceAfterMs, signal: 'SIGKILL' },
      ];
    case 'SIGINT':
      return [
        { at: now, signal },
        { at: now + Math.floor(forceAfterMs / 2), signal: 'SIGTERM' },
        { at: now + forceAfterMs, signal: 'SIGKILL' },
      ];
    default:
      return signal satisfies never;
  }
}

/** Both ladders as one. What would come after the first SIGKILL is left out: there is nobody to receive it (IN1). */
export function mergeLadders(current: readonly Rung[], added: readonly Rung[]): Rung[] {
  const merged = [...current, ...added].sort((a, b) => a.at - b.at);
  const kill = merged.findIndex(({ signal }) => signal === 'SIGKILL');
  return kill === -1 ? merged : merged.slice(0, kill + 1);
}

/** The rungs that are due, and the rest. */
export function dueRungs(ladder: readonly Rung[], now: number): { due: Rung[]; later: Rung[] } {
  return { due: ladder.filter(({ at }) => at <= now), later: ladder.filter(({ at }) => at > now) };
}
