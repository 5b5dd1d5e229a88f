/**
 * Goal: the ingest parsers are strict and total. Any input gives a frame or a tagged refusal, never
 * an exception; what is accepted is what was sent, and its text is kept byte for byte.
 *
 * Method: properties over arbitrary bytes and text, over valid frames and over damaged ones; then
 * named cases for what chance rarely finds (depth, `__proto__`, lone surrogates, huge numbers), one
 * field at a time.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  CLOSE_REASON_BYTES_MAX,
  checkFact,
  decodeFrameText,
  encodeEventsFrame,
  encodeFrame,
  type FrameRefusalCode,
  type HelloFrame,
  isCoordinatorType,
  isTerminalFact,
  outputBytes,
  POLICY_DEFAULTS,
  POLICY_KEYS,
  parseCoordinatorFrame,
  parseWrapperFrame,
  terminalStatusOf,
  utf8Bytes,
  verdictType,
} from '../../protocol/index.ts';
import {
  anyText,
  coordinatorFrame,
  damaged,
  eventsFrame,
  factBatch,
  HOSTILE_VALUES,
  hello,
  jsonValue,
  nested,
  wrapperFrameText,
} from './arbitraries.ts';

const REFUSALS: Record<FrameRefusalCode, true> = {
  binary: true,
  not_utf8: true,
  too_long: true,
  not_json: true,
  wrong_shape: true,
  unknown_type: true,
  count_mismatch: true,
  bad_event: true,
  terminal_not_last: true,
};

type Answer = { ok: true } | { ok: false; code: FrameRefusalCode; detail: string };

/** Every answer is one of the two, and a refusal fits a close frame. */
function expectTotal(answer: Answer): void {
  if (answer.ok) return;
  expect(REFUSALS).toHaveProperty(answer.code);
  expect(answer.detail).not.toBe('');
  expect(utf8Bytes(answer.detail)).toBeLessThanOrEqual(CLOSE_REASON_BYTES_MAX);
}

const event = (type: string, data: unknown, at: unknown = 1): string => JSON.stringify({ type, at, data });
const output = event('output', { stream: 'stdout', text: 'hello\n' });
const frame = (...lines: string[]): string => encodeEventsFrame(1, lines.length, lines.join('\n'));
const codeOf = (answer: Answer): string => (answer.ok ? 'accepted' : answer.code);
const refusalOf = (text: string | Uint8Array): string => codeOf(parseWrapperFrame(text));

const PARSERS = { parseWrapperFrame, parseCoordinatorFrame } as const;

describe.each(Object.entries(PARSERS))('[ING8] %s is total', (_name, parse) => {
  it('over arbitrary bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => expectTotal(parse(bytes))));
  });

  it('over arbitrary text, lone surrogates among it', () => {
    fc.assert(fc.property(anyText, (text) => expectTotal(parse(text))));
  });

  it('over arbitrary JSON', () => {
    fc.assert(fc.property(jsonValue, (value) => expectTotal(parse(JSON.stringify(value)))));
  });

  it('over damaged frames, as text and as bytes', () => {
    const either = fc.oneof(wrapperFrameText, coordinatorFrame.map(encodeFrame));
    fc.assert(
      fc.property(damaged(either), (text) => {
        expectTotal(parse(text));
        expectTotal(parse(new TextEncoder().encode(text)));
      }),
    );
  });

  it('over frames with bytes flipped, which is often not UTF-8', () => {
    fc.assert(
      fc.property(
        wrapperFrameText,
        fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 5 }),
        (text, flips) => {
          const bytes = new TextEncoder().encode(text);
          for (const [place, value] of flips) bytes[place % bytes.length] = value;
          expectTotal(parse(bytes));
        },
      ),
    );
  });

  it('reads text and its bytes alike', () => {
    fc.assert(
      fc.property(fc.oneof(wrapperFrameText, damaged(wrapperFrameText), coordinatorFrame.map(encodeFrame)), (text) => {
        fc.pre(text.isWellFormed());
        expect(parse(new TextEncoder().encode(text))).toEqual(parse(text));
      }),
    );
  });

  it.each([1_000, 100_000, 250_000])('over %i levels of nesting', (levels) => {
    for (const kind of ['array', 'object'] as const) {
      const deep = nested(kind === 'array' ? levels : Math.min(levels, 80_000), kind);
      expectTotal(parse(deep));
      expectTotal(parse(`{"type":"events","seq":1,"count":1}\n{"type":"x","at":1,"data":{"a":${deep}}}`));
      expectTotal(parse(`{"type":"welcome","policy":${deep}}`));
      expectTotal(parse('['.repeat(levels)));
    }
  });

  it.each([
    '',
    '\n',
    '\0',
    'ping',
    'pong',
    'null',
    'true',
    '0',
    '-0',
    '1e999',
    '""',
    '[]',
    '{}',
    '\ufeff{}',
    '{"type":"__proto__"}',
    '{"type":"constructor"}',
  ])('refuses %j', (text) => {
    const answer = parse(text);
    expect(answer.ok).toBe(false);
    expectTotal(answer);
  });

  it('takes no field from a __proto__ key', () => {
    const smuggled = { type: 'ack', seq: 1, protocol: 1, wrapperId: 'w', bootId: 'b', nextSeq: 1, id: 1 };
    for (const type of ['hello', 'command_ack', 'ack', 'nack', 'welcome', 'command', 'events']) {
      expect(parse(`{"__proto__":${JSON.stringify({ ...smuggled, type })}}`).ok).toBe(false);
      expect(parse(`{"type":"${type}","__proto__":${JSON.stringify(smuggled)}}`).ok).toBe(false);
    }
    expect(({} as Record<string, unknown>).seq).toBeUndefined();
  });
});

describe('events frames', () => {
  it('[ING8] keep the event lines byte for byte, without the last line end', () => {
    fc.assert(
      fc.property(eventsFrame, ({ seq, events, body, text }) => {
        expect(parseWrapperFrame(text)).toEqual({
          ok: true,
          frame: { type: 'events', seq, count: events.length, body, lastScreen: null, events },
        });
      }),
    );
  });

  it('[ING8] what is accepted re-encodes to the same frame, from its text and from its events', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          eventsFrame.map(({ text }) => text),
          damaged(eventsFrame.map(({ text }) => text)),
        ),
        (text) => {
          const first = parseWrapperFrame(text);
          fc.pre(first.ok && first.frame.type === 'events');
          if (!first.ok || first.frame.type !== 'events') return;
          const { seq, count, body, events } = first.frame;
          expect(text.slice(text.indexOf('\n') + 1).replace(/\n$/, '')).toBe(body);
          expect(parseWrapperFrame(encodeEventsFrame(seq, count, body))).toEqual(first);

          const again = parseWrapperFrame(encodeEventsFrame(seq, count, events.map((one) => JSON.stringify(one)).join('\n')));
          expect(again.ok && again.frame.type === 'events' ? JSON.stringify(again.frame.events) : again).toBe(
            JSON.stringify(events),
          );
        },
      ),
    );
  });

  it('[ING10] keep unknown event types and ignore unknown header fields', () => {
    const line = event('my.own:type-2', { any: [1, { thing: null }] });
    const answer = parseWrapperFrame(`{"type":"events","seq":7,"count":1,"compress":"none","__proto__":{"seq":9}}\n${line}`);
    expect(answer).toEqual({
      ok: true,
      frame: { type: 'events', seq: 7, count: 1, body: line, lastScreen: null, events: [JSON.parse(line)] },
    });
  });

  it('[ING10] keep unknown fields of an event', () => {
    const line = '{"type":"output","at":1,"data":{"stream":"stdout","text":"","later":1},"span":"x"}';
    const answer = parseWrapperFrame(frame(line));
    expect(answer.ok && answer.frame.type === 'events' && answer.frame.events[0]).toEqual(JSON.parse(line));
  });

  it('[ING8] a raw lone surrogate has no UTF-8 form and is refused; an escaped one is JSON and is kept', () => {
    expect(refusalOf(frame('{"type":"x","at":1,"data":{"a":"\ud800"}}'))).toBe('not_utf8');
    expect(refusalOf('{"type":"command_ack","id":1,"x":"\udfff"}')).toBe('not_utf8');
    const line = '{"type":"x","at":1,"data":{"a":"\\ud800"}}';
    const answer = parseWrapperFrame(frame(line));
    expect(answer.ok && answer.frame.type === 'events' && answer.frame.body).toBe(line);
    expect(answer.ok && answer.frame.type === 'events' && answer.frame.events[0]?.data.a).toBe('\ud800');
  });

  it('[ING8] bytes that are not UTF-8 are refused: stray, overlong, surrogate, cut', () => {
    for (const bad of [[0x80], [0xff], [0xc0, 0xaf], [0xed, 0xa0, 0x80], [0xf0, 0x9f, 0xa6]]) {
      expect(codeOf(decodeFrameText(Uint8Array.from(bad)))).toBe('not_utf8');
    }
  });

  it('[ING8] numbers beyond the safe integers stay as text in the body', () => {
    const line = '{"type":"x","at":1,"data":{"a":12345678901234567890,"b":1e999,"c":-0}}';
    const answer = parseWrapperFrame(frame(line));
    expect(answer.ok && answer.frame.type === 'events' && answer.frame.body).toBe(line);
  });

  it('[ING8] a __proto__ key in an event is data and changes no prototype', () => {
    const line = '{"type":"x","at":1,"data":{"__proto__":{"polluted":true}},"__proto__":{"type":"exit"}}';
    const answer = parseWrapperFrame(frame(line, output));
    expect(answer.ok).toBe(true);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    expect(refusalOf(frame('{"__proto__":{"type":"x","at":1,"data":{}}}'))).toBe('bad_event');
  });

  it.each([
    ['count is one too many', `{"type":"events","seq":1,"count":2}\n${output}`],
    ['count is one too few', `{"type":"events","seq":1,"count":1}\n${output}\n${output}`],
    ['there is no event line', '{"type":"events","seq":1,"count":1}'],
    ['the only line is empty', '{"type":"events","seq":1,"count":1}\n'],
    ['there are two line ends at the end', `{"type":"events","seq":1,"count":1}\n${output}\n\n`],
  ])('[ING8] count_mismatch when %s', (_when, text) => {
    expect(refusalOf(text)).toBe('count_mismatch');
  });

  it('[ING8] an empty line, a blank line and two values on a line are not JSON', () => {
    expect(refusalOf(frame(output, '', output))).toBe('not_json');
    expect(refusalOf(frame(output, '  ', output))).toBe('not_json');
    expect(refusalOf(frame(`${output} ${output}`))).toBe('not_json');
    expect(refusalOf(frame(`${output},${output}`))).toBe('not_json');
  });

  it.each(HOSTILE_VALUES.filter((value) => value !== 2 ** 53))(
    '[ING8] seq and count must be positive integers, not %j',
    (value) => {
      expect(refusalOf(`{"type":"events","seq":${JSON.stringify(value)},"count":1}\n${output}`)).toBe('wrong_shape');
      expect(refusalOf(`{"type":"events","seq":1,"count":${JSON.stringify(value)}}\n${output}`)).toBe('wrong_shape');
    },
  );

  it('[ING8] seq and count are required', () => {
    expect(refusalOf(`{"type":"events","count":1}\n${output}`)).toBe('wrong_shape');
    expect(refusalOf(`{"type":"events","seq":1}\n${output}`)).toBe('wrong_shape');
  });

  it('[LIM4] the last seq of a frame must be a safe integer', () => {
    const max = Number.MAX_SAFE_INTEGER;
    expect(parseWrapperFrame(encodeEventsFrame(max, 1, output)).ok).toBe(true);
    expect(parseWrapperFrame(encodeEventsFrame(max - 1, 2, `${output}\n${output}`)).ok).toBe(true);
    expect(refusalOf(encodeEventsFrame(max, 2, `${output}\n${output}`))).toBe('wrong_shape');
    expect(refusalOf(`{"type":"events","seq":9007199254740992,"count":1}\n${output}`)).toBe('wrong_shape');
  });

  it('[ING14] a terminal fact is the last of its frame', () => {
    for (const [type, data] of [
      ['exit', { exitCode: 0 }],
      ['interrupted', { reason: 'asked' }],
      ['error', { error: 'broken', fatal: true }],
    ] as const) {
      expect(parseWrapperFrame(frame(output, event(type, data))).ok).toBe(true);
      expect(refusalOf(frame(event(type, data), output))).toBe('terminal_not_last');
      expect(refusalOf(frame(event(type, data), event(type, data)))).toBe('terminal_not_last');
    }
    expect(parseWrapperFrame(frame(event('error', { error: 'passing' }), output)).ok).toBe(true);
    expect(parseWrapperFrame(frame(event('error', { error: 'passing', fatal: false }), output)).ok).toBe(true);
  });

  it.each([
    'execution_completed',
    'execution_failed',
    'execution_x',
    'wrapper_connected',
    'wrapper_',
    'session_deleted',
    'interrupt_requested',
  ])('[ING13] the reserved type %s is a bad frame from a wrapper', (type) => {
    expect(isCoordinatorType(type)).toBe(true);
    expect(refusalOf(frame(output, event(type, {})))).toBe('bad_event');
  });

  it.each([
    'execution',
    'executions_x',
    'my_execution_x',
    'Execution_x',
    'wrapperx',
    'sessions',
    'interrupted_x',
    'interrupt_requested_x',
  ])('[ING13] %s is not reserved', (type) => {
    expect(isCoordinatorType(type)).toBe(false);
    expect(parseWrapperFrame(frame(event(type, {}))).ok).toBe(true);
  });

  it('[ING13] any type name with a reserved prefix is refused', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('execution_', 'wrapper_', 'session_'),
        fc.stringMatching(/^[A-Za-z0-9_.:-]{0,50}$/),
        (prefix, rest) => {
          expect(refusalOf(frame(event(prefix + rest, {})))).toBe('bad_event');
        },
      ),
    );
  });
});

describe('checkFact', () => {
  it('[ING8] is total over arbitrary values', () => {
    fc.assert(
      fc.property(
        fc.anything({ withBigInt: true, withDate: true, withMap: true, withNullPrototype: true, withSparseArray: true }),
        (value) => {
          const answer = checkFact(value);
          if (!answer.ok) expect(answer.detail).not.toBe('');
        },
      ),
    );
  });

  it('[ING8] takes every fact a wrapper makes, and knows the terminal ones', () => {
    fc.assert(
      fc.property(factBatch, (events) => {
        events.forEach((one, index) => {
          expect(checkFact(one)).toEqual({ ok: true, event: one });
          if (isTerminalFact(one)) expect(index).toBe(events.length - 1);
        });
      }),
    );
  });

  it.each(['', 'AA==', 'AAA=', 'AAAA', '/+09azAZ'])('[ING8] takes base64 with padding, and no text beside it: %j', (base64) => {
    const bytes = (data: object) => checkFact({ type: 'output', at: 1, data: { stream: 'stdout', text: '', base64, ...data } }).ok;
    expect(bytes({ partial: true, line: 3 })).toBe(true);
    expect(bytes({ text: 'x' })).toBe(false);
  });

  it.each([null, 1, 'A', 'AA=', 'AAAAA', 'A===', '-_==', 'AA AA==', 'AAA\n'])('[ING8] refuses what is no base64: %j', (base64) => {
    expect(checkFact({ type: 'output', at: 1, data: { stream: 'stdout', text: '', base64 } }).ok).toBe(false);
  });

  it('outputBytes is the text in UTF-8, or the bytes', () => {
    expect(Buffer.from(outputBytes({ text: 'aé€😀' })).toString()).toBe('aé€😀');
    const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
    expect(Buffer.from(outputBytes({ text: '', base64: all.toString('base64') })).equals(all)).toBe(true);
  });

  const VALID: Record<string, Record<string, unknown>> = {
    output: { stream: 'stdout', text: 'x', partial: true, line: 1 },
    exit: { exitCode: 0, signal: null, toldToStop: false },
    error: { error: 'x', code: 'y', fatal: false },
    interrupted: { reason: 'x' },
    started: { pid: 1, command: ['true'] },
    gap: { events: 1, bytes: 2, reason: 'x' },
  };
  const BAD: readonly [type: string, field: string, values: readonly unknown[]][] = [
    ['output', 'stream', [undefined, null, 'stdin', 'STDOUT', 1, {}]],
    ['output', 'text', [undefined, null, 1, [], {}]],
    ['output', 'partial', [null, 0, 'true']],
    ['output', 'line', [null, 0, -1, 1.5, '1', 2 ** 53, {}]],
    ['output', 'replaced', [null, 0, -1, 1.5, '1', 2 ** 53, {}]],
    ['exit', 'exitCode', ['0', 0.5, 2 ** 53, true, {}]],
    ['exit', 'signal', [9, true, []]],
    ['exit', 'toldToStop', [null, 0, 'false']],
    ['error', 'error', [undefined, null, 1, {}]],
    ['error', 'code', [null, 1]],
    ['error', 'fatal', [null, 1, 'true']],
    ['interrupted', 'reason', [undefined, null, 1]],
    ['started', 'pid', [null, '1', 0.5]],
    ['gap', 'events', [undefined, null, -1, 0.5, '1']],
    ['gap', 'bytes', [undefined, -1, 0.5, '1']],
    ['gap', 'reason', [undefined, null, 1]],
  ];

  it.each(BAD)('[ING8] refuses a wrong %s.%s', (type, field, values) => {
    expect(checkFact({ type, at: 1, data: VALID[type] }).ok).toBe(true);
    for (const value of values)
      expect(checkFact({ type, at: 1, data: { ...VALID[type], [field]: value } }), JSON.stringify(value)).toMatchObject({
        ok: false,
      });
  });

  it('[ING8] exit needs an exit code or a signal; either may be null or absent', () => {
    for (const data of [
      { exitCode: 0 },
      { exitCode: 255, signal: null },
      { signal: 'SIGKILL' },
      { exitCode: null, signal: 'SIGTERM' },
    ]) {
      expect(checkFact({ type: 'exit', at: 1, data }).ok).toBe(true);
    }
    for (const data of [{}, { exitCode: null }, { signal: null }, { exitCode: null, signal: null }]) {
      expect(checkFact({ type: 'exit', at: 1, data }).ok).toBe(false);
    }
  });

  it('[ING8] refuses a wrong envelope, one field at a time', () => {
    for (const value of HOSTILE_VALUES) {
      if (!(Number.isSafeInteger(value) && (value as number) >= 0))
        expect(checkFact({ type: 'x', at: value, data: {} }).ok, `at ${JSON.stringify(value)}`).toBe(false);
      expect(checkFact({ type: value, at: 1, data: {} }).ok, `type ${JSON.stringify(value)}`).toBe(false);
      if (typeof value !== 'object' || value === null || Array.isArray(value)) {
        expect(checkFact({ type: 'x', at: 1, data: value }).ok, `data ${JSON.stringify(value)}`).toBe(false);
        expect(checkFact(value).ok, `event ${JSON.stringify(value)}`).toBe(false);
      }
    }
  });
});

describe('verdict types', () => {
  it('[LIF18] terminalStatusOf knows the three verdicts of an end, and nothing else', () => {
    for (const status of ['completed', 'failed', 'interrupted'] as const)
      expect(terminalStatusOf(verdictType(status))).toBe(status);
    for (const type of [
      'execution_queued',
      'execution_pending',
      'execution_running',
      'execution_',
      'completed',
      'exit',
      '__proto__',
      '',
    ]) {
      expect(terminalStatusOf(type)).toBeNull();
    }
  });
});

describe('hello and command_ack', () => {
  it('[ING1] round trip', () => {
    fc.assert(
      fc.property(hello, (given) => {
        expect(parseWrapperFrame(encodeFrame(given))).toEqual({ ok: true, frame: given });
        expect(parseWrapperFrame(`${encodeFrame(given)}\n`)).toEqual({ ok: true, frame: given });
      }),
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), (id) => {
        expect(parseWrapperFrame(encodeFrame({ type: 'command_ack', id }))).toEqual({
          ok: true,
          frame: { type: 'command_ack', id },
        });
      }),
    );
  });

  const given: HelloFrame = { type: 'hello', protocol: 1, wrapperId: 'w_1', bootId: 'b_1', nextSeq: 1, lost: 0 };

  it('[ING10] a newer protocol number is read, unknown fields are dropped', () => {
    expect(parseWrapperFrame(JSON.stringify({ ...given, protocol: 99, later: true }))).toEqual({
      ok: true,
      frame: { ...given, protocol: 99 },
    });
  });

  it('[ING1] lost may be left out and is 0 then', () => {
    const { lost: _, ...without } = given;
    expect(parseWrapperFrame(JSON.stringify(without))).toEqual({ ok: true, frame: given });
  });

  const BAD: Record<string, readonly unknown[]> = {
    protocol: [undefined, ...HOSTILE_VALUES],
    wrapperId: [undefined, ...HOSTILE_VALUES.filter((value) => value !== '1'), '-w', '.w', 'a/b', 'a b', 'a\n', 'é'],
    bootId: [undefined, ...HOSTILE_VALUES.filter((value) => value !== '1'), '../b', 'b\0'],
    nextSeq: [undefined, ...HOSTILE_VALUES],
    lost: HOSTILE_VALUES.filter((value) => value !== null && value !== 0),
  };
  it.each(Object.entries(BAD))('[ING8] refuses a wrong hello.%s', (field, values) => {
    for (const value of values)
      expect(refusalOf(JSON.stringify({ ...given, [field]: value })), JSON.stringify(value)).toBe('wrong_shape');
  });

  it('[ING8] refuses a wrong command_ack.id', () => {
    for (const value of [undefined, ...HOSTILE_VALUES])
      expect(refusalOf(JSON.stringify({ type: 'command_ack', id: value }))).toBe('wrong_shape');
  });

  it('[ING8] both are one line', () => {
    expect(refusalOf(`${encodeFrame(given)}\n${output}`)).toBe('wrong_shape');
    expect(refusalOf(`${encodeFrame({ type: 'command_ack', id: 1 })}\n{}`)).toBe('wrong_shape');
  });

  it('[ING8] frames of the other direction are of no known type', () => {
    fc.assert(
      fc.property(coordinatorFrame, wrapperFrameText, (fromCoordinator, fromWrapper) => {
        expect(refusalOf(encodeFrame(fromCoordinator))).toBe('unknown_type');
        expect(parseCoordinatorFrame(fromWrapper).ok).toBe(false);
      }),
    );
  });
});

describe('coordinator frames', () => {
  it('[ING3] round trip', () => {
    fc.assert(
      fc.property(coordinatorFrame, (given) => {
        expect(parseCoordinatorFrame(encodeFrame(given))).toEqual({ ok: true, frame: given });
      }),
    );
  });

  const welcome = {
    type: 'welcome',
    protocol: 1,
    epoch: 3,
    ackedSeq: 120,
    policy: { ...POLICY_DEFAULTS },
    limits: { frameBytes: 1, windowBytes: 1 },
    commands: [] as unknown[],
  };
  const parsed = (change: object) => codeOf(parseCoordinatorFrame(JSON.stringify({ ...welcome, ...change })));

  it('[ING21] [SPL28] job terms are parsed as sent; unknown or invalid fields are treated as absent', () => {
    const job = { session: 's1', execution: 'e1', url: 'https://h.test/', deadline: 5, secretNames: ['A'] };
    const read = (value: unknown) => {
      const parsed = parseCoordinatorFrame(JSON.stringify({ ...welcome, job: value }));
      return parsed.ok && parsed.frame.type === 'welcome' ? parsed.frame.job : parsed;
    };
    expect(read(job)).toEqual(job);
    expect(read({ ...job, more: 1, deadline: 'soon', secretNames: 'A' })).toEqual({
      session: 's1',
      execution: 'e1',
      url: 'https://h.test/',
    });
    expect(read({ ...job, secretNames: ['A', 7] })).toEqual({ ...job, secretNames: ['A'] });
    for (const wrong of [undefined, null, 7, [], {}, { ...job, url: 7 }, { ...job, session: '' }])
      expect(read(wrong)).toBeUndefined();
  });

  it('[ING10] unknown fields of a welcome are dropped, at every level', () => {
    const more = {
      ...welcome,
      later: 1,
      policy: { ...POLICY_DEFAULTS, laterMs: 1 },
      limits: { frameBytes: 1, windowBytes: 1, later: 1 },
    };
    expect(parseCoordinatorFrame(JSON.stringify(more))).toEqual({ ok: true, frame: welcome });
  });

  it('[ING10] a command that this wrapper does not know is left out of the welcome', () => {
    const known = { id: 2, command: 'input', data: { text: 'y\n' } };
    const commands = [{ id: 1, command: 'pause', data: {} }, known, null, 1, { id: 0, command: 'input', data: { text: '' } }];
    const answer = parseCoordinatorFrame(JSON.stringify({ ...welcome, commands }));
    expect(answer.ok && answer.frame.type === 'welcome' && answer.frame.commands).toEqual([known]);
  });

  it('[ING9] an unknown command alone is refused, as are wrong ones', () => {
    const interrupt = { type: 'command', id: 1, command: 'interrupt', data: { signal: 'SIGINT', forceAfterMs: 10_000 } };
    expect(parseCoordinatorFrame(JSON.stringify(interrupt))).toEqual({
      ok: true,
      frame: { ...interrupt, data: { ...interrupt.data, reason: '' } },
    });
    for (const change of [
      { command: 'pause' },
      { id: 0 },
      { id: '1' },
      { data: null },
      { data: { signal: 'SIGHUP', forceAfterMs: 1 } },
      { data: { signal: 'SIGINT' } },
      { data: { signal: 'SIGINT', forceAfterMs: -1 } },
      { command: 'input', data: {} },
      { command: 'input', data: { text: 1 } },
    ]) {
      expect(codeOf(parseCoordinatorFrame(JSON.stringify({ ...interrupt, ...change })))).toBe('wrong_shape');
    }
  });

  it('[ING3] refuses a welcome that lacks any part', () => {
    for (const field of ['protocol', 'epoch', 'ackedSeq', 'policy', 'limits', 'commands'])
      expect(parsed({ [field]: undefined }), field).toBe('wrong_shape');
    for (const value of HOSTILE_VALUES) {
      expect(parsed({ protocol: value })).toBe('wrong_shape');
      expect(parsed({ epoch: value })).toBe('wrong_shape');
      if (value !== 0) expect(parsed({ ackedSeq: value })).toBe('wrong_shape');
      expect(parsed({ policy: value })).toBe('wrong_shape');
      expect(parsed({ limits: value })).toBe('wrong_shape');
      expect(parsed({ limits: { frameBytes: value, windowBytes: 1 } })).toBe('wrong_shape');
      expect(parsed({ limits: { frameBytes: 1, windowBytes: value } })).toBe('wrong_shape');
      if (!Array.isArray(value)) expect(parsed({ commands: value })).toBe('wrong_shape');
    }
  });

  it.each(POLICY_KEYS)('[ING3] refuses a welcome whose policy has no usable %s', (key) => {
    // A coordinator before 0.2.0 has no limit of the log.
    const values = [undefined, null, 0, -1, 0.5, '1000'].filter((value) => value !== undefined || key !== 'maxLogBytes');
    for (const value of values) expect(parsed({ policy: { ...POLICY_DEFAULTS, [key]: value } })).toBe('wrong_shape');
  });

  it('[ING5] refuses wrong acks and nacks', () => {
    for (const value of [undefined, ...HOSTILE_VALUES]) {
      if (value !== 0) expect(codeOf(parseCoordinatorFrame(JSON.stringify({ type: 'ack', seq: value })))).toBe('wrong_shape');
      expect(codeOf(parseCoordinatorFrame(JSON.stringify({ type: 'nack', expected: value })))).toBe('wrong_shape');
    }
  });
});
