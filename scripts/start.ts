/**
 * `npm start [-- --port N --runner-port N --data DIR --json]`: coordinator and runner from these
 * sources, until a signal ends them.
 */

import { execFileSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { leaveNpm } from '../dev/npm.ts';
import { PASSED_ON, PORT_DEFAULT, passedOn, portsOf, RUNNER_PORT_DEFAULT, serveLocally, untilEnded } from '../dev/serve.ts';
import { ROOT, Stack } from './stack.ts';

const USAGE = `Usage: npm start [-- options]

Starts a coordinator with its dashboard, and a runner, on this machine.

  --port N          the coordinator's port (${PORT_DEFAULT}; 0 picks a free one)
  --runner-port N   the port of the runner's status (${RUNNER_PORT_DEFAULT}; 0 picks a free one)
  --data DIR        keys, logs, sessions (.holdfast in this repository); the same folder continues where it was
  --json            one line on stdout when ready: {"url":…,"apiKey":…,"runnerUrl":…}; everything else on stderr

${PASSED_ON.join(', ')} of the environment are passed on to the coordinator.
`;

/**
 * Of the package, run by the Node of this repository: the user's may be older than the package
 * allows.
 */
const CLI = [join(ROOT, 'node_modules', '.bin', 'node'), join(ROOT, 'packages', 'holdfast', 'bin', 'holdfast.mjs')];

/** The value of an alias. */
const asAlias = (words: readonly string[]): string =>
  words.every((word) => /^[\w./-]+$/.test(word)) ? `'${words.join(' ')}'` : `'${words.map((word) => `"${word}"`).join(' ')}'`;

const note = (text: string): void => {
  process.stderr.write(`holdfast: ${text}\n`);
};

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
    ports = portsOf({ port: values.port, runnerPort: values['runner-port'] });
  } catch (error) {
    note(`${(error as Error).message}\n\n${USAGE}`);
    return 2;
  }
  if (values.help) {
    process.stderr.write(USAGE);
    return 0;
  }

  // From here on a signal is an order to end, also while the stack is still starting.
  const ended = untilEnded(process.env);
  leaveNpm(process.env, [ROOT]);

  // The command line that is printed below runs the bundle.
  try {
    execFileSync(process.execPath, [join(ROOT, 'scripts', 'build.mjs')], { cwd: ROOT, stdio: ['ignore', 2, 2] });
  } catch (error) {
    note(`the command line could not be built: ${(error as Error).message}`);
  }

  const data = values.data === undefined ? join(ROOT, '.holdfast') : resolve(values.data);
  return serveLocally({
    start: () => Stack.start({ data, variables: passedOn(process.env), ...ports }),
    ended,
    env: process.env,
    json: values.json === true,
    next: ({ url, apiKey }) => [
      `export HOLDFAST_URL=${url} HOLDFAST_API_KEY=${apiKey}`,
      `alias holdfast=${asAlias(CLI)}`,
      `holdfast run -- sh -c 'for i in 1 2 3; do echo line $i; sleep 1; done'`,
      'holdfast run --cwd "$PWD" -- npm test      # a job runs in this repository unless --cwd names another folder',
    ],
    second: 'npm start -- --port 0 --runner-port 0 --data ANOTHER_FOLDER',
    stdout: (text) => void process.stdout.write(text),
    stderr: (text) => void process.stderr.write(text),
  });
}

process.exit(await main());
