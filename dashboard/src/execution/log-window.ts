/**
 * Which part of a run's log is loaded, and how it grows upwards. Pure: the reading is done by `older.ts`.
 *
 * Offsets count a whole session, so the offsets of one run have holes, and a run may be followed by others: its newest offset is not the
 * session's. The Durable Streams route reads forward only. Older events are therefore read as a range that ends exactly at what is loaded.
 *
 * W1  Everything of the run in (floor, newest] is loaded; nothing below floor is. `floor` only ever goes down.
 * W2  A range is handed on when all of it was read, never in part: no gap and no repeat whatever is cut between two pages.
 * W3  `bottom` is the place below which nothing of the run is kept; it goes up when events expire meanwhile.
 */

import type { LoggedEvent } from '../../../client/index.ts';

/** Opened near the tail: enough for a full screen many times over, and one page of about 1 MiB in common runs. */
export const TAIL_OFFSETS = 1000;

const SPAN_FIRST = 1000;
const SPAN_MIN = 50;
/** A range may be this large only after smaller ones held nothing: the run waited while others of its session wrote. */
const SPAN_MAX = 4_000_000;
/** A range that took more pages than this was too large: what it holds appears only when all of it is there. */
const PAGES_WANTED_MAX = 2;

export interface LogBounds {
  firstOffset: number;
  /** Offset of the verdict. */
  lastOffset?: number | undefined;
  /** Oldest offset that the session keeps. */
  earliest: number;
  head: number;
}

/** Whatever is kept of the run has an offset above this. */
export const bottomOf = ({ firstOffset, earliest }: Pick<LogBounds, 'firstOffset' | 'earliest'>): number =>
  Math.max(firstOffset, earliest, 1) - 1;

export const newestOf = ({ lastOffset, head }: Pick<LogBounds, 'lastOffset' | 'head'>): number => lastOffset ?? head;

/** The offset to open the stream after. */
export function tailAfter(bounds: LogBounds, offsets: number = TAIL_OFFSETS): number {
  return Math.max(bottomOf(bounds), newestOf(bounds) - offsets);
}

export interface LogWindow {
  readonly floor: number;
  readonly bottom: number;
  /** Offsets of the next range. */
  readonly span: number;
}

export const windowFrom = (floor: number, bottom: number): LogWindow => ({
  floor: Math.max(floor, bottom),
  bottom,
  span: SPAN_FIRST,
});

export const atBottom = ({ floor, bottom }: LogWindow): boolean => floor <= bottom;

/** `(after, until]`. */
export interface OlderRange {
  readonly after: number;
  readonly until: number;
}

/** The range right below what is loaded, or null when there is nothing older. */
export function nextRange(window: LogWindow): OlderRange | null {
  if (atBottom(window)) return null;
  return { after: Math.max(window.bottom, window.floor - window.span), until: window.floor };
}

export interface RangeRead {
  readonly range: OlderRange;
  /** Read up to here. */
  readonly next: number;
  readonly events: readonly LoggedEvent[];
  readonly pages: number;
}

export const beginRead = (range: OlderRange): RangeRead => ({ range, next: range.after, events: [], pages: 0 });

export interface EventPage {
  events: readonly LoggedEvent[];
  next: number;
  upToDate: boolean;
  closed: boolean;
}

/** A page, cut to the range: read forward, it may go past what is loaded already. */
export function takePage(read: RangeRead, page: EventPage): RangeRead {
  const { until } = read.range;
  const fresh = page.events.filter(({ offset }) => offset > read.next && offset <= until);
  const last = page.events.at(-1)?.offset ?? 0;
  const reached = page.upToDate || page.closed ? until : Math.max(page.next, last);
  // A page that brings nothing and goes nowhere would be asked for again for ever.
  if (reached <= read.next) throw new Error(`the log could not be read past offset ${read.next}`);
  return { ...read, next: Math.min(reached, until), events: [...read.events, ...fresh], pages: read.pages + 1 };
}

export const isComplete = ({ range, next }: RangeRead): boolean => next >= range.until;

/** W1: after the events of a complete read were prepended. */
export function afterRead(window: LogWindow, { range, events, pages }: RangeRead): LogWindow {
  return { ...window, floor: range.after, span: nextSpan(window.span, events.length, pages) };
}

function nextSpan(span: number, events: number, pages: number): number {
  const wanted = events === 0 ? span * 8 : pages > PAGES_WANTED_MAX ? span / pages : pages === 1 ? span * 2 : span;
  return Math.round(Math.min(SPAN_MAX, Math.max(SPAN_MIN, wanted)));
}

/** W3: the log begins at `earliest` now. A range that began below it is to be read again, from there. */
export const afterExpiry = (window: LogWindow, earliest: number): LogWindow => ({
  ...window,
  bottom: Math.max(window.bottom, earliest - 1),
});
