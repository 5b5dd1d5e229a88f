/**
 * Goal: a reader of a run sees each line once, in order, as it is printed, and its end, whatever
 * happens to the page, its tab, its network or the coordinator meanwhile.
 * Method: the dashboard in Chromium against a real stack; each run is looked at while it prints. At
 * the end the page is scrolled through from its first line to its last, and what it showed is
 * compared with the coordinator's log.
 */

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

it('a run is watched live from the list to its end', async () => {
  const job = await start('live');
  const dashboard = await Dashboard.signedIn(stage);
  await dashboard.page.getByRole('link', { name: 'live', exact: true }).click();
  await dashboard.page.getByRole('link', { name: job.id }).first().click();
  await dashboard.connection('Live');
  await dashboard.status('Running');
  const seen = await dashboard.reaches(40);
  await dashboard.reaches(seen + 40);
  await completes(dashboard, job);
  expect(await dashboard.expectWholeLog(job)).toBeGreaterThan(80);
});

it('a coordinator that is killed and started again costs no line', async () => {
  const job = await start('killed');
  const dashboard = await Dashboard.signedIn(stage, job.path);
  dashboard.watch.allow(NETWORK_NOISE);
  const before = await dashboard.reaches(40);
  await stage.real.stack.kill();
  await dashboard.connection('Reconnecting');
  await stage.real.stack.restart();
  await dashboard.connection('Live');
  // What it printed meanwhile came with the wrapper.
  await dashboard.reaches(before + 100);
  await dashboard.status('Running');
  await completes(dashboard, job);
  await dashboard.expectWholeLog(job);
});
