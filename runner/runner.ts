/**
 * The runner that listens: starts wrappers at the request of a coordinator over HTTP. It is the main
 * process of a container; a machine dials out instead (pool/). Needs only node:http.
 *
 *   runner     arguments, lock, port, signals: the life of the server
 *   server     HTTP in and out
 *   runs       the runs: launch once, adopt, restart, stop, forget
 *     record     one run, as it is stored and as it is shown (pure)
 *     wrapper-exit  what follows the exit of a wrapper (pure)
 *     folder     its files
 *     wrapper    its process: started, and found again
 *   digest     which launch requests are the same job (pure)
 *   lockout    which peers sent wrong tokens too often (pure)
 *   lock       one runner per spool directory
 *
 * - A second runner on the same spool directory or port exits 0, says so, and changes nothing.
 * - The end of the runner does not end the jobs, unless --stop-jobs is set. The runner then stops
 *   them, and leaves no process. What was not delivered in time is delivered by the next runner on
 *   the same folder.
 * - Without a token only /health answers.
 * - --drain-on-term is for a container whose main process is the runner, so that the end of the
 *   runner is the end of the host. The runner then refuses new launches, stops every wrapper with
 *   the reason, and exits 0 when all have reported.
 */

import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { isLoopbackHost } from '../protocol/ip-address.ts';
import { isRunnerHealth } from '../protocol/launch.ts';
import { acquireLock } from './lock.ts';
import { Runs, type StopPatience } from './runs.ts';
import { runnerListener } from './server.ts';

/**
 * A token of this length in base64 or hex cannot be guessed. On loopback any token will do, because
 * a local attacker could read the runner's memory too.
 */
export const TOKEN_CHARS_MIN = 16;
const HOW_TO_MAKE_ONE = 'Make one with `openssl rand -hex 32`, and give it as HOLDFAST_RUNNER_TOKEN';
/**
 * A coordinator has few launches in progress. The rest is room for people who inspect runs, and
 * bounds the connections that strangers can hold open.
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
 * With --stop-jobs. A report that the coordinator can take needs a moment; the rest is for a busy
 * machine.
 */
export const STOP_PATIENCE: StopPatience = { jobsMs: 10_000, reportsMs: 5_000 };
export const STOP_REASON = 'the runner was told to stop';
/**
 * Cloudflare gives a container 15 minutes from SIGTERM to SIGKILL. A third of them is left for the
 * reports.
 */
const DRAIN_SECONDS_DEFAULT = 600;
const DRAIN_REASON = 'the container was told to stop';

export const SERVER_USAGE = `Usage: holdfast-wrapper serve [options]

Listens for HTTP requests, and starts a wrapper for each execution that a coordinator asks for.
Containers use this; on a machine of your own give --url and --key-file instead.

  --port N        port to listen on (8788; 0 picks a free one)      HOLDFAST_RUNNER_PORT
  --host H        address to listen on (127.0.0.1)                  HOLDFAST_RUNNER_HOST
  --token T       what callers must know; better given by variable  HOLDFAST_RUNNER_TOKEN
                  (beyond loopback at least 16 characters)
  --spool DIR     where runs are kept (~/.holdfast/runner)          HOLDFAST_RUNNER_SPOOL
  --max N         wrappers at the same time (64)                    HOLDFAST_RUNNER_MAX
  --stop-jobs     at SIGTERM stop all jobs too; else they go on
  --coordinator URL  runs of an earlier runner report to this address, if the coordinator has moved
  --drain-on-term for a container: at SIGTERM asks every wrapper    HOLDFAST_RUNNER_DRAIN=1
                  to stop its job and report, and waits for them
  --drain-seconds N  then: how long jobs may take until they are    HOLDFAST_RUNNER_DRAIN_SECONDS
                  killed; their wrappers still report (600)
  --json          one line on stdout when ready: {"url":…}
`;

interface Settings {
  port: number;
  host: string;
  token: string | null;
  spool: string;
  max: number;
  stopJobs: boolean;
  /** Where the runs of an earlier runner report. Null: where they did. */
  coordinator: string | null;
  /** How long the jobs may take in a drain. Null: the end of the runner is not a drain. */
  drainMs: number | null;
  json: boolean;
}

function readSettings(argv: string[], env: NodeJS.ProcessEnv): { settings: Settings } | { help: true } | { wrong: string } {
  let values: { [name: string]: string | boolean | undefined };
  try {
    ({ values } = parseArgs({
      args: argv,
      options: {
        port: { type: 'string' },
        host: { type: 'string' },
        token: { type: 'string' },
        spool: { type: 'string' },
        max: { type: 'string' },
        'stop-jobs': { type: 'boolean' },
        coordinator: { type: 'string' },
        'drain-on-term': { type: 'boolean' },
        'drain-seconds': { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }));
  } catch (error) {
    return { wrong: (error as Error).message };
  }
  if (values.help) return { help: true };
  const text = (option: string, variable: string): string | undefined => (values[option] as string | undefined) ?? env[variable];
  const port = parseWholeNumber(text('port', 'HOLDFAST_RUNNER_PORT'), PORT_DEFAULT, 0, 65_535);
  const max = parseWholeNumber(text('max', 'HOLDFAST_RUNNER_MAX'), MAX_DEFAULT, 1, 100_000);
  const drainSeconds = parseWholeNumber(text('drain-seconds', 'HOLDFAST_RUNNER_DRAIN_SECONDS'), DRAIN_SECONDS_DEFAULT, 0, 100_000);
  const drain = values['drain-on-term'] === true || env.HOLDFAST_RUNNER_DRAIN === '1';
  if (drainSeconds === null) return { wrong: '--drain-seconds must be a number of seconds' };
  if (drain && values['stop-jobs']) return { wrong: '--drain-on-term and --stop-jobs exclude each other' };
  if (port === null) return { wrong: '--port must be a number from 0 to 65535' };
  if (max === null) return { wrong: '--max must be a number from 1' };
  const coordinator = values.coordinator === undefined ? null : httpOrigin(String(values.coordinator));
  if (coordinator === undefined) return { wrong: '--coordinator must be an http(s) URL' };
  const token = text('token', 'HOLDFAST_RUNNER_TOKEN') || null;
  if (token !== null && !/^\S+$/.test(token)) return { wrong: '--token must not contain spaces' };
  return {
    settings: {
      port,
      max,
      token,
      host: text('host', 'HOLDFAST_RUNNER_HOST') ?? '127.0.0.1',
      spool: resolve(text('spool', 'HOLDFAST_RUNNER_SPOOL') ?? join(homedir(), '.holdfast', 'runner')),
      stopJobs: values['stop-jobs'] === true,
      coordinator,
      drainMs: drain ? drainSeconds * 1000 : null,
      json: values.json === true,
    },
  };
}

function parseWholeNumber(text: string | undefined, otherwise: number, min: number, max: number): number | null {
  if (text === undefined || text === '') return otherwise;
  if (!/^\d{1,9}$/.test(text)) return null;
  const value = Number(text);
  return value >= min && value <= max ? value : null;
}

function httpOrigin(text: string): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : null;
  return url?.protocol === 'http:' || url?.protocol === 'https:' ? url.origin : undefined;
}

export const printMessage = (message: string): void => {
  process.stderr.write(`holdfast-wrapper serve: ${message}\n`);
};

/** Runs until a signal ends it; resolves with the exit code. */
export async function serveHttp(argv: string[]): Promise<number> {
  const read = readSettings(argv, process.env);
  if ('help' in read) {
    process.stdout.write(SERVER_USAGE);
    return 0;
  }
  if ('wrong' in read) {
    printMessage(`${read.wrong}. See holdfast-wrapper serve --help.`);
    return 2;
  }
  const { settings } = read;
  if (settings.token === null && !isLoopbackHost(settings.host)) {
    printMessage(
      `refusing to listen on ${settings.host} without a token: anyone there could run commands here. ${HOW_TO_MAKE_ONE}.`,
    );
    return 1;
  }
  if (settings.token !== null && settings.token.length < TOKEN_CHARS_MIN && !isLoopbackHost(settings.host)) {
    printMessage(
      `refusing to listen on ${settings.host} with a token of ${settings.token.length} characters, which can be guessed: ${TOKEN_CHARS_MIN} are needed. ${HOW_TO_MAKE_ONE}, to the coordinator as well.`,
    );
    return 1;
  }

  const lock = acquireLock(settings.spool);
  if (lock.kind === 'held') {
    printMessage(`a runner already serves ${settings.spool} (pid ${lock.pid}, since ${lock.since}). Nothing to do.`);
    return 0;
  }
  if (lock.kind === 'refused') {
    printMessage(lock.message);
    return 1;
  }

  try {
    return await serveLocked(settings);
  } finally {
    lock.release();
  }
}

async function serveLocked(settings: Settings): Promise<number> {
  const log = printMessage;
  const token = settings.token ?? randomBytes(24).toString('base64url');
  const runs = new Runs({
    spool: settings.spool,
    max: settings.max,
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
  const listening = await listen(server, settings);
  if (listening.kind === 'held') {
    printMessage(`a runner already listens on ${settings.host}:${settings.port}. Nothing to do.`);
    return 0;
  }
  if (listening.kind === 'failed') {
    printMessage(listening.message);
    return 1;
  }
  // In the same turn as `listening`: no request is read before it, so a relaunch cannot overtake
  // the adoption of its own run.
  const { adopted, crashed } = runs.recover(settings.coordinator);
  if (adopted + crashed > 0) log(`${adopted} running wrappers adopted, ${crashed} had ended`);

  const { port } = server.address() as AddressInfo;
  const url = `http://${settings.host.includes(':') ? `[${settings.host}]` : settings.host}:${port}`;
  if (settings.json) {
    process.stdout.write(`${JSON.stringify({ url, ...(settings.token === null ? { token } : {}) })}\n`);
  } else {
    process.stdout.write(`runner on ${url}, spool ${settings.spool}, at most ${settings.max} at a time\n`);
    if (settings.token === null) process.stdout.write(`no token was given; made one for this run: ${token}\n`);
  }

  const signal = await asked;
  stopping = true;
  if (settings.drainMs !== null) {
    // The port stays open meanwhile: a launch gets "try again", and readers see what still runs.
    log(`${signal}: asking ${runs.inFlight} jobs to stop`);
    await runs.drain(DRAIN_REASON, settings.drainMs);
  }
  server.close();
  if (settings.stopJobs) {
    log(`${signal}: stopping ${runs.inFlight} jobs`);
    await runs.stopAll(STOP_REASON, STOP_PATIENCE);
  } else if (runs.inFlight > 0) {
    log(`${signal}: ${runs.inFlight} jobs continue without this runner`);
  }
  runs.close();
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

type Listening = { kind: 'ready' } | { kind: 'held' } | { kind: 'failed'; message: string };

async function listen(server: Server, { host, port }: Settings): Promise<Listening> {
  server.listen(port, host);
  try {
    await once(server, 'listening');
    return { kind: 'ready' };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'EADDRINUSE') return { kind: 'failed', message: `cannot listen on ${host}:${port}: ${message}` };
  }
  if (await isRunner(host, port)) return { kind: 'held' };
  return { kind: 'failed', message: `${host}:${port} is taken by another program. Choose another --port.` };
}

async function isRunner(host: string, port: number): Promise<boolean> {
  // A wildcard address is reached by loopback.
  const reach = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '[::1]' : host.includes(':') ? `[${host}]` : host;
  try {
    const answer = await fetch(`http://${reach}:${port}/health`, { redirect: 'manual', signal: AbortSignal.timeout(3000) });
    return isRunnerHealth(await answer.json());
  } catch {
    return false;
  }
}
