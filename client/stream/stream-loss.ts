/**
 * What follows a lost connection: another attempt and when, a new credential, or the end. Pure: no timer, no socket, no clock.
 *
 * L1  A hello alone is no success: connections that say it and die at once make the delays grow like failed attempts.
 * L2  A refused credential is replaced once; the next refusal is final, unless a connection lived in between.
 * L3  The budget counts from the last sound connection, and not while the consumer alone was what a connection waited for.
 * L4  While the page is hidden nothing is tried and nothing is counted. What is final is final there, too.
 * L5  After a first hello, `unauthorized` and `not_found` are final only when an attempt is refused that began `refusedMs` after the first
 *     refusal: a coordinator that restarts with the wrong key or an empty folder may have the right one a moment later. A deleted
 *     session and a replaced log are final at once. Before the first hello any refusal is.
 */

import {
  CLOSE,
  DELETED_REASON,
  delayWithinBudget,
  nextStepAfter,
  retryAfterMs,
  retryDelayMs,
  type Word,
  wordOfClose,
  wordOfStatus,
} from '../../protocol/index.ts';
import type { SocketEnd } from './socket.ts';
import type { SessionStreamOptions, StreamTimings } from './stream-types.ts';

export interface LossHistory {
  /** Attempts without a hello since the last one. */
  readonly attempt: number;
  /** L1: connections in a row that said hello and died at once without bringing anything: a hello alone must not make a hot loop. */
  readonly barren: number;
  /** L2. */
  readonly refreshed: boolean;
  /** L3. */
  readonly downSince: number;
  /** L5. */
  readonly refusedSince?: number | undefined;
}

export const cleanHistory = (now: number): LossHistory => ({ attempt: 0, barren: 0, refreshed: false, downSince: now });

/** What a connection that is over has been good for. */
export function afterConnection(
  history: LossHistory,
  { helloAt, progressed }: { helloAt: number | null; progressed: boolean },
  now: number,
  soundMs: number,
): LossHistory {
  if (helloAt === null) return history;
  const lived = now - helloAt >= soundMs;
  return {
    ...history,
    ...(lived || progressed ? { barren: 0, downSince: now, refusedSince: undefined } : { barren: history.barren + 1 }), // L1, L3, L5
    refreshed: history.refreshed && !lived, // L2
  };
}

export type AfterLoss =
  | { kind: 'fail'; code: string; reason: string }
  | { kind: 'refresh_credential'; history: LossHistory }
  | { kind: 'pause'; history: LossHistory; reason: string }
  | { kind: 'retry'; history: LossHistory; delayMs: number; reason: string };

/** `welcomed`: a connection of this stream was greeted once. */
export interface LossFacts {
  now: number;
  beganAt: number;
  hidden: boolean;
  welcomed: boolean;
}

export function decideAfterLoss(
  history: LossHistory,
  end: SocketEnd,
  facts: LossFacts,
  options: SessionStreamOptions,
  timings: Readonly<StreamTimings>,
): AfterLoss {
  const word = wordOf(end);
  const step = nextStepAfter(word);
  const { now, beganAt, hidden } = facts;
  if (step === 'refresh_credential' && options.getTicket && !history.refreshed) {
    history = { ...history, refreshed: true };
    if (!hidden) return { kind: step, history };
  } else if (step !== 'retry') {
    const refusedSince = history.refusedSince ?? now;
    // L5
    if (!facts.welcomed || !mayPass(word, end) || beganAt - refusedSince > timings.refusedMs)
      return { kind: 'fail', code: failureCode(end), reason: saidBy(end) || `closed with ${end.code}` };
    history = { ...history, refusedSince };
  }
  if (hidden) return { kind: 'pause', history, reason: reasonOf(end) }; // L4
  return decideRetry({ ...history, attempt: history.attempt + 1 }, end, word, facts, options, timings);
}

/** L5: what a coordinator says too that has the wrong key or the wrong data for a moment. */
const mayPass = (word: Word, { code, refusal }: SocketEnd): boolean =>
  word === 'unauthorized' || (word === 'refused' && (refusal ? refusal.status === 404 : code === CLOSE.notFound));

function decideRetry(
  history: LossHistory,
  end: SocketEnd,
  word: Word,
  { now, beganAt }: LossFacts,
  { random, giveUpAfterMs = Number.POSITIVE_INFINITY }: SessionStreamOptions,
  { retryBaseMs, retryCapMs }: Readonly<StreamTimings>,
): AfterLoss {
  const { refusal } = end;
  const asked = retryAfterMs(refusal?.retryAfter, Date.now());
  // Nobody but the coordinator may put a reader off for longer than the curve does.
  const leastMs = asked !== null && word === 'network' ? Math.min(asked, retryCapMs) : asked;
  const curve = { baseMs: retryBaseMs, capMs: retryCapMs, random };
  const attempts = history.attempt + history.barren;
  // CLS9: what a connection brought before it was closed as too slow is progress, and what is left is there already.
  const atOnce = end.code === CLOSE.tooSlow && attempts === 1;
  const wantedMs = atOnce ? 0 : retryDelayMs(attempts, curve, leastMs);
  const reason = reasonOf(end);
  const budget = { startedAt: history.downSince, attemptBeganAt: beganAt, now, budgetMs: giveUpAfterMs };
  const delayMs = delayWithinBudget(budget, wantedMs, leastMs ?? 0);
  if (delayMs === null) return { kind: 'fail', code: 'unreachable', reason };
  return { kind: 'retry', history, delayMs, reason };
}

const reasonOf = ({ reason, refusal }: SocketEnd): string =>
  refusal?.detail || reason || (refusal ? `HTTP ${refusal.status}` : '') || 'the connection was lost';

/** L3, L4: the time that a connection had to wait for something else is not its own. */
export const afterWaiting = (history: LossHistory, now: number): LossHistory => ({ ...history, downSince: now });

/**
 * An error of `getTicket` is a refusal only when it says so itself: `retryable: false`. No other credential can be tried then,
 * so a 401 is treated as a 404 is.
 */
export function endOfTicketError(error: unknown): SocketEnd {
  const { retryable, code, status } = (error ?? {}) as { retryable?: unknown; code?: unknown; status?: unknown };
  const end: SocketEnd = { code: 1006, reason: `no ticket: ${messageOf(error)}` };
  if (retryable === false) {
    const mayPass = status === 401 || status === 404;
    end.refusal = { status: mayPass ? 404 : 0, retryAfter: null, code: String(code ?? 'unauthorized'), retryable };
  }
  return end;
}

function wordOf({ code, reason, refusal }: SocketEnd): Word {
  if (!refusal) return wordOfClose(code, reason);
  const { status, code: problem, retryable = false, deleted = false } = refusal;
  return wordOfStatus(status, problem === undefined ? null : { retryable, deleted });
}

/** With code 1000 right after an `end` frame. Another 1000 may be a proxy's polite way to close an idle connection. */
const ENDED_REASON = 'ended';

/** The coordinator has told all that there is for this credential. */
export const isLastWord = ({ code, reason }: SocketEnd): boolean => code === CLOSE.done && reason === ENDED_REASON;

const REASON_IS_CODE = /^[a-z][a-z0-9_]{0,63}$/;

/** A close reason that is itself a code (`offset_expired`) says more than the number. */
function failureCode({ code, reason, refusal }: SocketEnd): string {
  if (refusal) return refusal.code ?? `http_${refusal.status}`;
  if (code === CLOSE.notFound && reason === DELETED_REASON) return 'session_not_found';
  if (code === CLOSE.credentialRefused) return 'unauthorized';
  if (REASON_IS_CODE.test(reason)) return reason;
  switch (code) {
    case CLOSE.badFrame:
      return 'bad_request';
    case CLOSE.notFound:
      return 'not_found';
    case CLOSE.offsetUnavailable:
      return 'offset_unavailable';
    default:
      return `closed_${code}`;
  }
}

/** R7: the code by which the coordinator refuses a place in a log that is gone, and what it means to a person. */
export const LOG_REPLACED = 'log_replaced';
export const LOG_REPLACED_REASON = 'the session was deleted and made again; start from the beginning';

const saidBy = ({ reason, refusal }: SocketEnd): string =>
  refusal?.detail || (reason === LOG_REPLACED ? LOG_REPLACED_REASON : reason);

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
