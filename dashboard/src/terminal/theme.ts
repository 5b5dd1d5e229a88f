/** Colours and font of the emulator, from the page's tokens. */

import type { ITheme } from '@xterm/xterm';

const ANSI = [
  ...['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white'],
  ...['brightBlack', 'brightRed', 'brightGreen', 'brightYellow', 'brightBlue', 'brightMagenta', 'brightCyan', 'brightWhite'],
] as const;

export function themeOf(element: Element): { theme: ITheme; fontFamily: string } {
  const style = getComputedStyle(element);
  const token = (name: string): string => style.getPropertyValue(name).trim();
  const colours = Object.fromEntries(ANSI.map((name, index) => [name, token(`--term-${index}`)]));
  return {
    theme: {
      ...colours,
      background: token('--term-bg'),
      foreground: token('--term-fg'),
      cursor: token('--term-cursor'),
      cursorAccent: token('--term-bg'),
      selectionBackground: token('--term-selection'),
      scrollbarSliderBackground: token('--term-slider'),
      scrollbarSliderHoverBackground: token('--term-slider-hover'),
      scrollbarSliderActiveBackground: token('--term-slider-hover'),
    },
    fontFamily: token('--font-mono'),
  };
}

/** Calls back when the page's colours change: by its own switch, or by the system. */
export function watchTheme(page: Document, listener: () => void): () => void {
  const observer = new MutationObserver(listener);
  observer.observe(page.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
  const system = window.matchMedia('(prefers-color-scheme: dark)');
  system.addEventListener('change', listener);
  return () => {
    observer.disconnect();
    system.removeEventListener('change', listener);
  };
}
