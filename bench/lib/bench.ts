/** What a bench is, and what it is given. */

import type { Figure } from './figures.ts';
import type { Workerd } from './workerd.ts';

export interface BenchContext {
  /** Every case is measured this many times, the systems taking turns within each round. */
  rounds: number;
  /** 1 is the real size; a smoke run takes a hundredth. */
  scale: number;
  /** For benches that count what idle connections cost; null: a minute, or less in a smoke run. */
  idleMinutes: number | null;
  holdfast: Workerd;
  floor: Workerd;
  /** One line about progress. */
  say(text: string): void;
}

export interface Bench {
  name: string;
  measures: string;
  /** What its figures do not show. */
  doesNotMeasure: string;
  run(context: BenchContext): Promise<Figure[]>;
}

/** A number of the real size, scaled, but never below a useful minimum. */
export const scaled = (context: Pick<BenchContext, 'scale'>, full: number, least: number): number =>
  Math.max(least, Math.round(full * context.scale));

/**
 * Runs every system of a case once per round, in a rotating order, so that other load on the
 * machine affects all of them alike. Returns the results by system, in the order of the rounds.
 */
export async function interleaved<Key extends string, T>(
  { rounds }: Pick<BenchContext, 'rounds'>,
  systems: Record<Key, () => Promise<T>>,
): Promise<Record<Key, T[]>> {
  const keys = Object.keys(systems) as Key[];
  const results = Object.fromEntries(keys.map((key) => [key, [] as T[]])) as unknown as Record<Key, T[]>;
  for (let round = 0; round < rounds; round += 1) {
    for (let turn = 0; turn < keys.length; turn += 1) {
      const key = keys[(round + turn) % keys.length] as Key;
      results[key].push(await systems[key]());
    }
  }
  return results;
}
