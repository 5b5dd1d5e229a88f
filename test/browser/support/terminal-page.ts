/** The terminal on the page of a run, and what a full-screen program draws on it. */

import type { Locator } from 'playwright-core';
import { until } from '../../support/real-stack.ts';
import type { Dashboard } from './dashboard.ts';

const ESC = '\u001b';

export const screenOf = ({ page }: Dashboard): Locator => page.getByRole('region', { name: 'Screen of the terminal' });
export const rowsOf = (dashboard: Dashboard): Promise<string[]> =>
  screenOf(dashboard).evaluate((screen) =>
    [...screen.querySelectorAll('.xterm-rows > div')].map((row) => (row.textContent ?? '').replaceAll('\u00a0', ' ').trimEnd()),
  );
export async function shows(dashboard: Dashboard, text: string): Promise<void> {
  await until(async () => (await rowsOf(dashboard)).join('\n').includes(text), `the terminal shows ${JSON.stringify(text)}`);
}

/** As a full-screen program would draw: both screens, colours, wide characters, queries between. */
export const PROGRAM = [
  `shell$ vim\r\n${ESC}[?1049h${ESC}[22;0t${ESC}[>4;2m${ESC}[?1h${ESC}=${ESC}[?2004h${ESC}[c${ESC}[6n${ESC}[?2026$p${ESC}]11;?\u0007`,
  `${ESC}]0;notes.txt - VIM\u0007${ESC}[H${ESC}[2J${ESC}[1;1Hfirst line`,
  `${ESC}[2;1H${ESC}[38;2;200;30;120mtrue colour${ESC}[0m and ${ESC}[31mred${ESC}[0m`,
  `${ESC}[3;1H漢字 👩 e\u0301 ${ESC}(0lqk${ESC}(B`,
  `${ESC}[24;1H${ESC}[7m-- INSERT --${ESC}[0m${ESC}[5 q${ESC}[?2026h${ESC}[?1004h`,
].join('');
