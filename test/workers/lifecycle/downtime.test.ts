/**
 * The coordinator's own downtime is not the absence of a wrapper (LIF33).
 * Goal: a deadline that passed during a downtime starts again, once, and every other deadline is as
 * strict as before.
 * Method: the clock of the object jumps past a deadline before its alarm is run, or before a
 * wrapper says hello.
 */

import { runDurableObjectAlarm } from 'cloudflare:test';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { CLOSE } from '../../../protocol/index.ts';
import { DOWNTIME_MS } from '../../../src/core/lifecycle.ts';
import {
  api,
  exit,
  get,
  newSession,
  output,
  putToSleep,
  type Run,
  readLog,
  start,
  stubOf,
  typesOf,
  WrapperPeer,
} from '../support/peers.ts';

afterEach(() => void vi.useRealTimers());

const at = (now: number): void => void vi.useFakeTimers({ now, toFake: ['Date'] });
const alarm = (run: Run): Promise<boolean> => runDurableObjectAlarm(stubOf(run.session));

const SHORT = { pendingTimeoutMs: 4_000, disconnectGraceMs: 6_000, interruptGraceMs: 3_000 } as const;

/** A running execution whose wrapper has gone, and when its grace ends. */
async function disconnected(): Promise<{ run: Run; graceUntil: number }> {
  const run = await start(newSession(), { policy: SHORT });
  const peer = await WrapperPeer.welcomed(run);
  peer.close();
  await vi.waitFor(async () => expect((await get(run)).connected).toBe(false));
  return { run, graceUntil: (await get(run)).graceUntil ?? 0 };
}

const renewals = async (run: Run): Promise<Record<string, unknown>[]> =>
  (await readLog(run.session)).filter(({ type }) => type === 'execution_deadline_renewed').map(({ data }) => data);

describe('grace', () => {
  test('[LIF33] a wrapper that comes back after a long downtime continues, and its job with it', async () => {
    const { run, graceUntil } = await disconnected();
    await putToSleep(stubOf(run.session), { webSockets: 'close' });
    at(graceUntil + DOWNTIME_MS + 1);
    const back = await WrapperPeer.welcomed(run);
    expect(await get(run)).toMatchObject({ status: 'running', connected: true });
    await back.deliver(1, [exit(0)]);
    expect(await get(run)).toMatchObject({ status: 'completed' });
    expect(typesOf(await readLog(run.session))).toEqual([
      'execution_pending',
      'wrapper_connected',
      'execution_running',
      'wrapper_disconnected',
      'execution_deadline_renewed',
      'wrapper_reconnected',
      'exit',
      'execution_completed',
    ]);
  });

  test('[LIF33] the alarm renews it by its full length, writes an event, and the view has the new end', async () => {
    const { run, graceUntil } = await disconnected();
    const woke = graceUntil + 3_600_000;
    at(woke);
    await alarm(run);
    const until = woke + SHORT.disconnectGraceMs;
    expect(await get(run)).toMatchObject({ status: 'running', connected: false, graceUntil: until });
    expect(await renewals(run)).toEqual([{ deadline: 'grace', until, lateMs: 3_600_000 }]);
    at(until - 1);
    await alarm(run);
    expect((await get(run)).status).toBe('running');
    at(until);
    await alarm(run);
    expect(await get(run)).toMatchObject({ status: 'failed', code: 'wrapper_disconnected' });
  });

  test('[LIF33] up to 5 s late it is over, for the alarm and for a hello; past that it is renewed', async () => {
    for (const byHello of [true, false]) {
      for (const lateMs of [DOWNTIME_MS, DOWNTIME_MS + 1]) {
        const { run, graceUntil } = await disconnected();
        at(graceUntil + lateMs);
        if (byHello) {
          const peer = await WrapperPeer.hello(run);
          if (lateMs > DOWNTIME_MS) expect(await peer.next()).toMatchObject({ type: 'welcome' });
          else expect(await peer.closed).toMatchObject({ code: CLOSE.settled });
        } else await alarm(run);
        expect((await get(run)).status).toBe(lateMs > DOWNTIME_MS ? 'running' : 'failed');
        vi.useRealTimers();
      }
    }
  });

  test('[LIF33] once: a second downtime ends it, also after an eviction', async () => {
    const { run, graceUntil } = await disconnected();
    at(graceUntil + 60_000);
    await alarm(run);
    await putToSleep(stubOf(run.session));
    const renewed = (await get(run)).graceUntil ?? 0;
    at(renewed + 60_000);
    await alarm(run);
    expect(await get(run)).toMatchObject({ status: 'failed', code: 'wrapper_disconnected' });
    expect(await renewals(run)).toHaveLength(1);
  });

  test('[LIF33] a later loss of the connection has a grace of its own, which may be renewed too', async () => {
    const { run, graceUntil } = await disconnected();
    at(graceUntil + 60_000);
    const back = await WrapperPeer.welcomed(run);
    back.close();
    await vi.waitFor(async () => expect((await get(run)).connected).toBe(false));
    at(((await get(run)).graceUntil ?? 0) + 60_000);
    await alarm(run);
    expect((await get(run)).status).toBe('running');
    expect(await renewals(run)).toHaveLength(2);
  });
});

describe('the other deadlines', () => {
  test('[LIF33] a pending execution whose coordinator was down still waits for its wrapper, once', async () => {
    const run = await start(newSession(), { policy: SHORT });
    const woke = (run.execution.pendingAt ?? 0) + 60_000;
    at(woke);
    await alarm(run);
    expect((await get(run)).status).toBe('pending');
    expect(await renewals(run)).toEqual([
      { deadline: 'pending', until: woke + SHORT.pendingTimeoutMs, lateMs: 60_000 - SHORT.pendingTimeoutMs },
    ]);
    at(woke + 60_000);
    await alarm(run);
    expect(await get(run)).toMatchObject({ status: 'failed', code: 'wrapper_never_connected' });
  });

  test('[LIF33] an interrupt that could not be answered meanwhile is waited for again, once', async () => {
    const run = await start(newSession(), { policy: SHORT });
    const peer = await WrapperPeer.welcomed(run);
    await api('POST', `/v1/sessions/${run.session}/executions/${run.execution.id}/interrupt`, { body: {} });
    const { interruptRequestedAt = 0 } = await get(run);
    at(interruptRequestedAt + 20_000);
    await alarm(run);
    expect((await get(run)).status).toBe('running');
    expect(await renewals(run)).toMatchObject([{ deadline: 'interrupt', until: interruptRequestedAt + 23_000 }]);
    await peer.next();
    at(interruptRequestedAt + 40_000);
    await alarm(run);
    expect(await get(run)).toMatchObject({ status: 'interrupted', forced: true });
  });

  test('[LIF33] an interrupt that waited for a delivery does not count as renewed', async () => {
    const run = await start(newSession(), { policy: SHORT });
    const peer = await WrapperPeer.welcomed(run);
    await api('POST', `/v1/sessions/${run.session}/executions/${run.execution.id}/interrupt`, { body: {} });
    await peer.next();
    const { interruptRequestedAt = 0 } = await get(run);
    at(interruptRequestedAt + 2_000);
    await peer.deliver(1, [output('more\n')]);
    at(interruptRequestedAt + 20_000);
    await alarm(run);
    expect((await get(run)).status).toBe('running');
    expect(await renewals(run)).toMatchObject([{ deadline: 'interrupt', until: interruptRequestedAt + 23_000, lateMs: 15_000 }]);
  });

  test('[LIF33] the runtime limit is never renewed: however late it is found, the job is asked to stop at once', async () => {
    const run = await start(newSession(), { policy: { ...SHORT, maxRuntimeMs: 10_000 } });
    await WrapperPeer.welcomed(run);
    const { startedAt = 0 } = await get(run);
    at(startedAt + 60_000);
    await alarm(run);
    expect(await get(run)).toMatchObject({ status: 'running', interruptRequestedAt: startedAt + 60_000 });
    expect(await renewals(run)).toEqual([]);
  });
});
