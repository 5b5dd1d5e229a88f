/**
 * Goal: a stored batch becomes a stream frame by text alone, and reads back as what JSON.parse of
 * its lines gives; both stream parsers are total, and hand on nothing that a reader would trip
 * over.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  encodeStreamBatch,
  encodeStreamFrame,
  encodeStreamSelection,
  offsetOf,
  parseStreamFrame,
  parseViewerFrame,
  STATUSES,
  type StreamEvents,
  type StreamFrame,
  TERMINAL_STATUSES,
} from '../../protocol/index.ts';
import { anyText, count, damaged, eventsFrame, HOSTILE_VALUES, id, jsonValue, nested, positive } from './arbitraries.ts';

const event = { type: 'output', at: 1, data: { stream: 'stdout', text: 'x\n' } };
const stored = eventsFrame.map(({ lines, body }) => ({ lines, body }));
const offset = fc.integer({ min: 1, max: 2 ** 52 });
/** Offsets that rise, with holes. */
const risingOffsets = (length: number) =>
  fc.array(fc.integer({ min: 1, max: 1000 }), { minLength: length, maxLength: length }).map((steps) => {
    let place = 0;
    return steps.map((step) => (place += step));
  });

const streamFrame: fc.Arbitrary<Exclude<StreamFrame, StreamEvents>> = fc.oneof(
  fc.record({
    type: fc.constant('hello' as const),
    session: id,
    earliest: count,
    head: count,
    executions: fc.array(fc.record({ id, status: fc.constantFrom(...STATUSES) }), { maxLength: 4 }),
  }),
  fc.record({ type: fc.constant('caught_up' as const), offset: count }),
  fc.record({ type: fc.constant('end' as const), execution: id, status: fc.constantFrom(...TERMINAL_STATUSES) }),
);

describe('stored text to frame', () => {
  it('[STR4] encodeStreamBatch gives what JSON.parse of the lines gives', () => {
    fc.assert(
      fc.property(offset, id, stored, (first, execution, { lines, body }) => {
        const text = encodeStreamBatch(first, execution, body);
        const events = lines.map((line) => JSON.parse(line) as unknown);
        expect(JSON.parse(text)).toEqual({ type: 'events', offset: first, execution, events });
        const frame = parseStreamFrame(text) as StreamEvents;
        expect(frame).toEqual({ type: 'events', offset: first, execution, events });
        expect(events.map((_, index) => offsetOf(frame, index))).toEqual(events.map((_, index) => first + index));
      }),
    );
  });

  it('[STR4] the text of each event is in the frame unchanged', () => {
    fc.assert(
      fc.property(offset, id, stored, (first, execution, { lines, body }) => {
        expect(encodeStreamBatch(first, execution, body).endsWith(`"events":[${lines.join(',')}]}`)).toBe(true);
      }),
    );
    expect(encodeStreamBatch(1, 'e1', '{"type":"x","at":1,"data":{"n":12345678901234567890}}')).toContain('12345678901234567890');
  });

  it('[STR5] encodeStreamSelection gives the kept lines with their offsets', () => {
    fc.assert(
      fc.property(
        stored.chain(({ lines }) => fc.tuple(fc.constant(lines), risingOffsets(lines.length))),
        id,
        ([lines, offsets], execution) => {
          const events = lines.map((line) => JSON.parse(line) as unknown);
          const frame = parseStreamFrame(encodeStreamSelection(offsets, execution, lines)) as StreamEvents;
          expect(frame).toEqual({ type: 'events', offsets, execution, events });
          expect(events.map((_, index) => offsetOf(frame, index))).toEqual(offsets);
        },
      ),
    );
  });

  it('[STR4] the frames look on the wire as PROTOCOL.md shows them', () => {
    const line = JSON.stringify(event);
    expect(encodeStreamBatch(1, 'e1', `${line}\n${line}`)).toBe(
      `{"type":"events","offset":1,"execution":"e1","events":[${line},${line}]}`,
    );
    expect(encodeStreamSelection([7, 9], 'e1', [line, line])).toBe(
      `{"type":"events","offsets":[7,9],"execution":"e1","events":[${line},${line}]}`,
    );
  });
});

describe('parseStreamFrame', () => {
  it('[STR2] reads back every frame of the coordinator', () => {
    fc.assert(
      fc.property(streamFrame, (given) => {
        expect(parseStreamFrame(encodeStreamFrame(given))).toEqual(given);
      }),
    );
  });

  it('[STR2] is total over text, JSON and damaged frames: a frame or null', () => {
    const valid = fc.oneof(
      streamFrame.map(encodeStreamFrame),
      fc.tuple(offset, id, stored).map(([first, execution, { body }]) => encodeStreamBatch(first, execution, body)),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          anyText,
          jsonValue.map((value) => JSON.stringify(value)),
          damaged(valid),
        ),
        (text) => {
          const frame = parseStreamFrame(text);
          if (frame?.type === 'events') {
            frame.events.forEach((one, index) => {
              expect(typeof one.type).toBe('string');
              expect(Number.isSafeInteger(offsetOf(frame, index))).toBe(true);
            });
          }
        },
      ),
    );
    for (const levels of [1000, 100_000]) {
      expect(() => parseStreamFrame(nested(levels))).not.toThrow();
      expect(() => parseStreamFrame(`{"type":"hello","executions":${nested(levels)}}`)).not.toThrow();
    }
  });

  it('[STR2] gives null for a type it does not know, to be skipped', () => {
    for (const text of [
      '{"type":"later"}',
      '{"type":"constructor"}',
      '{"type":"__proto__"}',
      '{"__proto__":{"type":"caught_up","offset":1}}',
      '{}',
      'pong',
    ]) {
      expect(parseStreamFrame(text)).toBeNull();
    }
  });

  const parsed = (frame: object) => parseStreamFrame(JSON.stringify(frame));

  it('[STR2] refuses a hello that lacks a part or lists invalid executions', () => {
    const hello = { type: 'hello', session: 's1', earliest: 1, head: 0, executions: [{ id: 'e1', status: 'running' }] };
    expect(parsed(hello)).toEqual(hello);
    for (const field of ['session', 'earliest', 'head', 'executions'])
      expect(parsed({ ...hello, [field]: undefined }), field).toBeNull();
    for (const executions of [[null], [1], [{}], [{ id: 'e1' }], [{ id: 1, status: 'running' }], [{ id: 'e1', status: 'done' }]]) {
      expect(parsed({ ...hello, executions })).toBeNull();
    }
  });

  it('[STR8] an end names a terminal status', () => {
    for (const status of STATUSES) {
      const end = { type: 'end', execution: 'e1', status };
      expect(parsed(end)).toEqual((TERMINAL_STATUSES as readonly string[]).includes(status) ? end : null);
    }
    for (const status of HOSTILE_VALUES) expect(parsed({ type: 'end', execution: 'e1', status })).toBeNull();
  });

  it('[STR4] an events frame gives each event a place: offset, or rising offsets, never both', () => {
    const frame = { type: 'events', execution: 'e1', events: [event, event] };
    expect(parsed({ ...frame, offset: 1 })).not.toBeNull();
    expect(parsed({ ...frame, offsets: [1, 5] })).not.toBeNull();
    expect(parsed(frame)).toBeNull();
    expect(parsed({ ...frame, offset: 1, offsets: [1, 5] })).toBeNull();
    for (const value of HOSTILE_VALUES) expect(parsed({ ...frame, offset: value })).toBeNull();
    expect(parsed({ ...frame, offset: Number.MAX_SAFE_INTEGER })).toBeNull();
    for (const offsets of [[], [1], [1, 2, 3], [0, 1], [2, 1], [1, 1], [1, '2'], [1, null], [1.5, 2], 'ab', { length: 2 }]) {
      expect(parsed({ ...frame, offsets }), JSON.stringify(offsets)).toBeNull();
    }
  });

  it('[STR4] refuses malformed events', () => {
    for (const one of [
      ...HOSTILE_VALUES,
      { ...event, type: 1 },
      { ...event, at: '1' },
      { ...event, data: [] },
      { ...event, data: null },
    ]) {
      expect(parsed({ type: 'events', execution: 'e1', offset: 1, events: [event, one] }), JSON.stringify(one)).toBeNull();
    }
    expect(parsed({ type: 'events', execution: 1, offset: 1, events: [event] })).toBeNull();
    expect(parsed({ type: 'events', execution: 'e1', offset: 1, events: { 0: event } })).toBeNull();
  });
});

describe('parseViewerFrame', () => {
  it('[STR11] reads an ack, and drops what it does not know', () => {
    fc.assert(
      fc.property(fc.oneof(count, positive), (place) => {
        expect(parseViewerFrame(encodeStreamFrame({ type: 'ack', offset: place }))).toEqual({ type: 'ack', offset: place });
      }),
    );
    expect(parseViewerFrame('{"type":"ack","offset":3,"later":true}')).toEqual({ type: 'ack', offset: 3 });
  });

  it('[STR11] is total, and rejects anything else', () => {
    const ack = fc.constant('{"type":"ack","offset":64}');
    fc.assert(
      fc.property(
        fc.oneof(
          anyText,
          jsonValue.map((value) => JSON.stringify(value)),
          damaged(ack),
          streamFrame.map(encodeStreamFrame),
        ),
        (text) => {
          const frame = parseViewerFrame(text);
          if (frame !== null) expect(Number.isSafeInteger(frame.offset) && frame.offset >= 0 && frame.type === 'ack').toBe(true);
        },
      ),
    );
    for (const value of [undefined, ...HOSTILE_VALUES.filter((one) => one !== 0)])
      expect(parseViewerFrame(JSON.stringify({ type: 'ack', offset: value }))).toBeNull();
    for (const text of [
      '',
      'hello',
      'null',
      '[]',
      '{"type":"hello"}',
      '{"__proto__":{"type":"ack","offset":1}}',
      '['.repeat(100_000),
    ]) {
      expect(parseViewerFrame(text)).toBeNull();
    }
  });
});
