/**
 * Goal: what a data point says, column by column. Method: records as the lifecycle leaves them,
 * made up here.
 */

import { describe, expect, test } from 'vitest';
import { POLICY_DEFAULTS } from '../../protocol/index.ts';
import { type ExecutionRecord, NEW_EXECUTION_FIELDS } from '../../src/core/execution.ts';
import {
  BLOBS,
  DOUBLES,
  dataPointOf,
  INDEX_CHARS_MAX,
  type Observation,
  observeDisconnect,
  observeVerdict,
} from '../../src/core/metrics.ts';

const record = (fields: Partial<ExecutionRecord>): ExecutionRecord => ({
  ...{ ordinal: 1, id: 'e1', status: 'running', requestDigest: 'd', command: ['MARK'], cwd: 'MARK', env: { A: 'MARK' } },
  ...{
    stdin: 'MARK',
    openStdin: false,
    format: 'text',
    merge: false,
    output: 'text',
    terminal: null,
    launcher: 'container',
    labels: { MARK: 'MARK' },
    policy: POLICY_DEFAULTS,
  },
  ...{
    callbackUrl: 'https://MARK',
    traceparent: 'MARK',
    origin: 'https://MARK',
    secretNames: ['MARK'],
    createdAt: 1000,
    firstOffset: 1,
    queueRank: 0,
  },
  ...NEW_EXECUTION_FIELDS,
  ...fields,
});
const NOTHING = { events: 0, bytes: 0, own: '' };
const own = (...events: [string, object][]): string =>
  events.map(([type, data]) => JSON.stringify({ type, at: 1, data })).join('\n');

test('the platform takes twenty texts, twenty numbers, and an index of 96 bytes', () => {
  expect(BLOBS.length).toBeLessThanOrEqual(20);
  expect(DOUBLES.length).toBeLessThanOrEqual(20);
  const point = dataPointOf(observeVerdict(record({}), NOTHING), { tenant: 't'.repeat(128), version: '1.2.3' });
  expect(point.indexes).toEqual(['t'.repeat(INDEX_CHARS_MAX)]);
  expect(INDEX_CHARS_MAX).toBe(96);
});

test('a column is where its name is, and nothing else is in a point', () => {
  const names = [...BLOBS.filter((name) => name !== 'version'), ...DOUBLES];
  const observation = Object.fromEntries(
    names.map((name, index) => [name, (DOUBLES as readonly string[]).includes(name) ? index : name]),
  ) as Observation;
  expect(dataPointOf(observation, { tenant: 'acme', version: '9.9.9' })).toEqual({
    indexes: ['acme'],
    blobs: BLOBS.map((name) => (name === 'version' ? '9.9.9' : name)),
    doubles: DOUBLES.map((name) => names.indexOf(name)),
  });
});

describe('a verdict', () => {
  test('of a run that was cut off twice: its times, its log, its connections', () => {
    const ended = record({
      ...{ status: 'failed', code: 'exit_nonzero', exitCode: 7, error: 'MARK', reason: 'MARK', wsCloseReason: 'MARK' },
      ...{ pendingAt: 3000, startedAt: 4500, endedAt: 10_000, epoch: 3, transport: 'socket', launchAttempts: 2 },
    });
    const history = own(
      ['execution_pending', {}],
      ['wrapper_connected', { epoch: 1 }],
      ['wrapper_disconnected', { reason: 'closed' }],
      ['wrapper_reconnected', { downMs: 700 }],
      ['wrapper_disconnected', { reason: 'silence' }],
      ['wrapper_reconnected', { downMs: 50 }],
      ['execution_failed', { downMs: 9999 }],
    );
    expect(observeVerdict(ended, { events: 12, bytes: 345, own: history })).toEqual({
      ...{ kind: 'verdict', status: 'failed', code: 'exit_nonzero', reason: '', wsCloseCode: '', launcher: 'container' },
      ...{ transport: 'socket', interruptCause: '', exit: '7', runMs: 5500, queueMs: 2000, connectMs: 1500, events: 12 },
      ...{ bytes: 345, connections: 3, disconnects: 2, downMs: 750, connectionMs: 0, launchAttempts: 2, forced: 0 },
    });
  });

  test('of one that was away at its end: the time since is down time', () => {
    const ended = record({
      ...{ status: 'failed', code: 'wrapper_disconnected', startedAt: 2000, pendingAt: 1000, endedAt: 65_000, epoch: 1 },
      ...{ disconnectedAt: 5000, disconnectReason: 'connection_lost', wsCloseCode: 1006 },
    });
    expect(observeVerdict(ended, { events: 1, bytes: 1, own: own(['wrapper_disconnected', {}]) })).toMatchObject({
      ...{ disconnects: 1, downMs: 60_000, reason: 'connection_lost', wsCloseCode: '1006' },
    });
  });

  test('of one that never began: it was queued to its end, and ran for no time', () => {
    const ended = record({ status: 'interrupted', endedAt: 9000, interruptCause: null });
    expect(observeVerdict(ended, NOTHING)).toMatchObject({ queueMs: 8000, connectMs: 0, runMs: 0, connections: 0, exit: '' });
  });

  test("a signal has a signal's name, whatever the wrapper sends", () => {
    const exitOf = (signal: string) => observeVerdict(record({ signal }), NOTHING).exit;
    expect([exitOf('SIGSEGV'), exitOf('SIGRTMIN'), exitOf('the secret is MARK')]).toEqual(['SIGSEGV', 'SIGRTMIN', 'unknown']);
  });

  test('a clock that went back makes no negative time', () => {
    const ended = record({ pendingAt: 900, startedAt: 800, endedAt: 700, disconnectedAt: 750 });
    const point = dataPointOf(observeVerdict(ended, NOTHING), { tenant: 'acme', version: '1' });
    expect(point.doubles.every((value) => value >= 0)).toBe(true);
  });
});

test('a disconnect: why, by which code, how long the connection had lasted', () => {
  const lost = record({
    ...{ pendingAt: 1500, startedAt: 2000, connectedAt: 6000, disconnectedAt: 8000, disconnectReason: 'closed', wsCloseCode: 1012 },
    ...{ epoch: 2, transport: 'socket', wsCloseReason: 'MARK' },
  });
  const observed = observeDisconnect(lost, 41);
  expect(observed).toMatchObject({
    ...{ kind: 'disconnect', status: 'running', code: '', reason: 'closed', wsCloseCode: '1012', connectionMs: 2000, runMs: 6000 },
    ...{ events: 41, connections: 2, disconnects: 1 },
  });
  expect(JSON.stringify(dataPointOf(observed, { tenant: 'acme', version: '1' }))).not.toContain('MARK');
});
