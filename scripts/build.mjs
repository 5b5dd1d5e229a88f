// Bundles the two programs that run outside the Worker, each into one file without dependencies.
// Plain JavaScript: it also runs as npm's `prepare`, on whatever Node the user has.
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { build } from 'esbuild';

const shared = {
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  legalComments: 'none',
  logLevel: 'warning',
  // `ws` and `commander` are CommonJS inside; an ESM bundle has no `require` of its own.
  banner: {
    js: "import{createRequire as __createRequire}from'node:module';const require=__createRequire(import.meta.url);",
  },
  // Optional native accelerators of `ws`; it does without.
  external: ['bufferutil', 'utf-8-validate'],
};

const programs = [
  { entryPoints: ['wrapper/main.ts'], outfile: 'dist/holdfast-wrapper.mjs' },
  { entryPoints: ['cli/main.ts'], outfile: 'dist/holdfast.mjs' },
];

for (const program of programs) {
  await build({ ...shared, ...program });
  // An entry's own first line is kept by esbuild; one that has none gets it here, since a banner would come second.
  const text = readFileSync(program.outfile, 'utf8');
  if (!text.startsWith('#!')) writeFileSync(program.outfile, `#!/usr/bin/env node\n${text}`);
  chmodSync(program.outfile, 0o755);
}
