/**
 * xterm.js in an element of the page. Owns the emulator, its fonts and colours, and what leaves it:
 * keys, a copied selection, a link that is opened.
 */

import { Terminal } from '@xterm/xterm';
import '@xterm/xterm/css/xterm.css';
import type { Size } from '../../../client/terminal/key-queue.ts';
import { safeHref } from '../log/line.ts';
import { allowOwnStyles } from './own-styles.ts';
import type { Emulator } from './player.ts';
import { FONT_PX, fontThatFits, type Space, sizeThatFits } from './sizing.ts';
import { themeOf, watchTheme } from './theme.ts';

/** Lines above the screen that stay reachable. */
const SCROLLBACK = 5_000;
const SCROLLBAR_PX = 14;

export interface TypedKeys {
  onKeys(keys: string | Uint8Array): void;
  /** The key that leaves the terminal, for people without a pointer. */
  onLeave(): void;
  onTitle(title: string): void;
}

/** Keys of a phone, which has none of them. */
export type SpecialKey = 'Escape' | 'Tab' | 'Ctrl-C' | 'ArrowUp' | 'ArrowDown' | 'ArrowLeft' | 'ArrowRight';
const ARROWS = { ArrowUp: 'A', ArrowDown: 'B', ArrowRight: 'C', ArrowLeft: 'D' } as const;

export class PageEmulator implements Emulator {
  readonly #terminal: Terminal;
  readonly #host: HTMLElement;
  readonly #release: (() => void)[];

  constructor(host: HTMLElement, { mayType, label, keys }: { mayType: boolean; label: string; keys: TypedKeys }) {
    const releaseStyles = allowOwnStyles(host.ownerDocument);
    this.#host = host;
    this.#terminal = new Terminal({
      allowProposedApi: false,
      ...themeOf(host),
      fontSize: FONT_PX,
      scrollback: SCROLLBACK,
      disableStdin: !mayType,
      cursorBlink: false,
      cursorInactiveStyle: mayType ? 'outline' : 'block',
      // Programs choose colours for a dark screen.
      minimumContrastRatio: 4.5,
      macOptionIsMeta: true,
      linkHandler: {
        // OSC 8. The page sends no referrer, and the tab that opens has no way back to it.
        activate: (_event, uri) => {
          const href = safeHref(uri);
          if (href !== null) window.open(href, '_blank', 'noopener,noreferrer');
        },
        // A link may have any text: the address is what it really is.
        hover: (_event, uri) => {
          host.title = safeHref(uri) ?? '';
        },
        leave: () => {
          host.title = '';
        },
      },
    });
    this.#terminal.open(host);
    this.#terminal.textarea?.setAttribute('aria-label', label);
    this.#terminal.attachCustomKeyEventHandler((event) => this.#onKey(event, keys));
    this.#terminal.onData((text) => keys.onKeys(text));
    this.#terminal.onBinary((text) => keys.onKeys(Uint8Array.from(text, (character) => character.charCodeAt(0))));
    this.#terminal.onTitleChange((title) => keys.onTitle(title));
    const unwatch = watchTheme(host.ownerDocument, () => {
      this.#terminal.options.theme = themeOf(host).theme;
    });
    this.#release = [unwatch, () => this.#terminal.dispose(), releaseStyles];
  }

  write(text: string, done: () => void): void {
    this.#terminal.write(text, done);
  }

  reset(): void {
    this.#terminal.reset();
  }

  resize(cols: number, rows: number): void {
    this.#terminal.resize(cols, rows);
    this.layout();
  }

  /** Chooses the font for the space that there is. */
  layout(): void {
    const space = this.#space();
    if (!space) return;
    const font = fontThatFits({ cols: this.#terminal.cols, rows: this.#terminal.rows }, space);
    if (this.#terminal.options.fontSize !== font) this.#terminal.options.fontSize = font;
  }

  /** The size with which the terminal would fill its place; null while it is hidden. */
  get fitting(): Size | null {
    const space = this.#space();
    return space && sizeThatFits(space);
  }

  focus(): void {
    this.#terminal.focus();
  }

  /** As if pasted: in brackets, where the program asks for them. */
  paste(text: string): void {
    this.#terminal.paste(text);
  }

  press(key: SpecialKey): void {
    const { applicationCursorKeysMode } = this.#terminal.modes;
    const text =
      key === 'Escape'
        ? '\u001b'
        : key === 'Tab'
          ? '\t'
          : key === 'Ctrl-C'
            ? '\u0003'
            : `\u001b${applicationCursorKeysMode ? 'O' : '['}${ARROWS[key]}`;
    this.#terminal.input(text);
  }

  close(): void {
    for (const release of this.#release) release();
  }

  #onKey(event: KeyboardEvent, keys: TypedKeys): boolean {
    if (event.type !== 'keydown' || !event.ctrlKey || event.altKey || event.metaKey) return true;
    if (event.shiftKey && event.code === 'KeyL') {
      event.preventDefault();
      keys.onLeave();
      return false;
    }
    // The browser pastes.
    if (event.shiftKey && event.code === 'KeyV') return false;
    // With a selection it copies, as everywhere else on a page; without one it goes to the program.
    if (event.code === 'KeyC' && this.#terminal.hasSelection()) {
      event.preventDefault();
      void navigator.clipboard?.writeText(this.#terminal.getSelection());
      this.#terminal.clearSelection();
      return false;
    }
    return true;
  }

  #space(): Space | null {
    const screen = this.#host.querySelector<HTMLElement>('.xterm-screen');
    const { clientWidth, clientHeight } = this.#host;
    if (!screen || clientWidth === 0 || clientHeight === 0) return null;
    const { width, height } = screen.getBoundingClientRect();
    const style = getComputedStyle(this.#host);
    const padding = (sides: string[]) =>
      sides.reduce((sum, side) => sum + Number.parseFloat(style.getPropertyValue(side) || '0'), 0);
    // The emulator knows its own cells; they grow with the font.
    const scale = FONT_PX / (this.#terminal.options.fontSize ?? FONT_PX);
    const charWidth = (width / this.#terminal.cols) * scale;
    const charHeight = (height / this.#terminal.rows) * scale;
    if (!(charWidth > 0 && charHeight > 0)) return null;
    return {
      width: clientWidth - padding(['padding-left', 'padding-right']) - SCROLLBAR_PX,
      height: clientHeight - padding(['padding-top', 'padding-bottom']),
      charWidth,
      charHeight,
    };
  }
}
