/**
 * Goal: whatever the bytes are and wherever the reads are cut, the pieces are the stream (TX1–TX4).
 * Method: properties over made-up streams (long lines, no lines, broken UTF-8) and made-up cuts,
 * with flushes in between.
 */

import { isUtf8 } from 'node:buffer';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkEventLine, EVENT_BYTES_MAX } from '../../protocol/index.ts';
import { encodePiece } from '../../wrapper/output/event-lines.ts';
import { REDACTED, readRedaction } from '../../wrapper/output/redaction.ts';
import { JsonLineSplitter, type Piece, type Splitter, TEXT_BYTES_MAX, TextSplitter } from '../../wrapper/output/text-splitter.ts';

const fragment = fc.oneof(
  fc.string({ unit: 'grapheme' }).map((text) => Buffer.from(text)),
  fc.constant(Buffer.from('\n')),
  fc.constant(Buffer.from('ordinary line\r\n')),
  fc.uint8Array({ maxLength: 12 }).map((bytes) => Buffer.from(bytes)),
  fc.constantFrom('é', '€', '😀', 'a').chain((unit) => fc.integer({ min: 1, max: 70_000 }).map((n) => Buffer.from(unit.repeat(n)))),
  fc.integer({ min: 1, max: 70_000 }).map((n) => Buffer.alloc(n, 0xff)),
  fc.integer({ min: 1, max: 70_000 }).map((n) => Buffer.alloc(n, 0x85)),
);
const stream = fc.array(fragment, { maxLength: 8 }).map((parts) => Buffer.concat(parts));
/** Where a read ends, as a share of the stream, and whether the line is flushed as late there. */
const cuts = fc.array(fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), flush: fc.boolean() }), { maxLength: 8 });

function feed(splitter: Splitter, bytes: Buffer, reads: { at: number; flush: boolean }[]): Piece[] {
  const pieces: Piece[] = [];
  let from = 0;
  for (const { at, flush } of [...reads].sort((a, b) => a.at - b.at)) {
    const to = Math.floor(at * bytes.length);
    pieces.push(...splitter.push(bytes.subarray(from, to)));
    if (flush) pieces.push(...splitter.flush());
    from = to;
  }
  pieces.push(...splitter.push(bytes.subarray(from)), ...splitter.end());
  return pieces;
}

const joined = (pieces: Piece[]): string => pieces.map(({ text }) => text).join('');

describe('text', () => {
  it('[TX1] gives the whole stream decoded, wherever it was cut', () => {
    fc.assert(
      fc.property(stream, cuts, (bytes, reads) => {
        expect(joined(feed(new TextSplitter(), bytes, reads)) === bytes.toString('utf8')).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  it('[TX2] [TX3] keeps each piece within 64 KiB, and marks correctly whether it ends a line', () => {
    fc.assert(
      fc.property(stream, cuts, (bytes, reads) => {
        for (const piece of feed(new TextSplitter(), bytes, reads)) {
          expect(piece.text.length).toBeGreaterThan(0);
          expect(Buffer.byteLength(piece.text)).toBeLessThanOrEqual(TEXT_BYTES_MAX);
          expect(piece.kind === 'text' && piece.partial).toBe(!piece.text.endsWith('\n'));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('[TX2] the worst piece still fits one event', () => {
    const [piece] = new TextSplitter().push(Buffer.concat([Buffer.alloc(TEXT_BYTES_MAX - 1, 0), Buffer.from('\n')]));
    expect(encodePiece(piece as Piece, 'stdout', Date.now(), Number.MAX_SAFE_INTEGER).length).toBeLessThanOrEqual(EVENT_BYTES_MAX);
  });

  it('[TX4] never cuts a character, also when it arrives byte by byte and is flushed after each', () => {
    const text = 'aé€😀\u{10ffff}z';
    const splitter = new TextSplitter();
    const pieces: Piece[] = [];
    for (const byte of Buffer.from(text)) pieces.push(...splitter.push(Buffer.from([byte])), ...splitter.flush());
    pieces.push(...splitter.end());
    expect(pieces.map((piece) => piece.text)).toEqual([...text]);
  });

  it('gives the lines of one read as one piece, and holds back the rest', () => {
    const splitter = new TextSplitter();
    expect(splitter.push(Buffer.from('one\ntwo\nthr'))).toEqual([{ kind: 'text', text: 'one\ntwo\n', partial: false }]);
    expect(splitter.late).toBe(true);
    expect(splitter.push(Buffer.from('ee\n'))).toEqual([{ kind: 'text', text: 'three\n', partial: false }]);
    expect(splitter.late).toBe(false);
  });

  it('a line at the limit is whole; one byte more makes it two pieces', () => {
    const line = (bytes: number) => Buffer.concat([Buffer.alloc(bytes - 1, 'x'), Buffer.from('\n')]);
    expect(new TextSplitter().push(line(TEXT_BYTES_MAX)).map((piece) => piece.kind === 'text' && piece.partial)).toEqual([false]);
    expect(new TextSplitter().push(line(TEXT_BYTES_MAX + 1)).map((piece) => piece.kind === 'text' && piece.partial)).toEqual([
      true,
      false,
    ]);
  });
});

/** As a reader puts them together. */
const joinedBytes = (pieces: Piece[]): Buffer =>
  Buffer.concat(pieces.map((piece) => (piece.kind === 'bytes' ? piece.bytes : Buffer.from(piece.text))));

describe('text that counts what it replaces', () => {
  /** Decoded one by one: what is replaced is what is in no valid character. */
  function invalidBytes(bytes: Buffer): number {
    let count = 0;
    for (let at = 0; at < bytes.length; ) {
      const length = [1, 2, 3, 4].find((size) => at + size <= bytes.length && isOneCharacter(bytes.subarray(at, at + size)));
      count += length === undefined ? 1 : 0;
      at += length ?? 1;
    }
    return count;
  }
  const isOneCharacter = (bytes: Buffer): boolean => isUtf8(bytes) && [...bytes.toString()].length === 1;

  it('[TX1] the counts of all pieces are the bytes that were not UTF-8, wherever it was cut', () => {
    const unit = fc.oneof(
      fc.constantFrom('a', 'é', '€', '😀', '\ufffd', '\n').map((text) => Buffer.from(text)),
      fc.uint8Array({ minLength: 1, maxLength: 4 }).map((bytes) => Buffer.from(bytes)),
    );
    fc.assert(
      fc.property(
        fc.array(unit, { maxLength: 40 }).map((parts) => Buffer.concat(parts)),
        fc.array(fc.record({ at: fc.double({ min: 0, max: 1, noNaN: true }), flush: fc.boolean() }), { maxLength: 6 }),
        (bytes, reads) => {
          const pieces = feed(new TextSplitter(), bytes, reads);
          const counted = pieces.reduce((sum, piece) => sum + ((piece.kind === 'text' ? piece.replaced : undefined) ?? 0), 0);
          expect(counted).toBe(invalidBytes(bytes));
          for (const piece of pieces)
            if (piece.kind === 'text' && piece.replaced === undefined) expect(piece).not.toHaveProperty('replaced');
        },
      ),
      { numRuns: 1000 },
    );
  });

  it('U+FFFD that the job printed is not counted', () => {
    expect(new TextSplitter().push(Buffer.from('a\ufffd\n'))).toEqual([{ kind: 'text', text: 'a\ufffd\n', partial: false }]);
  });
});

describe('exact', () => {
  it('[TX5] the pieces joined are the bytes, whatever they are and wherever they were cut', () => {
    fc.assert(
      fc.property(stream, cuts, (bytes, reads) => {
        const pieces = feed(new TextSplitter(null, { exact: true }), bytes, reads);
        expect(joinedBytes(pieces).equals(bytes)).toBe(true);
        for (const piece of pieces) {
          if (piece.kind === 'bytes') {
            expect(piece.bytes.length).toBeGreaterThan(0);
            expect(piece.bytes.length).toBeLessThanOrEqual(TEXT_BYTES_MAX);
            expect(piece.partial).toBe(piece.bytes.at(-1) !== 0x0a);
            expect(isUtf8(piece.bytes)).toBe(false);
          } else {
            expect(piece).not.toHaveProperty('replaced');
            expect(piece.kind === 'text' && piece.partial).toBe(!piece.text.endsWith('\n'));
          }
        }
      }),
      { numRuns: 500 },
    );
  });

  it('[TX5] the same for JSON lines, which stay events', () => {
    const part = fc.oneof(
      fragment,
      fc.constantFrom('{"a":1}\n', '{"a":"\xff"}\n', '{"a"').map((text) => Buffer.from(text, 'latin1')),
    );
    fc.assert(
      fc.property(
        fc.array(part, { maxLength: 8 }).map((parts) => Buffer.concat(parts)),
        cuts,
        (bytes, reads) => {
          const pieces = feed(new JsonLineSplitter(null, { exact: true }), bytes, reads);
          const whole = pieces.map((piece) =>
            piece.kind === 'bytes' ? piece.bytes : Buffer.from(piece.kind === 'json' ? `${piece.text}\n` : piece.text),
          );
          // An object that ends the stream has no line end.
          const all = Buffer.concat(whole);
          expect(all.equals(bytes) || all.subarray(0, -1).equals(bytes)).toBe(true);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('lines that are UTF-8 stay text, and their neighbours are bytes', () => {
    const bytes = Buffer.from('one\ntwo\n\xff\n\xfe\nthree\n', 'latin1');
    expect(new TextSplitter(null, { exact: true }).push(bytes)).toEqual([
      { kind: 'text', text: 'one\ntwo\n', partial: false },
      { kind: 'bytes', text: '', bytes: Buffer.from('\xff\n\xfe\n', 'latin1'), partial: false },
      { kind: 'text', text: 'three\n', partial: false },
    ]);
  });

  it('a stream that changes with every line is one piece of bytes, not thousands of events', () => {
    const bytes = Buffer.from('\xff\na\n'.repeat(1000), 'latin1');
    const pieces = new TextSplitter(null, { exact: true }).push(bytes);
    expect(pieces).toEqual([{ kind: 'bytes', text: '', bytes, partial: false }]);
  });

  it('the largest piece of bytes fits one event', () => {
    const [piece] = new TextSplitter(null, { exact: true }).push(Buffer.alloc(TEXT_BYTES_MAX + 1, 0xff));
    expect(piece).toMatchObject({ kind: 'bytes', partial: true });
    const line = encodePiece(piece as Piece, 'stderr', Date.now(), Number.MAX_SAFE_INTEGER);
    expect(line.length).toBeLessThanOrEqual(EVENT_BYTES_MAX);
    expect(checkEventLine(line.subarray(0, -1))).toMatchObject({ ok: true });
  });

  it('a JSON line that is not UTF-8 is output, because JSON is UTF-8', () => {
    const line = Buffer.from('{"a":"\xff"}\n', 'latin1');
    expect(new JsonLineSplitter(null, { exact: true }).push(line)).toEqual([
      { kind: 'bytes', text: '', bytes: line, partial: false },
    ]);
    expect(new JsonLineSplitter().push(line)).toEqual([{ kind: 'text', text: '{"a":"\ufffd"}\n', partial: false, replaced: 1 }]);
  });

  it('[RD5] a secret is found in the bytes, also between bytes that are not UTF-8', () => {
    const reading = readRedaction([{ A_TOKEN: 'hunter2-secret' }], []);
    if (reading.kind !== 'read' || !reading.redaction) throw new Error('nothing to redact');
    const { redaction } = reading;
    fc.assert(
      fc.property(
        fc.array(fc.oneof(fragment, fc.constant(Buffer.from('hunter2-secret'))), { maxLength: 6 }),
        cuts,
        (parts, reads) => {
          const bytes = Buffer.concat(parts);
          const pieces = feed(new TextSplitter(redaction, { exact: true }), bytes, reads);
          const expected = Buffer.from(bytes.toString('latin1').replaceAll(/(?:hunter2-secret)+/g, REDACTED), 'latin1');
          expect(joinedBytes(pieces).equals(expected)).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe('JSON lines', () => {
  it('[TX1] gives every line once and in order, wherever it was cut', () => {
    const line = fc.oneof(
      fc.record({ text: fc.string(), n: fc.integer() }).map((value) => JSON.stringify(value)),
      fc.constantFrom('', 'plain', '{broken', '[1]', '"text"', '  {"indented":true}', '{"a":1} trailing', 'null'),
    );
    fc.assert(
      fc.property(
        fc.array(line, { maxLength: 20 }),
        cuts.map((all) => all.map((cut) => ({ ...cut, flush: false }))),
        (lines, reads) => {
          const pieces = feed(new JsonLineSplitter(), Buffer.from(lines.map((each) => `${each}\n`).join('')), reads);
          const seen = pieces.map((piece) => (piece.kind === 'json' ? `${piece.text}\n` : piece.text)).join('');
          expect(seen).toBe(lines.map((each) => `${/^ *\{.*\}$/.test(each) ? each.trim() : each}\n`).join(''));
          for (const piece of pieces) if (piece.kind === 'json') expect(typeof JSON.parse(piece.text)).toBe('object');
        },
      ),
    );
  });

  it('waits for the rest of what begins like an object, but not for a prompt', () => {
    const splitter = new JsonLineSplitter();
    expect(splitter.push(Buffer.from('{"a":'))).toEqual([]);
    expect(splitter.late).toBe(false);
    expect(splitter.push(Buffer.from('1}\nContinue? '))).toEqual([{ kind: 'json', text: '{"a":1}' }]);
    expect(splitter.late).toBe(true);
    expect(splitter.flush()).toEqual([{ kind: 'text', text: 'Continue? ', partial: true }]);
    // The rest of that line is not taken for an object of its own.
    expect(splitter.push(Buffer.from('{"b":2}\n{"c":3}\n'))).toEqual([
      { kind: 'text', text: '{"b":2}\n', partial: false },
      { kind: 'json', text: '{"c":3}' },
    ]);
  });

  it('gives as text what the coordinator would refuse: an object that nests too deep', () => {
    const deep = `${'{"a":'.repeat(200)}1${'}'.repeat(200)}\n`;
    expect(new JsonLineSplitter().push(Buffer.from(deep))).toEqual([{ kind: 'text', text: deep, partial: false }]);
  });

  it.each([
    ['a byte order mark', '\ufeff{"a":1}\n', '{"a":1}'],
    ['a carriage return', '{"a":1}\r\n', '{"a":1}'],
    ['white space', ' \t{"a":1} \n', '{"a":1}'],
    ['half a surrogate pair in it', '{"a":"\\ud800"}\n', '{"a":"\\ud800"}'],
  ])('[AGT1] takes an object with %s, wherever it was cut', (_, line, text) => {
    fc.assert(
      fc.property(cuts, (reads) => {
        const given = feed(
          new JsonLineSplitter(),
          Buffer.from(`${line}text\n${line}`),
          reads.map(({ at }) => ({ at, flush: false })),
        );
        expect(given.map((piece) => piece.text)).toEqual([text, 'text\n', text]);
      }),
      { numRuns: 50 },
    );
  });

  it('[AGT1] text that begins like a byte order mark is text', () => {
    expect(new JsonLineSplitter().push(Buffer.from('\ufefb{\n\ufefftext\n'))).toEqual([
      { kind: 'text', text: '\ufefb{\n\ufefftext\n', partial: false },
    ]);
  });

  it('takes an object at the very end of the stream, without a line end', () => {
    const splitter = new JsonLineSplitter();
    splitter.push(Buffer.from('{"last":true}'));
    expect(splitter.end()).toEqual([{ kind: 'json', text: '{"last":true}' }]);
  });
});
