// Builds what runs outside of this repository's own toolchain, into dist/: the wrapper and the command line, each as one file without dependencies, the
// client as modules for browsers and Node, and the dashboard as static files. `--dashboard` builds the dashboard alone, `--client` the client.
// Plain JavaScript: it also runs on the Node that the user has.
import { spawnSync } from 'node:child_process';
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { buildDashboard } from './dashboard-build.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));

const shared = {
  absWorkingDir: root,
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

const only = process.argv.find((argument) => argument === '--dashboard' || argument === '--client');

for (const program of only ? [] : programs) {
  await build({ ...shared, ...program });
  const file = `${root}/${program.outfile}`;
  // An entry's own first line is kept by esbuild; one that has none gets it here, since a banner would come second.
  const text = readFileSync(file, 'utf8');
  if (!text.startsWith('#!')) writeFileSync(file, `#!/usr/bin/env node\n${text}`);
  chmodSync(file, 0o755);
}

// The names of package.json's `exports`. What the entries share is a file of its own, so that a page that imports two of them gets it once.
if (only !== '--dashboard') {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: { index: 'client/index.ts', react: 'client/react.ts', protocol: 'protocol/index.ts' },
    outdir: 'dist/client',
    outExtension: { '.js': '.mjs' },
    chunkNames: 'shared-[hash]',
    bundle: true,
    splitting: true,
    platform: 'neutral',
    mainFields: ['module', 'main'],
    format: 'esm',
    target: 'es2022',
    external: ['react'],
    legalComments: 'none',
    logLevel: 'warning',
    metafile: true,
  });
  const made = new Set(Object.keys(metafile.outputs).map((path) => basename(path)));
  for (const file of readdirSync(`${root}/dist/client`)) {
    if (file.startsWith('shared-') && !made.has(file)) rmSync(`${root}/dist/client/${file}`, { force: true });
  }
  // Declarations, so that a program's own compiler settings need not be those of this repository.
  const { status } = spawnSync(
    process.execPath,
    [`${root}/node_modules/typescript/bin/tsc`, '-p', `${root}/tsconfig.client.json`],
    {
      stdio: 'inherit',
    },
  );
  if (status !== 0) process.exit(status ?? 1);
}

if (only !== '--client') await buildDashboard(root);
