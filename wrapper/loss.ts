/**
 * One lost attempt or connection, and what follows from it. The same for a WebSocket and for a POST: what a close code or a status means
 * is decided by the table in protocol/close-codes.ts alone, when to come again by protocol/reconnect-policy.ts.
 *
 *   LO1  The attempt count is reset by `proven()` only: a coordinator that welcomes and then falls over each time would otherwise be
 *        called without any pause.
 *   LO2  A refused credential is tried once more with what its source says now; the same answer again is final.
 *   LO3  A coordinator that asks to wait (queued, saturated) is asked again at the slowest pace.
 */

import {
  CLOSE,
  isStatus,
  isTerminal,
  type NextStep,
  nextStepAfterClose,
  nextStepAfterStatus,
  POLICY_DEFAULTS,
  PROBLEMS,
  type ProblemCode,
  retryDelayMs,
  type TerminalStatus,
  WRAPPER_RECONNECT,
  wrapperReconnectCapMs,
} from '../protocol/index.ts';
import type { ConnectionEnd, Credential } from './transport.ts';

export type Loss =
  | { kind: 'closed'; code: number; reason: string }
  | {
      kind: 'status';
      status: number;
      retryAfter: number | null;
      detail: string;
      /** The code of a problem document of ours. Null: something between us and the coordinator answered. */
      problem: ProblemCode | null;
    }
  /** `sign`: cut (the connection was there and was taken away), silence (nothing came in time), or anything else. */
  | { kind: 'transport'; message: string; sign?: 'cut' | 'silence' };

export function describe(loss: Loss): string {
  switch (loss.kind) {
    case 'closed':
      return `closed with ${loss.code}${loss.reason ? ` (${loss.reason})` : ''}`;
    case 'status':
      return `HTTP ${loss.status}${loss.detail ? ` (${loss.detail})` : ''}`;
    case 'transport':
      return loss.message;
    default:
      return loss satisfies never;
  }
}

export function tableStep(loss: Loss): NextStep {
  switch (loss.kind) {
    case 'closed':
      return nextStepAfterClose(loss.code);
    case 'status':
      return nextStepAfterStatus(loss.status);
    case 'transport':
      return 'retry';
    default:
      return loss satisfies never;
  }
}

/** The coordinator itself spoke, so the network let us through. */
export const isCoordinators = (loss: Loss): boolean =>
  (loss.kind === 'closed' && loss.code !== 1006) || (loss.kind === 'status' && loss.problem !== null);

/** What a proxy answers to an upgrade that it does not do or does not allow. Not 401, 408, 425, 429: those are about us, or about now. */
const UPGRADE_REFUSALS: ReadonlySet<number> = new Set([400, 403, 404, 405, 407, 426, 501, 502, 503]);

/** Of an attempt to open a WebSocket: whether it looks as if the network refused upgrades, rather than the coordinator or the line. */
export function looksLikeNoUpgrades(loss: Loss): boolean {
  switch (loss.kind) {
    case 'closed':
      return loss.code === 1006; // It was opened and cut before the welcome.
    case 'status':
      // A coordinator that sees an upgrade without its `Upgrade` header says 426: something on the way took it out.
      if (loss.problem !== null) return loss.problem === 'upgrade_required';
      return UPGRADE_REFUSALS.has(loss.status) || (loss.status >= 200 && loss.status < 400);
    case 'transport':
      return loss.sign !== undefined;
    default:
      return loss satisfies never;
  }
}

const isAskedToWait = (loss: Loss): boolean =>
  (loss.kind === 'closed' && loss.code === CLOSE.tryAgainLater && loss.reason === 'queued') ||
  (loss.kind === 'status' &&
    (loss.status === 429 || loss.status === 503) &&
    loss.problem !== null &&
    PROBLEMS[loss.problem].retryable);

export type AfterLoss =
  | { kind: 'ended'; end: ConnectionEnd }
  | { kind: 'retry'; delayMs: number; attempt: number; askedToWait: boolean };

/** Far enough up the curve to be at its cap, whatever that is. */
const AT_THE_CAP = 64;

export class Attempts {
  readonly #credential: Credential;
  readonly #random: () => number;
  #attempt = 0;
  #credentialTried = false;
  /** Of this execution, once it is known. */
  graceMs = POLICY_DEFAULTS.disconnectGraceMs;

  constructor(credential: Credential, random: () => number = Math.random) {
    this.#credential = credential;
    this.#random = random;
  }

  get count(): number {
    return this.#attempt;
  }

  proven(): void {
    this.#attempt = 0;
    this.#credentialTried = false;
  }

  after(loss: Loss): AfterLoss {
    if (loss.kind === 'closed' && loss.code === CLOSE.settled) {
      return { kind: 'ended', end: { kind: 'settled', status: settledStatus(loss.reason) } };
    }
    if (this.#nextStep(loss) === 'stop') {
      return {
        kind: 'ended',
        end: {
          kind: 'refused',
          why: describe(loss),
          ...(loss.kind === 'closed' ? { wsCloseCode: loss.code } : {}),
          ...(loss.kind === 'status' ? { httpStatus: loss.status } : {}),
        },
      };
    }
    this.#attempt += 1;
    const askedToWait = isAskedToWait(loss);
    const capMs = wrapperReconnectCapMs(this.graceMs);
    const delayMs = retryDelayMs(
      askedToWait ? AT_THE_CAP : this.#attempt, // LO3
      { baseMs: Math.min(WRAPPER_RECONNECT.baseMs, capMs), capMs, random: this.#random },
      loss.kind === 'status' ? loss.retryAfter : null,
    );
    return { kind: 'retry', delayMs, attempt: this.#attempt, askedToWait };
  }

  #nextStep(loss: Loss): Exclude<NextStep, 'refresh_credential'> {
    const step = tableStep(loss);
    if (step !== 'refresh_credential') return step;
    if (this.#credentialTried) return 'stop'; // LO2
    this.#credentialTried = true;
    this.#credential.refresh();
    return 'retry';
  }
}

function settledStatus(reason: string): TerminalStatus | null {
  try {
    const { status } = JSON.parse(reason) as { status?: unknown };
    return isStatus(status) && isTerminal(status) ? status : null;
  } catch {
    return null;
  }
}

/** What a problem document says, from the body of a refusal; nothing when it is none of ours. */
export function readProblem(body: string): { detail: string; problem: ProblemCode | null } {
  try {
    const { code, detail } = JSON.parse(body) as { code?: unknown; detail?: unknown };
    return {
      problem: typeof code === 'string' && Object.hasOwn(PROBLEMS, code) ? (code as ProblemCode) : null,
      detail: [code, detail]
        .filter((part) => typeof part === 'string')
        .join(': ')
        .slice(0, 300),
    };
  } catch {
    return { detail: '', problem: null };
  }
}
