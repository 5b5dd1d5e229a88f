/**
 * The spans of a row: the spans of its line, cut where it is too long, and split where matches
 * begin and end.
 */

import type { ShownLine, Span } from './line.ts';
import { hostToShow } from './link-host.ts';

/**
 * A row shows this many characters; a button shows the rest. Browsers draw a few thousand smoothly,
 * and a megabyte not at all.
 */
export const SHOWN_CHARS_MAX = 5000;

export interface Mark {
  start: number;
  end: number;
  current: boolean;
}

export interface RowPiece extends Span {
  /** Where it starts in the shown text. */
  at: number;
  mark: 'none' | 'match' | 'current';
  /** At the end of a link: its host, when its text does not show it. */
  host?: string;
}

export const lengthOf = ({ spans }: ShownLine): number => spans.reduce((length, { text }) => length + text.length, 0);

/** `marks` ascending and not overlapping, in characters of the shown text. */
export function pieces({ spans }: ShownLine, marks: readonly Mark[], charsMax = SHOWN_CHARS_MAX): RowPiece[] {
  const made: RowPiece[] = [];
  let at = 0;
  let next = 0;
  for (const span of spans) {
    const end = Math.min(at + span.text.length, charsMax);
    const start = at;
    while (at < end) {
      while (next < marks.length && (marks[next]?.end ?? 0) <= at) next++;
      const mark = marks[next];
      const inside = mark !== undefined && mark.start <= at;
      const to = mark === undefined ? end : Math.min(end, inside ? mark.end : mark.start);
      const kind = !inside ? 'none' : mark.current ? 'current' : 'match';
      made.push({ ...span, at, text: span.text.slice(at - start, to - start), mark: kind });
      at = to;
    }
    if (at >= charsMax) break;
  }
  return withHosts(made);
}

/**
 * A link may be split into several pieces, by styles and by matches: readers see the text of all of
 * them.
 */
function withHosts(made: RowPiece[]): RowPiece[] {
  for (let first = 0; first < made.length; ) {
    const href = made[first]?.href ?? null;
    let end = first + 1;
    while (end < made.length && made[end]?.href === href) end++;
    const last = made[end - 1];
    const text = made
      .slice(first, end)
      .map((piece) => piece.text)
      .join('');
    const host = href === null ? null : hostToShow(href, text);
    if (host !== null && last) last.host = host;
    first = end;
  }
  return made;
}
