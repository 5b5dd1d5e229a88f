/**
 * Follows the event stream (Server-Sent Events) of an agent server that the job runs, and makes
 * each of its events one `agent` event, or parts of one (AGT6).
 *
 * Owns: the HTTP connection to that server, the last event id, which ids were seen.
 * Does not own: where the lines go, when the job ends, how full the spool is.
 *
 *   AS1  It starts and ends with the job. The server may come up late and may go away; the wrapper
 *        reconnects with backoff.
 *   AS2  While paused, nothing is read; the server's socket fills and the server waits. Nothing is
 *        dropped.
 *   AS3  A connection that delivers no byte for `agentSilenceMs` is closed. The clock stops while
 *        paused and while the ingest connection is down: a network outage must not disturb a
 *        healthy agent.
 *   AS4  After a reconnect, an event that was seen before (same id, same content) is skipped. An
 *        event that reuses an id with other content is new: a restarted server counts from the
 *        beginning.
 *   AS5  After the job ends, pending events are still read until the stream ends or is quiet for
 *        `agentQuietMs`.
 */

import { createHash } from 'node:crypto';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { egressFetch } from '../../egress/fetch.ts';
import { AGENT_LINE_BYTES_MAX, checkFact, type JsonObject, retryDelayMs } from '../../protocol/index.ts';
import type { Log } from '../log.ts';
import { encodeEvent, encodePiece } from '../output/event-lines.ts';
import type { Redaction } from '../output/redaction.ts';
import { piecesOfJson } from '../output/text-splitter.ts';
import type { WrapperTimes } from '../times.ts';

const RECONNECT = { baseMs: 250, capMs: 5000 };
const TICK_MS = 100;
/** The newest ids that were seen. A server that replays more than this produces duplicates. */
const SEEN_MAX = 10_000;
const SLICE_CHARS = 64 * 1024;
/** In front of the data of an event are the names of its fields. */
const BUFFER_CHARS_MAX = AGENT_LINE_BYTES_MAX + SLICE_CHARS;
/** A server may ask for longer pauses between two attempts, within this limit. */
const RETRY_MS_MAX = 60_000;

export interface AgentStreamOptions {
  url: string;
  times: WrapperTimes;
  log: Log;
  redaction: Redaction | null;
  emit(line: Buffer): void;
  now?: () => number;
  random?: () => number;
}

type Rest = 'paused' | 'ingest_down';

export class AgentStream {
  readonly #options: AgentStreamOptions;
  readonly #now: () => number;
  readonly #rests = new Set<Rest>();
  #abort = new AbortController();
  #connected = false;
  #ending = false;
  #ended = false;
  /** Time without a byte, as counted by AS3. */
  #silentMs = 0;
  #ticker: NodeJS.Timeout | null = null;
  #wake: () => void = () => {};
  #resumed: () => void = () => {};
  #running: Promise<void> = Promise.resolve();

  #attempt = 0;
  #retryMs = 0;
  #lastEventId = '';
  /**
   * Ids with a digest of their content, oldest first: from earlier connections and from this one.
   */
  #seen = new Set<string>();
  #seenNow: string[] = [];

  constructor(options: AgentStreamOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  start(): void {
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
    this.#running = this.#run();
  }

  rest(reason: Rest, on: boolean): void {
    if (on) this.#rests.add(reason);
    else this.#rests.delete(reason);
    if (!this.#rests.has('paused')) this.#resumed();
  }

  /**
   * The job has ended. Resolves when all events that will be reported have been handed over (AS5).
   */
  async finish(): Promise<void> {
    this.#ending = true;
    this.#silentMs = 0;
    if (!this.#connected) this.stop();
    await this.#running;
  }

  /** Stops at once and drops pending events. May be called twice. */
  stop(): void {
    this.#ended = true;
    if (this.#ticker) clearInterval(this.#ticker);
    this.#abort.abort();
    this.#wake();
    this.#resumed();
  }

  async #run(): Promise<void> {
    while (!this.#ended) {
      const why = await this.#follow().catch((error: Error) => (error.cause instanceof Error ? error.cause : error).message);
      this.#connected = false;
      for (const each of this.#seenNow.splice(0)) this.#seen.add(each);
      for (const oldest of this.#seen) {
        if (this.#seen.size <= SEEN_MAX) break;
        this.#seen.delete(oldest);
      }
      if (this.#ending || why === null) this.stop();
      if (this.#ended) return;
      this.#attempt += 1;
      const delayMs = retryDelayMs(this.#attempt, { ...RECONNECT, random: this.#options.random ?? Math.random }, this.#retryMs);
      this.#options.log.fact('agent_stream_lost', { why, delayMs });
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, delayMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  /**
   * Runs one connection to its end. Returns why it ended; null when the server wants no reconnect.
   * Throws what fetch throws.
   */
  async #follow(): Promise<string | null> {
    this.#abort = new AbortController();
    this.#silentMs = 0;
    const response = await egressFetch(this.#options.url, {
      headers: {
        accept: 'text/event-stream',
        'cache-control': 'no-store',
        // A header is bytes; an id is text.
        ...(this.#lastEventId ? { 'last-event-id': Buffer.from(this.#lastEventId).toString('latin1') } : {}),
      },
      signal: this.#abort.signal,
    });
    if (response.status === 204) return null; // 204: the SSE standard's way to forbid a reconnect.
    const contentType = response.headers.get('content-type') ?? '';
    if (response.status !== 200 || !response.body || !contentType.startsWith('text/event-stream')) {
      await response.body?.cancel();
      return response.status === 200 ? `content type ${contentType.slice(0, 80)}` : `HTTP ${response.status}`;
    }
    this.#connected = true;
    this.#options.log.fact('agent_stream', { resumed: this.#lastEventId !== '' });
    const reading = new Reading(
      (message) => this.#took(message),
      (bytes) => this.#lost(bytes),
      (retryMs) => {
        this.#retryMs = Math.min(retryMs, RETRY_MS_MAX);
      },
    );
    for await (const bytes of response.body) {
      this.#silentMs = 0;
      reading.feed(bytes);
      while (this.#rests.has('paused') && !this.#ended) {
        await new Promise<void>((resolve) => {
          this.#resumed = resolve;
        });
      }
      if (this.#ended) break;
    }
    return 'the stream ended';
  }

  #took(message: EventSourceMessage): void {
    if (this.#ended) return;
    this.#attempt = 0;
    const { id } = message;
    if (id !== undefined) {
      this.#lastEventId = id;
      if (id !== '') {
        const seen = `${id}\n${message.event ?? ''}\n${message.data}`;
        const key = seen.length > 256 ? `${id}\n${createHash('sha256').update(seen).digest('base64')}` : seen;
        if (this.#seen.has(key)) return; // AS4
        this.#seenNow.push(key);
        if (this.#seenNow.length > SEEN_MAX) this.#seenNow.shift();
      }
    }
    const text = redactedData(message, this.#options.redaction);
    const pieces = piecesOfJson(text);
    if (!pieces) return this.#lost(Buffer.byteLength(text));
    const at = this.#now();
    for (const piece of pieces) this.#options.emit(encodePiece(piece, 'stdout', at));
  }

  #lost(bytes: number): void {
    const gap = { type: 'gap', at: this.#now(), data: { events: 1, bytes, reason: 'agent_event_too_large' } };
    this.#options.emit(encodeEvent(gap));
  }

  #tick(): void {
    const { agentSilenceMs, agentQuietMs } = this.#options.times;
    if (this.#rests.has('paused')) {
      this.#silentMs = 0;
      return;
    }
    if (this.#ending) {
      this.#silentMs += TICK_MS;
      if (this.#silentMs >= agentQuietMs) this.stop();
      return;
    }
    this.#silentMs = this.#rests.size > 0 ? 0 : this.#silentMs + TICK_MS;
    if (this.#silentMs < agentSilenceMs) return;
    this.#silentMs = 0;
    this.#abort.abort(new Error(`no byte within ${agentSilenceMs} ms`)); // AS3
  }
}

/** Splits bytes into messages. An event over the size limit is skipped and reported. */
class Reading {
  readonly #decoder = new TextDecoder();
  readonly #tooLong: (bytes: number) => void;
  readonly #parser: ReturnType<typeof createParser>;
  #overflowed = false;
  /** Length so far of the event that is being skipped, in chars. */
  #skipped: number | null = null;
  /** The last characters of the previous slice, because the end of an event may be cut in two. */
  #tail = '';

  constructor(message: (message: EventSourceMessage) => void, tooLong: (bytes: number) => void, retry: (retryMs: number) => void) {
    this.#tooLong = tooLong;
    this.#parser = createParser({
      maxBufferSize: BUFFER_CHARS_MAX,
      onEvent: message,
      onRetry: retry,
      onError: ({ type }) => {
        if (type === 'max-buffer-size-exceeded') this.#overflowed = true;
      },
    });
  }

  /**
   * Feeds slices, so that an event that overflows the parser began before the overflowing slice.
   * The next empty line is its end.
   */
  feed(bytes: Uint8Array): void {
    const text = this.#decoder.decode(bytes, { stream: true });
    for (let at = 0; at < text.length; at += SLICE_CHARS) this.#feed(text.slice(at, at + SLICE_CHARS));
  }

  #feed(text: string): void {
    if (this.#skipped === null) {
      this.#parser.feed(text);
      if (!this.#overflowed) {
        this.#tail = text.slice(-3);
        return;
      }
      this.#overflowed = false;
      this.#parser.reset();
      this.#skipped = BUFFER_CHARS_MAX - text.length;
    }
    const all = this.#tail + text;
    const end = /\r\n\r\n|\n\n|\r\r/.exec(all);
    if (!end) {
      this.#skipped += text.length;
      this.#tail = all.slice(-3);
      return;
    }
    this.#tooLong(this.#skipped + end.index);
    this.#skipped = null;
    this.#tail = '';
    this.#feed(all.slice(end.index + end[0].length));
  }
}

/**
 * Converts an SSE message to the data of an `agent` event. A JSON object is kept byte for byte;
 * anything else becomes `{text}`. The name and id of the message are added as `event` and `id` if
 * the object has no such field.
 */
export function agentData({ event, id, data }: EventSourceMessage): string {
  const object = asObject(data);
  const added = { ...(event === undefined ? {} : { event }), ...(id === undefined || id === '' ? {} : { id }) };
  if (!object) return JSON.stringify({ ...added, text: data });
  const fields = Object.entries(added)
    .filter(([name]) => !Object.hasOwn(object, name))
    .map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`);
  // In JSON a line end can only stand between tokens, where a space is equivalent.
  const text = data.trim().replace(/[\r\n]+/g, ' ');
  const rest = text.slice(1).trimStart();
  return `{${fields.join(',')}${fields.length > 0 && rest !== '}' ? ',' : ''}${rest}`;
}

/**
 * `agentData` without secrets. If a secret spans more than one JSON string (a multi-line key), the
 * message is passed on as text.
 */
export function redactedData(message: EventSourceMessage, redaction: Redaction | null): string {
  const data = agentData(message);
  if (!redaction) return data;
  return redaction.json(data) ?? JSON.stringify({ text: redaction.text(message.data) });
}

function asObject(text: string): JsonObject | null {
  if (!text.trimStart().startsWith('{')) return null;
  try {
    const data = JSON.parse(text) as JsonObject;
    // The coordinator makes the same check; the wrapper must not create an event that it would
    // refuse.
    return checkFact({ type: 'agent', at: 0, data }).ok ? data : null;
  } catch {
    return null;
  }
}
