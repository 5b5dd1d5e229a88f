/** `#L120` and `#L120-L130`: the lines that a link points at. */

export interface LineRange {
  from: number;
  to: number;
}

export function linesOf(hash: string): LineRange | null {
  const [, first, last = first] = /^#L([1-9]\d{0,14})(?:-L?([1-9]\d{0,14}))?$/.exec(hash) ?? [];
  if (first === undefined || last === undefined) return null;
  const [from, to] = [Number(first), Number(last)];
  return { from: Math.min(from, to), to: Math.max(from, to) };
}

export const hashOf = ({ from, to }: LineRange): string => (from === to ? `#L${from}` : `#L${from}-L${to}`);

/**
 * What a click on a number selects: that line, or with shift all lines from the previously selected
 * one.
 */
export const clicked = (number: number, selected: LineRange | null, extend: boolean): LineRange =>
  extend && selected !== null
    ? { from: Math.min(number, selected.from), to: Math.max(number, number < selected.from ? selected.from : number) }
    : { from: number, to: number };
