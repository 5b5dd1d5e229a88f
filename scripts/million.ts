/**
 * `npm run million [-- LINES]`: what a log of a million lines costs the browser that shows it. Not
 * among the tests, because the result depends on the machine.
 *
 * A real run prints the lines; the dashboard opens at its end in Chromium, loads all older events,
 * and searches. Exits 1 when the page holds more than 300 MB of JavaScript heap with everything
 * loaded, or when a line is not found where it was printed.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { Dashboard } from '../test/browser/support/dashboard.ts';
import { manyLines, NEEDLE_EVERY } from '../test/browser/support/jobs.ts';
import { heapBytes, Timings } from '../test/browser/support/measure.ts';
import { Stage } from '../test/browser/support/stage.ts';
import { until } from '../test/support/real-stack.ts';

const HEAP_BYTES_MAX = 300_000_000;
const LOAD_TIMEOUT_MS = 300_000;

const lines = Number(process.argv[2] ?? 1_000_000);
if (!Number.isSafeInteger(lines) || lines < NEEDLE_EVERY || lines % NEEDLE_EVERY !== 0) {
  process.stderr.write(`LINES must be a multiple of ${NEEDLE_EVERY}\n`);
  process.exit(2);
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
const say = (text: string): void => {
  process.stdout.write(`${text}\n`);
};

const stage = await Stage.start();
let failed = false;
try {
  const times = new Timings();
  const job = await stage.start('million', manyLines(lines), { format: 'jsonl' });
  await times.of(`the job prints ${lines} lines`, () => job.ended());
  const dashboard = await Dashboard.signedIn(stage);
  const { page } = dashboard;
  await times.of('open at the tail', async () => {
    await page.goto(`${stage.url}${job.path}`);
    await dashboard.shows(`step ${lines} of`, LOAD_TIMEOUT_MS);
  });
  const atTail = await heapBytes(page);

  const matches = lines / NEEDLE_EVERY;
  await dashboard.search.fill('needle');
  await times.of('load all of it, and search it', async () => {
    const loadAll = dashboard.button('load all');
    await until(
      async () => {
        // It disappears by itself when everything is loaded.
        if (await loadAll.isVisible()) await loadAll.click({ timeout: 1000 }).catch(() => {});
        const text = await dashboard.outcome.innerText().catch(() => '');
        return text.trim().endsWith(` of ${matches}`);
      },
      'all of it is loaded and searched',
      LOAD_TIMEOUT_MS,
    );
  });
  const all = await heapBytes(page);
  await times.of('next match (wraps to the first)', async () => {
    await dashboard.search.press('Enter');
    await dashboard.shows(`step ${NEEDLE_EVERY} of`);
  });
  await dashboard.log.focus();
  await times.of('to the first line', async () => {
    await page.keyboard.press('Home');
    await dashboard.shows(`step 1 of ${lines}`);
  });
  await times.of('to the last line', async () => {
    await page.keyboard.press('End');
    await dashboard.shows(`step ${lines} of`);
  });
  for (const { number, text } of await dashboard.inView()) {
    if (number !== null && !text.includes(`step ${number} of`)) throw new Error(`line ${number} shows ${text}`);
  }
  await sleep(1000);
  const rest = await heapBytes(page);
  say(times.text());
  say(
    `  JavaScript heap: ${megabytes(atTail)} at the tail, ${megabytes(all)} with all lines, ${megabytes(rest)} at rest after that`,
  );
  failed = all > HEAP_BYTES_MAX;
  if (failed) say(`  more than ${megabytes(HEAP_BYTES_MAX)}`);
} catch (error) {
  failed = true;
  process.stderr.write(`${(error as Error).stack}\n`);
} finally {
  await stage.close();
}
process.exit(failed ? 1 : 0);
