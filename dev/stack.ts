/**
 * The local stack: a coordinator and a runner as processes of this machine, for `holdfast dev`,
 * `npm start`, the demo and the tests.
 *
 * Owns every process that it starts, ends each by its group or pid, and checks that it is gone.
 * Each runs behind a keeper, so that no process is left when this one is killed.
 *
 *   ST1  The runner ends first, also when this process is killed: its jobs still report to the
 *        coordinator.
 *   ST2  What a run did not deliver before its stack ended is delivered at the next start on the
 *        same folder, also on another port.
 *   ST3  A folder that is not a stack's own is refused, and not changed (data-folder).
 *   ST4  The runner dials out to the pool `default`. It starts when the coordinator answers, because
 *        its key is made there. The key is kept in the data folder, and made again when the
 *        coordinator does not know it.
 *   ST5  Two coordinators on one folder would damage it, so the lock of a runner that lives is looked
 *        for before anything is started.
 */

import { readFileSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive } from '../wrapper/processes.ts';
import { claimDataFolder } from './data-folder.ts';
import { isHealthy, stopsAnswering } from './health.ts';
import { KeptProcess } from './kept-process.ts';
import { type Keys, readKeys } from './keys.ts';
import { describeListenFailure, freePort, isFree, listenFailure } from './ports.ts';
import { provideRunnerKey, runnerKeyFile } from './runner-key.ts';

/** A cold wrangler bundles the Worker and starts workerd, which takes long on a loaded machine. */
const READY_TIMEOUT_MS = 90_000;
/**
 * A killed process leaves the process list when it is a zombie. Its threads that still end may hold
 * its sockets for a moment longer.
 */
const PORT_FREE_TIMEOUT_MS = 5000;
/** Enough for one machine; what waits for a slot waits in the pool. */
const SLOTS_DEFAULT = 64;
/** Longer than the runner takes with --stop-jobs: 10 s for jobs, 5 s for reports, 2 s for ends. */
const RUNNER_PATIENCE_MS = 25_000;

export interface CoordinatorPlace {
  port: number;
  data: string;
  variables: Readonly<Record<string, string>>;
  /** The variables as a file. */
  envFile: string;
}

export interface LocalStackOptions {
  /** Keys, the coordinator's storage, the runner's spool and the logs. */
  data: string;
  port?: number;
  /** Where the runner answers for its status. */
  runnerPort?: number;
  /** The address that wrappers dial, if it is not the coordinator itself (a proxy). */
  publicUrl?: string;
  /** Executions that may run at the same time. */
  slots?: number;
  /** Pages of these origins may read sessions from a browser. */
  allowedOrigins?: readonly string[];
  /** Further variables of the coordinator. */
  variables?: Readonly<Record<string, string>>;
  /** Program and arguments of the coordinator, asked for at each start. */
  coordinator: (at: CoordinatorPlace) => string[] | Promise<string[]>;
  coordinatorCwd: string;
  /** Program and first arguments of the wrapper, to which `serve …` is added. */
  wrapper: readonly string[];
  /** Where the runner, and a job without a folder of its own, runs. */
  cwd: string;
  log?: (message: string) => void;
}

/** `wrangler dev` on the Worker of a configuration file. */
export function wranglerDev(wrangler: string, config: string, { port, data, envFile }: CoordinatorPlace): string[] {
  return [
    ...[process.execPath, wrangler, 'dev', '--config', config, '--local'],
    ...['--ip', '127.0.0.1', '--port', String(port), '--inspector-port', '0'],
    ...['--persist-to', join(data, 'coordinator'), '--env-file', envFile],
    ...['--show-interactive-dev-session=false', '--log-level', 'log'],
  ];
}

export class LocalStack {
  readonly port: number;
  readonly url: string;
  readonly apiKey: string;
  readonly callbackKey: string;
  readonly data: string;
  /** Answers /health and /metrics of the runner. */
  runnerUrl = '';
  readonly #options: LocalStackOptions;
  readonly #keys: Keys;
  #coordinator: KeptProcess | null = null;
  #runner: KeptProcess | null = null;

  private constructor(options: LocalStackOptions, port: number) {
    this.#options = options;
    this.data = resolve(options.data);
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
    claimDataFolder(this.data); // ST3
    this.#keys = readKeys(this.data, options.log ?? ((message) => process.stderr.write(`holdfast: ${message}\n`)));
    this.apiKey = this.#keys.apiKey;
    this.callbackKey = this.#keys.callbackKey;
  }

  /** Resolves when both answer. On failure no process is left running. */
  static async start(options: LocalStackOptions): Promise<LocalStack> {
    const stack = new LocalStack(options, options.port ?? (await freePort()));
    try {
      await stack.#checkPorts();
      await stack.#startCoordinator();
      await stack.#startRunner(); // ST4
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

  /** Leader of the runner's process group. Its wrappers lead groups of their own. */
  get runnerPid(): number | null {
    return this.#runner?.pid ?? null;
  }

  /** Resolves when one of the two ends unexpectedly. */
  async crashed(): Promise<string> {
    const watch = async (kept: KeptProcess | null, name: string): Promise<string> => {
      await kept?.ended;
      return kept?.asked ? new Promise(() => {}) : `${name} ended by itself; its log is ${kept?.logFile}`;
    };
    return Promise.race([watch(this.#coordinator, 'the coordinator'), watch(this.#runner, 'the runner')]);
  }

  /** Resolves when the coordinator has not answered for half a minute; false: aborted. */
  silent(signal: AbortSignal): Promise<boolean> {
    return stopsAnswering(() => isHealthy(this.url), signal);
  }

  /**
   * SIGKILL to every process of the coordinator's group, as when its machine dies. Resolves when no
   * process of it is left.
   */
  async kill(): Promise<void> {
    await this.#coordinator?.kill();
    this.#coordinator = null;
  }

  /** Starts the coordinator again, on the same port and data. */
  async restart(): Promise<void> {
    await this.kill();
    const end = Date.now() + PORT_FREE_TIMEOUT_MS;
    while (!(await isFree(this.port)) && Date.now() < end) await sleep(50);
    await this.#startCoordinator();
  }

  /** Kills the runner alone, as when its host's service manager restarts it. Its jobs continue. */
  async killRunner(): Promise<void> {
    await this.#runner?.kill();
    this.#runner = null;
  }

  async startRunner(): Promise<void> {
    await this.#startRunner();
  }

  /** The runner first (ST1). Idempotent. */
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

  /** Before anything is started. The runner would tell its own flags. */
  async #checkPorts(): Promise<void> {
    const pid = servingRunner(this.data);
    if (pid !== null) throw new Error(alreadyServed(this.data, pid)); // ST5
    const { runnerPort } = this.#options;
    for (const [port, flag] of [
      [this.port, '--port'],
      [runnerPort, '--runner-port'],
    ] as const) {
      const failure = port === undefined ? null : await listenFailure(port);
      if (port !== undefined && failure !== null) throw new Error(describeListenFailure(failure, port, flag));
    }
  }

  /** ST1 */
  #tieEnds(): void {
    if (this.#coordinator && this.#runner) this.#coordinator.outlive(this.#runner);
  }

  async #startRunner(): Promise<void> {
    const { runnerPort, slots = SLOTS_DEFAULT, publicUrl, wrapper, cwd } = this.#options;
    const port = this.runnerUrl === '' ? (runnerPort ?? (await freePort())) : Number(new URL(this.runnerUrl).port);
    await provideRunnerKey(this.data, { url: this.url, apiKey: this.apiKey });
    const kept = new KeptProcess(
      [
        ...[...wrapper, 'serve', '--url', this.url, '--key-file', runnerKeyFile(this.data), '--name', 'local'],
        ...['--slots', String(slots), '--status-port', String(port), '--spool', join(this.data, 'runner')],
        ...['--stop-jobs', '--json', '--coordinator', publicUrl ?? this.url], // ST2
      ],
      {
        cwd,
        logFile: join(this.data, 'runner.log'),
        env: {},
        readStdout: true,
        patienceMs: RUNNER_PATIENCE_MS,
      },
    );
    this.#runner = kept;
    this.#tieEnds();
    const line = await kept.firstLine(READY_TIMEOUT_MS);
    if (line === null) {
      const [, pid] = /a runner already uses .* \(pid (\d+)/.exec(kept.logTail()) ?? [];
      if (pid !== undefined) throw new Error(alreadyServed(this.data, pid));
      throw new Error(`the runner did not start; its log ends so:\n${kept.logTail()}`);
    }
    this.runnerUrl = `http://127.0.0.1:${port}`;
  }

  /**
   * Wrangler picks ports of its own, and does not listen on them at once; on a busy machine another
   * program sometimes takes one first.
   */
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
    // Another program on the port would answer instead of ours.
    const failure = await listenFailure(this.port);
    if (failure !== null) throw new Error(describeListenFailure(failure, this.port, '--port'));
    const envFile = join(this.data, 'coordinator.env');
    const variables: Record<string, string> = {
      HOLDFAST_API_KEYS: `local=${this.#keys.apiKey}`,
      HOLDFAST_SIGNING_KEYS: this.#keys.signingKey,
      HOLDFAST_CALLBACK_KEYS: `local=${this.#keys.callbackKey}`,
      // The first receiver that a developer tries is on this machine.
      HOLDFAST_CALLBACK_ALLOW_PRIVATE: '1',
      HOLDFAST_LAUNCHER: 'pool',
      HOLDFAST_PUBLIC_URL: this.#options.publicUrl ?? this.url,
      ...(this.#options.allowedOrigins ? { HOLDFAST_ALLOWED_ORIGINS: this.#options.allowedOrigins.join(',') } : {}),
      ...this.#options.variables,
    };
    const lines = Object.entries(variables).map(([name, value]) => `${name}="${value}"\n`);
    writeFileSync(envFile, lines.join(''), { mode: 0o600 });
    const command = await this.#options.coordinator({ port: this.port, data: this.data, variables, envFile });
    const kept = new KeptProcess(command, {
      cwd: this.#options.coordinatorCwd,
      logFile: join(this.data, 'coordinator.log'),
      env: {
        WRANGLER_SEND_METRICS: 'false',
        WRANGLER_HIDE_BANNER: 'true',
        // Several stacks at a time must not find each other, and the coordinator fetches nothing
        // from the network.
        WRANGLER_REGISTRY_PATH: join(this.data, 'registry'),
        WRANGLER_LOG_PATH: join(this.data, 'wrangler-logs'),
        CLOUDFLARE_CF_FETCH_ENABLED: 'false',
        CLOUDFLARE_LOAD_DEV_VARS_FROM_DOT_ENV: 'true',
        CI: '1',
      },
    });
    this.#coordinator = kept;
    this.#tieEnds();
    const end = Date.now() + READY_TIMEOUT_MS;
    while (!(await isHealthy(this.url))) {
      if (kept.hasEnded) throw new Error(`the coordinator did not start; its log ends so:\n${kept.logTail()}`);
      if (Date.now() > end) throw new Error(`the coordinator did not answer in time; its log ends so:\n${kept.logTail()}`);
      await sleep(100);
    }
  }
}

const alreadyServed = (data: string, pid: number | string): string =>
  `another stack already serves ${data} (its runner is process ${pid}).`;

/** The living process that has the lock of the runner's folder. Null: there is none. */
function servingRunner(data: string): number | null {
  try {
    const { pid, start, host } = JSON.parse(readFileSync(join(data, 'runner', 'runner.lock'), 'utf8'));
    return host === hostname() && isAlive({ pid, start }) ? Number(pid) : null;
  } catch {
    return null;
  }
}
