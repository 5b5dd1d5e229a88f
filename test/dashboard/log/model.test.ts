/**
 * The lines of a log, whatever way its events come: in any pieces, newest part first, older parts
 * later. The reference makes them in one pass, a character at a time.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { OVERWRITTEN_CHARS_MAX } from '../../../dashboard/src/log/block.ts';
import { CHUNK_LINES_MAX } from '../../../dashboard/src/log/chunk.ts';
import { outputText } from '../../../dashboard/src/log/describe.ts';
import { shownText } from '../../../dashboard/src/log/line.ts';
import { LogModel } from '../../../dashboard/src/log/model.ts';
import { cut, log } from './arbitrary.ts';
import { event, linesOf, output, reference } from './lines.ts';

const loaded = (events: Parameters<LogModel['append']>[0]): LogModel => {
  const model = new LogModel();
  model.append(events);
  return model;
};
const texts = (model: LogModel) => linesOf(model).map(({ text }) => text);

describe('lines', () => {
  it('are the lines of one pass, however the log was cut, appended and prepended', () => {
    fc.assert(
      fc.property(log(false), fc.array(fc.nat()), fc.nat(), (events, places, pivot) => {
        const model = new LogModel();
        const runs = cut(events, places);
        const middle = pivot % runs.length;
        // Newer runs are appended; older ones prepended in between, as a page does while the run
        // continues.
        const newer = runs.slice(middle);
        const older = runs.slice(0, middle).reverse();
        for (let i = 0; i < Math.max(newer.length, older.length); i++) {
          model.append(newer[i] ?? []);
          model.prepend(older[i] ?? []);
        }
        model.atStart();
        expect(linesOf(model)).toEqual(reference(events));
        expect(model.lines).toBe(model.end - model.first);
        expect(model.firstOffset).toBe(events[0]?.offset ?? null);
      }),
      { numRuns: 1500 },
    );
  });

  it('are, within each stream, what its text is when split at line feeds', () => {
    fc.assert(
      fc.property(log(false), (events) => {
        const honest = events.map((given) =>
          given.type === 'output'
            ? { ...given, data: { ...given.data, partial: !(given.data.text as string).endsWith('\n') } }
            : given,
        );
        const model = loaded(honest);
        for (const stream of ['stdout', 'stderr']) {
          const whole = honest.filter(({ data }) => data.stream === stream).map(({ data }) => data.text);
          const lines = whole.join('').split('\n');
          if (lines.at(-1) === '') lines.pop();
          expect(
            linesOf(model)
              .filter(({ kind }) => kind === stream)
              .map(({ text }) => text),
          ).toEqual(lines);
        }
      }),
    );
  });

  it('have the numbers that events give, also while only the end of the log is loaded', () => {
    fc.assert(
      fc.property(log(true), fc.array(fc.nat()), fc.nat(), (events, places, pivot) => {
        const model = new LogModel();
        const runs = cut(events, places);
        const newer = runs.splice(pivot % runs.length);
        model.append(newer.shift() ?? []);
        for (const run of runs.reverse()) model.prepend(run);
        for (const run of newer) model.append(run);
        const numbers = linesOf(model).map(({ number }) => number);
        const right = reference(events).map(({ number }) => number);
        // Without any event that begins a line, nothing is known.
        expect(numbers).toEqual(events.some(({ data }) => data.line !== undefined) ? right : numbers.map(() => null));
        for (const number of numbers)
          if (number !== null) expect(linesOf(model).find((line) => line.number === number)).toBeDefined();
        for (let id = model.first; id < model.end; id++) {
          const position = model.position(id);
          const number = position === null ? null : model.number(position);
          if (number !== null) expect(model.idOf(number)).toBe(id);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it('keep their ids while older ones arrive, except lines before one that was only an end', () => {
    fc.assert(
      fc.property(log(false), fc.array(fc.nat()), (events, places) => {
        const runs = cut(events, places);
        const model = loaded(runs.pop() ?? []);
        let known = linesOf(model).map((line, i) => ({ ...line, id: model.first + i, removed: 0 }));
        for (const run of runs.reverse()) {
          const gone = model.removed.length;
          model.prepend(run);
          known = known.filter(({ id, removed }) => !isGone(model, id, removed));
          for (const { id, removed, offset, kind } of known) {
            const position = model.position(model.settle(id, removed));
            expect(position?.chunk.offset(position.index)).toBe(offset);
            expect(['stdout', 'stderr', 'agent', 'status'][position?.chunk.kind(position.index) ?? 9]).toBe(kind);
          }
          expect(model.removed.length - gone).toBeLessThanOrEqual(2);
        }
      }),
    );
  });

  it('get their first number from the start of the log when events have none', () => {
    const model = loaded([output(5, 'five\nsix\n')]);
    expect(model.firstLine).toBeNull();
    model.prepend([output(1, 'one\ntwo\n'), event(2, 'agent', { text: 'hello' })]);
    expect(model.firstLine).toBeNull();
    model.atStart();
    expect(linesOf(model).map(({ number }) => number)).toEqual([1, 2, null, 3, 4]);
    expect(model.firstLine).toBe(1);
  });

  it('keep the numbers that events give where lines were lost', () => {
    const model = loaded([
      output(1, 'a\n', { line: 1 }),
      event(2, 'gap', { events: 3, bytes: 9, reason: 'full' }),
      output(3, 'b\nc\n', { line: 10 }),
    ]);
    expect(linesOf(model).map(({ number }) => number)).toEqual([1, null, 10, 11]);
    expect([model.idOf(10), model.idOf(5)]).toEqual([2, null]);
  });

  it('do not count the end of a line that began before the loaded part, as the next number shows', () => {
    const model = loaded([output(7, 'of a line\nsix\n', { line: 6 }), output(8, 'seven\n', { line: 7 })]);
    expect(linesOf(model).map(({ text, number }) => [text, number])).toEqual([
      ['of a line', 5],
      ['six', 6],
      ['seven', 7],
    ]);
    model.prepend([output(6, 'the start ', { line: 5, partial: true })]);
    expect(linesOf(model).map(({ text, number }) => [text, number])).toEqual([
      ['the start of a line', 5],
      ['six', 6],
      ['seven', 7],
    ]);
  });

  it('carry the reason of an abnormal end', () => {
    const model = loaded([
      event(1, 'wrapper_disconnected', { wsCloseCode: 1006, reason: 'no answer' }),
      event(2, 'execution_failed', { code: 'wrapper_disconnected', error: 'wrapper lost for 60 s', fatal: true }),
      event(3, 'exit', { exitCode: 3, signal: null }),
      event(4, 'my_tool', { x: 1 }),
      event(5, 'command_ack', { id: 'c1' }),
      event(6, 'agent_part', { part: 2, parts: 3, text: '"half' }),
      event(7, 'agent_part', { part: { toString: 1 } }),
    ]);
    expect(linesOf(model).map(({ kind, text }) => `${kind} ${text}`)).toEqual([
      'status wrapper disconnected: no answer (close code 1006)',
      'status failed: wrapper lost for 60 s (wrapper_disconnected)',
      'status The job exited with code 3',
      'agent my_tool {"x":1}',
      'agent [part 2 of 3] "half',
      'agent agent_part {"part":{"toString":1}}',
    ]);
  });

  it('say how many bytes there are that are not UTF-8, and later lines keep their numbers', () => {
    const bytes = (length: number) => btoa('\u00ff'.repeat(length));
    const model = loaded([
      output(1, 'one\n', { line: 1 }),
      event(2, 'output', { stream: 'stdout', text: '', base64: bytes(1234), line: 2 }),
      output(3, 'six\n', { line: 6 }),
      output(4, 'a prompt: ', { line: 7, partial: true }),
      event(5, 'output', { stream: 'stdout', text: '', base64: bytes(1), partial: true }),
      output(6, ' end\n'),
    ]);
    expect(linesOf(model).map(({ text, number }) => [number, text])).toEqual([
      [1, 'one'],
      [2, '[1,234 bytes that are not UTF-8]'],
      [6, 'six'],
      [7, 'a prompt: [1 byte that is not UTF-8] end'],
    ]);
    expect(outputText({ text: '', base64: bytes(2), partial: true })).toBe('[2 bytes that are not UTF-8]');
    expect(outputText({ text: '', base64: '' })).toBe('');
  });

  it('do not break on data of a wrong shape', () => {
    const odd = fc.dictionary(
      fc.constantFrom('text', 'base64', 'message', 'stream', 'error', 'reason', 'exitCode', 'command', 'line'),
      fc.jsonValue(),
    );
    const types = fc.constantFrom(
      'output',
      'agent',
      'status',
      'progress',
      'error',
      'exit',
      'started',
      'gap',
      'execution_failed',
      '__proto__',
      'constructor',
    );
    fc.assert(
      fc.property(fc.array(fc.tuple(types, odd)), (given) => {
        const model = loaded(given.map(([type, data], offset) => event(offset, type, data)));
        expect(linesOf(model)).toHaveLength(model.lines);
      }),
    );
  });
});

describe('the line of an event', () => {
  it('is the first one that began with it, or else the last one before it', () => {
    const model = new LogModel();
    model.append([output(10, 'a\nb\n'), output(12, 'c\n')]);
    model.prepend([output(5, 'z\n')]);
    const textAt = (offset: number): string | undefined => texts(model)[(model.idAtOffset(offset) ?? Number.NaN) - model.first];
    expect([4, 5, 9, 10, 11, 12, 99].map(textAt)).toEqual(['z', 'z', 'z', 'a', 'b', 'c', 'c']);
    expect(new LogModel().idAtOffset(1)).toBeNull();
  });
});

/** Whether a removal after the id was taken took just this line. */
function isGone(model: LogModel, id: number, removedBefore: number): boolean {
  let now = id;
  for (const gone of model.removed.slice(removedBefore)) {
    if (now === gone) return true;
    if (now < gone) now++;
  }
  return false;
}

describe('memory', () => {
  it('of a million lines is their text and 21 bytes for each', () => {
    const model = new LogModel();
    const line = '2026-11-21T05:10:00.000Z INFO worker: processed item 12345 of the batch in 17 ms\n';
    const text = line.repeat(100);
    for (let i = 0; i < 10_000; i++) model.append([output(i, text)]);
    expect(model.lines).toBe(1_000_000);
    expect(model.bytes).toBeGreaterThan(1_000_000 * line.length);
    expect(model.bytes).toBeLessThan(1_000_000 * (line.length + 22));
    expect(model.chunks.length).toBeLessThan(1_500);
    expect(model.position(777_777)?.chunk.line(model.position(777_777)?.index ?? 0)).toBe(line.slice(0, -1));
  });

  it('is bounded for lines that arrive one by one, and for empty ones', () => {
    const model = new LogModel();
    for (let i = 0; i < 200_000; i++) model.append([output(i, i % 2 ? '\n' : 'x\n')]);
    expect(model.bytes).toBeLessThan(200_000 * 25);
    expect(model.chunks.length).toBe(Math.ceil(200_000 / CHUNK_LINES_MAX));
  });

  it('of a line that overwrites itself for hours is what it still shows', () => {
    const model = new LogModel();
    const bar = `\r${'#'.repeat(1000)}`;
    for (let i = 0; i < 10_000; i++) model.append([output(i, `${bar}${i}`, { partial: true })]);
    expect(model.lines).toBe(1);
    expect(model.bytes).toBeLessThan(3 * OVERWRITTEN_CHARS_MAX);
    expect(shownText(texts(model)[0] ?? '')).toBe(`${'#'.repeat(1000)}9999`);
  });
});
