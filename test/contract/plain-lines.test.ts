/**
 * Goal: the parser's short cut for plain output lines takes what the full check takes, and refuses
 * what it refuses. Method: lines that are nearly plain, each judged by the parser and by JSON.parse
 * and checkFact, which know no short cut.
 */

import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { checkFact, EVENT_BYTES_MAX, encodeEventsFrame, lastEventOf, parseWrapperFrame } from '../../protocol/index.ts';
import { encodePiece } from '../../wrapper/output/event-lines.ts';
import { propertyRuns } from '../support/property-runs.ts';

function byFullCheck(line: string): string {
  if (!line.isWellFormed()) return 'not_utf8';
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return 'not_json';
  }
  return checkFact(value).ok ? 'ok' : 'bad_event';
}

const byParser = (line: string): string => {
  const parsed = parseWrapperFrame(encodeEventsFrame(1, 1, line));
  return parsed.ok ? 'ok' : parsed.code;
};

const texts = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc.string({ unit: fc.constantFrom('a', '"', '\\', '\n', '\t', '\u001b', '/', '\u2028', 'é'), maxLength: 20 }),
);
const plainLines = fc
  .record({
    at: fc.oneof(fc.nat(), fc.maxSafeNat()),
    stream: fc.constantFrom('stdout', 'stderr'),
    text: texts,
    partial: fc.constantFrom('', ',"partial":true', ',"partial":false'),
    line: fc.oneof(
      fc.constant(''),
      fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }).map((line) => `,"line":${line}`),
    ),
  })
  .map(
    ({ at, stream, text, partial, line }) =>
      `{"type":"output","at":${at},"data":{"stream":"${stream}","text":${JSON.stringify(text)}${partial}${line}}}`,
  );

/**
 * What a character may become, or what may stand before it: everything that means something in such
 * a line.
 */
const spoilers = fc.constantFrom(
  '"',
  '\\',
  '{',
  '}',
  ',',
  ':',
  '0',
  '-',
  '9',
  'e',
  'u',
  'x',
  ' ',
  '\t',
  '\r',
  '\u0000',
  '\u001f',
  '\u007f',
  '',
);
const nearlyPlain = fc
  .record({
    line: plainLines,
    edits: fc.array(fc.record({ at: fc.nat(200), spoiler: spoilers, cut: fc.nat(2) }), { minLength: 1, maxLength: 3 }),
  })
  .map(({ line, edits }) =>
    edits.reduce((text, { at, spoiler, cut }) => {
      const place = at % (text.length + 1);
      return text.slice(0, place) + spoiler + text.slice(place + cut);
    }, line),
  );

describe('plain output lines', () => {
  it('[ING8] are taken, and their text is read as it stands', () => {
    fc.assert(
      fc.property(fc.array(plainLines, { minLength: 1, maxLength: 5 }), (lines) => {
        const parsed = parseWrapperFrame(encodeEventsFrame(1, lines.length, lines.join('\n')));
        expect(parsed.ok && parsed.frame.type === 'events' && parsed.frame.events).toEqual(lines.map((line) => JSON.parse(line)));
      }),
      { numRuns: propertyRuns(500) },
    );
  });

  it('[ING8] are what a wrapper writes: no event of its output is read as JSON', () => {
    const pieces = [
      { text: 'a line\n', partial: false },
      { text: 'esc \u001b[31mred\u001b[0m "quoted" \\ é \ud83d\ude00 \ufffd\n', partial: false },
      { text: 'password: ', partial: true },
    ];
    const lines = pieces.flatMap(({ text, partial }) =>
      [null, 1, 123_456].map((line) =>
        encodePiece({ kind: 'text', text, partial }, 'stderr', Date.now(), line).toString().trimEnd(),
      ),
    );
    const text = encodeEventsFrame(1, lines.length, lines.join('\n'));
    const parse = vi.spyOn(JSON, 'parse');
    try {
      expect(parseWrapperFrame(text).ok).toBe(true);
      // The header line.
      expect(parse).toHaveBeenCalledTimes(1);
    } finally {
      parse.mockRestore();
    }
  });

  it('[ING8] and lines that only look like them are judged as without the short cut', () => {
    fc.assert(
      fc.property(nearlyPlain, (line) => {
        expect(byParser(line)).toBe(byFullCheck(line));
      }),
      { numRuns: propertyRuns(20_000) },
    );
  });

  it.each([
    ['a time with a leading zero', '{"type":"output","at":01,"data":{"stream":"stdout","text":""}}', 'not_json'],
    ['a time that is no safe integer', '{"type":"output","at":9007199254740993,"data":{"stream":"stdout","text":""}}', 'bad_event'],
    ['a time of sixteen digits that is one', '{"type":"output","at":9007199254740991,"data":{"stream":"stdout","text":""}}', 'ok'],
    ['a control character in the text', '{"type":"output","at":1,"data":{"stream":"stdout","text":"\t"}}', 'not_json'],
    ['an escape that is none', '{"type":"output","at":1,"data":{"stream":"stdout","text":"\\x"}}', 'not_json'],
    ['half an escape', '{"type":"output","at":1,"data":{"stream":"stdout","text":"\\u00g0"}}', 'not_json'],
    ['a text without an end', '{"type":"output","at":1,"data":{"stream":"stdout","text":"\\"}}', 'not_json'],
    ['another stream', '{"type":"output","at":1,"data":{"stream":"stdin","text":""}}', 'bad_event'],
    ['a second text that is none', '{"type":"output","at":1,"data":{"stream":"stdout","text":"","text":1}}', 'bad_event'],
    ['a line number of nought', '{"type":"output","at":1,"data":{"stream":"stdout","text":"","line":0}}', 'bad_event'],
    ['a line number that is no integer', '{"type":"output","at":1,"data":{"stream":"stdout","text":"","line":1.5}}', 'bad_event'],
    [
      'a line number beyond the safe ones',
      '{"type":"output","at":1,"data":{"stream":"stdout","text":"","line":9007199254740992}}',
      'bad_event',
    ],
    ['the last safe line number', '{"type":"output","at":1,"data":{"stream":"stdout","text":"","line":9007199254740991}}', 'ok'],
    ['something behind it', '{"type":"output","at":1,"data":{"stream":"stdout","text":""}}x', 'not_json'],
    ['a carriage return behind it', '{"type":"output","at":1,"data":{"stream":"stdout","text":""}}\r', 'ok'],
  ])('[ING8] %s', (_, line, verdict) => {
    expect(byParser(line)).toBe(verdict);
    expect(byFullCheck(line)).toBe(verdict);
  });

  it('[ING8] one event of nothing but escapes may fill a frame, and one that breaks off does not take longer', () => {
    const most = '\\n'.repeat((EVENT_BYTES_MAX - 100) / 2);
    const begun = performance.now();
    expect(byParser(`{"type":"output","at":1,"data":{"stream":"stdout","text":"${most}"}}`)).toBe('ok');
    expect(byParser(`{"type":"output","at":1,"data":{"stream":"stdout","text":"${most}\\x"}}`)).toBe('not_json');
    expect(byParser(`{"type":"output","at":1,"data":{"stream":"stdout","text":"${'x'.repeat(EVENT_BYTES_MAX - 100)}\\x"}}`)).toBe(
      'not_json',
    );
    // Anything but linear would take minutes.
    expect(performance.now() - begun).toBeLessThan(20_000);
  });

  it('[ING7] a terminal fact is still seen as the last event, and refused before it', () => {
    const output = '{"type":"output","at":1,"data":{"stream":"stdout","text":"x\\n"}}';
    const exit = '{"type":"exit","at":1,"data":{"exitCode":0}}';
    const parsed = parseWrapperFrame(encodeEventsFrame(1, 2, `${output}\n${exit}`));
    expect(parsed.ok && parsed.frame.type === 'events' && lastEventOf(parsed.frame)).toEqual(JSON.parse(exit));
    expect(parseWrapperFrame(encodeEventsFrame(1, 2, `${exit}\n${output}`))).toMatchObject({
      ok: false,
      code: 'terminal_not_last',
    });
  });
});
