/**
 * Matches the lines of one chunk. Runs in the page for plain text, in a worker for regular
 * expressions.
 */

export interface Query {
  text: string;
  regex: boolean;
}

/** Three numbers for each match: the line, and where in it the match starts and ends. */
export type Matches = Int32Array;

/**
 * No reader steps through more, and a search for "e" must not fill the page's memory: 12 bytes
 * each. A search that reaches it stops, and says so.
 */
export const MATCHES_MAX = 500_000;

/** Smart case: a capital letter in the query means that case matters. */
const flags = (text: string): string => (text.toLowerCase() === text ? 'gi' : 'g');

/** Throws a SyntaxError for an invalid expression. */
export function compileExpression({ text, regex }: Query): RegExp {
  // Only literal characters of an expression count: \S, \W and \D are not capital letters.
  const plain = regex ? text.replace(/\\[A-Za-z]/g, '') : text;
  return new RegExp(regex ? text : text.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&'), flags(plain));
}

/** `ends[i]` is where line `i` stops in `text`, a line feed at its end included. */
export function matchLines(text: string, ends: Uint32Array, lines: number, expression: RegExp): Matches {
  const found: number[] = [];
  let line = 0;
  let start = 0;
  expression.lastIndex = 0;
  for (let match = expression.exec(text); match !== null; match = expression.exec(text)) {
    const [matched] = match;
    while (line < lines && (ends[line] ?? 0) <= match.index) start = ends[line++] ?? 0;
    if (line >= lines) break;
    const end = match.index + matched.length;
    // A line without a line feed is followed by the next one: a match across the two is ignored.
    if (end > (ends[line] ?? 0)) expression.lastIndex = match.index + 1;
    else found.push(line, match.index - start, end - start);
    if (found.length >= MATCHES_MAX * 3) break;
  }
  return Int32Array.from(found);
}

/**
 * The same line by line, for expressions, in which `^`, `$`, `.` and `\s` must not see beyond the
 * line. Empty matches are ignored.
 */
export function matchEach(lines: readonly string[], expression: RegExp): Matches {
  const found: number[] = [];
  for (const [index, line] of lines.entries()) {
    expression.lastIndex = 0;
    for (let match = expression.exec(line); match !== null; match = expression.exec(line)) {
      if (match[0] === '') expression.lastIndex++;
      else found.push(index, match.index, match.index + match[0].length);
      if (found.length >= MATCHES_MAX * 3) return Int32Array.from(found);
    }
  }
  return Int32Array.from(found);
}
