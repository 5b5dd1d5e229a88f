/**
 * Goal: the arithmetic of the benchmarks is right, and what they compare with runs under the same
 * terms. The times themselves gate nothing.
 */

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { configText } from '../../bench/lib/capnp.ts';
import { figureOf, isMet, markdown, median, percentile, table } from '../../bench/lib/figures.ts';
import { eventLine, LAST_MARK, prepare, prepareSingles } from '../../bench/lib/frames.ts';
import { dollars, extrapolate } from '../../bench/prices.ts';
import { parseWrapperFrame, utf8Bytes } from '../../protocol/index.ts';

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

describe('figures', () => {
  it('medians and percentiles', () => {
    expect(median([5, 1, 3])).toBe(3);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);
    expect(percentile(hundred, 0.5)).toBe(50);
    expect(percentile(hundred, 0.99)).toBe(99);
    expect(percentile([7], 0.99)).toBe(7);
    expect(() => median([])).toThrow();
  });

  it('a ratio is that of the rounds, not of the medians', () => {
    // In round 2 the machine was twice as slow for both.
    const figure = figureOf('a/b', 'x', [100, 50, 100], [200, 100, 400]);
    expect(figure).toMatchObject({ value: 100, floor: 200, ratio: 0.5 });
  });

  it('a target that has no number to look at is missed', () => {
    expect(isMet({ value: 1, ratio: null, target: { of: 'ratio', atLeast: 0.5 } })).toBe(false);
    expect(isMet({ value: Number.NaN, ratio: Number.NaN, target: { of: 'value', atMost: 1 } })).toBe(false);
    expect(isMet({ value: 1, ratio: null, target: null })).toBeNull();
    expect(isMet({ value: 90, ratio: null, target: { of: 'value', atMost: 90 } })).toBe(true);
    expect(isMet({ value: 90.1, ratio: null, target: { of: 'value', atMost: 90 } })).toBe(false);
  });

  it('tables say which are missed', () => {
    const figures = [
      figureOf('good', 'x', [10], [10], { of: 'ratio', atLeast: 0.75 }),
      figureOf('bad', 'x', [1], [10], { of: 'ratio', atLeast: 0.75 }),
    ];
    for (const text of [table(figures), markdown(figures)]) {
      expect(text).toMatch(/good.* met/);
      expect(text).toMatch(/bad.* MISSED/);
    }
  });
});

describe('what is sent', () => {
  it.each([50, 200, 4096])('events of %i bytes have that many, and frames of them are frames', (bytes) => {
    expect(utf8Bytes(eventLine(bytes, 1))).toBe(bytes);
    const frames = prepare(250, bytes, 100);
    expect(frames.map(({ count }) => count)).toEqual([100, 100, 50]);
    for (const { frame, count } of frames) {
      const parsed = parseWrapperFrame(frame);
      expect(parsed).toMatchObject({ ok: true, frame: { type: 'events', count } });
    }
    // The mark is in the last frame alone, so near to its end that a viewer finds it there.
    expect(frames.map(({ frame }) => frame.indexOf(LAST_MARK, Math.max(0, frame.length - 90)) !== -1)).toEqual([
      false,
      false,
      true,
    ]);
    const singles = prepareSingles(3, bytes);
    expect(singles.map(({ frame }) => frame.includes(LAST_MARK))).toEqual([false, false, true]);
    for (const { frame } of singles) expect(() => JSON.parse(frame.toString())).not.toThrow();
  });
});

describe('prices', () => {
  it('by the list: a million requests, rows and GB-seconds', () => {
    const nothing = { requests: 0, messages: 0, alarms: 0, rowsWritten: 0, awakeSeconds: 0 };
    expect(dollars({ ...nothing, requests: 1e6 }).total).toBeCloseTo(0.15, 10);
    expect(dollars({ ...nothing, messages: 20e6 }).total).toBeCloseTo(0.15, 10);
    expect(dollars({ ...nothing, alarms: 1e6 }).total).toBeCloseTo(0.15, 10);
    expect(dollars({ ...nothing, rowsWritten: 1e6 }).total).toBeCloseTo(1, 10);
    expect(dollars({ ...nothing, awakeSeconds: 1e6 / 0.128 }).total).toBeCloseTo(12.5, 10);
  });

  it('a line through two counts', () => {
    expect(extrapolate({ events: 1_000, count: 54 }, { events: 10_000, count: 144 }, 1_000_000)).toBe(10_044);
  });
});

it('the bare object runs under the same date and flags as Holdfast', () => {
  const terms = (path: string) => read(path).match(/^compatibility_(date|flags) = .*$/gm);
  expect(terms('bench/floor/wrangler.toml')).toEqual(terms('wrangler.toml'));
  expect(terms('wrangler.toml')).toHaveLength(2);
});

it('a configuration of workerd names the entry first, and quotes what it is given', () => {
  const text = configText({
    compatibilityDate: '2026-10-01',
    compatibilityFlags: ['a'],
    objects: [{ binding: 'B', className: 'C' }],
    vars: { KEY: 'with "quotes"' },
    modules: ['a.sql', 'index.js'],
    port: 1,
    disk: '/tmp/x',
  });
  expect(text.indexOf('index.js')).toBeLessThan(text.indexOf('a.sql'));
  expect(text).toContain(String.raw`text = "with \"quotes\""`);
});
