/**
 * What changes below npm and npx: the environment, and the processes above.
 *
 * npm starts a program through a shell: `npm exec …` → `sh -c …` → the program. Not every shell
 * passes a signal on, and SIGKILL ends only the process that it is sent to.
 */

import { join, sep } from 'node:path';
import type { ProcessInfo } from '../wrapper/processes.ts';

/**
 * npm's marks in an environment: what it runs, with which tools, and its settings. It writes them
 * in small letters. Settings in capital letters (`NPM_CONFIG_REGISTRY`) are the user's and stay.
 */
const OF_NPM = /^(npm_.*|INIT_CWD)$/;
/** Where npm installs the programs of a package's dependencies. */
const TOOLS = join(sep, 'node_modules', '.bin');

/**
 * Removes what npm and npx add to the environment, because the runner's environment becomes that of
 * every job. Otherwise `node` in a job would be the one of `folders`, and `npm` in a job would take
 * itself for a part of the command that started the stack. Without npm above nothing changes.
 */
export function leaveNpm(env: NodeJS.ProcessEnv, folders: readonly string[]): void {
  if (env.npm_execpath === undefined) return;
  const places = [...folders, env.INIT_CWD, env.npm_config_local_prefix].filter((folder) => folder !== undefined);
  if (env.NODE === env.npm_node_execpath) delete env.NODE;
  // npm names the editor that it falls back to, and overwrites COLOR.
  if (env.EDITOR === 'vi') delete env.EDITOR;
  delete env.COLOR;
  for (const name of Object.keys(env)) if (OF_NPM.test(name)) delete env[name];
  const above = (folder: string) =>
    places.some((one) => one === folder || one.startsWith(folder.endsWith(sep) ? folder : `${folder}${sep}`));
  const added = (entry: string) =>
    entry.endsWith('node-gyp-bin') || (entry.endsWith(TOOLS) && above(entry.slice(0, -TOOLS.length) || sep));
  env.PATH = (env.PATH ?? '')
    .split(':')
    .filter((entry) => !added(entry))
    .join(':');
}

const LEVELS_MAX = 4;
/** npm replaces its title with what it does. */
const isNpm = (command: string): boolean => /^npm( |$)/.test(command) || /\/(npm|npx)-cli\.js( |$)/.test(command);

/**
 * The processes from this one's parent up to npm: the end of one of them is the end of what the
 * user started. The parent alone when npm is not found above it.
 */
export function npmAncestors(parent: number, processes: readonly ProcessInfo[]): number[] {
  const byPid = new Map(processes.map((each) => [each.pid, each]));
  const chain: number[] = [];
  for (let at = byPid.get(parent); at && chain.length < LEVELS_MAX; at = byPid.get(at.parent)) {
    chain.push(at.pid);
    if (isNpm(at.command)) return chain;
  }
  return [parent];
}
