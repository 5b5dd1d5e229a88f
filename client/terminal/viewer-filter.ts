/**
 * What a program prints, made fit for the terminal of a viewer: a real one, or an emulator on a page.
 *
 * Owns: where the text stands within an escape sequence, and which modes of the own terminal the
 * program has changed.
 *
 *   VF1  Only known sequences pass. A query, and whatever else makes a terminal write to its input
 *        without a key, never passes: the emulator beside the job answers, and viewers do not.
 *   VF2  OSC 52 (clipboard) and mode 2026 (synchronized output) never pass: both may be replayed.
 *   VF3  The result does not depend on where the text is split.
 *   VF4  A sequence is held until it is complete, up to a limit. Beyond it, all of it is dropped.
 *   VF5  For a viewer that only reads, modes that change its keys or its mouse do not pass.
 */

import { OwnModes } from './own-modes.ts';

const CSI_CHARS_MAX = 256;
/** A title or a link; OSC 8 has a URL in it. */
const STRING_CHARS_MAX = 16 * 1024;

/** Text up to here needs no look: everything but ENQ, ESC, CAN, SUB and C1. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about
const SPECIAL = /[\u0005\u0018\u001a\u001b\u0080-\u009f]/g;

type State = 'ground' | 'escape' | 'csi' | 'osc' | 'dropped';

/**
 * DEC private modes. Left out: 3 and 40 (resize), 2026, 2027; and 1004, 2031 and 2048, with which a
 * terminal reports its focus, its colours and its size, some at once.
 */
const PRIVATE_MODES = new Set([
  1, 5, 6, 7, 9, 12, 25, 45, 47, 66, 69, 1000, 1002, 1003, 1005, 1006, 1007, 1015, 1016, 1045, 1047, 1048, 1049, 2004,
]);
/** Of these, what changes the input of the terminal (VF5). */
const INPUT_MODES = new Set([1, 9, 66, 1000, 1002, 1003, 1005, 1006, 1007, 1015, 1016, 2004]);
/** Insert, and new line. Not 2, which locks the keyboard, and not 12, local echo. */
const ANSI_MODES = new Set([4, 20]);
/** Finals of CSI without prefix and intermediate. Not c, n, x (queries), i (print), q (lamps), y (tests). */
const PLAIN_FINALS = new Set('@ABCDEFGHIJKLMPSTXZ`abdefgmrsu');
/** Intermediate and final. Not `$p`, `$w`, `$u`, `*y` (queries), `"p` (eight-bit answers). */
const WITH_INTERMEDIATE = new Set([
  ' q',
  ' @',
  ' A',
  '!p',
  '"q',
  "'}",
  "'~",
  '$r',
  '$t',
  '$v',
  '$x',
  '$z',
  '${',
  '*x',
  '#{',
  '#}',
  '#p',
  '#q',
]);
/** Title, colours, links, notifications, prompt marks. */
const OSC_NUMBERS = new Set([
  0, 1, 2, 4, 5, 8, 9, 10, 11, 12, 13, 14, 17, 19, 104, 105, 110, 111, 112, 113, 114, 117, 119, 133, 777,
]);
const OSC_COLOURS = new Set([4, 5, 10, 11, 12, 13, 14, 17, 19]);
/** Two-character escapes. Not `Z`, which is a query. */
const ESCAPE_FINALS = new Set('78=>DEHMNOcno|}~');
/** Of escapes with intermediates: charsets, alignment and double lines, UTF-8. Not SP, which asks for eight-bit answers. */
const ESCAPE_INTERMEDIATES = new Set('()*+-./#%');

export interface FilterOptions {
  /** VF5. */
  readOnly?: boolean;
  /** The text is printed among other lines: it changes no mode, no title and no scroll region. */
  asLines?: boolean;
}

export class ViewerFilter {
  readonly modes = new OwnModes();
  readonly #readOnly: boolean;
  readonly #asLines: boolean;
  #state: State = 'ground';
  /** Of the sequence under way, without its introducer. */
  #held = '';

  constructor({ readOnly = false, asLines = false }: FilterOptions = {}) {
    this.#readOnly = readOnly || asLines;
    this.#asLines = asLines;
  }

  push(text: string): string {
    let out = '';
    let at = 0;
    while (at < text.length) {
      if (this.#state === 'ground') {
        SPECIAL.lastIndex = at;
        const end = SPECIAL.exec(text)?.index ?? text.length;
        out += text.slice(at, end);
        at = end;
        if (at === text.length) break;
      }
      out += this.#next(text[at] as string);
      at += 1;
    }
    return out;
  }

  /** Drops an unfinished sequence, for text that does not continue what came before. */
  restart(): void {
    this.#state = 'ground';
    this.#held = '';
  }

  #next(character: string): string {
    const code = character.charCodeAt(0);
    // C1 as two characters: many terminals ignore the form with one.
    if (code >= 0x80 && code <= 0x9f) {
      const ended = this.#endString();
      return ended + this.#begin(String.fromCharCode(code - 0x40));
    }
    switch (code) {
      case 0x1b: {
        const ended = this.#endString();
        this.#state = 'escape';
        this.#held = '';
        return ended;
      }
      case 0x18:
      case 0x1a:
        this.restart();
        return '';
      case 0x05:
        return '';
    }
    switch (this.#state) {
      case 'ground':
        return character;
      case 'escape':
        return this.#inEscape(character, code);
      case 'csi':
        return this.#inCsi(character, code);
      case 'osc':
        if (code === 0x07) return this.#endString();
        if (code >= 0x20) this.#held += character;
        if (this.#held.length > STRING_CHARS_MAX) this.#drop(); // VF4
        return '';
      case 'dropped':
        // BEL ends an OSC. In the strings that are dropped from their beginning it is data.
        if (code === 0x07 && this.#held === 'osc') this.restart();
        return '';
      default:
        return this.#state satisfies never;
    }
  }

  /** The character after ESC. */
  #begin(character: string): string {
    switch (character) {
      case '[':
        this.#state = 'csi';
        this.#held = '';
        return '';
      case ']':
        this.#state = 'osc';
        this.#held = '';
        return '';
      // DCS, SOS, PM, APC: queries, and pictures, some of which are answered.
      case 'P':
      case 'X':
      case '^':
      case '_':
        this.#state = 'dropped';
        this.#held = '';
        return '';
      default:
        this.restart();
        return ESCAPE_FINALS.has(character) ? this.#escape(character) : '';
    }
  }

  #inEscape(character: string, code: number): string {
    if (code < 0x20) return character;
    if (code >= 0x20 && code <= 0x2f) {
      this.#held += character;
      return '';
    }
    if (this.#held === '') return this.#begin(character);
    const held = this.#held;
    this.restart();
    return held.length === 1 && ESCAPE_INTERMEDIATES.has(held) && code < 0x7f ? `\u001b${held}${character}` : '';
  }

  #escape(character: string): string {
    if (this.#readOnly && (character === '=' || character === '>')) return ''; // VF5
    if (this.#asLines && character === 'c') return '';
    this.modes.onEscape(character);
    return `\u001b${character}`;
  }

  #inCsi(character: string, code: number): string {
    if (code < 0x20) return character;
    if (code === 0x7f) return '';
    if (code > 0x7f) {
      this.restart();
      return character;
    }
    if (code < 0x40) {
      // VF4: too long is kept too long, so that it is dropped at its end.
      if (this.#held.length <= CSI_CHARS_MAX) this.#held += character;
      return '';
    }
    const held = this.#held;
    this.restart();
    return held.length > CSI_CHARS_MAX ? '' : this.#csi(held, character);
  }

  #csi(held: string, final: string): string {
    const parts = /^([<=>?]?)([\d:;]*)([ -/]*)$/.exec(held);
    if (!parts) return '';
    const [, prefix = '', parameters = '', intermediate = ''] = parts;
    const pass = (text = held): string => {
      this.modes.onCsi(prefix, text.slice(prefix.length, text.length - intermediate.length), intermediate, final);
      return `\u001b[${text}${final}`;
    };
    if (intermediate !== '') return prefix === '' && WITH_INTERMEDIATE.has(intermediate + final) ? pass() : '';
    switch (prefix) {
      case '':
        if (final === 'h' || final === 'l') return this.#passModes('', parameters, ANSI_MODES, pass);
        // Save and restore the title. Every other window operation is a query or moves the window.
        if (final === 't') return !this.#asLines && /^2[23](;\d*)*$/.test(parameters) ? pass() : '';
        if (final === 'r' && this.#asLines) return '';
        return PLAIN_FINALS.has(final) ? pass() : '';
      case '?':
        if (final === 'h' || final === 'l') return this.#passModes('?', parameters, PRIVATE_MODES, pass);
        return final === 'J' || final === 'K' ? pass() : '';
      // Kitty's keyboard encoding, set, pushed and popped; xterm's modifyOtherKeys.
      case '=':
      case '<':
        return final === 'u' && !this.#readOnly ? pass() : '';
      default:
        return (final === 'u' || final === 'm' || final === 'n') && !this.#readOnly ? pass() : '';
    }
  }

  /** One sequence may set several modes. */
  #passModes(prefix: string, parameters: string, known: ReadonlySet<number>, pass: (held: string) => string): string {
    const kept = parameters
      .split(';')
      .filter(
        (text) => !this.#asLines && known.has(Number(text)) && !(this.#readOnly && prefix === '?' && INPUT_MODES.has(Number(text))),
      );
    return kept.length === 0 ? '' : pass(prefix + kept.join(';'));
  }

  #drop(): void {
    this.#state = 'dropped';
    this.#held = 'osc';
  }

  /** The end of an OSC, by whatever ends it; nothing in another state. */
  #endString(): string {
    if (this.#state !== 'osc') {
      this.restart();
      return '';
    }
    const held = this.#held;
    this.restart();
    const [, digits, payload = ''] = /^(\d{1,4})(?:;([\s\S]*))?$/.exec(held) ?? [];
    const number = digits === undefined ? -1 : Number(digits);
    if (!OSC_NUMBERS.has(number)) return ''; // VF1, VF2
    if (this.#asLines && number !== 8) return '';
    if (OSC_COLOURS.has(number) && payload.split(';').includes('?')) return '';
    this.modes.onOsc(number, payload);
    return `\u001b]${held}\u001b\\`;
  }
}
