/**
 * Goal: the feed's fast path for frames of plain output gives the same result as the general path,
 * and leaves every other frame alone.
 * Method: frames of events that are plain or nearly so, cut by both.
 */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encodeStreamBatch, encodeStreamSelection } from '../../../protocol/index.ts';
import { eventsOf, plainEventsOf } from '../../../src/operations/feed.ts';

const text = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 30 }),
  fc.string({ unit: fc.constantFrom('a', '"', '\\', '\n', '}', ']', ',', '\r'), maxLength: 20 }),
);
const plain = fc
  .record({
    at: fc.nat(),
    stream: fc.constantFrom('stdout', 'stderr'),
    text,
    bytes: fc.constantFrom('', ',"base64":"/+8="', ',"base64":""', ',"replaced":7'),
    partial: fc.constantFrom('', ',"partial":true', ',"partial":false'),
    line: fc.constantFrom('', ',"line":1', ',"line":123456'),
  })
  .map(
    (event) =>
      `{"type":"output","at":${event.at},"data":{"stream":"${event.stream}","text":${JSON.stringify(event.text)}${event.bytes}${event.partial}${event.line}}}`,
  );
const other = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }).map((value) => `{"type":"agent","at":1,"data":{"value":${JSON.stringify(value)}}}`),
  // An output event in another serialisation.
  text.map((said) => `{ "at":1, "type":"output", "data":{"text":${JSON.stringify(said)}, "stream":"stdout"} }`),
  plain.map((line) => line.replace('}}', ',"more":1}}')),
);
const execution = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,20}$/);
const offset = fc.integer({ min: 1, max: 2 ** 50 });

describe('[STR24] frames of plain output', () => {
  test('are cut as on the general path', () => {
    fc.assert(
      fc.property(offset, execution, fc.array(plain, { minLength: 1, maxLength: 6 }), (first, id, lines) => {
        const frame = encodeStreamBatch(first, id, lines.join('\n'));
        const events = plainEventsOf(frame);
        expect(events).toEqual(eventsOf(frame));
        expect(events?.map(({ data }) => data)).toEqual(lines.map((line) => line.slice(line.indexOf('{"stream"'), -1)));
      }),
      { numRuns: 1000 },
    );
  });

  test('no other frame uses the fast path', () => {
    const mixed = fc
      .tuple(fc.array(plain, { maxLength: 3 }), other, fc.array(plain, { maxLength: 3 }))
      .map(([before, odd, after]) => [...before, odd, ...after]);
    fc.assert(
      fc.property(offset, execution, mixed, (first, id, lines) => {
        const frame = encodeStreamBatch(first, id, lines.join('\n'));
        expect(plainEventsOf(frame)).toBeNull();
        expect(eventsOf(frame).map((event) => event.offset)).toEqual(lines.map((_, index) => first + index));
      }),
      { numRuns: 1000 },
    );
    const [line = ''] = fc.sample(plain, 1);
    expect(plainEventsOf(encodeStreamSelection([3, 9], 'e1', [line, line]))).toBeNull();
    expect(eventsOf(encodeStreamSelection([3, 9], 'e1', [line, line])).map((event) => event.offset)).toEqual([3, 9]);
  });
});
