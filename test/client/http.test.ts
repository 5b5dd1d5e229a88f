/**
 * Goal: the client retries only what may be retried, within its budget, and every error has what a
 * caller needs.
 * Method: a real HTTP server that a test steers (fake-session). Clock and randomness are real; the
 * budget keeps delays short.
 */

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createClient, type HoldfastClient, HoldfastError } from '../../client/index.ts';
import { FakeSession } from '../support/fake-session.ts';

let fake: FakeSession;
let client: HoldfastClient;

beforeEach(async () => {
  fake = await new FakeSession().start();
  client = createClient({ url: fake.url, apiKey: 'key', random: () => 0 });
});
afterEach(() => fake.stop());

async function refusal(promise: Promise<unknown>): Promise<HoldfastError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof HoldfastError) return error;
    throw error;
  }
  throw new Error('it was not refused');
}

describe('start', () => {
  test('makes the id before the first attempt, and a retry after a lost response returns the same execution', async () => {
    fake.overrides.push({ match: /POST/, override: 'cut-after' });
    const { created, execution, ingest } = await client.start('s1', { command: ['job'] });
    expect(created).toBe(false);
    expect(fake.executions.size).toBe(1);
    const ids = fake.requests.map(({ body, headers }) => [(body as { id: string }).id, headers['idempotency-key']]);
    expect(ids).toEqual([
      [execution.id, execution.id],
      [execution.id, execution.id],
    ]);
    expect(execution.id).toMatch(/^exec_/);
    expect(ingest.url).toContain(execution.id);
  });

  test('keeps the id of the request, and reports when it is new', async () => {
    const { created, execution } = await client.start('s1', { id: 'mine', command: ['job'] });
    expect([created, execution.id]).toEqual([true, 'mine']);
  });

  test('a busy session is an error with its facts, and is not retried', async () => {
    fake.overrides.push({ match: /POST/, override: { problem: 'execution_in_progress', facts: { activeExecutionId: 'e9' } } });
    const error = await refusal(client.start('s1', { command: ['job'] }));
    expect(error).toMatchObject({ code: 'execution_in_progress', status: 409, retryable: true, requestId: 'req_1' });
    expect(error.facts).toEqual({ activeExecutionId: 'e9' });
    expect(fake.requests.length).toBe(1);
  });
});

describe('retries', () => {
  test.each(['overloaded', 'unavailable', 'internal'] as const)('%s', async (problem) => {
    fake.addExecution('e1');
    fake.overrides.push({ match: /GET/, override: { problem } });
    expect((await client.get('s1', 'e1')).id).toBe('e1');
    expect(fake.requests.length).toBe(2);
  });

  test('a cut connection, and a gateway without problem documents', async () => {
    fake.addExecution('e1');
    fake.overrides.push({ match: /GET/, override: 'cut' }, { match: /GET/, override: { status: 502, body: '<html>bad gateway' } });
    expect((await client.get('s1', 'e1')).id).toBe('e1');
    expect(fake.requests.length).toBe(3);
  });

  test('429 after the requested time', async () => {
    fake.overrides.push({ match: /POST/, override: { problem: 'queue_full', headers: { 'retry-after': '1' } } });
    const began = Date.now();
    await client.start('s1', { command: ['job'] });
    expect(Date.now() - began).toBeGreaterThanOrEqual(1000);
  });

  test('rate_limited, after the requested time, also for input: the server did nothing with it', async () => {
    fake.addExecution('e1');
    const limited = { problem: 'rate_limited', headers: { 'retry-after': '1' } } as const;
    fake.overrides.push({ match: /input/, override: limited }, { match: /GET/, override: limited });
    const began = Date.now();
    await client.sendInput('s1', 'e1', 'yes\n');
    expect(Date.now() - began).toBeGreaterThanOrEqual(1000);
    expect((await client.get('s1', 'e1')).id).toBe('e1');
    expect(Date.now() - began).toBeGreaterThanOrEqual(2000);
    expect([fake.inputs, fake.requests.length]).toEqual([['yes\n'], 4]);
  });

  test('rate limiting has a budget of its own, which an unreachable coordinator does not use', async () => {
    fake.addExecution('e1');
    const limited = { problem: 'rate_limited', headers: { 'retry-after': '1' } } as const;
    let waitedMs = 0;
    const patient = createClient({
      ...{ url: fake.url, apiKey: 'key', retryBudgetMs: 500, rateLimitBudgetMs: 2500, random: () => 0 },
      onRetry: (_error, delayMs) => {
        waitedMs += delayMs;
      },
    });
    fake.overrides.push({ match: /GET/, override: limited });
    expect((await patient.get('s1', 'e1')).id).toBe('e1');
    for (let index = 0; index < 9; index += 1) fake.overrides.push({ match: /GET/, override: limited });
    const error = await refusal(patient.get('s1', 'e1'));
    expect(error).toMatchObject({ code: 'rate_limited', status: 429, retryable: true, retryAfterMs: 1000 });
    fake.overrides.length = 0;
    for (let index = 0; index < 99; index += 1) fake.overrides.push({ match: /GET/, override: { problem: 'unavailable' } });
    waitedMs = 0;
    expect((await refusal(patient.get('s1', 'e1'))).code).toBe('unavailable');
    expect(waitedMs).toBeLessThanOrEqual(500);
  });

  test.each(['not_configured', 'unauthorized', 'bad_request', 'execution_id_conflict', 'too_large', 'session_full'] as const)(
    'not %s',
    async (problem) => {
      fake.overrides.push({ match: /POST/, override: { problem } });
      expect((await refusal(client.start('s1', { command: ['job'] }))).code).toBe(problem);
      expect(fake.requests.length).toBe(1);
    },
  );

  test.each([200, 400, 401, 403, 404, 409, 418, 451])(
    '[CLS16] a page with %i of something in between is tried again, and its cause is told when the budget is over',
    async (status) => {
      const page = { status, headers: { 'content-type': 'text/html' }, body: '<html>hello' };
      fake.addExecution('e1');
      fake.overrides.push({ match: /GET/, override: page }, { match: /GET/, override: page });
      expect((await client.get('s1', 'e1')).id).toBe('e1');
      for (let index = 0; index < 100; index += 1) fake.overrides.push({ match: /GET/, override: page });
      const brief = createClient({ url: fake.url, apiKey: 'key', retryBudgetMs: 300 });
      const error = await refusal(brief.get('s1', 'e1'));
      expect(error).toMatchObject({ code: 'bad_answer', retryable: true, status });
      expect(error.message).toContain(
        status === 200 ? 'the answer is not JSON' : `HTTP ${status} (text/html), which is no answer of the coordinator`,
      );
    },
  );

  test('[HTTP34] input that is an object, also when its answer was lost: it has an id, and the job reads it once', async () => {
    fake.addExecution('e1');
    fake.overrides.push({ match: /input/, override: 'cut-after' });
    await client.sendInput('s1', 'e1', { text: 'yes\n', eof: true });
    expect(fake.inputs).toEqual(['yes\n']);
    const ids = fake.requests.map(({ body }) => (body as { inputId?: string }).inputId);
    expect(ids).toEqual([expect.stringMatching(/^in_/), ids[0]]);
    await client.sendInput('s1', 'e1', { base64: 'AP8=', inputId: 'mine' }).catch(() => {});
    expect(fake.requests.at(-1)?.body).toMatchObject({ inputId: 'mine' });
  });

  test('[CLS16] not input that an intermediary answered: the job may have read it', async () => {
    fake.addExecution('e1');
    fake.overrides.push({ match: /input/, override: { status: 403, body: '<html>' } });
    expect((await refusal(client.sendInput('s1', 'e1', 'yes\n'))).code).toBe('bad_answer');
    expect(fake.requests.length).toBe(1);
  });

  test('not input whose response was lost: the job must not read it twice', async () => {
    fake.addExecution('e1');
    fake.overrides.push({ match: /input/, override: 'cut-after' });
    expect((await refusal(client.sendInput('s1', 'e1', 'yes\n'))).code).toBe('unreachable');
    expect(fake.inputs).toEqual(['yes\n']);
  });

  test('no longer than the budget; then the last error is thrown', async () => {
    for (let index = 0; index < 100; index += 1) fake.overrides.push({ match: /GET/, override: { problem: 'unavailable' } });
    const retries: number[] = [];
    const brief = createClient({
      url: fake.url,
      apiKey: 'key',
      retryBudgetMs: 500,
      onRetry: (_error, delayMs) => retries.push(delayMs),
    });
    expect(await refusal(brief.get('s1', 'e1'))).toMatchObject({ code: 'unavailable', status: 503 });
    expect(retries.reduce((sum, delayMs) => sum + delayMs, 0)).toBeLessThanOrEqual(500);
    expect(fake.requests.length).toBe(retries.length + 1);
    expect(retries.length).toBeGreaterThan(0);
  });

  test("no longer than the caller's signal allows", async () => {
    fake.overrides.push(...Array.from({ length: 50 }, () => ({ match: /GET/, override: 'cut' as const })));
    const controller = new AbortController();
    setTimeout(() => controller.abort(new Error('enough')), 50);
    await expect(client.get('s1', 'e1', { signal: controller.signal })).rejects.toThrow('enough');
  });
});

test('a server that does not answer is a timeout; one that cannot be reached is unreachable', async () => {
  const brief = createClient({ url: fake.url, apiKey: 'key', retryBudgetMs: 0, attemptTimeoutMs: 80 });
  fake.addExecution('e1');
  expect(await refusal(brief.get('s1', 'none'))).toMatchObject({ code: 'execution_not_found', status: 404 });
  const silent = createClient({
    url: fake.url,
    apiKey: 'key',
    retryBudgetMs: 0,
    attemptTimeoutMs: 80,
    fetch: (_url, init) =>
      new Promise((_resolve, reject) => init?.signal?.addEventListener('abort', () => reject(init.signal?.reason), { once: true })),
  });
  expect((await refusal(silent.get('s1', 'e1'))).code).toBe('timeout');
  await fake.stop();
  const error = await refusal(brief.get('s1', 'e1'));
  expect(error).toMatchObject({ code: 'unreachable', retryable: true, status: 0 });
  expect(error.message).toMatch(/ECONNREFUSED|ECONNRESET|other side closed/);
});

test('wait() long-polls until the execution has ended', async () => {
  fake.addExecution('e1');
  setTimeout(() => fake.settle('e1', 'failed', { exitCode: 3 }), 60);
  const execution = await client.wait('s1', 'e1');
  expect(execution).toMatchObject({ status: 'failed', exitCode: 3 });
  expect(fake.requests.map(({ query }) => query.get('wait'))).toEqual(['55']);
});

describe('[CLS19] a refusal while wait() waits', () => {
  const path = /GET .*\/executions\/e1/;
  const waitingClient = (refusedBudgetMs: number) => {
    let asked = 0;
    const held: typeof fetch = async (input, init) => {
      // A coordinator that holds its first response, and then restarts.
      if (++asked === 1) await new Promise((resolve) => setTimeout(resolve, 1200));
      return fetch(input, init);
    };
    return { client: createClient({ url: fake.url, apiKey: 'key', fetch: held, refusedBudgetMs }), asked: () => asked };
  };

  test.each(['session_not_found', 'unauthorized'] as const)('a temporary %s is retried', async (problem) => {
    fake.addExecution('e1');
    fake.overrides.push({ match: path, override: { problem } }, { match: path, override: { problem } });
    const { client: waiting, asked } = waitingClient(60_000);
    setTimeout(() => fake.settle('e1', 'completed', { exitCode: 0 }), 60);
    expect(await waiting.wait('s1', 'e1')).toMatchObject({ status: 'completed' });
    expect(asked()).toBeGreaterThanOrEqual(3);
  });

  test('a permanent one is final', async () => {
    for (let index = 0; index < 50; index += 1) fake.overrides.push({ match: path, override: { problem: 'session_not_found' } });
    const { client: waiting, asked } = waitingClient(500);
    expect(await refusal(waiting.wait('s1', 'e1'))).toMatchObject({ code: 'session_not_found' });
    expect(asked()).toBe(2);
  });

  test('the first response is final at once, and so is a deleted session', async () => {
    fake.overrides.push({ match: path, override: { problem: 'session_not_found' } });
    expect(await refusal(client.wait('s1', 'e1'))).toMatchObject({ code: 'session_not_found' });
    const type = 'https://holdfast.dev/problems/session_not_found';
    const deleted = {
      type,
      status: 404,
      code: 'session_not_found',
      title: 'Gone',
      detail: 'Gone.',
      retryable: false,
      deleted: true,
    };
    const headers = { 'content-type': 'application/problem+json' };
    fake.overrides.push({ match: path, override: { status: 404, headers, body: JSON.stringify(deleted) } });
    const { client: waiting, asked } = waitingClient(60_000);
    expect(await refusal(waiting.wait('s1', 'e1'))).toMatchObject({ code: 'session_not_found' });
    expect(asked()).toBe(1);
  });
});

test('the other calls, on the paths and with the bodies of the API', async () => {
  fake.addExecution('e1');
  fake.addExecution('e2', { status: 'completed' });
  expect((await client.list('s1', { status: 'running', limit: 5 })).data.map(({ id }) => id)).toEqual(['e1']);
  expect((await client.list('s1', { limit: 1 })).next).toBe('c1');
  expect((await client.sessions()).data[0]).toMatchObject({ id: 's1', execution: { id: 'e2' } });
  expect(await client.session('s1')).toMatchObject({ id: 's1', head: 0 });
  expect(await client.createTicket('s1', { execution: 'e1', ttlSeconds: 60 })).toEqual({ ticket: 't1', expiresAt: 0 });
  expect(await client.interrupt('s1', 'e1', { reason: 'no more', force: true })).toMatchObject({ accepted: true, settled: false });
  expect(await client.interrupt('s1', 'e2')).toMatchObject({ accepted: false, settled: false });
  expect(await client.fail('s1', 'e1', { code: 'lost', message: 'gone' })).toEqual({ settled: true });
  expect(await client.fail('s1', 'e1', { code: 'lost', message: 'gone' })).toEqual({ settled: false });
  const posts = fake.requests.filter(({ method }) => method === 'POST').map(({ path, body }) => [path, body]);
  expect(posts).toEqual([
    ['/v1/sessions/s1/tickets', { execution: 'e1', ttlSeconds: 60 }],
    ['/v1/sessions/s1/executions/e1/interrupt', { reason: 'no more', force: true }],
    ['/v1/sessions/s1/executions/e2/interrupt', {}],
    ['/v1/sessions/s1/executions/e1/fail', { code: 'lost', message: 'gone' }],
    ['/v1/sessions/s1/executions/e1/fail', { code: 'lost', message: 'gone' }],
  ]);
});
