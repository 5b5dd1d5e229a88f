/**
 * The state machine of an execution, as pure functions: `(record, event, now) → transition`. The
 * shell writes the patch, appends the events and stores the commands in one transaction, then
 * sends to the sockets.
 *
 *              start, session free             hello accepted
 *        ┌─────────────────────────▶ pending ──────────────────▶ running
 *   start│      promotion    ┌──────▶   │                           │
 *        └────▶ queued ──────┘          │ pending_until,            │ exit, interrupted,
 *                 │                     │ launch error, fail,       │ fatal error, grace, runtime,
 *                 │ interrupt, fail     │ interrupt                 │ interrupt grace, fail
 *                 ▼                     ▼                           ▼
 *                 completed │ failed │ interrupted    (terminal: written once, never left)
 *
 * - Every function is total over non-terminal records. The shell does not call them for a terminal
 *   one; its compare-and-set would refuse the patch.
 * - A transition changes only its own record (G4). Promotion is a transition of the next execution.
 * - Settling clears every deadline, `env` and `stdin`. The verdict event is the last one of the
 *   transition (G3).
 */

import {
  type Command,
  FEATURE_ASKING,
  FEATURE_BYTES,
  FEATURE_MERGE,
  FEATURE_SECRET_NAMES,
  FEATURE_TTY,
  type HoldfastEvent,
  mayAsk,
  type Policy,
  type TerminalStatus,
  WAIT_MS_DEFAULT,
  waitReasonText,
} from '../../protocol/index.ts';
import { exactDuration } from './exact-duration.ts';
import type { ExecutionPatch, ExecutionRecord, IngestTransport, InterruptCause } from './execution.ts';
import { lateUntilFor } from './late.ts';

export interface CoordinatorEvent {
  type: string;
  data: Record<string, unknown>;
}

/** A command before its row has given it an id. */
export type NewCommand = {
  [C in Command['command']]: Pick<Extract<Command, { command: C }>, 'command' | 'data'>;
}[Command['command']];

export interface Transition {
  patch: ExecutionPatch;
  events: CoordinatorEvent[];
  commands: NewCommand[];
}

/** The end of an execution: the content of the verdict event and of the row. */
export interface Verdict {
  status: TerminalStatus;
  code?: string | undefined;
  error?: string | undefined;
  exitCode?: number | null | undefined;
  signal?: string | null | undefined;
  reason?: string | null | undefined;
  forced?: boolean | undefined;
  wsCloseCode?: number | null | undefined;
  wsCloseReason?: string | null | undefined;
}

const defined = (fields: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined && value !== null));

// ── start ───────────────────────────────────────────────────────────────────────────────────────

/** A free session takes the execution at once, and its launcher is due immediately. */
export function becomePending(
  record: Pick<ExecutionRecord, 'policy' | 'launcher' | 'waitMs' | 'continues'>,
  now: number,
): Transition {
  // In a pool the wrapper's time begins with the assignment (assignment.ts).
  const waits = record.launcher === 'pool';
  return {
    patch: {
      status: 'pending',
      pendingAt: now,
      pendingUntil: waits ? null : now + record.policy.pendingTimeoutMs,
      waitUntil: waits ? now + (record.waitMs ?? WAIT_MS_DEFAULT) : null,
      launchAt: record.launcher === 'none' ? null : now,
    },
    events: [{ type: 'execution_pending', data: defined({ launcher: record.launcher, continues: record.continues }) }],
    commands: [],
  };
}

export function becomeQueued({ continues }: Pick<ExecutionRecord, 'continues'>, position: number): Transition {
  const data = defined({ position, continues });
  return { patch: { status: 'queued' }, events: [{ type: 'execution_queued', data }], commands: [] };
}

/** It is pending, and no runner of its pool has it. */
export const isUnassigned = ({ status, pool, assignedAt }: ExecutionRecord): boolean =>
  status === 'pending' && pool !== null && assignedAt === null;

// ── connection ──────────────────────────────────────────────────────────────────────────────────

export interface HelloFacts {
  wrapperId: string;
  bootId: string;
  nextSeq: number;
  lost: number;
  features?: readonly string[];
}

export type HelloAnswer =
  | { kind: 'accept'; epoch: number; transition: Transition }
  /** Another wrapper owns the execution (ING2). */
  | { kind: 'claimed' }
  /** Queued behind another execution, or without a runner; the wrapper may try again. */
  | { kind: 'not_yet' };

/**
 * A wrapper that posts sends a hello with every body. While a connection of the same boot is up,
 * posted or by socket, the post continues it: no new epoch, no event. A delayed post therefore
 * cannot supersede the socket that the wrapper opened since; its events are deduped by seq.
 */
export const continuesByPost = (record: ExecutionRecord, hello: HelloFacts): boolean =>
  record.connected && record.wrapperId === hello.wrapperId && record.bootId === hello.bootId;

/**
 * ING2, ING3: the first hello binds the wrapper. Each accepted hello raises the epoch and ends the
 * grace.
 */
export function acceptHello(
  record: ExecutionRecord,
  hello: HelloFacts,
  ackedSeq: number,
  transport: IngestTransport,
  now: number,
): HelloAnswer {
  if (record.wrapperId !== null && record.wrapperId !== hello.wrapperId) return { kind: 'claimed' };
  // POOL14: a wrapper of a lease that was given up would run beside the limits of the pool.
  if (record.status === 'queued' || isUnassigned(record)) return { kind: 'not_yet' };
  const epoch = record.epoch + 1;
  const first = record.status === 'pending';
  const patch: ExecutionPatch = {
    wrapperId: hello.wrapperId,
    bootId: hello.bootId,
    transport,
    heardAt: now,
    features: [...(hello.features ?? [])],
    epoch,
    connected: true,
    connectedAt: now,
    disconnectedAt: null,
    disconnectReason: null,
    wsCloseCode: null,
    wsCloseReason: null,
    graceUntil: null,
    ...(first
      ? {
          status: 'running',
          startedAt: now,
          pendingUntil: null,
          waitUntil: null,
          waitReason: null,
          runtimeUntil: now + record.policy.maxRuntimeMs,
          launchAt: null,
          // The wrapper has both, so the row no longer keeps them.
          env: null,
          stdin: null,
        }
      : {}),
  };
  const events: CoordinatorEvent[] = first
    ? [
        { type: 'wrapper_connected', data: { epoch, wrapperId: hello.wrapperId } },
        { type: 'execution_running', data: {} },
      ]
    : [
        {
          type: 'wrapper_reconnected',
          data: {
            epoch,
            ackedSeq,
            downMs: record.disconnectedAt === null ? 0 : Math.max(0, now - record.disconnectedAt),
            bufferedEvents: Math.max(0, hello.nextSeq - 1 - ackedSeq),
            eventsLost: hello.lost,
          },
        },
      ];
  return { kind: 'accept', epoch, transition: { patch, events, commands: [] } };
}

export interface Disconnect {
  /** `closed` by the peer, `connection_lost` without a close frame, `silence`, or `bad_frame`. */
  reason: string;
  wsCloseCode: number;
  wsCloseReason: string;
}

/** A running execution lost the connection of its current epoch. Its grace begins. */
export function loseConnection(
  record: ExecutionRecord,
  { reason, wsCloseCode, wsCloseReason }: Disconnect,
  now: number,
): Transition {
  const graceUntil = now + record.policy.disconnectGraceMs;
  return {
    patch: { connected: false, disconnectedAt: now, disconnectReason: reason, wsCloseCode, wsCloseReason, graceUntil },
    events: [{ type: 'wrapper_disconnected', data: { reason, wsCloseCode, wsCloseReason, graceUntil } }],
    commands: [],
  };
}

// ── interrupt ───────────────────────────────────────────────────────────────────────────────────

/** When the wrapper escalates to SIGKILL. It must be done before the coordinator's own timeout. */
export const forceAfterMs = (policy: Policy): number => Math.floor((policy.interruptGraceMs * 2) / 3);

export interface InterruptRequest {
  reason: string;
  force: boolean;
  cause: InterruptCause;
}

/**
 * Asks a job to stop. An execution that is not running ends at once. A running one gets a command
 * and a deadline; its verdict comes with the wrapper's exit fact or with the deadline. Null when
 * the same interrupt was requested before.
 */
export function requestInterrupt(
  record: ExecutionRecord,
  { reason, force, cause }: InterruptRequest,
  now: number,
): Transition | null {
  if (record.status !== 'running') return settle(record, { status: 'interrupted', reason }, now);
  const asked = record.interruptRequestedAt !== null;
  if (asked && (!force || record.interruptForced)) return null;
  const command: NewCommand = {
    command: 'interrupt',
    data: { signal: force ? 'SIGKILL' : 'SIGINT', forceAfterMs: force ? 0 : forceAfterMs(record.policy), reason },
  };
  return {
    patch: {
      interruptForced: force,
      ...(asked
        ? {}
        : {
            interruptRequestedAt: now,
            interruptCause: cause,
            interruptReason: reason,
            interruptUntil: now + record.policy.interruptGraceMs,
          }),
    },
    events: [{ type: 'interrupt_requested', data: { reason, force, cause } }],
    commands: [command],
  };
}

// ── end ─────────────────────────────────────────────────────────────────────────────────────────

/** The only way to a terminal status. */
export function settle(_record: ExecutionRecord, verdict: Verdict, now: number): Transition {
  const { status, code, error, exitCode, signal, reason, forced, wsCloseCode, wsCloseReason } = verdict;
  return {
    patch: {
      status,
      endedAt: now,
      connected: false,
      env: null,
      stdin: null,
      asking: null,
      pendingUntil: null,
      waitUntil: null,
      waitReason: null,
      graceUntil: null,
      runtimeUntil: null,
      interruptUntil: null,
      launchAt: null,
      exitCode: exitCode ?? null,
      signal: signal ?? null,
      code: code ?? null,
      error: error ?? null,
      reason: reason ?? null,
      forced: forced ?? false,
    },
    events: [
      {
        type: `execution_${status}`,
        data: {
          ...defined({ code, error }),
          ...(status === 'failed' ? { fatal: true } : {}),
          ...defined({ exitCode, signal, reason, wsCloseCode, wsCloseReason }),
          ...(forced ? { forced: true } : {}),
        },
      },
    ],
    commands: [],
  };
}

/** Every failure, reported by a wrapper, a launcher, a deadline or a caller. */
export function settleFailed(
  record: ExecutionRecord,
  code: string,
  error: string,
  now: number,
  facts: Omit<Verdict, 'status'> = {},
): Transition {
  return settle(record, { ...facts, status: 'failed', code, error }, now);
}

/** ING21: fails an execution whose first wrapper lacks a needed feature; null if it has it. */
export function refuseOldWrapper(record: ExecutionRecord, features: readonly string[], now: number): Transition | null {
  if (record.status !== 'pending') return null;
  const missing = neededFeatures(record).find(({ feature }) => !features.includes(feature));
  if (!missing) return null;
  const error = `the wrapper is of a version that does not know ${missing.option}, and would have ${missing.effect}. Upgrade the runner, the image or the wrapper. The command was not run`;
  return settleFailed(record, 'wrapper_too_old', error, now);
}

/**
 * What the start asked for that not every wrapper can do, and what a wrapper without it would do.
 */
export const neededFeatures = ({ secretNames, merge, output, terminal, format }: ExecutionRecord) => [
  ...((secretNames ?? []).length > 0
    ? [{ feature: FEATURE_SECRET_NAMES, option: 'secretNames', effect: 'shown what is to be redacted' }]
    : []),
  ...(merge ? [{ feature: FEATURE_MERGE, option: 'merge', effect: 'lost the order of stdout and stderr' }] : []),
  ...(output === 'bytes' ? [{ feature: FEATURE_BYTES, option: 'output: bytes', effect: 'replaced output that is not UTF-8' }] : []),
  ...(terminal ? [{ feature: FEATURE_TTY, option: 'terminal', effect: 'run the command without a terminal' }] : []),
  ...(mayAsk(format)
    ? [{ feature: FEATURE_ASKING, option: `format: ${format}`, effect: 'left its questions without an answer' }]
    : []),
];

/** The verdict for a wrapper's terminal fact (G9: `completed` needs an exit with code 0). */
export function settleByFact(record: ExecutionRecord, fact: HoldfastEvent, now: number): Transition {
  const exitCode = typeof fact.data.exitCode === 'number' ? fact.data.exitCode : null;
  const signal = typeof fact.data.signal === 'string' ? fact.data.signal : null;
  if (fact.type === 'error') {
    const error = typeof fact.data.error === 'string' ? fact.data.error : 'the wrapper reported an error';
    const reason = typeof fact.data.code === 'string' ? fact.data.code : null;
    return settleFailed(record, 'wrapper_error', error, now, { reason });
  }
  if (fact.type === 'exit' && fact.data.outOfMemory === true) {
    const error = 'memory ran out, and the kernel killed the command'; // LIF40
    return settleFailed(record, 'out_of_memory', error, now, { exitCode, signal });
  }
  const endedByItself = fact.type === 'exit' && fact.data.toldToStop === false;
  if (endedByItself) return settleByExit(record, exitCode, signal, now);
  if (record.interruptCause === 'runtime') return failRuntime(record, now, { exitCode, signal });
  const left = typeof fact.data.left === 'string' ? fact.data.left : null;
  const withLeft = (reason: string | null) => [reason, left].filter(Boolean).join('; '); // LIF39
  if (fact.type === 'interrupted') {
    const reason = typeof fact.data.reason === 'string' ? fact.data.reason : '';
    return settle(record, { status: 'interrupted', reason: withLeft(record.interruptReason || reason) }, now);
  }
  if (record.interruptRequestedAt !== null) {
    return settle(record, { status: 'interrupted', reason: withLeft(record.interruptReason), exitCode, signal }, now);
  }
  return settleByExit(record, exitCode, signal, now);
}

function settleByExit(record: ExecutionRecord, exitCode: number | null, signal: string | null, now: number): Transition {
  if (exitCode === 0 && signal === null) return settle(record, { status: 'completed', exitCode }, now);
  const how = signal === null ? `exited with code ${exitCode}` : `was ended by ${signal}`;
  return settleFailed(record, 'exit_nonzero', `the command ${how}`, now, { exitCode, signal });
}

/** `waitUntil` is over. */
function settleUnassigned(record: ExecutionRecord, now: number): Transition {
  const why = record.waitReason === null ? 'the pool did not answer' : waitReasonText(record.waitReason);
  const error = `no runner of pool ${record.pool} took it within ${record.waitMs} ms: ${why}`;
  return settleFailed(record, 'no_runner', error, now);
}

const limitReached = ({ policy }: ExecutionRecord): string => `ran longer than its limit of ${exactDuration(policy.maxRuntimeMs)}`;

const failRuntime = (record: ExecutionRecord, now: number, facts: Omit<Verdict, 'status'> = {}): Transition =>
  settleFailed(record, 'runtime_exceeded', limitReached(record), now, facts);

// ── deadlines ───────────────────────────────────────────────────────────────────────────────────

export type DeadlineKind = 'waiting' | 'pending' | 'grace' | 'interrupt' | 'runtime';

export interface Deadline {
  kind: DeadlineKind;
  at: number;
}

/**
 * A deadline found overdue by more than this passed unwatched: the object was down, or its alarm
 * was late. Alarms normally fire within milliseconds. Five seconds are far above that and below
 * every outage that an execution must survive.
 */
export const DOWNTIME_MS = 5_000;

/**
 * LIF36. The longest wait for the answer to an interrupt, as a multiple of `interruptGraceMs`. The
 * wrapper kills the job within the first; the others are for its undelivered output. Ten are five
 * minutes by default: enough for a backlog on a slow line, and a hanging wrapper blocks its session
 * no longer than that.
 */
export const INTERRUPT_GRACES_MAX = 10;

/**
 * LIF36. The answer to an interrupt is the wrapper's last event, so it follows everything that is
 * still undelivered. A wrapper that is connected and delivers, or may reconnect within its grace,
 * gets longer than `interruptUntil`. The extension is computed and not stored: no frame costs a
 * row, and `interruptUntil` alone shows whether the deadline was renewed (LIF33).
 */
function interruptDeadline(record: ExecutionRecord, takenAt: number | null): number | null {
  const { interruptUntil, connected, connectedAt, graceUntil, policy } = record;
  if (interruptUntil === null) return null;
  const extended = connected ? Math.max(connectedAt ?? 0, takenAt ?? 0) + policy.interruptGraceMs : (graceUntil ?? 0);
  const latest = interruptUntil + (INTERRUPT_GRACES_MAX - 1) * policy.interruptGraceMs;
  return Math.max(interruptUntil, Math.min(extended, latest));
}

/**
 * The deadlines of a record, earliest first; of two at the same time, the one listed first wins.
 * `takenAt`: when the newest events frame of the running execution was accepted; null before the
 * first.
 */
export function deadlinesOf(record: ExecutionRecord, takenAt: number | null): Deadline[] {
  const all: { kind: DeadlineKind; at: number | null }[] = [
    { kind: 'interrupt', at: interruptDeadline(record, takenAt) },
    { kind: 'waiting', at: record.waitUntil },
    { kind: 'pending', at: record.pendingUntil },
    { kind: 'grace', at: record.graceUntil },
    { kind: 'runtime', at: record.runtimeUntil },
  ];
  return all.filter((deadline): deadline is Deadline => deadline.at !== null).sort((a, b) => a.at - b.at);
}

/**
 * LIF33. When a deadline began and how long it lasts. Only for deadlines that bound a wait for a
 * peer; the runtime limit bounds the job, which kept running. A renewed deadline lies after
 * `since + lengthMs`, so the row itself shows the renewal and no further column can disagree.
 */
function termOf(record: ExecutionRecord, kind: DeadlineKind): { since: number; lengthMs: number } | null {
  const { policy } = record;
  const term = (since: number | null, lengthMs: number) => (since === null ? null : { since, lengthMs });
  switch (kind) {
    case 'pending':
      return term(record.assignedAt ?? record.pendingAt, policy.pendingTimeoutMs);
    case 'grace':
      return term(record.disconnectedAt, policy.disconnectGraceMs);
    case 'interrupt':
      return term(record.interruptRequestedAt, policy.interruptGraceMs);
    case 'runtime':
    case 'waiting':
      return null;
    default:
      return kind satisfies never;
  }
}

const UNTIL = { pending: 'pendingUntil', grace: 'graceUntil', interrupt: 'interruptUntil' } as const;

/**
 * LIF33: downtime of the coordinator is not absence of the wrapper, so a deadline that passed
 * unwatched gets its full length once more.
 */
function renew(record: ExecutionRecord, { kind, at }: Deadline, now: number): Transition | null {
  const term = termOf(record, kind);
  if (kind === 'runtime' || kind === 'waiting' || !term || now - at <= DOWNTIME_MS) return null;
  if ((record[UNTIL[kind]] ?? at) > term.since + term.lengthMs) return null;
  const until = now + term.lengthMs;
  return {
    patch: { [UNTIL[kind]]: until },
    events: [{ type: 'execution_deadline_renewed', data: { deadline: kind, until, lateMs: now - at } }],
    commands: [],
  };
}

/** LIF38: the wrapper did not answer before this verdict, so it may still deliver. */
const admittingLate = (record: ExecutionRecord, { patch, ...verdict }: Transition, now: number): Transition => ({
  ...verdict,
  patch: { ...patch, lateUntil: lateUntilFor(record, now) },
});

/** The transition of the earliest overdue deadline, or null when no deadline is due. */
export function expire(record: ExecutionRecord, now: number, takenAt: number | null = null): Transition | null {
  const due = deadlinesOf(record, takenAt)[0];
  if (!due || due.at > now) return null;
  const renewed = renew(record, due, now);
  if (renewed) return renewed;
  switch (due.kind) {
    case 'waiting':
      return settleUnassigned(record, now);
    case 'pending':
      return settleFailed(
        record,
        'wrapper_never_connected',
        `no wrapper connected within ${record.policy.pendingTimeoutMs} ms`,
        now,
      );
    case 'grace': {
      const { disconnectReason: reason, wsCloseCode, wsCloseReason, policy } = record;
      const error = `the wrapper was away longer than ${policy.disconnectGraceMs} ms`;
      return admittingLate(
        record,
        settleFailed(record, 'wrapper_disconnected', error, now, { reason, wsCloseCode, wsCloseReason }),
        now,
      );
    }
    case 'interrupt': {
      const forced = { status: 'interrupted', reason: record.interruptReason, forced: true } as const;
      const verdict =
        record.interruptCause === 'runtime' ? failRuntime(record, now, { forced: true }) : settle(record, forced, now);
      return admittingLate(record, verdict, now);
    }
    case 'runtime': {
      // Interrupt first. If an interrupt was requested before, its own deadline ends the run.
      const asked = requestInterrupt(record, { reason: limitReached(record), force: false, cause: 'runtime' }, now);
      return { patch: { ...asked?.patch, runtimeUntil: null }, events: asked?.events ?? [], commands: asked?.commands ?? [] };
    }
    default:
      return due.kind satisfies never;
  }
}
