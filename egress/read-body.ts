/**
 * HTTP bodies of bounded size, for programs on Node. The limit holds while reading, so a sender
 * cannot fill the memory.
 */

import type { IncomingMessage } from 'node:http';

/**
 * The text of a body. Null when it is longer than `bytesMax`: the rest is not read. Rejects when
 * the body breaks off.
 */
export async function readBody(body: AsyncIterable<Uint8Array> | null, bytesMax: number): Promise<string | null> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body ?? []) {
    bytes += chunk.byteLength;
    if (bytes > bytesMax) return null;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Larger than any problem document. */
export const REFUSAL_BODY_BYTES_MAX = 64 * 1024;

const REFUSAL_BODY_WAIT_MS = 1000;

/**
 * The text of an answer that refuses an upgrade. Never rejects: a body that is too long, breaks
 * off, or is not complete after a second is cut there. The status says enough then, since a problem
 * document that is cut does not parse.
 */
export async function readRefusalBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const timer = setTimeout(() => response.destroy(), REFUSAL_BODY_WAIT_MS);
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      bytes += chunk.byteLength;
      if (bytes > REFUSAL_BODY_BYTES_MAX) break;
    }
  } catch {
    // It broke off, or its time is over.
  } finally {
    clearTimeout(timer);
  }
  return Buffer.concat(chunks).toString('utf8');
}
