import { expect, it } from 'vitest';
import {
  formatAge,
  formatBytes,
  formatClock,
  formatCount,
  formatDateTime,
  formatDuration,
  formatWholeSeconds,
} from '../../../dashboard/src/ui/time.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

it.each([
  [-5, '0 ms'],
  [0, '0 ms'],
  [999, '999 ms'],
  [999.6, '1.0 s'],
  [1000, '1.0 s'],
  [9_999, '9.9 s'],
  [10_000, '10 s'],
  [59_999, '59 s'],
  [MINUTE, '1 m 00 s'],
  [96 * SECOND, '1 m 36 s'],
  [HOUR - 1, '59 m 59 s'],
  [HOUR, '1 h 00 m'],
  [DAY - 1, '23 h 59 m'],
  [3 * DAY + 4 * HOUR, '3 d 04 h'],
])('duration(%d) = %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});

it('a running clock has no tenths and does not run backwards', () => {
  expect([-3, 0, 999, 1500, 61_000].map(formatWholeSeconds)).toEqual(['0 s', '0 s', '0 s', '1 s', '1 m 01 s']);
});

it.each([
  [-90_000, 'just now'],
  [4_999, 'just now'],
  [5_000, '5 s ago'],
  [MINUTE, '1 m ago'],
  [HOUR - 1, '59 m ago'],
  [5 * HOUR, '5 h ago'],
  [2 * DAY, '2 d ago'],
])('ago, %d ms earlier: %s', (age, text) => {
  expect(formatAge(1_000_000_000_000 - age, 1_000_000_000_000)).toBe(text);
});

it('what is long ago has its date', () => {
  const at = new Date(2026, 0, 5, 9, 7, 3, 42).getTime();
  expect(formatAge(at, at + 31 * DAY)).toBe('2026-01-05');
  expect(formatDateTime(at)).toBe('2026-01-05 09:07:03');
  expect(formatClock(at)).toBe('09:07:03.042');
});

it('numbers', () => {
  expect([0, 999, 1000, 1_234_567].map(formatCount)).toEqual(['0', '999', '1,000', '1,234,567']);
  expect([0, 999, 1000, 1449, 9_960, 999_400, 999_600, 23_000_000, 5e12, 9e15].map(formatBytes)).toEqual([
    ...['0 B', '999 B', '1.0 kB', '1.4 kB', '10 kB', '999 kB', '1.0 MB', '23 MB', '5.0 TB', '9000 TB'],
  ]);
});
