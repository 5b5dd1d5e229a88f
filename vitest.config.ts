/**
 * Three kinds of tests, by what they run on:
 *   node     protocol, pure cores, wrapper, runner, CLI: plain Node, no coordinator
 *   workers  the Durable Object and the API inside workerd (@cloudflare/vitest-plugin, formerly vitest-pool-workers)
 *   e2e      the real stack: `wrangler dev`, a real runner, real child processes
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
          include: ['test/{core,contract,founding,wrapper,cli,client}/**/*.test.ts'],
          environment: 'node',
          testTimeout: 30_000,
        },
      },
      {
        plugins: [cloudflareTest({ wrangler: { configPath: './test/workers/wrangler.toml' } })],
        test: { name: 'workers', include: ['test/workers/**/*.test.ts'], testTimeout: 30_000 },
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
    ],
  },
});
