/** The options of a runner that dials out to its pool, and how `serve --url` reads them. */

import { arch, homedir, hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { isId } from '../../protocol/ids.ts';
import { LABEL_KEY_PATTERN, LABEL_VALUE_CHARS_MAX, LABELS_MAX } from '../../protocol/limits.ts';
import { DEFAULT_POOL, RUNNER_KEY_PATTERN, RUNNER_NAME_CHARS_MAX, RUNNER_SLOTS_MAX } from '../../protocol/pool.ts';
import { type Credential, fileCredential, fixedCredential } from '../../wrapper/transport/credential.ts';

export const POOL_USAGE = `Usage: holdfast-wrapper serve --url URL --key-file FILE [options]

Dials out to a pool and runs what the pool assigns. Nothing has to reach this machine.

  --url URL           address of the coordinator                          HOLDFAST_URL
  --key K             runner key of the pool (hfr_…); others on this      HOLDFAST_RUNNER_KEY
                      host see arguments: better by file or variable
  --key-file FILE     a file with the key, read again when it is refused  HOLDFAST_RUNNER_KEY_FILE
  --pool P            the pool (default)                                  HOLDFAST_RUNNER_POOL
  --name N            how people know this runner (the host's name)       HOLDFAST_RUNNER_NAME
  --label k=v         for starts that require it; may be given several times. os, arch and host are
                      set by themselves
  --slots N           executions at the same time (1)                     HOLDFAST_RUNNER_SLOTS
  --once              takes one execution, and ends when that has ended
  --idle-exit 10m     ends when nothing has run for this time (s, m, h)
  --spool DIR         where runs and the runner's id are kept             HOLDFAST_RUNNER_SPOOL
                      (~/.holdfast/pools/POOL); one process for a folder
  --run-as USER       jobs run as this user, with the user's groups; needs Linux and root
  --allow-command P   only this program may be run; may be given several times
  --allow-cwd DIR     jobs may only start in this folder, or below it; may be given several times
  --status-port N     answers GET /health and /metrics on 127.0.0.1
  --stop-jobs         at the end stop all jobs too; else they go on
  --coordinator URL   runs of an earlier runner report to this address, if the coordinator has moved
  --json              one line on stdout when connected: {"runnerId":…,"name":…,"pool":…}

SIGTERM or Ctrl-C: takes nothing new, and ends when all jobs have ended. A second one ends the runner
at once, and so does SIGHUP: its jobs go on, and the next runner on the same folder takes them over.
`;

export interface PoolOptions {
  url: URL;
  credential: Credential;
  tenant: string;
  pool: string;
  name: string;
  labels: Record<string, string>;
  slots: number;
  once: boolean;
  idleExitMs: number | null;
  spool: string;
  runAs: string | null;
  allowCommands: string[];
  allowFolders: string[];
  statusPort: number | null;
  stopJobs: boolean;
  coordinator: string | null;
  json: boolean;
}

export type PoolReading = { kind: 'options'; options: PoolOptions } | { kind: 'help' } | { kind: 'wrong'; message: string };

const wrong = (message: string): PoolReading => ({ kind: 'wrong', message });

/** Options of 0.1.0, when a runner listened for launches. */
const OF_LISTENING = ['port', 'host', 'token', 'max', 'drain-on-term', 'drain-seconds'];

/** Whether the arguments ask for the runner that dials out. */
export const dialsOut = (argv: readonly string[], env: NodeJS.ProcessEnv): boolean =>
  argv.some((argument) => /^--(url|key|key-file)(=|$)/.test(argument)) ||
  Boolean(env.HOLDFAST_RUNNER_KEY || env.HOLDFAST_RUNNER_KEY_FILE);

export function readPoolOptions(argv: string[], env: NodeJS.ProcessEnv): PoolReading {
  let values: Record<string, string | boolean | string[] | undefined>;
  try {
    ({ values } = parseArgs({
      args: argv,
      options: {
        url: { type: 'string' },
        key: { type: 'string' },
        'key-file': { type: 'string' },
        pool: { type: 'string' },
        name: { type: 'string' },
        label: { type: 'string', multiple: true },
        slots: { type: 'string' },
        once: { type: 'boolean' },
        'idle-exit': { type: 'string' },
        spool: { type: 'string' },
        'run-as': { type: 'string' },
        'allow-command': { type: 'string', multiple: true },
        'allow-cwd': { type: 'string', multiple: true },
        'status-port': { type: 'string' },
        'stop-jobs': { type: 'boolean' },
        coordinator: { type: 'string' },
        json: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    }));
  } catch (error) {
    const other = OF_LISTENING.find((name) =>
      argv.some((argument) => argument === `--${name}` || argument.startsWith(`--${name}=`)),
    );
    if (other)
      return wrong(
        `--${other} was for a runner that listens; --slots says how many executions run at the same time, and nothing calls a runner`,
      );
    return wrong((error as Error).message);
  }
  if (values.help) return { kind: 'help' };
  const text = (option: string, variable?: string): string | undefined =>
    (values[option] as string | undefined) ?? ((variable && env[variable]) || undefined);
  const list = (option: string): string[] => (values[option] as string[] | undefined) ?? [];

  const url = httpUrl(text('url', 'HOLDFAST_URL'));
  if (!url) return wrong('--url must be the address of the coordinator, such as https://holdfast.example.com');

  const keyFile = (values.key === undefined || undefined) && text('key-file', 'HOLDFAST_RUNNER_KEY_FILE');
  const key = text('key') ?? (keyFile ? undefined : env.HOLDFAST_RUNNER_KEY);
  let credential: Credential;
  try {
    if (!key && !keyFile)
      return wrong('--key-file, HOLDFAST_RUNNER_KEY or --key is needed: make a key with `holdfast runners key create`');
    credential = keyFile ? fileCredential(keyFile) : fixedCredential((key ?? '').trim());
  } catch (error) {
    return wrong(`the key file cannot be read: ${(error as Error).message}`);
  }
  const [, tenantCode] = RUNNER_KEY_PATTERN.exec(credential.current()) ?? [];
  if (tenantCode === undefined) {
    return wrong(
      'the key is not a runner key (hfr_…): make one with `holdfast runners key create`. An API key (hf_…) is something else',
    );
  }
  const pool = text('pool', 'HOLDFAST_RUNNER_POOL') ?? DEFAULT_POOL;
  if (!isId(pool)) return wrong('--pool must be 1 to 128 letters, digits or . _ : - and begin with a letter or digit');
  const name =
    text('name', 'HOLDFAST_RUNNER_NAME') ??
    (hostname()
      .replace(/\p{Cc}/gu, '')
      .slice(0, RUNNER_NAME_CHARS_MAX) ||
      'runner');
  if (!isText(name) || name === '' || name.length > RUNNER_NAME_CHARS_MAX) {
    return wrong(`--name must have 1 to ${RUNNER_NAME_CHARS_MAX} characters, without control characters`);
  }
  const labels: Record<string, string> = ownLabels();
  for (const pair of list('label')) {
    const [, label = '', value = ''] = /^([^=]*)=(.*)$/s.exec(pair) ?? [];
    if (!LABEL_KEY_PATTERN.test(label) || !isText(value) || value.length > LABEL_VALUE_CHARS_MAX) {
      return wrong(
        `--label ${JSON.stringify(pair)} must be name=value: a name of letters, digits or . _ / -, and a value of at most ${LABEL_VALUE_CHARS_MAX} characters`,
      );
    }
    labels[label] = value;
  }
  if (Object.keys(labels).length > LABELS_MAX) return wrong(`there may be at most ${LABELS_MAX} labels, with os, arch and host`);

  const once = values.once === true;
  const slots = wholeNumber(text('slots', 'HOLDFAST_RUNNER_SLOTS') ?? '1', 1, RUNNER_SLOTS_MAX);
  if (slots === null) return wrong(`--slots must be a number from 1 to ${RUNNER_SLOTS_MAX}`);
  if (once && slots > 1) return wrong('--once takes one execution, so --slots must be 1');
  const idleExit = text('idle-exit');
  const idleExitMs = idleExit === undefined ? null : durationMs(idleExit);
  if (idleExit !== undefined && idleExitMs === null) return wrong('--idle-exit must be a time such as 90s, 10m or 1h');
  const statusPort = values['status-port'] === undefined ? null : wholeNumber(String(values['status-port']), 0, 65_535);
  if (values['status-port'] !== undefined && statusPort === null) return wrong('--status-port must be a number from 0 to 65535');
  const coordinator = values.coordinator === undefined ? null : httpUrl(String(values.coordinator));
  if (coordinator === undefined) return wrong('--coordinator must be an http(s) URL');
  return {
    kind: 'options',
    options: {
      url,
      credential,
      tenant: Buffer.from(tenantCode, 'base64url').toString('utf8'),
      pool,
      name,
      labels,
      slots,
      once,
      idleExitMs,
      spool: resolve(text('spool', 'HOLDFAST_RUNNER_SPOOL') ?? join(homedir(), '.holdfast', 'pools', pool)),
      runAs: text('run-as') ?? null,
      allowCommands: list('allow-command'),
      allowFolders: list('allow-cwd'),
      statusPort,
      stopJobs: values['stop-jobs'] === true,
      coordinator: coordinator?.origin ?? null,
      json: values.json === true,
    },
  };
}

const isText = (text: string): boolean => !/\p{Cc}/u.test(text) && text.isWellFormed();

/** What a start can require without a person having set it. */
const ownLabels = (): Record<string, string> => ({
  os: process.platform === 'darwin' ? 'macos' : process.platform,
  arch: arch(),
  host: hostname()
    .replace(/\p{Cc}/gu, '')
    .slice(0, LABEL_VALUE_CHARS_MAX),
});

function httpUrl(text: string | undefined): URL | undefined {
  const url = text !== undefined && URL.canParse(text) ? new URL(text) : null;
  return url?.protocol === 'http:' || url?.protocol === 'https:' ? url : undefined;
}

function wholeNumber(text: string, min: number, max: number): number | null {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
  return value >= min && value <= max ? value : null;
}

const UNITS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000 };

/** Null: not a time. */
function durationMs(text: string): number | null {
  const [, count = '', unit = ''] = /^(\d{1,6})(s|m|h)$/.exec(text) ?? [];
  const value = Number(count) * (UNITS[unit] ?? 0);
  return value > 0 ? value : null;
}

/** The socket of the pool. A path of the address stays in front. */
export function connectUrl(url: URL, pool: string): string {
  const base = url.href
    .replace(/^http/, 'ws')
    .replace(/[?#].*$/, '')
    .replace(/\/$/, '');
  return `${base}/v1/pools/${encodeURIComponent(pool)}/connect`;
}

/** For messages: no credential that somebody wrote into the address. */
export const shownUrl = (url: URL): string => `${url.origin}${url.pathname === '/' ? '' : url.pathname}`;
