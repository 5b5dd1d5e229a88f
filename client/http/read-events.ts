/**
 * One page of a log over HTTP: the catch-up read of the Durable Streams route (STR22). It reads
 * past events; `connectSession` follows new ones.
 */

import type { LoggedEvent } from '../../protocol/index.ts';
import { HoldfastError } from './error.ts';
import type { Answer, Call } from './request.ts';

export interface ReadEventsOptions {
  /** Only events of this execution. */
  execution?: string;
  /**
   * Only events of these types. The server sends the whole page; the client drops the other types.
   * An empty list throws.
   */
  types?: readonly string[];
  /**
   * Events after this offset. 0 begins at the oldest that is kept; any other offset that is no
   * longer kept is refused with `offset_expired`. `tail` is the end of the log: an empty page whose
   * `next` is that end.
   */
  after: number | 'tail';
  /** `generation` of the page before. Another log is refused with `log_replaced`. */
  generation?: string | undefined;
  /** At most this many events. Default: a page of about 1 MiB. */
  limit?: number;
  signal?: AbortSignal;
}

export interface EventPage {
  /** Ascending. May be empty although more events follow, when `types` dropped the whole page. */
  events: LoggedEvent[];
  /** `after` of the next page. */
  next: number;
  /** The page ends at the newest event. */
  upToDate: boolean;
  /** With `execution`: it has ended, and no event follows. */
  closed: boolean;
  /**
   * Identifies the log among those of the same session id. A coordinator of 0.1.0 does not send it.
   */
  generation?: string;
}

/** Extra time, because a page is larger than other answers. */
const PAGE_EXTRA_MS = 20_000;

const isWholeNumber = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

export function eventsCall(path: string, { after, limit, types, generation }: ReadEventsOptions): Call {
  if (types?.length === 0) throw new TypeError('types is empty: leave it out to read all');
  if (after !== 'tail' && !isWholeNumber(after)) throw new TypeError('after must be a whole number or tail');
  if (limit !== undefined && !(isWholeNumber(limit) && limit > 0)) throw new TypeError('limit must be a whole number above 0');
  const offset = after === 'tail' ? 'now' : after === 0 ? '-1' : String(after).padStart(16, '0');
  return {
    method: 'GET',
    path: `${path}/events`,
    query: { offset, generation },
    // The coordinator sends no generation to a client that accepts only JSON, as 0.1.0 does
    // (STR32).
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
  const wanted = types ? value.filter(({ type }) => types.includes(type)) : value;
  const events = wanted.slice(0, limit);
  const last = events.at(-1);
  const log = generation === undefined ? {} : { generation };
  // The next page begins with the events that the limit left out.
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
