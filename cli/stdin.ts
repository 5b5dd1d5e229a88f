/**
 * Sends this command's stdin to a job: as bytes, in order, no faster than the job reads, and each
 * part once, whatever is repeated on the way.
 *
 * One part is under way at a time, because the coordinator orders inputs by their arrival. While
 * the job does not read, the coordinator refuses the next part, and nothing more is read here.
 */

import type { Readable } from 'node:stream';
import type { HoldfastClient } from '../client/index.ts';
import { INPUT_BYTES_MAX, newInputId } from '../protocol/index.ts';
import type { Reference } from './settings.ts';

export interface Forwarding {
  client: Pick<HoldfastClient, 'sendInput'>;
  reference: Reference;
  stdin: Readable;
  /** The job's stdin ends with ours. */
  eof: boolean;
  secret?: boolean;
  signal?: AbortSignal;
}

/** Sends stdin to its end. */
export class StdinForwarder {
  readonly #options: Forwarding;
  readonly #id = newInputId();
  #parts = 0;
  /** That the coordinator has accepted. */
  sentBytes = 0;

  constructor(options: Forwarding) {
    this.#options = options;
  }

  async run(): Promise<void> {
    const { stdin, eof, signal } = this.#options;
    for await (const chunk of stdin) {
      if (signal?.aborted) return;
      const bytes = Buffer.from(chunk as Uint8Array | string);
      for (let at = 0; at < bytes.length; at += INPUT_BYTES_MAX) {
        const part = bytes.subarray(at, at + INPUT_BYTES_MAX);
        await this.#send({ base64: part.toString('base64') });
        this.sentBytes += part.length;
      }
    }
    if (eof && !signal?.aborted) await this.#send({ eof: true });
  }

  async #send(content: { base64: string } | { eof: true }): Promise<void> {
    const { client, reference, secret, signal } = this.#options;
    this.#parts += 1;
    const request = { ...content, ...(secret ? { secret } : {}), inputId: `${this.#id}.${this.#parts}` };
    await client.sendInput(reference.session, reference.execution, request, signal ? { signal } : {});
  }
}
