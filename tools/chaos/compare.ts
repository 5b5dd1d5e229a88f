/**
 * Compares what was received with what was written. Pure. `compare.test.ts` shows that it finds
 * planted differences.
 */

import { terminalStatusOf } from '../../protocol/index.ts';

/** One event as a reader received it. `text` is its data as JSON. */
export interface Seen {
  offset: number;
  execution: string;
  type: string;
  /** When it was made, if known. Milliseconds since the epoch. */
  at?: number;
  text: string;
}

export interface Difference {
  lost: number;
  repeated: number;
  outOfOrder: number;
  /** Never written, or not as it was written. */
  foreign: number;
}

export const NO_DIFFERENCE: Readonly<Difference> = { lost: 0, repeated: 0, outOfOrder: 0, foreign: 0 };

export const isSame = ({ lost, repeated, outOfOrder, foreign }: Difference): boolean =>
  lost + repeated + outOfOrder + foreign === 0;

export const addDifference = (a: Difference, b: Difference): Difference => ({
  lost: a.lost + b.lost,
  repeated: a.repeated + b.repeated,
  outOfOrder: a.outOfOrder + b.outOfOrder,
  foreign: a.foreign + b.foreign,
});

/**
 * `all`: everything that was written must have arrived. `beginning`: it may stop anywhere, but
 * without a hole before that. The items of `truth` are distinct.
 */
export function compare(received: readonly string[], truth: readonly string[], extent: 'all' | 'beginning'): Difference {
  const places = new Map(truth.map((item, place) => [item, place]));
  const came = new Set<number>();
  const difference = { ...NO_DIFFERENCE };
  let highest = -1;
  for (const item of received) {
    const place = places.get(item);
    if (place === undefined) {
      difference.foreign += 1;
    } else if (came.has(place)) {
      difference.repeated += 1;
    } else {
      if (place < highest) difference.outOfOrder += 1;
      highest = Math.max(highest, place);
      came.add(place);
    }
  }
  difference.lost = (extent === 'all' ? truth.length : highest + 1) - came.size;
  return difference;
}

/** A part of a log: a whole line of the job, the end of a line, or a gap. */
export type Part = { kind: 'line' | 'rest'; text: string } | { kind: 'gap' };

/**
 * Like `compare`, for a job whose wrapper was killed: between two lines may be missing what a gap
 * between them stands for. `inGaps`: the missing lines. After a gap may stand the rest of a line
 * whose beginning is missing.
 */
export function compareWithGaps(
  parts: readonly Part[],
  truth: readonly string[],
  extent: 'all' | 'beginning',
): { difference: Difference; inGaps: number } {
  const lines = parts.flatMap((part) => (part.kind === 'line' ? [part.text] : []));
  const difference = compare(lines, truth, extent);
  const places = new Map(truth.map((item, place) => [item, place]));
  let last = -1;
  let gap = false;
  let inGaps = 0;
  let foreign = 0;
  for (const part of parts) {
    if (part.kind === 'gap') {
      gap = true;
    } else if (part.kind === 'rest') {
      // It belongs to a line that is missing.
      if (!gap || !truth.slice(last + 1).some((line) => line.endsWith(part.text))) foreign += 1;
    } else {
      const place = places.get(part.text) ?? last;
      if (gap && place > last) inGaps += place - last - 1;
      last = Math.max(last, place);
      gap = false;
    }
  }
  if (gap && extent === 'all') inGaps += truth.length - last - 1;
  return {
    difference: { ...difference, lost: difference.lost - inGaps, foreign: difference.foreign + foreign },
    inGaps,
  };
}

const asText = ({ offset, execution, type, text }: Seen): string => `${offset} ${execution} ${type} ${text}`;

/** Two readings of the same events: offsets, types and contents. */
export const compareReadings = (received: readonly Seen[], expected: readonly Seen[]): Difference =>
  compare(received.map(asText), expected.map(asText), 'all');

/**
 * The rules that a whole log follows in every case: offsets without holes (STR), one verdict per
 * execution and nothing after it (LIF18), one active execution at a time (LIF20).
 */
export function checkLog(log: readonly Seen[], executions: readonly string[]): string[] {
  const problems: string[] = [];
  for (const [index, { offset }] of log.entries()) {
    if (offset === index + 1) continue;
    problems.push(`offset ${offset} stands in the place of ${index + 1}`);
    break;
  }
  let active: string | null = null;
  const ended = new Set<string>();
  const counts = new Map<string, number>();
  for (const { execution, type } of log) {
    counts.set(`${execution} ${type}`, (counts.get(`${execution} ${type}`) ?? 0) + 1);
    if (!executions.includes(execution)) problems.push(`event of an unknown execution ${execution}`);
    const status = terminalStatusOf(type);
    if (status && ended.has(execution)) problems.push(`${execution} was settled again (${type})`);
    else if (ended.has(execution)) problems.push(`${type} after the verdict of ${execution}`);
    if (type === 'execution_pending') {
      if (active !== null) problems.push(`${execution} became pending while ${active} was active`);
      active = execution;
    }
    if (status) {
      ended.add(execution);
      if (active === execution) active = null;
    }
  }
  for (const execution of executions) {
    if (!ended.has(execution)) problems.push(`${execution} has no verdict`);
    const once = ['execution_pending', 'execution_running', 'wrapper_connected', 'started', 'exit', 'interrupt_requested'];
    for (const type of once) {
      const times = counts.get(`${execution} ${type}`) ?? 0;
      if (times > 1) problems.push(`${execution} has ${times} events ${type}`);
    }
  }
  return problems;
}
