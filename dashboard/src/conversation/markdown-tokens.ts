/**
 * Markdown as tokens, for text that a program wrote. The parser is marked's lexer; the tokens are
 * rendered as elements by `markdown.tsx`, so no markup of the text ever reaches the document.
 *
 * The lexer is quadratic for some texts and recursive for others. A hostile text must not block the
 * page, so what is parsed has limits: MK1 its length, MK2 the length of a run of inline text, MK3
 * the depth of what is inside of each other, MK4 the cells of a table. What is beyond a limit is plain text.
 */

import { Lexer, type Token, Tokenizer, type Tokens, type TokensList } from 'marked';

/** MK1: the rest of a longer text is plain. */
export const MARKDOWN_CHARS_MAX = 20_000;
/** MK2: about the longest paragraph that people write. */
const INLINE_CHARS_MAX = 3_000;
/** MK3 */
const DEPTH_MAX = 8;
/** MK4: rows are filled up to the width of the header, so a few characters can be a million cells. */
const CELLS_MAX = 4_000;

export type { Token, Tokens } from 'marked';

export interface MarkdownText {
  readonly tokens: readonly Token[];
  /** The part beyond MK1, or all of it when it cannot be parsed. */
  readonly rest: string;
}

class BoundedTokenizer extends Tokenizer {
  /** Bare addresses are found by `markdown.tsx`; marked's expressions for them are quadratic. */
  override url(): undefined {
    return undefined;
  }

  override table(src: string): Tokens.Table | undefined {
    const columns = columnsOf(src);
    if (columns === 0) return undefined;
    const end = src.search(/\n[ \t]*\n/);
    const lines = (end < 0 ? src : src.slice(0, end)).split('\n').length;
    return columns * lines > CELLS_MAX ? undefined : super.table(src);
  }
}

/** Of a table that begins here, by the row of dashes below its header; 0 without one. */
function columnsOf(src: string): number {
  const first = src.indexOf('\n');
  if (first < 0) return 0;
  const second = src.indexOf('\n', first + 1);
  const dashes = src.slice(first + 1, second < 0 ? src.length : second);
  return /^[ \t]*[|:-][ \t|:-]*$/.test(dashes) ? dashes.split('|').length : 0;
}

const plain = (text: string): Tokens.Text => ({ type: 'text', raw: text, text, escaped: false });

class BoundedLexer extends Lexer {
  #depth = 0;
  #inlineDepth = 0;

  constructor() {
    super({ gfm: true, tokenizer: new BoundedTokenizer() });
  }

  override blockTokens(src: string, tokens?: Token[], lastParagraphClipped?: boolean): Token[];
  override blockTokens(src: string, tokens?: TokensList, lastParagraphClipped?: boolean): TokensList;
  override blockTokens(src: string, tokens: Token[] = [], lastParagraphClipped?: boolean): Token[] {
    if (this.#depth >= DEPTH_MAX) {
      tokens.push(plain(src));
      return tokens;
    }
    this.#depth += 1;
    try {
      return super.blockTokens(src, tokens, lastParagraphClipped);
    } finally {
      this.#depth -= 1;
    }
  }

  override inlineTokens(src: string, tokens: Token[] = []): Token[] {
    if (src.length > INLINE_CHARS_MAX || this.#inlineDepth >= DEPTH_MAX) {
      tokens.push(plain(src));
      return tokens;
    }
    this.#inlineDepth += 1;
    try {
      return super.inlineTokens(src, tokens);
    } finally {
      this.#inlineDepth -= 1;
    }
  }
}

/** Total: any text gives tokens or is `rest`. */
export function markdownOf(text: string): MarkdownText {
  const end = text.length <= MARKDOWN_CHARS_MAX ? text.length : cutBefore(text, MARKDOWN_CHARS_MAX);
  try {
    return { tokens: new BoundedLexer().lex(text.slice(0, end)), rest: text.slice(end) };
  } catch {
    return { tokens: [], rest: text };
  }
}

/** At the end of a line where there is one near, so that no word is cut. */
function cutBefore(text: string, max: number): number {
  const line = text.lastIndexOf('\n', max);
  return line > max / 2 ? line + 1 : max;
}
