/**
 * Goal: a network that fails silently, so that no socket closes and no event reports it, and
 * returns the same way, costs its reader half a minute. Method: the dashboard in Chromium; the
 * proxy swallows what its connections carry and refuses new ones, then lets new ones through while
 * the old ones stay dead, as behind a NAT or a mobile cell that forgot them. The browser gets no
 * signal, and offers its dead connections for every call.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { until } from '../support/real-stack.ts';
import { Dashboard } from './support/dashboard.ts';
import { linesUntilReleased } from './support/jobs.ts';
import { NETWORK_NOISE } from './support/page-watch.ts';
import { Stage } from './support/stage.ts';

const EVERY_MS = 100;

let stage: Stage;
beforeAll(async () => {
  stage = await Stage.start();
});
afterAll(() => stage?.close());
afterEach(() => stage.checkPages());

const AWAY_MS = 5_000;
/**
 * From the network's return: at worst a ping is just answered when it goes (23 s), and every
 * connection that the browser kept is tried first (6 s).
 */
const BACK_WITHIN_MS = 30_000;

it('a network that was silent for a moment and forgot every connection is made up for within half a minute, without a line lost', async () => {
  const job = await stage.start('silent', linesUntilReleased(EVERY_MS));
  const dashboard = await Dashboard.signedIn(stage, job.path);
  dashboard.watch.allow(NETWORK_NOISE);
  const before = await dashboard.reaches(40);
  // Connections that the browser keeps for its next calls.
  const call = () => dashboard.page.evaluate(() => fetch('/healthz').then((answer) => answer.text()));
  await Promise.all([call(), call(), call(), call()]);

  // The stream's connection, and idle ones.
  expect(stage.viewers.halfOpen()).toBeGreaterThanOrEqual(3);
  stage.viewers.stall();
  await sleep(AWAY_MS);
  // What was begun meanwhile is dead too.
  stage.viewers.halfOpen();
  stage.viewers.resume();
  const backAt = Date.now();
  const shown = async () => (await dashboard.inView()).at(-1)?.number ?? 0;
  const wanted = before + AWAY_MS / EVERY_MS + 20;
  await until(async () => (await shown()) >= wanted, 'the page is live again', BACK_WITHIN_MS);
  console.log(`live again ${((Date.now() - backAt) / 1000).toFixed(1)} s after the network`);
  await dashboard.connection('Live');
  job.release();
  await dashboard.status('Completed');
  await dashboard.expectWholeLog(job);
});
