/**
 * The scroll space: every row can be reached, both ends exactly, and a place survives the way to
 * the scroll bar and back.
 */

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  drawn,
  isLocal,
  ROOM_PX,
  ROW_PX,
  rowAt,
  SPACE_PX_MAX,
  scrollOf,
  spacePx,
} from '../../../dashboard/src/log/scroll-space.ts';
import { css } from './style-sheet.ts';

const rows = fc.integer({ min: 1, max: 5_000_000 });
const view = fc.integer({ min: 100, max: 3000 });

describe('the scroll space', () => {
  it('is never higher than any browser takes, nor lower than the view', () => {
    fc.assert(
      fc.property(rows, fc.double({ min: 20, max: 2000, noNaN: true }), view, (count, rowPx, viewPx) => {
        const space = spacePx(count, rowPx, viewPx);
        expect(space).toBeGreaterThanOrEqual(viewPx);
        expect(space).toBeLessThanOrEqual(Math.max(SPACE_PX_MAX, viewPx));
      }),
    );
    expect(SPACE_PX_MAX).toBeLessThan(17_895_698);
    expect(spacePx(1_000_000, ROW_PX, 800)).toBe(SPACE_PX_MAX);
  });

  it('reaches both ends exactly, at any number of rows', () => {
    fc.assert(
      fc.property(rows, view, (count, viewPx) => {
        const space = spacePx(count, ROW_PX, viewPx);
        expect(rowAt(0, count, space, viewPx)).toEqual({ row: 0, share: 0, y: 0 });
        const { row, share, y } = rowAt(space - viewPx, count, space, viewPx);
        if (space > viewPx) expect([row, share, y]).toEqual([count - 1, 1, viewPx]);
        const visible = viewPx / ROW_PX;
        expect(scrollOf({ rows: count, top: 0, bottom: visible }, ROW_PX, space, viewPx)).toBe(0);
        if (count > visible)
          expect(scrollOf({ rows: count, top: count - visible, bottom: count }, ROW_PX, space, viewPx)).toBeCloseTo(
            space - viewPx,
            5,
          );
      }),
    );
  });

  it('is pixel for pixel the log while the log fits', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 500, max: SPACE_PX_MAX / ROW_PX }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        view,
        (count, at, viewPx) => {
          const space = spacePx(count, ROW_PX, viewPx);
          const top = Math.max(at * (count - viewPx / ROW_PX), 0);
          if (count * ROW_PX > viewPx)
            expect(scrollOf({ rows: count, top, bottom: top + viewPx / ROW_PX }, ROW_PX, space, viewPx)).toBeCloseTo(
              top * ROW_PX,
              3,
            );
        },
      ),
    );
  });

  it('gives back the offset that a pull at the bar came from, but for some room at the ends', () => {
    fc.assert(
      fc.property(rows, fc.double({ min: 0, max: 1, noNaN: true }), view, (count, at, viewPx) => {
        const space = spacePx(count, ROW_PX, viewPx);
        fc.pre(count * ROW_PX > viewPx);
        const offset = at * (space - viewPx);
        const { row, share, y } = rowAt(offset, count, space, viewPx);
        const top = row + share - y / ROW_PX;
        const back = scrollOf({ rows: count, top, bottom: top + viewPx / ROW_PX }, ROW_PX, space, viewPx);
        const end = space - viewPx - ROOM_PX;
        if (offset > ROOM_PX && offset < end) expect(back).toBeCloseTo(offset, 1);
        else expect(Math.abs(back - offset)).toBeLessThanOrEqual(ROOM_PX);
      }),
    );
  });

  it('draws at least what is in view, wherever the anchor stands in it', () => {
    fc.assert(
      fc.property(
        rows,
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        view,
        (count, at, down, viewPx) => {
          const anchor = Math.min(Math.floor(at * count), count - 1);
          const y = down * viewPx;
          const { from, to } = drawn(anchor, y, count, viewPx, 10);
          expect(from).toBeLessThanOrEqual(Math.max(anchor - y / ROW_PX, 0));
          expect(to).toBeGreaterThanOrEqual(Math.min(anchor + (viewPx - y) / ROW_PX, count));
          expect(to - from).toBeLessThanOrEqual(viewPx / ROW_PX + 24);
        },
      ),
    );
  });

  it('treats a wheel or a key as pixels, and a drag of the bar as a share', () => {
    expect([isLocal(100, 800), isLocal(-800, 800), isLocal(40_000, 800)]).toEqual([true, true, false]);
    // In a low view, too, a fast wheel is no pull; and the least pull at the bar of a log that does
    // not fit the space is.
    expect([isLocal(751, 250), isLocal(-1900, 60), isLocal(SPACE_PX_MAX / 800, 800)]).toEqual([true, true, false]);
  });

  it('has the row height of the style sheet', () => {
    expect(/--log-row: (\d+)px/.exec(css)?.[1]).toBe(String(ROW_PX));
  });
});
