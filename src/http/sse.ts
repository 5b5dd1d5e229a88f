/**
 * Server-Sent Events of a session (STR20, STR21): for browsers behind proxies that block
 * WebSockets, and for any program that reads lines.
 *
 * The end of a connection is not the end of the stream: the reader reconnects with the last id that
 * it saw. An answer ends after a few minutes, which bounds how long a reader that left unnoticed is
 * served. It ends at once when the session's object drops its socket.
 */

import { backoffDelayMs, type Failure, lateMember } from '../../protocol/index.ts';
import { failure } from '../contract/failure.ts';
import { type Feed, openFeed, type StoredEvent } from '../operations/feed.ts';
import { errorMessage, logLine } from '../platform/log.ts';
import { numberParam, readerParams } from './params.ts';
import { narrowByTicket, outsideTicketScope, type Reader } from './readers.ts';

/** Below 30 s, after which some proxies and watchdogs close a connection. */
export const SSE_PING_MS = 15_000;

/** The longest duration of one answer. */
export const SSE_RECYCLE_MS = 240_000;

/** A reader that does not read its pending data within this time is cut off in the middle of it. */
export const SSE_STALL_MS = 15_000;

/**
 * The reconnect delay, with jitter: readers that were cut off together do not come back together.
 */
const retryMs = (): number => backoffDelayMs(0, { baseMs: 1000, jitterMs: 2000, capMs: 3000 });

/**
 * `<offset>@<generation>`, with `.end` appended in the last `end`. A reader that reconnects with
 * `.end` has seen everything. 0.1.0 sent no generation.
 */
const EVENT_ID = /^(\d+)(?:@([0-9a-z]{1,11}))?(\.end)?$/;

export const wantsEventStream = (request: Request): boolean => {
  const accepted = (request.headers.get('accept') ?? '').toLowerCase().split(',');
  return accepted.some((item) => item.split(';')[0]?.trim() === 'text/event-stream');
};

export const SSE_HEADERS = {
  'content-type': 'text/event-stream',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no',
  'x-content-type-options': 'nosniff',
};

export async function streamEvents(request: Request, { caller, ticket }: Reader, session: string): Promise<Response | Failure> {
  const { env, tenant } = caller;
  const query = new URL(request.url).searchParams;
  const params = readerParams(query);
  if (!params.ok) return params;
  if (params.request.flow) return failure('bad_request', 'flow: is for WebSocket', { field: 'flow' });
  const asked = narrowByTicket(params.request, ticket);
  if (!asked) return outsideTicketScope();
  // Browsers send an empty header when there was no id.
  const lastEventId = request.headers.get('last-event-id') || null;
  const [, offset, generation, complete] = EVENT_ID.exec(lastEventId ?? '') ?? [];
  const resumeAfter = numberParam(offset);
  if (lastEventId !== null && typeof resumeAfter !== 'number') {
    return failure('bad_request', 'Last-Event-ID: must be an id of this stream', { field: 'last-event-id' });
  }
  if (complete !== undefined && asked.executions) return new Response(null, { status: 204 });
  const { flow: _, ...rest } = asked;
  const wanted =
    typeof resumeAfter === 'number'
      ? { ...rest, after: resumeAfter, tail: null, from: null, generation: generation ?? asked.generation ?? null }
      : rest;

  const opened = await openFeed(env, tenant, session, wanted, request.signal);
  if (!opened.ok) return opened;
  const { feed, hello } = opened;
  if (request.method === 'HEAD') {
    feed.close();
    return new Response(null, { headers: SSE_HEADERS });
  }
  const text = new EventText(wanted.executions, wanted.after ?? 0, hello.generation);
  return eventStreamOf(feed, `retry: ${retryMs()}\n\n`, SSE_RECYCLE_MS, (item) => text.of(item), {
    tenant,
    session,
  });
}

type FeedOutput = Exclude<Awaited<ReturnType<Feed['next']>>, { type: 'quiet' } | { type: 'closed' }>;

/** The wire text of an item of the feed, and whether it was the last. */
export interface Rendered {
  text: string;
  last: boolean;
}

/**
 * A feed as an event stream, with pings while it is idle, until the feed ends or `recycleMs` are
 * over.
 */
export function eventStreamOf(
  feed: Feed,
  preamble: string,
  recycleMs: number,
  render: (item: FeedOutput) => Rendered,
  names: { tenant: string; session: string },
): Response {
  const { readable, writable } = new IdentityTransformStream();
  void pump(feed, writable.getWriter(), preamble, recycleMs, render).catch((error) => {
    logLine('info', 'sse_reader_left', { ...names, message: errorMessage(error) });
  });
  return new Response(readable, { headers: SSE_HEADERS });
}

async function pump(
  feed: Feed,
  writer: WritableStreamDefaultWriter<Uint8Array>,
  preamble: string,
  recycleMs: number,
  render: (item: FeedOutput) => Rendered,
): Promise<void> {
  const encoder = new TextEncoder();
  const write = (text: string): Promise<void> => (text === '' ? Promise.resolve() : writer.write(encoder.encode(text)));
  let stall: ReturnType<typeof setTimeout> | null = null;
  const recycle = setTimeout(() => {
    feed.close();
    stall = setTimeout(() => void writer.abort('the reader is too slow').catch(() => {}), SSE_STALL_MS);
  }, recycleMs);
  try {
    await write(preamble);
    for (;;) {
      const item = await feed.next(SSE_PING_MS);
      if (item.type === 'closed') break;
      if (item.type === 'quiet') {
        if (!feed.ping()) break;
        await write(': ping\n\n');
        continue;
      }
      const { text, last } = render(item);
      await write(text);
      if (last) break;
    }
    await writer.close();
  } finally {
    clearTimeout(recycle);
    if (stall !== null) clearTimeout(stall);
    feed.close();
  }
}

/** STR20: an event of the log has its offset as id. Other messages have no `at` in their data. */
class EventText {
  readonly #waitingFor: Set<string> | null;
  /**
   * The text after the offset in an id. Empty when an object of 0.1.0 did not send its generation.
   */
  readonly #of: string;
  #reached: number;

  constructor(executions: readonly string[] | null, after: number, generation: string | undefined) {
    this.#of = generation === undefined ? '' : `@${generation}`;
    this.#waitingFor = executions && new Set(executions);
    this.#reached = after;
  }

  of(item: FeedOutput): Rendered {
    switch (item.type) {
      case 'events':
        this.#reached = item.last;
        return { text: item.events.map((event) => eventText(event, this.#of)).join(''), last: false };
      case 'caught_up':
        this.#reached = item.offset;
        return { text: `id: ${item.offset}${this.#of}\nevent: caught_up\ndata: {"offset":${item.offset}}\n\n`, last: false };
      case 'end': {
        this.#waitingFor?.delete(item.execution);
        const last = this.#waitingFor?.size === 0;
        const data = JSON.stringify({ execution: item.execution, status: item.status });
        return { text: `${last ? `id: ${this.#reached}${this.#of}.end\n` : ''}event: end\ndata: ${data}\n\n`, last };
      }
    }
  }
}

/** Ids need no JSON encoding, so the envelope is plain text. Stored text is sent unchanged. */
const eventText = ({ offset, late, execution, type, at, data }: StoredEvent, of: string): string =>
  `id: ${offset}${of}\nevent: ${type}\ndata: {"offset":${offset}${lateMember(late)},"execution":"${execution}","at":${at},"data":${data}}\n\n`;
