/**
 * Between the agent's lines and the library that speaks the protocol.
 *
 *   WI1  Each line of the agent is printed as it came, also one that is no JSON. Exception: the
 *        history that `session/load` repeats, which is counted.
 *   WI2  The library gets what it must answer or waits for: requests, responses and cancelled
 *        requests. Updates are only printed, so an update that it does not know breaks nothing.
 */

import type { AnyMessage, Stream } from '@agentclientprotocol/sdk';
import { isObject, parseJson } from '../protocol/json.ts';

/** The beginning of a line, as a hint for people. */
const HINT_CHARS = 200;

export class Wire {
  readonly stream: Stream;
  readonly #print: (line: Buffer) => void;
  #receive: ReadableStreamDefaultController<AnyMessage> | null = null;
  #hidden: number | null = null;
  #firstOther: string | null = null;

  constructor({ print, write }: { print: (line: Buffer) => void; write: (text: string) => void }) {
    this.#print = print;
    this.stream = {
      readable: new ReadableStream<AnyMessage>({
        start: (controller) => {
          this.#receive = controller;
        },
        cancel: () => {
          this.#receive = null;
        },
      }),
      writable: new WritableStream<AnyMessage>({ write: (message) => write(`${JSON.stringify(message)}\n`) }),
    };
  }

  /** The first line that is no message of the protocol; null: each was one. */
  get firstOther(): string | null {
    return this.#firstOther;
  }

  /** A line of the agent. */
  line(bytes: Buffer): void {
    const message = parseJson(bytes.toString('utf8').trim());
    const isMessage = isObject(message) && message.jsonrpc === '2.0';
    if (!isMessage && bytes.length > 0) this.#firstOther ??= bytes.toString('utf8', 0, 4 * HINT_CHARS).slice(0, HINT_CHARS);
    const isUpdate = isMessage && message.method === 'session/update';
    if (isUpdate && this.#hidden !== null) this.#hidden += 1;
    else this.#print(bytes); // WI1
    // WI2
    if (isMessage && (message.id !== undefined || message.method === '$/cancel_request'))
      this.#receive?.enqueue(message as unknown as AnyMessage);
  }

  /** From here on updates repeat what was said before. */
  hideHistory(): void {
    this.#hidden = 0;
  }

  /** How many updates were hidden. */
  showUpdates(): number {
    const hidden = this.#hidden ?? 0;
    this.#hidden = null;
    return hidden;
  }

  close(): void {
    this.#receive?.close();
    this.#receive = null;
  }
}
