/** An input for a job's stdin, from the form of a caller to the one form that the session takes. */

import type * as z from 'zod';
import type { Author, Failure } from '../../protocol/index.ts';
import type { NormalInput } from '../core/input.ts';
import { failure } from './failure.ts';
import type { inputSchema } from './schemas.ts';

type InputBody = z.infer<typeof inputSchema>;

const FORMS = ['text', 'data', 'base64'] as const;

export async function normaliseInput(body: InputBody, by: Author): Promise<{ ok: true; input: NormalInput } | Failure> {
  const given = FORMS.filter((form) => body[form] !== undefined);
  const eof = body.eof ?? false;
  if (given.length > 1)
    return failure('bad_request', `${given[1]}: ${given.join(' and ')} exclude each other`, { field: given[1] ?? '' });
  if (given.length === 0 && !eof) {
    return failure('bad_request', 'text: exactly one of text, data and base64 is needed, or eof: true', { field: 'text' });
  }
  const text = body.text ?? body.data ?? null;
  const base64 = body.base64 ?? null;
  const bytes = base64 === null ? new TextEncoder().encode(text ?? '') : bytesOf(base64);
  return {
    ok: true,
    input: {
      text,
      base64,
      bytes: bytes.byteLength,
      sha256: await sha256Hex(bytes),
      eof,
      inputId: body.inputId ?? null,
      secret: body.secret ?? false,
      by,
    },
  };
}

/** What a Worker of 0.1.0 passes on; it does not say who the caller is. */
export async function inputOfEarlierWorker(text: string): Promise<NormalInput> {
  const bytes = new TextEncoder().encode(text);
  const by: Author = { kind: 'system', id: 'earlier_version' };
  const rest = { base64: null, eof: false, inputId: null, secret: false };
  return { text, bytes: bytes.byteLength, sha256: await sha256Hex(bytes), ...rest, by };
}

const bytesOf = (base64: string): Uint8Array => Uint8Array.from(atob(base64), (unit) => unit.charCodeAt(0));

async function sha256Hex(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', bytes);
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}
