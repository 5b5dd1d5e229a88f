/**
 * The commands of a page's shell blocks, as lists of words: enough of the shell grammar to know
 * which program is called with which arguments. No expansion: a variable stays as written.
 * Unsupported syntax throws, so that no command is skipped.
 */

export interface ShellBlock {
  language: string;
  text: string;
  /** Line of the page, from 1 on. */
  line: number;
}

export function fencedBlocks(page: string): ShellBlock[] {
  return [...page.matchAll(/^```(\w+)\n(.*?)^```/gms)].map(({ 1: language = '', 2: text = '', index }) => ({
    language,
    text,
    line: page.slice(0, index).split('\n').length + 1,
  }));
}

/** Characters after which another command begins. */
const SEPARATORS = ['&&', '||', ';', '|', '\n'];

/**
 * Every simple command of a script, including those within `$(…)`, without leading assignments,
 * redirections and comments.
 */
export function commandsOf(script: string): string[][] {
  const commands: string[][] = [];
  read(script.replaceAll('\\\n', ' '), 0, null, commands);
  return commands.map(withoutRedirections).filter(({ length }) => length > 0);
}

/** Reads up to `end` (null: the end of the text), and returns the position behind it. */
function read(text: string, from: number, end: string | null, commands: string[][]): number {
  let words: string[] = [];
  let word: string | null = null;
  const endWord = (): void => {
    if (word !== null) words.push(word);
    word = null;
  };
  const endCommand = (): void => {
    endWord();
    const first = words.findIndex((each) => !/^\w+=/.test(each) && each !== 'export' && each !== 'sudo');
    if (first !== -1) commands.push(words.slice(first));
    words = [];
  };
  for (let at = from; at < text.length; ) {
    const char = text[at] as string;
    if (char === end) {
      endCommand();
      return at + 1;
    }
    const separator = SEPARATORS.find((each) => text.startsWith(each, at));
    if (separator) {
      endCommand();
      at += separator.length;
    } else if (char === '#' && word === null) {
      while (at < text.length && text[at] !== '\n') at += 1;
    } else if (char === ' ' || char === '\t') {
      endWord();
      at += 1;
    } else if (char === "'") {
      const close = text.indexOf("'", at + 1);
      if (close === -1) throw new Error(`a quote is not closed: ${text.slice(at, at + 40)}`);
      word = (word ?? '') + text.slice(at + 1, close);
      at = close + 1;
    } else if (char === '"') {
      word ??= '';
      for (at += 1; text[at] !== '"'; ) {
        if (at >= text.length) throw new Error(`a quote is not closed: ${text.slice(from, from + 40)}`);
        if (text.startsWith('$(', at)) {
          at = read(text, at + 2, ')', commands);
          word += '$(…)';
        } else {
          if (text[at] === '\\') at += 1;
          word += text[at] ?? '';
          at += 1;
        }
      }
      at += 1;
    } else if (text.startsWith('$(', at)) {
      at = read(text, at + 2, ')', commands);
      word = `${word ?? ''}$(…)`;
    } else {
      if (char === '\\') at += 1;
      word = (word ?? '') + (text[at] ?? '');
      at += 1;
    }
  }
  if (end !== null) throw new Error(`${end} is missing: ${text.slice(from, from + 40)}`);
  endCommand();
  return text.length;
}

function withoutRedirections(words: string[]): string[] {
  const kept: string[] = [];
  for (let index = 0; index < words.length; index += 1) {
    const word = words[index] as string;
    if (/^\d?[<>]+$/.test(word)) index += 1;
    else if (!/^\d?[<>]+./.test(word)) kept.push(word);
  }
  return kept;
}
