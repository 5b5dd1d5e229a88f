/**
 * Where to begin reading: the bounds of a run's log, and the position of a line in it. It sends the
 * requests; `log-window` and `line-search` interpret the answers.
 */

import type { EventPage, ReadEventsOptions } from '../../../client/index.ts';
import { earliestOf } from './history-loader.ts';
import { beginSearch, nextProbe, takeProbe } from './line-search.ts';
import { bottomOf, type LogBounds, newestOf, TAIL_OFFSETS, tailAfter } from './log-window.ts';
import type { Execution, SessionSummary } from './model.ts';

/** Lines above a linked line, so that it is shown in its context. */
const CONTEXT_OFFSETS = 200;

/** Reads a page of the log of one run. */
export type ReadLog = (asked: Omit<ReadEventsOptions, 'execution'>) => Promise<EventPage>;

/**
 * A credential for one run does not get the session's summary. The head is then read from the end
 * of the log, and the oldest offset is assumed to be the first until a read is refused for it.
 */
export async function readBounds(
  read: ReadLog,
  { firstOffset, lastOffset }: Execution,
  summary: SessionSummary | null,
  signal: AbortSignal,
): Promise<LogBounds> {
  if (summary) return { firstOffset, lastOffset, earliest: summary.earliest, head: summary.head };
  const head = lastOffset ?? (await headOf(read, signal));
  return { firstOffset, lastOffset, earliest: 1, head };
}

/** The same bounds, after a read was refused because a part of the run has expired. */
export async function boundsAfterExpiry(read: ReadLog, bounds: LogBounds, signal: AbortSignal): Promise<LogBounds> {
  const earliest = earliestOf(await refusalOf(read, Math.max(1, bounds.firstOffset - 1), signal));
  return { ...bounds, earliest: Math.max(earliest ?? 1, bounds.earliest) };
}

/**
 * Near the tail, or, for a line that is far above it, near the line. `onSearch` is called when that
 * takes a search.
 */
export async function findStartOffset(
  read: ReadLog,
  line: number | null,
  bounds: LogBounds,
  signal: AbortSignal,
  onSearch: () => void,
): Promise<number> {
  const tail = tailAfter(bounds);
  const bottom = bottomOf(bounds);
  // A distance of a few pages is loaded upwards faster than a search finds it.
  if (line === null || tail - bottom <= 2 * TAIL_OFFSETS) return tail;
  onSearch();
  try {
    let search = beginSearch(line, bottom, newestOf(bounds));
    for (let at = nextProbe(search); at !== null; at = nextProbe(search)) {
      search = takeProbe(search, await read({ after: at, signal }));
    }
    if (search.outcome?.kind !== 'found') return bottom;
    return Math.max(bottom, Math.min(tail, search.outcome.after - CONTEXT_OFFSETS));
  } catch {
    // The line is then found by loading upwards.
    return tail;
  }
}

/** Near the tail, or, for an event that is above it, some events above that one. */
export const startOf = (offset: number, bounds: LogBounds): number =>
  Math.max(bottomOf(bounds), Math.min(tailAfter(bounds), offset - CONTEXT_OFFSETS));

/** Why the log cannot be read after this offset; null when it can. */
async function refusalOf(read: ReadLog, after: number, signal: AbortSignal): Promise<unknown> {
  try {
    await read({ after, limit: 1, signal });
    return null;
  } catch (error) {
    return error;
  }
}

async function headOf(read: ReadLog, signal: AbortSignal): Promise<number> {
  const { next } = await read({ after: 'tail', signal });
  return next;
}
