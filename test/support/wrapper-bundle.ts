/**
 * Programs as one file each, as they are installed. Running their sources instead adds the
 * compiler's 40 MiB to each process, and the time to load each file.
 */

import { join } from 'node:path';
import { buildSync } from 'esbuild';

const ROOT = join(import.meta.dirname, '..', '..');

export const bundleWrapper = (outfile: string): void => bundle('wrapper/main.ts', outfile);

export const bundleAcp = (outfile: string): void => bundle('acp/main.ts', outfile);

/** As scripts/build.mjs does it. */
function bundle(entry: string, outfile: string): void {
  buildSync({
    absWorkingDir: ROOT,
    entryPoints: [entry],
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
