/**
 * From the queue to the receiver: one signed request for each attempt, and the queue's instruction
 * after it.
 * Method: the Worker's own handler with a batch as the platform makes one; `fetch` is a receiver
 * that verifies requests with the library that receivers use.
 */

import { createExecutionContext, createMessageBatch, getQueueResult } from 'cloudflare:test';
import { Webhook } from 'standardwebhooks';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { type Execution, POLICY_DEFAULTS } from '../../../protocol/index.ts';
import { CALLBACK_RETRIES_MAX, CALLBACK_RETRY_CAP_SECONDS } from '../../../src/callbacks/attempts.ts';
import { callbackMessage } from '../../../src/callbacks/message.ts';
import type { CallbackMessage } from '../../../src/core/callback-message.ts';
import worker from '../../../src/index.ts';
import { API_KEY_CHARS_MIN, CALLBACK_KEY_BYTES_MAX, CALLBACK_KEY_BYTES_MIN, readConfig } from '../../../src/platform/config.ts';
import type { Env } from '../../../src/platform/env.ts';
import { deployment } from '../support/http.ts';
import { testEnv } from '../support/peers.ts';

const KEY = testEnv.HOLDFAST_CALLBACK_KEYS?.split('acme=')[1] ?? '';
const keyOf = (bytes: number, byte = 7): string => `whsec_${btoa(String.fromCharCode(byte).repeat(bytes))}`;
const ADDRESS = 'https://hooks.example.com/done?token=secret-in-the-address';

interface Received {
  url: string;
  method: string;
  headers: Record<string, string>;
  body: string;
  init: RequestInit;
}
const received: Received[] = [];
/** Responses of the receiver; the last is repeated. */
let answers: (Response | Error | (() => Response))[] = [];

const spoken: string[] = [];
beforeEach(() => {
  received.length = 0;
  spoken.length = 0;
  answers = [() => new Response('thank you', { status: 200 })];
  for (const level of ['info', 'warn', 'error'] as const)
    vi.spyOn(console, level).mockImplementation((line) => void spoken.push(String(line)));
  vi.stubGlobal('fetch', async (url: string, init: RequestInit) => {
    const headers = Object.fromEntries(new Headers(init.headers));
    received.push({ url, method: init.method ?? 'GET', headers, body: String(init.body), init });
    const answer = answers.length > 1 ? answers.shift() : answers[0];
    if (answer instanceof Error) throw answer;
    return typeof answer === 'function' ? answer() : (answer as Response);
  });
});
afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const execution = (id: string): Execution => ({
  id,
  session: 's1',
  status: 'failed',
  command: ['job'],
  format: 'text',
  launcher: 'none',
  labels: {},
  policy: POLICY_DEFAULTS,
  createdAt: 1_763_650_000_000,
  endedAt: 1_763_650_001_000,
  epoch: 1,
  firstOffset: 1,
  lastOffset: 3,
  error: 'wörth',
});
const messageOf = (id = 'cb_1', { tenant = 'acme', url = ADDRESS } = {}): CallbackMessage =>
  callbackMessage({ id, url, event: 'settled', offset: 3, createdAt: 1 }, tenant, execution(`e of ${id}`));

/** The outcome of each message, by its position: `ack`, or the seconds until its retry. */
async function deliver(bodies: unknown[], attempts = 1, env: Env = testEnv): Promise<('ack' | number)[]> {
  const batch = createMessageBatch<CallbackMessage>(
    'holdfast-callbacks',
    bodies.map((body, index) => ({ id: String(index), timestamp: Date.now(), attempts, body: body as CallbackMessage })),
  );
  // The result below leaves out the delays.
  const delays = batch.messages.map((message) => vi.spyOn(message, 'retry'));
  const ctx = createExecutionContext();
  await worker.queue(batch, env);
  const { outcome, explicitAcks, retryMessages, ackAll, retryBatch } = await getQueueResult(batch, ctx);
  expect([outcome, ackAll, retryBatch.retry]).toEqual(['ok', false, false]);
  return bodies.map((_, index) => {
    const retried = retryMessages.some(({ msgId }) => msgId === String(index));
    expect(explicitAcks.includes(String(index))).toBe(!retried);
    const delay = delays[index]?.mock.lastCall?.[0]?.delaySeconds;
    if (retried && delay === undefined) throw new Error('a retry without a delay would come at once');
    return retried ? (delay ?? 0) : 'ack';
  });
}

const verify = ({ body, headers }: Received, key = KEY): unknown => new Webhook(key).verify(body, headers);

describe('[CB2] [CB3] the request', () => {
  test('is a POST of the body with the three headers, and its signature is good', async () => {
    const message = messageOf();
    expect(await deliver([message])).toEqual(['ack']);
    const [got, ...more] = received as [Received];
    expect(more).toEqual([]);
    expect(got).toMatchObject({ url: ADDRESS, method: 'POST', body: message.body });
    expect(got.headers).toEqual({
      'content-type': 'application/json',
      'user-agent': expect.stringMatching(/^Holdfast-Callback\//),
      'webhook-id': 'cb_1',
      'webhook-timestamp': expect.stringMatching(/^[1-9][0-9]{9}$/),
      'webhook-signature': expect.stringMatching(/^v1,[A-Za-z0-9+/]{43}=$/),
    });
    expect(verify(got)).toMatchObject({
      type: 'execution.failed',
      data: { tenant: 'acme', session: 's1', execution: { error: 'wörth' } },
    });
    expect(() => verify({ ...got, body: `${got.body} ` })).toThrow();
  });

  test('during a key rotation every key of the tenant signs, newest first, and no other tenant’s', async () => {
    const [fresh, foreign] = [keyOf(32), keyOf(24)];
    const env = deployment({ HOLDFAST_CALLBACK_KEYS: `acme=${fresh}, globex=${foreign},acme=${KEY}` });
    await deliver([messageOf('cb_1'), messageOf('cb_2', { tenant: 'globex' })], 1, env);
    const [mine, theirs] = received as [Received, Received];
    const signatures = mine.headers['webhook-signature']?.split(' ') ?? [];
    expect(signatures).toHaveLength(2);
    expect(() => verify({ ...mine, headers: { ...mine.headers, 'webhook-signature': signatures[0] ?? '' } }, fresh)).not.toThrow();
    expect(() => verify(mine, KEY)).not.toThrow();
    expect(() => verify(mine, foreign)).toThrow();
    expect(() => verify(theirs, foreign)).not.toThrow();
    expect(() => verify(theirs, KEY)).toThrow();
  });
});

describe('[CB5] retries', () => {
  test('a receiver that is down for an hour gets it then: one id, one body, and a new signature for each attempt', async () => {
    const message = messageOf();
    const begun = Date.now();
    let now = begun;
    answers = [() => new Response('down', { status: 500 })];
    let attempts = 0;
    for (let outcome: 'ack' | number = 0; outcome !== 'ack'; ) {
      attempts += 1;
      vi.useFakeTimers({ now, toFake: ['Date'] });
      if (now - begun >= 3_600_000) answers = [() => new Response(null, { status: 204 })];
      [outcome] = (await deliver([message], attempts)) as ['ack' | number];
      // The library compares the signed time with the clock.
      expect(verify(received.at(-1) as Received)).toBeTruthy();
      if (outcome !== 'ack') now += outcome * 1000;
    }
    expect(now - begun).toBeLessThanOrEqual(3_600_000 + CALLBACK_RETRY_CAP_SECONDS * 1000);
    expect(attempts).toBeGreaterThan(8);
    expect(attempts).toBeLessThan(CALLBACK_RETRIES_MAX);
    expect(new Set(received.map(({ headers }) => headers['webhook-id']))).toEqual(new Set(['cb_1']));
    expect(new Set(received.map(({ body }) => body)).size).toBe(1);
    expect(new Set(received.map(({ headers }) => headers['webhook-timestamp'])).size).toBe(attempts);
  });

  test('410 is final, and is logged as lost', async () => {
    answers = [new Response(null, { status: 410 })];
    expect(await deliver([messageOf()])).toEqual(['ack']);
    expect(spoken.join('\n')).toContain('callback_given_up');
  });

  test('a redirect is not followed', async () => {
    answers = [new Response(null, { status: 307, headers: { location: 'http://169.254.169.254/' } })];
    expect(await deliver([messageOf()])).toEqual([5]);
    expect(received).toHaveLength(1);
    expect(received[0]?.init.redirect).toBe('manual');
  });

  test('Retry-After is respected', async () => {
    answers = [new Response(null, { status: 429, headers: { 'retry-after': '120' } })];
    expect(await deliver([messageOf()])).toEqual([120]);
  });

  test('a timeout and a failed connection are retried; each attempt has a timeout', async () => {
    answers = [new DOMException('The operation timed out', 'TimeoutError'), new TypeError(`could not fetch ${ADDRESS}`)];
    expect(await deliver([messageOf()], 3)).toEqual([20]);
    expect(await deliver([messageOf()], 4)).toEqual([40]);
    expect(spoken.map((line) => JSON.parse(line).outcome)).toEqual(['timeout', 'connection_failed']);
    expect(received[0]?.init.signal).toBeInstanceOf(AbortSignal);
  });

  test('a response whose body cannot be discarded is still a response', async () => {
    const broken = new ReadableStream({
      pull: () => new Promise(() => {}),
      cancel: () => Promise.reject(new Error('no')),
    });
    answers = [new Response(broken, { status: 200 })];
    expect(await deliver([messageOf()])).toEqual(['ack']);
  });

  test('each message of a batch is acknowledged on its own, and no message waits for another', async () => {
    let release = (): void => {};
    const slow = new Promise<void>((resolve) => {
      release = resolve;
    });
    vi.stubGlobal('fetch', async (url: string) => {
      if (url.endsWith('/slow')) await slow;
      if (url.endsWith('/last')) release();
      if (url.endsWith('/broken')) throw new Error('no');
      return new Response(null, { status: url.endsWith('/bad') ? 503 : 200 });
    });
    const bodies = ['slow', 'broken', 'bad', 'last'].map((name, index) =>
      messageOf(`cb_${index}`, { url: `https://example.com/${name}` }),
    );
    expect(await deliver(bodies)).toEqual(['ack', 5, 5, 'ack']);
  });
});

describe('an undeliverable message is not sent, and is retried until it ends in the dead-letter queue', () => {
  test.each<[what: string, body: unknown, settings: Parameters<typeof deployment>[0]]>([
    ['[CB3] a tenant whose key was taken away', messageOf(), { HOLDFAST_CALLBACK_KEYS: `globex=${keyOf(32)}` }],
    ['[CB3] a deployment without keys for callbacks', messageOf(), { HOLDFAST_CALLBACK_KEYS: undefined }],
    ['a deployment whose configuration can not be used', messageOf(), { HOLDFAST_API_KEYS: undefined }],
    [
      '[CB8] an address that is not allowed any more',
      messageOf('cb_1', { url: 'https://10.0.0.1/' }),
      { HOLDFAST_CALLBACK_ALLOW_PRIVATE: undefined },
    ],
    [
      '[CB8] http where it is not allowed',
      messageOf('cb_1', { url: 'http://example.com/' }),
      { HOLDFAST_CALLBACK_ALLOW_PRIVATE: '0' },
    ],
    ['a message of a later version', { ...messageOf(), version: 2 }, {}],
    ['something else', 'hello', {}],
  ])('%s', async (_, body, settings) => {
    expect(await deliver([body], 1, deployment(settings))).toEqual([5]);
    expect(await deliver([body], CALLBACK_RETRIES_MAX, deployment(settings))).toEqual([CALLBACK_RETRY_CAP_SECONDS]);
    expect(received).toEqual([]);
  });
});

test('[CB11] the log names the callback and its execution, and holds neither address, body nor key', async () => {
  answers = [
    new Response(null, { status: 500 }),
    new Error(`fetch ${ADDRESS}`),
    new Response(null, { status: 410 }),
    new Response(null),
  ];
  for (let index = 0; index < 4; index += 1) await deliver([messageOf()]);
  await deliver(
    [messageOf('cb_1', { url: 'https://10.0.0.1/secret-in-the-address' })],
    1,
    deployment({ HOLDFAST_CALLBACK_ALLOW_PRIVATE: '0' }),
  );
  expect(spoken).toHaveLength(5);
  for (const line of spoken) {
    expect(JSON.parse(line)).toMatchObject({ callback: 'cb_1', tenant: 'acme', session: 's1', execution: 'e of cb_1', attempt: 1 });
    expect(line).not.toMatch(/secret|example\.com|10\.0\.0|whsec|wörth/);
  }
});

describe('[CB3] the keys in the configuration', () => {
  const read = (keys: string | undefined, allow?: string) =>
    readConfig(deployment({ HOLDFAST_CALLBACK_KEYS: keys, HOLDFAST_CALLBACK_ALLOW_PRIVATE: allow }));

  test('absent, one, several for one tenant in their order; all base64 characters', () => {
    expect(read(undefined)).toMatchObject({ ok: true, config: { callbacks: { keys: [], allowPrivate: false } } });
    expect(read(' ', '0')).toMatchObject({ ok: true, config: { callbacks: { keys: [], allowPrivate: false } } });
    const [one, two] = [keyOf(CALLBACK_KEY_BYTES_MIN, 0xff), keyOf(CALLBACK_KEY_BYTES_MAX, 0xfb)];
    expect(two).toMatch(/[+/].*==$/);
    expect(read(`acme=${two},acme=${one}`, '1')).toMatchObject({
      config: {
        callbacks: {
          keys: [
            { tenant: 'acme', key: two },
            { tenant: 'acme', key: one },
          ],
          allowPrivate: true,
        },
      },
    });
  });

  test.each([
    ['one byte too few', `acme=${keyOf(CALLBACK_KEY_BYTES_MIN - 1)}`],
    ['one byte too many', `acme=${keyOf(CALLBACK_KEY_BYTES_MAX + 1)}`],
    ['no prefix', `acme=${keyOf(32).slice('whsec_'.length)}`],
    ['no tenant', keyOf(30)],
    ['a tenant that is none', `a/b=${keyOf(32)}`],
    ['an empty key', 'acme=whsec_'],
    ['no base64', 'acme=whsec_not-base64-at-all-but-long-enough-to-be'],
    ['no padding', `acme=${keyOf(32).replace('=', '')}`],
    ['one key for two tenants', `acme=${keyOf(32)},globex=${keyOf(32)}`],
  ])('%s is refused, without the key in the message', (_, keys) => {
    const answer = read(keys);
    expect(answer).toMatchObject({ ok: false, message: expect.stringContaining('HOLDFAST_CALLBACK_KEYS') });
    expect(JSON.stringify(answer)).not.toContain(keys.slice(-API_KEY_CHARS_MIN));
  });

  test('only the value 1 allows private addresses', () => {
    expect(read(undefined, 'true')).toMatchObject({
      ok: false,
      message: expect.stringContaining('HOLDFAST_CALLBACK_ALLOW_PRIVATE'),
    });
  });
});
