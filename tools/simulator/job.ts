/** A simulated job: lines at certain times, then an end. Drawn when the execution starts. */

import { type AgentQuestion, drawQuestions } from './questions.ts';
import type { Random } from './random.ts';

export type JobEnd =
  | { kind: 'exit'; exitCode: number }
  | { kind: 'signal'; signal: string }
  /** The command could not be started. */
  | { kind: 'spawn_failed' }
  /** Only an interrupt ends it. */
  | { kind: 'never' };

export interface Job {
  /** Delay before each line, milliseconds. */
  pauses: number[];
  /** Filler per line: long lines exercise the windows and rounds of the viewers. */
  lineBytes: number;
  /** It is an agent, and asks these, in this order. */
  questions: readonly AgentQuestion[];
  end: JobEnd;
  /**
   * Reaction to an interrupt: exits immediately, exits only when killed, reports success, or does
   * not react.
   */
  manners: 'obeys' | 'needs_kill' | 'exits_zero' | 'deaf';
}

const OTHER_ENDS: readonly JobEnd[] = [
  { kind: 'exit', exitCode: 3 },
  { kind: 'signal', signal: 'SIGSEGV' },
  { kind: 'spawn_failed' },
  { kind: 'never' },
  { kind: 'never' },
];

export function drawJob(random: Random, bulky: boolean): Job {
  const lines = bulky ? random.int(6, 14) : random.pick([0, 3, 10, 30, 80]);
  const pace = random.pick([0, 5, 80, 500, 1500]);
  return {
    pauses: Array.from({ length: lines }, () => random.int(0, pace)),
    lineBytes: bulky ? random.int(150_000, 300_000) : random.pick([0, 10, 200]),
    questions: [],
    end: random.chance(0.5) ? { kind: 'exit', exitCode: 0 } : random.pick(OTHER_ENDS),
    manners: random.pick(['obeys', 'obeys', 'needs_kill', 'exits_zero', 'deaf']),
  };
}

/** The same job, as one of an agent that asks. */
export const asAgent = (job: Job, random: Random): Job => ({ ...job, questions: drawQuestions(random, job.pauses.length) });

/** Much more output at once than a slow uplink carries during one heartbeat. */
export function drawBurst(random: Random): Job {
  const lineBytes = random.pick([2000, 10_000, 40_000]);
  return {
    pauses: Array.from({ length: Math.ceil(random.int(200_000, 600_000) / lineBytes) }, () => 0),
    lineBytes,
    questions: [],
    end: { kind: 'exit', exitCode: 0 },
    manners: 'obeys',
  };
}
