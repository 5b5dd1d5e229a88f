/**
 * Finds the wrangler that runs the Worker locally, and downloads it when there is none:
 * Cloudflare's development server, with the runtime `workerd`.
 *
 * It is not a dependency of the package, because it is a hundred times as large as everything else,
 * and most installations talk to a coordinator elsewhere.
 */

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, isAbsolute, join } from 'node:path';

/** The version that the tests of this version ran on. */
export const WRANGLER_VERSION = '4.155.0';
const SCRIPT = join('bin', 'wrangler.js');
/** The way without a download. */
const BESIDE = `install it beside this package: npm install wrangler@${WRANGLER_VERSION}`;

export interface WranglerSearch {
  /** A file from which an installed wrangler is resolved, as an import would be. */
  from: string;
  env: NodeJS.ProcessEnv;
  note: (text: string) => void;
  signal: AbortSignal;
}

/** The path of wrangler's script. */
export async function provideWrangler({ from, env, note, signal }: WranglerSearch): Promise<string> {
  const installed = installedWrangler(from);
  if (installed !== null) return installed;
  const cache = cacheFolder(env);
  if (cache === null) throw new Error(`there is no home folder to download wrangler into: set XDG_CACHE_HOME, or ${BESIDE}`);
  const folder = join(cache, 'holdfast', `wrangler-${WRANGLER_VERSION}`);
  const script = join(folder, 'node_modules', 'wrangler', SCRIPT);
  if (existsSync(script)) return script;
  note(`downloading wrangler ${WRANGLER_VERSION} with npm, once (about 60 MB; 200 MB on disk), into ${folder} …`);
  // Made in a temporary folder next to the final one and renamed, so that an incomplete download
  // does not count.
  const made = `${folder}.${process.pid}`;
  try {
    try {
      mkdirSync(made, { recursive: true });
      writeFileSync(join(made, 'package.json'), '{"private":true}\n');
    } catch (error) {
      throw new Error(
        `wrangler cannot be downloaded: ${(error as Error).message}. Set XDG_CACHE_HOME to another folder, or ${BESIDE}`,
      );
    }
    await npmInstall(made, `wrangler@${WRANGLER_VERSION}`, env, signal);
    try {
      renameSync(made, folder);
    } catch (error) {
      // Another start was faster.
      if (!existsSync(script)) throw error;
    }
  } finally {
    try {
      rmSync(made, { recursive: true, force: true });
    } catch {
      // The cause is reported already.
    }
  }
  return script;
}

function cacheFolder({ XDG_CACHE_HOME, HOME }: NodeJS.ProcessEnv): string | null {
  if (XDG_CACHE_HOME && isAbsolute(XDG_CACHE_HOME)) return XDG_CACHE_HOME;
  return HOME ? join(HOME, '.cache') : null;
}

/** One of the same major version that is not older. */
function installedWrangler(from: string): string | null {
  try {
    const manifest = createRequire(from).resolve('wrangler/package.json');
    const { version } = JSON.parse(readFileSync(manifest, 'utf8')) as { version: string };
    const [major = 0, minor = 0] = version.split('.').map(Number);
    const [majorNeeded = 0, minorNeeded = 0] = WRANGLER_VERSION.split('.').map(Number);
    return major === majorNeeded && minor >= minorNeeded ? join(dirname(manifest), SCRIPT) : null;
  } catch {
    return null;
  }
}

/**
 * Without install scripts: the runtime is in a package of its own for each platform, and needs no
 * script.
 */
async function npmInstall(folder: string, what: string, env: NodeJS.ProcessEnv, signal: AbortSignal): Promise<void> {
  // npm names its own script to what it runs; that one is used again.
  const script = env.npm_execpath?.endsWith('npm-cli.js') ? env.npm_execpath : null;
  const [program, first] = script ? [process.execPath, [script]] : ['npm', []];
  const args = [
    ...first,
    'install',
    '--prefix',
    folder,
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--no-update-notifier',
    '--loglevel=error',
    // Without a network npm would try again for more than a minute, without a word.
    '--fetch-retry-mintimeout=1000',
    '--fetch-retry-maxtimeout=5000',
    what,
  ];
  const child = spawn(program, args, { cwd: folder, stdio: ['ignore', 2, 2], signal });
  const code = await new Promise<number | null>((done, failed) => {
    child.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') return failed(error);
      failed(new Error(`wrangler has to be downloaded once, and there is no npm on the PATH to do it. Install npm, or ${BESIDE}`));
    });
    child.on('exit', done);
  });
  if (code !== 0) {
    throw new Error(
      `npm could not download ${what} (exit ${code}; its messages are above). Only the first start needs the registry: check the network and npm's proxy, then start again, or ${BESIDE}`,
    );
  }
}
