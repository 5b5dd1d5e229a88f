/**
 * Goal: every reader of a run in a browser sees the same events, once, in order, and its end,
 * whatever is cut meanwhile. Three readers at once: the client over WebSocket, the browser's own
 * EventSource, and @durable-streams/client.
 * Method: a page of another origin than the coordinator's, a run of several thousand events, and
 * five faults while it prints: the proxy resets all connections, or refuses new ones for a while
 * too, or the coordinator dies and comes back. What each reader kept is compared with the log.
 */

import type { Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import type { LoggedEvent } from '../../protocol/index.ts';
import { until } from '../support/real-stack.ts';
import type { Viewers } from './pages/three-viewers.ts';
import { mixedUntilReleased } from './support/jobs.ts';
import { PageServer } from './support/page-server.ts';
import { NETWORK_NOISE, REFUSED_NOISE } from './support/page-watch.ts';
import { Stage } from './support/stage.ts';

const EVENTS_MIN = 4000;
const NAMES = ['socket', 'eventSource', 'durable'] as const;
/** Shorter than the run, so that readers must come back with fresh ones. */
const TICKET_SECONDS = 5;

let server: PageServer;
let stage: Stage;
beforeAll(async () => {
  server = await PageServer.start('three-viewers.ts');
  stage = await Stage.start({ allowedOrigins: [server.url] });
});
afterAll(async () => {
  await stage?.close();
  await server?.close();
});
afterEach(() => stage.checkPages());

const lasts = (page: Page): Promise<number[]> => page.evaluate((names) => names.map((name) => window.viewers[name].last), NAMES);

it('three readers of one run see the same events, once, in order, and its end, through five cuts', async () => {
  const job = await stage.start('viewers', mixedUntilReleased(2 * EVENTS_MIN), { format: 'jsonl' });
  server.mint = async (ttlSeconds) => (await stage.real.client.createTicket('viewers', { execution: job.id, ttlSeconds })).ticket;
  const { page, watch } = await stage.open({ origins: [server.url] });
  // While the coordinator is gone there are no tickets either.
  watch.allow([...NETWORK_NOISE, ...REFUSED_NOISE]);
  await page.goto(server.url);
  await page.evaluate((options) => window.begin(options), {
    url: stage.url,
    session: 'viewers',
    execution: job.id,
    ticketSeconds: TICKET_SECONDS,
  });

  const faults: [name: string, cut: () => unknown][] = [
    // At least the socket and the event stream; the third may be between two requests.
    ['the connections of the viewers are reset', () => expect(stage.viewers.cut()).toBeGreaterThanOrEqual(2)],
    ['the coordinator is killed and started again', () => stage.real.stack.restart()],
    [
      'viewers are cut off and refused for two seconds',
      async () => {
        stage.viewers.refuse();
        stage.viewers.cut();
        await new Promise((done) => setTimeout(done, 2000));
        stage.viewers.accept();
      },
    ],
    ['wrapper and viewers are reset together', () => [stage.real.proxy.cut(), stage.viewers.cut()]],
    ['the coordinator is killed and started again', () => stage.real.stack.restart()],
  ];
  const met: number[][] = [];
  for (const [name, cut] of faults) {
    const before = await lasts(page);
    // Each of them reads live again, so each of them is cut.
    await until(
      async () => (await lasts(page)).every((last, at) => last > (before[at] ?? 0) + 200),
      `everyone reads before: ${name}`,
    );
    met.push(await lasts(page));
    await cut();
  }
  const after = await lasts(page);
  await until(
    async () => (await lasts(page)).every((last, at) => last > (after[at] ?? 0) + 200),
    'everyone reads after the last cut',
  );
  job.release();
  const execution = await job.ended();
  expect(execution).toMatchObject({ status: 'failed', exitCode: 7 });

  const truth: LoggedEvent[] = await stage.real.read('viewers', job.id);
  await until(
    () => page.evaluate((names) => names.every((name) => window.viewers[name].end !== null), NAMES),
    'everyone knows of the end',
    60_000,
  );
  const seen: Viewers = await page.evaluate(() => window.viewers);
  console.log(
    `  ${truth.length} events; cut at ${met.map((at) => at.join('/')).join(', ')}; connections ${NAMES.map((name) => seen[name].attempts).join('/')}; ${server.tickets} tickets`,
  );
  expect(truth.length).toBeGreaterThan(EVENTS_MIN);
  for (const name of NAMES) {
    const { events, end, failure, attempts } = seen[name];
    expect({ name, end, failure }).toEqual({ name, end: 'failed', failure: null });
    expect(attempts, `${name} came back`).toBeGreaterThan(name === 'socket' ? 4 : 0);
    expect(firstDifference(events, truth), name).toBeNull();
  }
}, 180_000);

/** Where they part, in place of two lists of thousands. */
function firstDifference(seen: LoggedEvent[], truth: LoggedEvent[]): unknown {
  const length = Math.max(seen.length, truth.length);
  for (let at = 0; at < length; at += 1) {
    const [got, want] = [seen[at], truth[at]].map((event) => event && plain(event));
    if (JSON.stringify(got) !== JSON.stringify(want)) return { at, got, want, seen: seen.length, truth: truth.length };
  }
  return null;
}

const plain = ({ offset, execution, type, at, data }: LoggedEvent) => ({ offset, execution, type, at, data });
