/**
 * What a line looks like: escape sequences done or dropped, nothing invisible, nothing that costs
 * more than its length.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ShownLines } from '../../../dashboard/src/log/carried-style.ts';
import { safeHref, shownLine, shownText, styleAfter } from '../../../dashboard/src/log/line.ts';
import { LogModel } from '../../../dashboard/src/log/model.ts';
import { showHiddenCharacters } from '../../../dashboard/src/log/scan.ts';
import {
  BOLD,
  DIM,
  INVERSE,
  ITALIC,
  PLAIN,
  RGB,
  STRUCK,
  type Style,
  UNDERLINE,
  withSgr,
} from '../../../dashboard/src/log/style.ts';
import { output } from './lines.ts';

const ESC = '\u001b';
const spans = (raw: string, before: Style = PLAIN) =>
  shownLine(raw, before).spans.map(({ text, style, href }) => [text, style, href]);
const hostile = fc.string({
  unit: fc.constantFrom(
    ...[
      '\u001b',
      '[',
      ']',
      'P',
      '_',
      '^',
      '(',
      '\\',
      '8',
      ';',
      ';;',
      '1',
      '31',
      'm',
      'K',
      '2K',
      'G',
      'A',
      '?25h',
      'http://a',
      '\u0007',
      '\u009b',
      '\u009d',
      '\u009c',
    ],
    ...['\r', '\b', '\t', '\0', '\u202e', '\u2028', '\ufeff', '\ud800', '\udc00', '😀', 'x', ' ', '<b>', '"', ':'],
  ),
  maxLength: 60,
});

describe('text', () => {
  it.each([
    ['carriage return', 'a\rb\rc', 'c'],
    ['a line end of Windows', 'done\r', 'done'],
    ['several returns at the end', 'a\rb\r\r', 'b'],
    ['a return with nothing but colours behind it', `a\r${ESC}[0m`, 'a'],
    ['erase line, then text', `10%${ESC}[2K\r20%`, '20%'],
    ['erase to the end at column 1', `old text\r${ESC}[Knew`, 'new'],
    ['erase to the end behind text', `kept${ESC}[K`, 'kept'],
    ['erase to the start behind text', `gone${ESC}[1Kleft`, 'left'],
    ['cursor to column 1', `old${ESC}[1Gnew${ESC}[G`, 'new'],
    ['backspace', 'spin |\b/\b-', 'spin -'],
    ['backspace over an emoji', 'a😀\bb', 'ab'],
    ['cursor movement', `a${ESC}[2Ab${ESC}[10;20Hc${ESC}[?25ld`, 'abcd'],
    ['a window title', `${ESC}]0;title\u0007text`, 'text'],
    ['a string ended by ST', `${ESC}]0;title${ESC}\\text`, 'text'],
    ['a device control string', `${ESC}Pq#0;2;0;0;0${ESC}\\text`, 'text'],
    ['an application command', `${ESC}_Gf=100;AAAA${ESC}\\text`, 'text'],
    ['a string without an end', `${ESC}]0;not hidden`, '0;not hidden'],
    ['character sets and keypad', `${ESC}(B${ESC}=${ESC}>text`, 'text'],
    ['8-bit control sequences', 'a\u009b31mb\u009d0;t\u009cc', 'abc'],
    ['an escape at the end', `text${ESC}`, 'text'],
    ['half a sequence', `text${ESC}[3`, 'text'],
    ['a sequence broken by text that is no part of one', `a${ESC}[31\u00e9b`, 'a\u00e9b'],
    ['control characters', 'a\0b\u0007c\u007f', 'a\u2400b\u2407c\u2421'],
    ['a tab', 'a\tb', 'a\tb'],
    ['bidi overrides', 'a\u202eb\u2066', 'a\u27e8U+202E\u27e9b\u27e8U+2066\u27e9'],
    ['line separators', 'a\u2028b', 'a\u27e8U+2028\u27e9b'],
    ['lone surrogates, and whole ones', '\ud800 😀 \udc00', '\ufffd 😀 \ufffd'],
  ])('%s', (_, raw, shown) => {
    expect(shownText(raw)).toBe(shown);
    expect(
      shownLine(raw, PLAIN)
        .spans.map(({ text }) => text)
        .join(''),
    ).toBe(shown);
  });

  it('is the same for search and for show, holds nothing invisible, and of clean text every character', () => {
    fc.assert(
      fc.property(hostile, (raw) => {
        const text = shownText(raw);
        const line = shownLine(raw, PLAIN);
        expect(line.spans.map((span) => span.text).join('')).toBe(text);
        expect(showHiddenCharacters(text)).toBe(text);
        expect(line.after).toEqual(styleAfter(raw, PLAIN));
        for (const { href } of line.spans) expect(href === null || /^https?:\/\//.test(href)).toBe(true);
      }),
      { numRuns: 5000 },
    );
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', '<', '&', ' ', 'é', '\t', ']') }), (raw) => shownText(raw) === raw),
    );
  });

  it.each([
    ['escapes', ESC.repeat(1_000_000)],
    ['sequences that never end', `${ESC}[`.repeat(500_000)],
    ['parameters', `${ESC}[${'1;'.repeat(500_000)}m`],
    ['strings that never end', `${ESC}]8;;http://a`.repeat(80_000)],
    ['links without a second semicolon', `${ESC}]8;\u0007`.repeat(200_000)],
    ['bold switched on again and again', `${ESC}[1m`.repeat(250_000)],
    ['another colour for each character', Array.from({ length: 80_000 }, (_, i) => `${ESC}[38;5;${i % 256}mx`).join('')],
    ['returns', 'x\r'.repeat(500_000)],
    ['backspaces', 'x\b'.repeat(500_000)],
    ['lone surrogates', '\ud800'.repeat(1_000_000)],
  ])('of a megabyte of %s is bounded in time and in spans', (_, raw) => {
    const started = performance.now();
    const { spans: made } = shownLine(raw, PLAIN);
    shownText(raw);
    styleAfter(raw, PLAIN);
    // A second is fifty times what it takes; quadratic work would take minutes.
    expect(performance.now() - started).toBeLessThan(5000);
    expect(made.length).toBeLessThanOrEqual(2001);
  });
});

describe('colours', () => {
  it.each<[string, Partial<Style>]>([
    ['31', { fg: 1 }],
    ['97;41', { fg: 15, bg: 1 }],
    ['104', { bg: 12 }],
    ['1;2;3;4;7;9', { faces: BOLD | DIM | ITALIC | UNDERLINE | INVERSE | STRUCK }],
    ['1;4;22;24', { faces: 0 }],
    ['31;0', {}],
    ['31;', {}],
    ['38;5;9', { fg: 9 }],
    ['38;5;196', { fg: RGB + 0xff0000 }],
    ['48;5;244', { bg: RGB + 0x808080 }],
    ['38;2;1;2;3', { fg: RGB + 0x010203 }],
    ['38:2::1:2:3', { fg: RGB + 0x010203 }],
    ['38:2:1:2:3;1', { fg: RGB + 0x010203, faces: BOLD }],
    ['58;5;9;31', { fg: 1 }],
    ['4:3', { faces: UNDERLINE }],
    ['4:0', {}],
    ['38;5', {}],
    ['38;2;999;-1;x', { fg: RGB + 0xff0000 }],
    ['?1', {}],
  ])('of %s', (parameters, style) => expect(withSgr(PLAIN, parameters)).toEqual({ ...PLAIN, ...style }));

  it('stand on the text they were set for', () => {
    expect(spans(`a${ESC}[31mb${ESC}[1mc${ESC}[md`)).toEqual([
      ['a', PLAIN, null],
      ['b', { ...PLAIN, fg: 1 }, null],
      ['c', { ...PLAIN, fg: 1, faces: BOLD }, null],
      ['d', PLAIN, null],
    ]);
    expect(spans(`${ESC}[31mold\rnew`)).toEqual([['new', { ...PLAIN, fg: 1 }, null]]);
  });

  const shownOf = (model: LogModel, lines = new ShownLines(model)) =>
    Array.from({ length: model.lines }, (_, i) => {
      const position = model.position(model.first + i);
      return position === null ? [] : lines.get(position).spans.map(({ text, style }) => [text, style.fg]);
    });

  it('continue from line to line within a stream, and not in the other', () => {
    const model = new LogModel();
    model.append([
      output(1, `${ESC}[31mred\nstill\n`),
      output(2, 'err\n', { stream: 'stderr' }),
      output(3, `more${ESC}[0m\nplain\n`),
    ]);
    expect(shownOf(model)).toEqual([[['red', 1]], [['still', 1]], [['err', -1]], [['more', 1]], [['plain', -1]]]);
  });

  it('continue across chunks, and are recomputed when older lines arrive', () => {
    const model = new LogModel();
    const lines = new ShownLines(model);
    model.append([output(5, 'x\n'.repeat(9000))]);
    const last = () => shownOf(model, lines).at(-1);
    expect(last()).toEqual([['x', -1]]);
    model.prepend([output(4, `${ESC}[32mgreen\n`)]);
    expect(last()).toEqual([['x', 2]]);
    model.append([output(6, `${ESC}[0mplain\n`)]);
    expect(last()).toEqual([['plain', -1]]);
  });

  it('are those of reading everything in order, wherever the reader starts', () => {
    const text = fc
      .array(fc.constantFrom('a', 'b\n', `${ESC}[31m`, `${ESC}[0m`, `${ESC}[1;32m`, '\r'), { maxLength: 30 })
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.array(fc.tuple(text, fc.boolean()), { maxLength: 8 }), fc.nat(), (events, from) => {
        const model = new LogModel();
        model.append(
          events.map(([given, err], i) => output(i, given, { stream: err ? 'stderr' : 'stdout', partial: !given.endsWith('\n') })),
        );
        const styles: [Style, Style] = [PLAIN, PLAIN];
        const expected = Array.from({ length: model.lines }, (_, id) => {
          const position = model.position(id);
          if (position === null) return null;
          const stream = position.chunk.kind(position.index) as 0 | 1;
          const line = shownLine(position.chunk.line(position.index), styles[stream]);
          styles[stream] = line.after;
          return line;
        });
        const lines = new ShownLines(model);
        for (let i = 0; i < model.lines; i++) {
          const id = (from + i * 7) % model.lines;
          const position = model.position(id);
          expect(position && lines.get(position)).toEqual(expected[id]);
        }
      }),
    );
  });
});

describe('links', () => {
  it('lead to the web, and nowhere else', () => {
    expect(spans(`${ESC}]8;id=1;https://example.com/a?b=1;2${ESC}\\text${ESC}]8;;${ESC}\\ after`)).toEqual([
      ['text', PLAIN, 'https://example.com/a?b=1;2'],
      [' after', PLAIN, null],
    ]);
    for (const url of [
      'javascript:alert(1)',
      'data:text/html,x',
      'file:///etc/passwd',
      '//example.com',
      'https://',
      ' https://example.com',
      'java\nscript:x',
      `https://a/${'x'.repeat(3000)}`,
    ])
      expect(safeHref(url)).toBeNull();
  });
});
