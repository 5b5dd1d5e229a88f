/**
 * One data point for each verdict, by every path to a verdict, and for each lost connection. It is
 * written once, and a failure of it has no effect.
 * Method: the dataset's binding is watched, and made to fail; the clock is moved past deadlines and
 * the alarm is run by hand.
 */

import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { VERSION } from '../../../protocol/version.ts';
import { BLOBS, type DataPoint, DOUBLES, type Observation } from '../../../src/core/metrics.ts';
import type { Env } from '../../../src/platform/env.ts';
import { logLine } from '../../../src/platform/log.ts';
import { WorkerServices, type WorkerServicesOptions } from '../../../src/session/worker-services.ts';
import { provideContainers } from '../support/container-runner.ts';
import { ask } from '../support/http.ts';
import { api, exit, get, newSession, output, putToSleep, type Run, start, stubOf, testEnv, WrapperPeer } from '../support/peers.ts';

const written: DataPoint[] = [];
let fails: Error | null = null;

beforeEach(() => {
  written.length = 0;
  fails = null;
  const binding = Object.getPrototypeOf(testEnv.METRICS) as AnalyticsEngineDataset;
  vi.spyOn(binding, 'writeDataPoint').mockImplementation((point) => {
    if (fails) throw fails;
    written.push(point as DataPoint);
  });
});
// A runner that refuses.
provideContainers(() => Response.json({ detail: 'MARK' }, { status: 400 }));

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

type Point = Record<(typeof BLOBS)[number], string> & Record<(typeof DOUBLES)[number], number> & { tenant: string };
const read = ({ indexes, blobs, doubles }: DataPoint): Point =>
  ({
    tenant: indexes[0],
    ...Object.fromEntries(BLOBS.map((name, index) => [name, blobs[index]])),
    ...Object.fromEntries(DOUBLES.map((name, index) => [name, doubles[index]])),
  }) as Point;
const points = (kind: 'verdict' | 'disconnect'): Point[] => written.map(read).filter((point) => point.kind === kind);

const at = (now: number): void => void vi.useFakeTimers({ now, toFake: ['Date'] });
const pathOf = ({ session, execution }: Run): string => `/v1/sessions/${session}/executions/${execution.id}`;
const alarm = (run: Run) => runInDurableObject(stubOf(run.session), (instance) => instance.alarm());
const interrupt = (run: Run, body: unknown = {}) => api('POST', `${pathOf(run)}/interrupt`, { body });
const POLICY = { pendingTimeoutMs: 5_000, disconnectGraceMs: 5_000, interruptGraceMs: 3_000, maxRuntimeMs: 60_000 };

/** A session of its own with everything that a point must never contain. */
const begin = (request: object = {}): Promise<Run> =>
  start(newSession(), {
    ...{ command: ['MARK'], cwd: '/MARK', env: { A: 'MARK' }, stdin: 'MARK', labels: { MARK: 'MARK' }, policy: POLICY },
    ...request,
  });
const running = async (): Promise<{ run: Run; peer: WrapperPeer }> => {
  const run = await begin();
  return { run, peer: await WrapperPeer.welcomed(run) };
};

/** Every path to a verdict, and the values of its point. */
const roads: [name: string, road: () => Promise<Run>, said: Partial<Point>][] = [
  [
    'exit 0',
    async () => {
      const { run, peer } = await running();
      await peer.deliver(1, [output('MARK'), exit(0)]);
      return run;
    },
    { status: 'completed', code: '', exit: '0', events: 2, connections: 1, disconnects: 0, transport: 'socket', launcher: 'none' },
  ],
  [
    'exit 7',
    async () => {
      const { run, peer } = await running();
      await peer.deliver(1, [exit(7)]);
      return run;
    },
    { status: 'failed', code: 'exit_nonzero', exit: '7' },
  ],
  [
    'a signal',
    async () => {
      const { run, peer } = await running();
      await peer.deliver(1, [exit(null, 'SIGKILL')]);
      return run;
    },
    { status: 'failed', code: 'exit_nonzero', exit: 'SIGKILL' },
  ],
  [
    'a fatal error of the wrapper',
    async () => {
      const { run, peer } = await running();
      await peer.deliver(1, [{ type: 'error', at: 1, data: { error: 'MARK', code: 'MARK', fatal: true } }]);
      return run;
    },
    { status: 'failed', code: 'wrapper_error', reason: '' },
  ],
  [
    'an interrupted fact',
    async () => {
      const { run, peer } = await running();
      await peer.deliver(1, [{ type: 'interrupted', at: 1, data: { reason: 'MARK' } }]);
      return run;
    },
    { status: 'interrupted', interruptCause: '' },
  ],
  [
    'an interrupt that the job heeds',
    async () => {
      const { run, peer } = await running();
      await interrupt(run, { reason: 'MARK' });
      await peer.next();
      await peer.deliver(1, [exit(null, 'SIGINT')]);
      return run;
    },
    { status: 'interrupted', interruptCause: 'request', exit: 'SIGINT', forced: 0 },
  ],
  [
    'an interrupt without an answer',
    async () => {
      const { run } = await running();
      await interrupt(run);
      at(Date.now() + POLICY.interruptGraceMs + 1);
      await alarm(run);
      return run;
    },
    { status: 'interrupted', interruptCause: 'request', forced: 1 },
  ],
  [
    'an interrupt before it began',
    async () => {
      const run = await begin();
      await interrupt(run);
      return run;
    },
    { status: 'interrupted', connections: 0, runMs: 0, exit: '' },
  ],
  [
    'no wrapper in time',
    async () => {
      const run = await begin();
      at(run.execution.createdAt + POLICY.pendingTimeoutMs);
      await alarm(run);
      return run;
    },
    { status: 'failed', code: 'wrapper_never_connected', connections: 0 },
  ],
  [
    'a runner that refuses',
    async () => {
      const run = await begin({ launcher: 'container' });
      await vi.waitFor(async () => expect((await get(run)).status).toBe('failed'));
      return run;
    },
    { status: 'failed', code: 'launch_failed', launcher: 'container', launchAttempts: 1 },
  ],
  [
    'a wrapper that does not come back',
    async () => {
      const { run, peer } = await running();
      peer.close(4999, 'MARK');
      await vi.waitFor(async () => expect((await get(run)).connected).toBe(false));
      at(Date.now() + POLICY.disconnectGraceMs + 1);
      await alarm(run);
      return run;
    },
    { status: 'failed', code: 'wrapper_disconnected', reason: 'closed', wsCloseCode: '4999', disconnects: 1 },
  ],
  [
    'the time limit',
    async () => {
      const { run } = await running();
      const begun = Date.now();
      // Its frames keep arriving: silence is another path.
      at(begun + POLICY.maxRuntimeMs + 1);
      await runInDurableObject(stubOf(run.session), (_, { storage }) =>
        storage.sql.exec('UPDATE executions SET heard_at = ?', Date.now()),
      );
      await putToSleep(stubOf(run.session));
      await alarm(run);
      at(Date.now() + POLICY.interruptGraceMs + 1);
      await alarm(run);
      return run;
    },
    { status: 'failed', code: 'runtime_exceeded', interruptCause: 'runtime', forced: 1 },
  ],
  [
    'a caller that declares it failed',
    async () => {
      const { run } = await running();
      await api('POST', `${pathOf(run)}/fail`, { body: { code: 'lost_host', message: 'MARK' } });
      return run;
    },
    { status: 'failed', code: 'lost_host' },
  ],
];

describe('a verdict', () => {
  test.each(roads)('%s: one point with the verdict, and nothing of the job', async (_, road, said) => {
    const run = await road();
    const { status } = await get(run);
    await vi.waitFor(() => expect(points('verdict')).toHaveLength(1));
    expect(points('verdict')[0]).toMatchObject({ tenant: 'acme', version: VERSION, ...said, status });
    // Again, by every caller that may find it ended: it is not counted twice.
    await api('POST', `${pathOf(run)}/fail`, { body: { code: 'again', message: 'x' } });
    await interrupt(run);
    // A request to a runner keeps its object in memory for as long as the request might have taken.
    if (run.execution.launcher === 'none') await putToSleep(stubOf(run.session));
    await (await WrapperPeer.hello(run)).closed;
    await runDurableObjectAlarm(stubOf(run.session));
    await scheduler.wait(20);
    expect(points('verdict')).toHaveLength(1);
    expect(JSON.stringify(written)).not.toContain('MARK');
  });

  test('the end of a queue: each execution has its own', async () => {
    const run = await begin({ id: 'first' });
    await start(run.session, { id: 'second', onBusy: 'queue' });
    await start(run.session, { id: 'third', onBusy: 'replace' });
    for (const id of ['second', 'third']) await api('POST', `/v1/sessions/${run.session}/executions/${id}/interrupt`);
    await vi.waitFor(() => expect(points('verdict')).toHaveLength(3));
    expect(points('verdict').every(({ status }) => status === 'interrupted')).toBe(true);
  });

  test('a dataset that throws changes only the log', async () => {
    const lines: string[] = [];
    vi.spyOn(console, 'warn').mockImplementation((line) => void lines.push(String(line)));
    fails = new Error('no dataset today');
    const { run, peer } = await running();
    expect(await peer.deliver(1, [exit(0)])).toEqual({ type: 'ack', seq: 1 });
    expect((await peer.closed).code).toBe(4000);
    expect((await get(run)).status).toBe('completed');
    await vi.waitFor(() => expect(lines.join()).toContain('metrics_failed'));
    expect(written).toEqual([]);
  });

  test('a deleted session has no verdict, and no point', async () => {
    const { run } = await running();
    await ask('DELETE', `/v1/sessions/${run.session}`);
    await scheduler.wait(20);
    expect(points('verdict')).toEqual([]);
  });
});

describe('a lost connection', () => {
  test('one point for each, and their count in the verdict', async () => {
    const { run, peer } = await running();
    await peer.deliver(1, [output('MARK')]);
    peer.close(1000, 'MARK');
    await vi.waitFor(() => expect(points('disconnect')).toHaveLength(1));
    const second = await WrapperPeer.welcomed(run, { nextSeq: 2 });
    second.send('no frame at all: MARK');
    await second.closed;
    await vi.waitFor(() => expect(points('disconnect')).toHaveLength(2));
    const third = await WrapperPeer.welcomed(run, { nextSeq: 2 });
    await third.deliver(2, [exit(0)]);
    await vi.waitFor(() => expect(points('verdict')).toHaveLength(1));
    expect(points('disconnect')).toMatchObject([
      { reason: 'closed', wsCloseCode: '1000', connections: 1, events: 1, status: 'running' },
      { reason: 'bad_frame', wsCloseCode: '4400', connections: 2, events: 1 },
    ]);
    expect(points('verdict')).toMatchObject([{ connections: 3, disconnects: 2, events: 2, status: 'completed' }]);
    expect(JSON.stringify(written)).not.toContain('MARK');
  });

  test('a superseded connection, and a clean end of one, do not count', async () => {
    const { run, peer } = await running();
    const second = await WrapperPeer.welcomed(run);
    await peer.closed;
    await second.deliver(1, [exit(0)]);
    await second.closed;
    await vi.waitFor(() => expect(points('verdict')).toHaveLength(1));
    expect(points('disconnect')).toEqual([]);
    expect(points('verdict')[0]).toMatchObject({ connections: 2, disconnects: 0 });
  });
});

describe('SessionOutside.measure', () => {
  const observation = { kind: 'verdict' } as Observation;
  const state = (sync: () => Promise<void>) => {
    const work: Promise<void>[] = [];
    return { storage: { sync }, waitUntil: (one: Promise<void>) => void work.push(one), work };
  };
  const measureOf = (METRICS: unknown, given: WorkerServicesOptions['state']) =>
    new WorkerServices({
      env: { METRICS } as Env,
      tenant: 'acme',
      session: 's1',
      createdAt: () => 1,
      state: given,
      log: logLine,
    }).measure;

  test('without a dataset it writes nothing', () => {
    expect(
      measureOf(
        undefined,
        state(async () => {}),
      ),
    ).toBeNull();
  });

  test('it is written when the transition is durable, not before; a transition whose write failed is not counted', async () => {
    const writeDataPoint = vi.fn();
    vi.spyOn(console, 'warn').mockImplementation(() => {});
    let durable = (): void => {};
    const good = state(() => new Promise((resolve) => (durable = resolve)));
    measureOf({ writeDataPoint }, good)?.(observation);
    await scheduler.wait(5);
    expect(writeDataPoint).not.toHaveBeenCalled();
    durable();
    await Promise.all(good.work);
    expect(writeDataPoint).toHaveBeenCalledOnce();

    const lost = state(() => Promise.reject(new Error('the object is reset')));
    measureOf({ writeDataPoint }, lost)?.(observation);
    await Promise.all(lost.work);
    expect(writeDataPoint).toHaveBeenCalledOnce();
  });

  test('the real binding accepts a point', () => {
    vi.restoreAllMocks();
    expect(testEnv.METRICS).toBeDefined();
    expect(() => testEnv.METRICS?.writeDataPoint({ indexes: ['acme'], blobs: ['verdict'], doubles: [1] })).not.toThrow();
  });
});
