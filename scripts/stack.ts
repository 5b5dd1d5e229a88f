/**
 * The whole of Holdfast on this machine: the coordinator (`wrangler dev`) and a runner, for `npm start`, the demo and the tests.
 *
 * Owns every process it starts and ends each by its group or pid, and looks that it is gone. Each stands behind a keeper
 * (keeper.mjs), so that nothing lingers when this process is killed.
 * Does not own: the data folder. Keys are made there once, so that a later start with the same folder continues.
 */

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  cpSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { listProcesses } from '../wrapper/processes.ts';

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const KEEPER = join(ROOT, 'scripts', 'keeper.mjs');
const WRANGLER = join(ROOT, 'node_modules', 'wrangler', 'bin', 'wrangler.js');
const BUILD = join(ROOT, 'scripts', 'build.mjs');
const DASHBOARD = join('dist', 'dashboard');
const WRAPPER_SOURCE = join('wrapper', 'main.ts');
const WRAPPER_BUNDLE = join(ROOT, 'dist', 'holdfast-wrapper.mjs');

/** A cold wrangler bundles the Worker and starts workerd; a loaded machine takes its time. */
const READY_TIMEOUT_MS = 90_000;
const STOP_TIMEOUT_MS = 15_000;
const BUILD_TIMEOUT_MS = 120_000;
/** A killed process is off the list as soon as it is a zombie; threads of it that are still ending may hold its sockets for a moment more. */
const PORT_FREE_TIMEOUT_MS = 5000;

export interface StackOptions {
  /** Keys, the coordinator's storage, the runner's spool and the logs. */
  data: string;
  port?: number;
  runnerPort?: number;
  /** What wrappers dial, when it is not the coordinator itself (a proxy). */
  publicUrl?: string;
  runnerMax?: number;
  /** Pages of these origins may read sessions from a browser. */
  allowedOrigins?: readonly string[];
  /** Further variables of the coordinator. */
  variables?: Readonly<Record<string, string>>;
  /** Run the bundled wrapper in dist/ instead of its source. */
  bundled?: boolean;
  /** A copy of this repository whose Worker and wrapper are run in place of its own, so that edits meanwhile change nothing. */
  root?: string;
  /** The coordinator's program and arguments in place of `wrangler dev`, asked for at each start. It has no dashboard. */
  coordinator?: (at: { port: number; data: string; variables: Readonly<Record<string, string>> }) => string[];
  /** Program and first arguments in place of the wrapper's own, to which `serve …` is added. */
  wrapper?: readonly string[];
  log?: (message: string) => void;
}

interface Keys {
  apiKey: string;
  signingKey: string;
  runnerToken: string;
  /** Signs callbacks; a receiver checks them with it. */
  callbackKey: string;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  server.listen(port, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}

/** Below what Linux (32768) and macOS (49152) give to those who ask for any port, and to the near end of each connection. */
const PORT_RANGE = [20_000, 32_000] as const;

/**
 * A port that is free now, and that the system gives to nobody by itself: between this and the moment when a coordinator listens there, or listens there again
 * after it was killed, seconds go by in which others on this machine open sockets. Whoever takes it all the same is noticed; the stack then says so.
 */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const port = randomInt(...PORT_RANGE);
    if (await isFree(port)) return port;
  }
  throw new Error(`no free port from ${PORT_RANGE[0]} to ${PORT_RANGE[1] - 1} in 100 attempts`);
}

export class Stack {
  readonly port: number;
  readonly url: string;
  readonly apiKey: string;
  readonly runnerToken: string;
  readonly callbackKey: string;
  readonly data: string;
  runnerUrl = '';
  readonly #options: StackOptions;
  readonly #keys: Keys;
  #coordinator: Kept | null = null;
  #runner: Kept | null = null;

  private constructor(options: StackOptions, port: number) {
    this.#options = options;
    this.data = resolve(options.data);
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.#keys = readKeys(this.data, options.log ?? ((message) => process.stderr.write(`${message}\n`)));
    this.apiKey = this.#keys.apiKey;
    this.runnerToken = this.#keys.runnerToken;
    this.callbackKey = this.#keys.callbackKey;
  }

  /** Resolves when both answer. On failure nothing is left running. */
  static async start(options: StackOptions): Promise<Stack> {
    const stack = new Stack(options, options.port ?? (await freePort()));
    try {
      await stack.#startRunner();
      await stack.#startCoordinator();
      return stack;
    } catch (error) {
      await stack.stop();
      throw error;
    }
  }

  /** Leader of the coordinator's process group. */
  get coordinatorPid(): number | null {
    return this.#coordinator?.pid ?? null;
  }

  /** The same of the runner. Its wrappers lead groups of their own. */
  get runnerPid(): number | null {
    return this.#runner?.pid ?? null;
  }

  /** Resolves when one of the two ends without having been asked to. */
  async crashed(): Promise<string> {
    const watch = async (kept: Kept | null, name: string): Promise<string> => {
      await kept?.ended;
      return kept?.asked ? new Promise(() => {}) : `${name} ended by itself; its log is ${kept?.logFile}`;
    };
    return Promise.race([watch(this.#coordinator, 'the coordinator'), watch(this.#runner, 'the runner')]);
  }

  /** SIGKILL to the coordinator with every process of its group, as when its machine dies. Resolves when none is left. */
  async kill(): Promise<void> {
    await this.#coordinator?.kill();
    this.#coordinator = null;
  }

  /** The coordinator again, on the same port and data. */
  async restart(): Promise<void> {
    await this.kill();
    const end = Date.now() + PORT_FREE_TIMEOUT_MS;
    while (!(await isFree(this.port)) && Date.now() < end) await sleep(50);
    await this.#startCoordinator();
  }

  /** The runner alone, as when its host's service manager restarts it. Its jobs go on. */
  async killRunner(): Promise<void> {
    await this.#runner?.kill();
    this.#runner = null;
  }

  async startRunner(): Promise<void> {
    await this.#startRunner();
  }

  /** First the runner, whose jobs still report to the coordinator; then that. Idempotent. */
  async stop(): Promise<void> {
    const runner = this.#runner;
    this.#runner = null;
    await runner?.stop();
    const coordinator = this.#coordinator;
    this.#coordinator = null;
    await coordinator?.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #startRunner(): Promise<void> {
    const source = join(this.#options.root ?? ROOT, WRAPPER_SOURCE);
    const bundled = this.#options.bundled ?? !existsSync(source);
    const port = this.runnerUrl === '' ? (this.#options.runnerPort ?? (await freePort())) : Number(new URL(this.runnerUrl).port);
    const max = this.#options.runnerMax === undefined ? [] : ['--max', String(this.#options.runnerMax)];
    const program = this.#options.wrapper ?? [process.execPath, bundled ? WRAPPER_BUNDLE : source];
    const kept = new Kept(
      [
        ...[...program, 'serve', '--json', '--stop-jobs'],
        ...['--port', String(port), '--spool', join(this.data, 'runner'), ...max],
      ],
      { logFile: join(this.data, 'runner.log'), env: { HOLDFAST_RUNNER_TOKEN: this.#keys.runnerToken }, readStdout: true },
    );
    this.#runner = kept;
    const line = await kept.firstLine(READY_TIMEOUT_MS);
    if (line === null) throw new Error(`the runner did not start; its log ends so:\n${kept.logTail()}`);
    this.runnerUrl = (JSON.parse(line) as { url: string }).url;
  }

  /** Wrangler picks ports of its own between looking and listening; on a busy machine another program is quicker now and then. */
  async #startCoordinator(): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#tryCoordinator();
      } catch (error) {
        if (attempt === 3 || !/Address already in use|EADDRINUSE/.test((error as Error).message)) throw error;
        await this.kill();
      }
    }
  }

  async #tryCoordinator(): Promise<void> {
    // Another program on the port would answer in place of ours.
    if (!(await isFree(this.port)))
      throw new Error(`127.0.0.1:${this.port} is in use. Choose another port, or stop what listens there.`);
    const { coordinator } = this.#options;
    if (!coordinator) await this.#provideDashboard();
    const envFile = join(this.data, 'coordinator.env');
    const variables: Record<string, string> = {
      HOLDFAST_API_KEYS: `local=${this.#keys.apiKey}`,
      HOLDFAST_SIGNING_KEYS: this.#keys.signingKey,
      HOLDFAST_RUNNER_TOKEN: this.#keys.runnerToken,
      HOLDFAST_CALLBACK_KEYS: `local=${this.#keys.callbackKey}`,
      // A receiver on this machine is what one tries first.
      HOLDFAST_CALLBACK_ALLOW_PRIVATE: '1',
      HOLDFAST_LAUNCHER: 'runner',
      HOLDFAST_RUNNER_URL: this.runnerUrl,
      HOLDFAST_PUBLIC_URL: this.#options.publicUrl ?? this.url,
      ...(this.#options.allowedOrigins ? { HOLDFAST_ALLOWED_ORIGINS: this.#options.allowedOrigins.join(',') } : {}),
      ...this.#options.variables,
    };
    const lines = Object.entries(variables).map(([name, value]) => `${name}="${value}"\n`);
    writeFileSync(envFile, lines.join(''), { mode: 0o600 });
    const command = coordinator?.({ port: this.port, data: this.data, variables });
    const kept = new Kept(
      command ?? [
        ...[process.execPath, WRANGLER, 'dev', '--config', join(this.#options.root ?? ROOT, 'wrangler.toml'), '--local'],
        ...['--ip', '127.0.0.1', '--port', String(this.port), '--inspector-port', '0'],
        ...['--persist-to', join(this.data, 'coordinator'), '--env-file', envFile],
        ...['--show-interactive-dev-session=false', '--log-level', 'log'],
      ],
      {
        logFile: join(this.data, 'coordinator.log'),
        env: {
          WRANGLER_SEND_METRICS: 'false',
          WRANGLER_HIDE_BANNER: 'true',
          // Several stacks at a time must not find each other, and nothing is fetched from the network.
          WRANGLER_REGISTRY_PATH: join(this.data, 'registry'),
          WRANGLER_LOG_PATH: join(this.data, 'wrangler-logs'),
          CLOUDFLARE_CF_FETCH_ENABLED: 'false',
          CLOUDFLARE_LOAD_DEV_VARS_FROM_DOT_ENV: 'true',
          CI: '1',
        },
      },
    );
    this.#coordinator = kept;
    const end = Date.now() + READY_TIMEOUT_MS;
    while (!(await isHealthy(this.url))) {
      if (kept.hasEnded) throw new Error(`the coordinator did not start; its log ends so:\n${kept.logTail()}`);
      if (Date.now() > end) throw new Error(`the coordinator did not answer in time; its log ends so:\n${kept.logTail()}`);
      await sleep(100);
    }
  }

  /** `wrangler dev` does not start without the folder of the dashboard. Costs a moment when it is built already. */
  async #provideDashboard(): Promise<void> {
    const { root = ROOT } = this.#options;
    const copy = join(root, DASHBOARD);
    if (root !== ROOT && existsSync(copy)) return;
    const built = new Promise<string>((done) => {
      const options = { cwd: ROOT, timeout: BUILD_TIMEOUT_MS };
      execFile(process.execPath, [BUILD, '--dashboard'], options, (error, _, stderr) =>
        done(error ? `${error.message}\n${stderr}` : ''),
      );
    });
    const problem = await built;
    if (problem !== '') throw new Error(`the dashboard could not be built: ${problem}`);
    if (root !== ROOT) cpSync(join(ROOT, DASHBOARD), copy, { recursive: true });
  }
}

async function isHealthy(url: string): Promise<boolean> {
  try {
    const answer = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(2000) });
    await answer.arrayBuffer();
    return answer.ok;
  } catch {
    return false;
  }
}

/** A folder or file of keys that others of this machine may open is closed to them, also when it was there before. Where that is not ours to change, it is said. */
export function keepForOwner(path: string, log: (message: string) => void): void {
  if (!existsSync(path)) return;
  const mode = statSync(path).mode & 0o777;
  if ((mode & 0o077) === 0) return;
  try {
    chmodSync(path, mode & 0o700);
    log(
      `${path} could be opened by other users of this machine, and keys are in it: its mode is ${(mode & 0o700).toString(8)} now`,
    );
  } catch (error) {
    log(`${path} can be opened by other users of this machine, and keys are in it: ${(error as Error).message}`);
  }
}

function readKeys(data: string, log: (message: string) => void): Keys {
  mkdirSync(data, { recursive: true, mode: 0o700 });
  const file = join(data, 'keys.json');
  for (const path of [data, file]) keepForOwner(path, log);
  const known: Partial<Keys> = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : {};
  // Keys that are there stay. A folder from before there were callbacks has none for them.
  const keys: Keys = {
    apiKey: `hf_${randomBytes(24).toString('hex')}`,
    signingKey: randomBytes(32).toString('hex'),
    runnerToken: randomBytes(24).toString('hex'),
    callbackKey: `whsec_${randomBytes(32).toString('base64')}`,
    ...known,
  };
  if (known.callbackKey === undefined) writeFileSync(file, `${JSON.stringify(keys, null, 2)}\n`, { mode: 0o600 });
  return keys;
}

interface KeptOptions {
  logFile: string;
  env: Record<string, string>;
  readStdout?: boolean;
}

/** A program behind a keeper, in a process group of its own. */
class Kept {
  readonly logFile: string;
  readonly ended: Promise<void>;
  hasEnded = false;
  /** Its end was asked for. */
  asked = false;
  readonly #child: ChildProcess;
  /** Bytes that earlier starts left in the log. */
  readonly #logBefore: number;

  constructor(command: string[], { logFile, env, readStdout = false }: KeptOptions) {
    this.logFile = logFile;
    // A proxy setting for the outside world must not come between two processes of this machine.
    const { HOLDFAST_URL: _url, HOLDFAST_API_KEY: _key, NODE_OPTIONS: _options, ...inherited } = process.env;
    const log = openSync(logFile, 'a', 0o600);
    this.#logBefore = fstatSync(log).size;
    this.#child = spawn(process.execPath, [KEEPER, ...command], {
      cwd: ROOT,
      detached: true,
      stdio: ['pipe', readStdout ? 'pipe' : log, log],
      env: { ...inherited, ...env },
    });
    closeSync(log);
    this.#child.stdin?.on('error', () => {});
    this.ended = new Promise((done) => {
      this.#child.on('error', done);
      this.#child.on('exit', done);
    }).then(() => {
      this.hasEnded = true;
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  async firstLine(timeoutMs: number): Promise<string | null> {
    const { stdout } = this.#child;
    if (!stdout) return null;
    const lines = createInterface({ input: stdout });
    const abort = new AbortController();
    const line = once(lines, 'line', { signal: abort.signal }).then(([text]) => String(text));
    const none = Promise.race([this.ended, sleep(timeoutMs, undefined, { signal: abort.signal })]).then(() => null);
    try {
      return await Promise.race([line, none]);
    } finally {
      abort.abort();
      for (const pending of [line, none]) pending.catch(() => {});
    }
  }

  logTail(): string {
    return readFileSync(this.logFile).subarray(this.#logBefore).toString('utf8').slice(-3000);
  }

  async stop(): Promise<void> {
    this.asked = true;
    if (!this.hasEnded) this.#child.kill('SIGTERM');
    const late = sleep(STOP_TIMEOUT_MS, undefined, { ref: false });
    await Promise.race([this.ended, late]);
    await this.kill();
  }

  async kill(): Promise<void> {
    this.asked = true;
    const end = Date.now() + STOP_TIMEOUT_MS;
    while (this.pid > 0 && listProcesses().some(({ group }) => group === this.pid)) {
      if (Date.now() > end) throw new Error(`process group ${this.pid} does not end`);
      try {
        process.kill(-this.pid, 'SIGKILL');
      } catch {
        // The last of them just ended.
      }
      await sleep(20);
    }
    await this.ended;
    this.#child.stdin?.destroy();
    this.#child.stdout?.destroy();
  }
}
