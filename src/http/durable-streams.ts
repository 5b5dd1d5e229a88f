/**
 * The read side of the Durable Streams protocol (STR22), in JSON mode: the log of a session, or of
 * one execution, as a stream of JSON messages. An execution that has settled is a closed stream.
 * The write side of the protocol is not offered and gets 405.
 *
 * - An offset on the wire has the log offset of the last event before it, in 16 digits, so that
 *   offsets sort as text, and the generation of the log (STR32). Digits alone are accepted too,
 *   without a check of the generation: the client of 0.1.0 stores and sends those.
 * - The end of a closed stream is the offset of its verdict, for every later reader, although the
 *   session's log continues after it.
 * - A closed stream does not change, so the stream of one execution has no late events. The stream
 *   of the session is never closed and has them.
 * - `Stream-Closed` is sent only with the last event or after it. The status is read before the
 *   log, so an execution that had settled by then was read to its end.
 */

import { type Execution, type Failure, generationOf, isTerminal, lateMember } from '../../protocol/index.ts';
import { failure } from '../contract/failure.ts';
import { checkGeneration } from '../core/generation.ts';
import { type FeedRequest, openFeed, type StoredEvent } from '../operations/feed.ts';
import type { Env } from '../platform/env.ts';
import { callSession } from '../session/call-object.ts';
import { generationParam } from './params.ts';
import { narrowByTicket, outsideTicketScope, type Reader, ticketExpired } from './readers.ts';
import { eventStreamOf, type Rendered } from './sse.ts';

/** The approximate size of a catch-up answer; the next request gets the rest. */
const CHUNK_BYTES = 1024 * 1024;

/** Below the time after which proxies close a silent request. */
export const LONG_POLL_MS = 25_000;

/** The protocol asks for this value, so that readers at the same offset can share one answer. */
const SSE_RECYCLE_MS = 60_000;

/** Cursors count intervals of 20 s. */
const CURSOR_EPOCH_MS = Date.UTC(2024, 9, 9);
const CURSOR_INTERVAL_MS = 20_000;
const CURSOR_JITTER_MAX = 180;

const OFFSET = /^(\d{16})(?:_([0-9a-z]{1,11}))?$/;

export interface StreamPath {
  session: string;
  execution?: string | undefined;
}

/** Where to begin: after an offset, at the oldest event, or at the tail. */
type Start = { after: number; generation: string | null } | 'oldest' | 'tail';

interface StreamRequest {
  start: Start;
  live: 'long-poll' | 'sse' | null;
  /** The log that the reader means; null: the current one. */
  generation: string | null;
  cursor: string | null;
}

export async function readStream(request: Request, { caller, ticket }: Reader, path: StreamPath): Promise<Response | Failure> {
  const { env, tenant } = caller;
  const { session, execution } = path;
  const wanted = streamParams(new URL(request.url).searchParams);
  if ('code' in wanted) return wanted;
  const { start, live, cursor, generation } = wanted;
  const filter: FeedRequest = {
    after: typeof start === 'object' ? start.after : null,
    tail: start === 'oldest' ? Number.MAX_SAFE_INTEGER : start === 'tail' ? 0 : null,
    executions: execution === undefined ? null : [execution],
    types: null,
    generation,
  };
  const narrowed = narrowByTicket({ ...filter, flow: true }, ticket);
  if (!narrowed) return outsideTicketScope();

  // With a ticket of one execution the session's stream ends with that execution.
  const only = execution ?? ticket?.execution;
  // Read before the log, so that a settled execution is read to its end.
  const asked = only === undefined ? null : await verdictOffset(env, tenant, session, only, generation);
  // The session's own stream exists before the execution of the ticket does.
  const unborn = execution === undefined && asked !== null && typeof asked === 'object' && asked.code === 'execution_not_found';
  const settled = unborn ? null : asked;
  if (settled !== null && typeof settled === 'object') return settled;
  const position = (offset: number): number => {
    if (settled === null) return offset;
    return Math.max(typeof start === 'object' ? start.after : 0, Math.min(offset, settled));
  };

  if (request.method === 'HEAD') {
    const found = await callSession(env, tenant, session, (stub) => stub.getSession());
    if (!found.ok) return found;
    const { createdAt } = found.session;
    const replaced = checkGeneration(createdAt, generation);
    if (replaced) return replaced;
    const tail = settled ?? found.session.head;
    return new Response(null, {
      headers: {
        ...headersOf({ next: tail, upToDate: true, closed: settled !== null }, suffixOf(request, wanted, generationOf(createdAt))),
        'cache-control': 'no-store',
      },
    });
  }

  const opened = await openFeed(env, tenant, session, narrowed, request.signal);
  if (!opened.ok) return opened;
  const { feed, hello } = opened;
  const suffix = suffixOf(request, wanted, hello.generation);
  if (live === 'sse') {
    const events = new StreamEvents(position, suffix, only !== undefined, cursor);
    return eventStreamOf(feed, '', SSE_RECYCLE_MS, (item) => events.of(item), { tenant, session });
  }
  try {
    const from = typeof start === 'object' ? start.after : start === 'oldest' ? hello.earliest - 1 : hello.head;
    const chunk = new Chunk(from, only !== undefined);
    const until = Date.now() + LONG_POLL_MS;
    for (;;) {
      const item = await feed.next(chunk.upToDate ? (chunk.empty ? until - Date.now() : 0) : undefined);
      if (item.type === 'quiet') break;
      if (item.type === 'closed' && item.ticketOver && !chunk.upToDate) return ticketExpired();
      if (item.type === 'closed' && !chunk.upToDate && !item.complete) {
        return failure('unavailable', 'The session could not be reached. Try again.');
      }
      if (item.type === 'closed') break;
      if (chunk.take(item) === 'full') break;
      if (chunk.upToDate && (live === null || settled !== null || chunk.ended)) break;
    }
    const state = {
      next: position(chunk.next),
      upToDate: chunk.upToDate,
      closed: chunk.upToDate && (settled !== null || chunk.ended),
    };
    return answerOf(request, chunk, state, wanted, suffix);
  } finally {
    feed.close();
  }
}

function streamParams(query: URLSearchParams): StreamRequest | Failure {
  const [offset, more] = query.getAll('offset');
  const live = query.get('live');
  if (more !== undefined) return failure('bad_request', 'offset: may be given once', { field: 'offset' });
  if (live !== null && live !== 'long-poll' && live !== 'sse') {
    return failure('bad_request', 'live: must be long-poll or sse', { field: 'live' });
  }
  if (live !== null && offset === undefined) return failure('bad_request', 'offset: is needed with live', { field: 'offset' });
  const generation = generationParam(query);
  if (!generation.ok) return generation;
  const start = startOf(offset ?? '-1');
  if (!start) return failure('bad_request', 'offset: must be -1, now, or one that this stream gave', { field: 'offset' });
  const named = typeof start === 'object' ? start.generation : null;
  return { start, live, generation: named ?? generation.value, cursor: query.get('cursor') };
}

function startOf(offset: string): Start | null {
  if (offset === '-1') return 'oldest';
  if (offset === 'now') return 'tail';
  const [, digits, generation = null] = OFFSET.exec(offset) ?? [];
  const after = Number(digits);
  return Number.isSafeInteger(after) ? { after, generation } : null;
}

/** The wire form of an offset. */
const offsetText = (offset: number, suffix: string): string => String(offset).padStart(16, '0') + suffix;

/**
 * The text after the digits of an offset. Empty for the client of 0.1.0, which is recognised by a
 * request that accepts only JSON and names no generation (VER1). Also empty when an object of 0.1.0
 * did not send its generation.
 */
function suffixOf(request: Request, { generation }: StreamRequest, made: string | undefined): string {
  const isOld = generation === null && request.headers.get('accept') === 'application/json';
  return isOld || made === undefined ? '' : `_${made}`;
}

/** Offset of the verdict of an execution that has settled, or null. */
async function verdictOffset(
  env: Env,
  tenant: string,
  session: string,
  id: string,
  generation: string | null,
): Promise<number | null | Failure> {
  const found: { ok: true; execution: Execution } | Failure = await callSession(env, tenant, session, (stub) =>
    stub.getExecution(id, generation),
  );
  if (!found.ok) return found;
  return isTerminal(found.execution.status) ? (found.execution.lastOffset ?? null) : null;
}

/**
 * The cursor of an answer is later than that of the request. Otherwise two caches could send a
 * reader back and forth without end.
 */
function cursorAfter(cursor: string | null): string {
  const now = Math.floor((Date.now() - CURSOR_EPOCH_MS) / CURSOR_INTERVAL_MS);
  const given = cursor !== null && /^\d{1,15}$/.test(cursor) ? Number(cursor) : -1;
  return String(given < now ? now : given + 1 + Math.floor(Math.random() * CURSOR_JITTER_MAX));
}

type FeedOutput = Parameters<Parameters<typeof eventStreamOf>[3]>[0];

const messageText = ({ offset, late, execution, type, at, data }: StoredEvent): string =>
  `{"offset":${offset}${lateMember(late)},"execution":"${execution}","type":${JSON.stringify(type)},"at":${at},"data":${data}}`;

const messagesText = (events: readonly StoredEvent[]): string => `[${events.map(messageText).join(',')}]`;

const partOf = (events: readonly StoredEvent[], isOfOne: boolean): readonly StoredEvent[] =>
  isOfOne ? events.filter(({ late }) => !late) : events;

/** The content of one answer. */
class Chunk {
  readonly from: number;
  next: number;
  upToDate = false;
  ended = false;
  readonly #messages: string[] = [];
  readonly #isOfOne: boolean;
  #bytes = 0;

  /** `isOfOne`: the stream of one execution, which its end closes. */
  constructor(from: number, isOfOne: boolean) {
    this.from = from;
    this.#isOfOne = isOfOne;
    this.next = from;
  }

  get empty(): boolean {
    return this.#messages.length === 0;
  }

  get text(): string {
    return `[${this.#messages.join(',')}]`;
  }

  take(item: FeedOutput): 'full' | 'more' {
    if (item.type === 'events') {
      for (const event of partOf(item.events, this.#isOfOne)) {
        const text = messageText(event);
        this.#messages.push(text);
        this.#bytes += text.length;
      }
      this.next = item.last;
    } else if (item.type === 'caught_up') {
      this.next = item.offset;
      this.upToDate = true;
    } else if (this.#isOfOne) {
      this.ended = true;
    }
    return this.#bytes >= CHUNK_BYTES ? 'full' : 'more';
  }
}

interface StreamState {
  next: number;
  upToDate: boolean;
  closed: boolean;
}

const headersOf = ({ next, upToDate, closed }: StreamState, suffix: string): Record<string, string> => ({
  'content-type': 'application/json',
  'stream-next-offset': offsetText(next, suffix),
  ...(upToDate ? { 'stream-up-to-date': 'true' } : {}),
  ...(closed ? { 'stream-closed': 'true' } : {}),
  'x-content-type-options': 'nosniff',
  'cross-origin-resource-policy': 'same-origin',
});

async function answerOf(
  request: Request,
  chunk: Chunk,
  state: StreamState,
  { start, live, cursor }: StreamRequest,
  suffix: string,
): Promise<Response> {
  const headers = headersOf(state, suffix);
  if (live !== null) headers['stream-cursor'] = cursorAfter(cursor);
  if (live !== null && chunk.empty) {
    delete headers['content-type'];
    return new Response(null, { status: 204, headers: { ...headers, 'cache-control': 'no-store' } });
  }
  // The content at these offsets never changes. But a session of the same name may start again, and
  // another reader may use the same browser. So caches revalidate every answer, by a tag of its
  // content.
  headers['cache-control'] = start === 'tail' ? 'no-store' : 'private, no-cache';
  headers.vary = 'Authorization';
  headers.etag = await tagOf(`${state.next}${suffix}${state.closed ? ' closed' : ''}\n${chunk.text}`);
  const known = (request.headers.get('if-none-match') ?? '').split(',').map((tag) => tag.trim().replace(/^W\//, ''));
  if (live === null && start !== 'tail' && known.includes(headers.etag)) {
    delete headers['content-type'];
    return new Response(null, { status: 304, headers });
  }
  return new Response(chunk.text, { headers });
}

/** One megabyte takes about a millisecond. */
async function tagOf(content: string): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(content)));
  return `"${[...digest.subarray(0, 16)].map((byte) => byte.toString(16).padStart(2, '0')).join('')}"`;
}

/** The protocol's own event stream: after each `data` a `control` with the reader's position. */
class StreamEvents {
  readonly #position: (offset: number) => number;
  readonly #suffix: string;
  readonly #endIsClose: boolean;
  readonly #cursor: string | null;
  /**
   * Replayed events are held until the next item, so that the last `control` of the replay can say
   * that the reader is up to date.
   */
  #held: { events: StoredEvent[]; last: number } | null = null;
  #upToDate = false;
  #reached = 0;

  constructor(position: (offset: number) => number, suffix: string, endIsClose: boolean, cursor: string | null) {
    this.#position = position;
    this.#suffix = suffix;
    this.#endIsClose = endIsClose;
    this.#cursor = cursor;
  }

  of(item: FeedOutput): Rendered {
    switch (item.type) {
      case 'events': {
        if (this.#upToDate) return { text: this.#data(item.events) + this.#control(item.last), last: false };
        const text = this.#release();
        this.#held = item;
        return { text, last: false };
      }
      case 'caught_up': {
        const data = this.#held ? this.#data(this.#held.events) : '';
        this.#held = null;
        this.#upToDate = true;
        return { text: data + this.#control(item.offset), last: false };
      }
      case 'end':
        return this.#endIsClose ? { text: this.#release() + this.#close(), last: true } : { text: '', last: false };
    }
  }

  #release(): string {
    const held = this.#held;
    this.#held = null;
    return held ? this.#data(held.events) + this.#control(held.last) : '';
  }

  #data(events: readonly StoredEvent[]): string {
    const part = partOf(events, this.#endIsClose);
    return part.length === 0 ? '' : `event: data\ndata: ${messagesText(part)}\n\n`;
  }

  #control(offset: number): string {
    this.#reached = this.#position(offset);
    const control = { streamNextOffset: offsetText(this.#reached, this.#suffix), streamCursor: cursorAfter(this.#cursor) };
    return controlText(this.#upToDate ? { ...control, upToDate: true } : control);
  }

  #close(): string {
    return controlText({ streamNextOffset: offsetText(this.#reached, this.#suffix), upToDate: true, streamClosed: true });
  }
}

const controlText = (control: object): string => `event: control\ndata: ${JSON.stringify(control)}\n\n`;
