/**
 * Goal: the page shows a run's terminal as a terminal would, types into it only where that is
 * allowed, and stays within its Content-Security-Policy.
 * Method: the dashboard in Chromium against a real coordinator, with a wrapper that the test plays;
 * the screen is compared with a terminal without a window that got the same output.
 */

import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { Headless } from '../support/headless.ts';
import { until } from '../support/real-stack.ts';
import { TerminalPeer } from '../support/terminal-peer.ts';
import { axeViolations } from './support/axe.ts';
import { Dashboard } from './support/dashboard.ts';
import { type PageOptions, PHONE, Stage } from './support/stage.ts';
import { PROGRAM, rowsOf, screenOf, shows } from './support/terminal-page.ts';

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
