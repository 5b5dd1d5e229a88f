/** Choices that the browser stores. Without storage they last as long as the page. */

import { useCallback, useState } from 'preact/hooks';

export type Theme = 'system' | 'light' | 'dark';

/** public/theme.js reads the same item before the first paint. */
const THEME_ITEM = 'holdfast.theme';
const LIVE_ITEM = 'holdfast.live';

function readItem(name: string): string | null {
  try {
    return window.localStorage.getItem(name);
  } catch {
    return null;
  }
}

function writeItem(name: string, value: string): void {
  try {
    window.localStorage.setItem(name, value);
  } catch {
    // It lasts for this page.
  }
}

export const parseTheme = (text: string | null): Theme => (text === 'light' || text === 'dark' ? text : 'system');

export function applyTheme(theme: Theme, root: HTMLElement = document.documentElement): void {
  if (theme === 'system') delete root.dataset.theme;
  else root.dataset.theme = theme;
}

export function useTheme(): [Theme, (theme: Theme) => void] {
  const [theme, setTheme] = useState(() => parseTheme(readItem(THEME_ITEM)));
  const choose = useCallback((next: Theme) => {
    writeItem(THEME_ITEM, next);
    applyTheme(next);
    setTheme(next);
  }, []);
  return [theme, choose];
}

/** Whether lists refresh automatically. */
export function useLive(): [boolean, (live: boolean) => void] {
  const [live, setLive] = useState(() => readItem(LIVE_ITEM) !== 'off');
  const choose = useCallback((next: boolean) => {
    writeItem(LIVE_ITEM, next ? 'on' : 'off');
    setLive(next);
  }, []);
  return [live, choose];
}
