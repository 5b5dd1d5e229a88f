/** `npm start [-- --port N --runner-port N --data DIR --json]`: coordinator and runner on this machine, until a signal ends them. */

import { execFileSync } from 'node:child_process';
import { delimiter, join, relative, resolve, sep } from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT, Stack } from './stack.ts';

const PORT_DEFAULT = 8787;
const RUNNER_PORT_DEFAULT = 8788;
/** Where npm puts the programs of a package's dependencies. */
const TOOLS = join(sep, 'node_modules', '.bin');

/** What the coordinator takes from the environment of `npm start`: all else of it is made here. */
const PASSED_ON = ['HOLDFAST_ALLOWED_ORIGINS', 'HOLDFAST_CALLBACK_KEYS', 'HOLDFAST_CALLBACK_ALLOW_PRIVATE'];

const USAGE = `Usage: npm start [-- options]

Starts a coordinator with its dashboard, and a runner, on this machine.

  --port N          the coordinator's port (${PORT_DEFAULT}; 0 picks a free one)
  --runner-port N   the runner's port (${RUNNER_PORT_DEFAULT}; 0 picks a free one)
  --data DIR        keys, logs, sessions (.holdfast in this repository); the same folder continues where it was
  --json            one line on stdout when ready: {"url":…,"apiKey":…,"runnerUrl":…}; everything else on stderr

${PASSED_ON.join(', ')} of the environment are passed on to the coordinator.
`;

/** npm's own marks on an environment: what it runs, and with which tools. How it is configured is the user's affair, and stays. */
const OF_NPM = /^(npm_(?!config_).*|npm_config_local_prefix|INIT_CWD)$/;

/**
 * The runner's environment becomes that of every job: it is the reader's, without what npm and this repository add for themselves. Else `node` in a job were
 * the Node of this repository, and `npm` in a job would take itself for a part of `npm start`.
 */
function leaveNpm(env: NodeJS.ProcessEnv): void {
  for (const name of Object.keys(env)) if (OF_NPM.test(name)) delete env[name];
  const above = (folder: string) => ROOT === folder || ROOT.startsWith(folder.endsWith(sep) ? folder : `${folder}${sep}`);
  const added = (entry: string) =>
    entry.endsWith('node-gyp-bin') || (entry.endsWith(TOOLS) && above(entry.slice(0, -TOOLS.length) || sep));
  env.PATH = (env.PATH ?? '')
    .split(delimiter)
    .filter((entry) => !added(entry))
    .join(delimiter);
}

/** What a shell takes for the one program at `path`. */
const asAlias = (path: string): string => (/^[\w./-]+$/.test(path) ? path : `'"${path}"'`);

const note = (text: string): void => {
  process.stderr.write(`${text}\n`);
};

function port(text: string | undefined, otherwise: number): number | undefined {
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (!/^\d{1,5}$/.test(text) || value > 65_535) throw new Error(`${text} is not a port`);
  return value === 0 ? undefined : value;
}

async function main(): Promise<number> {
  let values: { port?: string; 'runner-port'?: string; data?: string; json?: boolean; help?: boolean };
  let ports: { port?: number; runnerPort?: number };
  try {
    ({ values } = parseArgs({
      options: {
        port: { type: 'string' },
        'runner-port': { type: 'string' },
        data: { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }));
    const coordinator = port(values.port, PORT_DEFAULT);
    const runner = port(values['runner-port'], RUNNER_PORT_DEFAULT);
    ports = { ...(coordinator ? { port: coordinator } : {}), ...(runner ? { runnerPort: runner } : {}) };
  } catch (error) {
    note(`${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
  if (values.help) {
    note(USAGE);
    return 0;
  }

  // From here on a signal is an order to end, also while the stack is still coming up. A second one changes nothing.
  const signalled = new Promise<'signal'>((done) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => done('signal'));
  });

  leaveNpm(process.env);

  // `bin/holdfast.mjs` runs the bundle. Of the dashboard, which is built with it, the stack looks for itself.
  try {
    execFileSync(process.execPath, [join(ROOT, 'scripts', 'build.mjs')], { cwd: ROOT, stdio: ['ignore', 2, 2] });
  } catch (error) {
    note(`the command line could not be built: ${(error as Error).message}`);
  }

  const data = values.data === undefined ? join(ROOT, '.holdfast') : resolve(values.data);
  note('starting coordinator and runner …');
  const variables = Object.fromEntries(PASSED_ON.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
  const starting = Stack.start({ data, variables, ...ports });
  let stack: Stack;
  try {
    stack = await starting;
  } catch (error) {
    const { message } = error as Error;
    note(message.trimEnd());
    if (/is in use|already (serves|listens)/.test(message))
      note('Another `npm start` may be up. A second one beside it: npm start -- --port 0 --runner-port 0 --data ANOTHER_FOLDER');
    return 1;
  }

  const { url, apiKey, runnerUrl } = stack;
  if (values.json) process.stdout.write(`${JSON.stringify({ url, apiKey, runnerUrl })}\n`);
  const out = values.json ? process.stderr : process.stdout;
  const folder = relative(process.cwd(), data);
  const where = folder === '' || folder.startsWith('..') ? data : folder;
  out.write(`
  Holdfast is up.

    dashboard     ${url}/
    coordinator   ${url}
    runner        ${runnerUrl}
    data, logs    ${where}
    callbacks     signed with ${variables.HOLDFAST_CALLBACK_KEYS ? 'HOLDFAST_CALLBACK_KEYS' : `callbackKey of ${join(where, 'keys.json')}`}

  Run a first command in another terminal:

    export HOLDFAST_URL=${url} HOLDFAST_API_KEY=${apiKey}
    alias holdfast=${asAlias(join(ROOT, 'bin', 'holdfast.mjs'))}
    holdfast run -- sh -c 'for i in 1 2 3; do echo line $i; sleep 1; done'
    holdfast run --cwd "$PWD" -- npm test      # a job runs in this repository unless --cwd names another folder

  Ctrl-C ends everything that was started here.
`);

  const crash = stack.crashed();
  const reason = await Promise.race([signalled, crash]);
  if (reason !== 'signal') note(reason);
  note('stopping …');
  await stack.stop();
  return reason === 'signal' ? 0 : 1;
}

process.exit(await main());
