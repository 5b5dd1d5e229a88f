/**
 * The object of a session's container: starts it, launches in it, detects its end, and informs the
 * session (docs/containers.md).
 * Method: the keeper runs in the object's own place, over its real storage, against a fake
 * container. Time advances only in waits and where the test moves it. A restart of the object is a
 * new keeper over the same storage. Tests without a container use the real object.
 */

import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { describe, expect, test, vi } from 'vitest';
import { POLICY_DEFAULTS } from '../../../protocol/index.ts';
import type { LaunchRequest } from '../../../protocol/launch.ts';
import { type ContainerPort, Keeper } from '../../../src/container/keeper.ts';
import {
  type Boot,
  CONTAINER_IDLE_MS,
  CONTAINER_PORT,
  type ContainerRecord,
  INACTIVITY_TIMEOUT_MS,
  LOSS_SETTLE_MS,
  type LostContainer,
  WATCH_MS,
} from '../../../src/core/container.ts';
import type { ExecutionRecord } from '../../../src/core/execution.ts';
import { LAUNCH_TIMEOUT_MS, type LaunchOutcome } from '../../../src/core/launching.ts';
import { ask, deployment, expectProblem } from '../support/http.ts';
import { api, exit, get, newSession, outsideOf, putToSleep, readLog, start, testEnv, WrapperPeer } from '../support/peers.ts';

/** Far in the future, so that no alarm fires by itself. */
const T0 = 4_000_000_000_000;
const UNTIL = T0 + 86_400_000;

/** A container with a runner in it, as its object sees both. */
class TestContainer implements ContainerPort {
  running = false;
  /** Whether the port is open. */
  ready = true;
  /** The platform's response on the port of a container that does not listen. */
  portError = 'the container is not listening';
  token: string | null = null;
  inFlight = 0;
  answer = (): Response => Response.json({ state: 'running' }, { status: 201 });
  readonly starts: Record<string, string>[] = [];
  readonly launched: LaunchRequest[] = [];
  readonly timeouts: number[] = [];
  readonly destroyed: (string | undefined)[] = [];

  start({ env }: { env: Record<string, string> }): void {
    if (this.running) throw new Error('start() cannot be called on a container that is already running.');
    this.running = true;
    this.token = env.HOLDFAST_RUNNER_TOKEN ?? null;
    this.starts.push(env);
  }

  async destroy(reason?: string): Promise<void> {
    this.destroyed.push(reason);
    this.running = false;
    this.inFlight = 0;
  }

  async setInactivityTimeout(ms: number): Promise<void> {
    if (!this.running) throw new Error('setInactivityTimeout() cannot be called on a container that is not running.');
    this.timeouts.push(ms);
  }

  getTcpPort(port: number) {
    return { fetch: (url: string, init?: RequestInit) => this.#answer(port, new Request(url, init)) };
  }

  async #answer(port: number, request: Request): Promise<Response> {
    if (!this.running || !this.ready || port !== CONTAINER_PORT) throw new Error(this.portError);
    const { pathname } = new URL(request.url);
    if (pathname === '/health') return Response.json({ ok: true, program: 'holdfast-runner', inFlight: this.inFlight });
    if (request.headers.get('authorization') !== `Bearer ${this.token}`) return Response.json({}, { status: 401 });
    if (request.method === 'GET') return Response.json({}, { status: 404 });
    this.launched.push(await request.json());
    const answer = this.answer();
    if (answer.ok) this.inFlight += 1;
    return answer;
  }
}

let names = 0;

/** The object of one session's container, with a clock of its own. */
class Scene {
  readonly container = new TestContainer();
  readonly session = `c${++names}`;
  readonly told: LostContainer[] = [];
  reachable = true;
  sessionSince = T0 - 1000;
  now = T0;
  boots = 0;
  /** Called in each wait of the object. */
  meanwhile: () => void = () => {};

  get #stub() {
    if (!testEnv.CONTAINERS) throw new Error('no binding');
    return testEnv.CONTAINERS.getByName(`acme/${this.session}`);
  }

  /** One event of the object, which may have restarted since the last. */
  on<T>(event: (keeper: Keeper) => Promise<T>, container: ContainerPort | null = this.container): Promise<T> {
    return runInDurableObject(this.#stub, (_, { storage }) =>
      event(
        new Keeper({
          container,
          storage,
          reportLoss: async (lost) => {
            if (this.reachable) this.told.push(lost);
            return this.reachable;
          },
          newBoot: (now): Boot => ({ id: `b${++this.boots}`, token: `secret-${this.boots}`, startedAt: now }),
          now: () => this.now,
          pause: async (ms) => {
            this.now += ms;
            this.meanwhile();
          },
          log: () => {},
        }),
      ),
    );
  }

  launch(id: string, container?: ContainerPort | null): Promise<LaunchOutcome> {
    return this.on((keeper) => keeper.launch(this.request(id), { until: UNTIL, sessionSince: this.sessionSince }), container);
  }

  /** The alarm at its time; false when there is no alarm. */
  async alarm(): Promise<boolean> {
    const at = await this.alarmAt();
    if (at === null) return false;
    this.now = Math.max(this.now, at);
    // Fired alarms are removed.
    await runInDurableObject(this.#stub, (_, { storage }) => storage.deleteAlarm());
    await this.on((keeper) => keeper.onAlarm());
    return true;
  }

  alarmAt = (): Promise<number | null> => runInDurableObject(this.#stub, (_, { storage }) => storage.getAlarm());
  record = (): Promise<ContainerRecord | undefined> =>
    runInDurableObject(this.#stub, (_, { storage }) => storage.kv.get<ContainerRecord>('container'));
  rows = (): Promise<number> => runInDurableObject(this.#stub, async (_, { storage }) => (await storage.list()).size);
  forgetRecord = (): Promise<boolean> => runInDurableObject(this.#stub, (_, { storage }) => storage.kv.delete('container'));

  request = (id: string): LaunchRequest => ({
    id,
    tenant: 'acme',
    session: this.session,
    command: ['job'],
    openStdin: false,
    format: 'text',
    ingest: { url: 'https://holdfast.test/ingest', token: 'ingest-token' },
  });
}

describe('a launch', () => {
  test('starts the container with a secret of its own, and passes the request to the runner in it', async () => {
    const scene = new Scene();
    expect(await scene.launch('e1')).toEqual({ kind: 'launched' });
    expect(scene.container.starts).toEqual([
      {
        HOLDFAST_RUNNER_TOKEN: 'secret-1',
        HOLDFAST_RUNNER_HOST: '0.0.0.0',
        HOLDFAST_RUNNER_PORT: String(CONTAINER_PORT),
        HOLDFAST_RUNNER_DRAIN: '1',
      },
    ]);
    expect(scene.container.launched).toEqual([scene.request('e1')]);
    expect(scene.container.timeouts).toEqual([INACTIVITY_TIMEOUT_MS]);
    expect(await scene.alarmAt()).toBe(T0 + WATCH_MS);
  });

  test('the next one, also after a restart of the object, goes into the same container', async () => {
    const scene = new Scene();
    await scene.launch('e1');
    scene.now += 5000;
    expect(await scene.launch('e2')).toEqual({ kind: 'launched' });
    expect(scene.container.starts).toHaveLength(1);
    expect(scene.container.launched.map(({ id }) => id)).toEqual(['e1', 'e2']);
    // Each restart sets the timeout that the platform lost; a launch does too.
    expect(scene.container.timeouts.length).toBeGreaterThanOrEqual(3);
    expect(await scene.alarmAt()).toBe(T0 + WATCH_MS);
  });

  test('waits for a container that starts slowly', async () => {
    const scene = new Scene();
    scene.container.ready = false;
    scene.meanwhile = () => {
      scene.container.ready = scene.now >= T0 + 3000;
    };
    expect(await scene.launch('e1')).toEqual({ kind: 'launched' });
    expect(scene.now - T0).toBeGreaterThanOrEqual(3000);
  });

  test('times out on one whose port never opens; the next attempt continues with it', async () => {
    const scene = new Scene();
    scene.container.ready = false;
    const outcome = await scene.launch('e1');
    expect(outcome).toEqual({ kind: 'failed', message: expect.stringContaining('the container is not listening') });
    expect(scene.now - T0).toBeGreaterThanOrEqual(LAUNCH_TIMEOUT_MS);
    expect(scene.now - T0).toBeLessThan(LAUNCH_TIMEOUT_MS + 1000);
    scene.container.ready = true;
    expect(await scene.launch('e1')).toEqual({ kind: 'launched' });
    expect(scene.container.starts).toHaveLength(1);
  });

  test('of one that stops at once reports what to check, and starts another next time', async () => {
    const scene = new Scene();
    scene.container.ready = false;
    scene.meanwhile = () => {
      scene.container.running = false;
    };
    const outcome = await scene.launch('e1');
    expect(outcome).toEqual({ kind: 'failed', message: expect.stringContaining('holdfast-wrapper serve') });
    scene.container.ready = true;
    scene.meanwhile = () => {};
    expect(await scene.launch('e1')).toEqual({ kind: 'launched' });
    expect(scene.container.starts.map(({ HOLDFAST_RUNNER_TOKEN }) => HOLDFAST_RUNNER_TOKEN)).toEqual(['secret-1', 'secret-2']);
    // CT3: a second launch is not lost with the first.
    expect((await scene.record())?.lost).toEqual([]);
  });

  test('is retried later where the platform has no instance left', async () => {
    const scene = new Scene();
    scene.container.ready = false;
    scene.container.portError = 'there is no container instance that can be provided to this Durable Object, try again later';
    scene.meanwhile = () => {
      scene.container.running = false;
    };
    expect(await scene.launch('e1')).toEqual({ kind: 'saturated', retryAfterMs: null });
    // CT3: the session waits for its next attempt, and does not learn that the container stopped
    // under its execution.
    expect([await scene.rows(), await scene.alarmAt()]).toEqual([0, null]);
    expect(scene.told).toEqual([]);
  });

  test('of one that never becomes ready leaves only its idle time', async () => {
    const scene = new Scene();
    scene.container.ready = false;
    expect((await scene.launch('e1')).kind).toBe('failed');
    expect(await scene.record()).toMatchObject({ launched: [], lost: [], idleSince: expect.any(Number) });
    while (await scene.alarm());
    expect(scene.container.destroyed).toHaveLength(1);
    expect(scene.told).toEqual([]);
    expect(await scene.rows()).toBe(0);
  });

  test('keeps the stored state where start() reports that it already runs', async () => {
    const scene = new Scene();
    await scene.launch('e1');
    // The platform lags behind: it reports that nothing runs, and then refuses to start.
    const { container } = scene;
    const behind: ContainerPort = {
      running: false,
      start: () => container.start({ env: {} }),
      destroy: () => container.destroy(),
      setInactivityTimeout: (ms) => container.setInactivityTimeout(ms),
      getTcpPort: (port) => container.getTcpPort(port),
    };
    expect(await scene.launch('e2', behind)).toEqual({ kind: 'failed', message: expect.stringContaining('already running') });
    expect(await scene.launch('e2')).toEqual({ kind: 'launched' });
    expect((await scene.record())?.launched.map(({ execution }) => execution)).toEqual(['e1', 'e2']);
    expect(scene.told).toEqual([]);
  });

  test('that cannot start a container at all leaves nothing', async () => {
    const scene = new Scene();
    scene.container.start = () => {
      throw new Error('no such image');
    };
    expect(await scene.launch('e1')).toEqual({ kind: 'failed', message: expect.stringContaining('no such image') });
    expect([await scene.rows(), await scene.alarmAt()]).toEqual([0, null]);
  });

  test('ends an unknown container, and one with another token', async () => {
    const scene = new Scene();
    await scene.launch('e1');
    await scene.forgetRecord();
    expect((await scene.launch('e2')).kind).toBe('failed');
    expect(scene.container.destroyed).toHaveLength(1);
    expect(await scene.launch('e2')).toEqual({ kind: 'launched' });
    scene.container.token = 'of somebody else';
    expect((await scene.launch('e3')).kind).toBe('failed');
    expect(scene.container.destroyed).toHaveLength(2);
    expect(await scene.launch('e3')).toEqual({ kind: 'launched' });
    expect(scene.container.starts).toHaveLength(3);
  });

  test('in a container that drains is retried at the time that its runner names', async () => {
    const scene = new Scene();
    scene.container.answer = () => Response.json({ code: 'stopping' }, { status: 503, headers: { 'retry-after': '2' } });
    expect(await scene.launch('e1')).toEqual({ kind: 'saturated', retryAfterMs: 2000 });
  });

  test('without a container says what to do', async () => {
    const scene = new Scene();
    expect(await scene.launch('e1', null)).toEqual({
      kind: 'refused',
      message: expect.stringContaining('wrangler.containers.toml'),
    });
    expect(await scene.rows()).toBe(0);
  });
});

test('[CT4] a session of the same name gets another container, also where its predecessor could not release its own', async () => {
  const scene = new Scene();
  await scene.launch('e1');
  scene.sessionSince = T0 + 1;
  expect((await scene.launch('e1')).kind).toBe('failed');
  expect(scene.container.destroyed).toHaveLength(1);
  expect(await scene.launch('e1')).toEqual({ kind: 'launched' });
  expect(scene.container.starts).toHaveLength(2);
  for (let look = 0; look < 3; look += 1) await scene.alarm();
  expect(scene.told).toEqual([]);
});

describe('the alarm', () => {
  test('fires every WATCH_MS while something runs, and writes only itself', async () => {
    const scene = new Scene();
    await scene.launch('e1');
    const before = await scene.record();
    for (let look = 1; look <= 3; look += 1) {
      expect(await scene.alarm()).toBe(true);
      expect(scene.now).toBe(T0 + look * WATCH_MS);
    }
    expect(await scene.record()).toEqual(before);
    expect(scene.told).toEqual([]);
  });

  test('[LIF32] detects a stopped container: the session is informed of its executions, once, a moment later; then nothing is left', async () => {
    const scene = new Scene();
    await scene.launch('e1');
    scene.container.running = false;
    await scene.alarm();
    expect(scene.told).toEqual([]);
    expect(await scene.alarmAt()).toBe(T0 + WATCH_MS + LOSS_SETTLE_MS);
    await scene.alarm();
    expect(scene.told).toMatchObject([{ execution: 'e1', boot: 'b1' }]);
    expect(await scene.alarm()).toBe(false);
    expect(await scene.rows()).toBe(0);
  });

  test('[LIF32] retries a session that cannot be reached, without executions that were launched meanwhile', async () => {
    const scene = new Scene();
    await scene.launch('e1');
    await scene.launch('e2');
    scene.container.running = false;
    scene.reachable = false;
    await scene.alarm();
    await scene.alarm();
    await scene.alarm();
    expect((await scene.record())?.lost.map(({ attempts }) => attempts)).toEqual([2, 2]);
    expect(await scene.launch('e2')).toEqual({ kind: 'launched' });
    scene.reachable = true;
    await scene.alarm();
    expect(scene.told.map(({ execution }) => execution)).toEqual(['e1']);
    expect((await scene.record())?.launched.map(({ execution }) => execution)).toEqual(['e2']);
  });

  test('after the last execution it waits for the idle time, ends the container, deletes its state and stops', async () => {
    const scene = new Scene();
    await scene.launch('e1');
    scene.container.inFlight = 0;
    await scene.alarm();
    expect(await scene.alarmAt()).toBe(T0 + WATCH_MS + CONTAINER_IDLE_MS);
    expect(scene.container.destroyed).toEqual([]);
    await scene.alarm();
    expect(scene.container.destroyed).toHaveLength(1);
    expect(scene.told).toEqual([]);
    expect(await scene.alarm()).toBe(false);
    expect(await scene.rows()).toBe(0);
  });

  test('a launch in the idle time keeps it, and the watch begins again', async () => {
    const scene = new Scene();
    await scene.launch('e1');
    scene.container.inFlight = 0;
    await scene.alarm();
    scene.now += 60_000;
    const at = scene.now;
    await scene.launch('e2');
    expect(scene.container.starts).toHaveLength(1);
    expect(await scene.alarmAt()).toBe(at + WATCH_MS);
    await scene.alarm();
    expect(scene.container.destroyed).toEqual([]);
  });

  test('a launch while an idle container is being ended gets another one', async () => {
    const scene = new Scene();
    await scene.launch('e1');
    scene.container.inFlight = 0;
    await scene.alarm();
    const { container } = scene;
    const destroy = container.destroy.bind(container);
    let second: Promise<LaunchOutcome> | null = null;
    scene.now = T0 + WATCH_MS + CONTAINER_IDLE_MS;
    await scene.on(async (keeper) => {
      container.destroy = async (reason) => {
        container.destroy = destroy;
        second = keeper.launch(scene.request('e2'), { until: UNTIL, sessionSince: scene.sessionSince });
        await destroy(reason);
      };
      await keeper.onAlarm();
      expect((await second)?.kind).toBe('failed');
      expect(await keeper.launch(scene.request('e2'), { until: UNTIL, sessionSince: scene.sessionSince })).toEqual({
        kind: 'launched',
      });
    });
    expect(container.starts).toHaveLength(2);
    expect((await scene.record())?.launched.map(({ execution }) => execution)).toEqual(['e2']);
  });

  test('a runner that does not answer is watched, no longer than the session could have the execution open', async () => {
    const scene = new Scene();
    await scene.launch('e1');
    scene.container.ready = false;
    await scene.alarm();
    expect((await scene.record())?.launched).toHaveLength(1);
    scene.now = UNTIL;
    await scene.alarm();
    await scene.alarm();
    expect(scene.container.destroyed).toHaveLength(1);
    expect(await scene.rows()).toBe(0);
  });
});

describe('the end of the session', () => {
  test('ends the container at once, and leaves nothing; also without a container', async () => {
    const scene = new Scene();
    await scene.launch('e1');
    await scene.on((keeper) => keeper.release());
    expect(scene.container.destroyed).toEqual(['its session was deleted']);
    expect([await scene.rows(), await scene.alarmAt()]).toEqual([0, null]);
    const none = new Scene();
    await none.on((keeper) => keeper.release(), null);
    expect([await none.rows(), await none.alarmAt()]).toEqual([0, null]);
  });
});

// ── the real object and the real session ──────────────────────────────────────────────────────

const objectOf = (session: string) => {
  if (!testEnv.CONTAINERS) throw new Error('no binding');
  return testEnv.CONTAINERS.getByName(`acme/${session}`);
};

/** Leaves in the object's storage the state of a container that is gone. */
const lose = (session: string, ...executions: string[]) =>
  runInDurableObject(objectOf(session), async (_, { storage }) => {
    const lost = executions.map((execution) => ({
      execution,
      at: 1,
      until: Date.now() + 60_000,
      boot: 'b1',
      attempts: 0,
      dueAt: 1,
    }));
    storage.kv.put('container', { sessionSince: 1, boot: null, launched: [], idleSince: null, lost } satisfies ContainerRecord);
    await storage.setAlarm(Date.now() + 3_600_000);
  });

/** So that a new instance of the object reads the stored state. */
async function wakeWith(session: string): Promise<void> {
  await putToSleep(objectOf(session));
  await runDurableObjectAlarm(objectOf(session));
}

describe('with the session', () => {
  test('[LIF32] [LIF15] an open execution fails as container_stopped; an ended one and an unknown one change nothing', async () => {
    const session = newSession();
    const over = await start(session, { id: 'over' });
    await (await WrapperPeer.welcomed(over)).deliver(1, [exit(0)]);
    const open = await start(session, { id: 'open' });
    await WrapperPeer.welcomed(open);
    await lose(session, 'over', 'open', 'never-there');
    await wakeWith(session);
    expect(await get(open)).toMatchObject({ status: 'failed', code: 'container_stopped', error: expect.stringContaining('disk') });
    expect(await get(over)).toMatchObject({ status: 'completed' });
    expect((await readLog(session)).at(-1)).toMatchObject({
      type: 'execution_failed',
      data: { code: 'container_stopped', fatal: true },
    });
    await runInDurableObject(objectOf(session), async (_, { storage }) => expect((await storage.list()).size).toBe(0));
  });

  test('a deleted session needs no further report', async () => {
    const { session } = await start(newSession());
    await lose(session, 'e1');
    expect((await api('DELETE', `/v1/sessions/${session}`)).status).toBe(204);
    await wakeWith(session);
    await runInDurableObject(objectOf(session), async (_, { storage }) => expect((await storage.list()).size).toBe(0));
  });
});

describe('the configuration', () => {
  const withContainers = { ...testEnv, HOLDFAST_CONTAINERS: '1' };

  test('a start with launcher container is refused where this deployment has none, and HOLDFAST_LAUNCHER=container too', async () => {
    const path = `/v1/sessions/${newSession()}/executions`;
    const body = { command: ['job'], launcher: 'container' };
    expect(expectProblem(await ask('POST', path, { body }), 'bad_request').field).toBe('launcher');
    const env = deployment({ HOLDFAST_LAUNCHER: 'container' });
    expectProblem(await ask('POST', path, { body: { command: ['job'] }, env }), 'not_configured');
    for (const change of [{ HOLDFAST_CONTAINERS: 'yes' }, { HOLDFAST_CONTAINERS: '1', CONTAINERS: undefined }]) {
      expectProblem(await ask('POST', path, { body, env: deployment(change) }), 'not_configured');
    }
  });

  test('with HOLDFAST_CONTAINERS it is accepted, by name and as the default', async () => {
    for (const [change, launcher] of [
      [{ HOLDFAST_CONTAINERS: '1' }, 'container'],
      [{ HOLDFAST_CONTAINERS: '1', HOLDFAST_LAUNCHER: 'container' }, undefined],
    ] as const) {
      const answer = await ask('POST', `/v1/sessions/${newSession()}/executions`, {
        body: { command: ['job'], launcher },
        env: deployment(change),
      });
      expect(answer.status).toBe(201);
      expect((answer.body.execution as { launcher: string }).launcher).toBe('container');
    }
  });

  test('a class without a container refuses the launch and says what to do', async () => {
    const record = { id: 'e1', launcher: 'container', command: ['job'], policy: POLICY_DEFAULTS, origin: 'https://holdfast.test' };
    const outside = outsideOf(withContainers, newSession());
    expect(await outside.launch(record as unknown as ExecutionRecord, Date.now())).toEqual({
      kind: 'refused',
      message: expect.stringContaining('docs/containers.md'),
    });
  });

  test('a session that is deleted has its container released, where there are containers', async () => {
    const session = newSession();
    await lose(session, 'e1');
    await putToSleep(objectOf(session));
    await outsideOf(testEnv, session).release();
    await runInDurableObject(objectOf(session), async (_, { storage }) => expect(storage.kv.get('container')).toBeDefined());
    await outsideOf(withContainers, session).release();
    await runInDurableObject(objectOf(session), async (_, { storage }) => {
      expect((await storage.list()).size).toBe(0);
      expect(await storage.getAlarm()).toBeNull();
    });
  });

  test('a failed release is retried, and does not fail the deletion', async () => {
    let calls = 0;
    const CONTAINERS = {
      getByName: () => ({
        release: async () => {
          calls += 1;
          throw new Error('gone');
        },
      }),
    } as unknown as DurableObjectNamespace;
    const warn = vi.spyOn(console, 'warn').mockImplementation(() => {});
    await outsideOf({ ...withContainers, CONTAINERS }).release();
    expect(calls).toBe(3);
    const events = warn.mock.calls.map(([line]) => JSON.parse(String(line)).event as string);
    expect(events.filter((event) => event === 'container_not_released')).toHaveLength(3);
    warn.mockRestore();
  });
});
