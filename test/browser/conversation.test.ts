/**
 * Goal: a person follows an agent on the page and answers its question there, and the agent gets
 * that answer.
 * Method: the real stack and Chromium; a job that prints and reads as Claude Code does.
 */

import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { askingAgent, taxAgent } from './support/agents.ts';
import { Dashboard } from './support/dashboard.ts';
import { type Job, Stage } from './support/stage.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
});
afterAll(() => stage?.close());
afterEach(() => stage.checkPages());

const CLAUDE = { format: 'claude', openStdin: true } as const;

async function open(job: Job): Promise<Dashboard> {
  await job.running();
  return Dashboard.signedIn(stage, job.path);
}

it('a permission is asked for, and granted on the page', async () => {
  const job = await stage.start('tax', taxAgent, CLAUDE);
  const dashboard = await open(job);
  const { page } = dashboard;
  const messages = page.getByRole('log', { name: 'Messages' });
  const question = page.getByRole('group', { name: 'The agent asks for permission' });
  await question.waitFor();
  await dashboard.status('Waits for you');
  await expect.poll(() => page.title()).toContain('Waits for you');
  expect(await messages.getByRole('table').getByRole('cell').allTextContents()).toContain('9.995');
  expect(await messages.getByRole('group', { name: 'Changes of /srv/web-shop/src/checkout/tax.ts' }).textContent()).toContain(
    'added:   return sum / 100;',
  );

  // A second viewer, who sees the answer of the first.
  const other = await Dashboard.signedIn(stage, '/sessions/tax');
  await other.page.getByRole('list', { name: 'executions' }).getByText('Waits for you').waitFor();
  await other.page.goto(`${stage.url}${job.path}`);
  await other.page.getByRole('group', { name: 'The agent asks for permission' }).waitFor();

  await question.getByRole('button', { name: 'Allow', exact: true }).click();
  await dashboard.status('Completed');
  await messages.getByText('All 17 tests pass.').waitFor();
  expect(await question.textContent()).toMatch(/Answer: Allow by the key /);
  await other.page.getByText(/^Answer: Allow by the key /).waitFor();

  // From an item to its line, and back.
  await messages.getByText('All 17 tests pass.').hover();
  await page.locator('.talk-row', { hasText: 'All 17 tests pass.' }).getByRole('button', { name: 'Log', exact: true }).click();
  await dashboard.shows('All **17 tests** pass');
  await page
    .locator('.log-selected')
    .getByRole('button', { name: /^Show the event/ })
    .click();
  await page.getByRole('button', { name: 'Show in the conversation' }).click();
  await page.locator('.talk-selected', { hasText: 'All 17 tests pass.' }).waitFor();
  await page.reload();
  await page.locator('.talk-selected', { hasText: 'All 17 tests pass.' }).waitFor();
});

it('a search marks what it has found, and opens the output that it is in', async () => {
  const job = await stage.start('found', taxAgent, CLAUDE);
  const { page } = await open(job);
  await page.getByRole('group', { name: 'The agent asks for permission' }).waitFor();
  await page.keyboard.press('/');
  await page.keyboard.type('src/checkout/total.ts');
  // In the folded output of a tool call, and in that of a sub-agent.
  await page.getByRole('search').getByRole('status').getByText('1 of 2', { exact: true }).waitFor();
  await page.keyboard.press('Enter');
  await page.getByRole('search').getByRole('status').getByText('2 of 2', { exact: true }).waitFor();
  const marked = () =>
    page.evaluate(() => {
      const [range] = CSS.highlights.get('found-now') ?? [];
      const view = document.querySelector('.talk-view')?.getBoundingClientRect();
      const at = range instanceof Range ? range.getBoundingClientRect() : null;
      return [String(range), at !== null && view !== undefined && at.top >= view.top && at.bottom <= view.bottom];
    });
  await expect.poll(marked).toEqual(['src/checkout/total.ts', true]);
  await page.getByRole('group', { name: 'The agent asks for permission' }).getByRole('button', { name: 'Deny' }).click();
  await job.ended();
});

it('several choices reach the agent as the labels that were chosen', async () => {
  const job = await stage.start('parts', askingAgent, CLAUDE);
  const { page } = await open(job);
  const question = page.getByRole('group', { name: 'The agent asks' });
  await question.getByLabel('Code').check();
  await question.getByLabel('Tests').check();
  await question.getByRole('button', { name: 'Send 2 of 3' }).click();
  await page.getByText('You chose: {"Which parts shall I change?":"Tests, Code"}').waitFor();
  await job.ended();
});
