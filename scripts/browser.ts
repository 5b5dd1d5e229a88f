/**
 * Finds a browser, for the tests in a browser, the screenshots and `npm run million`.
 *
 * In this order: the one that `CHROMIUM_PATH` names; a Chrome or Chromium that is installed; on
 * Linux with an x64 processor the one in the npm package `@sparticuz/chromium`. The package unpacks
 * into the folder for temporary files and uses whatever has the right name there, so it runs here
 * with a new folder of ours in that place. Programs and libraries then lie beside the package,
 * readable by this user only, and are trusted as `node_modules` is.
 */

import { execFileSync, spawnSync } from 'node:child_process';
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { ROOT } from './stack.ts';

export interface FoundBrowser {
  path: string;
  /** For its environment. */
  env: Record<string, string>;
  /** Where it came from, for people. */
  source: string;
}

export interface Machine {
  env: NodeJS.ProcessEnv;
  platform: NodeJS.Platform;
  arch: string;
}

const THIS_MACHINE: Machine = { env: process.env, platform: process.platform, arch: process.arch };

const PROGRAMS = ['google-chrome-stable', 'google-chrome', 'chromium', 'chromium-browser'];
const MAC_PROGRAMS = [
  'Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  'Applications/Chromium.app/Contents/MacOS/Chromium',
];
const VERSION_TIMEOUT_MS = 20_000;
const UNPACK_TIMEOUT_MS = 110_000;

/**
 * Throws with the next step if there is no browser: a skipped browser test must not look like a
 * passed one.
 */
export function findBrowser({ env, platform, arch }: Machine = THIS_MACHINE): FoundBrowser {
  if (env.CHROMIUM_PATH) {
    if (!isProgram(env.CHROMIUM_PATH))
      throw new Error(
        `CHROMIUM_PATH names ${env.CHROMIUM_PATH}, and there is no program. Correct the path, or unset the variable.`,
      );
    return { path: env.CHROMIUM_PATH, env: {}, source: 'named by CHROMIUM_PATH' };
  }
  const path = candidates(env, platform).find(works);
  if (path !== undefined) return { path, env: {}, source: 'installed' };
  if (platform === 'linux' && arch === 'x64') return fromPackage();
  throw new Error(
    `The tests in a browser found no Chrome or Chromium. Only Linux on x64 has one in its dependencies (this is ${platform} on ${arch}). ` +
      'Install Chrome or Chromium, or set CHROMIUM_PATH to the program.',
  );
}

export const describeBrowser = ({ path, source }: FoundBrowser): string => `Tests in a browser use ${path} (${source}).`;

function candidates(env: NodeJS.ProcessEnv, platform: NodeJS.Platform): string[] {
  if (platform === 'darwin') return ['/', homedir()].flatMap((base) => MAC_PROGRAMS.map((name) => join(base, name)));
  const folders = (env.PATH ?? '').split(delimiter).filter(Boolean);
  return PROGRAMS.flatMap((name) => folders.map((folder) => join(folder, name)));
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * A snap sees another /tmp than this process, and Ubuntu's `chromium-browser` without its snap only
 * prints advice.
 */
function works(path: string): boolean {
  if (!isProgram(path) || realpathSync(path).includes('/snap')) return false;
  const { status, stdout } = spawnSync(path, ['--version'], {
    encoding: 'utf8',
    timeout: VERSION_TIMEOUT_MS,
    killSignal: 'SIGKILL',
  });
  return status === 0 && /Chrom/.test(stdout);
}

function fromPackage(): FoundBrowser {
  const { version } = JSON.parse(readFileSync(join(ROOT, 'node_modules', '@sparticuz', 'chromium', 'package.json'), 'utf8')) as {
    version: string;
  };
  const folder = join(ROOT, 'node_modules', '.cache', 'holdfast-chromium', version);
  if (!existsSync(folder)) unpack(folder);
  return {
    path: join(folder, 'chromium'),
    env: { LD_LIBRARY_PATH: join(folder, 'al2023', 'lib'), FONTCONFIG_FILE: join(folder, 'fonts.conf') },
    source: `from the npm package @sparticuz/chromium ${version}`,
  };
}

/**
 * Into a new folder that is renamed when it is complete, so that neither a concurrent process nor a
 * later one sees a partial one.
 */
function unpack(folder: string): void {
  mkdirSync(dirname(folder), { recursive: true, mode: 0o700 });
  const fresh = mkdtempSync(`${folder}.`); // Mode 0700.
  try {
    const program = "await (await import('@sparticuz/chromium')).default.executablePath()";
    execFileSync(process.execPath, ['--input-type=module', '--eval', program], {
      cwd: ROOT,
      // The second makes it unpack the libraries that a minimal system may lack: NSS, NSPR and
      // expat.
      env: { ...process.env, TMPDIR: fresh, AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x' },
      timeout: UNPACK_TIMEOUT_MS,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    writeFileSync(join(fresh, 'fonts.conf'), fontsConfig(folder));
    renameSync(fresh, folder);
  } catch (error) {
    rmSync(fresh, { recursive: true, force: true });
    if (!existsSync(folder)) throw error; // Another process finished first.
  }
}

/** The package's own configuration looks into /tmp for fonts. */
const fontsConfig = (folder: string): string => `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir>${join(folder, 'fonts')}</dir>
  <cachedir>${join(folder, 'fonts-cache')}</cachedir>
</fontconfig>
`;
