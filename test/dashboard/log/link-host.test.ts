/**
 * Goal: a link whose text names another host than it goes to says so. Method: texts over addresses,
 * and lines as a job writes them.
 */

import { describe, expect, it } from 'vitest';
import { shownLine } from '../../../dashboard/src/log/line.ts';
import { hostToShow } from '../../../dashboard/src/log/link-host.ts';
import { pieces } from '../../../dashboard/src/log/row-pieces.ts';
import { PLAIN } from '../../../dashboard/src/log/style.ts';

const ESC = '\u001b';
const linked = (href: string, text: string): string => `${ESC}]8;;${href}${ESC}\\${text}${ESC}]8;;${ESC}\\`;
const hosts = (raw: string, marks = [] as { start: number; end: number; current: boolean }[]): (string | undefined)[] =>
  pieces(shownLine(raw, PLAIN), marks).map(({ host }) => host);

describe('the host of a link', () => {
  it.each(['https://good.example/a', 'https://good.example', 'good.example/a/b', ' GOOD.example?x', 'http://good.example#x'])(
    'is not shown next to a text that begins with it: %j',
    (text) => {
      expect(hostToShow('https://good.example/a', text)).toBeNull();
    },
  );

  it.each([
    ['https://bad.example/', 'https://good.example/'],
    ['https://bad.example/', 'good.example'],
    ['https://bad.example/', 'the docs'],
    ['https://bad.example/', ''],
    ['https://bad.example/', 'https://good.example@bad.example/'],
    ['https://bad.example/', 'see https://good.example'],
    ['https://good.example.bad.example/', 'https://good.example'],
    ['https://good.example:8443/', 'https://good.example/'],
    ['https://xn--80ak6aa92e.com/', 'https://\u0430\u0440\u0440\u04cf\u0435.com/'],
  ])('%s under %j is shown', (href, text) => {
    expect(hostToShow(href, text)).toBe(new URL(href).host);
  });
});

describe('in a line', () => {
  it('it stands once, behind all of the link, however styles and matches cut it', () => {
    const raw = `${linked('https://bad.example/', `https://${ESC}[1mgood${ESC}[0m.example/`)} and ${linked('https://good.example/', 'good.example')}`;
    expect(hosts(raw).filter((host) => host !== undefined)).toEqual(['bad.example']);
    const found = pieces(shownLine(raw, PLAIN), [{ start: 8, end: 12, current: false }]);
    expect(found.filter(({ host }) => host !== undefined).map(({ text, host }) => [text, host])).toEqual([
      ['.example/', 'bad.example'],
    ]);
  });

  it('two links side by side are two', () => {
    expect(hosts(linked('https://a.example/', 'x') + linked('https://b.example/', 'y'))).toEqual(['a.example', 'b.example']);
  });
});
