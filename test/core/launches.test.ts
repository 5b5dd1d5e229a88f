/**
 * Goal: an attempt to launch one execution changes nothing for the others of its session, and a
 * launch that can never be made ends its execution.
 * Method: the real Session over rows in memory, with a launcher and a clock by hand.
 */

import { describe, expect, it } from 'vitest';
import { POLICY_DEFAULTS } from '../../protocol/index.ts';
import type { LaunchOutcome } from '../../src/core/launching.ts';
import type { NormalStart } from '../../src/session/contract.ts';
import { Session } from '../../src/session/session.ts';
import { Disk } from '../../tools/simulator/disk.ts';
import { MemoryStore } from '../../tools/simulator/memory-store.ts';

const START = 1_763_650_000_000;

function newSession(launch: (id: string) => Promise<LaunchOutcome>) {
  const disk = new Disk();
  const background: Promise<void>[] = [];
  const session = new Session(
    {
      getWebSockets: () => [],
      acceptWebSocket: () => {},
      lastPingAt: () => null,
      getAlarm: async () => disk.alarm,
      setAlarm: async (at) => {
        disk.alarm = at;
      },
      pause: async () => {},
      waitUntil: (work) => void background.push(work),
      now: () => START,
      deleteAll: async () => {},
    },
    new MemoryStore(disk),
    's1',
    {
      launch: ({ id }) => launch(id),
      launchRequest: async () => {
        throw new Error('SIGNING_KEYS is not set');
      },
      leavePool: async () => {},
      release: async () => {},
      announce: async () => null,
      enqueue: async () => true,
      measure: null,
    },
  );
  const start = (id: string, fields: Partial<NormalStart> = {}) =>
    session.startExecution(
      {
        id,
        command: ['job'],
        cwd: null,
        env: {},
        stdin: null,
        openStdin: false,
        format: 'text',
        launcher: 'container',
        labels: {},
        policy: { ...POLICY_DEFAULTS, maxLogBytes: 1_048_576 },
        onBusy: 'reject',
        maxActive: 2,
        callbackUrl: null,
        traceparent: null,
        secretNames: null,
        origin: 'https://h.example',
        digest: id,
        pool: null,
        requires: null,
        priority: null,
        concurrency: null,
        waitMs: null,
        ...fields,
      } as NormalStart,
      null,
      START,
    );
  const alarm = (now: number) => session.onAlarm(now, () => now);
  const statusOf = (id: string) => disk.executions.get(id);
  return { session, start, alarm, statusOf, background };
}

describe('a launch', () => {
  it('[LIF20] that takes long does not delay the deadlines of the other active executions', async () => {
    const answers = new Map<string, (outcome: LaunchOutcome) => void>();
    const { start, alarm, statusOf, background } = newSession((id) => new Promise((resolve) => void answers.set(id, resolve)));
    start('e1', { launcher: 'none', policy: { ...POLICY_DEFAULTS, maxLogBytes: 1_048_576, pendingTimeoutMs: 5_000 } });
    start('e2');
    // The platform runs no second alarm while this one has not ended.
    await alarm(START);
    await alarm(START + 5_000);
    expect(statusOf('e1')).toMatchObject({ status: 'failed', code: 'wrapper_never_connected' });
    answers.get('e2')?.({ kind: 'launched' });
    await Promise.all(background);
    expect(statusOf('e2')).toMatchObject({ status: 'pending', launchAt: null });
  });

  it('[POOL10] that a wrong setting makes impossible fails the execution, and is not asked for again', async () => {
    const { start, alarm, session, statusOf } = newSession(async () => ({
      kind: 'offered',
      answer: { kind: 'waiting', reason: 'no_runner' },
    }));
    start('e1', { launcher: 'pool', pool: 'p', waitMs: 60_000 });
    await alarm(START);
    const claim = { lease: 1, runner: { id: 'r1', name: 'one' } };
    expect(await session.claimLaunch('e1', claim, START)).toEqual({ kind: 'gone' });
    expect(statusOf('e1')).toMatchObject({ status: 'failed', code: 'launch_failed', error: 'SIGNING_KEYS is not set' });
    expect(session.recallLease('e1', { lease: 1, cause: { kind: 'not_started' } }, START)).toEqual({ kind: 'over' });
  });
});
