/**
 * The wrapper as one file, as it is installed. Running its sources instead adds the compiler's 40
 * MiB to each process.
 */

import { join } from 'node:path';
import { buildSync } from 'esbuild';

const ROOT = join(import.meta.dirname, '..', '..');

/** As scripts/build.mjs does it. */
export function bundleWrapper(outfile: string): void {
  buildSync({
    absWorkingDir: ROOT,
    entryPoints: ['wrapper/main.ts'],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'error',
    banner: { js: "import{createRequire as __createRequire}from'node:module';const require=__createRequire(import.meta.url);" },
    external: ['bufferutil', 'utf-8-validate'],
  });
}
