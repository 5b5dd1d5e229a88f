/**
 * Goal: what a program prints never makes a viewer's terminal write to its own input, and what it
 * draws is unchanged. Method: the filter alone, each text split at every place; a terminal without
 * a window that shows the result and would answer.
 */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ViewerFilter } from '../../client/terminal/viewer-filter.ts';
import { Headless } from '../support/headless.ts';
import { propertyRuns } from '../support/property-runs.ts';

const ESC = '\u001b';
const filtered = (text: string, options = {}): string => new ViewerFilter(options).push(text);

/** The same text in two parts, for every place of the cut; and a character at a time. */
function splits(text: string): string[] {
  const results = Array.from({ length: text.length + 1 }, (_, at) => {
    const filter = new ViewerFilter();
    return filter.push(text.slice(0, at)) + filter.push(text.slice(at));
  });
  const filter = new ViewerFilter();
  return [...results, [...text].map((character) => filter.push(character)).join('')];
}

const DROPPED: [what: string, text: string][] = [
  ['DA1', `${ESC}[c`],
  ['DA1 with a parameter', `${ESC}[0c`],
  ['DA2', `${ESC}[>c`],
  ['DA3', `${ESC}[=c`],
  ['DECID', `${ESC}Z`],
  ['device status', `${ESC}[5n`],
  ['cursor position', `${ESC}[6n`],
  ['DEC cursor position', `${ESC}[?6n`],
  ['colour scheme', `${ESC}[?996n`],
  ['DECRQM', `${ESC}[?2026$p`],
  ['DECRQM of an ANSI mode', `${ESC}[4$p`],
  ['XTVERSION', `${ESC}[>q`],
  ['XTVERSION with a parameter', `${ESC}[>0q`],
  ['kitty keyboard', `${ESC}[?u`],
  ['terminal parameters', `${ESC}[x`],
  ['checksum of an area', `${ESC}[1;1;1;1;2;2*y`],
  ['presentation state', `${ESC}[1$w`],
  ['terminal state', `${ESC}[1$u`],
  ['graphics attributes', `${ESC}[?1;1;0S`],
  ['window state', `${ESC}[11t`],
  ['size in pixels', `${ESC}[14t`],
  ['size of a character', `${ESC}[16t`],
  ['size in characters', `${ESC}[18t`],
  ['title as input', `${ESC}[21t`],
  ['resize of the window', `${ESC}[8;50;100t`],
  ['print', `${ESC}[5i`],
  ['lock of the keyboard', `${ESC}[2h`],
  ['save of a mode', `${ESC}[?1000s`],
  ['reports of the focus', `${ESC}[?1004h`],
  ['reports of the size', `${ESC}[?2048h`],
  ['reports of the colour scheme', `${ESC}[?2031h`],
  ['synchronized output', `${ESC}[?2026h`],
  ['end of synchronized output', `${ESC}[?2026l`],
  ['132 columns', `${ESC}[?3h`],
  ['eight-bit answers', `${ESC} G`],
  ['level with eight-bit answers', `${ESC}[62;0"p`],
  ['DECRQSS', `${ESC}P$qm${ESC}\\`],
  ['XTGETTCAP', `${ESC}P+q544e${ESC}\\`],
  ['a sequence for the terminal around tmux', `${ESC}Ptmux;${ESC}${ESC}]52;c;aGk=\u0007${ESC}\\`],
  ['a picture of kitty', `${ESC}_Ga=q,i=1;AAAA${ESC}\\`],
  ['a private message', `${ESC}^text${ESC}\\`],
  ['foreground', `${ESC}]10;?${ESC}\\`],
  ['background, with BEL', `${ESC}]11;?\u0007`],
  ['two colours at once', `${ESC}]10;?;?\u0007`],
  ['a colour of the palette', `${ESC}]4;1;?\u0007`],
  ['colours of the palette after one that is set', `${ESC}]4;1;red;2;?\u0007`],
  ['clipboard, write', `${ESC}]52;c;aGVsbG8=\u0007`],
  ['clipboard, read', `${ESC}]52;c;?\u0007`],
  ['clipboard of kitty', `${ESC}]5522;type=read\u0007`],
  ['colours of kitty', `${ESC}]21;foreground=?\u0007`],
  ['a file of iTerm', `${ESC}]1337;File=name=YQ==:aGk=\u0007`],
  ['the folder of another machine', `${ESC}]7;file://host/tmp\u0007`],
  ['answerback', '\u0005'],
  ['an unknown OSC', `${ESC}]9999;x\u0007`],
  ['an OSC without a number', `${ESC}]Lx\u0007`],
  ['an aborted sequence', `${ESC}[12\u0018`],
  ['DA1 with one character in front', '\u009bc'],
];

describe('[VF1] [VF2] what does not pass', () => {
  test.each(DROPPED)('%s, wherever it is split', async (_what, text) => {
    for (const whole of splits(`a${text}b`)) expect(whole).toBe('ab');
    const judge = new Headless();
    await judge.write(filtered(`a${text}b`));
    expect(judge.answers).toBe('');
  });

  test('a terminal would have answered these', async () => {
    const judge = new Headless();
    await judge.write(`${ESC}[c${ESC}[6n${ESC}[?2004$p`);
    expect(judge.answers).not.toBe('');
  });

  test('of several modes in one sequence, only the known ones pass', () => {
    expect(filtered(`${ESC}[?2026;25;2048h`)).toBe(`${ESC}[?25h`);
    expect(filtered(`${ESC}[2;4h`)).toBe(`${ESC}[4h`);
  });

  test('[VF4] a string that never ends is dropped, and the text after its end is shown', () => {
    const filter = new ViewerFilter();
    expect(filter.push(`${ESC}]0;${'x'.repeat(20_000)}`)).toBe('');
    expect(filter.push(`y\u0007after`)).toBe('after');
    expect(filtered(`${ESC}[${'1;'.repeat(400)}mafter`)).toBe('after');
    expect(filtered(`${ESC}P${'x'.repeat(100_000)}${ESC}\\after`)).toBe('after');
  });

  test('[VF5] a viewer that only reads keeps its own mouse and keys', () => {
    const text = `${ESC}[?1000;1006h${ESC}[?2004h${ESC}[>1u${ESC}[>4;2m${ESC}[?1h${ESC}=x${ESC}[?1049h`;
    expect(filtered(text, { readOnly: true })).toBe(`x${ESC}[?1049h`);
    expect(filtered(text)).toBe(text);
  });

  test('among lines, no mode, title or region is changed, and colours and links stay', () => {
    const text = `${ESC}[?1049h${ESC}[31mred${ESC}[0m${ESC}]0;t\u0007${ESC}[2;5r${ESC}]8;;http://a.example/${ESC}\\link${ESC}]8;;${ESC}\\`;
    expect(filtered(text, { asLines: true })).toBe(
      `${ESC}[31mred${ESC}[0m${ESC}]8;;http://a.example/${ESC}\\link${ESC}]8;;${ESC}\\`,
    );
  });
});

const PASSED: [what: string, text: string][] = [
  ['plain text', 'héllo 漢字 👩‍🚀\r\n\t\b'],
  ['colours', `${ESC}[1;38;2;1;2;3;48:5:7mtext${ESC}[0m`],
  ['cursor movements', `${ESC}[H${ESC}[2;3H${ESC}[5A${ESC}[s${ESC}[u${ESC}7${ESC}8${ESC}M${ESC}D${ESC}E`],
  ['erasing and scrolling', `${ESC}[2J${ESC}[K${ESC}[?1J${ESC}[2;5r${ESC}[3S${ESC}[L${ESC}[X${ESC}[3b`],
  ['modes of the screen', `${ESC}[?1049h${ESC}[?25l${ESC}[?7l${ESC}[?1000;1006h${ESC}[?2004h`],
  ['keyboards', `${ESC}[>1u${ESC}[=5;1u${ESC}[<u${ESC}[>4;2m`],
  ['shape of the cursor', `${ESC}[5 q`],
  ['charsets', `${ESC}(0lqk${ESC}(B${ESC})0\u000e\u000f`],
  ['title', `${ESC}]0;vim${ESC}\\`],
  ['title stack', `${ESC}[22;0t${ESC}[23;0t`],
  ['a link', `${ESC}]8;id=1;https://a.example/?q=1${ESC}\\text${ESC}]8;;${ESC}\\`],
  ['a colour that is set', `${ESC}]11;#102030${ESC}\\${ESC}]111${ESC}\\`],
  ['progress', `${ESC}]9;4;1;50${ESC}\\`],
  ['reset', `${ESC}c${ESC}[!p`],
];

describe('what passes', () => {
  test.each(PASSED)('%s is unchanged, wherever it is split', (_what, text) => {
    for (const whole of splits(text)) expect(whole).toBe(text);
  });

  test('a BEL at the end of a title becomes ST, and C1 becomes its form of two characters', () => {
    expect(filtered(`${ESC}]2;a\u0007`)).toBe(`${ESC}]2;a${ESC}\\`);
    expect(filtered('\u009b31m\u0085')).toBe(`${ESC}[31m${ESC}E`);
  });

  test('a control character within a sequence takes effect before it, as in a terminal', () => {
    expect(filtered(`${ESC}[3\n1m`)).toBe(`\n${ESC}[31m`);
  });
});

test('[VF3] any text gives the same result in any parts, and no terminal answers it', async () => {
  const part = fc.oneof(
    fc.constantFrom(...DROPPED.map(([, text]) => text), ...PASSED.map(([, text]) => text)),
    fc.constantFrom(ESC, `${ESC}[`, `${ESC}]`, `${ESC}P`, '?', ';', '\\', '\u0007', '\u0018', '\u009c', 'c', 'n', '5', 'ü'),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(part, { maxLength: 12 }), fc.array(fc.nat(40), { maxLength: 6 }), async (parts, cuts) => {
      const text = parts.join('');
      const once = filtered(text);
      const filter = new ViewerFilter();
      let cut = '';
      let at = 0;
      for (const length of cuts) {
        cut += filter.push(text.slice(at, at + length));
        at += length;
      }
      expect(cut + filter.push(text.slice(at))).toBe(once);
      // What passed passes again: the result has no more to drop.
      expect(filtered(once)).toBe(once);
      const judge = new Headless();
      await judge.write(once);
      expect(judge.answers).toBe('');
    }),
    { numRuns: propertyRuns(1000) },
  );
});

describe('the own terminal is restored', () => {
  test.each<[string, string, RegExp]>([
    ['the alternate screen', `${ESC}[?1049h`, /\[\?1049l/],
    ['kitty keys, one entry for each that was pushed', `${ESC}[>1u${ESC}[>3u`, /\[<2u/],
    ['kitty keys that were set', `${ESC}[=5;1u`, /\[=0u/],
    ['other keys', `${ESC}[>4;2m`, /\[>4;0m/],
    ['the shape of the cursor', `${ESC}[5 q`, /\[0 q/],
    ['the scroll region', `${ESC}[2;5r`, /\[r/],
    ['insert mode', `${ESC}[4h`, /\[4l/],
    ['a colour', `${ESC}]11;#102030\u0007`, /\]111/],
    [
      'nothing in particular: mouse, focus, paste, cursor',
      '',
      /\[\?1;9;1000;1002;1003;1004;1005;1006;1015;1016;2004l.{0,3}\[\?7;25h/,
    ],
  ])('%s', (_what, text, undone) => {
    const filter = new ViewerFilter();
    filter.push(text);
    expect(filter.modes.restoreText()).toMatch(undone);
  });

  test('what was undone by the program, or never done, is left alone', () => {
    const filter = new ViewerFilter();
    filter.push(`${ESC}[?1049h${ESC}[>1u${ESC}[<u${ESC}[>1u${ESC}[?1049l`);
    expect(filter.modes.restoreText()).not.toMatch(/1049|<\d*u|\[r|104/);
  });

  test('the judge is in its normal screen again, with its modes off', async () => {
    const judge = new Headless();
    const filter = new ViewerFilter();
    await judge.write(`shell$ ${filter.push(`${ESC}[?1049h${ESC}[?1000;1006;1004;2004;1h${ESC}[?25l${ESC}[31mfull screen`)}`);
    expect(judge.isAlternate).toBe(true);
    await judge.write(filter.modes.restoreText());
    expect(judge.isAlternate).toBe(false);
    expect(judge.text).toBe('shell$');
    expect(judge.terminal.modes).toMatchObject({
      mouseTrackingMode: 'none',
      bracketedPasteMode: false,
      sendFocusMode: false,
      applicationCursorKeysMode: false,
    });
  });
});
