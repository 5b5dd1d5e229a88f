/**
 * A session's stream in the stateless Worker. All HTTP readers (the log, Server-Sent Events,
 * Durable Streams) read a session through it.
 *
 * - For an HTTP reader the session's object holds only a hibernatable socket, so it sleeps while
 *   readers are connected (G7). A response of the object itself would keep it awake for as long as
 *   the reader reads.
 * - Flow control is on: data that the reader has not read stays in the log, and not in the memory
 *   of the Worker or the object.
 * - Events are cut out of the stored text and never encoded again.
 * - The object does not look for abandoned feeds, so they cost no row and no wake. The Worker that
 *   holds a feed closes it: when the request's signal says that the reader left, when a write to
 *   the reader fails, or when the time of an event stream is over. An idle `workerd` gives no
 *   signal (measured). An event stream then finds out with its next ping, within 15 s, and a
 *   followed log with its next output or its end. Until then the feed costs a sleeping socket.
 */

import {
  CLOSE,
  encodeStreamFrame,
  type Failure,
  PING,
  PONG,
  parseStreamFrame,
  type StreamCaughtUp,
  type StreamEnd,
  type StreamHello,
  VIEWER_WINDOW_BYTES,
} from '../../protocol/index.ts';
import { failure } from '../contract/failure.ts';
import type { Env } from '../platform/env.ts';
import { callSession } from '../session/call-object.ts';
import { openSocket, refusalIn, type ViewerRequest } from '../session/contract.ts';
import { elementsOf, membersOf } from './json-text.ts';

/** An ack wakes the object, so one is sent for every quarter of the window. */
const ACK_BYTES = VIEWER_WINDOW_BYTES / 4;
/**
 * For a job with rare output. An object that slept since the last frame counts at least 4 KiB for
 * each frame. So 32 small frames may take an eighth of the window, and some hundreds would fill it.
 */
const ACK_FRAMES = 32;

/** An event of the log. `at` and `data` are JSON text as it is stored. */
export interface StoredEvent {
  offset: number;
  /** It was stored after the verdict of its execution. */
  late: boolean;
  execution: string;
  type: string;
  at: string;
  data: string;
}

export type FeedItem =
  | { type: 'events'; events: StoredEvent[]; last: number }
  | StreamCaughtUp
  | StreamEnd
  /** Nothing came within the timeout. */
  | { type: 'quiet' }
  /**
   * The connection is closed. `complete`: the object sent everything. `ticketOver`: the reader's
   * ticket has expired (STR33).
   */
  | { type: 'closed'; complete: boolean; ticketOver: boolean };

export class Feed {
  readonly #ws: WebSocket;
  readonly #received: string[] = [];
  #closed: { code: number } | null = null;
  #wake: (() => void) | null = null;
  #taken = 0;
  #takenFrames = 0;
  #pinged = false;

  constructor(ws: WebSocket) {
    this.#ws = ws;
    ws.addEventListener('message', ({ data }) => {
      this.#pinged = false;
      if (typeof data !== 'string' || data === PONG) return;
      this.#received.push(data);
      this.#wake?.();
    });
    ws.addEventListener('close', ({ code }) => this.#over(code));
    ws.addEventListener('error', () => this.#over(1006));
    ws.accept();
  }

  #over(code: number): void {
    this.#closed ??= { code };
    this.#wake?.();
  }

  /** The next item, or `quiet` after `timeoutMs`. The call acknowledges the items before it. */
  async next(timeoutMs?: number): Promise<FeedItem> {
    for (;;) {
      const text = await this.#text(timeoutMs);
      if (text === null) {
        const code = this.#closed?.code;
        if (code === undefined) return { type: 'quiet' };
        return { type: 'closed', complete: code === CLOSE.done, ticketOver: code === CLOSE.credentialRefused };
      }
      const item = itemOf(text);
      if (!item) continue;
      if (item.type === 'events') this.#take(item.last, text.length);
      return item;
    }
  }

  /** The hello, or null when the connection closed without one. */
  async hello(): Promise<StreamHello | null> {
    const text = await this.#text();
    const frame = text === null ? null : parseStreamFrame(text);
    return frame?.type === 'hello' ? frame : null;
  }

  /**
   * Pings the connection; the platform answers without waking the object. False when the last ping
   * was not answered.
   */
  ping(): boolean {
    if (this.#closed || this.#pinged) return false;
    this.#pinged = true;
    this.#send(PING);
    return true;
  }

  close(): void {
    if (this.#closed) return;
    this.#over(1001);
    this.#received.length = 0;
    try {
      this.#ws.close(1000, 'reader left');
    } catch {
      // Already closed.
    }
  }

  async #text(timeoutMs?: number): Promise<string | null> {
    if (this.#received.length === 0 && !this.#closed) {
      await new Promise<void>((resolve) => {
        const timer = timeoutMs === undefined ? null : setTimeout(resolve, timeoutMs);
        this.#wake = () => {
          if (timer !== null) clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = null;
    }
    return this.#received.shift() ?? null;
  }

  #take(offset: number, bytes: number): void {
    this.#taken += bytes;
    this.#takenFrames += 1;
    if (this.#taken < ACK_BYTES && this.#takenFrames < ACK_FRAMES) return;
    this.#taken = 0;
    this.#takenFrames = 0;
    this.#send(encodeStreamFrame({ type: 'ack', offset }));
  }

  #send(text: string): void {
    try {
      this.#ws.send(text);
    } catch {
      this.#over(1006);
    }
  }
}

/** Null for a frame that HTTP readers do not need. */
function itemOf(text: string): FeedItem | null {
  if (!text.startsWith('{"type":"events"')) {
    const frame = parseStreamFrame(text);
    return frame?.type === 'caught_up' || frame?.type === 'end' ? frame : null;
  }
  const events = plainEventsOf(text) ?? eventsOf(text);
  const last = events.at(-1)?.offset;
  return last === undefined ? null : { type: 'events', events, last };
}

/** Parses events in any layout. */
export function eventsOf(text: string): StoredEvent[] {
  const frame = membersOf(text);
  const execution = JSON.parse(frame.get('execution') ?? '""') as string;
  const first = Number(frame.get('offset'));
  const late = frame.get('late') === 'true';
  const offsets = frame.has('offsets') ? (JSON.parse(frame.get('offsets') ?? '[]') as number[]) : null;
  return elementsOf(frame.get('events') ?? '[]').map((event, index): StoredEvent => {
    const members = membersOf(event);
    return {
      offset: offsets?.[index] ?? first + index,
      late,
      execution,
      type: JSON.parse(members.get('type') ?? '""') as string,
      at: oneLine(members.get('at') ?? '0'),
      data: oneLine(members.get('data') ?? '{}'),
    };
  });
}

/** The beginning of an unfiltered frame, as the coordinator writes it. */
const PLAIN_HEADER = /^\{"type":"events","offset":([1-9]\d{0,15}),"execution":"([\w.:-]+)","events":\[/;

/** An `output` event as wrappers write it, and the text that follows it in its frame. */
const PLAIN_EVENT =
  /\{"type":"output","at":(\d+),"data":(\{"stream":"(?:std(?:out|err)|tty)","text":"[^"\\]*(?:\\.[^"\\]*)*"(?:,"base64":"[\w+/]*={0,2}")?(?:,"replaced":\d+)?(?:,"partial":(?:true|false))?(?:,"line":\d+)?\})\}(,|\]\}$)/y;

/**
 * A fast path: most frames of a replay have only such events, and this cuts them many times faster.
 * Null for any other frame.
 */
export function plainEventsOf(text: string): StoredEvent[] | null {
  const header = PLAIN_HEADER.exec(text);
  if (!header) return null;
  const [{ length }, first, execution = ''] = header;
  const events: StoredEvent[] = [];
  PLAIN_EVENT.lastIndex = length;
  for (let offset = Number(first); ; offset += 1) {
    const match = PLAIN_EVENT.exec(text);
    if (!match) return null;
    const [, at = '', data = '', after] = match;
    events.push({ offset, late: false, execution, type: 'output', at, data });
    if (after !== ',') return events;
  }
}

/**
 * JSON may have carriage returns between its tokens, which other readers take for line ends.
 * Strings have no raw ones.
 */
const oneLine = (text: string): string => (text.includes('\r') ? text.replaceAll('\r', ' ') : text).trim();

export type FeedRequest = Omit<ViewerRequest, 'flow'>;

export type OpenFeed = { ok: true; feed: Feed; hello: StreamHello };

/** Opens a feed. It is closed when the reader leaves; otherwise the caller closes it. */
export async function openFeed(
  env: Env,
  tenant: string,
  session: string,
  request: FeedRequest,
  signal?: AbortSignal,
): Promise<OpenFeed | Failure> {
  const answer = await callSession(env, tenant, session, (stub) =>
    openSocket(stub, { kind: 'stream', request: { ...request, flow: true } }),
  );
  if ('code' in answer) return answer;
  const refused = await refusalIn<Failure>(answer);
  if (refused) return refused;
  if (!answer.webSocket) return unavailable();
  const feed = new Feed(answer.webSocket);
  const leave = (): void => feed.close();
  if (signal?.aborted) leave();
  signal?.addEventListener('abort', leave, { once: true });
  const hello = await feed.hello();
  return hello ? { ok: true, feed, hello } : unavailable();
}

const unavailable = (): Failure => failure('unavailable', 'The session could not be reached. Try again.');
