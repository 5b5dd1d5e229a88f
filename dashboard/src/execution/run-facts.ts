/**
 * What is known about a run: the execution object, updated by events. Pure: `(facts, event) →
 * facts`; returns the same object when nothing changed, so that output alone does not redraw the
 * header.
 *
 * F1  Status only moves forward: queued, pending, running, ended. Whichever of the two sources is
 *     further is right, and an end is final.
 * F2  The wrapper's connection changes back and forth, so a replay must not be shown as current:
 *     until the log has caught up, the object's answer counts, and from then on the events'.
 * F3  History (events from before what was loaded first) adds to the timeline and fills holes; it
 *     never changes newer facts.
 */

import type { LoggedEvent } from '../../../client/index.ts';
import type { WaitReason } from '../../../protocol/index.ts';
import { type Execution, isTerminal, type Status, terminalStatusOf } from './model.ts';
import { type AskedQuestion, questionsOf, withAsked, withQuestion } from './questions.ts';
import { EMPTY_TIMELINE, type Timeline, timelineEntry, withEntries } from './timeline.ts';

export interface Wrapper {
  readonly state: 'none' | 'connected' | 'disconnected';
  /** The time of its change to this state, if an event reported it. */
  readonly since: number | null;
  /** Disconnected: when the run fails without a reconnect. */
  readonly graceUntil: number | null;
  readonly reason: string | null;
  /** How long the last outage lasted. */
  readonly downMs: number | null;
  readonly reconnects: number;
}

export interface Progress {
  readonly offset: number;
  readonly at: number;
  readonly current: number;
  readonly total: number | null;
  readonly message: string | null;
}

export interface Interrupt {
  readonly at: number;
  readonly reason: string | null;
  readonly force: boolean;
  readonly cause: string | null;
}

export interface Facts {
  readonly execution: Execution;
  readonly wrapper: Wrapper;
  readonly caughtUp: boolean;
  /** F2: the state from the replayed events so far. */
  readonly replayed: Wrapper | null;
  readonly progress: Progress | null;
  readonly interrupt: Interrupt | null;
  /** Open questions of its agent, oldest first. */
  readonly questions: readonly AskedQuestion[];
  /** It has printed output, as far as the log is loaded. */
  readonly printed: boolean;
  readonly timeline: Timeline;
}

const RANK: Readonly<Record<Status, number>> = { queued: 0, pending: 1, running: 2, completed: 3, failed: 3, interrupted: 3 };

/** `waiting` of the object stays when only an event reports the end of the wait. */
export const waitsForRunner = ({ status, waiting }: Execution): boolean => status === 'pending' && waiting !== undefined;

/**
 * The question to answer first. While events are replayed it is the object's, since a replay begins
 * with questions that were answered long ago.
 */
export function askedFirst({ execution, caughtUp, questions }: Facts): AskedQuestion | null {
  if (execution.status !== 'running') return null;
  return (caughtUp ? questions : questionsOf(execution))[0] ?? null;
}

export const isEnded = ({ execution }: Facts): boolean => isTerminal(execution.status);

function wrapperOf({ status, connected, graceUntil, epoch }: Execution): Wrapper {
  const state = status !== 'running' ? 'none' : connected === false ? 'disconnected' : 'connected';
  return { state, since: null, graceUntil: graceUntil ?? null, reason: null, downMs: null, reconnects: Math.max(0, epoch - 1) };
}

export function createFacts(execution: Execution): Facts {
  const { interruptRequestedAt, forced } = execution;
  return {
    execution,
    wrapper: wrapperOf(execution),
    caughtUp: false,
    replayed: null,
    progress: null,
    questions: questionsOf(execution),
    printed: false,
    interrupt:
      interruptRequestedAt === undefined
        ? null
        : { at: interruptRequestedAt, reason: execution.reason ?? null, force: forced === true, cause: null },
    timeline: EMPTY_TIMELINE,
  };
}

/** The second source: the object, read again. */
export function withObject(facts: Facts, execution: Execution): Facts {
  const known = facts.execution;
  // F1: an answer that was requested before the verdict arrived.
  if (RANK[execution.status] < RANK[known.status] || isTerminal(known.status)) {
    return isTerminal(known.status) && isTerminal(execution.status) ? { ...facts, execution: { ...known, ...execution } } : facts;
  }
  const asked = wrapperOf(execution);
  const same = asked.state === facts.wrapper.state;
  const wrapper = same
    ? { ...facts.wrapper, graceUntil: asked.graceUntil, reconnects: Math.max(asked.reconnects, facts.wrapper.reconnects) }
    : asked;
  return {
    ...facts,
    execution,
    wrapper,
    replayed: null,
    questions: isTerminal(execution.status) ? [] : withAsked(facts.questions, execution),
    interrupt: facts.interrupt ?? createFacts(execution).interrupt,
  };
}

/** A connection that replays missed events: they are not current yet. */
export const withReplay = (facts: Facts): Facts => (facts.caughtUp ? { ...facts, caughtUp: false, replayed: null } : facts);

export const withCaughtUp = (facts: Facts): Facts =>
  facts.caughtUp ? facts : { ...facts, caughtUp: true, wrapper: facts.replayed ?? facts.wrapper, replayed: null };

/** Newer events, in order. */
export function withEvents(facts: Facts, events: readonly LoggedEvent[]): Facts {
  let next = withoutSilence(withPrinted(facts, events));
  for (const event of events) {
    if (isPrint(event)) continue;
    next = withEvent(next, event);
  }
  return addEntries(next, events);
}

/** F3: events before the known ones. */
export function withHistory(facts: Facts, events: readonly LoggedEvent[]): Facts {
  let next = addEntries(withPrinted(facts, events), events);
  for (const event of events) {
    if (event.type === 'progress' && (next.progress?.offset ?? 0) < event.offset) {
      next = { ...next, progress: progressOf(event) ?? next.progress };
    }
    if (event.type === 'interrupt_requested' && next.interrupt?.cause === null) {
      next = { ...next, interrupt: interruptOf(event) };
    }
  }
  return next;
}

/** Events arrived, so the object's report of the wrapper's silence is outdated. */
function withoutSilence(facts: Facts): Facts {
  const { lastHeardAt, ...execution } = facts.execution;
  return lastHeardAt === undefined ? facts : { ...facts, execution };
}

const isPrint = ({ type }: LoggedEvent): boolean => type === 'output' || type === 'agent' || type === 'agent_part';

const withPrinted = (facts: Facts, events: readonly LoggedEvent[]): Facts =>
  facts.printed || !events.some(isPrint) ? facts : { ...facts, printed: true };

function addEntries(facts: Facts, events: readonly LoggedEvent[]): Facts {
  const entries = events.map(timelineEntry).filter((entry) => entry !== null);
  return entries.length === 0 ? facts : { ...facts, timeline: withEntries(facts.timeline, entries) };
}

function withEvent(facts: Facts, event: LoggedEvent): Facts {
  const { type, at } = event;
  const ended = terminalStatusOf(type);
  if (ended) return withVerdict(facts, event, ended);
  switch (type) {
    case 'execution_queued':
      return facts;
    case 'execution_pending':
      return forward(facts, 'pending', { pendingAt: at });
    case 'execution_waiting':
    case 'execution_assigned':
    case 'execution_recalled':
      return withPool(facts, event);
    case 'execution_running':
      return forward(facts, 'running', { startedAt: at });
    case 'wrapper_connected':
    case 'wrapper_disconnected':
    case 'wrapper_reconnected':
      return withConnection(facts, event);
    case 'execution_deadline_renewed':
      return event.data.deadline === 'grace' ? withGrace(facts, numberOf(event.data.until)) : facts;
    case 'interrupt_requested':
      return { ...facts, interrupt: interruptOf(event) };
    case 'asking':
    case 'asking_ended':
    case 'answered': {
      const questions = withQuestion(facts.questions, event);
      return questions === facts.questions ? facts : { ...facts, questions };
    }
    case 'progress': {
      const progress = progressOf(event);
      return progress ? { ...facts, progress } : facts;
    }
    default:
      return facts;
  }
}

/**
 * Where it waits, or which runner has it. Not F2: the object may have been read before the
 * assignment, and the last of these events is right also after a replay.
 */
function withPool(facts: Facts, { type, data }: LoggedEvent): Facts {
  const { execution } = facts;
  if (isTerminal(execution.status)) return facts;
  const { waiting, runner: _runner, waitUntil, ...rest } = execution;
  if (type === 'execution_assigned') {
    const id = textOf(data.runner);
    return id === null ? facts : { ...facts, execution: { ...rest, runner: { id, name: textOf(data.name) ?? id } } };
  }
  const pool = textOf(data.pool) ?? execution.pool;
  if (execution.status !== 'pending' || pool === undefined) return facts;
  const reason = type === 'execution_waiting' ? textOf(data.reason) : null;
  const place = waiting?.position === undefined ? {} : { position: waiting.position };
  return {
    ...facts,
    execution: {
      ...rest,
      ...(waitUntil === undefined ? {} : { waitUntil }),
      waiting: { pool, ...place, ...(reason === null ? {} : { reason: reason as WaitReason }) },
    },
  };
}

/** F1. */
function forward(facts: Facts, status: Status, times: Partial<Execution>): Facts {
  const { execution } = facts;
  const moved = RANK[status] > RANK[execution.status];
  const known = Object.keys(times).every((key) => execution[key as keyof Execution] !== undefined);
  if (!moved && known) return facts;
  return { ...facts, execution: { ...execution, ...times, ...(moved ? { status } : {}) } };
}

function withVerdict(facts: Facts, { type, at, offset, data }: LoggedEvent, status: Status): Facts {
  const { execution } = facts;
  const verdict: Partial<Execution> = {};
  if (typeof data.exitCode === 'number') verdict.exitCode = data.exitCode;
  if (data.forced === true) verdict.forced = true;
  for (const key of ['signal', 'code', 'error', 'reason'] as const) {
    const value = data[key];
    if (typeof value === 'string') verdict[key] = value;
  }
  const { connected: _connected, graceUntil: _graceUntil, ...rest } = execution;
  return {
    ...facts,
    // The end in the object is the same verdict, read from the row; it does not overwrite a more
    // detailed one.
    execution: { ...rest, ...verdict, status, endedAt: execution.endedAt ?? at, lastOffset: offset },
    wrapper: { ...facts.wrapper, state: 'none', graceUntil: null },
    replayed: null,
    questions: [],
    ...(type === 'execution_interrupted' && !facts.interrupt
      ? { interrupt: { at, reason: verdict.reason ?? null, force: verdict.forced === true, cause: null } }
      : {}),
  };
}

function withConnection(facts: Facts, event: LoggedEvent): Facts {
  if (isTerminal(facts.execution.status)) return facts;
  const before = facts.replayed ?? facts.wrapper;
  const { type, at, data } = event;
  const now: Wrapper =
    type === 'wrapper_disconnected'
      ? {
          ...before,
          state: 'disconnected',
          since: at,
          graceUntil: numberOf(data.graceUntil),
          reason: textOf(data.wsCloseReason) || textOf(data.reason),
        }
      : {
          ...before,
          state: 'connected',
          since: at,
          graceUntil: null,
          reason: null,
          downMs: numberOf(data.downMs),
          reconnects: Math.max(before.reconnects, (numberOf(data.epoch) ?? 1) - 1),
        };
  return facts.caughtUp ? { ...facts, wrapper: now } : { ...facts, replayed: now };
}

/** The coordinator was down when the grace ended, and has restarted it. */
function withGrace(facts: Facts, graceUntil: number | null): Facts {
  const before = facts.replayed ?? facts.wrapper;
  if (before.state !== 'disconnected' || graceUntil === null) return facts;
  const now: Wrapper = { ...before, graceUntil };
  return facts.caughtUp ? { ...facts, wrapper: now } : { ...facts, replayed: now };
}

function progressOf({ offset, at, data }: LoggedEvent): Progress | null {
  const current = numberOf(data.current);
  if (current === null) return null;
  return { offset, at, current, total: numberOf(data.total), message: textOf(data.message) };
}

const interruptOf = ({ at, data }: LoggedEvent): Interrupt => ({
  at,
  reason: textOf(data.reason),
  force: data.force === true,
  cause: textOf(data.cause),
});

const numberOf = (value: unknown): number | null => (typeof value === 'number' && Number.isFinite(value) ? value : null);
const textOf = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);
