/** HTTP readers that a test steers: whole responses, and responses that it reads piece by piece. */

import { exports } from 'cloudflare:workers';
import { createParser } from 'eventsource-parser';
import { ACME_KEY, ORIGIN } from './peers.ts';

export interface Opening {
  key?: string | null;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

export function read(path: string, { key = ACME_KEY, headers = {}, signal }: Opening = {}): Promise<Response> {
  return exports.default.fetch(`${ORIGIN}${path}`, {
    headers: { ...(key === null ? {} : { authorization: `Bearer ${key}` }), ...headers },
    ...(signal ? { signal } : {}),
  });
}

/** Reads a response as it arrives. */
export class TextReader {
  readonly response: Response;
  readonly ended: Promise<'whole' | 'broken'>;
  text = '';
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;

  constructor(response: Response, onText: (text: string) => void = () => {}) {
    if (!response.body) throw new Error(`no body: ${response.status}`);
    this.response = response;
    this.#reader = response.body.getReader();
    this.ended = this.#run(onText);
  }

  static async open(path: string, opening: Opening = {}): Promise<TextReader> {
    return new TextReader(await read(path, opening));
  }

  async #run(onText: (text: string) => void): Promise<'whole' | 'broken'> {
    const decoder = new TextDecoder();
    try {
      for (;;) {
        const { done, value } = await this.#reader.read();
        if (done) return 'whole';
        const text = decoder.decode(value, { stream: true });
        this.text += text;
        onText(text);
      }
    } catch {
      return 'broken';
    }
  }

  leave(): Promise<void> {
    return this.#reader.cancel('the test leaves');
  }
}

export interface SseEvent {
  id: string | undefined;
  event: string | undefined;
  data: Record<string, unknown>;
  /** The text as it was on the wire. */
  text: string;
}

export class SseReader {
  readonly events: SseEvent[] = [];
  readonly comments: string[] = [];
  retry: number | null = null;
  readonly reader: TextReader;

  constructor(response: Response) {
    const parser = createParser({
      onEvent: ({ id, event, data }) => void this.events.push({ id, event, data: JSON.parse(data), text: data }),
      onComment: (comment) => void this.comments.push(comment),
      onRetry: (ms) => {
        this.retry = ms;
      },
      onError: (error) => {
        throw error;
      },
    });
    this.reader = new TextReader(response, (text) => parser.feed(text));
  }

  static async open(path: string, opening: Opening = {}): Promise<SseReader> {
    const response = await read(path, { ...opening, headers: { accept: 'text/event-stream', ...opening.headers } });
    if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
    return new SseReader(response);
  }

  get names(): (string | undefined)[] {
    return this.events.map(({ event }) => event);
  }

  /** Offsets of the events of the log. */
  get offsets(): number[] {
    return this.events.filter(({ data }) => 'at' in data).map(({ data }) => data.offset as number);
  }
}
