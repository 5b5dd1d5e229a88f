/** The search of the log, over the items of a conversation; what it found is marked in the rows. */

import { useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import type { Item } from '../../../agent/index.ts';
import { shownText } from '../log/line.ts';
import type { Page } from '../log/page.ts';
import { ALL } from '../log/rows.ts';
import type { ScrollerParts } from '../log/use-scroller.ts';
import { type SearchBox, useSearchBox } from '../log/use-search-box.ts';
import type { ConversationModel } from './model.ts';
import { SearchedConversation } from './searched.ts';

const MARKS = 'found';
const CURRENT_MARK = 'found-now';

/** `show`: opens what the item is folded into, and brings its row into view. */
export function useFind(model: ConversationModel, parts: ScrollerParts, page: Page, show: (item: Item) => void): SearchBox {
  const { scroller, viewPort, block } = parts;
  const searched = useMemo(() => new SearchedConversation(model), [model]);
  /** The current match is still to be brought into view. */
  const isSought = useRef(false);
  const target = {
    model: searched,
    mask: ALL,
    top: () => {
      const item = model.rows[scroller.topRow]?.item;
      const lines = item ? searched.linesOf(item) : null;
      return lines ? lines.chunk.first + lines.from : 0;
    },
    show: ({ id }: { id: number }) => {
      const item = searched.itemAt(id);
      if (!item) return;
      isSought.current = true;
      show(item);
    },
  };
  const box = useSearchBox(target, page, parts);
  const { typed, search } = box;

  useLayoutEffect(() => {
    if (typeof Highlight === 'undefined' || typeof CSS === 'undefined') return;
    CSS.highlights.delete(MARKS);
    CSS.highlights.delete(CURRENT_MARK);
    if (typed.text === '' || block.current === null) return;
    const others: Range[] = [];
    let current: Range | null = null;
    for (const row of block.current.querySelectorAll<HTMLElement>('[data-id]')) {
      const item = model.rows[model.row(Number(row.dataset.id))]?.item;
      const lines = item ? searched.linesOf(item) : null;
      if (!lines) continue;
      const texts = new RowText(row);
      for (let index = lines.from; index < lines.to; index += 1) {
        const marks = search.inLine({ chunk: lines.chunk, index });
        if (marks.length === 0) continue;
        const line = shownText(lines.chunk.line(index));
        for (const { start, end, current: isCurrent } of marks) {
          const range = texts.next(line.slice(start, end));
          if (range === null) continue;
          if (isCurrent) current = range;
          else others.push(range);
        }
      }
    }
    if (others.length > 0) CSS.highlights.set(MARKS, new Highlight(...others));
    if (current === null) return;
    CSS.highlights.set(CURRENT_MARK, new Highlight(current));
    if (isSought.current && viewPort.current) bringIntoView(current, viewPort.current);
    isSought.current = false;
  });
  useLayoutEffect(
    () => () => {
      if (typeof Highlight === 'undefined') return;
      CSS.highlights.delete(MARKS);
      CSS.highlights.delete(CURRENT_MARK);
    },
    [],
  );
  return box;
}

/** The text of a row's elements, in which the same matches follow each other. */
class RowText {
  readonly #nodes: { node: Text; start: number }[] = [];
  readonly #text: string = '';
  #from = 0;

  constructor(row: HTMLElement) {
    const content = row.querySelector('.talk-content') ?? row;
    const walker = document.createTreeWalker(content, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
      this.#nodes.push({ node: node as Text, start: this.#text.length });
      this.#text += (node as Text).data;
    }
  }

  /** Null: it is not drawn, because it is folded. */
  next(found: string): Range | null {
    const at = this.#text.indexOf(found, this.#from);
    if (at < 0 || found === '') return null;
    this.#from = at + found.length;
    const range = document.createRange();
    const begin = this.#place(at, false);
    const end = this.#place(this.#from, true);
    if (!begin || !end) return null;
    range.setStart(begin.node, begin.offset);
    range.setEnd(end.node, end.offset);
    return range;
  }

  /** `isEnd`: a place between two nodes belongs to the first one. */
  #place(at: number, isEnd: boolean): { node: Text; offset: number } | null {
    const found = this.#nodes.findLast(({ start }) => (isEnd ? start < at : start <= at));
    return found ? { node: found.node, offset: at - found.start } : null;
  }
}

/** Scrolls every box between the match and the view that does not show it. */
function bringIntoView(range: Range, view: HTMLElement): void {
  for (let box = range.startContainer.parentElement; box !== null; box = box.parentElement) {
    if (box === view || box.scrollHeight > box.clientHeight + 1 || box.scrollWidth > box.clientWidth + 1) {
      const at = range.getBoundingClientRect();
      const frame = box.getBoundingClientRect();
      if (at.top < frame.top || at.bottom > frame.bottom) box.scrollTop += at.top - frame.top - frame.height / 3;
      if (at.left < frame.left || at.right > frame.right) box.scrollLeft += at.left - frame.left - frame.width / 3;
    }
    if (box === view) return;
  }
}
