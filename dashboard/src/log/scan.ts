/**
 * One pass over the text of a line as a terminal would process it. Linear in the length, whatever
 * the bytes: every character is visited a bounded number of times, and only the sink keeps state.
 *
 *   shown        text; SGR (colours, bold …) and OSC 8 links are passed to the sink
 *   done         carriage return, backspace, "erase line", "cursor to column 1": see `restart` and
 *                `back`
 *   dropped      every other escape sequence: CSI, OSC, DCS, APC, PM, SOS, character sets; 8-bit
 *                forms too
 *   visible      all other control characters, bidi overrides, line separators, lone surrogates
 *
 * Carriage return is simplified: text after one replaces everything in the line, even where it is
 * shorter.
 * A string sequence that does not end in its line loses only its introducer: a log must not hide
 * the text after it.
 */

export interface Sink {
  text(text: string): void;
  /** Everything passed so far is removed from the line. */
  restart(): void;
  /** The last character is removed. */
  back(): void;
  /** Parameters of an SGR sequence, `1;31`. */
  sgr(parameters: string): void;
  /** Null ends the link. */
  link(url: string | null): void;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const CONTROL = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/g;
const HIDDEN =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
  /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;
/**
 * Anything that makes the shown text differ from the received text. Surrogates count, though most
 * are half of an emoji.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
export const SPECIAL = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]/;

const ESC = 0x1b;
const BEL = 0x07;
/** The 7-bit letter of an 8-bit control: U+009B is ESC [. */
const EIGHT_BIT = new Map([0x90, 0x98, 0x9b, 0x9d, 0x9e, 0x9f].map((code) => [code, code - 0x40]));
const CSI = 0x5b;
const OSC = 0x5d;
const STRINGS = new Set([0x50, 0x58, OSC, 0x5e, 0x5f]);

/** Most text has none of these, which this test finds faster than HIDDEN. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const MAY_HIDE = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]/;

/**
 * Control characters as their pictures, other invisible ones by their code point: nothing in a line
 * is invisible or changes its direction.
 */
export function showHiddenCharacters(text: string): string {
  if (!MAY_HIDE.test(text)) return text;
  return text.replace(HIDDEN, (character) => {
    const code = character.charCodeAt(0);
    if (code < 0x20) return String.fromCharCode(0x2400 + code);
    if (code === 0x7f) return '\u2421';
    if (code >= 0xd800 && code <= 0xdfff) return '\ufffd';
    return `\u27e8U+${code.toString(16).toUpperCase().padStart(4, '0')}\u27e9`;
  });
}

export function scan(raw: string, sink: Sink): void {
  let at = 0;
  /** A carriage return, not yet followed by text. */
  let returned = false;
  const put = (text: string): void => {
    if (text === '') return;
    if (returned) sink.restart();
    returned = false;
    sink.text(text);
  };
  while (at < raw.length) {
    CONTROL.lastIndex = at;
    const found = CONTROL.exec(raw)?.index ?? raw.length;
    if (found > at) put(showHiddenCharacters(raw.slice(at, found)));
    if (found === raw.length) return;
    const code = raw.charCodeAt(found);
    at = found + 1;
    if (code === 0x0d) returned = true;
    else if (code === 0x08) sink.back();
    else if (code === ESC || EIGHT_BIT.has(code)) {
      const letter = code === ESC ? raw.charCodeAt(at++) : (EIGHT_BIT.get(code) ?? 0);
      if (letter === CSI) at = csi(at);
      else if (STRINGS.has(letter)) at = string(letter, at);
      else at = other(letter, at);
    } else if (code !== 0x0a) put(showHiddenCharacters(raw.charAt(found)));
  }

  function csi(from: number): number {
    let to = from;
    while (isIn(raw, to, 0x30, 0x3f)) to++;
    const parameters = raw.slice(from, to);
    const plain = !isIn(raw, to, 0x20, 0x2f);
    while (isIn(raw, to, 0x20, 0x2f)) to++;
    // Not a sequence: the following text is scanned again.
    if (!isIn(raw, to, 0x40, 0x7e)) return to;
    if (plain) command(raw.charAt(to), parameters);
    return to + 1;
  }

  function command(letter: string, parameters: string): void {
    if (letter === 'm') sink.sgr(parameters);
    else if (letter === 'G' && (parameters === '' || parameters === '0' || parameters === '1')) returned = true;
    else if (letter === 'K') {
      // At column 1 everything is to the right of the cursor, otherwise to its left.
      if (parameters === '2' || (parameters === '1' && !returned) || ((parameters === '' || parameters === '0') && returned)) {
        sink.restart();
        returned = false;
      }
    }
  }

  function string(letter: number, from: number): number {
    CONTROL.lastIndex = from;
    const end = CONTROL.exec(raw)?.index ?? -1;
    const terminator = raw.charCodeAt(end);
    const bell = terminator === BEL && letter === OSC;
    const escaped = terminator === ESC && raw.charCodeAt(end + 1) === 0x5c;
    if (end < 0 || !(terminator === 0x9c || bell || escaped)) return from;
    if (letter === OSC && raw.startsWith('8;', from)) {
      const [, , ...url] = raw.slice(from, end).split(';');
      sink.link(url.join(';') || null);
    }
    return escaped ? end + 2 : end + 1;
  }

  function other(letter: number, from: number): number {
    if (!(letter >= 0x20 && letter <= 0x2f)) return isIn(raw, from - 1, 0x30, 0x7e) ? from : from - 1;
    let to = from;
    while (isIn(raw, to, 0x20, 0x2f)) to++;
    return isIn(raw, to, 0x30, 0x7e) ? to + 1 : to;
  }
}

const isIn = (text: string, index: number, low: number, high: number): boolean => {
  const code = text.charCodeAt(index);
  return code >= low && code <= high;
};
