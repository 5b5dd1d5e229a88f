/**
 * Loading upwards: whatever the holes, the page sizes, the cuts and what expires meanwhile, the
 * model gets every event that is kept, once, in order, ending right before what it had (W1–W3). A
 * fake log with other executions in between is read by the real loop.
 */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { LoggedEvent } from '../../../client/index.ts';
import { HistoryLoader } from '../../../dashboard/src/execution/history-loader.ts';
import {
  afterRead,
  beginRead,
  bottomOf,
  nextRange,
  tailAfter,
  takePage,
  windowFrom,
} from '../../../dashboard/src/execution/log-window.ts';

const event = (offset: number): LoggedEvent => ({
  offset,
  execution: 'e1',
  type: 'output',
  at: offset,
  data: { stream: 'stdout', text: `${offset}\n` },
});

describe('where the stream opens', () => {
  test('[W1] a settled run opens near its verdict, however long the session went on after it', () => {
    expect(tailAfter({ firstOffset: 5, lastOffset: 5_000, earliest: 1, head: 900_000 })).toBe(4_000);
  });

  test('a running one opens near the head of the session', () => {
    expect(tailAfter({ firstOffset: 5, earliest: 1, head: 9_000 })).toBe(8_000);
  });

  test('a short one opens at its first event', () => {
    expect(tailAfter({ firstOffset: 5, lastOffset: 20, earliest: 1, head: 20 })).toBe(4);
  });

  test('[W3] never before what is kept', () => {
    expect(tailAfter({ firstOffset: 5, lastOffset: 20, earliest: 15, head: 40 })).toBe(14);
    expect(bottomOf({ firstOffset: 5, earliest: 15 })).toBe(14);
    expect(tailAfter({ firstOffset: 5, lastOffset: 20, earliest: 30, head: 40 })).toBe(29);
  });
});

describe('one range', () => {
  test('[W2] a page that goes past what is loaded is cut there', () => {
    const read = takePage(beginRead({ after: 10, until: 13 }), {
      events: [event(11), event(13), event(14), event(15)],
      next: 15,
      upToDate: false,
      closed: false,
    });
    expect(read.events.map(({ offset }) => offset)).toEqual([11, 13]);
    expect(read.next).toBe(13);
  });

  test('a page that goes nowhere is an error and not a loop', () => {
    const stuck = { events: [], next: 10, upToDate: false, closed: false };
    expect(() => takePage(beginRead({ after: 10, until: 13 }), stuck)).toThrow('could not be read past offset 10');
  });

  test('an empty range makes the next one larger, a range of many pages a smaller one', () => {
    const window = windowFrom(1_000_000, 0);
    const first = nextRange(window);
    if (!first) throw new Error('there is a range');
    const empty = afterRead(window, { ...beginRead(first), next: first.until, pages: 1 });
    expect(empty.span).toBeGreaterThan(window.span);
    const heavy = afterRead(window, { ...beginRead(first), next: first.until, events: [event(first.until)], pages: 10 });
    expect(heavy.span).toBeLessThan(window.span);
    expect(heavy.floor).toBe(first.after);
  });
});

/**
 * A log of one session with holes, read in pages of `pageEvents`, whose beginning may expire while
 * it is read.
 */
class FakeLog {
  earliest = 1;
  reads = 0;
  readonly offsets: number[];
  readonly head: number;
  readonly pageEvents: number;
  /** At the n-th read the log begins further up. */
  readonly expiries: Map<number, number>;
  /** Reads that fail once. */
  readonly failures: Set<number>;

  constructor(offsets: number[], head: number, pageEvents: number, expiries: Map<number, number>, failures: Set<number>) {
    this.offsets = offsets;
    this.head = head;
    this.pageEvents = pageEvents;
    this.expiries = expiries;
    this.failures = failures;
  }

  async read(after: number) {
    this.reads += 1;
    if (this.reads > 5_000) throw new Error('this does not end');
    const expiry = this.expiries.get(this.reads);
    if (expiry !== undefined) this.earliest = Math.max(this.earliest, expiry);
    if (this.failures.has(this.reads)) throw Object.assign(new Error('cut'), { code: 'unreachable' });
    if (after !== 0 && after < this.earliest - 1) {
      throw Object.assign(new Error('expired'), { code: 'offset_expired', facts: { earliest: this.earliest } });
    }
    const kept = this.offsets.filter((offset) => offset > after && offset >= this.earliest);
    const page = kept.slice(0, this.pageEvents);
    const upToDate = page.length === kept.length;
    return { events: page.map(event), next: upToDate ? this.head : (page.at(-1) ?? after), upToDate, closed: false };
  }
}

const scenario = fc.record({
  gaps: fc.array(fc.oneof({ weight: 8, arbitrary: fc.constant(1) }, fc.integer({ min: 1, max: 4_000 })), {
    minLength: 1,
    maxLength: 300,
  }),
  before: fc.integer({ min: 0, max: 3_000 }),
  after: fc.integer({ min: 0, max: 3_000 }),
  pageEvents: fc.integer({ min: 1, max: 80 }),
  tail: fc.integer({ min: 0, max: 2_000 }),
  expiries: fc.array(fc.tuple(fc.integer({ min: 1, max: 30 }), fc.double({ min: 0, max: 1, noNaN: true })), { maxLength: 3 }),
  failures: fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 4 }),
});

describe('loading upwards', () => {
  test('[W1] [W2] [W3] every stored event is handed on once, in order, right before what was loaded', async () => {
    await fc.assert(
      fc.asyncProperty(scenario, async ({ gaps, before, after, pageEvents, tail, expiries, failures }) => {
        const offsets: number[] = [];
        let last = before;
        for (const gap of gaps) {
          last += gap;
          offsets.push(last);
        }
        const head = last + after;
        const firstOffset = offsets[0] as number;
        const places = new Map(expiries.map(([read, share]) => [read, Math.floor(firstOffset + share * (last - firstOffset))]));
        const log = new FakeLog(offsets, head, pageEvents, places, new Set(failures));
        const floor = tailAfter({ firstOffset, lastOffset: last, earliest: 1, head }, tail);
        let loaded = offsets.filter((offset) => offset > floor);
        const loader = new HistoryLoader(windowFrom(floor, bottomOf({ firstOffset, earliest: 1 })), last, {
          read: (from) => log.read(from),
          prepend: (events) => {
            loaded = [...events.map(({ offset }) => offset), ...loaded];
          },
          onChange: () => {},
        });
        let outcome = 'failed';
        for (let tries = 0; tries < 10 && outcome === 'failed'; tries += 1) outcome = await loader.load('all', () => false);
        expect(outcome).toBe('at_start');
        // What was read before it expired is allowed to be there; a hole is not.
        const begin = loaded[0] ?? Number.POSITIVE_INFINITY;
        expect(loaded).toEqual(offsets.filter((offset) => offset >= begin));
        const mustHave = offsets.filter((offset) => offset >= log.earliest);
        expect(loaded.slice(-mustHave.length || loaded.length)).toEqual(mustHave.length > 0 ? mustHave : loaded);
        expect(loader.view).toMatchObject({ state: 'none', share: 1 });
      }),
      { numRuns: 300 },
    );
  });

  const simple = (size: number, pageEvents = 500) => {
    const log = new FakeLog(
      Array.from({ length: size }, (_, index) => index + 1),
      size,
      pageEvents,
      new Map(),
      new Set(),
    );
    const loaded: number[] = [];
    const changes: string[] = [];
    const loader: HistoryLoader = new HistoryLoader(windowFrom(size - 100, 0), size, {
      read: (from) => log.read(from),
      prepend: (events) => loaded.unshift(...events.map(({ offset }) => offset)),
      onChange: () => changes.push(loader.view.state),
    });
    return { log, loaded, loader, changes };
  };

  test('a page of scrolling loads one range, and a second call meanwhile loads no more', async () => {
    const { loader, loaded, changes } = simple(10_000);
    const [first] = await Promise.all([loader.page(), loader.page(), loader.page()]);
    expect(first).toBe('content');
    expect(loaded).toHaveLength(1000);
    await expect.poll(() => loader.view.state).toBe('available');
    expect(changes).toContain('loading');
  });

  test('[O2] a cancelled load stops, and the page that scrolling requested still arrives', async () => {
    const { loader, loaded } = simple(100_000, 100);
    const page = loader.page();
    const all = loader.load('all', () => false);
    expect(loader.view.goal).toBe('all');
    loader.cancel(['all', 'line']);
    expect(await all).toBe('cancelled');
    expect(await page).toBe('content');
    expect(loaded.length).toBeLessThan(10_000);
    expect(loader.view.goal).toBeNull();
  });

  test('[O2] a load after cancelling everything starts over', async () => {
    const { loader, loaded } = simple(5_000, 100);
    const first = loader.load('all', () => false);
    loader.cancel();
    expect(await first).toBe('cancelled');
    expect(await loader.load('all', () => false)).toBe('at_start');
    expect(loaded).toEqual(Array.from({ length: 4_900 }, (_, index) => index + 1));
  });

  test('a failed read is reported, keeps what is loaded, and can be retried', async () => {
    const { loader, log, loaded } = simple(3_000);
    log.failures.add(2);
    expect(await loader.load('all', () => false)).toBe('failed');
    expect(loader.view.error).toMatchObject({ code: 'unreachable' });
    expect(await loader.load('all', () => false)).toBe('at_start');
    expect(loader.view.error).toBeNull();
    expect(loaded).toHaveLength(2_900);
  });
});
