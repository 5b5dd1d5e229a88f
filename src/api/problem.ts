/** Failures as RFC 9457 problem documents. The one place where codes become HTTP statuses. */

import type * as z from 'zod';
import {
  type Failure,
  PROBLEM_TYPE_PREFIX,
  PROBLEMS,
  type Problem,
  type ProblemCode,
  URL_CHARS_MAX,
} from '../../protocol/index.ts';

/** Seconds after which a saturated session may be asked again. */
const RETRY_AFTER_SECONDS = 5;

export function problemResponse(failure: Omit<Failure, 'ok'>, requestId: string): Response {
  const { status, retryable, title } = PROBLEMS[failure.code];
  const problem: Problem = {
    ...failure.facts,
    type: `${PROBLEM_TYPE_PREFIX}${failure.code}`,
    title,
    status,
    detail: failure.message,
    code: failure.code,
    retryable,
    requestId,
  };
  const headers: Record<string, string> = { 'content-type': 'application/problem+json', 'x-request-id': requestId };
  if (status === 401) headers['www-authenticate'] = 'Bearer';
  if (status === 426) headers.upgrade = 'websocket';
  if (status === 429 || (status === 503 && retryable)) {
    headers['retry-after'] = String(failure.facts?.retryAfterSeconds ?? RETRY_AFTER_SECONDS);
  }
  return Response.json(problem, { status, headers });
}

export const failure = (code: ProblemCode, message: string, facts?: Failure['facts']): Failure => ({
  ok: false,
  code,
  message,
  ...(facts ? { facts } : {}),
});

export const urlTooLong = (): Failure =>
  failure('too_large', `A URL may have at most ${URL_CHARS_MAX} characters.`, { field: 'url', limit: URL_CHARS_MAX });

/**
 * The first thing that is wrong with an input, by the name of its field, without repeating the input. A key that is no valid name may hold
 * anything, a secret too (`{"TOKEN=abc": ""}`), so only the object that it is in is named.
 */
export function badInput(error: z.core.$ZodError): Failure {
  const [issue] = error.issues;
  const badKey = issue?.code === 'invalid_key' ? issue.issues[0] : undefined;
  const path = (badKey ? issue?.path.slice(0, -1) : issue?.path) ?? [];
  const message = badKey ? `a key ${badKey.message}` : (issue?.message ?? 'The request is not valid.');
  const field = path.map(String).join('.');
  return failure('bad_request', field ? `${field}: ${message}` : message, field ? { field } : undefined);
}
