/**
 * One page of a log over HTTP: the catch-up read of the Durable Streams route (STR22). For what lies behind; what comes is `connectSession`'s.
 */

import type { LoggedEvent } from '../../protocol/index.ts';
import { HoldfastError } from './error.ts';
import type { Answer, Call } from './request.ts';

export interface ReadEventsOptions {
  /** Only events of this one. */
  execution?: string;
  /** Only events of these types. The server sends all of a page; what is not wanted is dropped here. */
  types?: readonly string[];
  /**
   * Events after this offset. 0 is the oldest that is kept; another offset that is no longer kept is refused with `offset_expired`. `tail` is
   * the end of the log: an empty page, whose `next` says where that is.
   */
  after: number | 'tail';
  /** The log that is meant: `generation` of the page before. Another one is refused with `log_replaced`. */
  generation?: string | undefined;
  /** At most so many events. Default: what a page of about 1 MiB holds. */
  limit?: number;
  signal?: AbortSignal;
}

export interface EventPage {
  /** Ascending. May be empty although more follows: a page in which `types` left nothing. */
  events: LoggedEvent[];
  /** `after` of the next page. */
  next: number;
  /** The page ends at the newest event there was. */
  upToDate: boolean;
  /** With `execution`: it has ended, and nothing follows. */
  closed: boolean;
  /** Which log of this name it is. A coordinator of 0.1.0 does not say. */
  generation?: string;
}

/** A page is larger than other answers. */
const PAGE_EXTRA_MS = 20_000;

const isWholeNumber = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

export function eventsCall(path: string, { after, limit, generation }: ReadEventsOptions): Call {
  if (after !== 'tail' && !isWholeNumber(after)) throw new TypeError('after must be a whole number or tail');
  if (limit !== undefined && !(isWholeNumber(limit) && limit > 0)) throw new TypeError('limit must be a whole number above 0');
  const offset = after === 'tail' ? 'now' : after === 0 ? '-1' : String(after).padStart(16, '0');
  return {
    method: 'GET',
    path: `${path}/events`,
    query: { offset, generation },
    // One that asks for JSON alone is taken for the client of 0.1.0, and told no generation (STR32).
    headers: { accept: 'application/json, */*;q=0.1' },
    repeatable: true,
    heldMs: PAGE_EXTRA_MS,
  };
}

export function eventPageOf(
  { value, headers, status }: Answer,
  { types, limit = Number.POSITIVE_INFINITY }: ReadEventsOptions,
): EventPage {
  const [, position, generation] = /^(\d{1,16})(?:_(\w+))?$/.exec(headers.get('stream-next-offset') ?? '') ?? [];
  if (!Array.isArray(value) || !value.every(isLoggedEvent) || position === undefined) {
    throw new HoldfastError({ code: 'bad_answer', message: 'the answer is not a page of events', retryable: false, status });
  }
  const wanted = types && types.length > 0 ? value.filter(({ type }) => types.includes(type)) : value;
  const events = wanted.slice(0, limit);
  const last = events.at(-1);
  const log = generation === undefined ? {} : { generation };
  // What the limit left out is the next page's.
  if (last && events.length < wanted.length) return { events, next: last.offset, upToDate: false, closed: false, ...log };
  return {
    ...log,
    events,
    next: Number(position),
    upToDate: headers.get('stream-up-to-date') === 'true',
    closed: headers.get('stream-closed') === 'true',
  };
}

function isLoggedEvent(value: unknown): value is LoggedEvent {
  const { offset, execution, type, at, data } = (value ?? {}) as Record<string, unknown>;
  return (
    isWholeNumber(offset) &&
    typeof execution === 'string' &&
    typeof type === 'string' &&
    isWholeNumber(at) &&
    typeof data === 'object' &&
    data !== null
  );
}
