/**
 * Untrusted text in Holdfast's own messages: tables, remarks, errors. A job's own output is never
 * changed. Characters that move the cursor, set colours or titles, or ring (C0, DEL, C1) become a
 * dot; so do marks that change text direction.
 */

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about
const CONTROLS = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about
const COLOURS = /\u001b\[[\d;:]*m/g;

export const escapeControls = (text: string): string => text.replace(CONTROLS, '·');

/** The same for a text of several lines: colours are left out, line ends and tabs are kept. */
export const escapeControlsInLines = (text: string): string =>
  text.replace(COLOURS, '').replace(CONTROLS, (control) => (control === '\n' || control === '\t' ? control : '·'));

/** JSON text. For a terminal each of these characters is written as JSON escapes it. */
export const shownJson = (json: string, { isTty }: { isTty: boolean }): string =>
  isTty ? json.replace(CONTROLS, (control) => `\\u${control.charCodeAt(0).toString(16).padStart(4, '0')}`) : json;

export const jsonText = (value: unknown, output: { isTty: boolean }): string => shownJson(JSON.stringify(value), output);

/**
 * Cut to at most `columns` columns. Non-ASCII characters count as two: too short is harmless, but a
 * wrapped line could not be erased.
 */
export function truncateToColumns(text: string, columns: number): string {
  let used = 0;
  let kept = '';
  for (const character of text) {
    used += character < '\u007f' ? 1 : 2;
    if (used > columns) return kept;
    kept += character;
  }
  return kept;
}
