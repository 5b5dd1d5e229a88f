/** Failures as RFC 9457 problem documents. The one place where codes become HTTP statuses. */

import { type Failure, PROBLEM_TYPE_PREFIX, PROBLEMS, type Problem } from '../../protocol/index.ts';

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
