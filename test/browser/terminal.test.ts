/**
 * Goal: the page shows a run's terminal as a terminal would, sends what is typed and nothing else,
 * and stays within its Content-Security-Policy.
 * Method: the dashboard in Chromium against a real coordinator, with a wrapper that the test plays;
 * the screen is compared with a terminal without a window that got the same output.
 */

import { afterAll, beforeAll, expect, it } from 'vitest';
import { Headless } from '../support/headless.ts';
import { until } from '../support/real-stack.ts';
import { TerminalPeer } from '../support/terminal-peer.ts';
import { Dashboard } from './support/dashboard.ts';
import { Stage } from './support/stage.ts';
import { PROGRAM, rowsOf, screenOf, shows } from './support/terminal-page.ts';

const ESC = '\u001b';

let stage: Stage;
const peers: TerminalPeer[] = [];
beforeAll(async () => {
  stage = await Stage.start();
});
afterAll(async () => {
  for (const peer of peers) peer.close();
  await stage?.close();
});

it('a late viewer begins at the newest screen, follows live, and types; nothing is answered', async () => {
  const peer = await TerminalPeer.start(stage.real.client, 'live');
  peers.push(peer);
  peer.output('long ago\r\n'.repeat(100));
  peer.screen(PROGRAM);
  const dashboard = await Dashboard.signedIn(stage, peer.path);
  await shows(dashboard, '-- INSERT --');
  peer.output(`${ESC}[4;1Hlater`);
  await shows(dashboard, 'later');
  const judge = new Headless();
  await judge.write(`${PROGRAM}${ESC}[4;1Hlater`);
  expect(await rowsOf(dashboard)).toEqual(judge.rows);
  await dashboard.page.getByText('notes.txt - VIM').waitFor();

  // The policy allows no inline style, and colours are drawn all the same (PageWatch).
  const colour = await screenOf(dashboard)
    .getByText('true colour')
    .evaluate((element) => getComputedStyle(element).color);
  expect(colour).toBe('rgb(200, 30, 120)');

  await screenOf(dashboard).click();
  expect(await dashboard.page.evaluate(() => document.activeElement?.getAttribute('aria-label'))).toContain(
    'Terminal: keys go to the run',
  );
  await dashboard.page.keyboard.type('ihello');
  await dashboard.page.keyboard.press('Escape');
  await dashboard.page.keyboard.press('Control+c');
  await dashboard.page.keyboard.press('ArrowUp');
  await until(() => peer.keys.length >= 11, 'the keys');
  expect(peer.keys).toBe(`ihello${ESC}\u0003${ESC}OA`);
  // The shortcuts of the page are keys of the program here.
  expect(await dashboard.page.getByRole('dialog').count()).toBe(0);
  expect(peer.sizes).toEqual([]);
  await dashboard.page.keyboard.press('Control+Shift+L');
  expect(await dashboard.page.evaluate(() => document.activeElement?.textContent)).toContain('Fit to window');

  peer.output(`${ESC}[?1049l`);
  await shows(dashboard, 'shell$ vim');
  peer.exit(0);
  await dashboard.status('Completed');
  expect(await dashboard.button('Paste').count()).toBe(0);
  await stage.checkPages();
});
