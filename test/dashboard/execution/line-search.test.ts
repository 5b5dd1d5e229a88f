/**
 * Finding a line by few reads: the answer must be at or before the event in which the line begins,
 * and close to it.
 */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { LoggedEvent } from '../../../client/index.ts';
import { beginSearch, nextProbe, takeProbe } from '../../../dashboard/src/execution/line-search.ts';

interface Made {
  offset: number;
  line: number | null;
  lines: number;
}

function pageOf(log: readonly Made[], after: number, pageEvents: number, head: number) {
  const rest = log.filter(({ offset }) => offset > after);
  const page = rest.slice(0, pageEvents);
  const upToDate = page.length === rest.length;
  const events: LoggedEvent[] = page.map(({ offset, line }) => ({
    offset,
    execution: 'e1',
    type: line === null ? 'status' : 'output',
    at: 0,
    data: line === null ? {} : { stream: 'stdout', text: 'x\n', line },
  }));
  return { events, next: upToDate ? head : (page.at(-1)?.offset ?? after), upToDate, closed: false };
}

function find(log: readonly Made[], target: number, pageEvents: number, bottom: number) {
  const head = (log.at(-1)?.offset ?? bottom) + 3;
  let search = beginSearch(target, bottom, head);
  let reads = 0;
  for (let at = nextProbe(search); at !== null; at = nextProbe(search)) {
    reads += 1;
    if (reads > 100) throw new Error('this does not end');
    search = takeProbe(search, pageOf(log, at, pageEvents, head));
  }
  return { outcome: search.outcome, reads };
}

const logs = fc
  .array(
    fc.record({
      gap: fc.oneof({ weight: 9, arbitrary: fc.constant(1) }, fc.integer({ min: 1, max: 500 })),
      lines: fc.integer({ min: 0, max: 40 }),
    }),
    { minLength: 1, maxLength: 400 },
  )
  .map((parts) => {
    let offset = 0;
    let line = 1;
    return parts.map(({ gap, lines }): Made => {
      offset += gap;
      const made = { offset, line: lines === 0 ? null : line, lines };
      line += lines;
      return made;
    });
  });

describe('the search for a line', () => {
  test('[S1] reading on from the result reaches the line, and no event is skipped', () => {
    fc.assert(
      fc.property(logs, fc.double({ min: 0, max: 1, noNaN: true }), fc.integer({ min: 1, max: 50 }), (log, share, pageEvents) => {
        const numbered = log.filter(({ line }) => line !== null);
        const total = log.reduce((sum, { lines }) => sum + lines, 0);
        const target = Math.max(1, Math.ceil(share * total));
        const { outcome } = find(log, target, pageEvents, 0);
        if (numbered.length === 0) {
          expect(outcome).toEqual({ kind: 'unnumbered' });
          return;
        }
        const holder = numbered.findLast(({ line }) => (line ?? 0) <= target);
        if (outcome?.kind === 'unnumbered') {
          // Only when the numbers ran out of probes, which reading from the start makes up for.
          expect(pageEvents).toBeLessThan(10);
          return;
        }
        expect(outcome).toEqual({ kind: 'found', after: (holder?.offset ?? 0) - 1 });
      }),
      { numRuns: 500 },
    );
  });

  test('a log of 100 pages takes a handful of reads', () => {
    const log = Array.from({ length: 100_000 }, (_, index) => ({ offset: index + 1, line: index * 7 + 1, lines: 7 }));
    for (const target of [1, 20, 350_000, 699_999]) {
      const { outcome, reads } = find(log, target, 1000, 0);
      expect(outcome).toEqual({ kind: 'found', after: Math.floor((target - 1) / 7) });
      expect(reads).toBeLessThanOrEqual(5);
    }
  });

  test('a wrapper that does not number its lines is noticed at once', () => {
    const log = Array.from({ length: 10 }, (_, index) => ({ offset: index + 1, line: null, lines: 0 }));
    expect(find(log, 5, 100, 0)).toEqual({ outcome: { kind: 'unnumbered' }, reads: 1 });
  });

  test('a line whose beginning has expired leads to the beginning of the stored log', () => {
    const log = Array.from({ length: 50 }, (_, index) => ({ offset: index + 101, line: 900 + index, lines: 1 }));
    expect(find(log, 5, 10, 100).outcome).toEqual({ kind: 'found', after: 100 });
  });
});
