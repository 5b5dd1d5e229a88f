/**
 * Goal: the checks that every other file here relies on do bite. Method: a page that does each
 * forbidden thing, and a page with mistakes that axe-core knows.
 */

import type { Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { findBrowser } from '../../scripts/browser.ts';
import { processesWith, until } from '../support/real-stack.ts';
import { axeViolations } from './support/axe.ts';
import { launchChromium, type OwnBrowser } from './support/chromium.ts';
import { PageWatch } from './support/page-watch.ts';

const ORIGIN = 'http://watched.test';

let own: OwnBrowser;
beforeAll(async () => {
  own = await launchChromium();
});
afterAll(() => own?.close());

async function pageWith(body: string): Promise<{ page: Page; watch: PageWatch }> {
  const page = await own.browser.newPage();
  await page.route('**/*', (route) =>
    route.request().url() === `${ORIGIN}/`
      ? route.fulfill({
          contentType: 'text/html',
          headers: { 'content-security-policy': "default-src 'none'; img-src data:; script-src 'nonce-ours'" },
          body,
        })
      : route.abort(),
  );
  const watch = await PageWatch.begin(page, [ORIGIN]);
  await page.goto(`${ORIGIN}/`);
  return { page, watch };
}

const html = (script: string, rest = ''): string =>
  `<!doctype html><html lang="en"><head><title>t</title><link rel="icon" href="data:,"></head><body><main><h1>t</h1>${rest}</main><script nonce="ours">${script}</script></body></html>`;

it('names the next step when CHROMIUM_PATH names no program, or no browser is installed or packaged', () => {
  const machine = { env: { PATH: '' }, platform: 'linux', arch: 'arm64' } as const;
  expect(() => findBrowser({ ...machine, env: { CHROMIUM_PATH: '/nowhere/chromium' } })).toThrow(
    /CHROMIUM_PATH names \/nowhere\/chromium.*Correct the path/,
  );
  expect(() => findBrowser(machine)).toThrow(/no Chrome or Chromium.*linux on arm64.*Install Chrome or Chromium.*CHROMIUM_PATH/);
});

it.each([
  ['an error on the console', "console.error('broken')", /^broken/],
  ['an uncaught error', "setTimeout(() => { throw new Error('thrown') })", /uncaught: Error: thrown/],
  ['an unhandled rejection', "Promise.reject(new Error('rejected'))", /uncaught: Error: rejected/],
  ['a violation of the policy', "document.body.append(document.createElement('style'))", /content security policy: style-src/],
  ['an eval', "try { eval('1') } catch {}", /content security policy: script-src/],
  ['a request to elsewhere', "navigator.sendBeacon('http://elsewhere.test/x')", /connect-src|elsewhere/],
])('a page is failed for %s', async (_name, script, problem) => {
  const { page, watch } = await pageWith(html(script));
  await until(() => watch.unexpected.some((text) => problem.test(text)), 'the problem is noted');
  watch.allow([/./]);
  expect(watch.unexpected).toEqual([]);
  await page.close();
});

it('a good page passes, and axe-core distinguishes it from a bad one', async () => {
  const good = await pageWith(html('', '<button>Save</button>'));
  expect(await axeViolations(good.page)).toEqual([]);
  expect(good.watch.problems).toEqual([]);
  await good.page.close();

  const bad = await pageWith(html('', '<button></button><input>'));
  const found = (await axeViolations(bad.page)).join('\n');
  expect(found).toMatch(/button-name/);
  expect(found).toMatch(/label/);
  await bad.page.close();
});

it('a browser that is closed leaves no process, whatever it was doing', async () => {
  const busy = await launchChromium(['--holdfast-busy']);
  const page = await busy.browser.newPage();
  void page.evaluate('for (;;);').catch(() => {});
  await busy.close();
  await busy.close();
  expect(processesWith('--holdfast-busy')).toEqual([]);
});
