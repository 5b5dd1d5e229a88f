/**
 * The connection of a stream as a pure state machine: one attempt after the other, and what each
 * waits for. No timer, no socket, no clock: session-stream holds those and feeds the events.
 *
 *      ┌─────────────────── retry timer, buffer drained, page visible ────────────────────┐
 *      ▼                                                                                  │
 *  connecting ──hello──▶ open ──lost──▶ retrying │ draining │ paused ─────────────────────┘
 *      │  ▲               │               ▲
 *      │  └─ 4401, once ──┤               │
 *      ├──────────────────┴── lost ───────┘
 *      └──▶ failed (refused for good, or out of budget) ── reconnect() ──▶ connecting
 *                                                       └─ close() ──────▶ over
 *
 *  draining: the consumer has to empty the buffer first (R5).  paused: the page is hidden (P1).
 *  complete: everything is received; the consumer has yet to reach the end.
 *  over: ended or closed. Final (R6).
 *
 * L1  A hello alone is no success. Connections that greet and die at once grow the delay, as
 *     failed attempts do.
 * L2  A refused credential is replaced once. The next refusal is final, unless a connection was
 *     sound in between. A ticket that expires during its connection was not refused. It is replaced
 *     at once, or after the usual delay when the connection before it also lasted too short.
 * L3  The budget counts from the last sound connection. Time spent waiting for the consumer does
 *     not count.
 * L4  A hidden page makes no attempt and counts none. A final refusal is still final.
 * L5  After a first hello, `unauthorized` and `not_found` are final only when an attempt is refused
 *     that began `refusedMs` after the first refusal: a coordinator that restarts with a wrong key
 *     or an empty folder may soon have the right one. A deleted session and a replaced log are
 *     final at once. Before the first hello every refusal is final.
 */

import {
  type AnswerClass,
  CLOSE,
  classifyClose,
  classifyStatus,
  DELETED_REASON,
  delayWithinBudget,
  nextStepAfter,
  retryAfterMs,
  retryDelayMs,
  type StreamHello,
} from '../../protocol/index.ts';
import type { FrameOutcome } from './buffer.ts';
import { LOG_REPLACED, LOG_REPLACED_REASON, type StreamSettings, type StreamState } from './options.ts';
import type { SocketEnd } from './socket.ts';

/** `reconnect()` calls within this time share one attempt. */
const SHARED_ATTEMPT_MS = 1_000;

const PAGE_HIDDEN = 'the page is hidden';

type StateOf<S extends StreamState['status']> = Extract<StreamState, { status: S }>;

/** `shown` is the public state. A new object is a new state for the listener. */
export type Phase =
  /** An attempt without a hello. */
  | { kind: 'connecting'; shown: StateOf<'connecting' | 'refreshing-credential'>; beganAt: number }
  /** `progressed`: it brought an event that was new. */
  | { kind: 'open'; shown: StateOf<'replaying' | 'live'>; beganAt: number; helloAt: number; progressed: boolean }
  | { kind: 'retrying'; shown: StateOf<'reconnecting'>; delayMs: number }
  /** Mostly with the state that was shown before. */
  | { kind: 'draining' | 'complete'; shown: StreamState }
  | { kind: 'paused'; shown: StateOf<'paused'> }
  | { kind: 'failed'; shown: StateOf<'failed'> }
  | { kind: 'over'; shown: StateOf<'ended' | 'closed'> };

export interface History {
  /** Attempts without a hello since the last hello. */
  readonly attempt: number;
  /** L1: connections in a row that greeted and died at once without a new event. */
  readonly barren: number;
  /** L2. */
  readonly refreshed: boolean;
  /** L3. */
  readonly downSince: number;
  /** L5. */
  readonly refusedSince: number | null;
}

export interface Connection {
  readonly phase: Phase;
  readonly history: History;
}

export type ConnectionEvent =
  | FrameOutcome
  | { type: 'start' | 'drained' | 'retry' | 'reconnect' | 'pause' | 'comeBack' }
  | { type: 'end'; shown: StateOf<'ended' | 'closed'> };

export interface Facts {
  /** Of the monotonic clock. */
  now: number;
  /** Of the wall clock, for a Retry-After that is a date. */
  date: number;
  hidden: boolean;
  buffer: { readonly drained: boolean; readonly complete: boolean; readonly hello: StreamHello | null };
}

const cleanHistory = (now: number): History => ({
  attempt: 0,
  barren: 0,
  refreshed: false,
  downSince: now,
  refusedSince: null,
});

/** Waits for `start`. */
export const newConnection = (now: number, closed: boolean): Connection => ({
  phase: closed ? { kind: 'over', shown: { status: 'closed' } } : { kind: 'draining', shown: { status: 'connecting', attempt: 0 } },
  history: cleanHistory(now),
});

/** The same object means that nothing changed. */
export function transition(connection: Connection, event: ConnectionEvent, facts: Facts, settings: StreamSettings): Connection {
  const { phase, history } = connection;
  const { now } = facts;
  if (phase.kind === 'over') return connection; // R6
  if (phase.kind === 'failed' && event.type !== 'reconnect' && event.type !== 'end') return connection; // R6
  switch (event.type) {
    case 'start':
    case 'drained':
      return phase.kind === 'draining' ? begin({ ...history, downSince: now }, phase.shown, facts) : connection; // L3
    case 'retry':
      return phase.kind === 'retrying' ? begin(history, phase.shown, facts) : connection;
    case 'reconnect': {
      if (phase.kind === 'connecting' && now - phase.beganAt < SHARED_ATTEMPT_MS) return connection;
      return begin(cleanHistory(now), phase.shown, { ...facts, hidden: false });
    }
    case 'hello':
      if (phase.kind !== 'connecting') return connection;
      return {
        phase: { kind: 'open', shown: { status: 'replaying' }, beganAt: phase.beganAt, helloAt: now, progressed: false },
        history: { ...history, attempt: 0 },
      };
    case 'progress':
      if (phase.kind !== 'open' || phase.progressed) return connection;
      return { phase: { ...phase, progressed: true }, history };
    case 'caught_up':
      return phase.kind === 'open' ? { phase: { ...phase, shown: { status: 'live' } }, history } : connection;
    case 'no_room':
      return { phase: { kind: 'draining', shown: waitingForConsumer() }, history };
    case 'lost': {
      if (phase.kind !== 'connecting' && phase.kind !== 'open') return connection;
      const after = phase.kind === 'open' ? afterConnection(history, phase, event.end, now, settings.timings.soundMs) : history;
      if (facts.buffer.complete) return { phase: { kind: 'complete', shown: phase.shown }, history: after };
      return afterLoss(after, phase, event.end, facts, settings);
    }
    case 'fail':
      return failed(history, event.code, event.reason);
    case 'pause':
      return phase.kind === 'paused' ? connection : paused(history, PAGE_HIDDEN);
    case 'comeBack': {
      const downSince = phase.kind === 'paused' ? now : history.downSince; // L4
      return begin({ ...history, attempt: 0, downSince }, phase.shown, facts);
    }
    case 'end':
      return { phase: { kind: 'over', shown: event.shown }, history };
    default:
      return event satisfies never;
  }
}

/** R5, P1: an attempt, or what it has to wait for. A complete stream needs no further attempt. */
function begin(history: History, shown: StreamState, { now, hidden, buffer }: Facts): Connection {
  if (buffer.complete || !buffer.drained) {
    const isOutdated = shown.status === 'paused' || shown.status === 'failed';
    const kind = buffer.complete ? 'complete' : 'draining';
    return { phase: { kind, shown: isOutdated ? waitingForConsumer() : shown }, history };
  }
  if (hidden) return paused(history, PAGE_HIDDEN);
  const { attempt } = history;
  return {
    phase: {
      kind: 'connecting',
      shown: shown.status === 'refreshing-credential' ? shown : { status: 'connecting', attempt },
      beganAt: now,
    },
    history,
  };
}

const waitingForConsumer = (): StateOf<'reconnecting'> => ({
  status: 'reconnecting',
  attempt: 0,
  retryInMs: 0,
  code: CLOSE.tooSlow,
  reason: 'waiting for the consumer',
});

const paused = (history: History, reason: string): Connection => ({
  phase: { kind: 'paused', shown: { status: 'paused', reason } },
  history,
});

const failed = (history: History, code: string, reason: string): Connection => ({
  phase: { kind: 'failed', shown: { status: 'failed', code, reason } },
  history,
});

function afterConnection(
  history: History,
  { helloAt, progressed }: { helloAt: number; progressed: boolean },
  end: SocketEnd,
  now: number,
  soundMs: number,
): History {
  const wasSound = now - helloAt >= soundMs;
  return {
    ...history,
    ...(wasSound || progressed ? { barren: 0, downSince: now, refusedSince: null } : { barren: history.barren + 1 }), // L1, L3, L5
    refreshed: history.refreshed && !wasSound && !isExpiry(end), // L2
  };
}

function afterLoss(
  history: History,
  { kind, beganAt }: { kind: Phase['kind']; beganAt: number },
  end: SocketEnd,
  facts: Facts,
  settings: StreamSettings,
): Connection {
  const word = wordOf(end);
  const step = kind === 'open' && isExpiry(end) && history.barren > 1 ? 'retry' : nextStepAfter(word); // L2
  const { now, hidden, buffer } = facts;
  if (step === 'refresh_credential' && settings.options.getTicket && !history.refreshed) {
    history = { ...history, refreshed: true };
    if (!hidden) return begin(history, { status: 'refreshing-credential' }, facts);
  } else if (step !== 'retry') {
    const refusedSince = history.refusedSince ?? now;
    // L5
    if (!buffer.hello || !mayPass(word, end) || beganAt - refusedSince > settings.timings.refusedMs) {
      return failed(history, failureCode(end), failureReason(end));
    }
    history = { ...history, refusedSince };
  }
  if (hidden) return paused(history, lossReason(end)); // L4
  return retry({ ...history, attempt: history.attempt + 1 }, end, word, beganAt, facts, settings);
}

function retry(
  history: History,
  end: SocketEnd,
  word: AnswerClass,
  beganAt: number,
  { now, date }: Facts,
  { options, timings }: StreamSettings,
): Connection {
  const { random, giveUpAfterMs = Number.POSITIVE_INFINITY } = options;
  const { retryBaseMs, retryCapMs } = timings;
  const asked = retryAfterMs(end.refusal?.retryAfter, date);
  // Only the coordinator may ask for a longer wait than the cap.
  const leastMs = asked !== null && word === 'network' ? Math.min(asked, retryCapMs) : asked;
  const attempts = history.attempt + history.barren;
  // CLS9: a connection that was too slow made progress, and the rest of the events is there
  // already.
  const isImmediate = end.code === CLOSE.tooSlow && attempts === 1;
  const wantedMs = isImmediate ? 0 : retryDelayMs(attempts, { baseMs: retryBaseMs, capMs: retryCapMs, random }, leastMs);
  const budget = { startedAt: history.downSince, attemptBeganAt: beganAt, now, budgetMs: giveUpAfterMs };
  const delayMs = delayWithinBudget(budget, wantedMs, leastMs ?? 0);
  const { code } = end;
  const reason = lossReason(end);
  if (delayMs === null) return failed(history, 'unreachable', reason);
  const shown: StateOf<'reconnecting'> = { status: 'reconnecting', attempt: history.attempt, retryInMs: delayMs, code, reason };
  return { phase: { kind: 'retrying', shown, delayMs }, history };
}

const isExpiry = ({ code, reason }: SocketEnd): boolean => code === CLOSE.credentialRefused && reason === 'ticket_expired';

/** L5: a coordinator with a wrong key or the wrong data sends these too, for a moment. */
const mayPass = (word: AnswerClass, { code, refusal }: SocketEnd): boolean =>
  word === 'unauthorized' || (word === 'refused' && (refusal ? refusal.status === 404 : code === CLOSE.notFound));

function wordOf({ code, reason, refusal }: SocketEnd): AnswerClass {
  if (!refusal) return classifyClose(code, reason);
  const { status, code: problem, retryable = false, deleted = false } = refusal;
  return classifyStatus(status, problem === undefined ? null : { retryable, deleted });
}

const lossReason = ({ reason, refusal }: SocketEnd): string =>
  refusal?.detail || reason || (refusal ? `HTTP ${refusal.status}` : '') || 'the connection was lost';

const failureReason = ({ code, reason, refusal }: SocketEnd): string =>
  refusal?.detail || (reason === LOG_REPLACED ? LOG_REPLACED_REASON : reason) || `closed with ${code}`;

const REASON_IS_CODE = /^[a-z][a-z0-9_]{0,63}$/;

const CODES: Readonly<Record<number, string>> = {
  [CLOSE.badFrame]: 'bad_request',
  [CLOSE.notFound]: 'not_found',
  [CLOSE.offsetUnavailable]: 'offset_unavailable',
};

/** A close reason that is itself a code (`offset_expired`) says more than the number. */
function failureCode({ code, reason, refusal }: SocketEnd): string {
  if (refusal) return refusal.code ?? `http_${refusal.status}`;
  if (code === CLOSE.notFound && reason === DELETED_REASON) return 'session_not_found';
  if (code === CLOSE.credentialRefused) return 'unauthorized';
  return REASON_IS_CODE.test(reason) ? reason : (CODES[code] ?? `closed_${code}`);
}
