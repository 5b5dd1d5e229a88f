/**
 * Converts a position in the log to a position of the scroll bar, and back.
 *
 * An element cannot be as high as a long log: browsers stop at 33,554,428 px (Chromium) and
 * 17,895,698 px (Firefox), and a wrapped line's height is unknown before it was drawn. So the
 * scroll bar has a space of its own, at most SPACE_PX_MAX high. The thumb's position is a share of
 * the log; a wheel moves by pixels. While both agree (every log that fits, unwrapped) no correction
 * is needed. Where they drift apart, the thumb is corrected when scrolling rests, or when it would
 * reach an end too early, and the text stays where it is.
 *
 * A general virtual list was measured first: with a million lines it takes 10 ms and 24 MB for
 * every append, since it keeps a position for each.
 */

/** Height of an unwrapped row; `--log-row` in log.css. */
export const ROW_PX = 20;

/** Below any browser's limit, with space for a page around it. */
export const SPACE_PX_MAX = 8_000_000;

/**
 * A jump of more views than this is a drag of the scroll bar, or End, and means a share; less is a
 * wheel, a key or a finger, and means pixels.
 */
const LOCAL_VIEWS = 3;
/**
 * In a low view three views are few pixels, and a fast wheel turns farther in one frame. So this
 * much always counts as pixels. A drag is never mistaken for it where that matters: in a log that
 * does not fit the space, one pixel of a bar 2,000 px high is 4,000 px of it.
 */
const LOCAL_PX = 2000;

/** The visible part, in rows: 12.5 is the middle of row 12. */
export interface Extent {
  rows: number;
  top: number;
  bottom: number;
}

export const spacePx = (rows: number, rowPx: number, viewPx: number): number =>
  Math.min(Math.max(Math.ceil(rows * rowPx), viewPx), SPACE_PX_MAX);

export const isLocal = (deltaPx: number, viewPx: number): boolean => Math.abs(deltaPx) <= Math.max(LOCAL_VIEWS * viewPx, LOCAL_PX);

/**
 * This distance is kept between the thumb and an end that is not reached yet, as far as there are
 * lines: in a log fifty times as high as the space the last views before an end would otherwise be
 * a few pixels of it, and a turn of the wheel would be cut short. It is invisible in eight million.
 */
export const ROOM_PX = 4000;

/**
 * The scroll offset at which the thumb shows this extent: 0 exactly at the first row, the maximum
 * exactly at the last.
 */
export function scrollOf({ rows, top, bottom }: Extent, rowPx: number, space: number, viewPx: number): number {
  const hidden = rows - (bottom - top);
  if (hidden <= 0) return 0;
  const way = space - viewPx;
  const above = Math.min(top * rowPx, ROOM_PX);
  const below = Math.min((rows - bottom) * rowPx, ROOM_PX);
  const share = Math.min(Math.max(top / hidden, 0), 1) * way;
  return Math.max(Math.min(Math.max(share, Math.min(above, way)), way - Math.min(below, way)), 0);
}

/**
 * The meaning of a share of the space: the row, and how far down the view it belongs, so that both
 * ends are reached exactly.
 */
export function rowAt(scrollPx: number, rows: number, space: number, viewPx: number): { row: number; share: number; y: number } {
  const way = space - viewPx;
  const share = way <= 0 ? 0 : Math.min(Math.max(scrollPx / way, 0), 1);
  const row = share * rows;
  const whole = Math.min(Math.floor(row), Math.max(rows - 1, 0));
  return { row: whole, share: row - whole, y: share * viewPx };
}

/**
 * The rows to draw around an anchor: enough to fill the view if every row had the minimum height,
 * and some more on both sides. Near an end the anchor is not at its wanted position, and all of the
 * view is on its other side, so there are never fewer than fill it.
 */
export function drawn(
  anchorRow: number,
  y: number,
  rows: number,
  viewPx: number,
  spare: number,
  rowPx: number = ROW_PX,
): { from: number; to: number } {
  const above = Math.ceil(Math.max(y, 0) / rowPx) + spare;
  const below = Math.ceil(Math.max(viewPx - y, 0) / rowPx) + 1 + spare;
  const fill = Math.ceil(viewPx / rowPx) + 1;
  const to = Math.min(anchorRow + below, rows);
  const from = Math.max(Math.min(Math.min(anchorRow, rows) - above, to - fill), 0);
  return { from, to: Math.max(to, Math.min(from + fill, rows)) };
}
