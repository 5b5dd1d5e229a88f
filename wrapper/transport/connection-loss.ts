/**
 * One lost attempt or connection, and what follows. The same for WebSocket and POST: whose answer
 * counts is decided by the table in protocol/next-step.ts alone, when to retry by
 * protocol/reconnect-policy.ts, how long a refusal is retried by budgets.ts.
 *
 *   LO1  The attempt count is reset by `markHealthy()` only: a coordinator that welcomes and then
 *        crashes each time would otherwise be called without any pause.
 *   LO2  An answer of the network never ends a run. `settled`, `deleted` and `claimed` end it at
 *        once.
 *   LO3  A coordinator that asks to wait (queued, saturated) is retried at the slowest pace, and so
 *        is one that refuses a run that began.
 *   LO4  Any other refusal is final only when it has lasted: before the first welcome for a short
 *        time, after it until the grace is certainly over. A coordinator with a wrong key or an
 *        empty data folder must not end a job that a repaired one will ask for a moment later. The
 *        same holds for a welcome that does not fit: the coordinator may serve an older copy of its
 *        data for a moment.
 *   LO5  A refused credential is read again from its source before the next attempt.
 *   LO6  `Retry-After` is followed when the coordinator sends it. From anyone else it is capped at
 *        the maximum backoff, so that no intermediary can make a wrapper exceed its grace.
 */

import {
  type AnswerClass,
  CLOSE,
  classifyClose,
  classifyStatus,
  describeForeignAnswer,
  monotonicNow,
  type OwnProblem,
  POLICY_DEFAULTS,
  type Policy,
  QUEUED_REASON,
  readProblem,
  retryDelayMs,
  settledStatusOf,
  type TerminalStatus,
  WRAPPER_RECONNECT,
  wrapperReconnectCapMs,
} from '../../protocol/index.ts';
import { isRefusalBelieved } from '../run/budgets.ts';
import { WRAPPER_TIMES, type WrapperTimes } from '../times.ts';
import type { Credential } from './credential.ts';

/** Why it is final. */
export type ConnectionEnd =
  | { kind: 'settled'; status: TerminalStatus | null }
  | { kind: 'refused'; why: string; wsCloseCode?: number; httpStatus?: number };

export type ConnectionLoss =
  | { kind: 'closed'; code: number; reason: string }
  | {
      kind: 'status';
      status: number;
      retryAfter: number | null;
      contentType: string | null;
      /** Null: an intermediary answered, not the coordinator. */
      problem: OwnProblem | null;
    }
  /**
   * `sign`: cut (the connection existed and was dropped), silence (nothing came in time), or
   * anything else.
   */
  | { kind: 'transport'; message: string; sign?: 'cut' | 'silence' }
  /** The welcome cannot be accepted: the coordinator has other data than before. */
  | { kind: 'unfit_welcome'; why: string };

/** An HTTP answer other than the expected one. */
export function lossOfAnswer(status: number, contentType: string | null, body: string, retryAfter: number | null): ConnectionLoss {
  return { kind: 'status', status, retryAfter, contentType, problem: readProblem(status, contentType, body) };
}

const DETAIL_CHARS_MAX = 300;

export function describe(loss: ConnectionLoss): string {
  switch (loss.kind) {
    case 'closed':
      return `closed with ${loss.code}${loss.reason ? ` (${loss.reason})` : ''}`;
    case 'status': {
      if (!loss.problem) return describeForeignAnswer(loss.status, loss.contentType);
      const { code, detail, deleted } = loss.problem;
      return `HTTP ${loss.status} (${code}${deleted ? ', deleted' : ''}: ${detail.slice(0, DETAIL_CHARS_MAX)})`;
    }
    case 'transport':
      return loss.message;
    case 'unfit_welcome':
      return loss.why;
    default:
      return loss satisfies never;
  }
}

export function wordOf(loss: ConnectionLoss): AnswerClass {
  switch (loss.kind) {
    case 'closed':
      return classifyClose(loss.code, loss.reason);
    case 'status':
      return classifyStatus(loss.status, loss.problem);
    case 'transport':
      return 'network';
    case 'unfit_welcome':
      return 'refused';
    default:
      return loss satisfies never;
  }
}

/** The coordinator itself answered, so the network let the request through. */
export const isCoordinators = (loss: ConnectionLoss): boolean => wordOf(loss) !== 'network';

/** Temporary answers of an intermediary that are unrelated to upgrades. */
const PASSING_STATUSES: ReadonlySet<number> = new Set([408, 425, 429, 500, 504]);

/**
 * For an attempt to open a WebSocket: whether the network seems to refuse upgrades, rather than the
 * coordinator or the line failing.
 */
export function looksLikeNoUpgrades(loss: ConnectionLoss): boolean {
  switch (loss.kind) {
    case 'closed':
      return loss.code === 1006; // It was opened and cut before the welcome.
    case 'status':
      // A coordinator that sees an upgrade without its `Upgrade` header answers 426: an
      // intermediary removed it.
      if (loss.problem) return loss.problem.code === 'upgrade_required';
      return loss.status <= 503 && !PASSING_STATUSES.has(loss.status);
    case 'transport':
      return loss.sign !== undefined;
    case 'unfit_welcome':
      return false;
    default:
      return loss satisfies never;
  }
}

export type NextAfterLoss =
  | { kind: 'ended'; end: ConnectionEnd }
  | { kind: 'retry'; delayMs: number; attempt: number; askedToWait: boolean };

/** When an attempt began, and the current time: both of the monotonic clock. */
export interface AttemptTimes {
  beganAt: number;
  now: number;
}

/** High enough to be at the backoff's cap, whatever that is. */
const AT_THE_CAP = 64;

/** Shared by all transports of a run: what one of them learned counts for the others. */
export class Attempts {
  readonly #credential: Credential;
  readonly #times: WrapperTimes;
  readonly #random: () => number;
  #attempt = 0;
  /** Of this execution, from the first welcome on. */
  #policy: Policy | null = null;
  #welcomedAt = 0;
  /** The last time at which the coordinator is known to have counted this wrapper as connected. */
  #connectedAt = 0;
  /** An ack or a pong arrived on the current connection. */
  #sound = false;
  /** The first refusal since the coordinator last accepted this wrapper. */
  #refusedSince: number | null = null;

  /** `known`: the policy that an earlier boot of a running job was told. */
  constructor(
    credential: Credential,
    times: WrapperTimes = WRAPPER_TIMES,
    random: () => number = Math.random,
    known: Policy | null = null,
  ) {
    this.#policy = known;
    if (known) this.#connectedAt = monotonicNow();
    this.#credential = credential;
    this.#times = times;
    this.#random = random;
  }

  get count(): number {
    return this.#attempt;
  }
  /** There was a first welcome, over any transport. */
  get everWelcomed(): boolean {
    return this.#policy !== null;
  }

  welcomed(policy: Policy, now: number): void {
    if (!this.#policy) this.#connectedAt = now;
    this.#policy = policy;
    this.#welcomedAt = now;
  }

  markHealthy(now: number): void {
    this.#attempt = 0;
    this.#refusedSince = null;
    this.#connectedAt = now;
    this.#sound = true;
  }

  after(loss: ConnectionLoss, { beganAt, now }: AttemptTimes): NextAfterLoss {
    const word = wordOf(loss);
    // A healthy connection counts up to now; one that was only welcomed does not, if it was then
    // refused.
    if (this.#sound) this.#connectedAt = now;
    else if (word === 'network' || word === 'later') this.#connectedAt = Math.max(this.#connectedAt, this.#welcomedAt);
    this.#sound = false;
    switch (word) {
      case 'settled':
        return { kind: 'ended', end: { kind: 'settled', status: loss.kind === 'closed' ? settledStatusOf(loss.reason) : null } };
      case 'deleted':
      case 'claimed':
        return refusedBy(loss);
      case 'unauthorized':
      case 'refused':
        this.#refusedSince ??= now;
        if (this.#isBelieved(beganAt)) return refusedBy(loss); // LO4
        if (word === 'unauthorized') this.#credential.refresh(); // LO5
        return this.#retry(loss, { slow: this.#policy !== null, askedToWait: false });
      case 'later':
        this.#refusedSince = null;
        return this.#retry(loss, { slow: isAskedToWait(loss), askedToWait: isAskedToWait(loss) });
      case 'network':
        return this.#retry(loss, { slow: false, askedToWait: false });
      default:
        return word satisfies never;
    }
  }

  #isBelieved(beganAt: number): boolean {
    const refusal = { refusedSince: this.#refusedSince ?? beganAt, connectedAt: this.#connectedAt, policy: this.#policy };
    return isRefusalBelieved(refusal, beganAt, this.#times);
  }

  #retry(loss: ConnectionLoss, { slow, askedToWait }: { slow: boolean; askedToWait: boolean }): NextAfterLoss {
    this.#attempt += 1;
    const capMs = wrapperReconnectCapMs((this.#policy ?? POLICY_DEFAULTS).disconnectGraceMs);
    const asked = loss.kind === 'status' ? loss.retryAfter : null;
    const delayMs = retryDelayMs(
      slow ? AT_THE_CAP : this.#attempt, // LO3
      { baseMs: Math.min(WRAPPER_RECONNECT.baseMs, capMs), capMs, random: this.#random },
      asked !== null && !isCoordinators(loss) ? Math.min(asked, capMs) : asked, // LO6
    );
    return { kind: 'retry', delayMs, attempt: this.#attempt, askedToWait };
  }
}

function refusedBy(loss: ConnectionLoss): NextAfterLoss {
  const facts = loss.kind === 'closed' ? { wsCloseCode: loss.code } : loss.kind === 'status' ? { httpStatus: loss.status } : {};
  return { kind: 'ended', end: { kind: 'refused', why: describe(loss), ...facts } };
}

export const isQueued = (loss: ConnectionLoss): boolean =>
  loss.kind === 'closed' && loss.code === CLOSE.tryAgainLater && loss.reason === QUEUED_REASON;

/** Queued or overloaded (SPL21). A 500 is no such request. */
const isAskedToWait = (loss: ConnectionLoss): boolean =>
  isQueued(loss) || (loss.kind === 'status' && (loss.status === 429 || loss.status === 503));
