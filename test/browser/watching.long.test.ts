/**
 * Goal: a reader of a run sees each line once, in order, as it is printed, and its end, whatever
 * happens to the page, its tab, its network or the coordinator meanwhile.
 * Method: the dashboard in Chromium against a real stack; each run is looked at while it prints. At
 * the end the page is scrolled through from its first line to its last, and what it showed is
 * compared with the coordinator's log.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { Dashboard } from './support/dashboard.ts';
import { linesUntilReleased } from './support/jobs.ts';
import { NETWORK_NOISE } from './support/page-watch.ts';
import { Stage } from './support/stage.ts';

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
});
afterAll(() => stage?.close());
afterEach(() => stage.checkPages());

const EVERY_MS = 25;
const start = (session: string) => stage.start(session, linesUntilReleased(EVERY_MS));

async function completes(dashboard: Dashboard, job: Awaited<ReturnType<typeof start>>): Promise<void> {
  job.release();
  await dashboard.status('Completed');
  await dashboard.connection('Complete');
  await dashboard.shows('released');
}

it('a reload in the middle shows the same lines again, once', async () => {
  const job = await start('reload');
  const dashboard = await Dashboard.signedIn(stage, job.path);
  for (let times = 1; times <= 3; times += 1) {
    await dashboard.reaches(times * 60);
    await dashboard.page.reload();
    await dashboard.connection('Live');
  }
  await completes(dashboard, job);
  await dashboard.expectWholeLog(job);
});

it('reports a lost network, and resumes when the network is back', async () => {
  const job = await start('offline');
  const dashboard = await Dashboard.signedIn(stage, job.path);
  dashboard.watch.allow(NETWORK_NOISE);
  await dashboard.reaches(40);
  // Offline alone leaves an open WebSocket open, so the line is cut too.
  await dashboard.page.context().setOffline(true);
  stage.viewers.cut();
  await dashboard.connection('Reconnecting');
  await dashboard.button('Reconnect').first().waitFor();
  const before = (await dashboard.inView()).at(-1)?.number ?? 0;
  await sleep(2000);
  expect((await dashboard.inView()).at(-1)?.number).toBeLessThan(before + 2000 / EVERY_MS - 20);
  await dashboard.page.context().setOffline(false);
  await dashboard.connection('Live');
  await dashboard.reaches(before + 80);
  await completes(dashboard, job);
  await dashboard.expectWholeLog(job);
});

it('two tabs show the same run, and closing one changes nothing for the other', async () => {
  const job = await start('tabs');
  const first = await Dashboard.signedIn(stage, job.path);
  const second = await Dashboard.signedIn(stage, job.path, { beside: first.page.context() });
  const seen = await first.reaches(60);
  await second.reaches(seen);
  await first.page.close();
  await second.reaches(seen + 60);
  await second.connection('Live');
  await completes(second, job);
  await second.expectWholeLog(job);
});

it('a hidden tab spends no attempts, and is up to date as soon as it is looked at', async () => {
  const job = await start('hidden');
  // A headless tab is never really hidden: the page gets the same signal as from a real browser.
  const dashboard = await Dashboard.signedIn(stage, job.path);
  dashboard.watch.allow(NETWORK_NOISE);
  const { page } = dashboard;
  const setVisibility = (state: 'hidden' | 'visible') =>
    page.evaluate((value) => {
      Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => value });
      Object.defineProperty(document, 'hidden', { configurable: true, get: () => value === 'hidden' });
      document.dispatchEvent(new Event('visibilitychange'));
    }, state);
  const before = await dashboard.reaches(40);
  await setVisibility('hidden');
  // A healthy connection continues.
  await dashboard.reaches(before + 20);
  await dashboard.connection('Live');
  stage.viewers.cut();
  await dashboard.connection('Paused');
  const { accepted } = stage.viewers;
  await sleep(3000);
  expect(stage.viewers.accepted).toBe(accepted);
  await setVisibility('visible');
  await dashboard.connection('Live');
  await dashboard.reaches(before + 120);
  await completes(dashboard, job);
  await dashboard.expectWholeLog(job);
});

it('resumes after the machine slept and its connections died', async () => {
  const job = await start('asleep');
  const dashboard = await Dashboard.signedIn(stage, job.path);
  dashboard.watch.allow(NETWORK_NOISE);
  const before = await dashboard.reaches(40);
  // Every process of the browser stops, so no event tells the page of it.
  stage.chromium.sleep();
  stage.viewers.cut();
  await sleep(3000);
  stage.chromium.wake();
  await dashboard.reaches(before + 120);
  await dashboard.connection('Live');
  await completes(dashboard, job);
  await dashboard.expectWholeLog(job);
});
