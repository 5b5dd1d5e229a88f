// Builds the dashboard into dist/dashboard, where wrangler.toml looks for it, unless its sources
// are unchanged.
//
// Several programs may need it at once (tests, `npm start`), and a running coordinator may be
// reading it. So it is built in a temporary folder and put into place by one rename; a second
// builder finds it done.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Everything in the repository that can change the outcome. The lockfile stands for everything in
 * node_modules.
 */
const SOURCES = ['dashboard', 'agent', 'client', 'protocol', 'package-lock.json', 'tsconfig.base.json', 'tsconfig.dashboard.json'];

export async function buildDashboard(root) {
  const target = join(root, 'dist', 'dashboard');
  const stamp = join(root, 'dist', 'dashboard.sha256');
  const config = join(root, 'dashboard', 'vite.config.ts');
  // A copy of the repository that came with the built dashboard, and without its sources.
  if (!existsSync(config) && existsSync(join(target, 'index.html'))) return;
  const hash = hashOf(root);
  if (existsSync(join(target, 'index.html')) && existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return;
  mkdirSync(join(root, 'dist'), { recursive: true });
  const made = join(root, 'dist', `dashboard.new-${process.pid}`);
  const old = join(root, 'dist', `dashboard.old-${process.pid}`);
  try {
    const { build } = await import('vite');
    await build({
      configFile: config,
      root: join(root, 'dashboard'),
      logLevel: 'warn',
      build: { outDir: made, emptyOutDir: true },
    });
    if (existsSync(target)) renameSync(target, old);
    try {
      renameSync(made, target);
    } catch (error) {
      // Another process finished first, from the same sources.
      if (!existsSync(join(target, 'index.html'))) throw error;
    }
    writeFileSync(stamp, hash);
  } finally {
    for (const folder of [made, old]) rmSync(folder, { recursive: true, force: true });
  }
}

function hashOf(root) {
  const hash = createHash('sha256');
  for (const source of SOURCES) {
    for (const file of filesOf(root, source))
      hash
        .update(`${file}\0`)
        .update(readFileSync(join(root, file)))
        .update('\0');
  }
  return hash.digest('hex');
}

function filesOf(root, name) {
  if (!existsSync(join(root, name))) return [];
  try {
    const entries = readdirSync(join(root, name)).sort();
    return entries.flatMap((entry) => filesOf(root, join(name, entry)));
  } catch (error) {
    if (error.code !== 'ENOTDIR') throw error;
    return [name];
  }
}
