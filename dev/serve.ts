/**
 * What `holdfast dev` and `npm start` have in common: their options, what they print, and that a
 * signal ends all that was started.
 */

import { join, relative } from 'node:path';
import { identityOf, isAlive, listProcesses } from '../wrapper/processes.ts';
import { npmAncestors } from './npm.ts';
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
export function readPort(text: string | undefined, otherwise: number, flag: string): number | undefined {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!/^\d{1,5}$/.test(text) || value > 65_535) {
    throw new Error(`${flag} must be a whole number from 0 to 65535 (0 picks a free port), not ${JSON.stringify(text)}`);
  }
  return value === 0 ? undefined : value;
}

export function portsOf(options: { port?: string | undefined; runnerPort?: string | undefined }): {
  port?: number;
  runnerPort?: number;
} {
  const port = readPort(options.port, PORT_DEFAULT, '--port');
  const runnerPort = readPort(options.runnerPort, RUNNER_PORT_DEFAULT, '--runner-port');
  if (port !== undefined && port === runnerPort) {
    throw new Error(`--port and --runner-port are both ${port}: choose another for one of them (0 picks a free port)`);
  }
  return { ...(port ? { port } : {}), ...(runnerPort ? { runnerPort } : {}) };
}

const PARENT_CHECK_MS = 1000;

/**
 * Resolves with the first signal to end; a later one changes nothing. Below npm the end of npm, or
 * of the shell between, counts too: neither of them passes every signal on (npm.ts).
 */
export function untilEnded(env: NodeJS.ProcessEnv): Promise<'signal'> {
  const parent = process.ppid;
  return new Promise((done) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => done('signal'));
    if (!env.npm_lifecycle_event) return;
    const above = npmAncestors(parent, listProcesses()).flatMap((pid) => identityOf(pid) ?? []);
    setInterval(() => {
      if (process.ppid !== parent || !above.every(isAlive)) done('signal');
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

/** As one word of a shell. */
const shellWord = (text: string): string => (/^[\w./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

/** Resolves with the exit code, when everything that it started has ended. */
export async function serveLocally({ start, ended, env, json, next, second, stdout, stderr }: LocalServer): Promise<number> {
  const note = (text: string) => stderr(`holdfast: ${text}\n`);
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
  const { url, apiKey, runnerUrl, data, port } = stack;
  const hidden = writeRunningStack(env, { url, apiKey, pid: process.pid });
  if (hidden !== null)
    note(`other commands do not find this stack by themselves and need HOLDFAST_URL and HOLDFAST_API_KEY: ${hidden}`);
  try {
    if (json) stdout(`${JSON.stringify({ url, apiKey, runnerUrl })}\n`);
    const folder = relative(process.cwd(), data);
    const where = folder === '' || folder.startsWith('..') ? data : folder;
    const key = join(where, 'runner.key');
    (json ? stderr : stdout)(`
  Holdfast is up.

    dashboard     ${url}/
    coordinator   ${url}
    API key       ${apiKey}
    runner        local, of the pool default; ${runnerUrl}/health
    runner key    ${key}
    data, logs    ${where}
    callbacks     signed with ${env.HOLDFAST_CALLBACK_KEYS ? 'HOLDFAST_CALLBACK_KEYS' : `callbackKey of ${join(where, 'keys.json')}`}

  Run a first command in another terminal:

${next(stack)
  .map((line) => `    ${line}`)
  .join('\n')}

  Another machine, which has the package too, joins with its own runner, here through ssh:

    scp ${shellWord(key)} MACHINE:runner.key
    ssh -t -R ${port}:127.0.0.1:${port} MACHINE holdfast-wrapper serve --url ${url} --key-file runner.key

  Ctrl-C ends everything that was started here.
`);
    const reason = await untilOver(stack, ended, note);
    if (reason !== 'signal') note(reason);
    note('stopping …  (jobs get 10 s to end)');
    return reason === 'signal' ? 0 : 1;
  } finally {
    removeRunningStack(env, process.pid);
    await stack.stop();
  }
}

/**
 * Resolves with why the stack is over. A coordinator that stopped answering is started again, because
 * jobs and runner continue without it.
 */
export async function untilOver(
  stack: Pick<LocalStack, 'crashed' | 'silent' | 'restart'>,
  ended: Promise<'signal'>,
  note: (text: string) => void,
): Promise<string> {
  for (;;) {
    const watch = new AbortController();
    const silent = stack.silent(watch.signal).then((isSilent) => (isSilent ? null : new Promise<never>(() => {})));
    const reason = await Promise.race([ended, stack.crashed(), silent]);
    watch.abort();
    if (reason !== null) return reason;
    note('the coordinator does not answer any more, and is started again; jobs continue meanwhile …');
    try {
      await stack.restart();
    } catch (error) {
      return (error as Error).message.trimEnd();
    }
    note('the coordinator answers again');
  }
}
