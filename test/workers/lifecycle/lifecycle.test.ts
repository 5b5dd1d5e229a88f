/**
 * The life of an execution (LIF rules; guarantees G3–G6, G9) against the real object.
 * Method: the clock of the object is moved, the alarm is run by hand, and after each step the row
 * and the log are read back.
 */

import { abortAllDurableObjects, evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { CLOSE, type Execution, terminalStatusOf } from '../../../protocol/index.ts';
import {
  api,
  callsOf,
  exit,
  get,
  newSession,
  output,
  putToSleep,
  type Run,
  readLog,
  start,
  stubOf,
  texts,
  typesOf,
  ViewerPeer,
  WrapperPeer,
} from '../support/peers.ts';

afterEach(() => void vi.useRealTimers());

const at = (now: number): void => void vi.useFakeTimers({ now, toFake: ['Date'] });
const path = ({ session, execution }: Pick<Run, 'session' | 'execution'>): string =>
  `/v1/sessions/${session}/executions/${execution.id}`;
const alarm = (run: Run): Promise<boolean> => runDurableObjectAlarm(stubOf(run.session));
const interrupt = (run: Run, body: unknown = {}) => api('POST', `${path(run)}/interrupt`, { body });
const fail = (run: Run, code = 'gave_up') => api('POST', `${path(run)}/fail`, { body: { code, message: 'because' } });

const SHORT = { pendingTimeoutMs: 5_000, disconnectGraceMs: 5_000, interruptGraceMs: 3_000, maxRuntimeMs: 60_000 } as const;

/** The verdict is the execution's last event, and the only one of its kind (G3). */
async function verdictOf(run: Pick<Run, 'session' | 'execution'>): Promise<{ type: string; data: Record<string, unknown> }> {
  const events = (await readLog(run.session)).filter(({ execution }) => execution === run.execution.id);
  const verdicts = events.filter(({ type }) => terminalStatusOf(type) !== null);
  expect(verdicts).toHaveLength(1);
  expect(events.at(-1)).toEqual(verdicts[0]);
  const { type, data, offset } = verdicts[0] as (typeof verdicts)[0];
  expect(await get(run)).toMatchObject({ status: type.slice('execution_'.length), lastOffset: offset });
  return { type, data };
}

describe('verdicts from the wrapper’s report', () => {
  test.each([
    [exit(0), 'execution_completed', { exitCode: 0 }],
    [exit(7), 'execution_failed', { code: 'exit_nonzero', error: 'the command exited with code 7', fatal: true, exitCode: 7 }],
    [
      exit(null, 'SIGSEGV'),
      'execution_failed',
      { code: 'exit_nonzero', error: 'the command was ended by SIGSEGV', fatal: true, signal: 'SIGSEGV' },
    ],
    [{ type: 'interrupted', at: 1, data: { reason: 'drained' } }, 'execution_interrupted', { reason: 'drained' }],
    [
      { type: 'error', at: 1, data: { error: 'no such file', code: 'spawn_failed', fatal: true } },
      'execution_failed',
      { code: 'wrapper_error', error: 'no such file', fatal: true, reason: 'spawn_failed' },
    ],
  ])('[G9] %j', async (fact, type, data) => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    await peer.deliver(1, [fact]);
    expect(await verdictOf(run)).toMatchObject({ type, data });
    expect((await verdictOf(run)).data).toEqual(data);
  });

  test('[G9] a non-fatal error ends nothing', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    await peer.deliver(1, [{ type: 'error', at: 1, data: { error: 'a warning' } }]);
    expect((await get(run)).status).toBe('running');
  });
});

describe('deadlines', () => {
  test('a wrapper that never connects fails the execution, not a moment early', async () => {
    const run = await start(newSession(), { policy: SHORT });
    const { pendingAt = 0 } = await get(run);
    at(pendingAt + 4_999);
    await alarm(run);
    expect((await get(run)).status).toBe('pending');
    at(pendingAt + 5_000);
    await alarm(run);
    expect(await verdictOf(run)).toMatchObject({
      type: 'execution_failed',
      data: { code: 'wrapper_never_connected', fatal: true },
    });
  });

  test('grace is a row: it survives eviction, and records how the connection ended', async () => {
    const run = await start(newSession(), { policy: SHORT });
    const peer = await WrapperPeer.welcomed(run);
    peer.close(3001, 'laptop closed');
    await peer.closed;
    await vi.waitFor(async () => expect((await get(run)).connected).toBe(false));
    const { graceUntil = 0 } = await get(run);
    await putToSleep(stubOf(run.session));
    at(graceUntil - 1);
    await alarm(run);
    expect((await get(run)).status).toBe('running');
    await putToSleep(stubOf(run.session));
    at(graceUntil);
    await alarm(run);
    expect(await verdictOf(run)).toEqual({
      type: 'execution_failed',
      data: {
        code: 'wrapper_disconnected',
        error: 'the wrapper was away longer than 5000 ms',
        fatal: true,
        reason: 'closed',
        wsCloseCode: 3001,
        wsCloseReason: 'laptop closed',
      },
    });
  });

  test('a second alarm after the failure emits nothing', async () => {
    const run = await start(newSession(), { policy: SHORT });
    at((run.execution.pendingAt ?? 0) + SHORT.pendingTimeoutMs);
    await alarm(run);
    const before = await readLog(run.session);
    await alarm(run);
    await runInDurableObject(stubOf(run.session), (instance) => instance.alarm());
    expect(await readLog(run.session)).toEqual(before);
    await verdictOf(run);
  });

  test('the alarm works with zero executions, in a session that does not exist, and without its argument', async () => {
    const session = newSession();
    await runInDurableObject(stubOf(session), (instance) => instance.alarm());
    const run = await start(session);
    await fail(run);
    await runInDurableObject(stubOf(session), (instance) => instance.alarm());
    await verdictOf(run);
  });

  test('[G5] the alarm is the earliest deadline, is not set again for a later one, and is repaired on a wake when it was lost', async () => {
    const run = await start(newSession(), { policy: SHORT });
    const stub = stubOf(run.session);
    const alarmAt = () => runInDurableObject(stub, (_, { storage }) => storage.getAlarm());
    expect(await alarmAt()).toBe((run.execution.pendingAt ?? 0) + SHORT.pendingTimeoutMs);
    const peer = await WrapperPeer.welcomed(run);
    // The silence limit is later. The earlier alarm fires without effect, which costs no row.
    expect(await alarmAt()).toBe((run.execution.pendingAt ?? 0) + SHORT.pendingTimeoutMs);
    peer.close();
    await vi.waitFor(async () => expect((await get(run)).connected).toBe(false));
    await runInDurableObject(stub, (_, { storage }) => storage.deleteAlarm());
    await putToSleep(stub);
    const { graceUntil = 0 } = await get(run);
    expect(await alarmAt()).toBe(graceUntil);
  });

  test('[G5] an alarm that is late by hours settles everything that is due, in order', async () => {
    const run = await start(newSession(), { policy: { ...SHORT, maxRuntimeMs: 10_000 } });
    await WrapperPeer.welcomed(run);
    const late = Date.now() + 3_600_000;
    at(late);
    await alarm(run);
    // Interrupt first, however late: the wrapper gets its time to respond. It is also silent, and
    // so in its grace.
    expect(await get(run)).toMatchObject({ status: 'running', connected: false, interruptRequestedAt: late });
    // It could not respond while the coordinator was down, so that deadline starts again (LIF33),
    // once.
    at(late + 7_200_000);
    await alarm(run);
    expect(await get(run)).toMatchObject({ status: 'running' });
    at(late + 14_400_000);
    await alarm(run);
    expect(await verdictOf(run)).toMatchObject({ data: { code: 'runtime_exceeded' } });
    const types = typesOf(await readLog(run.session)).slice(-5);
    expect(types).toEqual([
      'interrupt_requested',
      'wrapper_disconnected',
      'execution_deadline_renewed',
      'execution_deadline_renewed',
      'execution_failed',
    ]);
  });

  test('[LIF] maxRuntimeMs asks by interrupt first; the exit that follows is a failure', async () => {
    const run = await start(newSession(), { policy: { ...SHORT, maxRuntimeMs: 10_000 } });
    const peer = await WrapperPeer.welcomed(run);
    const { startedAt = 0 } = await get(run);
    at(startedAt + 10_000);
    peer.send('ping');
    await peer.next();
    await alarm(run);
    expect(await peer.next()).toMatchObject({ type: 'command', command: 'interrupt', data: { signal: 'SIGINT' } });
    expect((await get(run)).status).toBe('running');
    await peer.deliver(1, [exit(0)]);
    expect(await verdictOf(run)).toMatchObject({ type: 'execution_failed', data: { code: 'runtime_exceeded', exitCode: 0 } });
  });

  test('[G7] silence is a disconnect: a half-open socket is found by the age of its last ping', async () => {
    const run = await start(newSession(), { policy: { ...SHORT, silenceTimeoutMs: 20_000, heartbeatMs: 5_000 } });
    const peer = await WrapperPeer.welcomed(run);
    const { startedAt = 0 } = await get(run);
    at(startedAt + 19_999);
    await alarm(run);
    expect(await get(run)).toMatchObject({ status: 'running', connected: true });
    at(startedAt + 20_000);
    await alarm(run);
    expect(await get(run)).toMatchObject({ status: 'running', connected: false, graceUntil: startedAt + 25_000 });
    expect((await readLog(run.session)).at(-1)).toMatchObject({ type: 'wrapper_disconnected', data: { reason: 'silence' } });
    expect(await peer.closed).toMatchObject({ code: CLOSE.tryAgainLater });
    // Later frames of the closed socket are ignored; its close does not move the grace.
    expect(await get(run)).toMatchObject({ graceUntil: startedAt + 25_000 });
  });

  test('a deadline of the old connection does not fire on the new one', async () => {
    const run = await start(newSession(), { policy: SHORT });
    const first = await WrapperPeer.welcomed(run);
    first.close();
    await vi.waitFor(async () => expect((await get(run)).connected).toBe(false));
    const { graceUntil = 0 } = await get(run);
    at(graceUntil - 10);
    await WrapperPeer.welcomed(run);
    at(graceUntil + 10);
    await alarm(run);
    expect(await get(run)).toMatchObject({ status: 'running', connected: true });
  });
});

describe('at the boundary', () => {
  test('expiry wins: a wrapper that returns at the very end of its grace is too late, with or without an alarm', async () => {
    for (const early of [1, 0]) {
      const run = await start(newSession(), { policy: SHORT });
      const first = await WrapperPeer.welcomed(run);
      first.close();
      await vi.waitFor(async () => expect((await get(run)).connected).toBe(false));
      const { graceUntil = 0 } = await get(run);
      at(graceUntil - early);
      const second = await WrapperPeer.hello(run);
      if (early) {
        expect(await second.next()).toMatchObject({ type: 'welcome', epoch: 2 });
      } else {
        expect(await second.closed).toEqual({ code: CLOSE.settled, reason: '{"status":"failed"}' });
        expect(await verdictOf(run)).toMatchObject({ data: { code: 'wrapper_disconnected' } });
      }
      vi.useRealTimers();
    }
  });

  test('a stale detach is a no-op: the close of a socket that was replaced starts no grace, however late it comes', async () => {
    const run = await start(newSession());
    await WrapperPeer.welcomed(run);
    await runInDurableObject(stubOf(run.session), async (instance, state) => {
      const [old] = state.getWebSockets('ingest');
      if (!old) throw new Error('no socket');
      await WrapperPeer.welcomed(run);
      instance.webSocketClose(old, 1006, '');
      instance.webSocketError(old, new Error('reset'));
    });
    expect(await get(run)).toMatchObject({ connected: true, epoch: 2 });
    expect(typesOf(await readLog(run.session))).not.toContain('wrapper_disconnected');
  });

  test('resuming an expired one is final: every later hello is closed with 4000', async () => {
    const run = await start(newSession(), { policy: SHORT });
    at((run.execution.pendingAt ?? 0) + SHORT.pendingTimeoutMs);
    await alarm(run);
    for (let attempt = 0; attempt < 2; attempt += 1) {
      const peer = await WrapperPeer.connect(run);
      expect(await peer.closed).toEqual({ code: CLOSE.settled, reason: '{"status":"failed"}' });
    }
    await verdictOf(run);
  });
});

describe('what does not end a run', () => {
  test('agent events have no effect on the run, also those about the end of a child', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    for (const [index, data] of [
      { type: 'session.idle' },
      { type: 'exit', exitCode: 0 },
      { status: 'completed', final: true },
    ].entries()) {
      await peer.deliver(index + 1, [{ type: 'agent', at: 1, data }]);
    }
    expect((await get(run)).status).toBe('running');
  });

  test('a wrapper that never pinged: silence counts from the hello, and frames count as life', async () => {
    const run = await start(newSession(), { policy: { silenceTimeoutMs: 20_000, heartbeatMs: 5_000 } });
    const peer = await WrapperPeer.welcomed(run);
    const { startedAt = 0 } = await get(run);
    at(startedAt + 15_000);
    await peer.deliver(1, [output('alive\n')]);
    at(startedAt + 34_000);
    await alarm(run);
    expect(await get(run)).toMatchObject({ connected: true });
    at(startedAt + 35_000);
    await alarm(run);
    expect(await get(run)).toMatchObject({ connected: false });
  });

  test('[LIF23] lastHeardAt is the time of the newest frame, while the wrapper is connected, and costs no row', async () => {
    const run = await start(newSession(), { policy: { silenceTimeoutMs: 20_000, heartbeatMs: 5_000 } });
    expect(await get(run)).not.toHaveProperty('lastHeardAt');
    const peer = await WrapperPeer.welcomed(run);
    const { startedAt = 0 } = await get(run);
    expect((await get(run)).lastHeardAt).toBe(startedAt);
    at(startedAt + 15_000);
    await peer.deliver(1, [output('alive\n')]);
    at(startedAt + 30_000);
    expect((await get(run)).lastHeardAt).toBe(startedAt + 15_000);
    expect(await callsOf(run.session).listExecutions({ limit: 1 })).toMatchObject({ data: [{ lastHeardAt: startedAt + 15_000 }] });
    at(startedAt + 35_000);
    await alarm(run);
    expect(await get(run)).not.toHaveProperty('lastHeardAt');
  });

  test('[LIF23] a frame counts as life for an object that hibernated since, too', async () => {
    const run = await start(newSession(), { policy: { silenceTimeoutMs: 20_000, heartbeatMs: 5_000 } });
    const peer = await WrapperPeer.welcomed(run);
    const { startedAt = 0 } = await get(run);
    at(startedAt + 15_000);
    await peer.deliver(1, [output('alive\n')]);
    for (const asleepFor of [10_000, 19_000]) {
      await putToSleep(stubOf(run.session)).catch((error: Error) => expect(error.message).toContain('not currently running'));
      at(startedAt + 15_000 + asleepFor);
      await alarm(run);
      expect(await get(run)).toMatchObject({ connected: true });
    }
    at(startedAt + 35_000);
    await alarm(run);
    expect(await get(run)).toMatchObject({ connected: false });
  });

  test('stopping one does not stop its sibling in another session or behind it in the queue', async () => {
    const run = await start(newSession());
    const elsewhere = await start(newSession());
    const behind = await start(run.session, { onBusy: 'queue' });
    await WrapperPeer.welcomed(run);
    await WrapperPeer.welcomed(elsewhere);
    await interrupt(run);
    expect((await get(elsewhere)).interruptRequestedAt).toBeUndefined();
    expect((await get(behind)).interruptRequestedAt).toBeUndefined();
    expect((await get(behind)).status).toBe('queued');
  });

  test('an old end does not complete a new wait: waiting for one execution ignores earlier verdicts', async () => {
    const session = newSession();
    const first = await start(session);
    await fail(first);
    const second = await start(session);
    const peer = await WrapperPeer.welcomed(second);
    const waiting = api('GET', `${path(second)}?wait=20`);
    await scheduler.wait(100);
    await peer.deliver(1, [exit(5)]);
    expect((await waiting).body).toMatchObject({ id: second.execution.id, status: 'failed', exitCode: 5 });
  });
});

describe('interrupt', () => {
  test('[LIF] queued and pending end at once; the call says so', async () => {
    const run = await start(newSession());
    const queued = await start(run.session, { onBusy: 'queue' });
    expect(await interrupt(queued, { reason: 'not needed' })).toMatchObject({
      status: 202,
      body: { settled: true, execution: { status: 'interrupted' } },
    });
    expect(await interrupt(run)).toMatchObject({ status: 202, body: { settled: true } });
    expect(await verdictOf(queued)).toMatchObject({ type: 'execution_interrupted', data: { reason: 'not needed' } });
    await verdictOf(run);
  });

  test.each([exit(0), exit(130), exit(null, 'SIGINT')])('[LIF] running: %j after it is interrupted', async (fact) => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    await interrupt(run, { reason: 'enough' });
    await peer.next();
    await peer.deliver(1, [fact]);
    expect(await verdictOf(run)).toMatchObject({ type: 'execution_interrupted', data: { reason: 'enough' } });
    expect(await interrupt(run)).toMatchObject({ status: 200, body: { settled: false } });
  });

  test('[LIF] without a response in time it is forced', async () => {
    const run = await start(newSession(), { policy: SHORT });
    const peer = await WrapperPeer.welcomed(run);
    await interrupt(run);
    const { interruptRequestedAt = 0 } = await get(run);
    at(interruptRequestedAt + 2_999);
    await alarm(run);
    expect((await get(run)).status).toBe('running');
    at(interruptRequestedAt + 3_000);
    await alarm(run);
    expect(await verdictOf(run)).toMatchObject({ type: 'execution_interrupted', data: { forced: true } });
    expect(await peer.next()).toMatchObject({ type: 'command' });
    expect(await peer.closed).toEqual({ code: CLOSE.settled, reason: '{"status":"interrupted"}' });
  });

  test('[LIF36] an interrupt is waited for while its wrapper delivers a backlog, and the end of the job still counts', async () => {
    const run = await start(newSession(), { policy: SHORT });
    const peer = await WrapperPeer.welcomed(run);
    await interrupt(run, { reason: 'enough' });
    await peer.next();
    const { interruptRequestedAt = 0 } = await get(run);
    for (let seq = 1; seq <= 5; seq += 1) {
      at(interruptRequestedAt + seq * 2_000);
      await peer.deliver(seq, [output(`line ${seq}\n`)]);
      await alarm(run);
      expect((await get(run)).status).toBe('running');
    }
    at(interruptRequestedAt + 12_999);
    await alarm(run);
    expect((await get(run)).status).toBe('running');
    await peer.deliver(6, [exit(null, 'SIGINT')]);
    expect(await verdictOf(run)).toEqual({ type: 'execution_interrupted', data: { reason: 'enough', signal: 'SIGINT' } });
    expect(typesOf(await readLog(run.session)).filter((type) => type === 'output')).toHaveLength(5);
  });

  test('[LIF36] the wait for a wrapper that stops delivering is no longer than interruptGraceMs', async () => {
    const run = await start(newSession(), { policy: SHORT });
    const peer = await WrapperPeer.welcomed(run);
    await interrupt(run);
    await peer.next();
    const { interruptRequestedAt = 0 } = await get(run);
    at(interruptRequestedAt + 2_000);
    await peer.deliver(1, [output('more\n')]);
    await putToSleep(stubOf(run.session));
    at(interruptRequestedAt + 4_999);
    await alarm(run);
    expect((await get(run)).status).toBe('running');
    at(interruptRequestedAt + 5_000);
    await alarm(run);
    expect(await verdictOf(run)).toMatchObject({ type: 'execution_interrupted', data: { forced: true } });
  });

  test('[LIF36] a wrapper that never ends is waited for ten times interruptGraceMs', async () => {
    const run = await start(newSession(), { policy: SHORT });
    const peer = await WrapperPeer.welcomed(run);
    await interrupt(run);
    await peer.next();
    const { interruptRequestedAt = 0 } = await get(run);
    for (let seq = 1; seq <= 14; seq += 1) {
      at(interruptRequestedAt + seq * 2_000);
      await peer.deliver(seq, [output('more\n')]);
    }
    at(interruptRequestedAt + 29_999);
    await peer.deliver(15, [output('more\n')]);
    await alarm(run);
    expect((await get(run)).status).toBe('running');
    at(interruptRequestedAt + 30_000);
    await alarm(run);
    expect(await verdictOf(run)).toMatchObject({ type: 'execution_interrupted', data: { forced: true } });
  });

  test('[LIF36] an absent wrapper has until the end of its grace, and one that comes back has its time to respond', async () => {
    const run = await start(newSession(), { policy: SHORT });
    const peer = await WrapperPeer.welcomed(run);
    peer.close();
    await vi.waitFor(async () => expect((await get(run)).connected).toBe(false));
    const { graceUntil = 0 } = await get(run);
    at(graceUntil - 4_900);
    await interrupt(run, { reason: 'enough' });
    at(graceUntil - 1);
    await alarm(run);
    expect((await get(run)).status).toBe('running');
    const back = await WrapperPeer.hello(run);
    expect(await back.next()).toMatchObject({ commands: [{ command: 'interrupt' }] });
    at(graceUntil + 2_998);
    await alarm(run);
    expect((await get(run)).status).toBe('running');
    await back.deliver(1, [exit(null, 'SIGINT')]);
    expect(await verdictOf(run)).toEqual({ type: 'execution_interrupted', data: { reason: 'enough', signal: 'SIGINT' } });
  });

  test('[LIF36] a wrapper that does not come back within its grace leaves the verdict of the interrupt', async () => {
    const run = await start(newSession(), { policy: SHORT });
    const peer = await WrapperPeer.welcomed(run);
    peer.close();
    await vi.waitFor(async () => expect((await get(run)).connected).toBe(false));
    const { graceUntil = 0 } = await get(run);
    at(graceUntil - 4_900);
    await interrupt(run);
    at(graceUntil);
    await alarm(run);
    expect(await verdictOf(run)).toMatchObject({ type: 'execution_interrupted', data: { forced: true } });
  });

  const byItself = (exitCode: number) => ({ ...exit(exitCode), data: { exitCode, signal: null, toldToStop: false } });

  test.each([
    [byItself(0), { status: 'completed', exitCode: 0 }],
    [byItself(3), { status: 'failed', code: 'exit_nonzero', exitCode: 3 }],
  ])('[LIF37] a job that had ended before the interrupt reached it ends as its exit says: %j', async (fact, ended) => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    await interrupt(run);
    await peer.next();
    await peer.deliver(1, [fact]);
    expect(await get(run)).toMatchObject(ended);
    await verdictOf(run);
  });

  test.each([
    [byItself(0), { status: 'completed', exitCode: 0 }],
    [
      { ...exit(0), data: { exitCode: 0, signal: null, toldToStop: true } },
      { status: 'failed', code: 'runtime_exceeded' },
    ],
    [exit(0), { status: 'failed', code: 'runtime_exceeded' }],
  ])(
    '[LIF37] the limit of a run counts only where its interrupt reached the job, or where that is unknown: %j',
    async (fact, ended) => {
      const run = await start(newSession(), { policy: { ...SHORT, maxRuntimeMs: 10_000 } });
      const peer = await WrapperPeer.welcomed(run);
      const { startedAt = 0 } = await get(run);
      at(startedAt + 10_000);
      await alarm(run);
      expect(await get(run)).toMatchObject({ status: 'running', interruptRequestedAt: startedAt + 10_000 });
      await peer.next();
      await peer.deliver(1, [fact]);
      expect(await get(run)).toMatchObject(ended);
      await verdictOf(run);
    },
  );

  test('[LIF] requested twice it is one command; force adds a SIGKILL once', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    await interrupt(run);
    await interrupt(run);
    await interrupt(run, { force: true });
    await interrupt(run, { force: true });
    await interrupt(run);
    await peer.deliver(1, [output('still\n')]);
    expect(peer.received.filter((frame) => frame !== 'pong' && frame.type === 'command')).toMatchObject([
      { data: { signal: 'SIGINT' } },
      { data: { signal: 'SIGKILL', forceAfterMs: 0 } },
    ]);
  });

  test('[G6] a viewer or a wrapper that leaves interrupts nothing', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    const viewer = await ViewerPeer.connect(run.session);
    await viewer.until('caught_up');
    viewer.close();
    peer.close();
    await Promise.all([viewer.closed, peer.closed]);
    const again = await WrapperPeer.hello(run);
    expect(await again.next()).toMatchObject({ commands: [] });
    expect((await get(run)).interruptRequestedAt).toBeUndefined();
  });
});

describe('failExecution', () => {
  test('settles once: the second call returns false and adds no event', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    expect((await fail(run)).body).toMatchObject({ settled: true });
    expect((await fail(run, 'other')).body).toMatchObject({ settled: false });
    expect(await verdictOf(run)).toEqual({ type: 'execution_failed', data: { code: 'gave_up', error: 'because', fatal: true } });
    expect(await peer.closed).toMatchObject({ code: CLOSE.settled });
  });

  test('a late outcome of a failed execution changes nothing', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    await runInDurableObject(stubOf(run.session), (instance, state) => {
      const [socket] = state.getWebSockets('ingest');
      if (!socket) throw new Error('no socket');
      instance.failExecution(run.execution.id, { code: 'gave_up', message: 'because' });
      instance.webSocketMessage(socket, `{"type":"events","seq":1,"count":1}\n${JSON.stringify(exit(0))}`);
    });
    await peer.closed;
    expect(await verdictOf(run)).toMatchObject({ type: 'execution_failed' });
    expect(typesOf(await readLog(run.session))).not.toContain('exit');
  });

  test('[G4] failing one does not touch the next: neither its activity nor its interrupt', async () => {
    const run = await start(newSession());
    await WrapperPeer.welcomed(run);
    await interrupt(run);
    const next = await start(run.session, { onBusy: 'queue' });
    await fail(run);
    const peer = await WrapperPeer.welcomed(next);
    expect(await get(next)).toMatchObject({ status: 'running', connected: true });
    await interrupt(next, { reason: 'mine' });
    await fail(run);
    expect(await get(next)).toMatchObject({ status: 'running' });
    expect((await get(next)).interruptRequestedAt).toBeDefined();
    expect(await peer.next()).toMatchObject({ type: 'command', data: { reason: 'mine' } });
  });

  test('a broadcast that fails blocks no state change', async () => {
    const run = await start(newSession());
    const viewer = await ViewerPeer.connect(run.session);
    await viewer.until('caught_up');
    await runInDurableObject(stubOf(run.session), async (instance, state) => {
      for (const ws of state.getWebSockets('viewer')) ws.close(1011, 'broken');
      expect(instance.failExecution(run.execution.id, { code: 'x', message: 'y' })).toMatchObject({ ok: true, settled: true });
    });
    await verdictOf(run);
  });

  test('[G3] a write that fails in the middle of settling undoes all of it', async () => {
    const run = await start(newSession());
    const next = await start(run.session, { onBusy: 'queue' });
    const before = await readLog(run.session);
    await runInDurableObject(stubOf(run.session), (instance, { storage }) => {
      storage.sql.exec(
        "CREATE TRIGGER broken BEFORE INSERT ON log WHEN NEW.execution = (SELECT id FROM executions WHERE status = 'pending' AND pending_at IS NOT NULL AND id <> (SELECT min(id) FROM executions WHERE ordinal = 1)) BEGIN SELECT RAISE(ABORT, 'disk trouble'); END",
      );
      expect(() => instance.failExecution(run.execution.id, { code: 'x', message: 'y' })).toThrow(/disk trouble/);
      storage.sql.exec('DROP TRIGGER broken');
    });
    expect(await readLog(run.session)).toEqual(before);
    expect(await get(run)).toMatchObject({ status: 'pending' });
    expect(await get(next)).toMatchObject({ status: 'queued' });
    expect((await fail(run)).body).toMatchObject({ settled: true });
    expect(await get(next)).toMatchObject({ status: 'pending' });
  });
});

describe('queue and replace', () => {
  test('[G4] one at a time, in order, each promoted in the turn that ends the one before', async () => {
    const session = newSession();
    const runs = [await start(session), await start(session, { onBusy: 'queue' }), await start(session, { onBusy: 'queue' })];
    expect(runs.map(({ execution }) => execution.status)).toEqual(['pending', 'queued', 'queued']);
    for (const run of runs) {
      const open = async () => (await api('GET', `/v1/sessions/${session}/executions`)).body.data as Execution[];
      expect((await open()).filter(({ status }) => status === 'pending' || status === 'running')).toHaveLength(1);
      const peer = await WrapperPeer.welcomed(run);
      await peer.deliver(1, [exit(0)]);
    }
    const events = await readLog(session);
    const order = events.filter(({ type }) => type === 'execution_completed' || type === 'execution_pending');
    expect(order.map(({ type, execution }) => [type, runs.findIndex((run) => run.execution.id === execution)])).toEqual([
      ['execution_pending', 0],
      ['execution_completed', 0],
      ['execution_pending', 1],
      ['execution_completed', 1],
      ['execution_pending', 2],
      ['execution_completed', 2],
    ]);
  });

  test('[LIF] replace interrupts the active one and goes before queued ones', async () => {
    const session = newSession();
    const first = await start(session);
    const peer = await WrapperPeer.welcomed(first);
    const waiting = await start(session, { onBusy: 'queue' });
    const replacing = await start(session, { onBusy: 'replace' });
    expect(await peer.next()).toMatchObject({
      type: 'command',
      command: 'interrupt',
      data: { reason: `replaced by ${replacing.execution.id}` },
    });
    await peer.deliver(1, [exit(null, 'SIGINT')]);
    expect(await get(replacing)).toMatchObject({ status: 'pending' });
    expect(await get(waiting)).toMatchObject({ status: 'queued' });
    await verdictOf(first);
  });

  test('[LIF] replacing one that has not begun starts the new one at once', async () => {
    const session = newSession();
    const first = await start(session);
    const second = await start(session, { onBusy: 'replace' });
    expect(second.execution.status).toBe('pending');
    expect(await verdictOf(first)).toMatchObject({ type: 'execution_interrupted' });
  });

  test('[ING2] a wrapper of a queued execution is asked to come again', async () => {
    const session = newSession();
    await start(session);
    const queued = await start(session, { onBusy: 'queue' });
    const peer = await WrapperPeer.hello(queued);
    expect(await peer.closed).toEqual({ code: CLOSE.tryAgainLater, reason: 'queued' });
    expect(await get(queued)).toMatchObject({ status: 'queued', epoch: 0 });
  });
});

describe('eviction and reset between any two steps of a run', () => {
  /** A run in small steps; `between` runs before each of them. */
  async function runWith(between: (run: Run, step: number) => Promise<WrapperPeer | null>): Promise<Run> {
    const run = await start(newSession());
    let peer = await WrapperPeer.connect(run);
    const viewer = await ViewerPeer.connect(run.session);
    const lines = 12;
    let acked = 0;
    let step = 0;
    const pause = async (): Promise<void> => {
      peer = (await between(run, step++)) ?? peer;
    };
    await pause();
    if (peer.received.length === 0) {
      peer.sayHello();
      expect(await peer.next()).toMatchObject({ type: 'welcome' });
    }
    while (acked < lines) {
      await pause();
      expect(await peer.deliver(acked + 1, [output(`${acked + 1}\n`)])).toEqual({ type: 'ack', seq: acked + 1 });
      acked += 1;
      if (acked === 6) {
        await pause();
        await api('POST', `${path(run)}/input`, { body: { data: 'go on\n' } });
        const command = await peer.next();
        expect(command).toMatchObject({ type: 'command', command: 'input' });
        await pause();
        peer.send(
          JSON.stringify({ type: 'command_ack', id: command !== null && command !== 'pong' && 'id' in command ? command.id : 0 }),
        );
      }
    }
    await pause();
    await peer.deliver(lines + 1, [exit(0)]);
    await peer.closed;
    const log = await readLog(run.session);
    expect(texts(log)).toBe(Array.from({ length: lines }, (_, index) => `${index + 1}\n`).join(''));
    expect(await verdictOf(run)).toEqual({ type: 'execution_completed', data: { exitCode: 0 } });
    if (viewer.ws.readyState === WebSocket.READY_STATE_OPEN) await vi.waitFor(() => expect(viewer.events).toEqual(log));
    return run;
  }

  test('[G5] evicted with its sockets kept: no peer notices, and no event shows it', async () => {
    const run = await runWith(async ({ session }) => {
      await putToSleep(stubOf(session));
      return null;
    });
    const types = typesOf(await readLog(run.session));
    expect(types.filter((type) => type.startsWith('wrapper_'))).toEqual(['wrapper_connected']);
  });

  test('[G1] reset with its sockets lost: the wrapper reconnects, and nothing is lost or duplicated', async () => {
    const run = await runWith(async (current, step) => {
      await putToSleep(stubOf(current.session), { webSockets: 'close' });
      // Acked so far: what a wrapper learns from its welcome.
      const peer = await WrapperPeer.hello(current, { nextSeq: step + 1 });
      expect(await peer.next()).toMatchObject({ type: 'welcome', epoch: step + 1 });
      return peer;
    });
    const types = typesOf(await readLog(run.session));
    const lost = types.filter((type) => type === 'wrapper_disconnected').length;
    expect(types.filter((type) => type === 'wrapper_reconnected')).toHaveLength(lost);
    expect(lost).toBeGreaterThan(10);
  });

  test('a socket that was lost without a close is detected on the wake, and the grace starts there', async () => {
    const run = await start(newSession(), { policy: SHORT });
    await WrapperPeer.welcomed(run);
    await abortAllDurableObjects();
    const after = await get(run);
    expect(after).toMatchObject({ status: 'running', connected: false });
    expect((await readLog(run.session)).at(-1)).toMatchObject({
      type: 'wrapper_disconnected',
      data: { reason: 'connection_lost', wsCloseCode: 1006 },
    });
    at((after.graceUntil ?? 0) + 1);
    await alarm(run);
    expect(await verdictOf(run)).toMatchObject({ data: { code: 'wrapper_disconnected' } });
  });
});

describe('[G7] nothing keeps the object in memory', () => {
  test('with an idle wrapper and idle viewers it is evicted at once, and heartbeats do not start it', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    const viewers = await Promise.all([ViewerPeer.connect(run.session), ViewerPeer.connect(run.session, '?flow=ack')]);
    for (const viewer of viewers) await viewer.until('caught_up');
    const began = Date.now();
    await putToSleep(stubOf(run.session));
    expect(Date.now() - began).toBeLessThan(20_000);
    for (let beat = 0; beat < 20; beat += 1) {
      peer.send('ping');
      expect(await peer.next()).toBe('pong');
    }
    await expect(evictDurableObject(stubOf(run.session))).rejects.toThrow(/not currently running/);
  });
});

test('[LIF] after the retention everything of the session is deleted', async () => {
  const run = await start(newSession());
  await fail(run);
  const viewer = await ViewerPeer.connect(run.session);
  await viewer.until('caught_up');
  at(Date.now() + 91 * 24 * 3_600_000);
  await alarm(run);
  vi.useRealTimers();
  expect((await viewer.closed).code).toBe(CLOSE.notFound);
  expect((await api('GET', path(run))).body).toMatchObject({ code: 'session_not_found' });
});
