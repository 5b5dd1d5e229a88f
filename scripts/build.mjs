// Builds what runs outside of this repository's toolchain:
//
//   packages/holdfast/dist   the command line, the wrapper and the bridge to agents, each one file without dependencies; the Worker as
//                            one file, with its configuration and the dashboard, for `holdfast dev`
//   packages/client/dist     the client as modules for browsers and Node, with declarations
//   dist/dashboard           the dashboard, for wrangler.toml
//
// `--dashboard` builds the dashboard alone, `--client` the client. Plain JavaScript: it also runs
// on the Node that the user has.
import { spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { buildDashboard } from './dashboard-build.mjs';
import { bundledPackages, thirdPartyLicences } from './third-party.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const programsFolder = 'packages/holdfast/dist';
const clientFolder = 'packages/client/dist';
const licencesFile = 'THIRD_PARTY_LICENSES.txt';

const only = process.argv.find((argument) => argument === '--dashboard' || argument === '--client');

/** Folders of the packages whose code is in packages/holdfast. */
const inPrograms = new Set();

if (!only) await buildPrograms();
if (only !== '--dashboard') await buildClient();
if (only !== '--client') await buildDashboard(root);
if (!only) {
  await buildWorker();
  await noteDashboard();
  writeFileSync(join(root, programsFolder, licencesFile), thirdPartyLicences(root, inPrograms));
}

/**
 * Vite skips a dashboard that is built already, so what it takes is asked of esbuild, from the same
 * entry.
 */
async function noteDashboard() {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: ['dashboard/src/main.tsx'],
    outdir: 'dist',
    bundle: true,
    write: false,
    metafile: true,
    format: 'esm',
    jsx: 'automatic',
    jsxImportSource: 'preact',
    loader: { '.css': 'empty', '.svg': 'empty' },
    logLevel: 'warning',
  });
  note(metafile);
}

function note(metafile) {
  for (const folder of bundledPackages(metafile)) inPrograms.add(folder);
}

async function buildPrograms() {
  const programs = [
    { entryPoints: ['wrapper/main.ts'], outfile: 'packages/holdfast/dist/holdfast-wrapper.mjs' },
    { entryPoints: ['cli/main.ts'], outfile: 'packages/holdfast/dist/holdfast.mjs' },
    { entryPoints: ['acp/main.ts'], outfile: 'packages/holdfast/dist/holdfast-acp.mjs' },
  ];
  for (const program of programs) {
    const { metafile } = await build({
      absWorkingDir: root,
      bundle: true,
      metafile: true,
      platform: 'node',
      format: 'esm',
      target: 'node22',
      legalComments: 'none',
      logLevel: 'warning',
      // `ws` and `commander` are CommonJS inside; an ESM bundle has no `require` of its own.
      banner: {
        js: "import{createRequire as __createRequire}from'node:module';const require=__createRequire(import.meta.url);",
      },
      // Optional native accelerators of `ws`, which works without them.
      external: ['bufferutil', 'utf-8-validate'],
      ...program,
    });
    note(metafile);
    const file = join(root, program.outfile);
    // esbuild keeps the first line of an entry that has one. It is added here otherwise, because a
    // banner would come second.
    const text = readFileSync(file, 'utf8');
    if (!text.startsWith('#!')) writeFileSync(file, `#!/usr/bin/env node\n${text}`);
    chmodSync(file, 0o755);
  }
}

/**
 * The entries are those of `exports`. What they share is a file of its own, so that a page that
 * imports two of them loads it once.
 */
async function buildClient() {
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: {
      index: 'client/index.ts',
      react: 'client/react.ts',
      agent: 'client/agent.ts',
      'agent-react': 'client/agent-react.ts',
      protocol: 'protocol/index.ts',
    },
    outdir: clientFolder,
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
  // Declarations, so that a program's own compiler settings need not be those of this repository.
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [compiler, '-p', join(root, 'tsconfig.client.json'), '--listEmittedFiles'],
    { cwd: root, encoding: 'utf8' },
  );
  if (status !== 0) {
    process.stderr.write(`${stdout}${stderr}`);
    process.exit(status ?? 1);
  }
  const declarations = [...stdout.matchAll(/^TSFILE: (.*)$/gm)].map(([, file]) => file.trim());
  for (const file of declarations) {
    // The compiler leaves `.ts` in the specifiers of declarations, which not every resolution mode
    // accepts.
    const text = readFileSync(file, 'utf8');
    writeFileSync(file, text.replaceAll(/(\bfrom |\bimport\()(['"])(\.[^'"]*)\.ts\2/g, '$1$2$3.js$2'));
  }
  writeFileSync(join(root, clientFolder, licencesFile), thirdPartyLicences(root, bundledPackages(metafile)));
  const made = new Set([
    ...Object.keys(metafile.outputs),
    ...declarations.map((file) => relative(root, file)),
    join(clientFolder, licencesFile),
  ]);
  removeOthers(clientFolder, made);
}

/** The Worker as `holdfast dev` runs it: `wrangler.toml` beside one script and the dashboard. */
async function buildWorker() {
  const folder = join(programsFolder, 'worker');
  const { metafile } = await build({
    absWorkingDir: root,
    metafile: true,
    entryPoints: ['src/index.ts'],
    outfile: join(folder, 'index.js'),
    bundle: true,
    format: 'esm',
    target: 'es2022',
    conditions: ['workerd', 'worker', 'browser'],
    loader: { '.sql': 'text' },
    external: ['cloudflare:*', 'node:*'],
    legalComments: 'none',
    logLevel: 'warning',
  });
  note(metafile);
  const config = readFileSync(join(root, 'wrangler.toml'), 'utf8');
  writeFileSync(
    join(root, folder, 'wrangler.toml'),
    replaced(replaced(config, 'main = "src/index.ts"', 'main = "index.js"'), '"./dist/dashboard"', '"./dashboard"'),
  );
  const dashboard = join(root, 'dist', 'dashboard');
  cpSync(dashboard, join(root, folder, 'dashboard'), { recursive: true });
  removeOthers(join(folder, 'dashboard'), new Set(filesIn(dashboard).map((file) => join(folder, 'dashboard', file))));
  copyFileSync(join(root, 'dev', 'keeper.mjs'), join(root, programsFolder, 'keeper.mjs'));
}

function replaced(text, from, to) {
  if (!text.includes(from)) throw new Error(`wrangler.toml has no ${from}`);
  return text.replace(from, to);
}

function filesIn(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
}

/** What an earlier build left would be published with the package. */
function removeOthers(folder, kept) {
  if (!existsSync(join(root, folder))) return;
  for (const file of filesIn(join(root, folder)))
    if (!kept.has(join(folder, file))) rmSync(join(root, folder, file), { force: true });
}
