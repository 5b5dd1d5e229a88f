/**
 * What `holdfast dev` and `npm start` have in common: their options, what they print, and that a
 * signal ends all that was started.
 */

import { join, relative, sep } from 'node:path';
import { removeRunningStack, writeRunningStack } from './running.ts';
import type { LocalStack } from './stack.ts';

export const PORT_DEFAULT = 8787;
export const RUNNER_PORT_DEFAULT = 8788;

/**
 * What the coordinator takes from the environment; everything else of its settings is made here.
 */
export const PASSED_ON = ['HOLDFAST_ALLOWED_ORIGINS', 'HOLDFAST_CALLBACK_KEYS', 'HOLDFAST_CALLBACK_ALLOW_PRIVATE'];

export const passedOn = (env: NodeJS.ProcessEnv): Record<string, string> =>
  Object.fromEntries(PASSED_ON.flatMap((name) => (env[name] ? [[name, env[name]]] : [])));

/** Undefined: any free port. */
export function readPort(text: string | undefined, otherwise: number): number | undefined {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!/^\d{1,5}$/.test(text) || value > 65_535) throw new Error(`${text} is not a port`);
  return value === 0 ? undefined : value;
}

export function portsOf(options: { port?: string | undefined; runnerPort?: string | undefined }): {
  port?: number;
  runnerPort?: number;
} {
  const port = readPort(options.port, PORT_DEFAULT);
  const runnerPort = readPort(options.runnerPort, RUNNER_PORT_DEFAULT);
  return { ...(port ? { port } : {}), ...(runnerPort ? { runnerPort } : {}) };
}

/**
 * npm's marks in an environment: what it runs, and with which tools. The user's configuration of
 * npm stays.
 */
const OF_NPM = /^(npm_(?!config_).*|npm_config_local_prefix|INIT_CWD)$/;
/** Where npm installs the programs of a package's dependencies. */
const TOOLS = join(sep, 'node_modules', '.bin');

/**
 * Removes what npm and npx add to the environment, because the runner's environment becomes that of
 * every job. Otherwise `node` in a job would be the one of `folders`, and `npm` in a job would take
 * itself for a part of the command that started the stack.
 */
export function leaveNpm(env: NodeJS.ProcessEnv, folders: readonly string[]): void {
  for (const name of Object.keys(env)) if (OF_NPM.test(name)) delete env[name];
  const above = (folder: string) =>
    folders.some((one) => one === folder || one.startsWith(folder.endsWith(sep) ? folder : `${folder}${sep}`));
  const added = (entry: string) =>
    entry.endsWith('node-gyp-bin') || (entry.endsWith(TOOLS) && above(entry.slice(0, -TOOLS.length) || sep));
  env.PATH = (env.PATH ?? '')
    .split(':')
    .filter((entry) => !added(entry))
    .join(':');
}

const PARENT_CHECK_MS = 500;

/**
 * Resolves with the first signal to end; a later one changes nothing. npm runs programs through a
 * shell, and not every shell passes a signal on: below npm the end of the parent counts too.
 */
export function untilEnded(env: NodeJS.ProcessEnv): Promise<'signal'> {
  const parent = process.ppid;
  return new Promise((done) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => done('signal'));
    if (!env.npm_lifecycle_event) return;
    setInterval(() => {
      if (process.ppid !== parent) done('signal');
    }, PARENT_CHECK_MS).unref();
  });
}

export interface LocalServer {
  start: () => Promise<LocalStack>;
  ended: Promise<'signal'>;
  env: NodeJS.ProcessEnv;
  /** One line on stdout for programs, and the text for people on stderr. */
  json: boolean;
  /** The commands that a reader tries next, line by line. */
  next: (stack: LocalStack) => readonly string[];
  /** How to start a second stack when another one has the port or the folder. */
  second: string;
  stdout: (text: string) => void;
  stderr: (text: string) => void;
}

/** Resolves with the exit code, when everything that it started has ended. */
export async function serveLocally({ start, ended, env, json, next, second, stdout, stderr }: LocalServer): Promise<number> {
  const note = (text: string) => stderr(`${text}\n`);
  note('starting coordinator and runner …');
  let stack: LocalStack;
  try {
    stack = await start();
  } catch (error) {
    const { name, message } = error as Error;
    // A signal during the download.
    if (name === 'AbortError') return 0;
    note(message.trimEnd());
    if (/is in use|already (serves|listens)/.test(message)) note(`Another stack may be running. A second one beside it: ${second}`);
    return 1;
  }
  const { url, apiKey, runnerUrl, data } = stack;
  writeRunningStack(env, { url, apiKey, pid: process.pid });
  try {
    if (json) stdout(`${JSON.stringify({ url, apiKey, runnerUrl })}\n`);
    const folder = relative(process.cwd(), data);
    const where = folder === '' || folder.startsWith('..') ? data : folder;
    (json ? stderr : stdout)(`
  Holdfast is up.

    dashboard     ${url}/
    coordinator   ${url}
    API key       ${apiKey}
    runner        ${runnerUrl}
    data, logs    ${where}
    callbacks     signed with ${env.HOLDFAST_CALLBACK_KEYS ? 'HOLDFAST_CALLBACK_KEYS' : `callbackKey of ${join(where, 'keys.json')}`}

  Run a first command in another terminal:

${next(stack)
  .map((line) => `    ${line}`)
  .join('\n')}

  Ctrl-C ends everything that was started here.
`);
    const reason = await Promise.race([ended, stack.crashed()]);
    if (reason !== 'signal') note(reason);
    note('stopping …');
    return reason === 'signal' ? 0 : 1;
  } finally {
    removeRunningStack(env, process.pid);
    await stack.stop();
  }
}
