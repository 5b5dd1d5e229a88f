/** `npm start [-- --port N --runner-port N --data DIR --json]`: coordinator and runner on this machine, until a signal ends them. */

import { execFileSync } from 'node:child_process';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT, Stack } from './stack.ts';

const PORT_DEFAULT = 8787;
const RUNNER_PORT_DEFAULT = 8788;

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
    note((error as Error).message);
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
    ./bin/holdfast.mjs run -- sh -c 'for i in 1 2 3; do echo line $i; sleep 1; done'

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
