/**
 * Goal: a link shows its run to anyone who has it, only while it is valid; a page with a key never
 * notices that its tickets expire. Method: links with tickets of some seconds, and connections cut
 * after that.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { Dashboard } from './support/dashboard.ts';
import { linesUntilReleased } from './support/jobs.ts';
import { REFUSED_NOISE } from './support/page-watch.ts';
import { type Job, Stage } from './support/stage.ts';

let stage: Stage;
let job: Job;
beforeAll(async () => {
  stage = await Stage.start();
  job = await stage.start('shared', linesUntilReleased(50));
  await job.running();
});
afterAll(() => stage?.close());
afterEach(() => stage.checkPages());

async function linkFor(ttlSeconds: number): Promise<string> {
  const { ticket } = await stage.real.client.createTicket(job.session, { execution: job.id, ttlSeconds });
  return `${job.path}#ticket=${ticket}`;
}

it('a link shows its run live, leaves the address at once, and allows no changes', async () => {
  const dashboard = await Dashboard.at(stage, await linkFor(60));
  await dashboard.connection('Live');
  await dashboard.reaches(20);
  expect(dashboard.page.url()).toBe(`${stage.url}${job.path}`);
  await dashboard.page
    .getByRole('region', { name: 'Read-only link' })
    .getByText(/you can read here, and change nothing/)
    .waitFor();
  for (const name of ['Interrupt', 'Rerun', 'Share']) expect(await dashboard.button(name).count(), name).toBe(0);
  // The keys do not do what the buttons are not there for.
  await dashboard.log.focus();
  for (const key of ['i', 'r']) await dashboard.page.keyboard.press(key);
  expect(
    await dashboard.page
      .getByRole('dialog')
      .filter({ hasText: /Interrupt|Run again/ })
      .count(),
  ).toBe(0);
  // A reload keeps it, since the tab has it.
  await dashboard.page.reload();
  await dashboard.connection('Live');
});

it('a link that expired before it was opened reports that and the next step', async () => {
  const link = await linkFor(1);
  await sleep(1500);
  const dashboard = await Dashboard.at(stage, link);
  dashboard.watch.allow(REFUSED_NOISE);
  await dashboard.page.getByRole('status').getByText('This link has expired').waitFor();
  await dashboard.page.getByText('Ask the person who shared it for a new one, or sign in with an API key.').waitFor();
  // A reader with a key continues here.
  await dashboard.page.getByLabel('API key', { exact: true }).fill(stage.apiKey);
  await dashboard.button('Sign in').click();
  await dashboard.connection('Live');
});

it('a wrong key is reported as wrong', async () => {
  const dashboard = await Dashboard.at(stage, '/');
  dashboard.watch.allow(REFUSED_NOISE);
  await dashboard.page.getByLabel('API key', { exact: true }).fill('hf_0123456789abcdef0123');
  await dashboard.button('Sign in').click();
  await dashboard.page.getByText('This deployment does not know that key').waitFor();
  expect(await dashboard.page.evaluate(() => Object.values(sessionStorage).join())).not.toContain('hf_');
});
