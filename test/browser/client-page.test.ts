/**
 * Goal: in a real browser a stream follows its page (no attempt while hidden, one connection on the
 * return), and the hook opens one stream. Method: Chromium against a coordinator that the test
 * steers and that counts connections. A headless page is never hidden by itself, so its
 * `visibilityState` is set; the events are the browser's own.
 */

import type { Page } from 'playwright-core';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FakeSession, until } from '../support/fake-session.ts';
import type {} from './pages/own-client.ts';
import { launchChromium, type OwnBrowser } from './support/chromium.ts';
import { PageServer } from './support/page-server.ts';

let fake: FakeSession;
let server: PageServer;
let chromium: OwnBrowser;
let page: Page;
let errors: string[];

beforeEach(async () => {
  fake = await new FakeSession().start();
  fake.addExecution('e1');
  fake.lines('e1', 5);
  server = await PageServer.start('own-client.ts');
  chromium = await launchChromium();
  page = await chromium.browser.newPage();
  errors = [];
  page.on('pageerror', (error) => errors.push(String(error)));
  await page.goto(server.url);
});
afterEach(async () => {
  await chromium?.close();
  await server?.close();
  await fake?.stop();
  expect(errors).toEqual([]);
});

const live = (viewers: number) => () => fake.viewers.length === viewers && fake.newest.live;
const upTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1);

async function seen(last: number): Promise<void> {
  await page.waitForFunction((offset) => window.followed.offsets.at(-1) === offset, last);
  expect(await page.evaluate(() => window.followed.offsets)).toEqual(upTo(last));
}

test('[P1] [P3] hidden, cut, shown: nothing is tried in between, and one connection brings what was missed', async () => {
  await page.evaluate((url) => window.follow(url), fake.url);
  await until('live', live(1));
  await page.evaluate(() => {
    Object.defineProperty(document, 'visibilityState', { value: 'hidden', configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  });
  fake.lines('e1', 2, 6);
  await seen(7);
  fake.cut();
  await page.waitForFunction(() => window.followed.states.at(-1) === 'paused');
  fake.lines('e1', 2, 8);
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  expect(fake.upgrades.length).toBe(1);
  await page.evaluate(() => {
    Object.defineProperty(document, 'visibilityState', { value: 'visible', configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
    window.dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }));
    window.dispatchEvent(new Event('online'));
  });
  await until('live again', live(2));
  await seen(9);
  expect(fake.upgrades.length).toBe(2);
  expect(await page.evaluate(() => window.followed.states)).toEqual([
    'connecting',
    'replaying',
    'live',
    'paused',
    'connecting',
    'replaying',
    'live',
  ]);
});

test('[P2] [P4] after a network outage a surviving connection is checked once and kept', async () => {
  await page.evaluate((url) => window.follow(url), fake.url);
  await until('live', live(1));
  await page.context().setOffline(true);
  await page.waitForFunction(() => !navigator.onLine);
  await page.context().setOffline(false);
  await until('asked', () => fake.newest.pings > 0);
  fake.lines('e1', 1, 6);
  await seen(6);
  expect([fake.upgrades.length, fake.newest.pings <= 2]).toEqual([1, true]);
});

test('two components in Strict Mode: one stream', async () => {
  await page.evaluate((url) => window.mount(url), fake.url);
  await page.waitForFunction(() => window.rendered?.events === 5 && window.rendered.state === 'live');
  fake.settle('e1', 'completed', { exitCode: 0 });
  await page.waitForFunction(() => window.rendered.status === 'completed' && window.rendered.state === 'ended');
  expect(await page.evaluate(() => window.rendered.events)).toBe(6);
  expect(fake.upgrades.length).toBe(1);
});
