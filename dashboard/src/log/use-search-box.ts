/** The text in the search field, the search that it starts, and the steps from match to match. */

import type { RefObject } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Query } from './match.ts';
import type { Page } from './page.ts';
import type { Mask } from './rows.ts';
import type { Match, Search, Searched } from './search.ts';
import type { ScrollerParts } from './use-scroller.ts';
import { useSearch } from './use-search.ts';

/** The address gets the text when typing pauses. */
const TYPING_MS = 300;
/** From a match to the edge of the view, after a horizontal scroll. */
const ASIDE_PX = 60;

export interface SearchTarget {
  model: Searched;
  mask: Mask;
  /** Id of the first line in view. */
  top(): number;
  /** Brings it into view. */
  show(match: Match): void;
}

export interface SearchBox {
  field: RefObject<HTMLInputElement | null>;
  typed: Query;
  setTyped(change: Partial<Query>): void;
  search: Search;
  move(by: 1 | -1): void;
  focus(): void;
}

const isSame = (a: Query, b: Query): boolean => a.text === b.text && a.regex === b.regex;

export function useSearchBox({ model, mask, top, show }: SearchTarget, page: Page, parts: ScrollerParts): SearchBox {
  const { query, setQuery, openWorker } = page;
  const { viewPort, block } = parts;
  const inAddress: Query = { text: query.get('q') ?? '', regex: query.get('re') === '1' && openWorker !== null };
  const [typed, set] = useState<Query>(inAddress);
  /**
   * The address as last read or written here: another one comes from the reader, who went back or
   * forward.
   */
  const known = useRef(inAddress);
  const search = useSearch(model, mask, typed, openWorker);
  const field = useRef<HTMLInputElement>(null);
  const [, redraw] = useState(0);

  // biome-ignore lint/correctness/useExhaustiveDependencies: the address is read when it changes
  useEffect(() => {
    if (isSame(inAddress, known.current)) return;
    known.current = inAddress;
    set(inAddress);
  }, [query]);
  useEffect(() => {
    const timer = setTimeout(() => {
      if ((query.get('q') ?? '') === typed.text && (query.get('re') === '1') === typed.regex) return;
      known.current = typed;
      setQuery({ q: typed.text || null, re: typed.regex ? '1' : null }, { replace: true });
    }, TYPING_MS);
    return () => clearTimeout(timer);
  }, [typed, query, setQuery]);

  const toMatch = useRef(false);
  const move = (by: 1 | -1): void => {
    const match = search.move(by, top());
    if (match === null) return;
    toMatch.current = true;
    show(match);
    redraw((times) => times + 1);
  };

  // Scrolls to the first match of a new search, from the top of the view on, as soon as it is
  // known.
  // Not if it had no match and older lines brought one: a reader who loads them continues where
  // they are, and Enter leads to it.
  const moved = useRef<Search | null>(null);
  const emptyResult = useRef<{ search: Search; first: number } | null>(null);
  useEffect(() => {
    if (typed.text === '' || moved.current === search) return;
    const { total, current, done, searched } = search.state;
    if (done && total === 0 && emptyResult.current?.search !== search) emptyResult.current = { search, first: model.first };
    if (current !== null || total === 0 || !(done || searched > top() - model.first)) return;
    moved.current = search;
    if (emptyResult.current?.search === search && model.first < emptyResult.current.first) return;
    move(1);
  });

  useLayoutEffect(() => {
    const mark = toMatch.current ? block.current?.querySelector<HTMLElement>('.log-current') : null;
    const { current: port } = viewPort;
    if (mark == null || port === null) return;
    toMatch.current = false;
    const at = mark.getBoundingClientRect();
    const frame = port.getBoundingClientRect();
    const left = frame.left + (block.current?.querySelector<HTMLElement>('.log-gutter')?.offsetWidth ?? 0);
    if (at.left < left) port.scrollLeft -= left - at.left + ASIDE_PX;
    else if (at.right > frame.right) port.scrollLeft += at.right - frame.right + ASIDE_PX;
  });

  const focus = (): void => {
    field.current?.focus();
    field.current?.select();
  };
  useEffect(() => {
    const find = (event: KeyboardEvent): void => {
      if (event.key !== 'f' || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
      const focused = document.activeElement;
      const ours = focused === null || focused === document.body || field.current?.closest('section')?.contains(focused) === true;
      // A second press, from our field, is for the browser's own search.
      if (!ours || focused === field.current) return;
      event.preventDefault();
      field.current?.focus();
      field.current?.select();
    };
    document.addEventListener('keydown', find);
    return () => document.removeEventListener('keydown', find);
  }, []);

  return { field, typed, setTyped: (change) => set((before) => ({ ...before, ...change })), search, move, focus };
}
