/**
 * Goal: Markdown of an agent reads as it was meant, and no text of an agent becomes markup, a
 * request or a long task of the page.
 * Method: texts rendered into a DOM; hostile texts measured against the limits of what is parsed.
 */

import fc from 'fast-check';
import { render } from 'preact';
import { act } from 'preact/test-utils';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { linkPieces, safeHref, withoutReferences } from '../../../dashboard/src/conversation/links.ts';
import { Markdown } from '../../../dashboard/src/conversation/markdown.tsx';
import { MARKDOWN_CHARS_MAX, markdownOf } from '../../../dashboard/src/conversation/markdown-tokens.ts';

let root: HTMLElement;
beforeEach(() => {
  root = document.createElement('div');
  document.body.append(root);
});
afterEach(() => {
  render(null, root);
  root.remove();
});

function shown(text: string): HTMLElement {
  act(() => render(<Markdown text={text} />, root));
  return root;
}
const all = (selector: string): string[] => [...root.querySelectorAll(selector)].map((element) => element.textContent ?? '');

describe('Markdown', () => {
  it('has headings, lists, tasks, code, tables and quotes', () => {
    shown(
      [
        '# Title',
        'A **bold** and *soft* `word`, ~~gone~~.',
        '- [x] done\n- [ ] open\n- plain',
        '3. three\n4. four',
        '```ts\nconst a = 1 < 2;\n```',
        '| a | b |\n|---|--:|\n| 1 | **2** |',
        '> said',
      ].join('\n\n'),
    );
    expect(all('.md-heading-1')).toEqual(['Title']);
    expect(all('p > strong')).toEqual(['Title', 'bold']);
    expect(all('em, del, p > code')).toEqual(['soft', 'word', 'gone']);
    expect(all('ul > li')).toEqual(['☑ done', '☐ open', 'plain']);
    expect([...root.querySelectorAll('.md-check')].map((mark) => mark.getAttribute('aria-label'))).toEqual(['Done:', 'Open:']);
    expect(root.querySelector('ol')?.getAttribute('start')).toBe('3');
    expect(all('.md-code pre')).toEqual(['const a = 1 < 2;']);
    expect(all('.md-code-head span')[0]).toBe('ts');
    expect(all('td')).toEqual(['1', '2']);
    expect(root.querySelector('td.md-right strong')?.textContent).toBe('2');
    expect(all('blockquote')).toEqual(['said']);
  });

  it('shows HTML as text', () => {
    shown(
      'Before <b onclick="x()">in</b>\n\n<img src=x onerror=alert(1)>\n\n<script>alert(1)</script>\n\n<svg><a href="javascript:x">y</a></svg>',
    );
    expect(root.querySelector('b, img, script, svg:not(.icon), a')).toBeNull();
    expect(root.textContent).toContain('<img src=x onerror=alert(1)>');
    expect(root.textContent).toContain('<b onclick="x()">in</b>');
  });

  it('marks that change the direction of text are visible, also as references and in code', () => {
    shown('good\u202elive &#x202e;gpj.exe `rm \u2066x`\n\n```\na\u2069\n```');
    expect(root.textContent).toContain('good⟨U+202E⟩live ⟨U+202E⟩gpj.exe rm ⟨U+2066⟩x');
    expect(root.textContent).toContain('a⟨U+2069⟩');
  });

  it('loads no image: it is a link that names its host', () => {
    shown('![a cat](https://tracker.example/cat.png)');
    expect(root.querySelector('img')).toBeNull();
    const link = root.querySelector('a');
    expect(link?.textContent).toBe('image: a cat (tracker.example)');
    expect(link?.getAttribute('rel')).toBe('noopener noreferrer');
  });

  it.each([
    'javascript:alert(1)',
    'data:text/html,x',
    'vbscript:x',
    'file:///etc/passwd',
    '/relative',
    'JaVaScRiPt:x',
    ' javascript:x',
  ])('makes no link to %s', (href) => {
    shown(`[click](<${href}>)`);
    expect(root.querySelector('a')).toBeNull();
    expect(root.textContent).toContain('click');
  });

  it('a link says where it leads unless its text begins with that host', () => {
    shown('[good.example](https://bad.example/x) and [bad.example/x](https://bad.example/x) and https://plain.example/y.');
    expect(all('a')).toEqual(['good.example (bad.example)', 'bad.example/x', 'https://plain.example/y']);
  });

  it('of a text beyond the limit the rest is plain, and is shown when asked for', () => {
    const line = '**x** line of text\n\n';
    shown(line.repeat(Math.ceil((2 * MARKDOWN_CHARS_MAX) / line.length)));
    expect(root.querySelector('.md-rest')?.textContent?.length).toBe(2000);
    act(() => root.querySelector<HTMLButtonElement>('.talk-inline')?.click());
    expect(root.querySelector('.md-rest')?.textContent?.length).toBeGreaterThan(MARKDOWN_CHARS_MAX - line.length);
    expect(root.querySelector('.talk-inline')).toBeNull();
  });
});

describe('hostile Markdown', () => {
  const depthOf = (element: Element): number => 1 + Math.max(0, ...[...element.children].map(depthOf));
  const repeated = (text: string): string => text.repeat(Math.ceil(MARKDOWN_CHARS_MAX / text.length)).slice(0, MARKDOWN_CHARS_MAX);

  it.each([
    ['quotes', repeated('>')],
    ['quotes in lists', repeated('- > ')],
    ['lists in lists', Array.from({ length: 200 }, (_, i) => `${' '.repeat(i * 2)}- a`).join('\n')],
    ['brackets', repeated('[')],
    ['links in links', repeated('[a](')],
    ['underscores', `${'_'.repeat(1400)}a${'_'.repeat(1400)}`],
  ])('of nested %s has a bounded depth', (_name, text) => {
    expect(depthOf(shown(text))).toBeLessThan(60);
    expect(root.textContent).not.toBe('');
  });

  it('of a table whose rows are short and whose header is wide has no million cells', () => {
    const wide = `${'|a'.repeat(1000)}\n${'|-'.repeat(1000)}\n${'|a\n'.repeat(5000)}`;
    shown(wide);
    expect(root.querySelectorAll('td').length).toBeLessThanOrEqual(4_000);
    shown(`|a|b|\n|-|-|\n${'|1|2|\n'.repeat(100)}`);
    expect(root.querySelectorAll('td')).toHaveLength(200);
  });

  it('any text is shown, and none throws', () => {
    const fragment = fc.constantFrom(
      '*',
      '_',
      '`',
      '```\n',
      '[',
      '](',
      ')',
      '<b>',
      '|',
      '\n',
      '\n\n',
      '- ',
      '> ',
      '#',
      ' ',
      'a',
      '&lt;',
      '\\',
      '1. ',
      '~~',
      'http://a.b',
      '    ',
    );
    fc.assert(
      fc.property(fc.array(fragment, { maxLength: 60 }), (parts) => {
        const { tokens, rest } = markdownOf(parts.join(''));
        expect(tokens.map(({ raw }) => raw).join('').length + rest.length).toBeGreaterThan(parts.join('').trim() === '' ? -1 : 0);
        act(() => render(<Markdown text={parts.join('')} />, root));
        expect(root.querySelector('b, script, img, iframe, style, form, input')).toBeNull();
      }),
      { numRuns: 150 },
    );
  });
});

describe('addresses in text', () => {
  it.each([
    ['see https://a.example/x.', ['https://a.example/x']],
    ['(https://a.example/x)', ['https://a.example/x']],
    ['https://a.example/b_(c), and', ['https://a.example/b_(c)']],
    ['http://a.example http://b.example/?q=1&r=2', ['http://a.example', 'http://b.example/?q=1&r=2']],
    ['https://', []],
    ['nothing here', []],
  ])('%s', (text, links) => {
    const pieces = linkPieces(text);
    expect(pieces.filter(({ href }) => href !== null).map((piece) => piece.text)).toEqual(links);
    expect(pieces.map((piece) => piece.text).join('')).toBe(text);
  });

  it('only http, https and mailto are safe', () => {
    expect(safeHref('https://a.example')).toBe('https://a.example/');
    expect(safeHref('mailto:a@b.example')).toBe('mailto:a@b.example');
    expect(safeHref('javascript:x')).toBeNull();
    expect(safeHref('not an address')).toBeNull();
  });

  it('references of characters are read, and unknown ones stay', () => {
    expect(withoutReferences('a &lt;b&gt; &amp; &#65;&#x42; &nope; &#0;')).toBe('a <b> & AB &nope; &#0;');
  });
});
