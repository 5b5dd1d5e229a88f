/**
 * Five kinds of tests, by what they run on:
 *   node     protocol, pure cores, wrapper, runner, CLI: plain Node, no coordinator
 *   workers  the Durable Object and the API inside workerd (@cloudflare/vitest-plugin)
 *   dashboard  the page's parts in happy-dom, against a fake API
 *   e2e      the real stack: `wrangler dev`, a real runner, real child processes
 *   browser  the same, seen through Chromium
 * `*.long.test.ts` are left out by `npm test` (scripts/test.ts).
 */
import { cloudflareTest } from '@cloudflare/vitest-plugin';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    teardownTimeout: 30_000,
    projects: [
      {
        test: {
          name: 'node',
          include: ['test/{acp,agent,core,contract,skew,egress,wrapper,runner,cli,client}/**/*.test.ts'],
          environment: 'node',
          testTimeout: 60_000,
        },
      },
      {
        plugins: [cloudflareTest({ wrangler: { configPath: './test/workers/wrangler.toml' } })],
        test: {
          name: 'workers',
          // Half of the time would be the start of a workerd for each file. fresh-objects.ts keeps
          // files apart.
          isolate: false,
          // Lines that are forwarded to vitest from an object that is being aborted or evicted can
          // keep a file from ever ending.
          disableConsoleIntercept: true,
          setupFiles: [
            './test/workers/support/quiet.ts',
            './test/workers/support/fresh-objects.ts',
            './test/support/patient-waits.ts',
          ],
          include: ['test/workers/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
      {
        oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
        test: {
          name: 'dashboard',
          setupFiles: ['./test/support/patient-waits.ts'],
          include: ['test/dashboard/**/*.test.{ts,tsx}'],
          environment: 'happy-dom',
          testTimeout: 30_000,
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/{e2e,faults}/**/*.test.ts'],
          environment: 'node',
          testTimeout: 120_000,
          hookTimeout: 120_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'browser',
          include: ['test/browser/**/*.test.ts'],
          environment: 'node',
          testTimeout: 120_000,
          hookTimeout: 180_000,
          fileParallelism: false,
        },
      },
    ],
  },
});
