/**
 * Bodies of bounded size. The limit applies while reading, so that no sender can fill the Worker's
 * memory.
 */

import type { Failure } from '../../protocol/index.ts';
import { failure } from '../contract/failure.ts';

export async function readText(request: Request, limit: number): Promise<{ ok: true; text: string } | Failure> {
  const bytes = Number(request.headers.get('content-length') ?? 0) > limit ? null : await readAtMost(request.body, limit);
  if (bytes === null) return failure('too_large', `A body may have at most ${limit} bytes.`, { limit });
  try {
    return { ok: true, text: new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes) };
  } catch {
    return failure('bad_request', 'The body must be text in UTF-8.');
  }
}

async function readAtMost(body: ReadableStream<Uint8Array> | null, limit: number): Promise<Uint8Array | null> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body ?? []) {
    size += chunk.byteLength;
    if (size > limit) return null;
    chunks.push(chunk);
  }
  const whole = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.byteLength;
  }
  return whole;
}
