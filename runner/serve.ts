/**
 * `holdfast-wrapper serve`: the program that starts wrappers, in one of two places.
 *
 *   pool/       on a machine: dials out to a pool, and runs what the pool assigns (`--url`, `--key`)
 *   container   in a container: listens, and runs what its coordinator asks for over HTTP
 */

import { spawnSync } from 'node:child_process';
import { join, resolve } from 'node:path';
import { letThrough } from '../wrapper/job/holder-folder.ts';
import { asUser, type JobUser, readJobUser } from '../wrapper/job/user.ts';
import { isDirectory } from '../wrapper/job/working-directory.ts';
import { CONTAINER_USAGE, isContainer, printMessage, serveContainer } from './container.ts';
import { acquireLock } from './lock.ts';
import { IDENTITY_FILE, takeIdentity } from './pool/identity.ts';
import { connectUrl, dialsOut, POOL_USAGE, type PoolOptions, readPoolOptions, shownUrl } from './pool/options.ts';
import { type Permits, readPermits } from './pool/permits.ts';
import { PoolRunner, type PoolRunnerEnd } from './pool/pool-runner.ts';
import { serveStatus } from './pool/status.ts';
import { Runs, type StopPatience } from './runs.ts';
import { environmentForJobs } from './wrapper.ts';

/** `EX_CONFIG` of sysexits: a service manager should not start it again before a person acts. */
export const REFUSED_EXIT = 78;

/**
 * With --stop-jobs. A report that the coordinator can take needs a moment; the rest is for a busy
 * machine.
 */
const STOP_PATIENCE: StopPatience = { jobsMs: 10_000, reportsMs: 5_000 };
const STOP_REASON = 'the runner was told to stop';

const USAGE = `${POOL_USAGE}
${CONTAINER_USAGE}`;

const NO_POOL =
  'a runner dials out to its pool: give --url URL and --key-file FILE (or HOLDFAST_URL and HOLDFAST_RUNNER_KEY_FILE). A runner no longer listens for launches, except in a container; docs/runners.md has the way from its address to a pool';

/** Runs until it is done; resolves with the exit code. */
export async function serve(argv: string[]): Promise<number> {
  if (argv.includes('--help') || argv.includes('-h')) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (!dialsOut(argv, process.env)) {
    if (isContainer(process.env)) return serveContainer(argv);
    printMessage(`${NO_POOL}. See holdfast-wrapper serve --help.`);
    return 2;
  }
  const reading = readPoolOptions(argv, process.env);
  if (reading.kind === 'help') return 0;
  if (reading.kind === 'wrong') {
    printMessage(`${reading.message}. See holdfast-wrapper serve --help.`);
    return 2;
  }
  const { options } = reading;
  const env = environmentForJobs(process.env);
  const permits = readPermits(options.allowCommands, options.allowFolders, env);
  if (!permits.ok) {
    printMessage(permits.message);
    return 2;
  }
  const reader = options.runAs === null ? null : readJobUser(options.runAs);
  if (reader && !reader.ok) {
    printMessage(reader.why);
    return 2;
  }
  let lock: ReturnType<typeof acquireLock>;
  try {
    lock = acquireLock(options.spool);
  } catch (error) {
    printMessage(`the folder for runs cannot be used: ${(error as Error).message}. Give another one with --spool`);
    return 1;
  }
  if (lock.kind !== 'acquired') {
    printMessage(
      lock.kind === 'held'
        ? `a runner already uses ${options.spool} (pid ${lock.pid}, since ${lock.since}). Give this one a folder of its own with --spool`
        : lock.message,
    );
    return 1;
  }
  try {
    return await serveLocked(options, permits.permits, reader?.user ?? null);
  } finally {
    lock.release();
  }
}

async function serveLocked(options: PoolOptions, permits: Permits, runAs: JobUser | null): Promise<number> {
  const { spool, tenant, pool, name, url, slots, once, idleExitMs, statusPort, json } = options;
  const log = printMessage;
  const identity = takeIdentity(spool, { tenant, pool });
  if (!identity.ok) {
    log(identity.message);
    return 1;
  }
  if (runAs) {
    letThrough(spool);
    const unreachable = whyUnreachable(runAs, spool);
    if (unreachable !== null) {
      log(unreachable);
      return 1;
    }
  }
  const { runnerId } = identity.identity;
  let runner: PoolRunner | null = null;
  const runs = new Runs({
    spool,
    max: slots,
    program: [
      process.execPath,
      ...process.execArgv.filter((option) => !option.startsWith('--inspect')),
      resolve(process.argv[1] ?? ''),
    ],
    runAs,
    log,
    onEnded: (run) => runner?.runEnded(run),
  });
  const { adopted, crashed } = runs.recover(options.coordinator);
  if (adopted + crashed > 0) log(`${countOf(adopted, 'running wrapper')} taken over, ${crashed} had ended`);
  let announced = false;
  runner = new PoolRunner({
    runs,
    url: connectUrl(url, pool),
    credential: options.credential,
    runnerId,
    name,
    labels: options.labels,
    terms: { slots, once, idleExitMs },
    permits,
    usualFolder: usualFolder(runAs),
    env: environmentForJobs(process.env),
    identityFile: join(spool, IDENTITY_FILE),
    log,
    onUp: () => {
      if (announced) return;
      announced = true;
      if (json) process.stdout.write(`${JSON.stringify({ runnerId, name, pool })}\n`);
      else
        process.stdout.write(
          `runner ${name} (${runnerId}) in the pool ${pool} of ${shownUrl(url)}, ${slots} at a time, runs in ${spool}\n`,
        );
    },
  });
  const it = runner;
  let server: Awaited<ReturnType<typeof serveStatus>> | null = null;
  if (statusPort !== null) {
    try {
      server = await serveStatus(statusPort, () => ({ ...it.facts, name, pool, runnerId }));
      const address = server.address();
      log(`status on http://127.0.0.1:${typeof address === 'object' ? address?.port : statusPort}/health and /metrics`);
    } catch (error) {
      log(`cannot listen on 127.0.0.1:${statusPort} (--status-port): ${(error as Error).message}`);
      runs.close();
      return 1;
    }
  }
  followSignals(it, runs, options.stopJobs, log);
  const end = await it.start();
  server?.close();
  if (runs.inFlight > 0)
    log(`${countOf(runs.inFlight, 'job')} ${runs.inFlight === 1 ? 'continues' : 'continue'} without this runner`);
  else if (end === 'done') log('no job runs here any more, so this runner ends');
  runs.close();
  return exitCodeOf(end);
}

function followSignals(runner: PoolRunner, runs: Runs, stopJobs: boolean, log: (message: string) => void): void {
  let signals = 0;
  const first = async (signal: NodeJS.Signals): Promise<void> => {
    runner.drain();
    if (!stopJobs) {
      if (runs.inFlight > 0)
        log(
          `${signal}: takes nothing new, and ends when ${runs.inFlight === 1 ? 'its job has' : `its ${runs.inFlight} jobs have`} ended; a second ${signal} leaves ${runs.inFlight === 1 ? 'it' : 'them'} running`,
        );
      return;
    }
    log(`${signal}: stopping ${countOf(runs.inFlight, 'job')}`);
    await runs.stopAll(STOP_REASON, STOP_PATIENCE);
  };
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.on(signal, () => {
      signals += 1;
      if (signals === 1) void first(signal);
      // With --stop-jobs a second signal must not leave jobs half stopped.
      else if (!stopJobs) runner.leave();
    });
  }
  process.on('SIGHUP', () => {
    if (stopJobs) {
      signals += 1;
      if (signals === 1) void first('SIGHUP');
    } else runner.leave();
  });
}

function exitCodeOf(end: PoolRunnerEnd): number {
  switch (end) {
    case 'done':
    case 'left':
      return 0;
    case 'refused':
      return REFUSED_EXIT;
    default:
      return end satisfies never;
  }
}

const countOf = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`;

const usualFolder = (user: JobUser | null): string => (user ? (isDirectory(user.home) ? user.home : '/') : process.cwd());

/** Null: the user can go through this folder. */
function whyUnreachable(user: JobUser, folder: string): string | null {
  const [program = '', ...args] = asUser(user, ['/bin/sh', '-c', '[ -x "$0" ]', folder]);
  if (spawnSync(program, args, { stdio: 'ignore', cwd: '/' }).status === 0) return null;
  return `--run-as ${user.name}: this user cannot reach ${folder}. Keep runs in a folder that it can enter, such as --spool /var/lib/holdfast`;
}
