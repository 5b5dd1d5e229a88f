/**
 * The panel in a page: what a job writes never becomes an element, an attribute or a script; the
 * keys, the address and the buttons do what they say. Layout has no size here: where rows stand is
 * tested in a browser.
 */

import fc from 'fast-check';
import { render } from 'preact';
import { act } from 'preact/test-utils';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { LogModel } from '../../../dashboard/src/log/model.ts';
import type { PageKeyBinding } from '../../../dashboard/src/log/page.ts';
import { type LogPanelProps, LogView } from '../../../dashboard/src/log/view.tsx';
import { event, output } from './lines.ts';

let root: HTMLElement;
let model: LogModel;
let query: URLSearchParams;
let hash: string;
let keys: PageKeyBinding[];
let given: Partial<LogPanelProps>;
const registerKeys = (bindings: PageKeyBinding[]) => {
  keys = bindings;
  return () => {};
};
const setQuery = (change: Record<string, string | null>) => {
  query = new URLSearchParams(query);
  for (const [name, value] of Object.entries(change)) value === null ? query.delete(name) : query.set(name, value);
};
const setHash = (next: string) => {
  hash = next;
};

const draw = async (more: Partial<LogPanelProps> = {}): Promise<void> => {
  given = { ...given, ...more };
  await act(async () => {
    render(
      <LogView
        model={model}
        live={false}
        startedAt={1000}
        older="none"
        onOlder={() => {}}
        onLoadAll={() => {}}
        onGoToLine={async () => false}
        onInspect={() => {}}
        onDownload={() => {}}
        empty="Waiting"
        {...given}
        page={{ query, setQuery, hash, setHash, registerKeys, openWorker: null }}
      />,
      root,
    );
  });
  // A frame for the model, slices for the search.
  await act(() => new Promise((resolve) => setTimeout(resolve, 40)));
};
const press = async (key: string): Promise<void> => {
  keys.find((binding) => binding.keys.includes(key))?.run();
  await draw();
};
const rows = () => [...root.querySelectorAll<HTMLElement>('.log-row')];
const texts = () => rows().map((row) => row.querySelector('.log-text')?.textContent);
const button = (label: string) =>
  [...root.querySelectorAll('button')].find((found) => found.textContent === label || found.getAttribute('aria-label') === label);
/** The search goes in slices, so its outcome may come after the drawing. */
const says = (outcome: string) => vi.waitFor(() => expect(root.querySelector('.log-outcome')?.textContent).toBe(outcome));
const type = async (text: string): Promise<void> => {
  const field = root.querySelector<HTMLInputElement>('input[type=search]');
  if (field === null) throw new Error('no field');
  field.value = text;
  await act(async () => void field.dispatchEvent(new Event('input', { bubbles: true })));
  await draw();
};

beforeEach(() => {
  Object.defineProperty(HTMLElement.prototype, 'clientHeight', { configurable: true, get: () => 400 });
  root = document.createElement('div');
  document.body.append(root);
  model = new LogModel();
  query = new URLSearchParams();
  hash = '';
  given = {};
});
afterEach(() => {
  render(null, root);
  root.remove();
  Reflect.deleteProperty(HTMLElement.prototype, 'clientHeight');
});

describe('what a job writes', () => {
  const parts = [
    '<img src=x onerror=alert(1)>',
    '<script>alert(1)</script>',
    '"',
    "'",
    '`',
    '&lt;',
    '{',
    '}',
    '$\u007bx}',
    '\u001b[31m',
    '\u001b]8;;',
    'javascript:alert(1)',
    'https://a.example/"onclick=x',
    '\u0007',
    '\u001b\\',
    '\u202e',
    '\n',
    'x',
    '\0',
    '\ud800',
    '\u001b[38;2;1;2;3m',
    'url(x);',
    '</span>',
  ];
  const hostile = fc.string({ unit: fc.constantFrom(...parts), maxLength: 20 });

  it('is text in elements of ours, with attributes of ours', async () => {
    const allowed = new Set(['DIV', 'SPAN', 'A', 'BUTTON', 'BR', 'MARK']);
    await fc.assert(
      fc.asyncProperty(hostile, hostile, fc.boolean(), async (first, second, asAgent) => {
        model = new LogModel();
        model.append([
          output(1, first),
          asAgent ? event(2, 'agent', { text: second }) : event(2, 'execution_failed', { error: second, code: second }),
        ]);
        await draw();
        for (const row of rows()) {
          for (const element of [row, ...row.querySelectorAll('*')]) {
            expect(allowed).toContain(element.tagName);
            for (const { name, value } of element.attributes) {
              expect(['class', 'href', 'rel', 'target', 'style', 'type', 'tabindex', 'title', 'aria-label', 'data-id']).toContain(
                name,
              );
              if (name === 'class') expect(value).toMatch(/^[a-z -]+$/);
              if (name === 'style') expect(value).toMatch(/^(--(ink|ground): (var\(--[a-z0-9-]+\)|#[0-9a-f]{6});? ?)+$/);
              if (name === 'href') expect(value).toMatch(/^(#L\d+$|https:\/\/a\.example\/)/);
            }
          }
          for (const link of row.querySelectorAll<HTMLAnchorElement>('.log-link')) {
            expect(link.rel).toBe('noopener noreferrer');
            expect(link.target).toBe('_blank');
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it('keeps its own place: number, time and button are not part of the text', async () => {
    query.set('ts', 'since');
    model.append([output(1250, 'one\n', { line: 120 }), event(1300, 'agent', { message: 'two' })]);
    await draw();
    expect(texts()).toEqual(['one', 'two']);
    expect(rows().map((row) => row.querySelector('.log-time')?.textContent)).toEqual(['+00:01.250', '+00:01.300']);
    expect(rows()[0]?.querySelector('.log-number')?.getAttribute('href')).toBe('#L120');
    expect(rows()[1]?.querySelector('a.log-number')).toBeNull();
  });

  it('is cut when very long, and whole at a press', async () => {
    model.append([output(1, `${'x'.repeat(20_000)}\n`)]);
    await draw();
    expect(texts()[0]).toBe(`${'x'.repeat(5000)}show all 20,000 characters`);
    await act(async () => root.querySelector<HTMLElement>('.log-more')?.click());
    expect(texts()[0]).toBe('x'.repeat(20_000));
  });
});

describe('the panel', () => {
  it('is a named log that can be focused and does not read itself out', async () => {
    await draw();
    const log = root.querySelector('[role=log]');
    expect([log?.getAttribute('aria-label'), log?.getAttribute('tabindex'), log?.getAttribute('aria-live')]).toEqual([
      'Log lines',
      '0',
      'off',
    ]);
    expect(root.textContent).toContain('Waiting');
  });

  it('shows the kinds that the address names, and puts what is chosen there', async () => {
    model.append([
      output(1, 'out\n'),
      output(2, 'err\n', { stream: 'stderr' }),
      event(3, 'agent', { text: 'hi' }),
      event(4, 'status', { message: 'st' }),
    ]);
    query.set('show', 'stderr,agent');
    await draw();
    expect(texts()).toEqual(['err', 'hi']);
    await act(async () => button('stdout')?.click());
    expect(query.get('show')).toBe('stdout,stderr,agent');
    await draw();
    expect(texts()).toEqual(['out', 'err', 'hi']);
    await act(async () => button('status')?.click());
    expect(query.get('show')).toBeNull();
  });

  it('reports that the chosen kinds hide everything', async () => {
    model.append([output(1, 'out\n')]);
    query.set('show', 'agent');
    await draw();
    expect(root.textContent).toContain('No line of the kinds chosen');
  });

  it('searches while lines arrive, shows how many, and steps from match to match', async () => {
    const onLoadAll = vi.fn();
    model.append([output(1, 'needle one\nhay\nneedle two\n')]);
    await draw({ older: 'available', onLoadAll });
    await type('needle');
    await says('1 of 2 in the 3 lines loaded; load all');
    expect([...root.querySelectorAll('mark')].map((mark) => [mark.textContent, mark.className])).toEqual([
      ['needle', 'log-match log-current'],
      ['needle', 'log-match'],
    ]);
    await act(async () => model.append([output(2, '\u001b[31mneed\u001b[1mle\u001b[0m three\n')]));
    await draw();
    await says('1 of 3 in the 4 lines loaded; load all');
    await press('N');
    await says('3 of 3 in the 4 lines loaded; load all');
    await press('n');
    await says('1 of 3 in the 4 lines loaded; load all');
    await act(async () => button('load all')?.click());
    expect(onLoadAll).toHaveBeenCalledOnce();
    await draw({ older: 'none' });
    await says('1 of 3');
    await type('nothing');
    await says('no match');
    await vi.waitFor(() => expect(query.get('q')).toBe('nothing'));
  });

  it('loading all keeps the focus: on its button while that is there, then on the log', async () => {
    const onLoadAll = vi.fn();
    model.append([output(9, 'hay\n')]);
    await draw({ older: 'available', onLoadAll });
    await type('needle');
    const loadAll = button('load all');
    loadAll?.focus();
    await act(async () => loadAll?.click());
    await draw({ older: 'loading' });
    expect(document.activeElement).toBe(loadAll);
    expect([loadAll?.textContent, loadAll?.getAttribute('aria-disabled')]).toEqual(['loading older lines…', 'true']);
    await act(async () => loadAll?.click());
    expect(onLoadAll).toHaveBeenCalledOnce();
    await draw({ older: 'none' });
    expect(loadAll?.isConnected).toBe(false);
    expect(document.activeElement).toBe(root.querySelector('[role=log]'));
    // Who had the focus elsewhere keeps it there.
    await draw({ older: 'available' });
    const field = root.querySelector<HTMLInputElement>('input[type=search]');
    field?.focus();
    await draw({ older: 'none' });
    expect(document.activeElement).toBe(field);
  });

  it('a match in older lines is counted and marked, and not scrolled to before a request', async () => {
    model.append([output(9, 'hay\n')]);
    await draw({ older: 'available' });
    await type('needle');
    await says('no match in the 1 lines loaded; load all');
    await act(async () => model.prepend([output(1, 'needle\nneedle\n')]));
    await draw({ older: 'none' });
    await says('2 matches');
    await press('N');
    await says('2 of 2');
    // Of what is printed now, and of a new search, the first match is gone to as ever.
    await type('thread');
    await act(async () => model.append([output(10, 'thread\n')]));
    await draw();
    await says('1 of 1');
  });

  it('searches for the text in the address when the reader goes back, and does not overwrite it', async () => {
    model.append([output(1, 'first\nsecond\n')]);
    query = new URLSearchParams('q=first');
    await draw();
    const field = () => root.querySelector<HTMLInputElement>('input[type=search]')?.value;
    expect(field()).toBe('first');
    query = new URLSearchParams('q=second');
    await draw();
    expect([field(), [...root.querySelectorAll('mark')].map((mark) => mark.textContent)]).toEqual(['second', ['second']]);
    query = new URLSearchParams();
    await draw();
    await act(() => new Promise((resolve) => setTimeout(resolve, 400)));
    expect([field(), query.toString()]).toEqual(['', '']);
    // What was typed reaches the address, and is not typed over by it.
    await type('sec');
    await vi.waitFor(() => expect(query.get('q')).toBe('sec'));
    await type('second');
    expect(field()).toBe('second');
  });

  it('handles Ctrl+F unless something else has the focus', async () => {
    await draw();
    const find = () => {
      const pressed = new KeyboardEvent('keydown', { key: 'f', ctrlKey: true, bubbles: true, cancelable: true });
      (document.activeElement ?? document.body).dispatchEvent(pressed);
      return pressed.defaultPrevented;
    };
    const other = document.createElement('input');
    document.body.append(other);
    other.focus();
    expect(find()).toBe(false);
    other.remove();
    expect(find()).toBe(true);
    expect(document.activeElement?.getAttribute('aria-label')).toBe('Search in the log');
    // Pressed again there, it is the browser's.
    expect(find()).toBe(false);
  });

  it('puts clicked lines into the address, with shift a range', async () => {
    model.append([output(1, 'a\nb\nc\nd\n', { line: 7 })]);
    await draw();
    const click = async (row: number, shiftKey: boolean) => {
      await act(
        async () =>
          void rows()
            [row]?.querySelector('.log-number')
            ?.dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true, shiftKey })),
      );
      await draw();
    };
    await click(1, false);
    expect(hash).toBe('#L8');
    await click(3, true);
    expect(hash).toBe('#L8-L10');
    expect(rows().map((row) => row.classList.contains('log-selected'))).toEqual([false, true, true, true]);
  });

  it('scrolls to the line of the address, loading older ones; shows it even if its kind is hidden; reports a missing line', async () => {
    const onGoToLine = vi.fn(async (line: number) => {
      if (line !== 2) return false;
      model.prepend([output(1, 'one\ntwo\n', { line: 1 })]);
      return true;
    });
    model.append([output(5, 'three\n', { line: 3 }), event(6, 'agent', { text: 'x' })]);
    query.set('show', 'agent');
    hash = '#L2';
    await draw({ onGoToLine });
    await draw();
    expect(onGoToLine).toHaveBeenCalledExactlyOnceWith(2);
    expect(query.get('show')).toBe('stdout,agent');
    expect(texts()).toEqual(['one', 'two', 'three', 'x']);
    hash = '#L900';
    await draw();
    await draw();
    expect(root.textContent).toContain('There is no line 900 in this log.');
  });

  it('requests older lines while the view is near the first one, and shows that they are loading', async () => {
    const onOlder = vi.fn();
    model.append([output(5, 'x\n')]);
    await draw({ older: 'available', onOlder });
    expect(onOlder).toHaveBeenCalled();
    await draw({ older: 'loading' });
    const asked = onOlder.mock.calls.length;
    expect(root.textContent).toContain('Loading older lines');
    await draw({ older: 'none' });
    expect(onOlder).toHaveBeenCalledTimes(asked);
  });

  it('shows the event of a line by its button, and of the selected line by a key', async () => {
    const onInspect = vi.fn();
    model.append([output(77, 'a\n', { line: 1 }), event(78, 'agent', { text: 'x' })]);
    hash = '#L1';
    await draw({ onInspect });
    await act(async () => rows()[1]?.querySelector<HTMLElement>('.log-inspect')?.click());
    await press('o');
    expect(onInspect.mock.calls).toEqual([[78], [77]]);
  });

  it('changes wrapping and times by key, into the address', async () => {
    model.append([output(1, 'a\n')]);
    await draw();
    await press('w');
    await press('t');
    expect(query.toString()).toBe('wrap=1&ts=clock');
    await press('t');
    await press('t');
    await press('w');
    expect(query.toString()).toBe('');
  });

  it('follows while the run is live; the toggle shows it, and a button with the count returns to the end', async () => {
    model.append([output(1, 'a\n')]);
    await draw({ live: true });
    const follow = () => button('Follow')?.getAttribute('aria-pressed');
    expect(follow()).toBe('true');
    await press('f');
    expect(follow()).toBe('false');
    await act(async () => model.append([output(2, 'b\nc\n')]));
    await draw();
    expect(root.querySelector('.log-note-end')?.textContent).toBe('2 new lines ↓');
    await act(async () => root.querySelector<HTMLElement>('.log-note-end')?.click());
    await draw();
    expect([follow(), root.querySelector('.log-note-end')]).toEqual(['true', null]);
    await draw({ live: false });
    expect(button('Follow')).toBeUndefined();
  });

  it('keeps lines and view behind one button where they have no room; Escape closes, and goes back to it', async () => {
    await draw();
    const view = () => root.querySelector<HTMLButtonElement>('.log-options-button');
    const isOpen = () => [view()?.getAttribute('aria-expanded'), root.querySelector('.log-options')?.getAttribute('data-open')];
    const opens = () => act(async () => view()?.click());
    expect(document.getElementById(view()?.getAttribute('aria-controls') ?? '')).toBe(root.querySelector('.log-options'));
    expect([view()?.textContent, ...isOpen()]).toEqual(['View', 'false', 'false']);
    await opens();
    expect(isOpen()).toEqual(['true', 'true']);
    await act(async () => button('agent')?.click());
    await draw();
    expect([view()?.textContent, ...isOpen()]).toEqual(['View (filtered)', 'true', 'true']);
    button('Wrap')?.focus();
    await act(
      async () => void document.activeElement?.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true })),
    );
    expect(isOpen()).toEqual(['false', 'false']);
    expect(document.activeElement).toBe(view());
    await opens();
    await act(async () => void document.body.dispatchEvent(new Event('pointerdown', { bubbles: true })));
    expect(isOpen()).toEqual(['false', 'false']);
  });

  it('downloads either way, from a menu that Escape and a press elsewhere close', async () => {
    const onDownload = vi.fn();
    await draw({ onDownload });
    const menu = root.querySelector('details');
    for (const close of [
      new KeyboardEvent('keydown', { key: 'Escape', bubbles: true }),
      new Event('pointerdown', { bubbles: true }),
    ]) {
      menu?.setAttribute('open', '');
      document.body.dispatchEvent(close);
      expect(menu?.hasAttribute('open')).toBe(false);
    }
    await act(async () => button('Plain text')?.click());
    await act(async () => button('Events as JSONL')?.click());
    expect(onDownload.mock.calls).toEqual([['text'], ['jsonl']]);
  });
});
