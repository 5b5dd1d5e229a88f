/**
 * Finds the keys that detach in what a keyboard sends. Pure: text in, text to send out; the caller
 * owns the timer.
 *
 *   DK1  A key counts in each of its encodings: the control character, kitty's `CSI 92;5u`, and
 *        xterm's `CSI 27;5;92~`. Releases of keys in kitty's encoding are not keys.
 *   DK2  The beginning of the sequence is held back. Any other key, or `release`, sends it.
 *   DK3  The result does not depend on where the text is split, unless `release` comes between.
 *   DK4  Pasted text never detaches.
 *
 * Text is one character a byte (latin1), because a keyboard may send bytes that are not UTF-8.
 */

import { UsageError } from '../settings.ts';

/** How long a held-back key, or an unfinished escape sequence, waits for the rest. */
export const HELD_KEY_MS = 1_000;
export const HELD_ESCAPE_MS = 50;

export const DETACH_KEYS_DEFAULT = 'ctrl-\\';

/** `ctrl-\`, `ctrl-p,ctrl-q`, `a`, or `none`: each key as its character code. */
export function parseDetachKeys(text: string): number[] {
  if (text === 'none') return [];
  return text.split(',').map((key) => {
    const control = /^(?:ctrl-|\^)([a-z@[\\\]^_])$/i.exec(key)?.[1];
    if (control !== undefined) return control.toUpperCase().charCodeAt(0) & 0x1f;
    if (/^[!-~]$/.test(key)) return key.charCodeAt(0);
    throw new UsageError(
      `--detach-keys: ${JSON.stringify(key)} is no key: give ctrl-\\, ctrl-a to ctrl-z, ctrl-@, ctrl-[, ctrl-], ctrl-^, ctrl-_, a character, several with commas, or none`,
    );
  });
}

/** As a person would say it: `Ctrl-P Ctrl-Q`. */
export const describeKeys = (keys: readonly number[]): string =>
  keys.map((code) => (code < 0x20 ? `Ctrl-${String.fromCharCode(code + 0x40)}` : String.fromCharCode(code))).join(' ');

export interface Keys {
  send: string;
  detached: boolean;
}

const PASTE_BEGINS = '\u001b[200~';
const PASTE_ENDS = '\u001b[201~';
/** CSI with its final, SS3 with its key, or ESC with a character (Alt). */
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about
const ESCAPE = /^\u001b(?:\[[\u0020-\u003f]*[\u0040-\u007e]|O[\u0020-\u007e]|[^[O\u001b])/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about
const UNFINISHED = /^\u001b(?:\[[\u0020-\u003f]{0,64}|O)?$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about
const KITTY = /^\u001b\[(\d+)(?::\d*){0,2}(?:;(\d*)(?::(\d+))?(?:;[\d:]*)?)?u$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is about
const OTHER_KEYS = /^\u001b\[27;(\d+);(\d+)~$/;

const CTRL = 4;
/** Caps lock and num lock do not change a key. */
const LOCKS = 64 + 128;

export class DetachKeys {
  readonly #keys: readonly number[];
  /** Of the detach keys: each as it came, with what came after it and is no key. */
  #prefix: { text: string; code: number | null }[] = [];
  /** An escape sequence that is not complete. */
  #unfinished = '';
  #pasting = false;

  constructor(keys: readonly number[]) {
    this.#keys = keys;
  }

  /** Null: nothing is held. */
  get heldForMs(): number | null {
    if (this.#unfinished !== '') return HELD_ESCAPE_MS;
    return this.#prefix.length > 0 ? HELD_KEY_MS : null;
  }

  /** What follows the detach keys is not sent. */
  push(text: string): Keys {
    if (this.#keys.length === 0) return { send: text, detached: false };
    let rest = this.#unfinished + text;
    this.#unfinished = '';
    let send = '';
    while (rest !== '') {
      if (this.#pasting) {
        const end = rest.indexOf(PASTE_ENDS);
        if (end === -1) {
          // The end may be split.
          const held = suffixThatBegins(rest, PASTE_ENDS);
          this.#unfinished = rest.slice(rest.length - held);
          return { send: send + rest.slice(0, rest.length - held), detached: false };
        }
        send += rest.slice(0, end + PASTE_ENDS.length);
        rest = rest.slice(end + PASTE_ENDS.length);
        this.#pasting = false;
        continue;
      }
      if (UNFINISHED.test(rest)) {
        this.#unfinished = rest;
        return { send, detached: false };
      }
      const key = rest[0] === '\u001b' ? (ESCAPE.exec(rest)?.[0] ?? rest[0]) : (rest[0] as string);
      rest = rest.slice(key.length);
      const step = this.#take(key);
      if (step === null) return { send, detached: true };
      send += step;
    }
    return { send, detached: false };
  }

  /** The held-back keys, when the rest did not come in time. */
  release(): string {
    const held = this.#prefix.map(({ text }) => text).join('') + this.#unfinished;
    this.#prefix = [];
    this.#unfinished = '';
    return held;
  }

  /** What may be sent now; null: these were the keys. */
  #take(key: string): string | null {
    if (key === PASTE_BEGINS) this.#pasting = true;
    const code = codeOf(key);
    // DK1: a release or a modifier between two keys breaks no sequence.
    if (code === 'ignored') {
      const last = this.#prefix.at(-1);
      if (!last) return key;
      last.text += key;
      return '';
    }
    if (code === this.#keys[this.#prefix.length]) {
      this.#prefix.push({ text: key, code });
      if (this.#prefix.length < this.#keys.length) return '';
      this.#prefix = [];
      return null;
    }
    // DK2: the longest end of what was held that is a beginning of the keys again.
    let send = '';
    while (this.#prefix.length > 0) {
      send += this.#prefix.shift()?.text;
      const codes = [...this.#prefix.map((held) => held.code), code];
      if (codes.every((one, at) => one === this.#keys[at])) {
        this.#prefix.push({ text: key, code });
        return send;
      }
    }
    return send + key;
  }
}

/** The character code that a key stands for; null: another key. */
function codeOf(key: string): number | 'ignored' | null {
  if (key.length === 1) return key.charCodeAt(0);
  const [, code, modifiers = '', event] = KITTY.exec(key) ?? [];
  if (code !== undefined) {
    // Left Shift to the last lock key have codes of their own, in a private area of Unicode.
    if (event === '3' || (Number(code) >= 57358 && Number(code) <= 57454)) return 'ignored';
    return withModifiers(Number(code), Number(modifiers || 1));
  }
  const [, modified, character] = OTHER_KEYS.exec(key) ?? [];
  return character === undefined ? null : withModifiers(Number(character), Number(modified));
}

function withModifiers(code: number, modifiers: number): number | null {
  const held = (modifiers - 1) & ~LOCKS;
  if (held === 0) return code;
  if ((held & ~1) !== CTRL || code < 0x40 || code > 0x7f) return null;
  return String.fromCharCode(code).toUpperCase().charCodeAt(0) & 0x1f;
}

/** How much of the end of `text` is a beginning of `word`. */
function suffixThatBegins(text: string, word: string): number {
  for (let length = Math.min(text.length, word.length - 1); length > 0; length -= 1)
    if (text.endsWith(word.slice(0, length))) return length;
  return 0;
}
