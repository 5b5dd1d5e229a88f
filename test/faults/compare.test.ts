/**
 * Goal: the comparison has no false negatives.
 * Method: readings and logs with one fault each, which must be found.
 */

import { describe, expect, it } from 'vitest';
import { checkLog, compare, compareReadings, NO_DIFFERENCE, type Seen } from '../../tools/chaos/compare.ts';
import { describePlan, FAULT_KINDS, plannedKinds, planRuns } from '../../tools/chaos/plan.ts';

const truth = ['a', 'b', 'c', 'd', 'e'];

describe('compare', () => {
  it('finds no difference where there is none', () => {
    expect(compare(truth, truth, 'all')).toEqual(NO_DIFFERENCE);
    expect(compare(['a', 'b'], truth, 'beginning')).toEqual(NO_DIFFERENCE);
    expect(compare([], truth, 'beginning')).toEqual(NO_DIFFERENCE);
  });

  it.each([
    ['a lost item', ['a', 'b', 'd', 'e'], { lost: 1 }],
    ['a lost end', ['a', 'b', 'c'], { lost: 2 }],
    ['a repeated item', ['a', 'b', 'b', 'c', 'd', 'e'], { repeated: 1 }],
    ['a replay', ['a', 'b', 'c', 'a', 'b', 'c', 'd', 'e'], { repeated: 3 }],
    ['two that changed places', ['a', 'c', 'b', 'd', 'e'], { outOfOrder: 1 }],
    ['an altered item', ['a', 'b', 'C', 'd', 'e'], { lost: 1, foreign: 1 }],
  ])('finds %s', (_, received, found) => {
    expect(compare(received, truth, 'all')).toEqual({ ...NO_DIFFERENCE, ...found });
  });

  it('finds a hole also where the end may be missing', () => {
    expect(compare(['a', 'c'], truth, 'beginning')).toEqual({ ...NO_DIFFERENCE, lost: 1 });
  });
});

const event = (offset: number, type: string, execution = 'e1', text = '{}'): Seen => ({ offset, execution, type, text });
const log = [
  event(1, 'execution_pending'),
  event(2, 'wrapper_connected'),
  event(3, 'execution_running'),
  event(4, 'started'),
  event(5, 'execution_queued', 'e2'),
  event(6, 'exit'),
  event(7, 'execution_completed'),
  event(8, 'execution_pending', 'e2'),
  event(9, 'execution_failed', 'e2'),
];

describe('checkLog', () => {
  const renumbered = (events: Seen[]) => events.map((each, index) => ({ ...each, offset: index + 1 }));

  it('finds nothing wrong in a sound log', () => {
    expect(checkLog(log, ['e1', 'e2'])).toEqual([]);
  });

  it.each<[string, Seen[], string]>([
    ['a hole in the offsets', log.filter(({ offset }) => offset !== 4), 'offset 5 stands in the place of 4'],
    ['a second verdict', renumbered([...log, event(0, 'execution_failed')]), 'settled again'],
    ['an event after the verdict', renumbered([...log, event(0, 'agent')]), 'after the verdict'],
    ['no verdict', log.slice(0, 8), 'e2 has no verdict'],
    [
      'two active at a time',
      renumbered([event(0, 'execution_pending', 'e2'), ...log.filter(({ offset }) => offset !== 8)]),
      'was active',
    ],
    ['a job that was started twice', renumbered([event(0, 'started'), ...log]), '2 events started'],
  ])('finds %s', (_, events, problem) => {
    expect(checkLog(events, ['e1', 'e2']).join('; ')).toContain(problem);
  });
});

it('compareReadings finds the right event at a wrong offset', () => {
  const moved = log.map((each) => (each.offset === 9 ? { ...each, offset: 10 } : each));
  expect(compareReadings(moved, log)).toEqual({ ...NO_DIFFERENCE, lost: 1, foreign: 1 });
});

describe('planRuns', () => {
  const size = { events: 50_000, durationMs: 9000 };

  it('gives the same plans for the same seed, whatever the number of runs, and others for another', () => {
    expect(planRuns(3, 7, size)).toEqual(planRuns(10, 7, size).slice(0, 3));
    expect(planRuns(3, 8, size).map(describePlan)).not.toEqual(planRuns(3, 7, size).map(describePlan));
  });

  it('plans every kind within twenty runs, whatever the seed', () => {
    for (let seed = 0; seed < 50; seed += 1) {
      const kinds = new Set(planRuns(20, seed, size).flatMap(plannedKinds));
      expect([...kinds].sort()).toEqual([...FAULT_KINDS].sort());
    }
  });
});
