/**
 * The output of a run, for terminals and `curl`: its stdout and stderr, in the order of the log.
 * Text, or for an execution that was started with `output: bytes` the bytes that the job wrote. The
 * lines of an agent are read as a conversation (AGT5).
 *
 * A reader of plain text cannot say where it stopped. So a broken connection to the session is
 * opened again here, from the offset that was reached, and the reader sees no gap and no repeat.
 * When that fails the answer is aborted, so that a partial log is never taken for the whole.
 */

import { ConversationText, LineParts, type TextPiece } from '../../agent/index.ts';
import {
  BackoffController,
  type Failure,
  type GapData,
  gapText,
  type InterruptRequestedData,
  isAgentPart,
  type JsonObject,
  type OutputData,
  type OutputFormat,
  outputBytes,
} from '../../protocol/index.ts';
import { failure } from '../contract/failure.ts';
import { type Feed, type OpenFeed, openFeed, type StoredEvent } from '../operations/feed.ts';
import { errorMessage, logLine } from '../platform/log.ts';
import { generationParam } from './params.ts';
import { outsideTicketScope, type Reader } from './readers.ts';

/**
 * Consecutive attempts without any event, and the delay before each: about half a minute in all,
 * enough for a deploy.
 */
const REOPEN_RETRY = { baseMs: 200, capMs: 8000, maxAttempts: 8 };

/**
 * A connection that lived this long counts as a success even without events, because an idle job
 * may outlive many deploys.
 */
const SOUND_AFTER_MS = 30_000;

export interface ExecutionPath {
  session: string;
  execution: string;
}

export async function readTextLog(request: Request, { caller, ticket }: Reader, path: ExecutionPath): Promise<Response | Failure> {
  const { env, tenant } = caller;
  const { session, execution } = path;
  const follow = new URL(request.url).searchParams.get('follow') ?? '0';
  if (follow !== '0' && follow !== '1') return failure('bad_request', 'follow: must be 0 or 1', { field: 'follow' });
  const generation = generationParam(new URL(request.url).searchParams);
  if (!generation.ok) return generation;
  if (ticket?.execution !== undefined && ticket.execution !== execution) return outsideTicketScope();
  if (ticket?.types && !ticket.types.includes('output')) return outsideTicketScope();

  const open = (after: number, generation: string | null): Promise<OpenFeed | Failure> =>
    openFeed(
      env,
      tenant,
      session,
      { after, tail: null, executions: [execution], types: null, generation, until: ticket?.until ?? null },
      request.signal,
    );
  const first = await open(0, generation.value);
  if (!first.ok) return first;
  const of = first.hello.executions.find(({ id }) => id === execution);
  const exact = of?.output === 'bytes';
  const headers = {
    'content-type': exact ? 'application/octet-stream' : 'text/plain; charset=utf-8',
    'cache-control': 'no-cache, no-transform',
    'x-accel-buffering': 'no',
    'x-content-type-options': 'nosniff',
  };
  if (request.method === 'HEAD') {
    first.feed.close();
    return new Response(null, { headers });
  }
  const { readable, writable } = new IdentityTransformStream();
  // Types are filtered here, because the object would have to parse every event for it.
  const shows = (type: string): boolean => !ticket?.types || ticket.types.includes(type);
  const shown = { shows, exact, format: of?.format ?? 'text' };
  // STR30: a reopened connection reads the same log, or the answer is aborted.
  const again = (after: number) => open(after, first.hello.generation ?? generation.value);
  void pump(writable.getWriter(), first.feed, again, {
    follow: follow === '1',
    ...shown,
    until: ticket?.until ?? null,
    signal: request.signal,
  }).catch((error) => {
    logLine('info', 'log_reader_left', { tenant, session, execution, message: errorMessage(error) });
  });
  return new Response(readable, { headers });
}

interface Reading {
  follow: boolean;
  shows: (type: string) => boolean;
  /** Bytes, to which nothing is added but gaps: without them the bytes would look complete. */
  exact: boolean;
  format: OutputFormat;
  /** When the reader's ticket expires; null for an API key. */
  until: number | null;
  signal: AbortSignal;
}

async function pump(
  writer: WritableStreamDefaultWriter<Uint8Array>,
  first: Feed,
  open: (after: number) => Promise<OpenFeed | Failure>,
  { follow, until, signal, ...shown }: Reading,
): Promise<void> {
  const text = new LogText(shown);
  let feed = first;
  let openedAt = Date.now();
  let after = 0;
  const backoff = new BackoffController(REOPEN_RETRY);
  try {
    for (;;) {
      const item = await feed.next();
      if (item.type === 'events') {
        backoff.recordSuccess();
        for (const part of text.of(item.events)) await writer.write(part);
        after = item.last;
      } else if (item.type === 'end' || (item.type === 'caught_up' && !follow)) {
        for (const part of text.rest()) await writer.write(part);
        return await writer.close();
      } else if (item.type === 'closed') {
        if (signal.aborted) return await writer.abort('the reader left');
        // STR33: the connection is not reopened, and the answer is aborted, because it is not
        // complete.
        if (item.ticketOver || (until !== null && until <= Date.now())) throw new Error('the ticket is over');
        if (Date.now() - openedAt >= SOUND_AFTER_MS) backoff.recordSuccess();
        let again: OpenFeed | Failure;
        do {
          if (backoff.recordFailure() === 'give-up') throw new Error('the session could not be reached');
          await wait(backoff.nextDelayMs());
          again = await open(after);
          if (!again.ok && again.code !== 'unavailable' && again.code !== 'internal') throw new Error(again.code);
        } while (!again.ok);
        feed = again.feed;
        openedAt = Date.now();
      }
    }
  } catch (error) {
    await writer.abort(error).catch(() => {});
    throw error;
  } finally {
    feed.close();
  }
}

/** Of the events of a conversation, those that are not written here in their own way. */
const CONVERSATION_TYPES: ReadonlySet<string> = new Set([
  'started',
  'agent',
  'agent_part',
  'input',
  'status',
  'asking',
  'asking_ended',
  'answered',
  'exit',
  'interrupted',
  'execution_completed',
  'execution_failed',
  'execution_interrupted',
]);

const PRINTS: ReadonlySet<string> = new Set(['output', 'gap', 'agent', 'agent_part']);

const LATE_REMARK = 'what follows arrived after the verdict';

const NEWLINE = 0x0a;
const encoder = new TextEncoder();

const wait = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Output as the job wrote it. A gap, a request to stop, and the verdict are on lines of their own.
 */
class LogText {
  readonly #shows: Reading['shows'];
  readonly #exact: boolean;
  readonly #hasLines: boolean;
  readonly #conversation: ConversationText | null;
  readonly #parts = new LineParts();
  #lineOpen = false;
  /** Remarks that wait for the end of a long JSON line. */
  readonly #waiting: string[] = [];
  #isLate = false;

  constructor({ shows, exact, format }: Pick<Reading, 'shows' | 'exact' | 'format'>) {
    this.#shows = shows;
    this.#exact = exact;
    this.#hasLines = format === 'jsonl' || (exact && format !== 'text');
    this.#conversation = format === 'text' || this.#hasLines ? null : new ConversationText(format);
  }

  /** Text of many events is one part. */
  of(events: readonly StoredEvent[]): Uint8Array[] {
    const parts: Uint8Array[] = [];
    let text = '';
    const endText = (): void => {
      if (text !== '') parts.push(encoder.encode(text));
      text = '';
    };
    for (const event of events) {
      const { type, data, late } = event;
      if (!this.#shows(type)) continue;
      const shown = PRINTS.has(type);
      if (shown && type !== 'agent_part') text += this.#endLine();
      if (late && shown && !this.#isLate && !this.#exact) text += this.#remark(LATE_REMARK);
      this.#isLate ||= late && shown;
      if (type === 'output') {
        const output = JSON.parse(data) as OutputData;
        if (output.base64 === undefined) text += this.#add(output.text);
        else {
          endText();
          parts.push(this.#addBytes(outputBytes(output)));
        }
      }
      if (type === 'agent' && this.#hasLines) text += this.#add(`${data}\n`);
      if (type === 'agent_part' && this.#hasLines) text += this.#part(JSON.parse(data) as JsonObject);
      if (CONVERSATION_TYPES.has(type)) text += this.#said(event);
      if (type === 'gap') text += this.#gap(JSON.parse(data) as GapData);
      if (type === 'interrupt_requested' && !this.#exact) text += this.#request(JSON.parse(data) as InterruptRequestedData);
    }
    endText();
    return parts;
  }

  /** What is not complete at the end of the answer. */
  rest(): Uint8Array[] {
    const text = this.#endLine() + this.#piecesOf(this.#conversation?.rest() ?? []);
    return text === '' ? [] : [encoder.encode(text)];
  }

  #said({ type, at, data, offset }: StoredEvent): string {
    if (!this.#conversation) return '';
    const event = { offset, type, at: Number(at), data: JSON.parse(data) as JsonObject };
    return this.#piecesOf(this.#conversation.add([event]));
  }

  #piecesOf(pieces: readonly TextPiece[]): string {
    const text = pieces.map((piece) => piece.text).join('');
    return text === '' ? '' : (this.#lineOpen ? '\n' : '') + this.#add(text);
  }

  #gap(data: GapData): string {
    const text = gapText({ ...data });
    return text === null ? '' : this.#remark(`${text}: ${data.reason}`);
  }

  /** The reason for the signal that the job gets next. */
  #request({ reason, force }: InterruptRequestedData): string {
    const remark = `${force ? 'stop by force' : 'interrupt'} requested${reason === '' ? '' : `: ${reason}`}`;
    if (!this.#parts.isOpen) return this.#remark(remark);
    this.#waiting.push(remark);
    return '';
  }

  #part(data: JsonObject): string {
    return isAgentPart(data) ? this.#add(this.#parts.add(data)) + this.#remarksBehind() : '';
  }

  /** What follows is not part of a long line any more. */
  #endLine(): string {
    return this.#add(this.#parts.close()) + this.#remarksBehind();
  }

  #remarksBehind(): string {
    if (this.#parts.isOpen) return '';
    return this.#waiting
      .splice(0)
      .map((text) => this.#remark(text))
      .join('');
  }

  #remark(text: string): string {
    const before = this.#lineOpen ? '\n' : '';
    return before + this.#add(`[holdfast: ${text.replaceAll(/\s+/g, ' ')}]\n`);
  }

  #add(text: string): string {
    if (text !== '') this.#lineOpen = !text.endsWith('\n');
    return text;
  }

  #addBytes(bytes: Uint8Array): Uint8Array {
    if (bytes.length > 0) this.#lineOpen = bytes.at(-1) !== NEWLINE;
    return bytes;
  }
}
