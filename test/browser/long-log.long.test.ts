/**
 * Goal: a log of 200,000 lines opens at its end, scrolls and is searched without waiting, in little
 * memory.
 * Method: a job prints them at once; the page is timed. The times are printed for a person to
 * judge, since machines differ; what is asserted is what was found and shown. Limits, where there
 * are any, are an order of magnitude above what a laptop takes.
 */

import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import { until } from '../support/real-stack.ts';
import { Dashboard } from './support/dashboard.ts';
import { manyLines, NEEDLE_EVERY } from './support/jobs.ts';
import { heapBytes, Timings } from './support/measure.ts';
import { type Job, Stage } from './support/stage.ts';

const LINES = 200_000;

let stage: Stage;
let job: Job;
beforeAll(async () => {
  stage = await Stage.start();
  job = await stage.start('long', manyLines(LINES), { format: 'jsonl' });
  expect((await job.ended()).status).toBe('completed');
});
afterAll(() => stage?.close());
afterEach(() => stage.checkPages());

it('200,000 lines: opened at the end, scrolled to the top and back, searched', async () => {
  const times = new Timings();
  const dashboard = await Dashboard.signedIn(stage);
  const { page } = dashboard;

  await times.of('open at the tail', async () => {
    await page.goto(`${stage.url}${job.path}`);
    await dashboard.shows(`step ${LINES} of ${LINES}`);
  });
  expect((await dashboard.inView()).findLast(({ number }) => number !== null)?.number).toBe(LINES);
  const heapAtTail = await heapBytes(page);

  await times.of('search, in what is loaded', async () => {
    await dashboard.search.fill('needle');
    await dashboard.shows(`step ${LINES} of`);
  });
  // A part was searched, and the page says so.
  await dashboard.finds('lines loaded');
  await times.of('load all, searched to the end', async () => {
    await dashboard.button('load all').click();
    await until(
      async () => new RegExp(`of ${LINES / NEEDLE_EVERY}$`).test((await dashboard.outcome.innerText()).trim()),
      'all of it is searched',
      60_000,
    );
  });
  const outcome = (await dashboard.outcome.innerText()).trim();
  expect(outcome).toBe(`${LINES / NEEDLE_EVERY} of ${LINES / NEEDLE_EVERY}`);
  await times.of('next match (wraps to the first)', async () => {
    await dashboard.search.press('Enter');
    await dashboard.shows(`step ${NEEDLE_EVERY} of`);
  });
  for (let match = 2; match <= 3; match += 1) {
    await times.of('next match', async () => {
      await dashboard.search.press('Enter');
      await dashboard.shows(`step ${match * NEEDLE_EVERY} of`);
    });
  }
  await times.of('search for what is not there', async () => {
    await dashboard.search.fill('haystack');
    await dashboard.finds('no match');
  });
  await dashboard.search.fill('');

  await dashboard.log.focus();
  await times.of('to the first line', async () => {
    await page.keyboard.press('Home');
    await dashboard.shows(`step 1 of ${LINES}`);
  });
  expect((await dashboard.inView()).find(({ number }) => number !== null)).toMatchObject({ number: 1 });
  await times.of('to the last line', async () => {
    await page.keyboard.press('End');
    await dashboard.shows(`step ${LINES} of`);
  });

  // By the wheel through the middle: whatever is drawn is at its place.
  await page.keyboard.press('Home');
  await dashboard.shows(`step 1 of ${LINES}`);
  const box = await dashboard.log.boundingBox();
  await page.mouse.move((box?.x ?? 0) + 400, (box?.y ?? 0) + 200);
  await times.of('100 turns of the wheel', async () => {
    for (let turn = 0; turn < 100; turn += 1) await page.mouse.wheel(0, 2000);
    // The last turn, too, or it would go on from the line that is gone to below: 10,000 rows, of
    // which every 101st has no number.
    await until(async () => ((await dashboard.inView())[0]?.number ?? 0) > 9850, 'it has scrolled');
  });
  for (const { number, text } of await dashboard.inView()) {
    if (number !== null) expect(text).toContain(`step ${number} of`);
  }
  await times.of('to a line by its address', async () => {
    await page.evaluate(() => {
      location.hash = '#L123456';
    });
    await dashboard.shows('step 123456 of');
  });

  const heap = await heapBytes(page);
  console.log(`${times.text()}\n  heap: ${mebibytes(heapAtTail)} at the tail, ${mebibytes(heap)} with all ${LINES} lines`);
  // Twice the text that there is (12.9 MB, of two bytes a character at worst), and room for the
  // page itself.
  expect(heap).toBeLessThan(150 * 2 ** 20);
  expect(times.longest).toBeLessThan(30_000);
});

const mebibytes = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`;
