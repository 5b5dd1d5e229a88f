/** An execution as it is stored, and its public view. */

import type {
  CallbackEvent,
  ConcurrencyLimit,
  Execution,
  LateResult,
  OpenQuestion,
  OutputFormat,
  OutputMode,
  Policy,
  RecordedLauncher,
  Status,
  TerminalSize,
  Waiting,
  WaitReason,
} from '../../protocol/index.ts';

/**
 * Who asked for the interrupt. It decides the verdict: an execution stopped at its time limit has
 * failed; the others were interrupted.
 */
export type InterruptCause = 'request' | 'replace' | 'runtime';

/** How the wrapper's frames arrive: over one open socket, or as a series of HTTP bodies. */
export type IngestTransport = 'socket' | 'http';

/** One row. Null means "not (yet)". Times are Unix milliseconds; `…Until` columns are deadlines. */
export interface ExecutionRecord {
  ordinal: number;
  id: string;
  status: Status;
  requestDigest: string;
  command: string[];
  cwd: string | null;
  env: Record<string, string> | null;
  stdin: string | null;
  openStdin: boolean;
  format: OutputFormat;
  /** Stdout and stderr share one pipe. */
  merge: boolean;
  output: OutputMode;
  /** The current size; null: the job has no terminal. */
  terminal: TerminalSize | null;
  /** Offset of the newest `screen` event. Null: none. */
  screenOffset: number | null;
  launcher: RecordedLauncher;
  /** It began, or begins, while fewer than this number are active. */
  maxActive: number;
  /** The execution of the same session that it continues. */
  continues: string | null;
  labels: Record<string, string>;
  policy: Policy;
  callbackUrl: string | null;
  /** Null: of the verdict alone. */
  callbackEvents: CallbackEvent[] | null;
  traceparent: string | null;
  /** Null: the start named no secrets. */
  secretNames: string[] | null;
  origin: string;
  createdAt: number;
  pendingAt: number | null;
  startedAt: number | null;
  endedAt: number | null;
  firstOffset: number;
  lastOffset: number | null;
  /** Bytes of the wrapper's events in the log. Set with the verdict; before it, ask the log. */
  logBytes: number | null;
  queueRank: number;
  launchAt: number | null;
  launchAttempts: number;
  launchedAt: number | null;
  /** The launcher `pool`: what was asked for. Null for every other launcher. */
  pool: string | null;
  requires: Record<string, string> | null;
  priority: number | null;
  concurrency: ConcurrencyLimit | null;
  waitMs: number | null;
  /** Set while it waits for a runner (assignment.ts). */
  waitUntil: number | null;
  waitReason: WaitReason | null;
  /** The newest lease that is known, also after it came to nothing: no older one is bound again. */
  lease: number | null;
  /** Its last assignment, until that comes to nothing. */
  runnerId: string | null;
  runnerName: string | null;
  assignedAt: number | null;
  assignmentsFailed: number;
  wrapperId: string | null;
  bootId: string | null;
  transport: IngestTransport | null;
  heardAt: number | null;
  epoch: number;
  connected: boolean;
  connectedAt: number | null;
  disconnectedAt: number | null;
  disconnectReason: string | null;
  wsCloseCode: number | null;
  wsCloseReason: string | null;
  pendingUntil: number | null;
  graceUntil: number | null;
  runtimeUntil: number | null;
  interruptUntil: number | null;
  interruptRequestedAt: number | null;
  interruptCause: InterruptCause | null;
  interruptReason: string | null;
  interruptForced: boolean;
  exitCode: number | null;
  signal: string | null;
  /** What the connected wrapper said it can do (ING21). Null before its first hello. */
  features: string[] | null;
  /** An accepted input ended the job's stdin. */
  stdinEnded: boolean;
  /** The open questions of its agent, oldest first. Null: none. */
  asking: OpenQuestion[] | null;
  code: string | null;
  error: string | null;
  reason: string | null;
  forced: boolean;
  /** Set with the verdict (late.ts). Not a deadline: nothing happens at that time. */
  lateUntil: number | null;
  lateEvents: number | null;
  lateAt: number | null;
  lateExitCode: number | null;
  lateSignal: string | null;
}

export type ExecutionPatch = Partial<Omit<ExecutionRecord, 'ordinal' | 'id'>>;

/** The only columns that change after the verdict. */
export type LatePatch = Partial<
  Pick<ExecutionRecord, 'epoch' | 'bootId' | 'logBytes' | 'lateUntil' | 'lateEvents' | 'lateAt' | 'lateExitCode' | 'lateSignal'>
>;

/** Initial values of the columns that events change later, and of those that only a pool uses. */
export const NEW_EXECUTION_FIELDS = {
  callbackEvents: null,
  maxActive: 1,
  continues: null,
  pendingAt: null,
  startedAt: null,
  endedAt: null,
  lastOffset: null,
  logBytes: null,
  launchAt: null,
  launchAttempts: 0,
  launchedAt: null,
  pool: null,
  requires: null,
  priority: null,
  concurrency: null,
  waitMs: null,
  waitUntil: null,
  waitReason: null,
  lease: null,
  runnerId: null,
  runnerName: null,
  assignedAt: null,
  assignmentsFailed: 0,
  wrapperId: null,
  bootId: null,
  transport: null,
  heardAt: null,
  epoch: 0,
  connected: false,
  connectedAt: null,
  disconnectedAt: null,
  disconnectReason: null,
  wsCloseCode: null,
  wsCloseReason: null,
  pendingUntil: null,
  graceUntil: null,
  runtimeUntil: null,
  interruptUntil: null,
  interruptRequestedAt: null,
  interruptCause: null,
  interruptReason: null,
  interruptForced: false,
  exitCode: null,
  signal: null,
  features: null,
  stdinEnded: false,
  asking: null,
  screenOffset: null,
  code: null,
  error: null,
  reason: null,
  forced: false,
  lateUntil: null,
  lateEvents: null,
  lateAt: null,
  lateExitCode: null,
  lateSignal: null,
} as const satisfies ExecutionPatch;

/** A copy without the keys whose value is null, undefined or false: absent means the same. */
function present<T extends object>(fields: T): Partial<{ [K in keyof T]: NonNullable<T[K]> }> {
  return Object.fromEntries(
    Object.entries(fields).filter(([, value]) => value !== null && value !== undefined && value !== false),
  ) as never;
}

function lateOf({ lateEvents, lateAt, lateExitCode, lateSignal }: ExecutionRecord): LateResult | null {
  if (lateEvents === null || lateAt === null) return null;
  return { events: lateEvents, exitCode: lateExitCode, signal: lateSignal, at: lateAt };
}

/** While a pending execution has no runner. */
function waitingOf({ status, pool, waitUntil, waitReason }: ExecutionRecord): Waiting | null {
  if (status !== 'pending' || pool === null || waitUntil === null) return null;
  return { pool, ...(waitReason === null ? {} : { reason: waitReason }) };
}

/** The public view: no `env`, no `stdin`, no bookkeeping. */
export function executionView(session: string, record: ExecutionRecord): Execution {
  const active = record.status === 'running';
  return {
    id: record.id,
    session,
    status: record.status,
    command: record.command,
    format: record.format,
    launcher: record.launcher,
    labels: record.labels,
    policy: record.policy,
    createdAt: record.createdAt,
    epoch: record.epoch,
    firstOffset: record.firstOffset,
    ...(active ? { connected: record.connected } : {}),
    ...present({
      cwd: record.cwd,
      pendingAt: record.pendingAt,
      startedAt: record.startedAt,
      endedAt: record.endedAt,
      graceUntil: record.graceUntil,
      interruptRequestedAt: record.interruptRequestedAt,
      lastOffset: record.lastOffset,
      logBytes: record.logBytes,
      exitCode: record.exitCode,
      signal: record.signal,
      code: record.code,
      error: record.error,
      reason: record.reason,
      forced: record.forced,
      openStdin: record.openStdin,
      stdinEnded: record.stdinEnded,
      merge: record.merge,
      output: record.output === 'bytes' ? record.output : null,
      terminal: record.terminal,
      maxActive: record.maxActive === 1 ? null : record.maxActive,
      continues: record.continues,
      traceparent: record.traceparent,
      secretNames: record.secretNames,
      late: lateOf(record),
      pool: record.pool,
      requires: record.requires,
      priority: record.priority,
      concurrency: record.concurrency,
      waitMs: record.waitMs,
      waiting: waitingOf(record),
      waitUntil: record.waitUntil,
      asking: record.asking?.[0],
      askingCount: record.asking && record.asking.length > 1 ? record.asking.length : null,
      runner: record.runnerId === null ? null : { id: record.runnerId, name: record.runnerName ?? record.runnerId },
    }),
  };
}
