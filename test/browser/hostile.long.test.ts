/**
 * Goal: what a job prints is text, whatever it prints. Method: a job that prints scripts, links,
 * cursor movements, broken escapes, lone surrogates and a line of one mebibyte; then the page is
 * looked at: nothing ran, no link leads anywhere but to the web, every line is there, and the page
 * still works.
 */

import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { Dashboard } from './support/dashboard.ts';
import { hostile } from './support/jobs.ts';
import { type Job, Stage } from './support/stage.ts';

let stage: Stage;
let job: Job;
beforeAll(async () => {
  stage = await Stage.start();
  job = await stage.start('hostile', hostile, {
    format: 'jsonl',
    labels: { label: '<img src=x onerror="window.__harm=10">' },
  });
  await job.ended();
});
afterAll(() => stage?.close());
afterEach(() => stage.checkPages());

/**
 * What the page must never have: something that ran, an element that the output made, a link that
 * is no web address.
 */
async function harm(dashboard: Dashboard): Promise<string[]> {
  return dashboard.page.evaluate(() => {
    const found: string[] = [];
    if ('__harm' in window) found.push(`__harm is ${String(window.__harm)}`);
    if ('polluted' in {}) found.push('Object.prototype is polluted');
    for (const element of document.querySelectorAll(
      'script, img, svg[onload], iframe, object, embed, style, base, meta[http-equiv]',
    )) {
      if (!(element instanceof HTMLScriptElement && element.src.startsWith(location.origin)))
        found.push(element.outerHTML.slice(0, 80));
    }
    for (const link of document.querySelectorAll('a')) {
      if (!['http:', 'https:', 'mailto:'].includes(link.protocol)) found.push(`a link to ${link.href.slice(0, 80)}`);
    }
    for (const element of document.querySelectorAll('*')) {
      for (const name of element.getAttributeNames()) if (name.startsWith('on')) found.push(`${element.tagName} has ${name}`);
    }
    if (document.title.includes('owned')) found.push('the title was changed');
    return found;
  });
}

it('nothing of it runs, and all of it is there to read', async () => {
  const dashboard = await Dashboard.signedIn(stage, job.path);
  const dialogs: string[] = [];
  dashboard.page.on('dialog', (dialog) => dialogs.push(dialog.message()));
  await dashboard.status('Completed');
  await dashboard.shows('last-line');
  const texts = new Map<string, string>();
  await dashboard.log.focus();
  await dashboard.page.keyboard.press('Home');
  for (let more = true; more; ) {
    for (const { text } of await dashboard.drawn()) texts.set(text.split(' ', 1)[0] ?? '', text);
    expect(await harm(dashboard)).toEqual([]);
    more = await dashboard.log.evaluate((log) => {
      const before = log.scrollTop;
      log.scrollTop += log.clientHeight;
      return log.scrollTop > before;
    });
    await dashboard.page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  }

  const shown = (name: string): string => texts.get(name) ?? `no line ${name}`;
  expect(shown('html')).toBe(
    'html <script>window.__harm = 1</script><img src=x onerror="window.__harm=2"><svg onload="window.__harm=3">&lt;b&gt;',
  );
  expect(shown('link-js')).toBe('link-js click-js after');
  expect(shown('link-data')).toBe('link-data click-data after');
  expect(shown('link-trick')).toBe('link-trick click-trick after');
  expect(shown('link-http')).toBe('link-http click-http after');
  expect(shown('cursor')).toBe('cursor moved kept');
  // What a terminal would have wiped out is wiped out, and what came after it is there.
  expect([...texts.keys()]).toContain('wiped');
  expect(shown('progress')).toBe('progress 100% done');
  expect(shown('title')).toBe('title end');
  expect(shown('colours')).toBe(`colours ${'.'.repeat(1000)} end`);
  expect(shown('bad-colour')).toMatch(/^bad-colour .*xyz end$/);
  expect(shown('bytes')).toMatch(/^bytes \uFFFD.*\(.* end$/);
  expect(shown('after-open')).toBe('after-open is no link');
  expect(shown('after-unfinished')).toBe('after-unfinished end');
  expect(shown('lone')).toMatch(/^lone \S+ and \S+ and \S+/);
  expect(dialogs).toEqual([]);

  // The one good link leads out with nothing of this page, and in a tab of its own.
  await dashboard.search.fill('link-http');
  const link = dashboard.page.getByRole('link', { name: 'click-http' });
  await link.waitFor();
  expect(await link.getAttribute('href')).toBe('https://example.com/a?b=1&c=%22d%22');
  expect(await link.getAttribute('rel')).toMatch(/noopener.*noreferrer|noreferrer.*noopener/);
  expect(await link.getAttribute('target')).toBe('_blank');
  // A link that was never closed ends with its line.
  await dashboard.search.fill('after-open');
  await dashboard.shows('after-open');
  expect(await dashboard.page.getByRole('link', { name: 'after-open' }).count()).toBe(0);
  expect(await harm(dashboard)).toEqual([]);
});

it('a line of a mebibyte and a heap of accents harm neither the width of the page nor its speed', async () => {
  const dashboard = await Dashboard.signedIn(stage, `${job.path}?wrap=1`);
  await dashboard.shows('last-line');
  await dashboard.search.fill('long-end');
  await dashboard.finds('1 of 1');
  const begun = performance.now();
  for (let times = 1; times <= 2; times += 1) {
    await dashboard.button('Wrap').click();
    await dashboard.page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  }
  console.log(`  two layouts of the mebibyte: ${Math.round(performance.now() - begun)} ms`);
  const { scroll, client } = await dashboard.page.evaluate(() => ({
    scroll: document.documentElement.scrollWidth,
    client: document.documentElement.clientWidth,
  }));
  expect(scroll).toBe(client);
  // The page still answers.
  await dashboard.search.fill('html');
  await dashboard.shows('html <script>');
  expect(await harm(dashboard)).toEqual([]);
});

it('the JSON of a hostile event, the details and the labels are text too', async () => {
  const dashboard = await Dashboard.signedIn(stage, job.path);
  await dashboard.search.fill('proto');
  await dashboard.shows('proto');
  const row = dashboard.log.locator('[data-id]', { hasText: '__proto__' }).first();
  await row.hover();
  await row.getByRole('button', { name: /^Show the event/ }).click();
  const dialog = dashboard.page.getByRole('dialog');
  await dialog.getByText('"polluted": true').first().waitFor();
  expect(await harm(dashboard)).toEqual([]);
  await dashboard.page.keyboard.press('Escape');
  await dashboard.page.getByRole('tab', { name: 'Details' }).click();
  await dashboard.page.getByText('label=<img src=x').waitFor();
  expect(await harm(dashboard)).toEqual([]);
  await dashboard.page.getByRole('link', { name: 'hostile', exact: true }).first().click();
  await dashboard.page.getByRole('heading', { name: 'hostile' }).waitFor();
  expect(await harm(dashboard)).toEqual([]);
});
