/**
 * Goal: the page shows a run's terminal as a terminal would, types into it only where that is
 * allowed, and stays within its Content-Security-Policy.
 * Method: the dashboard in Chromium against a real coordinator, with a wrapper that the test plays;
 * the screen is compared with a terminal without a window that got the same output.
 */

import type { Locator } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { Headless } from '../support/headless.ts';
import { until } from '../support/real-stack.ts';
import { TerminalPeer } from '../support/terminal-peer.ts';
import { axeViolations } from './support/axe.ts';
import { Dashboard } from './support/dashboard.ts';
import { type PageOptions, PHONE, Stage } from './support/stage.ts';

const ESC = '\u001b';

let stage: Stage;
let peers: TerminalPeer[] = [];
let sessions = 0;
beforeAll(async () => {
  stage = await Stage.start();
});
afterAll(() => stage?.close());
afterEach(async () => {
  for (const peer of peers) peer.close();
  peers = [];
  await stage.checkPages();
});

async function start(session: string, size?: { cols: number; rows: number }): Promise<TerminalPeer> {
  const peer = await TerminalPeer.start(stage.real.client, session, size);
  peers.push(peer);
  return peer;
}

const screenOf = ({ page }: Dashboard): Locator => page.getByRole('region', { name: 'Screen of the terminal' });
const rowsOf = (dashboard: Dashboard): Promise<string[]> =>
  screenOf(dashboard).evaluate((screen) =>
    [...screen.querySelectorAll('.xterm-rows > div')].map((row) => (row.textContent ?? '').replaceAll('\u00a0', ' ').trimEnd()),
  );
async function shows(dashboard: Dashboard, text: string): Promise<void> {
  await until(async () => (await rowsOf(dashboard)).join('\n').includes(text), `the terminal shows ${JSON.stringify(text)}`);
}

/** As a full-screen program would draw: both screens, colours, wide characters, queries between. */
const PROGRAM = [
  `shell$ vim\r\n${ESC}[?1049h${ESC}[22;0t${ESC}[>4;2m${ESC}[?1h${ESC}=${ESC}[?2004h${ESC}[c${ESC}[6n${ESC}[?2026$p${ESC}]11;?\u0007`,
  `${ESC}]0;notes.txt - VIM\u0007${ESC}[H${ESC}[2J${ESC}[1;1Hfirst line`,
  `${ESC}[2;1H${ESC}[38;2;200;30;120mtrue colour${ESC}[0m and ${ESC}[31mred${ESC}[0m`,
  `${ESC}[3;1H漢字 👩 e\u0301 ${ESC}(0lqk${ESC}(B`,
  `${ESC}[24;1H${ESC}[7m-- INSERT --${ESC}[0m${ESC}[5 q${ESC}[?2026h${ESC}[?1004h`,
].join('');

it('a late viewer begins at the newest screen, follows live, and types; nothing is answered', async () => {
  const peer = await start('live');
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
});

it('a pasted text arrives in brackets where the program asks for them', async () => {
  const peer = await start('paste');
  peer.output(`${ESC}[?2004hready`);
  const dashboard = await Dashboard.signedIn(stage, peer.path);
  await shows(dashboard, 'ready');
  await dashboard.page.context().grantPermissions(['clipboard-read', 'clipboard-write'], { origin: stage.url });
  await dashboard.page.evaluate(() => navigator.clipboard.writeText('two\nlines'));
  await dashboard.button('Paste').click();
  await until(() => peer.keys.includes('201~'), 'the paste');
  expect(peer.keys).toBe(`${ESC}[200~two\rlines${ESC}[201~`);
});

it('sizes: events of others size the page, and a writer may fit the terminal to its window', async () => {
  const peer = await start('sizes', { cols: 100, rows: 30 });
  peer.output('x');
  const dashboard = await Dashboard.signedIn(stage, peer.path);
  await dashboard.page.getByText('100 × 30').waitFor();
  await stage.real.client.resize(peer.session, peer.id, { cols: 60, rows: 10 });
  await dashboard.page.getByText('60 × 10').waitFor();
  expect((await rowsOf(dashboard)).length).toBe(10);
  await dashboard.button('Fit to window').click();
  await until(() => peer.sizes.length === 2, 'the size');
  const [, fitted = ''] = peer.sizes;
  const [cols = 0, rows = 0] = fitted.split('x').map(Number);
  await dashboard.page.getByText(`${cols} × ${rows}`).waitFor();
  await dashboard.page.setViewportSize({ width: 1000, height: 600 });
  await until(() => peer.sizes.length === 3, 'the size of the smaller window');
  const [narrow = 0] = (peer.sizes[2] ?? '').split('x').map(Number);
  expect(narrow).toBeLessThan(cols);
  await dashboard.button('Fit to window').click();
  await dashboard.page.setViewportSize({ width: 1280, height: 800 });
  await dashboard.page.waitForTimeout(600);
  expect(peer.sizes).toHaveLength(3);
});

it('a link that may only read shows that, and sends nothing; one that may type does', async () => {
  const peer = await start('shared');
  peer.output(`${ESC}[?1000;1006hwatch me`);
  const link = async (can: ('read' | 'input')[]) => {
    const { ticket } = await stage.real.client.createTicket(peer.session, { execution: peer.id, can });
    const dashboard = await Dashboard.at(stage, `${peer.path}#ticket=${ticket}`);
    await shows(dashboard, 'watch me');
    return dashboard;
  };
  const reader = await link(['read']);
  await reader.page.getByText('Read only', { exact: true }).waitFor();
  await screenOf(reader).click();
  await reader.page.keyboard.type('abc');
  expect(await reader.button('Fit to window').count()).toBe(0);
  const writer = await link(['read', 'input']);
  expect(await writer.page.getByText('Read only', { exact: true }).count()).toBe(0);
  await writer.page.getByLabel(/^Terminal: keys go/).focus();
  await writer.page.keyboard.type('x');
  await until(() => peer.keys !== '', 'the key');
  expect(peer.keys).toBe('x');
});

it('the log is a tab beside it, with the text and without keys and screens', async () => {
  const peer = await start('log');
  peer.output(`one\r\n${ESC}[32mtwo${ESC}[0m\r\nthr`);
  peer.screen('one\r\ntwo\r\nthr', { title: 'whatever' });
  peer.output('ee\r\n');
  const dashboard = await Dashboard.signedIn(stage, peer.path);
  await shows(dashboard, 'three');
  await stage.real.client.sendInput(peer.session, peer.id, { text: 'k' });
  await dashboard.page.getByRole('tab', { name: 'Log' }).click();
  await dashboard.shows('three');
  const texts = (await dashboard.drawn()).map(({ text }) => text.trim());
  expect(texts).toEqual(expect.arrayContaining(['one', 'two', 'three']));
  expect(texts.join('\n')).not.toMatch(/screen|whatever|input/);
  await dashboard.page.getByRole('tab', { name: 'Log' }).press('ArrowLeft');
  await shows(dashboard, 'three');
});

it('cuts of the network: the same screen as without', async () => {
  const peer = await start('cuts');
  const dashboard = await Dashboard.signedIn(stage, peer.path);
  const judge = new Headless();
  for (let round = 1; round <= 3; round += 1) {
    for (const moment of ['before', 'after']) {
      const text = `${moment} ${round} ${ESC}[3${round}mcolour${ESC}[0m\r\n`;
      peer.output(text);
      await judge.write(text);
      if (moment === 'before') await shows(dashboard, `before ${round}`);
      else await shows(dashboard, `after ${round}`);
      if (moment === 'before') stage.viewers.cut();
    }
  }
  expect(await rowsOf(dashboard)).toEqual(judge.rows);
});

it.each<[string, PageOptions]>([
  ['light', { colorScheme: 'light' }],
  ['dark', { colorScheme: 'dark' }],
  ['on a phone', { viewport: PHONE, isMobile: true, hasTouch: true }],
])('is accessible: %s', async (_what, options) => {
  sessions += 1;
  const peer = await start(`accessible-${sessions}`, { cols: 120, rows: 30 });
  peer.output(PROGRAM);
  const dashboard = await Dashboard.signedIn(stage, peer.path, options);
  await shows(dashboard, '-- INSERT --');
  expect(await axeViolations(dashboard.page)).toEqual([]);
  const { width, scroll } = await dashboard.page.evaluate(() => ({
    width: window.innerWidth,
    scroll: document.documentElement.scrollWidth,
  }));
  expect(scroll).toBeLessThanOrEqual(width);
  if (options.isMobile) {
    await dashboard.button('Esc key').tap();
    await until(() => peer.keys === ESC, 'the key');
  }
});
