/**
 * The faults of a schedule and their rates. Each seed draws its own selection, so that some
 * schedules are calm.
 */

import type { Random } from './random.ts';

export const FAULTS = [
  'cut',
  'object_crash',
  'object_down',
  'crash_at_write',
  'hibernation',
  'slow_accept',
  'upgrade_refused',
  'upgrade_lost',
  'foreign_answer',
  'own_refusal',
  'alarm_late',
  'alarm_doubled',
  'alarm_lost',
  'disk_write_fails',
  'disk_slow',
  'wrapper_killed',
  'holder_killed',
  'wrapper_signalled',
  'wrapper_frozen',
  'suspend',
  'clock_jump',
  'spool_tail_lost',
  'spool_copied',
  'rival_wrapper',
  'frame_dropped',
  'launch_failed',
  'launch_answer_lost',
  'launch_slow',
  'launch_doubled',
  'launch_saturated',
  'launch_refused',
  'answer_lost',
  'viewer_stalled',
  'viewer_deaf',
  'directory_away',
  'directory_answer_lost',
  'directory_slow',
  'directory_message_doubled',
  'queue_away',
  'queue_answer_lost',
  'queue_slow',
  'spool_power_lost',
  'spool_damaged',
  'spool_full',
] as const;
export type Fault = (typeof FAULTS)[number] | typeof SLOW_UPLINK | typeof AWAY | typeof KILLED_AT_QUESTION;
/** Drawn by the world, separately from the others. */
export const SLOW_UPLINK = 'slow_uplink';
/** Of the same kind: a wrapper is away for longer than its grace, and then comes back. */
export const AWAY = 'away_longer_than_grace';
/** Of the same kind: a wrapper is killed while it reports a question, or writes a reply. */
export const KILLED_AT_QUESTION = 'killed_at_question';

/**
 * Probability of each fault per occasion, if the schedule has the fault at all. Faults that are
 * drawn by time (cut, crash, kill) are counted elsewhere.
 */
const RATES: Partial<Record<Fault, readonly [number, number]>> = {
  crash_at_write: [0.01, 0.2],
  slow_accept: [0.05, 0.4],
  upgrade_refused: [0.05, 0.4],
  upgrade_lost: [0.05, 0.4],
  foreign_answer: [0.05, 0.4],
  own_refusal: [0.05, 0.4],
  alarm_late: [0.1, 0.8],
  alarm_doubled: [0.1, 0.8],
  alarm_lost: [0.02, 0.25],
  disk_write_fails: [0.001, 0.01],
  disk_slow: [0.05, 0.5],
  holder_killed: [0.1, 0.5],
  spool_tail_lost: [0.5, 1],
  spool_copied: [0.5, 1],
  rival_wrapper: [0.5, 1],
  frame_dropped: [0.01, 0.05],
  launch_failed: [0.1, 0.9],
  launch_answer_lost: [0.1, 0.5],
  launch_slow: [0.1, 0.6],
  launch_doubled: [0.2, 0.8],
  launch_saturated: [0.1, 0.6],
  launch_refused: [0.1, 0.4],
  answer_lost: [0.05, 0.5],
  viewer_stalled: [0.1, 0.5],
  viewer_deaf: [0.1, 0.5],
  directory_away: [0.1, 0.9],
  directory_answer_lost: [0.1, 0.8],
  directory_slow: [0.05, 0.5],
  directory_message_doubled: [0.1, 0.8],
  queue_away: [0.1, 0.9],
  queue_answer_lost: [0.1, 0.8],
  queue_slow: [0.05, 0.5],
  spool_power_lost: [0.1, 0.5],
  spool_full: [0.05, 0.5],
};

export class Faults {
  readonly counts = new Map<Fault, number>();
  readonly #random: Random;
  readonly #rates = new Map<Fault, number>();
  /** False after the world has healed. */
  on = true;

  constructor(random: Random) {
    this.#random = random;
    // One seed in eight has no faults at all: a failure there cannot be blamed on a fault.
    const density = random.pick([0, 0.1, 0.2, 0.3, 0.3, 0.4, 0.5, 0.7]);
    for (const fault of FAULTS) {
      const [low, high] = RATES[fault] ?? [1, 1];
      const rate = low + random.next() * (high - low);
      if (random.chance(density)) this.#rates.set(fault, rate);
    }
  }

  /** Whether this schedule may have the fault. */
  has(fault: Fault): boolean {
    return this.#rates.has(fault);
  }

  /** Whether the fault happens now. */
  strike(fault: Fault): boolean {
    const rate = this.on ? this.#rates.get(fault) : undefined;
    if (rate === undefined || !this.#random.chance(rate)) return false;
    this.count(fault);
    return true;
  }

  count(fault: Fault): void {
    this.counts.set(fault, (this.counts.get(fault) ?? 0) + 1);
  }
}
