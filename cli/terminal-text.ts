/**
 * Text of others in the places where Holdfast itself speaks: tables, remarks, errors. A job's own output is not changed by anyone.
 * What moves the cursor, colours, sets a title or rings (C0, DEL, C1) becomes a dot; so do marks that turn the direction of what follows.
 */

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

export const visible = (text: string): string => text.replace(CONTROLS, '·');

/** Cut so that it takes at most `columns` columns. What is not ASCII counts as two: too short is harmless, a line that wraps could not be erased. */
export function fitting(text: string, columns: number): string {
  let used = 0;
  let kept = '';
  for (const character of text) {
    used += character < '\u007f' ? 1 : 2;
    if (used > columns) return kept;
    kept += character;
  }
  return kept;
}
