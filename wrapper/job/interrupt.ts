/**
 * How a job is stopped: a ladder of increasingly strong signals. Pure: times are arguments, stop.ts
 * sends the signals.
 *
 *   IN1  A ladder never becomes weaker or later: a second request can only bring the end forward.
 *   IN2  A forced ladder ends in SIGKILL.
 */

export type StopSignal = 'SIGINT' | 'SIGTERM' | 'SIGKILL';

export interface Rung {
  at: number;
  signal: NodeJS.Signals;
}

/**
 * The requested signal now, SIGTERM after half of the patience, SIGKILL at its end. A rung weaker
 * than an earlier one is omitted.
 */
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

/**
 * Merges two ladders. Rungs after the first SIGKILL are dropped: no process is left to receive them
 * (IN1).
 */
export function mergeLadders(current: readonly Rung[], added: readonly Rung[]): Rung[] {
  const merged = [...current, ...added].sort((a, b) => a.at - b.at);
  const kill = merged.findIndex(({ signal }) => signal === 'SIGKILL');
  return kill === -1 ? merged : merged.slice(0, kill + 1);
}

/** Splits the ladder into the rungs that are due and the rest. */
export function dueRungs(ladder: readonly Rung[], now: number): { due: Rung[]; later: Rung[] } {
  return { due: ladder.filter(({ at }) => at <= now), later: ladder.filter(({ at }) => at > now) };
}
