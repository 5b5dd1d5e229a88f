/**
 * Which part of a run's log is loaded, and how it grows upwards. Pure: `history-loader.ts` does the
 * reading.
 *
 * Offsets count a whole session, so the offsets of one run have holes, and other runs may follow: a
 * run's newest offset is not the session's. The Durable Streams route reads forward only. Older
 * events are therefore read as a range that ends exactly at what is loaded.
 *
 * W1  Every event of the run in (floor, newest] is loaded; no event below floor is. `floor` only
 *     decreases.
 * W2  A range is handed on when it was read completely, never in part: no gap and no repeat,
 *     whatever fails between two pages.
 * W3  `bottom` is the offset below which no event of the run is kept; it increases when events
 *     expire.
 */

import type { LoggedEvent } from '../../../client/index.ts';

/** Initial window near the tail: many screens, and one page of about 1 MiB in common runs. */
export const TAIL_OFFSETS = 1000;

const SPAN_FIRST = 1000;
const SPAN_MIN = 50;
/**
 * A range may be this large only after smaller ones were empty: the run waited while others of its
 * session wrote.
 */
const SPAN_MAX = 4_000_000;
/** A range with more pages than this was too large: its events appear only when it is complete. */
const PAGES_WANTED_MAX = 2;

export interface LogBounds {
  firstOffset: number;
  /** Offset of the verdict. */
  lastOffset?: number | undefined;
  /** Oldest offset that the session keeps. */
  earliest: number;
  head: number;
}

/** Every kept event of the run has an offset above this. */
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

/** The range right below what is loaded, or null when there are no older events. */
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

/** A page, cut to the range: reading forward may pass what is loaded already. */
export function takePage(read: RangeRead, page: EventPage): RangeRead {
  const { until } = read.range;
  const fresh = page.events.filter(({ offset }) => offset > read.next && offset <= until);
  const last = page.events.at(-1)?.offset ?? 0;
  const reached = page.upToDate || page.closed ? until : Math.max(page.next, last);
  // A page without events or progress would be requested forever.
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

/**
 * W3: the log now begins at `earliest`. A range that began below it must be read again, from there.
 */
export const afterExpiry = (window: LogWindow, earliest: number): LogWindow => ({
  ...window,
  bottom: Math.max(window.bottom, earliest - 1),
});
