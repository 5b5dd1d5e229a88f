/**
 * The runner in a container: the main process of it, which starts wrappers at the request of its
 * coordinator over HTTP. A machine dials out to a pool instead (pool/). Needs only node:http.
 *
 *   container  variables, lock, port, signals: the life of the server
 *   server     HTTP in and out
 *   runs       the runs: launch once, adopt, restart, stop, forget
 *     record     one run, as it is stored and as it is shown (pure)
 *     wrapper-exit  what follows the exit of a wrapper (pure)
 *     folder     its files
 *     wrapper    its process: started, and found again
 *   digest     which launch requests are the same job (pure)
 *   lock       one runner per spool directory
 *
 * - The end of this process is the end of the host. So at a signal it refuses new launches, stops
 *   every wrapper with the reason, and exits 0 when all have reported (SPL27).
 * - Without the token of this start of the container only /health answers.
 */

import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { acquireLock } from './lock.ts';
import { Runs } from './runs.ts';
import { runnerListener } from './server.ts';

/** A token of this length in base64 or hex cannot be guessed. */
export const TOKEN_CHARS_MIN = 16;
/**
 * A coordinator has few launches in progress. The rest bounds the connections that jobs of the
 * container can hold open.
 */
export const CONNECTIONS_MAX = 256;
/**
 * Against slow or silent peers: a head takes one packet, the largest body a moment. Checked every
 * `connectionsCheckingInterval`.
 */
const SERVER_LIMITS = { headersTimeout: 10_000, requestTimeout: 30_000, connectionsCheckingInterval: 2_000 } as const;

const PORT_DEFAULT = 8788;
const MAX_DEFAULT = 64;
/**
 * Cloudflare gives a container 15 minutes from SIGTERM to SIGKILL. A third of them is left for the
 * reports.
 */
const DRAIN_SECONDS_DEFAULT = 600;
const DRAIN_REASON = 'the container was told to stop';

export const CONTAINER_USAGE = `In a container: holdfast-wrapper serve, with HOLDFAST_RUNNER_DRAIN=1

Listens for the launches of its coordinator, which sets these variables at each start:

  HOLDFAST_RUNNER_DRAIN=1        this is a container: a signal to this process stops its jobs and waits for
                                 their reports
  HOLDFAST_RUNNER_TOKEN          what the coordinator knows; at least 16 characters
  HOLDFAST_RUNNER_HOST           address to listen on (0.0.0.0)
  HOLDFAST_RUNNER_PORT           port to listen on (8788; 0 picks a free one)

The image may set:

  HOLDFAST_RUNNER_SPOOL          where runs are kept (~/.holdfast/runner)
  HOLDFAST_RUNNER_MAX            wrappers at the same time (64)
  HOLDFAST_RUNNER_DRAIN_SECONDS  how long jobs may take after a signal until they are killed; their
                                 wrappers still report (600)
`;

/** The main process of a container is told so, by its image and at each start. */
export const isContainer = (env: NodeJS.ProcessEnv): boolean => env.HOLDFAST_RUNNER_DRAIN === '1';

interface Settings {
  port: number;
  host: string;
  token: string;
  spool: string;
  max: number;
  drainMs: number;
}

function readSettings(argv: string[], env: NodeJS.ProcessEnv): { settings: Settings } | { wrong: string } {
  if (argv.length > 0) return { wrong: `${argv[0]}: the runner of a container has variables only` };
  const port = parseWholeNumber(env.HOLDFAST_RUNNER_PORT, PORT_DEFAULT, 0, 65_535);
  const max = parseWholeNumber(env.HOLDFAST_RUNNER_MAX, MAX_DEFAULT, 1, 100_000);
  const drainSeconds = parseWholeNumber(env.HOLDFAST_RUNNER_DRAIN_SECONDS, DRAIN_SECONDS_DEFAULT, 0, 100_000);
  if (port === null) return { wrong: 'HOLDFAST_RUNNER_PORT must be a number from 0 to 65535' };
  if (max === null) return { wrong: 'HOLDFAST_RUNNER_MAX must be a number from 1' };
  if (drainSeconds === null) return { wrong: 'HOLDFAST_RUNNER_DRAIN_SECONDS must be a number of seconds' };
  const token = env.HOLDFAST_RUNNER_TOKEN ?? '';
  if (token === '')
    return {
      wrong:
        'refusing to listen without a token, which the coordinator gives as HOLDFAST_RUNNER_TOKEN when it starts the container',
    };
  if (!/^\S+$/.test(token)) return { wrong: 'HOLDFAST_RUNNER_TOKEN must not contain spaces' };
  if (token.length < TOKEN_CHARS_MIN) {
    return {
      wrong: `refusing to listen with a token of ${token.length} characters, which can be guessed: HOLDFAST_RUNNER_TOKEN must have ${TOKEN_CHARS_MIN}`,
    };
  }
  return {
    settings: {
      port,
      max,
      token,
      host: env.HOLDFAST_RUNNER_HOST || '0.0.0.0',
      spool: resolve(env.HOLDFAST_RUNNER_SPOOL || join(homedir(), '.holdfast', 'runner')),
      drainMs: drainSeconds * 1000,
    },
  };
}

function parseWholeNumber(text: string | undefined, otherwise: number, min: number, max: number): number | null {
  if (text === undefined || text === '') return otherwise;
  if (!/^\d{1,9}$/.test(text)) return null;
  const value = Number(text);
  return value >= min && value <= max ? value : null;
}

export const printMessage = (message: string): void => {
  process.stderr.write(`holdfast-wrapper serve: ${message}\n`);
};

/** Runs until a signal ends it; resolves with the exit code. */
export async function serveContainer(argv: string[]): Promise<number> {
  const read = readSettings(argv, process.env);
  if ('wrong' in read) {
    printMessage(`${read.wrong}. See holdfast-wrapper serve --help.`);
    return 2;
  }
  const { settings } = read;
  const lock = acquireLock(settings.spool);
  if (lock.kind !== 'acquired') {
    printMessage(
      lock.kind === 'held' ? `a runner already uses ${settings.spool} (pid ${lock.pid}, since ${lock.since})` : lock.message,
    );
    return 1;
  }
  try {
    return await serveLocked(settings);
  } finally {
    lock.release();
  }
}

async function serveLocked({ spool, max, token, host, port, drainMs }: Settings): Promise<number> {
  const log = printMessage;
  const runs = new Runs({
    spool,
    max,
    program: [
      process.execPath,
      ...process.execArgv.filter((option) => !option.startsWith('--inspect')),
      resolve(process.argv[1] ?? ''),
    ],
    log,
  });
  let stopping = false;
  const server = createServer(SERVER_LIMITS, runnerListener({ runs, token, isStopping: () => stopping, log }));
  server.maxConnections = CONNECTIONS_MAX;

  // Installed before the port is announced, so that a signal right after the start also ends the
  // runner in order.
  const asked = firstSignal();
  const failure = await listen(server, host, port);
  if (failure !== null) {
    log(`cannot listen on ${host}:${port}: ${failure}`);
    return 1;
  }
  // In the same turn as `listening`: no request is read before it, so a relaunch cannot overtake
  // the adoption of its own run.
  const { adopted, crashed } = runs.recover();
  if (adopted + crashed > 0) log(`${adopted} running wrappers adopted, ${crashed} had ended`);
  process.stdout.write(`runner on port ${(server.address() as AddressInfo).port}, spool ${spool}, at most ${max} at a time\n`);

  const signal = await asked;
  stopping = true;
  // The port stays open meanwhile: a launch gets "try again".
  log(`${signal}: asking ${runs.inFlight} jobs to stop`);
  await runs.drain(DRAIN_REASON, drainMs);
  runs.close();
  server.close();
  server.closeAllConnections();
  return 0;
}

async function firstSignal(): Promise<NodeJS.Signals> {
  return new Promise((done) => {
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      // The listeners stay installed: a second signal must not cut an orderly stop short, which
      // would leave jobs half stopped.
      process.on(signal, () => done(signal));
    }
  });
}

/** Null, or why it does not listen. */
async function listen(server: Server, host: string, port: number): Promise<string | null> {
  server.listen(port, host);
  try {
    await once(server, 'listening');
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}
