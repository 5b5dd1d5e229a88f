/**
 * The local stack (dev/stack.ts) on the sources of this repository: `wrangler dev` on the Worker,
 * and the wrapper.
 */

import { execFile } from 'node:child_process';
import { cpSync, existsSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type CoordinatorPlace, LocalStack, type LocalStackOptions, wranglerDev } from '../dev/stack.ts';

export { freePort } from '../dev/ports.ts';

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const WRANGLER = join(ROOT, 'node_modules', 'wrangler', 'bin', 'wrangler.js');
const BUILD = join(ROOT, 'scripts', 'build.mjs');
const DASHBOARD = join('dist', 'dashboard');
const WRAPPER_SOURCE = join('wrapper', 'main.ts');
const WRAPPER_BUNDLE = join(ROOT, 'packages', 'holdfast', 'dist', 'holdfast-wrapper.mjs');
const BUILD_TIMEOUT_MS = 120_000;

export interface StackOptions extends Omit<LocalStackOptions, 'coordinator' | 'coordinatorCwd' | 'wrapper' | 'cwd'> {
  /** Run the bundled wrapper instead of its source. */
  bundled?: boolean;
  /**
   * A copy of this repository whose Worker and wrapper run in place of its own, so that edits
   * meanwhile change nothing.
   */
  root?: string;
  /**
   * The coordinator's program and arguments instead of `wrangler dev`, evaluated at each start. It
   * has no dashboard.
   */
  coordinator?: (at: CoordinatorPlace) => string[];
  /** Program and first arguments instead of the wrapper's own, to which `serve …` is added. */
  wrapper?: readonly string[];
}

export type Stack = LocalStack;

export const Stack = {
  start({ bundled, root = ROOT, coordinator, wrapper, ...options }: StackOptions): Promise<LocalStack> {
    const source = join(root, WRAPPER_SOURCE);
    const program = (bundled ?? !existsSync(source)) ? WRAPPER_BUNDLE : source;
    return LocalStack.start({
      ...options,
      cwd: ROOT,
      coordinatorCwd: ROOT,
      wrapper: wrapper ?? [process.execPath, program],
      coordinator:
        coordinator ??
        (async (at) => {
          await provideDashboard(root);
          return wranglerDev(WRANGLER, join(root, 'wrangler.toml'), at);
        }),
    });
  },
};

/** What the Worker and the wrapper are made of. */
const PROGRAMS = [
  ...['protocol', 'agent', 'src', 'wrapper', 'runner', 'egress', 'migrations', 'packages/holdfast/package.json'],
  ...['package.json', 'wrangler.toml', 'tsconfig.json', 'tsconfig.base.json'],
];

/** Makes a folder that can be the `root` of a stack. */
export function copyPrograms(target: string): void {
  for (const part of PROGRAMS) cpSync(join(ROOT, part), join(target, part), { recursive: true });
  symlinkSync(join(ROOT, 'node_modules'), join(target, 'node_modules'));
}

/**
 * `wrangler dev` does not start without the folder of the dashboard. Takes a moment when it is
 * built already.
 */
async function provideDashboard(root: string): Promise<void> {
  const copy = join(root, DASHBOARD);
  if (root !== ROOT && existsSync(copy)) return;
  const problem = await new Promise<string>((done) => {
    const options = { cwd: ROOT, timeout: BUILD_TIMEOUT_MS };
    execFile(process.execPath, [BUILD, '--dashboard'], options, (error, _, stderr) =>
      done(error ? `${error.message}\n${stderr}` : ''),
    );
  });
  if (problem !== '') throw new Error(`the dashboard could not be built: ${problem}`);
  if (root !== ROOT) cpSync(join(ROOT, DASHBOARD), copy, { recursive: true });
}
