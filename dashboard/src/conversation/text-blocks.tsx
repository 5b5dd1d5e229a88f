/** Long text of a program: input, output, lines. Shown from its beginning until the reader asks for all. */

import { showHiddenCharacters } from '../log/scan.ts';
import { formatCount } from '../ui/index.ts';
import type { Folds } from './folds.ts';
import { ScrollBox } from './scroll-box.tsx';

const SHOWN_LINES = 30;
const SHOWN_CHARS = 6_000;

/** Escape sequences of terminals, and control characters that show nothing. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is removed
const SEQUENCES = /\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])|[\x00-\x08\x0b-\x1f\x7f]/g;

/** Marks that change the direction of what follows, so that it reads as another text. */
const DIRECTIONS = /[\u202a-\u202e\u2066-\u2069]/g;

/** Text in which those marks are visible, as in the log. */
export const withMarks = (text: string): string => text.replace(DIRECTIONS, showHiddenCharacters);

/** Text as it reads, without what only a terminal shows. */
export const readable = (text: string): string => withMarks(text.replaceAll('\r\n', '\n').replace(SEQUENCES, ''));

/** The end of the part that is shown at first. */
export function shownEnd(text: string): number {
  let at = -1;
  for (let lines = 0; lines < SHOWN_LINES; lines += 1) {
    const next = text.indexOf('\n', at + 1);
    if (next < 0 || next >= SHOWN_CHARS) return Math.min(text.length, SHOWN_CHARS);
    at = next;
  }
  return at;
}

export function LongText({ text, name, folds, label }: { text: string; name: string; folds: Folds; label: string }) {
  const isAll = folds.isOpen(name, false);
  const end = isAll ? text.length : shownEnd(text);
  const rest = text.slice(end);
  const lines = rest.split('\n').length - 1;
  return (
    <>
      <ScrollBox class="talk-pre" label={label}>
        <pre>{readable(text.slice(0, end))}</pre>
      </ScrollBox>
      {rest.trim() === '' ? null : (
        <button type="button" class="talk-inline" onClick={() => folds.set(name, true)}>
          Show {lines > 1 ? `${formatCount(lines)} more lines` : `${formatCount(rest.length)} more characters`}
        </button>
      )}
    </>
  );
}
