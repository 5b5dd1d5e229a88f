/**
 * Goal: each bound holds at its edge and not one past it, counted in the unit its name says.
 * Method: the largest input that fits, then the same with one more; multi-byte characters wherever
 * bytes are counted.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  AGENT_LINE_BYTES_MAX,
  CALLBACK_URL_CHARS_MAX,
  CLOSE_REASON_BYTES_MAX,
  COMMAND_ARGS_MAX,
  COMMAND_BYTES_MAX,
  COMMANDS_WAITING_BYTES_MAX,
  COMMANDS_WAITING_MAX,
  COORDINATOR_FRAME_BYTES_MAX,
  CREDENTIAL_CHARS_MAX,
  CURSOR_CHARS_MAX,
  CWD_BYTES_MAX,
  checkFact,
  closeReason,
  ENV_BYTES_MAX,
  ENV_VARS_MAX,
  ERROR_MESSAGE_CHARS_MAX,
  EVENT_BYTES_MAX,
  EVENT_DEPTH_MAX,
  EVENT_TYPE_PATTERN,
  encodeEventsFrame,
  exceedsUtf8Bytes,
  FAILURE_CODE_PATTERN,
  FILTER_ITEMS_MAX,
  FRAME_BYTES_MAX,
  HEADER_BYTES_MAX,
  HELLO_TIMEOUT_MS,
  INPUT_BYTES_MAX,
  isId,
  LABEL_KEY_PATTERN,
  LABEL_VALUE_CHARS_MAX,
  LABELS_MAX,
  LIST_LIMIT_DEFAULT,
  LIST_LIMIT_MAX,
  MAX_ACTIVE_MAX,
  newBootId,
  newExecutionId,
  newRequestId,
  newWrapperId,
  parseCoordinatorFrame,
  parseViewerFrame,
  parseWrapperFrame,
  QUEUE_LENGTH_MAX,
  READ_LIMIT_MAX,
  REASON_CHARS_MAX,
  REPLAY_ROUND_BYTES,
  RETRY_AFTER_MS_MAX,
  SESSION_EXECUTIONS_MAX,
  START_BODY_BYTES_MAX,
  STDIN_BYTES_MAX,
  TICKET_TTL_SECONDS_DEFAULT,
  TICKET_TTL_SECONDS_MAX,
  UNBOUND_SOCKETS_MAX,
  URL_CHARS_MAX,
  utf8Bytes,
  VIEWER_WINDOW_BYTES,
  VIEWERS_MAX,
  WAIT_SECONDS_MAX,
  WINDOW_BYTES,
} from '../../protocol/index.ts';
import { anyText, nested } from './arbitraries.ts';

const KIB = 1024;
const refusalOf = (text: string | Uint8Array): string => {
  const answer = parseWrapperFrame(text);
  return answer.ok ? 'accepted' : answer.code;
};

/** Text of exactly that many UTF-8 bytes, of characters of one size and ASCII for the rest. */
const textOfBytes = (bytes: number, character: string): string => {
  const size = utf8Bytes(character);
  return character.repeat(Math.floor(bytes / size)) + 'x'.repeat(bytes % size);
};

/** An events frame of exactly that many UTF-8 bytes. */
const frameOfBytes = (bytes: number, character: string): string => {
  const around = encodeEventsFrame(1, 1, '{"type":"output","at":1,"data":{"stream":"stdout","text":""}}');
  return around.replace('"text":""', `"text":"${textOfBytes(bytes - around.length, character)}"`);
};

describe('[LIM1] a frame has at most FRAME_BYTES_MAX bytes of UTF-8', () => {
  it.each(['a', 'é', '漢', '🦀'])('counted in bytes when it is made of %s', (character) => {
    const edge = frameOfBytes(FRAME_BYTES_MAX, character);
    expect(utf8Bytes(edge)).toBe(FRAME_BYTES_MAX);
    const past = frameOfBytes(FRAME_BYTES_MAX + 1, character);
    for (const form of [(text: string) => text, (text: string) => new TextEncoder().encode(text)]) {
      expect(refusalOf(form(edge))).toBe('accepted');
      expect(refusalOf(form(past))).toBe('too_long');
    }
  });

  it('the last line end counts too', () => {
    expect(refusalOf(`${frameOfBytes(FRAME_BYTES_MAX - 1, 'a')}\n`)).toBe('accepted');
    expect(refusalOf(`${frameOfBytes(FRAME_BYTES_MAX, 'a')}\n`)).toBe('too_long');
  });

  it('a frame of the coordinator has at most COORDINATOR_FRAME_BYTES_MAX', () => {
    const around = '{"type":"command","id":1,"command":"input","data":{"text":""}}';
    const ofBytes = (bytes: number) => around.replace('""', `"${textOfBytes(bytes - around.length, '漢')}"`);
    expect(parseCoordinatorFrame(ofBytes(COORDINATOR_FRAME_BYTES_MAX)).ok).toBe(true);
    expect(parseCoordinatorFrame(ofBytes(COORDINATOR_FRAME_BYTES_MAX + 1))).toMatchObject({ ok: false, code: 'too_long' });
  });
});

describe('[LIM2] a header line has at most HEADER_BYTES_MAX bytes of UTF-8', () => {
  it.each(['a', 'é', '漢', '🦀'])('counted in bytes when it is made of %s', (character) => {
    const ofBytes = (bytes: number) => `{"type":"command_ack","id":1,"x":"${textOfBytes(bytes - 36, character)}"}`;
    expect(utf8Bytes(ofBytes(HEADER_BYTES_MAX))).toBe(HEADER_BYTES_MAX);
    expect(refusalOf(ofBytes(HEADER_BYTES_MAX))).toBe('accepted');
    expect(refusalOf(ofBytes(HEADER_BYTES_MAX + 1))).toBe('too_long');
  });

  it('the line end and the event lines do not count', () => {
    const event = '{"type":"x","at":1,"data":{}}';
    const header = '{"type":"events","seq":1,"count":1}';
    expect(refusalOf(`${header}${' '.repeat(HEADER_BYTES_MAX - header.length)}\n${event}`)).toBe('accepted');
    expect(refusalOf(`${header}${' '.repeat(HEADER_BYTES_MAX - header.length + 1)}\n${event}`)).toBe('too_long');
  });

  it("the same bound holds for a viewer's frame", () => {
    const ofBytes = (bytes: number) => `{"type":"ack","offset":1${' '.repeat(bytes - 25)}}`;
    expect(parseViewerFrame(ofBytes(HEADER_BYTES_MAX))).toEqual({ type: 'ack', offset: 1 });
    expect(parseViewerFrame(ofBytes(HEADER_BYTES_MAX + 1))).toBeNull();
  });
});

describe('[LIM3] an event', () => {
  it('of EVENT_BYTES_MAX fits a frame behind the longest header that a sender writes', () => {
    const around = '{"type":"output","at":1,"data":{"stream":"stdout","text":""}}';
    const line = around.replace('""', `"${textOfBytes(EVENT_BYTES_MAX - around.length, 'é')}"`);
    expect(utf8Bytes(line)).toBe(EVENT_BYTES_MAX);
    const text = encodeEventsFrame(Number.MAX_SAFE_INTEGER, 1, line);
    expect(utf8Bytes(text)).toBeLessThanOrEqual(FRAME_BYTES_MAX);
    expect(refusalOf(text)).toBe('accepted');
  });

  it.each(['array', 'object'] as const)(
    'nests at most EVENT_DEPTH_MAX levels of %s in its data, and can be encoded again',
    (kind) => {
      const line = (levels: number) => `{"type":"agent","at":1,"data":{"a":${nested(levels - 1, kind)}}}`;
      const edge = parseWrapperFrame(encodeEventsFrame(1, 1, line(EVENT_DEPTH_MAX)));
      expect(edge.ok && edge.frame.type === 'events' && JSON.stringify(edge.frame.events[0])).toBe(line(EVENT_DEPTH_MAX));
      expect(refusalOf(encodeEventsFrame(1, 1, line(EVENT_DEPTH_MAX + 1)))).toBe('bad_event');
      expect(refusalOf(encodeEventsFrame(1, 1, line(80_000)))).toBe('bad_event');
    },
  );

  it.each([
    ['a', true],
    ['A.b:c-d_9', true],
    ['a'.repeat(64), true],
    ['a'.repeat(65), false],
    ['', false],
    ['9a', false],
    ['_a', false],
    ['a b', false],
    ['a,b', false],
    ['a/b', false],
    ['é', false],
    ['a\n', false],
  ])('has a type name: %j is one: %s', (type, valid) => {
    expect(EVENT_TYPE_PATTERN.test(type)).toBe(valid);
    expect(checkFact({ type, at: 1, data: {} }).ok).toBe(valid);
  });

  it('has a time: 0 to the largest safe integer', () => {
    for (const at of [0, Number.MAX_SAFE_INTEGER]) expect(checkFact({ type: 'x', at, data: {} }).ok).toBe(true);
    for (const at of [-1, Number.MAX_SAFE_INTEGER + 1, 0.5, Number.NaN, Number.POSITIVE_INFINITY])
      expect(checkFact({ type: 'x', at, data: {} }).ok).toBe(false);
  });
});

describe('[LIM5] ids', () => {
  it.each([
    ['a', true],
    ['0', true],
    ['exec_01J.x:y-z', true],
    [`a${'b'.repeat(127)}`, true],
    [`a${'b'.repeat(128)}`, false],
    ['', false],
    ['-a', false],
    ['.a', false],
    ['_a', false],
    [':a', false],
    ['a/b', false],
    ['a%2Fb', false],
    ['a b', false],
    ['a\n', false],
    ['\na', false],
    ['é', false],
    ['a\0', false],
  ])('%j is an id: %s', (text, valid) => {
    expect(isId(text)).toBe(valid);
  });

  it('nothing but a string is an id', () => {
    for (const value of [undefined, null, 1, true, ['a'], { toString: () => 'a' }]) expect(isId(value)).toBe(false);
  });

  it('made-up ids are ids, name their kind and differ', () => {
    for (const [make, prefix] of [
      [newExecutionId, 'exec_'],
      [newWrapperId, 'w_'],
      [newBootId, 'b_'],
      [newRequestId, 'req_'],
    ] as const) {
      const made = new Set(Array.from({ length: 1000 }, make));
      expect(made.size).toBe(1000);
      for (const one of made) {
        expect(isId(one)).toBe(true);
        expect(one.slice(prefix.length)).toMatch(/^[0-9A-HJKMNP-TV-Z]{26}$/);
        expect(one.startsWith(prefix)).toBe(true);
      }
    }
  });
});

describe('[LIM6] a close reason has at most CLOSE_REASON_BYTES_MAX bytes', () => {
  it.each(['a', 'é', '漢', '🦀'])('and is never cut inside %s', (character) => {
    const edge = textOfBytes(CLOSE_REASON_BYTES_MAX, character);
    expect(closeReason(edge)).toBe(edge);
    const size = utf8Bytes(character);
    expect(closeReason(character.repeat(200))).toBe(character.repeat(Math.floor(CLOSE_REASON_BYTES_MAX / size)));
  });

  it('for any text: a prefix, within the bound, and text that fits is unchanged', () => {
    fc.assert(
      fc.property(anyText, fc.nat({ max: 60 }), (text, times) => {
        const long = text.repeat(1 + times);
        const cut = closeReason(long);
        expect(long.startsWith(cut)).toBe(true);
        expect(utf8Bytes(cut)).toBeLessThanOrEqual(CLOSE_REASON_BYTES_MAX);
        if (utf8Bytes(long) <= CLOSE_REASON_BYTES_MAX) expect(cut).toBe(long);
        else expect(utf8Bytes(cut)).toBeGreaterThan(CLOSE_REASON_BYTES_MAX - 4);
      }),
    );
  });
});

describe('patterns of the start request', () => {
  it.each([
    ['a', true],
    ['exit_nonzero', true],
    [`a${'0'.repeat(63)}`, true],
    [`a${'0'.repeat(64)}`, false],
    ['A', false],
    ['0a', false],
    ['_a', false],
    ['a-b', false],
    ['', false],
    ['a\n', false],
  ])('[LIM7] %j is a failure code: %s', (code, valid) => {
    expect(FAILURE_CODE_PATTERN.test(code)).toBe(valid);
  });

  it.each([
    ['a', true],
    ['team/name-1.x_y', true],
    ['a'.repeat(63), true],
    ['a'.repeat(64), false],
    ['', false],
    ['-a', false],
    ['/a', false],
    ['a b', false],
    ['a\n', false],
    ['__proto__', false],
  ])('[LIM8] %j is a label key: %s', (key, valid) => {
    expect(LABEL_KEY_PATTERN.test(key)).toBe(valid);
  });
});

describe('counting bytes', () => {
  it('[LIM1] exceedsUtf8Bytes agrees with the encoder at every limit near the length', () => {
    fc.assert(
      fc.property(anyText, fc.integer({ min: -3, max: 3 }), (text, shift) => {
        const bytes = new TextEncoder().encode(text).byteLength;
        expect(utf8Bytes(text)).toBe(bytes);
        expect(exceedsUtf8Bytes(text, bytes + shift)).toBe(bytes > bytes + shift);
        expect(exceedsUtf8Bytes(text, text.length + shift)).toBe(bytes > text.length + shift);
        expect(exceedsUtf8Bytes(text, text.length * 3 + shift)).toBe(bytes > text.length * 3 + shift);
      }),
    );
  });
});

it('the documented bounds are pinned', () => {
  expect({
    FRAME_BYTES_MAX,
    HEADER_BYTES_MAX,
    EVENT_BYTES_MAX,
    AGENT_LINE_BYTES_MAX,
    EVENT_DEPTH_MAX,
    COORDINATOR_FRAME_BYTES_MAX,
    WINDOW_BYTES,
    VIEWER_WINDOW_BYTES,
    REPLAY_ROUND_BYTES,
    HELLO_TIMEOUT_MS,
    RETRY_AFTER_MS_MAX,
    UNBOUND_SOCKETS_MAX,
    VIEWERS_MAX,
    MAX_ACTIVE_MAX,
    QUEUE_LENGTH_MAX,
    CLOSE_REASON_BYTES_MAX,
    FILTER_ITEMS_MAX,
    START_BODY_BYTES_MAX,
    COMMAND_ARGS_MAX,
    COMMAND_BYTES_MAX,
    ENV_VARS_MAX,
    ENV_BYTES_MAX,
    STDIN_BYTES_MAX,
    INPUT_BYTES_MAX,
    CWD_BYTES_MAX,
    LABELS_MAX,
    LABEL_VALUE_CHARS_MAX,
    REASON_CHARS_MAX,
    ERROR_MESSAGE_CHARS_MAX,
    LIST_LIMIT_DEFAULT,
    LIST_LIMIT_MAX,
    WAIT_SECONDS_MAX,
    TICKET_TTL_SECONDS_DEFAULT,
    TICKET_TTL_SECONDS_MAX,
    SESSION_EXECUTIONS_MAX,
    COMMANDS_WAITING_MAX,
    COMMANDS_WAITING_BYTES_MAX,
    URL_CHARS_MAX,
    CREDENTIAL_CHARS_MAX,
    CURSOR_CHARS_MAX,
    CALLBACK_URL_CHARS_MAX,
    READ_LIMIT_MAX,
  }).toEqual({
    FRAME_BYTES_MAX: 512 * KIB,
    HEADER_BYTES_MAX: 8 * KIB,
    EVENT_BYTES_MAX: 511 * KIB,
    AGENT_LINE_BYTES_MAX: 8 * KIB * KIB,
    EVENT_DEPTH_MAX: 100,
    COORDINATOR_FRAME_BYTES_MAX: 16 * KIB * KIB,
    WINDOW_BYTES: 4 * KIB * KIB,
    VIEWER_WINDOW_BYTES: KIB * KIB,
    REPLAY_ROUND_BYTES: KIB * KIB,
    HELLO_TIMEOUT_MS: 10_000,
    RETRY_AFTER_MS_MAX: 86_400_000,
    UNBOUND_SOCKETS_MAX: 4,
    VIEWERS_MAX: 30_000,
    MAX_ACTIVE_MAX: 16,
    QUEUE_LENGTH_MAX: 32,
    CLOSE_REASON_BYTES_MAX: 123,
    FILTER_ITEMS_MAX: 32,
    START_BODY_BYTES_MAX: 256 * KIB,
    COMMAND_ARGS_MAX: 1024,
    COMMAND_BYTES_MAX: 64 * KIB,
    ENV_VARS_MAX: 256,
    ENV_BYTES_MAX: 64 * KIB,
    STDIN_BYTES_MAX: 64 * KIB,
    INPUT_BYTES_MAX: 64 * KIB,
    CWD_BYTES_MAX: 4 * KIB,
    LABELS_MAX: 32,
    LABEL_VALUE_CHARS_MAX: 256,
    REASON_CHARS_MAX: 1024,
    ERROR_MESSAGE_CHARS_MAX: 4096,
    LIST_LIMIT_DEFAULT: 50,
    LIST_LIMIT_MAX: 200,
    WAIT_SECONDS_MAX: 55,
    TICKET_TTL_SECONDS_DEFAULT: 60,
    TICKET_TTL_SECONDS_MAX: 3600,
    SESSION_EXECUTIONS_MAX: 100_000,
    COMMANDS_WAITING_MAX: 1024,
    COMMANDS_WAITING_BYTES_MAX: 4 * KIB * KIB,
    URL_CHARS_MAX: 16 * KIB,
    CREDENTIAL_CHARS_MAX: 8 * KIB,
    CURSOR_CHARS_MAX: 256,
    CALLBACK_URL_CHARS_MAX: 2048,
    READ_LIMIT_MAX: 1000,
  });
});
