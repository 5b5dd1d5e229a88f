/**
 * Whose answer counts. One table for wrapper, command line and client: who sent the end of a
 * connection or an HTTP answer, and what the receiver does next.
 *
 * Only the coordinator knows the state of an execution. It answers in two ways: close codes from
 * 4000 to 4999, and problem documents of its own. The codes that end a running job at once count
 * only with the coordinator's own reason, because another program that answers in its place may use
 * the same codes. Everything else comes from the network: a proxy's error page, a redirect, a
 * sign-in page, JSON of another service, a close with 1008. It says nothing about the execution, so
 * the next attempt may reach the coordinator.
 */

import { PROBLEM_TYPE_PREFIX, type Problem } from './api.ts';
import { CLAIMED_REASON, CLOSE, DELETED_REASON, QUEUED_REASON } from './close-codes.ts';
import { parseJson } from './json.ts';
import { isStatus, isTerminal, type TerminalStatus } from './statuses.ts';

export type AnswerClass =
  /** Not the coordinator: nothing is known. */
  | 'network'
  /** The coordinator asks to retry later: busy, queued, too many connections. */
  | 'later'
  /** The execution has its verdict. */
  | 'settled'
  /** The session was deleted, and its object knows that. */
  | 'deleted'
  /** Another wrapper owns the execution. */
  | 'claimed'
  /** The credential is not accepted. */
  | 'unauthorized'
  /**
   * Any other refusal. It may come from a coordinator with a wrong key or the wrong data, so a
   * running job does not treat it as final at once.
   */
  | 'refused';

export type NextStep = 'retry' | 'refresh_credential' | 'stop';

/**
 * The next step of a peer that loses nothing by stopping: a reader, or a wrapper whose job has not
 * begun.
 */
export function nextStepAfter(answer: AnswerClass): NextStep {
  switch (answer) {
    case 'network':
    case 'later':
      return 'retry';
    case 'unauthorized':
      return 'refresh_credential';
    case 'settled':
    case 'deleted':
    case 'claimed':
    case 'refused':
      return 'stop';
    default:
      return answer satisfies never;
  }
}

const CLOSE_CLASSES: Readonly<Record<number, AnswerClass>> = {
  [CLOSE.credentialRefused]: 'unauthorized',
  [CLOSE.helloTimeout]: 'later',
  [CLOSE.tooSlow]: 'later',
  [CLOSE.tooManyConnections]: 'later',
};

/** The verdict in the reason of a 4000; null without one. */
export function settledStatusOf(reason: string): TerminalStatus | null {
  const { status } = Object(parseJson(reason)) as { status?: unknown };
  return isStatus(status) && isTerminal(status) ? status : null;
}

/**
 * CLS1: `settled`, or the status as JSON. A regular expression instead of a parser, because the
 * client includes it too.
 */
const SETTLED = /^(settled$|\{"status":"(completed|failed|interrupted)"[,}])/;

export function classifyClose(code: number, reason = ''): AnswerClass {
  if (code === CLOSE.settled) return SETTLED.test(reason) ? 'settled' : 'network';
  if (code === CLOSE.claimed) return reason === CLAIMED_REASON ? 'claimed' : 'network';
  if (code === CLOSE.notFound && reason === DELETED_REASON) return 'deleted';
  if (code === CLOSE.tryAgainLater && reason === QUEUED_REASON) return 'later';
  // A code of a later version is a refusal (VER5). Codes below 4000 come from a platform or a
  // proxy.
  return CLOSE_CLASSES[code] ?? (/^4\d{3}$/.test(String(code)) ? 'refused' : 'network');
}

/**
 * The meaning of an unexpected HTTP answer. `problem` is null when it is not a problem document of
 * ours.
 */
export function classifyStatus(status: number, problem: ProblemFacts | null): AnswerClass {
  if (!problem) return 'network';
  if (problem.deleted) return 'deleted';
  // A proxy removed the `Upgrade` header from the request.
  if (status === 426) return 'network';
  if (status === 401) return 'unauthorized';
  return problem.retryable ? 'later' : 'refused';
}

export const nextStepAfterClose = (code: number, reason = ''): NextStep => nextStepAfter(classifyClose(code, reason));

export const nextStepAfterStatus = (status: number, problem: ProblemFacts | null): NextStep =>
  nextStepAfter(classifyStatus(status, problem));

/**
 * The part of a problem document that decides. Its own `retryable` has priority over its status
 * (VER5).
 */
export interface ProblemFacts {
  retryable: boolean;
  /** The session was deleted. */
  deleted?: boolean;
}

export type OwnProblem = Problem & { deleted?: true };

/**
 * The problem document of an answer, or null when the answer is not the coordinator's. Other
 * services use RFC 9457 too: ours have `code`, `retryable` and the status of the answer, and no
 * `type` that is the address of another service. A code of ours matches its status (HTTP1); a code
 * of a later version is unknown here. `deleted` counts only with our `type`.
 */
export function readProblem(status: number, contentType: string | null | undefined, body: string): OwnProblem | null {
  const isProblem = /^application\/problem\+json\b/i.test(contentType ?? '');
  const { deleted, ...problem }: Partial<Problem> = Object(isProblem ? parseJson(body) : null);
  const { code, type } = problem;
  if (typeof code !== 'string' || typeof problem.retryable !== 'boolean' || problem.status !== status) return null;
  const isOurs = type === PROBLEM_TYPE_PREFIX + code;
  if (!isOurs && /^https?:/i.test(String(type))) return null;
  return { ...problem, ...(isOurs && deleted === true ? { deleted } : {}) } as OwnProblem;
}
