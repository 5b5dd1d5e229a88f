/**
 * Callbacks, as far as they are decisions: where one may go, what it says and how it is signed, and
 * what follows an attempt. Method: tables and properties; a signature is checked by the library
 * that receivers use.
 */

import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { Webhook } from 'standardwebhooks';
import { describe, expect, test } from 'vitest';
import {
  CALLBACK_EVENTS,
  type CallbackEvent,
  type CallbackPayload,
  type Execution,
  POLICY_DEFAULTS,
  QUESTION_BYTES_MAX,
  TERMINAL_STATUSES,
  type TerminalStatus,
  utf8Bytes,
} from '../../protocol/index.ts';
import { checkCallbackUrl } from '../../src/callbacks/address.ts';
import {
  type AttemptOutcome,
  afterAttempt,
  CALLBACK_BATCH_MAX,
  CALLBACK_RETRIES_MAX,
  CALLBACK_RETRY_CAP_SECONDS,
  CALLBACK_TIMEOUT_MS,
} from '../../src/callbacks/attempts.ts';
import {
  CALLBACK_MESSAGE_BYTES_MAX,
  CALLBACK_TEXT_CHARS_MAX,
  callbackMessage,
  isCallbackMessage,
  signedHeaders,
} from '../../src/callbacks/message.ts';
import {
  addressFor,
  type CallbackFacts,
  type CallbackRecord,
  isExpired,
  leaseForAttempt,
  newCallback,
  toldEvents,
} from '../../src/core/callback.ts';
import { RETENTION_MS } from '../../src/core/deadlines.ts';
import { ATTEMPT_TIMEOUT_MS, LEASE_MS, RETRY_CAP_MS } from '../../src/core/leased-row.ts';
import { propertyRuns } from '../support/property-runs.ts';

const NOW = 1_763_650_000_000;
const DAY_SECONDS = 86_400;

describe('[CB8] addresses', () => {
  const PRIVATE = 'must not be a private or loopback address';

  test.each([
    // IPv4, in every spelling that the parser of a URL takes.
    ...[
      '127.0.0.1',
      '127.1',
      '127.0.1',
      '0x7f.1',
      '0x7f000001',
      '2130706433',
      '017700000001',
      '0177.0.0.1',
      '127.0.0.1.',
      '127.0.0.1..',
    ],
    ...['１２７.0.0.1', '127。0。0。1', '%31%32%37.0.0.1', '127.255.255.254', '0.0.0.0', '0', '0.1.2.3'],
    ...['10.0.0.1', '10.255.255.255', '012.1.1.1', '172.16.0.1', '172.31.255.255', '192.168.0.1', '192.168.255.255', '3232235521'],
    ...['169.254.0.1', '169.254.169.254', '0xa9fea9fe', '100.64.0.1', '100.127.255.255', '100.100.100.200'],
    ...['192.0.0.1', '192.0.2.1', '192.88.99.1', '198.18.0.1', '198.19.255.255', '198.51.100.1', '203.0.113.1'],
    ...['224.0.0.1', '239.255.255.255', '240.0.0.1', '255.255.255.255'],
    // IPv6: loopback, unspecified, link-local, unique local, multicast, documentation, what is not
    // assigned.
    ...['[::1]', '[::]', '[0:0:0:0:0:0:0:1]', '[fe80::1]', '[febf::1]', '[fec0::1]', '[fc00::1]', '[fd12:3456::1]', '[ff02::1]'],
    ...['[2001:db8::1]', '[3fff::1]', '[100::1]', '[4000::1]', '[5f00::1]'],
    // An IPv4 address in other clothes: mapped, compatible, translated, NAT64, 6to4, Teredo,
    // ORCHID.
    ...[
      '[::ffff:127.0.0.1]',
      '[::ffff:7f00:1]',
      '[::ffff:10.1.2.3]',
      '[0:0:0:0:0:ffff:a9fe:a9fe]',
      '[::127.0.0.1]',
      '[::ffff:0:127.0.0.1]',
    ],
    ...[
      '[64:ff9b::127.0.0.1]',
      '[64:ff9b::a9fe:a9fe]',
      '[64:ff9b:1::1.2.3.4]',
      '[2002:7f00:1::]',
      '[2002:a9fe:a9fe::1]',
      '[2001::1]',
      '[2001:10::1]',
    ],
    // Names.
    ...[
      'localhost',
      'LOCALHOST',
      'localhost.',
      'localhost..',
      'a.localhost',
      'ｌocalhost',
      '%6c%6fcalhost',
      'localhost.localdomain',
    ],
    ...[
      'intranet',
      'db',
      'printer.local',
      'metadata.google.internal',
      'a.lan',
      'router.home.arpa',
      'a.test',
      'a.invalid',
      'x.onion',
    ],
  ])('%s is private', (host) => {
    for (const port of ['', ':8443']) {
      expect(checkCallbackUrl(`https://${host}${port}/hook?x=1`, false)).toBe(PRIVATE);
      expect(checkCallbackUrl(`http://${host}${port}/hook`, true)).toBeNull();
    }
  });

  test.each([
    ...[
      'example.com',
      'EXAMPLE.com.',
      'hooks.example.co.uk',
      'localhost.example.com',
      'mylocalhost.com',
      'test.dev',
      'a-local.org',
      'bücher.example',
    ],
    ...[
      '1.1.1.1',
      '8.8.8.8',
      '9.255.255.255',
      '11.0.0.1',
      '126.1.1.1',
      '128.0.0.1',
      '172.15.0.1',
      '172.32.0.1',
      '192.167.0.1',
      '192.169.0.1',
    ],
    ...[
      '100.63.0.1',
      '100.128.0.1',
      '169.253.0.1',
      '169.255.0.1',
      '198.17.0.1',
      '198.20.0.1',
      '203.0.112.1',
      '223.255.255.255',
      '192.0.1.1',
    ],
    ...[
      '[2606:4700:4700::1111]',
      '[2a00:1450::1]',
      '[2001:200::1]',
      '[2001:4860:4860::8888]',
      '[3ffe::1]',
      '[64:ff9b::8.8.8.8]',
      '[::ffff:8.8.8.8]',
    ],
    '[2002:808:808::1]',
  ])('%s is public', (host) => {
    expect(checkCallbackUrl(`https://${host}:8443/hook?x=1`, false)).toBeNull();
    expect(checkCallbackUrl(`http://${host}/hook`, false)).toBe('must begin with https://');
    expect(checkCallbackUrl(`http://${host}/hook`, true)).toBeNull();
  });

  test.each([
    ['', 'is not a URL'],
    ['example.com', 'is not a URL'],
    ['https://', 'is not a URL'],
    ['https://[fe80::1%25eth0]/', 'is not a URL'],
    ['https://256.1.1.1/', 'is not a URL'],
    ['https://user:secret@example.com/', 'must not hold a user name or password: it would be kept and shown'],
    ['https://token@example.com/', 'must not hold a user name or password: it would be kept and shown'],
  ])('%s is refused whatever is allowed', (text, reason) => {
    expect(checkCallbackUrl(text, false)).toBe(reason);
    expect(checkCallbackUrl(text, true)).toBe(reason);
  });

  test.each(['ftp://example.com/', 'file:///etc/passwd', 'javascript:alert(1)', 'ws://example.com/', 'data:text/plain,x'])(
    '%s is not a valid address of a receiver, also where private ones are allowed',
    (text) => {
      expect(checkCallbackUrl(text, false)).toMatch(/^must /);
      expect(checkCallbackUrl(text, true)).toBe('must begin with http:// or https://');
    },
  );

  const octet = fc.nat(255);
  /**
   * Address blocks from IANA's registries, as numbers: written down apart from the code's own way
   * of saying the same.
   */
  const BLOCKS: [base: string, bits: number][] = [
    ...([
      '0.0.0.0/8',
      '10.0.0.0/8',
      '100.64.0.0/10',
      '127.0.0.0/8',
      '169.254.0.0/16',
      '172.16.0.0/12',
      '192.0.0.0/24',
      '192.0.2.0/24',
    ] as const),
    ...([
      '192.88.99.0/24',
      '192.168.0.0/16',
      '198.18.0.0/15',
      '198.51.100.0/24',
      '203.0.113.0/24',
      '224.0.0.0/4',
      '240.0.0.0/4',
    ] as const),
  ].map((block) => [block.split('/')[0] as string, Number(block.split('/')[1])]);
  const numberOf = (address: string): number => address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const isSpecial = (address: string): boolean =>
    BLOCKS.some(
      ([base, bits]) => Math.floor(numberOf(address) / 2 ** (32 - bits)) === Math.floor(numberOf(base) / 2 ** (32 - bits)),
    );
  const addresses = fc.oneof(
    fc.tuple(octet, octet, octet, octet).map((parts) => parts.join('.')),
    // Near the edges of the blocks, where a mistake would be.
    fc.tuple(fc.constantFrom(...BLOCKS), fc.boolean(), fc.integer({ min: -2, max: 2 })).map(([[base, bits], end, off]) => {
      const value = Math.min(2 ** 32 - 1, Math.max(0, numberOf(base) + (end ? 2 ** (32 - bits) : 0) + off));
      return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
    }),
  );

  test('an IPv4 address is refused exactly when a registry marks it as special, however it is spelled or wrapped', () => {
    fc.assert(
      fc.property(addresses, (address) => {
        const value = numberOf(address);
        const [a, b, c, d] = address.split('.').map(Number) as [number, number, number, number];
        const hex = value.toString(16).padStart(8, '0');
        const groups = `${hex.slice(0, 4)}:${hex.slice(4)}`;
        const spellings = [
          address,
          String(value),
          `0x${hex}`,
          `0${value.toString(8)}`,
          `${a}.${b}.${c * 256 + d}`,
          `0x${a.toString(16)}.0${b.toString(8)}.${c}.${d}`,
          `[::ffff:${address}]`,
          `[::ffff:${groups}]`,
          `[64:ff9b::${groups}]`,
          `[2002:${groups}::1]`,
        ];
        for (const host of spellings) {
          expect(checkCallbackUrl(`https://${host}/`, false), host).toBe(isSpecial(address) ? PRIVATE : null);
        }
      }),
      { numRuns: propertyRuns(2000) },
    );
  });

  test('of IPv6 only global unicast is let through, and of that not what is known to be special', () => {
    const group = fc.nat(0xffff);
    fc.assert(
      fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
        const host = `[${groups.map((one) => one.toString(16)).join(':')}]`;
        if (checkCallbackUrl(`https://${host}/`, false) === null) expect((groups[0] ?? 0) >> 13).toBe(1);
      }),
    );
    fc.assert(
      fc.property(fc.array(group, { minLength: 7, maxLength: 7 }), fc.integer({ min: 0x2003, max: 0x3ffe }), (rest, first) => {
        const host = `[${[first, ...rest].map((one) => one.toString(16)).join(':')}]`;
        expect(checkCallbackUrl(`https://${host}/`, false), host).toBeNull();
      }),
    );
  });

  test('whatever is given, it answers', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.webUrl(),
          fc.string().map((text) => `https://${text}/`),
        ),
        fc.boolean(),
        (text, allow) => {
          const answer = checkCallbackUrl(text, allow);
          expect(answer === null || answer.length > 0).toBe(true);
        },
      ),
      { numRuns: propertyRuns(100) },
    );
  });
});

describe('[CB5] what follows an attempt', () => {
  const answered = (status: number, retryAfterMs: number | null = null): AttemptOutcome => ({
    kind: 'answered',
    status,
    retryAfterMs,
  });
  const pauses = (outcome: AttemptOutcome): number[] =>
    Array.from({ length: CALLBACK_RETRIES_MAX }, (_, index) => {
      const next = afterAttempt(outcome, index + 1);
      if (next.kind !== 'retry') throw new Error(`attempt ${index + 1} is followed by ${next.kind}`);
      return next.delaySeconds;
    });
  const sum = (numbers: number[]): number => numbers.reduce((total, one) => total + one, 0);

  test.each([200, 201, 202, 204, 299])('%i is the end of it', (status) => {
    expect(afterAttempt(answered(status, 5000), 7)).toEqual({ kind: 'done' });
  });

  test('410 ends the retries at once', () => {
    expect(afterAttempt(answered(410), 1)).toMatchObject({ kind: 'give_up', reason: expect.stringContaining('410') });
  });

  test.each<[string, AttemptOutcome]>([
    ...[100, 199, 300, 301, 302, 307, 308, 400, 401, 403, 404, 409, 429, 500, 502, 503].map((status): [string, AttemptOutcome] => [
      String(status),
      answered(status),
    ]),
    ['silence', { kind: 'unreachable', reason: 'timeout' }],
    ['no connection', { kind: 'unreachable', reason: 'connection_failed' }],
    ['no key', { kind: 'unsigned' }],
    ['an address that is not allowed any more', { kind: 'refused', reason: 'is private' }],
    ['a message of another version', { kind: 'unreadable' }],
  ])('%s is tried again, with pauses that grow from 5 s to 14 minutes', (_, outcome) => {
    const all = pauses(outcome);
    expect(all.slice(0, 9)).toEqual([5, 10, 20, 40, 80, 160, 320, 640, CALLBACK_RETRY_CAP_SECONDS]);
    expect(new Set(all.slice(8))).toEqual(new Set([CALLBACK_RETRY_CAP_SECONDS]));
  });

  test('Retry-After makes a pause longer, never shorter, and never longer than the cap', () => {
    expect(afterAttempt(answered(503, 1), 1)).toEqual({ kind: 'retry', delaySeconds: 5 });
    expect(afterAttempt(answered(503, 60_500), 1)).toEqual({ kind: 'retry', delaySeconds: 61 });
    expect(afterAttempt(answered(429, DAY_SECONDS * 1000), 1)).toEqual({ kind: 'retry', delaySeconds: CALLBACK_RETRY_CAP_SECONDS });
  });

  test('a count that the platform never gives does not break the pause', () => {
    for (const attempts of [0, -1, 1e6]) {
      const next = afterAttempt(answered(500), attempts);
      expect(next.kind === 'retry' && next.delaySeconds >= 5 && next.delaySeconds <= CALLBACK_RETRY_CAP_SECONDS).toBe(true);
    }
  });

  test('a receiver that is down for an hour is reached within 14 minutes of its return, with most attempts left', () => {
    let waited = 0;
    let attempts = 0;
    for (const pause of pauses(answered(500))) {
      if (waited > 3600) break;
      attempts += 1;
      waited += pause;
    }
    expect(waited - 3600).toBeLessThanOrEqual(CALLBACK_RETRY_CAP_SECONDS);
    expect(attempts).toBeLessThan(15);
  });

  test('all attempts take more than 20 hours, and less than the day for which a queue keeps a message at least', () => {
    expect(sum(pauses(answered(500)))).toBeGreaterThan(20 * 3600);
    const slowest = sum(pauses(answered(503, DAY_SECONDS * 1000))) + (CALLBACK_RETRIES_MAX + 1) * (CALLBACK_TIMEOUT_MS / 1000);
    expect(slowest).toBeLessThan(DAY_SECONDS);
  });

  test('the queue of wrangler.toml matches the code', () => {
    const text = readFileSync(new URL('../../wrangler.toml', import.meta.url), 'utf8');
    const consumer = text.slice(text.indexOf('[[queues.consumers]]'));
    expect(consumer).toContain(`max_retries = ${CALLBACK_RETRIES_MAX}\n`);
    expect(consumer).toContain(`max_batch_size = ${CALLBACK_BATCH_MAX}\n`);
    expect(consumer).toContain('dead_letter_queue = "holdfast-callbacks-dead"\n');
    expect(text).toContain('[[queues.producers]]\nbinding = "CALLBACKS"\nqueue = "holdfast-callbacks"\n');
    expect(consumer).toContain('\nqueue = "holdfast-callbacks"\n');
  });
});

const execution = (fields: Partial<Execution> = {}): Execution => ({
  id: 'e1',
  session: 's1',
  status: 'completed',
  command: ['echo', 'wörth "quoted" \u0001'],
  format: 'text',
  launcher: 'none',
  labels: { team: 'a' },
  policy: POLICY_DEFAULTS,
  createdAt: NOW,
  endedAt: NOW + 1234,
  epoch: 1,
  firstOffset: 1,
  lastOffset: 9,
  exitCode: 0,
  ...fields,
});
const ADDRESSED = { id: 'cb_1', url: 'https://example.com/hook' };
const to: CallbackFacts = { ...ADDRESSED, event: 'settled', offset: 9, createdAt: NOW };
const payloadOf = (one: Execution): CallbackPayload => JSON.parse(callbackMessage(to, 'acme', one).body);

describe('the message', () => {
  test('[CB2] the type is the status, the time the end, and the execution is there as it is', () => {
    expect(callbackMessage(to, 'acme', execution())).toMatchObject({
      version: 1,
      ...ADDRESSED,
      tenant: 'acme',
      session: 's1',
      execution: 'e1',
    });
    expect(payloadOf(execution())).toEqual({
      type: 'execution.completed',
      timestamp: '2025-11-20T14:46:41.234Z',
      data: { tenant: 'acme', session: 's1', execution: execution(), offset: 9 },
    });
    for (const status of TERMINAL_STATUSES)
      expect(payloadOf(execution({ status })).type).toBe(`execution.${status satisfies TerminalStatus}`);
  });

  test('[CB12] of another event: its name, its time, its offset, and the execution as it was', () => {
    const { endedAt: _, ...running } = execution({ status: 'running' });
    for (const event of ['started', 'asking', 'waiting', 'disconnected'] as const) {
      const message = callbackMessage({ ...to, event, createdAt: NOW + 5 }, 'acme', running);
      expect(JSON.parse(message.body)).toEqual({
        type: `execution.${event}`,
        timestamp: '2025-11-20T14:46:40.005Z',
        data: { tenant: 'acme', session: 's1', execution: running, offset: 9 },
      });
    }
  });

  test('[CB12] an event that is told has its own offset; only what was asked for has an address', () => {
    const types = ['wrapper_connected', 'execution_running', 'constructor', 'wrapper_disconnected', 'execution_waiting'];
    const events = types.map((type) => ({ type }));
    expect(toldEvents(events, 10)).toEqual([
      { event: 'started', offset: 11 },
      { event: 'disconnected', offset: 13 },
      { event: 'waiting', offset: 14 },
    ]);
    const asked = (callbackEvents: CallbackEvent[] | null, callbackUrl: string | null = to.url) =>
      CALLBACK_EVENTS.filter((event) => addressFor({ callbackUrl, callbackEvents }, event) === to.url);
    expect(asked(null)).toEqual(['settled']);
    expect(asked(['waiting', 'asking'])).toEqual(['asking', 'waiting']);
    expect(asked([...CALLBACK_EVENTS])).toEqual([...CALLBACK_EVENTS]);
    expect(asked([...CALLBACK_EVENTS], null)).toEqual([]);
  });

  test('an execution that has not ended has no callback of its verdict', () => {
    for (const status of ['queued', 'pending', 'running'] as const) {
      expect(() => callbackMessage(to, 'acme', execution({ status }))).toThrow(/no verdict/);
    }
  });

  test('[CB10] what fits is left alone; texts that make it too large are cut, and the rest only when it must be', () => {
    const fits = execution({ error: 'x'.repeat(100_000), command: ['y'.repeat(10_000)] });
    expect(payloadOf(fits).data).toEqual({ tenant: 'acme', session: 's1', execution: fits, offset: 9 });

    const wordy = execution({ error: 'x'.repeat(500_000), reason: 'why', cwd: '/srv' });
    const { data } = payloadOf(wordy);
    expect(data.cut).toEqual(['error']);
    expect(data.execution).toEqual({ ...wordy, error: 'x'.repeat(CALLBACK_TEXT_CHARS_MAX) });

    const huge = execution({ command: ['"'.repeat(40_000)], labels: { team: 'a' }, signal: 'S'.repeat(2000) });
    expect(payloadOf(huge).data).toMatchObject({
      cut: ['signal', 'command', 'labels'],
      execution: { command: [], labels: {}, exitCode: 0 },
    });
    const split = payloadOf(execution({ error: `${'x'.repeat(CALLBACK_TEXT_CHARS_MAX - 1)}😀${'x'.repeat(200_000)}` }));
    expect(split.data.execution.error).toBe('x'.repeat(CALLBACK_TEXT_CHARS_MAX - 1));
  });

  test('[CB10] no execution makes a message that the queue would refuse', () => {
    const text = (limit: number) =>
      fc
        .tuple(fc.constantFrom('"', '\u0001', '\\', 'x', '€', '😀', '\uD800'), fc.nat(limit))
        .map(([one, many]) => one.repeat(many));
    const any = fc.record({
      error: text(300_000),
      reason: text(300_000),
      signal: text(300_000),
      code: text(300_000),
      cwd: text(4096),
      command: fc.array(text(65_536), { maxLength: 3 }),
      labels: fc.dictionary(fc.string({ maxLength: 63 }), text(256), { maxKeys: 32 }),
      status: fc.constantFrom(...TERMINAL_STATUSES),
      asking: fc.constantFrom('\0', '"', 'x').map((char) => ({
        ...{ id: 'q1', kind: 'question' as const, at: NOW, options: [] },
        text: char.repeat(QUESTION_BYTES_MAX),
      })),
    });
    const longest: CallbackFacts = { ...to, id: `cb_${'x'.repeat(26)}`, url: `https://example.com/${'€'.repeat(2028)}` };
    fc.assert(
      fc.property(any, (fields) => {
        const message = callbackMessage(
          longest,
          't'.repeat(128),
          execution({ ...fields, id: 'e'.repeat(128), session: 's'.repeat(128) }),
        );
        expect(utf8Bytes(JSON.stringify(message))).toBeLessThanOrEqual(CALLBACK_MESSAGE_BYTES_MAX);
        const { data } = JSON.parse(message.body) as CallbackPayload;
        for (const [name, value] of Object.entries(fields)) {
          if (!data.cut?.includes(name))
            expect(JSON.stringify(data.execution[name as keyof Execution])).toBe(JSON.stringify(value));
        }
      }),
      { numRuns: propertyRuns(60) },
    );
  });

  test('what came out of a queue is looked at before it is believed', () => {
    const message = callbackMessage(to, 'acme', execution());
    expect(isCallbackMessage(message)).toBe(true);
    expect(isCallbackMessage(JSON.parse(JSON.stringify({ ...message, more: 1 })))).toBe(true);
    for (const other of [
      null,
      undefined,
      'x',
      7,
      [],
      {},
      { ...message, version: 2 },
      { ...message, url: 1 },
      { ...message, body: undefined },
    ]) {
      expect(isCallbackMessage(other)).toBe(false);
    }
  });
});

describe('[CB3] the signature', () => {
  const keyOf = (byte: number): string => `whsec_${Buffer.alloc(32, byte).toString('base64')}`;
  const [first, second, third] = [keyOf(1), keyOf(2), keyOf(3)];
  const message = callbackMessage(to, 'acme', execution());

  test('is one that the library of receivers takes, and only with the body, the id and the time that were signed', () => {
    const now = Date.now();
    const headers = signedHeaders(message, [first], now);
    expect(headers).toMatchObject({
      'webhook-id': 'cb_1',
      'webhook-timestamp': String(Math.floor(now / 1000)),
      'content-type': 'application/json',
    });
    const receiver = new Webhook(first);
    expect(receiver.verify(message.body, headers)).toEqual(JSON.parse(message.body));
    expect(() => receiver.verify(message.body.replace('completed', 'failed'), headers)).toThrow();
    expect(() => receiver.verify(message.body, { ...headers, 'webhook-id': 'cb_2' })).toThrow();
    expect(() => receiver.verify(message.body, { ...headers, 'webhook-timestamp': String(Math.floor(now / 1000) + 1) })).toThrow();
    expect(() => new Webhook(second).verify(message.body, headers)).toThrow();
    expect(() => receiver.verify(message.body, signedHeaders(message, [first], now - 600_000))).toThrow(/old/);
  });

  test('while a key is replaced both sign, and a receiver may know either', () => {
    const headers = signedHeaders(message, [second, first], Date.now());
    expect(headers['webhook-signature']?.split(' ')).toHaveLength(2);
    for (const key of [first, second]) expect(new Webhook(key).verify(message.body, headers)).toBeTruthy();
    expect(() => new Webhook(third).verify(message.body, headers)).toThrow();
  });
});

describe('[CB6] until the queue has it', () => {
  const fresh = newCallback({ id: 'cb_1', execution: 'e1', url: to.url, event: 'settled', offset: 9, snapshot: execution() }, NOW);

  test('the attempt right after the verdict has its time, and then some', () => {
    expect(fresh).toMatchObject({ createdAt: NOW, attempts: 0, dueAt: NOW + LEASE_MS });
    expect(LEASE_MS).toBeGreaterThan(ATTEMPT_TIMEOUT_MS);
  });

  test('each attempt is written down before it is made: never so that two overlap, with delays that grow to their cap and differ', () => {
    for (const createdAt of [NOW, NOW + 500, NOW + 999]) {
      let record: CallbackRecord = { ...fresh, createdAt };
      let now = record.dueAt;
      for (let attempt = 1; attempt <= 40; attempt += 1) {
        record = leaseForAttempt(record, now);
        const whole = Math.min(RETRY_CAP_MS, LEASE_MS * 2 ** attempt);
        expect(record.attempts).toBe(attempt);
        expect(record.dueAt - now).toBeGreaterThanOrEqual(Math.max(LEASE_MS, whole / 2));
        expect(record.dueAt - now).toBeLessThanOrEqual(whole);
        now = record.dueAt;
      }
    }
    expect(leaseForAttempt({ ...fresh, createdAt: NOW + 700 }, NOW).dueAt).not.toBe(leaseForAttempt(fresh, NOW).dueAt);
    expect(leaseForAttempt({ ...fresh, attempts: 1e6 }, NOW).dueAt).toBeLessThanOrEqual(NOW + RETRY_CAP_MS);
  });

  test('it ends after as long as a session is kept', () => {
    expect(isExpired(fresh, NOW + RETENTION_MS - 1)).toBe(false);
    expect(isExpired(fresh, NOW + RETENTION_MS)).toBe(true);
  });
});
