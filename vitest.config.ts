/**
 * Five kinds of tests, by what they run on:
 *   node     protocol, pure cores, wrapper, runner, CLI: plain Node, no coordinator
 *   workers, workers-alone  the Durable Object and the API inside workerd (@cloudflare/vitest-plugin, formerly vitest-pool-workers)
 *   dashboard  the page's parts in happy-dom, against a fake API
 *   e2e      the real stack: `wrangler dev`, a real runner, real child processes
 *   browser  the same, seen through Chromium
 * `*.long.test.ts` are left out by `npm test` (scripts/test.ts).
 */
import { cloudflareTest } from '@cloudflare/vitest-plugin';
import { defineConfig, type TestProjectInlineConfiguration } from 'vitest/config';

/** These count what every object of their workerd does. The other files share one, which halves their time. */
const COUNTS_ALL = '(cost|directory)';

const workers = (name: string, files: { include: string[]; isolate?: boolean }): TestProjectInlineConfiguration => ({
  plugins: [cloudflareTest({ wrangler: { configPath: './test/workers/wrangler.toml' } })],
  test: {
    name,
    ...files,
    // Lines that are forwarded to vitest from an object that is being aborted or evicted can keep a file from ever ending.
    disableConsoleIntercept: true,
    setupFiles: ['./test/workers/quiet.ts', './test/support/patient-waits.ts'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});

export default defineConfig({
  test: {
    teardownTimeout: 30_000,
    projects: [
      {
        test: {
          name: 'node',
          include: ['test/{core,contract,founding,skew,egress,wrapper,runner,cli,client}/**/*.test.ts'],
          environment: 'node',
          testTimeout: 60_000,
        },
      },
      workers('workers', { include: [`test/workers/**/!${COUNTS_ALL}.test.ts`], isolate: false }),
      workers('workers-alone', { include: [`test/workers/@${COUNTS_ALL}.test.ts`] }),
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
