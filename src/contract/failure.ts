/** Failures as values: problem code, message and facts. http/problem.ts maps them to HTTP. */

import type * as z from 'zod';
import { type Failure, type ProblemCode, URL_CHARS_MAX } from '../../protocol/index.ts';

export const failure = (code: ProblemCode, message: string, facts?: Failure['facts']): Failure => ({
  ok: false,
  code,
  message,
  ...(facts ? { facts } : {}),
});

export const urlTooLong = (): Failure =>
  failure('too_large', `A URL may have at most ${URL_CHARS_MAX} characters.`, { field: 'url', limit: URL_CHARS_MAX });

/**
 * The first problem of an input, by the name of its field, without quoting the input. An invalid
 * key may hold anything, even a secret (`{"TOKEN=abc": ""}`), so only the object around it is
 * named.
 */
export function badInput(error: z.core.$ZodError): Failure {
  const [issue] = error.issues;
  const badKey = issue?.code === 'invalid_key' ? issue.issues[0] : undefined;
  const path = (badKey ? issue?.path.slice(0, -1) : issue?.path) ?? [];
  const message = badKey ? `a key ${badKey.message}` : (issue?.message ?? 'The request is not valid.');
  const field = path.map(String).join('.');
  return failure('bad_request', field ? `${field}: ${message}` : message, field ? { field } : undefined);
}
