/**
 * The HTTP API with good input (bad-input.test.ts covers the rest): the responses to starting,
 * reading, interrupting and failing.
 * Method: real requests to the Worker, and a wrapper that the test steers where an execution must
 * run.
 */

import { runInDurableObject } from 'cloudflare:test';
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import {
  type Execution,
  type IngestAccess,
  LIST_LIMIT_DEFAULT,
  LIST_LIMIT_MAX,
  POLICY_DEFAULTS,
  QUEUE_LENGTH_MAX,
  STATUSES,
  TICKET_TTL_SECONDS_DEFAULT,
  TICKET_UNTIL_SECONDS_DEFAULT,
  WAIT_SECONDS_MAX,
} from '../../../protocol/index.ts';
import { provideContainers } from '../support/container-runner.ts';
import { ask, deployment, expectProblem } from '../support/http.ts';
import {
  ACME_KEY,
  callsOf,
  exit,
  get,
  newSession,
  ORIGIN,
  output,
  putToSleep,
  type Run,
  readLog,
  start,
  stubOf,
  typesOf,
  upgrade,
  ViewerPeer,
  WrapperPeer,
} from '../support/peers.ts';

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

const MADE_UP_ID = /^exec_[0-9A-HJKMNP-TV-Z]{26}$/;

const executionsOf = (session: string): string => `/v1/sessions/${session}/executions`;
const pathOf = (run: Pick<Run, 'session' | 'execution'>): string => `${executionsOf(run.session)}/${run.execution.id}`;

const starting = (session: string, body: Record<string, unknown> = {}, headers: Record<string, string> = {}) =>
  ask('POST', executionsOf(session), { body: { command: ['job'], ...body }, headers });

const fail = (run: Pick<Run, 'session' | 'execution'>, code = 'gave_up', message = 'no more') =>
  ask('POST', `${pathOf(run)}/fail`, { body: { code, message } });

const interrupt = (run: Pick<Run, 'session' | 'execution'>, body?: unknown) => ask('POST', `${pathOf(run)}/interrupt`, { body });

describe('start', () => {
  test('[HTTP12] a new execution is answered 201 with its location, its representation, and the address for its wrapper', async () => {
    const session = newSession();
    const before = Date.now();
    const answer = await starting(session, { id: 'e1', command: ['make', '-j2'], cwd: '/src', labels: { team: 'a' } });
    expect(answer.status).toBe(201);
    expect(answer.headers.get('location')).toBe(`/v1/sessions/${session}/executions/e1`);
    expect(answer.headers.get('content-type')).toMatch(/^application\/json\b/);
    expect(answer.body).toEqual({
      execution: {
        id: 'e1',
        session,
        status: 'pending',
        command: ['make', '-j2'],
        cwd: '/src',
        format: 'text',
        launcher: 'none',
        labels: { team: 'a' },
        policy: POLICY_DEFAULTS,
        createdAt: expect.any(Number),
        pendingAt: expect.any(Number),
        epoch: 0,
        firstOffset: 1,
      },
      ingest: {
        url: `${ORIGIN}/v1/sessions/${session}/executions/e1/ingest`,
        token: expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/),
      },
    });
    const { createdAt, pendingAt } = answer.body.execution as Execution;
    expect(createdAt).toBeGreaterThanOrEqual(before);
    expect(createdAt).toBeLessThanOrEqual(Date.now());
    expect(pendingAt).toBe(createdAt);
  });

  test('[LIF1] in a free session it is pending at once, and the log has the event', async () => {
    const run = await start(newSession());
    expect(run.execution.status).toBe('pending');
    expect(await readLog(run.session)).toEqual([
      { offset: 1, execution: run.execution.id, type: 'execution_pending', data: { launcher: 'none' } },
    ]);
  });

  test('[HTTP12] a missing id is generated: exec_ and a ULID, another one each time', async () => {
    const session = newSession();
    const ids = [];
    for (let count = 0; count < 3; count += 1) ids.push((await start(session, { onBusy: 'queue' })).execution.id);
    for (const id of ids) expect(id).toMatch(MADE_UP_ID);
    expect(new Set(ids).size).toBe(3);
  });

  test('[HTTP12] [LIF28] the same id and request again is answered 200 with the existing execution, whatever its state', async () => {
    const session = newSession();
    const request = { id: 'e1', command: ['make'], env: { A: '1' }, stdin: 'in', policy: { heartbeatMs: 1000 } };
    const first = await starting(session, request);
    const again = await starting(session, request);
    expect(again.status).toBe(200);
    expect(again.headers.get('location')).toBe(first.headers.get('location'));
    expect(again.body.execution).toEqual(first.body.execution);
    const { url, token } = again.body.ingest as IngestAccess;
    expect(url).toBe((first.body.ingest as IngestAccess).url);
    const run: Run = { session, execution: again.body.execution as Execution, ingest: { url, token } };
    // The token of the second response opens the same execution.
    const peer = await WrapperPeer.welcomed(run);
    expect((await starting(session, request)).body.execution).toMatchObject({ id: 'e1', status: 'running' });
    await peer.deliver(1, [exit(0)]);
    const settled = await starting(session, request);
    expect(settled).toMatchObject({ status: 200, body: { execution: { id: 'e1', status: 'completed' } } });
    expect(typesOf(await readLog(session)).filter((type) => type === 'execution_pending')).toHaveLength(1);
  });

  test('[LIF28] starts of the same id at the same moment make one execution', async () => {
    const session = newSession();
    const answers = await Promise.all(Array.from({ length: 10 }, () => starting(session, { id: 'e1' })));
    expect(answers.map(({ status }) => status).sort()).toEqual([...Array(9).fill(200), 201]);
    expect(typesOf(await readLog(session))).toEqual(['execution_pending']);
  });

  /**
   * The text of a start is frozen: without a grace it has the 60 s of 0.1.0, whatever the default
   * is.
   */
  const DEFAULTS_OF_THE_DIGEST = { ...POLICY_DEFAULTS, disconnectGraceMs: 60_000 };

  test('[LIF28] explicit defaults, the order of env and labels, onBusy and the trace do not make another request', async () => {
    const session = newSession();
    const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    const first = await starting(session, { id: 'e1', env: { A: '1', B: '2' }, labels: { x: '1', y: '2' } });
    expect(first.status).toBe(201);
    for (const same of [
      { env: { B: '2', A: '1' }, labels: { y: '2', x: '1' } },
      { env: { A: '1', B: '2' }, labels: { x: '1', y: '2' }, format: 'text', launcher: 'none', policy: DEFAULTS_OF_THE_DIGEST },
      { env: { A: '1', B: '2' }, labels: { x: '1', y: '2' }, onBusy: 'replace' },
      { env: { A: '1', B: '2' }, labels: { x: '1', y: '2' }, traceparent },
    ]) {
      expect((await starting(session, { id: 'e1', ...same })).status).toBe(200);
    }
  });

  test.each([
    ['command', { command: ['other'] }],
    ['order of arguments', { command: ['job', 'b', 'a'] }],
    ['cwd', { cwd: '/other' }],
    ['env', { env: { A: '2' } }],
    ['no env', { env: undefined }],
    ['stdin', { stdin: 'other' }],
    ['format', { format: 'jsonl' }],
    ['labels', { labels: { x: '2' } }],
    ['policy', { policy: { maxRuntimeMs: 5000 } }],
    ['callback', { callback: { url: 'https://example.com/other' } }],
  ])('[HTTP13] the same id with another %s is answered 409 and changes nothing', async (_, other) => {
    const session = newSession();
    const request = { id: 'e1', command: ['job', 'a', 'b'], cwd: '/src', env: { A: '1' }, stdin: 'in', labels: { x: '1' } };
    const first = await starting(session, request);
    const problem = expectProblem(await starting(session, { ...request, ...other }), 'execution_id_conflict');
    expect(problem.execution).toBe('e1');
    expect((await ask('GET', `${executionsOf(session)}/e1`)).body).toEqual(first.body.execution);
    expect(await readLog(session)).toHaveLength(1);
  });

  test('[HTTP12] Idempotency-Key is the execution id', async () => {
    const session = newSession();
    const first = await starting(session, {}, { 'idempotency-key': 'key-1' });
    expect(first).toMatchObject({ status: 201, body: { execution: { id: 'key-1' } } });
    expect(await starting(session, {}, { 'idempotency-key': 'key-1' })).toMatchObject({ status: 200 });
    expect(await starting(session, { id: 'key-1' })).toMatchObject({ status: 200 });
    expect(await starting(session, { id: 'key-1' }, { 'idempotency-key': 'key-1' })).toMatchObject({ status: 200 });
    expectProblem(await starting(session, { command: ['other'] }, { 'idempotency-key': 'key-1' }), 'execution_id_conflict');
  });

  test('[LIF16] the given policy is stored with it, and the rest has the defaults', async () => {
    const { execution } = await start(newSession(), { policy: { silenceTimeoutMs: 20_000, maxRuntimeMs: 7000 } });
    expect(execution.policy).toEqual({ ...POLICY_DEFAULTS, silenceTimeoutMs: 20_000, maxRuntimeMs: 7000, heartbeatMs: 5000 });
  });

  test('a wrapper connects at HOLDFAST_PUBLIC_URL, or at the origin of the start request when that is not set', async () => {
    const session = newSession();
    const elsewhere = deployment({ HOLDFAST_PUBLIC_URL: 'https://public.example/base/' });
    const urlOf = async (id: string, env: typeof elsewhere) => {
      const { body } = await ask('POST', executionsOf(session), { body: { id, command: ['job'], onBusy: 'queue' }, env });
      return (body.ingest as IngestAccess).url;
    };
    expect(await urlOf('e1', elsewhere)).toBe(`https://public.example/base/v1/sessions/${session}/executions/e1/ingest`);
    expect(await urlOf('e2', deployment({ HOLDFAST_PUBLIC_URL: undefined }))).toBe(
      `${ORIGIN}/v1/sessions/${session}/executions/e2/ingest`,
    );
  });

  test('a launcher that this deployment does not have is answered 400', async () => {
    const session = newSession();
    const answer = await ask('POST', executionsOf(session), { body: { command: ['job'], launcher: 'container' } });
    expect(expectProblem(answer, 'bad_request').field).toBe('launcher');
    expectProblem(await ask('GET', `/v1/sessions/${session}`), 'session_not_found');
  });
});

describe('start in a busy session', () => {
  test('[HTTP14] reject is the default: 409 with the execution that is active, pending or running', async () => {
    const run = await start(newSession());
    for (const onBusy of [undefined, 'reject']) {
      const problem = expectProblem(await starting(run.session, { id: 'late', onBusy }), 'execution_in_progress');
      expect(problem.activeExecutionId).toBe(run.execution.id);
    }
    await WrapperPeer.welcomed(run);
    const problem = expectProblem(await starting(run.session, { id: 'late' }), 'execution_in_progress');
    expect(problem.activeExecutionId).toBe(run.execution.id);
    expectProblem(await ask('GET', `${executionsOf(run.session)}/late`), 'execution_not_found');
    expect(typesOf(await readLog(run.session))).not.toContain('execution_queued');
    await fail(run);
    expect(await starting(run.session, { id: 'late' })).toMatchObject({ status: 201, body: { execution: { status: 'pending' } } });
  });

  test('[LIF2] [LIF3] queue waits its turn, in order of arrival', async () => {
    const session = newSession();
    const runs: Run[] = [];
    for (const id of ['e1', 'e2', 'e3']) runs.push(await start(session, { id, onBusy: 'queue' }));
    const statuses = async () => Promise.all(runs.map(async (run) => (await get(run)).status));
    expect(await statuses()).toEqual(['pending', 'queued', 'queued']);
    expect((await readLog(session)).filter(({ type }) => type === 'execution_queued')).toMatchObject([
      { execution: 'e2', data: { position: 1 } },
      { execution: 'e3', data: { position: 2 } },
    ]);
    await fail(runs[0] as Run);
    expect(await statuses()).toEqual(['failed', 'pending', 'queued']);
    await fail(runs[1] as Run);
    expect(await statuses()).toEqual(['failed', 'failed', 'pending']);
  });

  test('[HTTP15] 32 may wait; queue and replace of one more are answered 429, and existing ones are still found', async () => {
    const session = newSession();
    const active = await start(session, { id: 'active' });
    for (let count = 1; count <= QUEUE_LENGTH_MAX; count += 1) {
      expect(await starting(session, { id: `q${count}`, onBusy: 'queue' })).toMatchObject({ status: 201 });
    }
    for (const onBusy of ['queue', 'replace']) {
      const answer = await starting(session, { id: 'one-more', onBusy });
      expectProblem(answer, 'queue_full');
      expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
    }
    expectProblem(await starting(session, { id: 'one-more' }), 'execution_in_progress');
    expectProblem(await ask('GET', `${executionsOf(session)}/one-more`), 'execution_not_found');
    expect((await get(active)).status).toBe('pending');
    expect(await starting(session, { id: 'q7', onBusy: 'queue' })).toMatchObject({ status: 200 });
    expect((await ask('GET', `/v1/sessions/${session}`)).body).toMatchObject({ counts: { queued: QUEUE_LENGTH_MAX, pending: 1 } });
    await fail({ session, execution: { ...active.execution, id: 'q7' } });
    expect(await starting(session, { id: 'one-more', onBusy: 'queue' })).toMatchObject({ status: 201 });
  });

  test('[LIF29] replace of a pending execution takes its place at once', async () => {
    const old = await start(newSession());
    const next = await start(old.session, { id: 'next', onBusy: 'replace' });
    expect(next.execution.status).toBe('pending');
    expect(await get(old)).toMatchObject({ status: 'interrupted', reason: 'replaced by next' });
  });

  test('[LIF29] replace of a running execution asks it to stop and goes before all queued ones', async () => {
    const old = await start(newSession());
    const peer = await WrapperPeer.welcomed(old);
    const waiting = await start(old.session, { id: 'waiting', onBusy: 'queue' });
    const next = await start(old.session, { id: 'next', onBusy: 'replace' });
    expect(next.execution.status).toBe('queued');
    expect(await peer.next()).toMatchObject({ type: 'command', command: 'interrupt', data: { reason: 'replaced by next' } });
    expect((await get(old)).status).toBe('running');
    await peer.deliver(1, [exit(null, 'SIGINT')]);
    expect((await get(old)).status).toBe('interrupted');
    expect((await get(next)).status).toBe('pending');
    expect((await get(waiting)).status).toBe('queued');
  });
});

describe('get and list', () => {
  const TOTAL = 120;
  const session = newSession();
  const ids = Array.from({ length: TOTAL }, (_, index) => `e${index + 1}`);
  const newestFirst = ids.toReversed();

  beforeAll(async () => {
    for (const [index, id] of ids.entries()) {
      const run = await start(session, { id });
      if (index === TOTAL - 1) continue;
      await (index % 3 === 0 ? interrupt(run, { reason: 'enough' }) : fail(run));
    }
  }, 60_000);

  const list = async (query = '') => {
    const { status, body } = await ask('GET', `${executionsOf(session)}${query}`);
    expect(status).toBe(200);
    return body as unknown as { data: Execution[]; next: string | null };
  };

  const through = async (query: string, between: () => Promise<unknown> = async () => undefined) => {
    const pages: string[][] = [];
    for (let cursor: string | null = ''; cursor !== null; ) {
      const page: { data: Execution[]; next: string | null } = await list(`?${query}${cursor === '' ? '' : `&cursor=${cursor}`}`);
      pages.push(page.data.map(({ id }) => id));
      cursor = page.next;
      await between();
    }
    return pages;
  };

  test('a list is newest first, of 50, and each item equals the response of get', async () => {
    const page = await list();
    expect(Object.keys(page).sort()).toEqual(['data', 'next']);
    expect(page.data.map(({ id }) => id)).toEqual(newestFirst.slice(0, LIST_LIMIT_DEFAULT));
    for (const execution of page.data.slice(0, 3)) {
      expect((await ask('GET', `${executionsOf(session)}/${execution.id}`)).body).toEqual(execution);
    }
  });

  test.each([
    ['', [50, 50, 20]],
    [`limit=${LIST_LIMIT_MAX}`, [120]],
    ['limit=60', [60, 60]],
    ['limit=7', [...Array(17).fill(7), 1]],
    ['limit=120', [120]],
    ['limit=119', [119, 1]],
  ])('paging with "%s" gives each of 120 once, in order', async (query, sizes) => {
    const pages = await through(query);
    expect(pages.map(({ length }) => length)).toEqual(sizes);
    expect(pages.flat()).toEqual(newestFirst);
  });

  test.each([
    ['interrupted', (index: number) => index % 3 === 0 && index !== TOTAL - 1],
    ['failed', (index: number) => index % 3 !== 0 && index !== TOTAL - 1],
    ['pending', (index: number) => index === TOTAL - 1],
    ['completed', () => false],
    ['queued', () => false],
    ['running', () => false],
  ] as const)('status=%s gives those alone, through all pages', async (status, belongs) => {
    const pages = await through(`status=${status}&limit=9`);
    expect(pages.flat()).toEqual(ids.filter((_, index) => belongs(index)).toReversed());
  });

  test('an execution started during paging does not move the later pages', async () => {
    const own = newSession();
    for (const id of ['a', 'b', 'c', 'd', 'e']) await start(own, { id, onBusy: 'queue' });
    const first = (await ask('GET', `${executionsOf(own)}?limit=2`)).body;
    await start(own, { id: 'f', onBusy: 'queue' });
    const second = (await ask('GET', `${executionsOf(own)}?limit=2&cursor=${String(first.next)}`)).body;
    expect((second.data as Execution[]).map(({ id }) => id)).toEqual(['c', 'b']);
  });

  test.each(['0', '201', '-1', '1.5', '1e2', '010', ' 5', '+5', '', 'ten', '9007199254740993'])(
    '[HTTP8] limit=%s is answered 400',
    async (limit) => {
      const answer = await ask('GET', `${executionsOf(session)}?limit=${encodeURIComponent(limit)}`);
      expect(expectProblem(answer, 'bad_request').field).toBe('limit');
    },
  );

  test.each(['', 'x', '%%%', '120', btoa('o0'), btoa('o-1'), btoa('o1.5'), btoa('x12'), btoa('o99999999999999999'), '"o1"'])(
    'the cursor %j is answered 400',
    async (cursor) => {
      const answer = await ask('GET', `${executionsOf(session)}?cursor=${encodeURIComponent(cursor)}`);
      expect(expectProblem(answer, 'bad_request').field).toBe('cursor');
    },
  );

  test('an invalid status is answered 400', async () => {
    for (const status of ['active', 'Failed', '']) {
      expect(expectProblem(await ask('GET', `${executionsOf(session)}?status=${status}`), 'bad_request').field).toBe('status');
    }
    for (const status of STATUSES) expect((await ask('GET', `${executionsOf(session)}?status=${status}`)).status).toBe(200);
  });

  test('[HTTP11] an unknown execution is answered 404 execution_not_found', async () => {
    expectProblem(await ask('GET', `${executionsOf(session)}/e121`), 'execution_not_found');
  });

  test('an execution reports its life: running with its wrapper, then how it ended', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    const running = await get(run);
    expect(running).toMatchObject({ status: 'running', connected: true, epoch: 1, startedAt: expect.any(Number) });
    expect(running.endedAt).toBeUndefined();
    await peer.deliver(1, [output('a\n'), exit(3)]);
    const log = await readLog(run.session);
    const ended = await get(run);
    expect(ended).toMatchObject({
      status: 'failed',
      code: 'exit_nonzero',
      error: 'the command exited with code 3',
      exitCode: 3,
      endedAt: expect.any(Number),
      firstOffset: 1,
      lastOffset: log.length,
    });
    expect(ended.connected).toBeUndefined();
    expect(log.at(-1)).toMatchObject({ offset: ended.lastOffset, type: 'execution_failed' });
  });
});

describe('get with wait', () => {
  const waitFor = async (run: Run, seconds: number) => {
    const began = performance.now();
    const answer = await ask('GET', `${pathOf(run)}?wait=${seconds}`);
    return { ...answer, tookMs: performance.now() - began };
  };

  test('answers as soon as the execution ends', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    const waiting = waitFor(run, 25);
    let over = false;
    void waiting.then(() => {
      over = true;
    });
    await scheduler.wait(150);
    await peer.deliver(1, [output('still at work\n')]);
    await scheduler.wait(150);
    expect(over).toBe(false);
    await peer.deliver(2, [exit(0)]);
    const { status, body, tookMs } = await waiting;
    expect(status).toBe(200);
    expect(body).toMatchObject({ id: run.execution.id, status: 'completed', exitCode: 0, lastOffset: expect.any(Number) });
    expect(tookMs).toBeLessThan(20_000);
  });

  test('answers for the requested execution, not for another that ends', async () => {
    const first = await start(newSession());
    const second = await start(first.session, { onBusy: 'queue' });
    const waiting = waitFor(second, 25);
    await scheduler.wait(100);
    await fail(first);
    await scheduler.wait(100);
    await fail(second, 'mine');
    expect((await waiting).body).toMatchObject({ id: second.execution.id, status: 'failed', code: 'mine' });
  });

  test('answers unchanged after the timeout', async () => {
    const run = await start(newSession());
    const { status, body, tookMs } = await waitFor(run, 1);
    expect(status).toBe(200);
    expect(body).toEqual(run.execution);
    expect(tookMs).toBeGreaterThan(900);
    expect(tookMs).toBeLessThan(20_000);
  });

  test('leaves no viewer behind, whether the execution ended or the wait timed out', async () => {
    const run = await start(newSession());
    await waitFor(run, 1);
    await vi.waitFor(async () => {
      const open = await runInDurableObject(stubOf(run.session), (_, state) =>
        state.getWebSockets().filter(({ readyState }) => readyState === WebSocket.READY_STATE_OPEN),
      );
      expect(open).toEqual([]);
    });
  });

  test('answers at once for an ended execution, at the longest allowed wait, and for an unknown execution', async () => {
    const run = await start(newSession());
    await fail(run);
    const { body, tookMs } = await waitFor(run, WAIT_SECONDS_MAX);
    expect(body).toMatchObject({ status: 'failed' });
    expect(tookMs).toBeLessThan((WAIT_SECONDS_MAX * 1000) / 2);
    expectProblem(await ask('GET', `${executionsOf(run.session)}/unknown?wait=${WAIT_SECONDS_MAX}`), 'execution_not_found');
  });

  test.each([String(WAIT_SECONDS_MAX + 1), '-1', '1.5', '', 'yes', '05', '1e1'])(
    '[HTTP8] wait=%s is answered 400',
    async (wait) => {
      const run = await start(newSession());
      expect(expectProblem(await ask('GET', `${pathOf(run)}?wait=${wait}`), 'bad_request').field).toBe('wait');
    },
  );
});

describe('interrupt', () => {
  test('[LIF31] of a running execution is answered 202 and sent to the wrapper; asking again changes nothing', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    const first = await interrupt(run, { reason: 'enough' });
    expect(first.status).toBe(202);
    expect(first.body).toMatchObject({
      settled: false,
      execution: { status: 'running', interruptRequestedAt: expect.any(Number) },
    });
    expect(await peer.next()).toMatchObject({ command: 'interrupt', data: { signal: 'SIGINT', reason: 'enough' } });
    const second = await interrupt(run, { reason: 'another' });
    expect(second.status).toBe(202);
    expect(second.body).toEqual(first.body);
    expect((await readLog(run.session)).filter(({ type }) => type === 'interrupt_requested')).toMatchObject([
      { data: { reason: 'enough', force: false, cause: 'request' } },
    ]);
    await interrupt(run, { force: true });
    expect(await peer.next()).toMatchObject({ command: 'interrupt', data: { signal: 'SIGKILL' } });
    await peer.deliver(1, [exit(null, 'SIGKILL')]);
    expect(await get(run)).toMatchObject({ status: 'interrupted', signal: 'SIGKILL', reason: 'enough' });
  });

  test('[LIF12] of a pending or queued execution ends it at once', async () => {
    const pending = await start(newSession());
    const queued = await start(pending.session, { onBusy: 'queue' });
    for (const run of [queued, pending]) {
      const answer = await interrupt(run, { reason: 'not needed' });
      expect(answer).toMatchObject({
        status: 202,
        body: { settled: true, execution: { id: run.execution.id, status: 'interrupted', reason: 'not needed' } },
      });
    }
  });

  test('[HTTP18] of a settled execution is answered 200 with settled false, however often', async () => {
    const run = await start(newSession());
    await fail(run);
    const log = await readLog(run.session);
    for (const body of [undefined, {}, { force: true }]) {
      expect(await interrupt(run, body)).toMatchObject({ status: 200, body: { settled: false, execution: { status: 'failed' } } });
    }
    expect(await readLog(run.session)).toEqual(log);
  });

  test('needs no body', async () => {
    const run = await start(newSession());
    await WrapperPeer.welcomed(run);
    expect(await interrupt(run)).toMatchObject({ status: 202, body: { settled: false } });
    expect((await readLog(run.session)).at(-1)).toMatchObject({ type: 'interrupt_requested', data: { reason: '', force: false } });
  });
});

describe('fail', () => {
  test.each(['queued', 'pending', 'running'])(
    '[LIF14] [HTTP18] of a %s execution is settled true, and false ever after',
    async (from) => {
      const session = newSession();
      if (from === 'queued') await start(session);
      const run = await start(session, { onBusy: 'queue' });
      const peer = from === 'running' ? await WrapperPeer.welcomed(run) : null;
      const answer = await fail(run, 'host_lost', 'the host\u0000went away');
      expect(answer).toMatchObject({
        status: 200,
        body: { settled: true, execution: { status: 'failed', code: 'host_lost', error: 'the host\u0000went away' } },
      });
      if (peer) expect(await peer.closed).toEqual({ code: 4000, reason: '{"status":"failed"}' });
      const log = await readLog(session);
      expect(log.filter(({ type }) => type === 'execution_failed')).toMatchObject([
        { execution: run.execution.id, data: { code: 'host_lost', error: 'the host\u0000went away', fatal: true } },
      ]);
      for (const code of ['host_lost', 'other']) {
        const again = await fail(run, code, 'again');
        expect(again).toMatchObject({ status: 200, body: { settled: false } });
        expect(again.body.execution).toEqual(answer.body.execution);
      }
      expect(await readLog(session)).toEqual(log);
    },
  );

  test('[LIF15] does not change what has completed', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    await peer.deliver(1, [exit(0)]);
    expect(await fail(run)).toMatchObject({
      status: 200,
      body: { settled: false, execution: { status: 'completed', exitCode: 0 } },
    });
    expect((await get(run)).code).toBeUndefined();
  });

  test('[LIF18] of many at the same moment, one settles it', async () => {
    const run = await start(newSession());
    const answers = await Promise.all(Array.from({ length: 8 }, (_, index) => fail(run, `code_${index}`)));
    expect(answers.filter(({ body }) => body.settled === true)).toHaveLength(1);
    expect(typesOf(await readLog(run.session)).filter((type) => type === 'execution_failed')).toHaveLength(1);
  });
});

describe('input', () => {
  const send = (run: Run, data: string) => ask('POST', `${pathOf(run)}/input`, { body: { data } });

  test('[HTTP19] is answered 409 unless the execution runs, and leaves no command behind', async () => {
    const pending = await start(newSession());
    const queued = await start(pending.session, { onBusy: 'queue' });
    for (const run of [pending, queued]) {
      const { executionStatus } = expectProblem(await send(run, 'yes\n'), 'not_running');
      expect(executionStatus).toBe(run.execution.status);
    }
    const peer = await WrapperPeer.hello(pending);
    expect(await peer.next()).toMatchObject({ type: 'welcome', commands: [] });
    await peer.deliver(1, [exit(0)]);
    expectProblem(await send(pending, 'yes\n'), 'not_running');
  });

  test('of a running execution is answered 202 and sent to the wrapper unchanged', async () => {
    const run = await start(newSession());
    const peer = await WrapperPeer.welcomed(run);
    for (const text of ['yes\n', '', 'é\u0000\n"', '\u{1f600}']) {
      const answer = await send(run, text);
      expect(answer.status).toBe(202);
      expect(await peer.next()).toEqual({ type: 'command', id: answer.body.commandId, command: 'input', data: { text } });
    }
  });
});

describe('input and openStdin', () => {
  /** As if a launcher had started its wrapper: these tests have no launcher. */
  const launched = async (request: { openStdin?: boolean }): Promise<{ run: Run; peer: WrapperPeer }> => {
    const run = await start(newSession(), request);
    await runInDurableObject(stubOf(run.session), (_, { storage }) => {
      storage.sql.exec("UPDATE executions SET launcher = 'container'");
    });
    await putToSleep(stubOf(run.session));
    return { run, peer: await WrapperPeer.welcomed(run) };
  };
  const send = (run: Run) => ask('POST', `${pathOf(run)}/input`, { body: { data: 'yes\n' } });

  test('[HTTP19] a launched execution takes input only when it was started to', async () => {
    for (const request of [{}, { openStdin: false }]) {
      const { run, peer } = await launched(request);
      expectProblem(await send(run), 'stdin_closed');
      peer.close();
      expect(await (await WrapperPeer.hello(run)).next()).toMatchObject({ type: 'welcome', commands: [] });
    }
    const { run, peer } = await launched({ openStdin: true });
    expect((await send(run)).status).toBe(202);
    expect(await peer.next()).toMatchObject({ command: 'input', data: { text: 'yes\n' } });
    expect(await get(run)).toMatchObject({ openStdin: true });
  });

  test('[HTTP13] openStdin is part of the request', async () => {
    const session = newSession();
    await start(session, { id: 'e1' });
    expect((await starting(session, { id: 'e1', openStdin: false })).status).toBe(200);
    expectProblem(await starting(session, { id: 'e1', openStdin: true }), 'execution_id_conflict');
  });
});

describe('session', () => {
  test('the summary has the counts', async () => {
    const session = newSession();
    const before = Date.now();
    const first = await start(session, { id: 'e1' });
    for (const id of ['e2', 'e3', 'e4']) await start(session, { id, onBusy: 'queue' });
    await fail(first);
    await interrupt({ session, execution: { ...first.execution, id: 'e2' } });
    const { status, body } = await ask('GET', `/v1/sessions/${session}`);
    expect(status).toBe(200);
    const log = await readLog(session);
    expect(body).toEqual({
      id: session,
      createdAt: first.execution.createdAt,
      lastActivityAt: expect.any(Number),
      earliest: 1,
      head: log.length,
      active: 'e3',
      activeExecutionIds: ['e3'],
      counts: { queued: 1, pending: 1, running: 0, completed: 0, failed: 1, interrupted: 1 },
    });
    expect(body.lastActivityAt).toBeGreaterThanOrEqual(before);
    await fail({ session, execution: { ...first.execution, id: 'e3' } });
    await fail({ session, execution: { ...first.execution, id: 'e4' } });
    expect((await ask('GET', `/v1/sessions/${session}`)).body).toMatchObject({ active: null });
  });

  test('[HTTP11] a read of a session that was never started is answered 404, and creates nothing: no table, no alarm', async () => {
    const session = newSession();
    const path = executionsOf(session);
    for (const [method, where, body] of [
      ['GET', `/v1/sessions/${session}`, undefined],
      ['GET', path, undefined],
      ['GET', `${path}/e1`, undefined],
      ['GET', `${path}/e1?wait=55`, undefined],
      ['POST', `${path}/e1/interrupt`, {}],
      ['POST', `${path}/e1/fail`, { code: 'x', message: 'x' }],
      ['POST', `${path}/e1/input`, { data: 'x' }],
    ] as const) {
      expectProblem(await ask(method, where, { body }), 'session_not_found');
    }
    expect((await ask('POST', `/v1/sessions/${session}/tickets`)).status).toBe(201);
    expect(await (await ViewerPeer.connect(session)).closed).toEqual({ code: 4404, reason: 'session_not_found' });
    expect(await callsOf(session).readEvents({ after: 0, limit: 10 })).toMatchObject({ ok: false, code: 'session_not_found' });
    await runInDurableObject(stubOf(session), async (_, { storage }) => {
      expect(storage.sql.exec('SELECT name FROM sqlite_master').toArray()).toEqual([]);
      expect(await storage.getAlarm()).toBeNull();
    });
  });

  test('[HTTP11] a start that is refused before it reaches the session creates nothing either', async () => {
    const session = newSession();
    expectProblem(await starting(session, { command: [] }), 'bad_request');
    await runInDurableObject(stubOf(session), (_, { storage }) => {
      expect(storage.sql.exec('SELECT name FROM sqlite_master').toArray()).toEqual([]);
    });
  });
});

describe('tickets', () => {
  const claimsOf = (ticket: unknown) =>
    JSON.parse(atob(String(ticket).split('.')[1]?.replaceAll('-', '+').replaceAll('_', '/') ?? ''));

  test('a ticket reports its expiry, and carries exactly what it may read', async () => {
    const run = await start(newSession());
    vi.useFakeTimers({ now: 1_763_650_000_999, toFake: ['Date'] });
    const plain = await ask('POST', `/v1/sessions/${run.session}/tickets`);
    expect(plain.status).toBe(201);
    expect(plain.body).toEqual({ ticket: expect.any(String), expiresAt: (1_763_650_000 + TICKET_TTL_SECONDS_DEFAULT) * 1000 });
    expect(claimsOf(plain.body.ticket)).toEqual({
      sid: run.session,
      sub: 'acme',
      iss: 'holdfast',
      aud: 'holdfast.stream',
      iat: 1_763_650_000,
      exp: 1_763_650_000 + TICKET_TTL_SECONDS_DEFAULT,
      until: 1_763_650_000 + TICKET_TTL_SECONDS_DEFAULT + TICKET_UNTIL_SECONDS_DEFAULT,
      jti: expect.stringMatching(/^t_[0-9A-Z]{26}$/),
    });
    const narrow = await ask('POST', `/v1/sessions/${run.session}/tickets`, {
      body: { execution: 'e1', types: ['output'], can: ['read', 'input'], ttlSeconds: 3600 },
    });
    expect(narrow.body.expiresAt).toBe(1_763_653_600_000);
    expect(claimsOf(narrow.body.ticket)).toMatchObject({
      eid: 'e1',
      types: ['output'],
      can: ['read', 'input'],
      exp: 1_763_653_600,
    });
  });
});

describe('secrets in responses', () => {
  provideContainers(() => Response.json({ detail: 'not here' }, { status: 400 }));
  const SECRETS = { env: 'env-secret-5d1f', stdin: 'stdin-secret-8a2c' };
  const request = { command: ['job'], env: { TOKEN: SECRETS.env }, stdin: SECRETS.stdin, launcher: 'container' };

  const silent = (what: string, text: string): void => {
    for (const secret of Object.values(SECRETS)) expect(text, what).not.toContain(secret);
  };

  const listen = (): string[] => {
    const lines: string[] = [];
    for (const level of ['log', 'info', 'warn', 'error', 'debug'] as const) {
      vi.spyOn(console, level).mockImplementation((...args) => void lines.push(args.map(String).join(' ')));
    }
    return lines;
  };

  test('[HTTP20] env and stdin are in no answer, no event and no log line, and the row deletes them when the execution ends', async () => {
    const lines = listen();
    const session = newSession();
    const path = executionsOf(session);
    const blocker = await start(session, { id: 'blocker' });
    const started = await ask('POST', path, { body: { id: 'e1', onBusy: 'queue', ...request } });
    expect(started.status).toBe(201);
    const rows = () =>
      runInDurableObject(stubOf(session), (_, { storage }) =>
        JSON.stringify([
          storage.sql.exec('SELECT * FROM log').toArray(),
          storage.sql.exec('SELECT * FROM commands').toArray(),
          storage.sql.exec('SELECT * FROM executions').toArray(),
        ]),
      );
    // They are stored while the launcher still has to pass them on. Otherwise this test would show
    // nothing.
    for (const secret of Object.values(SECRETS)) expect(await rows()).toContain(secret);

    const viewer = await ViewerPeer.connect(session);
    const answers = [
      started,
      await ask('POST', path, { body: { id: 'e1', ...request } }),
      await ask('POST', path, { body: { id: 'e1', ...request, command: ['other'] } }),
      await ask('POST', path, { body: { id: 'e2', ...request } }),
      await ask('POST', path, { body: { id: 'e1', ...request, env: { TOKEN: `${SECRETS.env}\0` } } }),
      await ask('POST', path, { body: { id: 'e1', ...request, env: { [SECRETS.env]: 5 } } }),
      await ask('POST', path, { body: { id: 'e1', ...request, stdin: [SECRETS.stdin] } }),
      await ask('POST', path, { body: `{"env":{"TOKEN":"${SECRETS.env}` }),
      await ask('GET', path),
      await ask('GET', `${path}/e1`),
      await ask('GET', `/v1/sessions/${session}`),
    ];
    expect(answers.map(({ status }) => status)).toEqual([201, 200, 409, 409, 400, 400, 400, 400, 200, 200, 200]);
    await fail(blocker);
    // The runner refuses, so the execution fails.
    await vi.waitFor(async () => expect(await ask('GET', `${path}/e1`)).toMatchObject({ body: { code: 'launch_failed' } }), 5000);
    answers.push(await ask('GET', `${path}/e1`));
    await viewer.until('caught_up');
    await vi.waitFor(() => expect(viewer.events.at(-1)).toMatchObject({ type: 'execution_failed' }));
    for (const { text, headers } of answers) silent('answer', text + JSON.stringify([...headers]));
    silent('rows', await rows());
    silent('log', JSON.stringify(await readLog(session)));
    silent('viewer', JSON.stringify(viewer.received));
    silent('console', lines.join('\n'));
    expect(lines.join('\n')).toContain('launch');
  });

  test('[HTTP20] launcher none stores neither: the caller that starts the wrapper has them already', async () => {
    const session = newSession();
    await start(session, { command: ['job'], env: request.env, stdin: request.stdin });
    const kept = await runInDurableObject(stubOf(session), (_, { storage }) =>
      storage.sql.exec('SELECT env, stdin FROM executions').toArray(),
    );
    expect(kept).toEqual([{ env: null, stdin: null }]);
  });

  test('[HTTP20] a row that cannot be written is answered 500 and logged, without the secrets', async () => {
    const lines = listen();
    const run = await start(newSession());
    await runInDurableObject(stubOf(run.session), (_, { storage }) => {
      storage.sql.exec("CREATE TRIGGER full BEFORE INSERT ON executions BEGIN SELECT RAISE(ABORT, 'no room'); END");
    });
    const answer = await ask('POST', executionsOf(run.session), { body: { id: 'e2', onBusy: 'queue', ...request } });
    expectProblem(answer, 'internal');
    silent('answer', answer.text);
    silent('console', lines.join('\n'));
    expect(lines.join('\n')).toContain('no room');
    expectProblem(await ask('GET', `${executionsOf(run.session)}/e2`), 'execution_not_found');
    expect(await readLog(run.session)).toHaveLength(1);
  });
});

describe('every response', () => {
  test("has a request id: the client's if it is a valid id, otherwise a generated one", async () => {
    const { headers } = await ask('GET', '/healthz', { key: null, headers: { 'x-request-id': 'trace-1' } });
    expect(headers.get('x-request-id')).toBe('trace-1');
    for (const given of ['two words', '<script>', '.hidden', 'x'.repeat(129)]) {
      const answer = await ask('GET', '/v1/nothing', { headers: { 'x-request-id': given } });
      expect(expectProblem(answer, 'not_found').requestId).toMatch(/^req_[0-9A-HJKMNP-TV-Z]{26}$/);
    }
  });

  test('[HTTP1] the same over the network as in the Worker: content type, code and request id', async () => {
    const response = await upgrade(`${ORIGIN}/v1/sessions/never-started`, {
      authorization: `Bearer ${ACME_KEY}`,
      'x-request-id': 'r1',
    });
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(response.headers.get('x-request-id')).toBe('r1');
    expect(await response.json()).toMatchObject({ code: 'session_not_found', requestId: 'r1', retryable: false });
  });

  test('/healthz needs no key and reports the deployed version', async () => {
    expect(await ask('GET', '/healthz', { key: null })).toMatchObject({
      status: 200,
      body: { status: 'ok', version: expect.any(String) },
    });
  });

  test.each([
    '/v1',
    '/v1/',
    '/v2/sessions',
    '/v1/sessions/s/executions/e/unknown',
    '/v1/sessions/s/executions/e/interrupt/now',
    '/v1/sessions/s/executions/',
    '/v1/sessions//executions',
    '/v1/SESSIONS/s',
    '/v1/sessions/../executions',
    '/v1/sessions/%2e%2e/executions',
    '/favicon.ico',
  ])('[HTTP4] the unknown path %s is answered 404 not_found', async (path) => {
    expectProblem(await ask('GET', path), 'not_found');
    expectProblem(await ask('POST', path, { body: {} }), 'not_found');
  });

  test.each([
    ['PUT', '/v1/sessions/s/executions', 'GET, HEAD, POST'],
    ['PATCH', '/v1/sessions/s/executions/e', 'GET, HEAD'],
    ['GET', '/v1/sessions/s/executions/e/interrupt', 'POST'],
    ['GET', '/v1/sessions/s/executions/e/fail', 'POST'],
    ['PUT', '/v1/sessions/s/executions/e/input', 'POST'],
    ['GET', '/v1/sessions/s/tickets', 'POST'],
    ['DELETE', '/v1/sessions/s/tickets', 'POST'],
    ['POST', '/healthz', 'GET, HEAD'],
  ])('[HTTP4] %s %s is answered 405, with the methods that it takes', async (method, path, allow) => {
    const answer = await ask(method, path);
    expectProblem(answer, 'method_not_allowed');
    expect(answer.headers.get('allow')).toBe(allow);
  });

  test('HEAD answers as GET does, without a body', async () => {
    const run = await start(newSession());
    expect(await ask('HEAD', `/v1/sessions/${run.session}`)).toMatchObject({ status: 200, text: '' });
    expect(await ask('HEAD', '/v1/sessions/never-started')).toMatchObject({ status: 404, text: '' });
  });
});
