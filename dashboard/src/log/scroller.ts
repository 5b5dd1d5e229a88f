/**
 * Keeps the view in place while lines arrive at both ends, rows wrap, and filters change. Owns the
 * scroll offset, the position of the drawn block, and whether the view follows the end. It does not
 * draw: it requests rows (`onRange`), and positions them when they are drawn.
 *
 *   SC1  The view is anchored to a line, not to an offset: lines above or below never move it. When
 *        following, it is anchored to the end.
 *   SC2  Only the reader stops following (up by wheel, key, finger or bar), and only the reader's
 *        return to the end resumes it.
 *   SC3  Movement is instant, never animated.
 *   SC4  The offset is corrected only where the text stays still: see scroll-space.ts.
 */

import { drawn, isLocal, ROW_PX, rowAt, scrollOf, spacePx } from './scroll-space.ts';

export interface Range {
  from: number;
  to: number;
}

/** What is scrolled, by ids that stay while rows come and go: lines of a log, or other things. */
export interface ScrolledRows {
  readonly count: number;
  id(row: number): number;
  /** The row of this id, or the one that is now in its place. */
  row(id: number): number;
}

/** Where ids may be given to something else: `LogModel`. */
export interface ScrolledModel {
  readonly removed: { readonly length: number };
  settle(id: number, removedBefore: number): number;
}

export interface RowSizes {
  /** No row is lower. */
  rowPx: number;
  /** Rows drawn beyond the view on each side. Half may be used up before rows are drawn again. */
  spareRows: number;
}

const LINES: RowSizes = { rowPx: ROW_PX, spareRows: 40 };
/** This long without a scroll event is rest; inertial scrolling sends them far closer together. */
const REST_MS = 160;
/** Counts as at the end: within a pixel of rounding. */
const END_PX = 2;
/**
 * This near an end of the space the thumb is corrected although the view moves, or the reader would
 * reach it with lines still to come.
 */
const WALL_PX = 100;

type Anchor = { at: 'end' } | { at: 'line'; id: number; removed: number; y: number };

export class Scroller {
  readonly #onRange: (range: Range) => void;
  /** The view is now anchored to the end, or no longer. */
  readonly #onEnd: (atEnd: boolean) => void;
  readonly #sizes: RowSizes;
  #model: ScrolledModel;
  #rows: ScrolledRows;
  #wrap = false;
  #anchor: Anchor = { at: 'end' };
  /** The requested rows. */
  #range: Range = { from: 0, to: 0 };
  /**
   * What the block holds: identified by its first line, since rows get other indexes when older
   * lines arrive.
   */
  #drawn: { range: Range; id: number; removed: number; count: number } | null = null;
  /** The next placement corrects the thumb, whatever moves. */
  #correct = false;
  #viewPort: HTMLElement | null = null;
  #space: HTMLElement | null = null;
  #block: HTMLElement | null = null;
  /** The last seen or set offset. */
  #seen = 0;
  /**
   * The offset that was last handled: a difference of a pixel or more is the reader's. Less may be
   * the browser's rounding.
   */
  #noted = 0;
  #view = 0;
  #rowPx: number;
  #blockTop = 0;
  #rest: ReturnType<typeof setTimeout> | undefined;
  #resize: ResizeObserver | null = null;

  constructor(
    model: ScrolledModel,
    rows: ScrolledRows,
    onRange: (range: Range) => void,
    onEnd: (atEnd: boolean) => void,
    sizes: RowSizes = LINES,
  ) {
    this.#sizes = sizes;
    this.#rowPx = sizes.rowPx;
    this.#model = model;
    this.#rows = rows;
    this.#onRange = onRange;
    this.#onEnd = onEnd;
  }

  /** New lines scroll into view automatically. */
  get atEnd(): boolean {
    return this.#anchor.at === 'end';
  }

  /** The first row that is visible, fully or in part. */
  get topRow(): number {
    return this.#anchor.at === 'end'
      ? Math.max(this.#rows.count - Math.ceil(this.#view / this.#sizes.rowPx), 0)
      : this.#rowOf(this.#anchor);
  }

  attach(viewPort: HTMLElement, space: HTMLElement, block: HTMLElement): () => void {
    this.#viewPort = viewPort;
    this.#space = space;
    this.#block = block;
    this.#view = viewPort.clientHeight;
    const scroll = () => this.#scrolled();
    const wheel = (event: WheelEvent) => {
      if (event.deltaY < 0 && viewPort.scrollHeight > viewPort.clientHeight) this.pause();
    };
    viewPort.addEventListener('scroll', scroll, { passive: true });
    viewPort.addEventListener('wheel', wheel, { passive: true });
    this.#resize = new ResizeObserver(() => {
      this.#view = viewPort.clientHeight;
      this.update();
    });
    this.#resize.observe(viewPort);
    return () => {
      viewPort.removeEventListener('scroll', scroll);
      viewPort.removeEventListener('wheel', wheel);
      this.#resize?.disconnect();
      clearTimeout(this.#rest);
      this.#viewPort = null;
    };
  }

  /** New rows of the same log, or another way to draw them. The line at the top stays. */
  use(model: ScrolledModel, rows: ScrolledRows, wrap: boolean): void {
    if (model !== this.#model) this.#anchor = { at: 'end' };
    if (wrap !== this.#wrap) this.#rowPx = this.#sizes.rowPx;
    this.#model = model;
    this.#rows = rows;
    this.#wrap = wrap;
    this.#range = this.#wanted();
  }

  /** The rows to draw now. */
  get range(): Range {
    return this.#range;
  }

  /**
   * Lines, rows or the view changed: requests other rows if needed, and positions the existing
   * ones.
   */
  update(): void {
    const wanted = this.#wanted();
    const moved = wanted.from !== this.#range.from || wanted.to !== this.#range.to;
    if (!moved) return this.place();
    this.#range = wanted;
    this.#onRange(wanted);
  }

  pause(): void {
    if (this.#anchor.at !== 'end' || this.#space === null) return;
    this.#hangOnTop();
    this.#onEnd(this.atEnd);
  }

  toEnd(): void {
    this.#anchor = { at: 'end' };
    this.#onEnd(this.atEnd);
    this.update();
  }

  toTop(): void {
    this.show(this.#rows.id(0), 0);
  }

  /**
   * Moves a line to a height of the view, in pixels from its top; by default a third down. It does
   * not move if it is in view already and `ifNeeded`.
   */
  show(id: number, y = Math.floor(this.#view / 3), ifNeeded = false): void {
    if (this.#rows.count === 0) return;
    if (ifNeeded && this.#isInView(id)) {
      this.pause();
      return;
    }
    this.#anchor = { at: 'line', id, removed: this.#model.removed.length, y };
    this.#onEnd(this.atEnd);
    this.#correct = true;
    this.update();
  }

  /** The requested rows are in the block. Call after every drawing, before the browser paints. */
  drew(range: Range): void {
    const count = range.to - range.from;
    this.#drawn = { range, id: count > 0 ? this.#rows.id(range.from) : 0, removed: this.#model.removed.length, count };
    this.place();
  }

  /** Positions the block under the view, once it holds the requested rows. */
  place(): void {
    if (this.#viewPort === null || this.#space === null || this.#block === null || this.#drawn?.range !== this.#range) return;
    const rows = this.#rows.count;
    const { from, to } = this.#range;
    const height = this.#heightTo(to);
    if (this.#wrap && to > from && !this.#isMoving()) {
      const measured = height / (to - from);
      // When every row is drawn, the space is exactly as high as they are.
      this.#rowPx = from === 0 && to === rows ? measured : (this.#rowPx * 3 + measured) / 4;
    }
    const rowPx = this.#wrap ? this.#rowPx : this.#sizes.rowPx;
    const space = spacePx(rows, rowPx, this.#view);
    const spaceCss = `${space}px`;
    if (this.#space.style.height !== spaceCss) this.#space.style.height = spaceCss;

    let y = this.#anchor.at === 'end' ? this.#view - height : this.#anchor.y - this.#heightTo(this.#rowOf(this.#anchor));
    // No gap below the last row or above the first; the latter has priority in a log that does not
    // fill the view.
    const hung = y;
    if (to === rows && y + height < this.#view) y = this.#view - height;
    if (from === 0 && y > 0) y = 0;

    const extent = { rows, top: from + this.#rowsAt(-y), bottom: from + this.#rowsAt(this.#view - y) };
    const wanted = scrollOf(extent, rowPx, space, this.#view);
    const seen = this.#viewPort.scrollTop;
    const atWall = Math.min(seen, space - this.#view - seen) < WALL_PX || y !== hung;
    if ((this.#correct || this.#anchor.at === 'end' || atWall || !this.#isMoving()) && Math.abs(wanted - seen) >= 1)
      this.#viewPort.scrollTop = wanted;
    this.#correct = false;
    this.#seen = this.#viewPort.scrollTop;
    this.#noted = this.#seen;
    this.#blockTop = this.#seen + y;
    this.#block.style.top = `${this.#blockTop}px`;
    if (this.#anchor.at === 'line') this.#hangOnTop();
  }

  #wanted(): Range {
    const rows = this.#rows.count;
    if (this.#anchor.at === 'end') return drawn(rows, this.#view, rows, this.#view, this.#sizes.spareRows, this.#sizes.rowPx);
    return drawn(this.#rowOf(this.#anchor), this.#anchor.y, rows, this.#view, this.#sizes.spareRows, this.#sizes.rowPx);
  }

  #rowOf(anchor: Anchor & { at: 'line' }): number {
    return Math.min(this.#rows.row(this.#model.settle(anchor.id, anchor.removed)), Math.max(this.#rows.count - 1, 0));
  }

  /** The reader has moved the view. */
  #scrolled(): void {
    const viewPort = this.#viewPort;
    if (viewPort === null) return;
    const now = viewPort.scrollTop;
    const delta = now - this.#noted;
    if (Math.abs(delta) < 1) {
      // Too little to act on, but the text has moved with it, and stays there.
      if (this.#anchor.at === 'end') return;
      this.#anchor = { ...this.#anchor, y: this.#anchor.y - (now - this.#seen) };
      this.#seen = now;
      return;
    }
    const was = this.atEnd;
    this.#seen = now;
    this.#noted = now;
    clearTimeout(this.#rest);
    this.#rest = setTimeout(() => {
      this.#rest = undefined;
      this.update();
    }, REST_MS);
    const local = isLocal(delta, this.#view);
    if (local) this.#hangOnTop();
    else {
      const space = Number.parseFloat(this.#space?.style.height ?? '0');
      const { row, share, y } = rowAt(now, this.#rows.count, space, this.#view);
      const id = this.#rows.id(row);
      this.#anchor = { at: 'line', id, removed: this.#model.removed.length, y: y - share * this.#rowPx };
    }
    if (delta > 0 && this.#isAtEnd(now)) this.#anchor = { at: 'end' };
    // The bar stopped at the top slightly early: less than a view is left, and the reader wants it.
    else if (now < 1 && this.topRow * this.#sizes.rowPx < this.#view)
      this.#anchor = { at: 'line', id: this.#rows.id(0), removed: this.#model.removed.length, y: 0 };
    if (was !== this.atEnd) this.#onEnd(this.atEnd);
    const wanted = this.#wanted();
    const { from, to } = this.#range;
    // Half of the spare rows may be used up; near an end there may be fewer, and they are drawn at
    // once.
    const above = from > 0 && (wanted.from === 0 || wanted.from + this.#sizes.spareRows / 2 < from);
    const below = to < this.#rows.count && (wanted.to === this.#rows.count || wanted.to - this.#sizes.spareRows / 2 > to);
    if (!local || above || below || this.#anchor.at === 'end' || now < WALL_PX) this.update();
  }

  #isMoving(): boolean {
    return this.#rest !== undefined;
  }

  #isAtEnd(offset: number): boolean {
    const { to } = this.#stands();
    const rows = this.#rows.count;
    const isFull = offset >= Number.parseFloat(this.#space?.style.height ?? '0') - this.#view - END_PX;
    // The bar may stop at its end slightly early, too.
    if (isFull && (to < rows || (rows - this.topRow) * this.#sizes.rowPx < 2 * this.#view)) return true;
    return to === rows && this.#blockTop + this.#heightTo(to) <= offset + this.#view + END_PX;
  }

  #isInView(id: number): boolean {
    const row = this.#rows.row(id);
    const { from, to } = this.#stands();
    if (row < from || row >= to) return false;
    const top = this.#blockTop + this.#heightTo(row) - this.#seen;
    return top >= 0 && top + this.#sizes.rowPx <= this.#view;
  }

  /** SC1: the row at the top of the view becomes the anchor. */
  #hangOnTop(): void {
    if (this.#rows.count === 0) return;
    const into = this.#rowsAt(this.#seen - this.#blockTop);
    const row = Math.min(Math.max(Math.floor(this.#stands().from + into), 0), this.#rows.count - 1);
    const y = this.#blockTop + this.#heightTo(row) - this.#seen;
    this.#anchor = { at: 'line', id: this.#rows.id(row), removed: this.#model.removed.length, y };
  }

  /** The rows in the block, by their current indexes. */
  #stands(): Range {
    if (this.#drawn === null || this.#drawn.count === 0) return { from: 0, to: 0 };
    const from = this.#rows.row(this.#model.settle(this.#drawn.id, this.#drawn.removed));
    return { from, to: from + this.#drawn.count };
  }

  /**
   * Pixels from the top of the block to the top of a row; the height of rows that are not drawn is
   * estimated.
   */
  #heightTo(row: number): number {
    const { from, to } = this.#stands();
    if (!this.#wrap) return (row - from) * this.#sizes.rowPx;
    if (row <= from) return (row - from) * this.#rowPx;
    const children = this.#block?.children ?? [];
    const there = Math.min(children.length, to - from);
    const drawn = children[row - from] as HTMLElement | undefined;
    if (drawn !== undefined && row - from < there) return drawn.offsetTop;
    const last = children[there - 1] as HTMLElement | undefined;
    const end = last === undefined ? 0 : last.offsetTop + last.offsetHeight;
    return end + (row - from - there) * this.#rowPx;
  }

  /**
   * The inverse: how many rows, with a fraction, are within this many pixels from the top of the
   * block.
   */
  #rowsAt(px: number): number {
    if (!this.#wrap) return px / this.#sizes.rowPx;
    if (px <= 0) return px / this.#rowPx;
    const { from, to } = this.#stands();
    let low = from;
    let high = to;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#heightTo(middle) <= px) low = middle;
      else high = middle - 1;
    }
    const start = this.#heightTo(low);
    if (low >= to) return to - from + (px - start) / this.#rowPx;
    return low - from + (px - start) / Math.max(this.#heightTo(low + 1) - start, 1);
  }
}
