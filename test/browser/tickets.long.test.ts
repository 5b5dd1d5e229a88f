/**
 * Goal: a link shows its run to anyone who has it, only while it is valid; a page with a key never
 * notices that its tickets expire. Method: links with tickets of some seconds, and connections cut
 * after that.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { Dashboard } from './support/dashboard.ts';
import { linesUntilReleased } from './support/jobs.ts';
import { NETWORK_NOISE, REFUSED_NOISE } from './support/page-watch.ts';
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

it('a link that expires while its page is open reports it as soon as the connection needs it', async () => {
  // Long enough for a slow machine to open the page in.
  const ttlSeconds = 20;
  const link = await linkFor(ttlSeconds);
  const expiredAt = Date.now() + ttlSeconds * 1000 + 500;
  const dashboard = await Dashboard.at(stage, link);
  dashboard.watch.allow([...NETWORK_NOISE, ...REFUSED_NOISE]);
  await dashboard.connection('Live');
  await sleep(Math.max(0, expiredAt - Date.now()));
  stage.viewers.cut();
  await dashboard.page
    .getByText(/link (you came by )?has expired/)
    .first()
    .waitFor();
  await dashboard.page
    .getByText(/new one/)
    .first()
    .waitFor();
});

it('a page with a key mints a new ticket whenever it connects', async () => {
  const dashboard = await Dashboard.at(stage, job.path);
  dashboard.watch.allow(NETWORK_NOISE);
  let minted = 0;
  await dashboard.page.route('**/tickets', (route) => {
    minted += 1;
    return route.continue({ postData: JSON.stringify({ ...route.request().postDataJSON(), ttlSeconds: 4 }) });
  });
  await dashboard.page.getByLabel('API key', { exact: true }).fill(stage.apiKey);
  await dashboard.button('Sign in').click();
  await dashboard.connection('Live');
  for (let times = 1; times <= 2; times += 1) {
    await sleep(4500);
    const before = (await dashboard.inView()).at(-1)?.number ?? 0;
    stage.viewers.cut();
    await dashboard.reaches(before + 20);
    await dashboard.connection('Live');
  }
  expect(minted).toBeGreaterThanOrEqual(3);
});
