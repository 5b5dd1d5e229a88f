/**
 * Changes JSON text in its strings and numbers only. It is not parsed and re-encoded, so unchanged
 * parts stay byte for byte as the job wrote them.
 */

import { closingQuote } from '../../protocol/json.ts';

const NUMBER = /-?\d[\d.eE+-]*/g;

/**
 * `text` is valid JSON. `change` gets each string's content, unescaped, and each number as written.
 * A changed number becomes a string.
 */
export function redactTokens(text: string, change: (content: string) => string): string {
  const parts: string[] = [];
  let at = 0;
  while (at < text.length) {
    const open = text.indexOf('"', at);
    const between = open === -1 ? text.slice(at) : text.slice(at, open);
    parts.push(between.replace(NUMBER, (number) => changed(number, number, change)));
    if (open === -1) break;
    const close = closingQuote(text, open);
    const token = text.slice(open, close + 1);
    parts.push(changed(token, token.includes('\\') ? (JSON.parse(token) as string) : token.slice(1, -1), change));
    at = close + 1;
  }
  return parts.join('');
}

function changed(token: string, content: string, change: (content: string) => string): string {
  const now = change(content);
  return now === content ? token : JSON.stringify(now);
}
