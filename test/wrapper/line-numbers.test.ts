/**
 * Goal: the number of an output is that of the first line that begins in it, however the job's
 * writes were cut and mixed (SPL24). Method: made-up writes of both streams go through the
 * splitters as the child's reads do; the reference looks at one character after the other.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkFact, EVENT_BYTES_MAX, type HoldfastEvent, type OutputFormat } from '../../protocol/index.ts';
import { encodePiece, type StreamName } from '../../wrapper/output/event-lines.ts';
import { LineNumbers } from '../../wrapper/output/line-numbers.ts';
import { JsonLineSplitter, type Piece, type Splitter, TextSplitter } from '../../wrapper/output/text-splitter.ts';

interface Said {
  stream: StreamName;
  bytes: Buffer;
  /** The line is late after this read, and what there is of it goes out. */
  flush: boolean;
}

const words = fc.oneof(
  fc.constantFrom('', '\n', '\n\n', 'a', 'ab\n', '\r\n', 'x\ny\nz', 'no end', '{"a":1}\n', '{"a":', '1}\n', 'é€😀', ' '),
  fc.constantFrom('long', 'é').chain((unit) => fc.integer({ min: 1, max: 70_000 }).map((n) => unit.repeat(n))),
  fc.string({ unit: 'grapheme', maxLength: 20 }),
);
const bytes = fc.oneof(
  { weight: 6, arbitrary: words.map((text) => Buffer.from(text)) },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 8 }).map((raw) => Buffer.from(raw)) },
);
const said: fc.Arbitrary<Said[]> = fc.array(
  fc.record({ stream: fc.constantFrom<StreamName>('stdout', 'stderr'), bytes, flush: fc.boolean() }),
  { maxLength: 24 },
);

/** The events of a job, as the wrapper writes them. */
function eventsOf(writes: readonly Said[], format: OutputFormat): HoldfastEvent[] {
  const lines = new LineNumbers();
  const splitters: Record<StreamName, Splitter> = {
    stdout: format === 'jsonl' ? new JsonLineSplitter() : new TextSplitter(),
    stderr: new TextSplitter(),
  };
  const events: HoldfastEvent[] = [];
  const emit = (stream: StreamName, pieces: readonly Piece[]) => {
    for (const piece of pieces) {
      const line = piece.kind === 'text' ? lines.take(stream, piece.text) : null;
      const encoded = encodePiece(piece, stream, 1, line);
      expect(encoded.length).toBeLessThanOrEqual(EVENT_BYTES_MAX);
      events.push(JSON.parse(encoded.toString()) as HoldfastEvent);
    }
  };
  for (const { stream, bytes: read, flush } of writes) {
    emit(stream, splitters[stream].push(read));
    if (flush) emit(stream, splitters[stream].flush());
  }
  emit('stdout', splitters.stdout.end());
  emit('stderr', splitters.stderr.end());
  return events;
}

/**
 * What a reader of the whole log, which goes by `partial` alone, counts: for each output the first
 * line that begins in it.
 */
function counted(events: readonly HoldfastEvent[]): (number | undefined)[] {
  const open = new Set<unknown>();
  let begun = 0;
  return events
    .filter(({ type }) => type === 'output')
    .map(({ data }) => {
      let first: number | undefined;
      for (const character of data.text as string) {
        if (!open.has(data.stream)) {
          begun += 1;
          first ??= begun;
        }
        if (character === '\n') open.delete(data.stream);
        else open.add(data.stream);
      }
      expect(open.has(data.stream)).toBe(data.partial === true);
      return first;
    });
}

describe('line numbers', () => {
  it.each(['text', 'jsonl'] as const)('[SPL24] [LN1] [LN2] are what a reader of the whole log counts, of %s too', (format) => {
    let numbers = 0;
    let without = 0;
    fc.assert(
      fc.property(said, (writes) => {
        const events = eventsOf(writes, format);
        const found = events.filter(({ type }) => type === 'output').map(({ data }) => data.line);
        expect(found).toEqual(counted(events));
        for (const event of events) expect(checkFact(event).ok).toBe(true);
        numbers += found.filter((line) => line !== undefined).length;
        without += found.filter((line) => line === undefined).length;
      }),
      { numRuns: 400 },
    );
    // The made-up writes reach both kinds.
    expect(numbers).toBeGreaterThan(100);
    expect(without).toBeGreaterThan(20);
  });

  it('[LN2] the other stream does not close an open line', () => {
    const lines = new LineNumbers();
    expect([
      lines.take('stdout', 'a\nhalf'),
      lines.take('stderr', 'between\n'),
      lines.take('stdout', ' of it'),
      lines.take('stdout', ' and the rest\nnext\n'),
      lines.take('stderr', 'end'),
      lines.take('stderr', '\n'),
      lines.take('stdout', '\n'),
    ]).toEqual([1, 3, null, 4, 5, null, 6]);
  });

  it('an empty text begins and ends nothing', () => {
    const lines = new LineNumbers();
    expect([lines.take('stdout', ''), lines.take('stdout', 'a'), lines.take('stdout', ''), lines.take('stdout', 'b\n')]).toEqual([
      null,
      1,
      null,
      null,
    ]);
  });
});
