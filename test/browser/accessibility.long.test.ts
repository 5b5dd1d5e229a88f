/**
 * Goal: everyone can use the dashboard: with the keyboard alone, on a phone, with a screen reader,
 * in the dark.
 * Method: axe-core with all of its rules in each state, in both colour schemes and both widths; one
 * visit from the sign-in to an interrupt without a pointer; and measuring what must not be wider
 * than a phone, or smaller than a finger.
 */

import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { until } from '../support/real-stack.ts';
import { taxAgent } from './support/agents.ts';
import { axeViolations } from './support/axe.ts';
import { Dashboard } from './support/dashboard.ts';
import { linesUntilReleased } from './support/jobs.ts';
import { type PoolScene, playPools } from './support/pools.ts';
import { agent, failingTests } from './support/scenes.ts';
import { DESKTOP, type Job, PHONE, Stage } from './support/stage.ts';

let stage: Stage;
let running: Job;
let failed: Job;
let agents: Job;
let asking: Job;
beforeAll(async () => {
  stage = await Stage.start();
  failed = await stage.start('shop', failingTests, { labels: { branch: 'main' } });
  await failed.ended();
  agents = await stage.start('agent', agent, { format: 'jsonl' });
  await agents.ended();
  asking = await stage.start('asking', taxAgent, { format: 'claude', openStdin: true });
  running = await stage.start('shop', linesUntilReleased(100), { openStdin: true });
  await running.running();
});
let pools: PoolScene | undefined;
afterAll(() => {
  pools?.close();
  return stage?.close();
});
afterEach(() => stage.checkPages());

/** Everything that axe-core finds in this state, in both schemes and both widths. */
async function inspect(page: Page, state: string): Promise<string[]> {
  const found: string[] = [];
  for (const viewport of [DESKTOP, PHONE]) {
    await page.setViewportSize(viewport);
    for (const colorScheme of ['light', 'dark'] as const) {
      await page.emulateMedia({ colorScheme });
      const violations = await axeViolations(page);
      found.push(...violations.map((violation) => `${state}, ${viewport.width} px, ${colorScheme}: ${violation}`));
    }
  }
  await page.setViewportSize(DESKTOP);
  return found;
}

it('axe-core finds nothing on the way in and in the lists', async () => {
  const dashboard = await Dashboard.at(stage, '/');
  const { page } = dashboard;
  await dashboard.button('Sign in').waitFor();
  expect(await inspect(page, 'sign-in')).toEqual([]);
  await dashboard.button('Sign in').click();
  await page.getByText('Enter an API key.').waitFor();
  expect(await inspect(page, 'sign-in with a problem')).toEqual([]);
  await page.getByLabel('API key', { exact: true }).fill(stage.apiKey);
  await dashboard.button('Sign in').click();
  await page.getByRole('link', { name: 'shop', exact: true }).waitFor();
  expect(await inspect(page, 'sessions')).toEqual([]);
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keys' }).waitFor();
  expect(await inspect(page, 'keys')).toEqual([]);
  await page.keyboard.press('Escape');
  await page.getByRole('link', { name: 'shop', exact: true }).click();
  await page.getByRole('link', { name: failed.id }).waitFor();
  expect(await inspect(page, 'executions')).toEqual([]);
  await dashboard.button('Delete').click();
  await page.getByRole('dialog').waitFor();
  expect(await inspect(page, 'delete a session')).toEqual([]);
  await page.keyboard.press('Escape');
  await page.goto(`${stage.url}/nowhere/at/all`);
  await page.getByRole('heading', { name: 'Not found' }).waitFor();
  expect(await inspect(page, 'not found')).toEqual([]);
});

it('axe-core finds nothing on the page of the runners, and on a run that waits for one', async () => {
  const dashboard = await Dashboard.signedIn(stage, '/');
  const { page } = dashboard;
  // The stack has a runner of its own.
  await page.route('**/v1/pools', (route) => route.fulfill({ json: { pools: [] } }));
  await page.goto(`${stage.url}/runners`);
  await page.getByRole('heading', { name: 'No runners yet' }).waitFor();
  expect(await inspect(page, 'no runners')).toEqual([]);
  await page.unroute('**/v1/pools');
  pools ??= await playPools(stage);
  const gpus = page.getByRole('list', { name: 'runners of the pool gpu' }).getByRole('listitem');
  await gpus.filter({ hasText: 'gpu-3' }).getByText('Lost').waitFor();
  await page.getByText('Join another machine').click();
  expect(await inspect(page, 'runners')).toEqual([]);
  await page.getByRole('button', { name: 'Runners of the pool gpu' }).click();
  await page.getByRole('list', { name: 'runners of the pool gpu' }).waitFor({ state: 'hidden' });
  expect(await inspect(page, 'a pool that is closed')).toEqual([]);
  await page.goto(`${stage.url}${pools.waiting}`);
  await page.getByText('Pool gpu: no connected runner has its labels.').waitFor();
  expect(await inspect(page, 'waiting for a runner')).toEqual([]);
  await page.goto(`${stage.url}${pools.running}`);
  await page.getByText('Runner build-1, pool default').waitFor();
}, 240_000);

it('axe-core finds nothing on a run, whatever its state, and in its dialogs', async () => {
  const dashboard = await Dashboard.signedIn(stage, running.path);
  const { page } = dashboard;
  await dashboard.reaches(10);
  expect(await inspect(page, 'running')).toEqual([]);
  for (const [button, dialog] of [
    ['Interrupt', /Interrupt this run/],
    ['Rerun', /Run again/],
    ['Share', /Share this run/],
  ] as const) {
    await dashboard.button(button).click();
    await page.getByRole('dialog', { name: dialog }).waitFor();
    expect(await inspect(page, `dialog of ${button}`)).toEqual([]);
    await page.keyboard.press('Escape');
  }
  await page.goto(`${stage.url}${failed.path}?ts=clock`);
  await dashboard.status('Failed');
  await dashboard.search.fill('sum');
  await dashboard.finds('of');
  expect(await inspect(page, 'failed, searched')).toEqual([]);
  await page.getByRole('tab', { name: 'Details' }).click();
  expect(await inspect(page, 'details')).toEqual([]);
  await page.goto(`${stage.url}${agents.path}`);
  await dashboard.status('Completed');
  await dashboard.shows('5');
  expect(await inspect(page, 'agent')).toEqual([]);
});

it('axe-core finds nothing on a conversation with an agent, folded and expanded', async () => {
  const dashboard = await Dashboard.signedIn(stage, asking.path);
  const { page } = dashboard;
  await page.getByRole('group', { name: 'The agent asks for permission' }).waitFor();
  expect(await inspect(page, 'a question')).toEqual([]);
  await page.getByRole('button', { name: 'Expand all' }).click();
  await page.getByRole('log', { name: 'Messages' }).focus();
  await page.keyboard.press('Home');
  await page.getByRole('button', { name: '2 steps of the sub-agent' }).click();
  await page.getByText('rg -l sumWithTax src test').first().waitFor();
  expect(await inspect(page, 'a conversation, expanded')).toEqual([]);
});

it('from the sign-in to an interrupt without a pointer', async () => {
  const job = await stage.start('keys', linesUntilReleased(30));
  const dashboard = await Dashboard.at(stage, '/');
  const { page } = dashboard;
  const { keyboard } = page;
  const focused = () => page.evaluate(() => document.activeElement?.textContent ?? '');

  // The field takes the focus by itself.
  await until(() => page.evaluate(() => document.activeElement?.tagName === 'INPUT'), 'the field has the focus');
  await keyboard.type(stage.apiKey);
  await keyboard.press('Enter');
  await page.getByRole('link', { name: 'keys', exact: true }).waitFor();
  for (let steps = 0; (await focused()) !== 'keys' && steps < 20; steps += 1) await keyboard.press('j');
  await keyboard.press('Enter');
  await page.getByRole('heading', { name: 'keys' }).waitFor();
  await page.getByRole('list', { name: 'executions' }).getByRole('link', { name: job.id }).waitFor();
  await keyboard.press('j');
  await keyboard.press('Enter');
  await dashboard.connection('Live');
  await dashboard.reaches(60);

  await keyboard.press('/');
  await keyboard.type('line 25');
  await dashboard.shows('line 25');
  await dashboard.finds('of 1');
  expect(await page.getByRole('button', { name: 'Follow' }).getAttribute('aria-pressed')).toBe('false');
  await keyboard.press('Escape');
  await keyboard.press('g');
  await dashboard.shows('line 1');
  await keyboard.press('G');
  await dashboard.reaches(80);
  expect(await page.getByRole('button', { name: 'Follow' }).getAttribute('aria-pressed')).toBe('true');

  await keyboard.press('i');
  const dialog = page.getByRole('dialog', { name: /Interrupt this run/ });
  await dialog.waitFor();
  // Escape leaves it as it is.
  await keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  await dashboard.status('Running');
  await keyboard.press('i');
  await dialog.waitFor();
  const confirm = dialog.getByRole('button', { name: 'Interrupt', exact: true });
  for (let steps = 0; steps < 10; steps += 1) {
    if (await confirm.evaluate((button) => button === document.activeElement)) break;
    await keyboard.press('Tab');
  }
  await keyboard.press('Enter');
  await dashboard.status('Interrupted');
  await dashboard.connection('Complete');
});

it('every stop of the Tab key on a run is visible and reachable', async () => {
  const dashboard = await Dashboard.signedIn(stage, running.path);
  const { page } = dashboard;
  await dashboard.reaches(10);
  await page.getByRole('link', { name: 'Skip to the content' }).focus();
  const names: string[] = [];
  for (let steps = 0; steps < 60; steps += 1) {
    await page.keyboard.press('Tab');
    const stop = await page.evaluate(() => {
      const element = document.activeElement as HTMLElement | null;
      if (!element || element === document.body) return null;
      const visible = (node: Element): boolean => {
        const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(node);
        return (outlineStyle !== 'none' && Number.parseFloat(outlineWidth) > 0) || boxShadow !== 'none';
      };
      const name = element.getAttribute('aria-label') || element.textContent || element.id;
      // A field may show it on the box around it.
      return { name, seen: visible(element) || (element.parentElement ? visible(element.parentElement) : false) };
    });
    if (stop === null) break;
    expect(stop, stop.name).toMatchObject({ seen: true });
    names.push(stop.name);
  }
  // A list of tabs is one stop; the arrows move inside.
  const wanted = [
    'Sign out',
    'Interrupt',
    'Rerun',
    'Share',
    'Search in the log',
    'Wrap',
    'Follow',
    'Download',
    'Log lines',
    'Timeline',
  ];
  expect(wanted.filter((name) => !names.includes(name))).toEqual([]);
  await page.getByRole('tab', { name: 'Timeline' }).focus();
  await page.keyboard.press('ArrowRight');
  expect(await page.getByRole('tab', { name: 'Details' }).getAttribute('aria-selected')).toBe('true');
});

it.each([360, 390])('on a phone of %i px nothing is cut off, and what is to be touched is large enough', async (width) => {
  const dashboard = await Dashboard.signedIn(stage, '/', {
    viewport: { width, height: 800 },
    hasTouch: true,
    isMobile: true,
    deviceScaleFactor: 2,
  });
  const { page } = dashboard;
  const problems: string[] = [];
  const measure = async (state: string): Promise<void> => {
    const found = await page.evaluate(() => {
      const list: string[] = [];
      const { scrollWidth, clientWidth } = document.documentElement;
      if (scrollWidth > clientWidth) list.push(`the page is ${scrollWidth} px wide`);
      for (const element of document.querySelectorAll<HTMLElement>('button, select, input, textarea, summary')) {
        // The numbers of the lines are no more than shortcuts.
        if (element.closest('[role=log]') || !element.checkVisibility({ visibilityProperty: true })) continue;
        // A touch on the label of a choice is a touch on the choice.
        const choice = element instanceof HTMLInputElement && element.type === 'radio';
        const box = (choice ? (element.closest('label') ?? element) : element).getBoundingClientRect();
        if (box.width === 0 || box.height === 0) continue;
        const name = element.getAttribute('aria-label') || element.textContent || element.id;
        if (Math.max(box.width, box.height) < 44 || Math.min(box.width, box.height) < 24)
          list.push(`${name}: ${Math.round(box.width)} × ${Math.round(box.height)} px`);
        if (box.left < -1 || box.right > clientWidth + 1) {
          const scrolls = element.parentElement?.closest('[role=toolbar], nav');
          if (!scrolls) list.push(`${name} reaches from ${Math.round(box.left)} to ${Math.round(box.right)} px`);
        }
      }
      return list;
    });
    problems.push(...found.map((problem) => `${state}: ${problem}`));
  };

  await page.getByRole('link', { name: 'shop', exact: true }).waitFor();
  await measure('sessions');
  await page.getByRole('link', { name: 'shop', exact: true }).tap();
  const rows = page.getByRole('list', { name: 'executions' });
  await rows.getByRole('link', { name: running.id }).waitFor();
  await measure('executions');
  await rows.getByRole('link', { name: running.id }).tap();
  await dashboard.connection('Live');
  await dashboard.reaches(10);
  await measure('running');
  await dashboard.button('Interrupt').tap();
  await page.getByRole('dialog').waitFor();
  await measure('interrupt');
  await dashboard.button('Keep it running').tap();
  await dashboard.button('Rerun').tap();
  await page.getByRole('dialog').getByText('Wait in the queue').waitFor();
  await measure('rerun');
  await dashboard.button('Cancel').tap();
  pools ??= await playPools(stage);
  await page.goto(`${stage.url}/runners`);
  await page.getByText('gpu-3', { exact: true }).waitFor();
  await page.getByText('Join another machine').tap();
  await measure('runners');
  await page.goto(`${stage.url}${asking.path}`);
  await page.getByRole('group', { name: 'The agent asks for permission' }).waitFor();
  await measure('conversation');
  await page.goto(`${stage.url}${failed.path}`);
  await dashboard.status('Failed');
  await measure('failed');
  expect(problems).toEqual([]);
  // There is still a log to see.
  const box = await dashboard.log.boundingBox();
  expect(box?.height).toBeGreaterThan(200);
});
