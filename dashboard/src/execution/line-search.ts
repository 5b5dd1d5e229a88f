/**
 * Finds where in the log a line begins, with few reads: events carry the number of the first line
 * that begins in them (`data.line`), so a page shows on which side of it the line is. Pure:
 * `(search, page) → search`, and `nextProbe` returns where to read.
 *
 * S1  The event in which the line begins has an offset in (low, high], or is `best`.
 * S2  Every page makes that interval smaller, or the scan that it belongs to longer; so the search
 *     terminates.
 */

import type { LoggedEvent } from '../../../client/index.ts';
import type { EventPage } from './log-window.ts';

/**
 * Interpolation needs three or four reads, bisection of a thousand pages ten. More means that the
 * numbers are inconsistent.
 */
const PROBES_MAX = 40;

export interface LineSearch {
  readonly target: number;
  readonly low: number;
  readonly high: number;
  /** Newest offset known to begin a line at or before the target. */
  readonly best: number | null;
  /** Known lines at the two ends, for interpolation. */
  readonly lowLine: number;
  readonly highLine: number | null;
  /** Begin of a stretch without any number that is being scanned. */
  readonly scan: { from: number; next: number } | null;
  /** Offsets of the last page. */
  readonly pageSpan: number;
  readonly probes: number;
  readonly outcome: SearchOutcome | null;
}

/**
 * `after`: read the log from there. `unnumbered`: the wrapper does not number its lines, so they
 * have to be counted from the start.
 */
export type SearchOutcome = { kind: 'found'; after: number } | { kind: 'unnumbered' };

export const beginSearch = (target: number, bottom: number, newest: number): LineSearch => ({
  target,
  low: bottom,
  high: Math.max(bottom, newest),
  best: null,
  lowLine: 1,
  highLine: null,
  scan: null,
  pageSpan: 0,
  probes: 0,
  outcome: newest <= bottom ? { kind: 'unnumbered' } : null,
});

/** The number of the first line that begins in this event, if it has one. */
export function lineOf({ type, data }: LoggedEvent): number | null {
  const line = type === 'output' ? data.line : undefined;
  return Number.isSafeInteger(line) && (line as number) >= 1 ? (line as number) : null;
}

/** The offset to read a page after, or null when the search is over. */
export function nextProbe(search: LineSearch): number | null {
  const { low, high, scan, probes, pageSpan, target, lowLine, highLine, outcome } = search;
  if (outcome) return null;
  if (scan) return scan.next;
  // The first page shows whether lines are numbered, and how many offsets a page has.
  if (probes === 0) return low;
  const last = Math.max(low, high - 1);
  // The page at the end shows the highest number.
  if (highLine === null) return clamp(high - Math.max(1, pageSpan), low, last);
  // For unevenly spread lines, every third step halves the interval.
  const share = probes % 3 === 0 ? 0.5 : (target - lowLine) / Math.max(1, highLine - lowLine);
  return clamp(Math.floor(low + (high - low) * share - pageSpan / 2), low, last);
}

/** A page that was read after `nextProbe(search)`. */
export function takeProbe(search: LineSearch, page: EventPage): LineSearch {
  const at = nextProbe(search);
  if (at === null) return search;
  const reached = page.upToDate || page.closed ? search.high : Math.max(page.next, page.events.at(-1)?.offset ?? 0);
  const next: LineSearch = {
    ...search,
    scan: null,
    probes: search.probes + 1,
    pageSpan: Math.max(1, Math.min(reached, search.high) - at),
  };
  const begun = search.scan?.from ?? at;
  const numbered = page.events.filter(({ offset }) => offset > at).flatMap(numberOf);
  const first = numbered[0];
  const before = numbered.findLast(({ line }) => line <= search.target);

  if (!first) {
    if (reached > at && reached < search.high) return bounded({ ...next, scan: { from: begun, next: reached } });
    return narrowed({ ...next, high: begun });
  }
  if (!before) return narrowed({ ...next, high: begun, highLine: first.line });
  const later = numbered.at(-1);
  if (later && later.line > search.target) return finished({ ...next, best: before.offset });
  return narrowed({ ...next, best: before.offset, low: Math.max(reached, before.offset), lowLine: before.line });
}

const numberOf = (event: LoggedEvent): { offset: number; line: number }[] => {
  const line = lineOf(event);
  return line === null ? [] : [{ offset: event.offset, line }];
};

const narrowed = (search: LineSearch): LineSearch => (search.low >= search.high ? finished(search) : bounded(search));

const bounded = (search: LineSearch): LineSearch =>
  search.probes >= PROBES_MAX ? { ...search, outcome: { kind: 'unnumbered' } } : search;

function finished(search: LineSearch): LineSearch {
  const { best, highLine, low } = search;
  if (best !== null) return { ...search, outcome: { kind: 'found', after: best - 1 } };
  // All numbers are higher: what comes before them has expired, or is the beginning of the log.
  if (highLine !== null) return { ...search, outcome: { kind: 'found', after: low } };
  return { ...search, outcome: { kind: 'unnumbered' } };
}

const clamp = (value: number, low: number, high: number): number => Math.min(Math.max(value, low), high);
