/**
 * Cuts JSON text into the texts of its parts, so that stored text is sent on unchanged. A parser
 * would round numbers that a double cannot hold, and reorder keys. The text was validated when it
 * came in; these functions expect valid JSON.
 */

import { closingQuote } from '../../protocol/json.ts';

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/**
 * Calls `onPart` with the start and end of each part between the commas of the outermost array or
 * object, and with the position of its first colon.
 */
function eachPart(text: string, onPart: (start: number, end: number, colon: number) => void): void {
  let depth = 0;
  let start = 0;
  let colon = -1;
  for (let at = 0; at < text.length; at += 1) {
    switch (text.charCodeAt(at)) {
      case QUOTE:
        at = closingQuote(text, at);
        break;
      case OPEN_ARRAY:
      case OPEN_OBJECT:
        depth += 1;
        if (depth === 1) start = at + 1;
        break;
      case CLOSE_ARRAY:
      case CLOSE_OBJECT:
        depth -= 1;
        if (depth === 0 && text.slice(start, at).trim() !== '') onPart(start, at, colon);
        break;
      case COLON:
        if (depth === 1 && colon < 0) colon = at;
        break;
      case COMMA:
        if (depth !== 1) break;
        onPart(start, at, colon);
        start = at + 1;
        colon = -1;
        break;
    }
  }
}

/** The texts of the elements of an array. */
export function elementsOf(array: string): string[] {
  const elements: string[] = [];
  eachPart(array, (start, end) => elements.push(array.slice(start, end)));
  return elements;
}

/**
 * The texts of the members of an object, by name. Of duplicate names the last counts, as in any
 * parser.
 */
export function membersOf(object: string): Map<string, string> {
  const members = new Map<string, string>();
  eachPart(object, (start, end, colon) => {
    members.set(JSON.parse(object.slice(start, colon)) as string, object.slice(colon + 1, end));
  });
  return members;
}
