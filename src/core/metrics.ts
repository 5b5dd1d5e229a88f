/**
 * Metrics: one data point per verdict, and one per lost connection of a running execution. Pure;
 * `session/worker-services.ts` writes them.
 *
 * Columns are positional and written points stay as they are: add a new column at the end, and
 * never move or redefine one. docs/operations.md has the table
 * (test/contract/docs-operations.test.ts compares the two).
 *
 * A point holds numbers, and words from fixed lists: no label, command, output, reason or name that
 * a caller or a job chose. The exceptions are the tenant, and failure codes that a caller gave to
 * `fail`, which are identifiers (LIM7).
 */

import type { ExecutionRecord } from './execution.ts';
import { signalName } from './signal.ts';

/** Text columns: `blob1`, `blob2`, … */
export const BLOBS = [
  'kind',
  'status',
  'code',
  'reason',
  'wsCloseCode',
  'launcher',
  'transport',
  'interruptCause',
  'exit',
  'version',
] as const;

/** Number columns: `double1`, `double2`, … Times are milliseconds. */
export const DOUBLES = [
  'runMs',
  'queueMs',
  'connectMs',
  'events',
  'bytes',
  'connections',
  'disconnects',
  'downMs',
  'connectionMs',
  'launchAttempts',
  'forced',
] as const;

/**
 * The platform's longest index. A tenant's name may be longer; names with the same first 96
 * characters are counted together.
 */
export const INDEX_CHARS_MAX = 96;

export type Observation = { [B in Exclude<(typeof BLOBS)[number], 'version'>]: string } & {
  [D in (typeof DOUBLES)[number]]: number;
};

/** The argument of `writeDataPoint` of Analytics Engine. */
export interface DataPoint {
  indexes: [tenant: string];
  blobs: string[];
  doubles: number[];
}

export function dataPointOf(observation: Observation, { tenant, version }: { tenant: string; version: string }): DataPoint {
  const fields = { ...observation, version };
  return {
    indexes: [tenant.slice(0, INDEX_CHARS_MAX)],
    blobs: BLOBS.map((name) => fields[name]),
    doubles: DOUBLES.map((name) => fields[name]),
  };
}

/** Sums over the log rows of an execution. */
export interface Tally {
  /** Number of the wrapper's events, and their length in UTF-8. */
  events: number;
  bytes: number;
  /** The coordinator's own events, one JSON text per line. */
  own: string;
}

const since = (from: number | null, to: number | null): number => (from === null || to === null ? 0 : Math.max(0, to - from));

/** For a record that has just been settled. */
export function observeVerdict(record: ExecutionRecord, { events, bytes, own }: Tally): Observation {
  const { disconnects, downMs } = connectionHistory(own);
  return {
    ...common(record),
    kind: 'verdict',
    status: record.status,
    code: record.code ?? '',
    reason: record.disconnectReason ?? '',
    exit: signalName(record.signal) ?? (record.exitCode === null ? '' : String(record.exitCode)),
    runMs: since(record.startedAt, record.endedAt),
    // An execution that never became pending waited until its end.
    queueMs: since(record.createdAt, record.pendingAt ?? record.endedAt),
    events,
    bytes,
    disconnects,
    // Still disconnected at the end: no reconnect event covers that time.
    downMs: downMs + since(record.disconnectedAt, record.endedAt),
    connectionMs: 0,
    forced: record.forced ? 1 : 0,
  };
}

/** For a running record that has just lost its connection. `events`: highest seq in the log. */
export function observeDisconnect(record: ExecutionRecord, events: number): Observation {
  return {
    ...common(record),
    kind: 'disconnect',
    status: record.status,
    code: '',
    reason: record.disconnectReason ?? '',
    exit: '',
    runMs: since(record.startedAt, record.disconnectedAt),
    queueMs: since(record.createdAt, record.pendingAt),
    events,
    bytes: 0,
    disconnects: 1,
    downMs: 0,
    connectionMs: since(record.connectedAt, record.disconnectedAt),
    forced: 0,
  };
}

const common = (record: ExecutionRecord) => ({
  wsCloseCode: record.wsCloseCode === null ? '' : String(record.wsCloseCode),
  launcher: record.launcher,
  transport: record.transport ?? '',
  interruptCause: record.interruptCause ?? '',
  connectMs: since(record.pendingAt, record.startedAt),
  connections: record.epoch,
  launchAttempts: record.launchAttempts,
});

/** The coordinator wrote these lines itself, so they need no validation. */
function connectionHistory(own: string): { disconnects: number; downMs: number } {
  let disconnects = 0;
  let downMs = 0;
  for (const line of own.split('\n')) {
    if (line === '') continue;
    const { type, data } = JSON.parse(line) as { type: string; data: { downMs?: number } };
    if (type === 'wrapper_disconnected') disconnects += 1;
    if (type === 'wrapper_reconnected') downMs += data.downMs ?? 0;
  }
  return { disconnects, downMs };
}
