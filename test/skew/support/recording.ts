/**
 * The stack under the recorder: the real coordinator, and the runner of a container, with recording
 * proxies in front of both, wrappers as processes of their own, and functions to wait for their
 * actions. scenarios.ts uses them.
 *
 *    viewers, wrappers ──► proxy ──► coordinator
 *    launchInContainer ──► proxy ──► runner of a container
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { STREAM_SUBPROTOCOL } from '../../../protocol/index.ts';
import type { LaunchRequest } from '../../../protocol/launch.ts';
import { freePort, ROOT, Stack } from '../../../scripts/stack.ts';
import type { LaunchOutcome } from '../../../src/core/launching.ts';
import { launchOnRunner } from '../../../src/launch/runner.ts';
import { endJobsIn } from '../../support/held-jobs.ts';
import type { Entry, FixtureHead, RecordedCall } from './fixtures.ts';
import { type Gates, lastSeqIn } from './jobs.ts';
import { RecordingProxy } from './recording-proxy.ts';

const PATIENCE_MS = 30_000;

export async function until<T>(look: () => T | Promise<T>, what: string): Promise<NonNullable<T>> {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const value = await look();
    if (value) return value;
    if (Date.now() > end) throw new Error(`${what}: not within ${PATIENCE_MS} ms`);
    await sleep(20);
  }
}

export interface StartedRun {
  session: string;
  id: string;
  url: string;
  token: string;
}

export interface RecordedWrapper {
  process: ChildProcess;
  spool: string;
  ended: Promise<number | null>;
}

/** A fixture before it is scrubbed. */
export interface RawFixture {
  head: Omit<FixtureHead, 'protocol' | 'version'>;
  entries: Entry[];
}

interface ContainerRunner {
  process: ChildProcess;
  token: string;
}

/** As the image of a container runs it, with the variables that the coordinator gives it. */
function startContainerRunner(folder: string, port: number): ContainerRunner {
  const token = randomBytes(24).toString('hex');
  const child = spawn(process.execPath, [join(ROOT, 'wrapper', 'main.ts'), 'serve'], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: {
      PATH: process.env.PATH,
      HOLDFAST_RUNNER_TOKEN: token,
      HOLDFAST_RUNNER_HOST: '127.0.0.1',
      HOLDFAST_RUNNER_PORT: String(port),
      HOLDFAST_RUNNER_SPOOL: join(folder, 'container'),
      HOLDFAST_RUNNER_DRAIN: '1',
    },
  });
  return { process: child, token };
}

const answers = async (url: string): Promise<boolean> => {
  try {
    return (await fetch(`${url}/health`)).ok;
  } catch {
    return false;
  }
};

/** Runs the repository's own Worker with test/workers/support/recording-worker.ts as its entry. */
function recordingRoot(folder: string): string {
  const root = join(folder, 'root');
  mkdirSync(root);
  for (const folder of ['wrapper', 'runner']) symlinkSync(join(ROOT, folder), join(root, folder));
  if (existsSync(join(ROOT, 'dist', 'dashboard')))
    cpSync(join(ROOT, 'dist', 'dashboard'), join(root, 'dist', 'dashboard'), { recursive: true });
  const config = readFileSync(join(ROOT, 'wrangler.toml'), 'utf8');
  const entry = join(ROOT, 'test', 'workers', 'support', 'recording-worker.ts');
  writeFileSync(join(root, 'wrangler.toml'), config.replace('main = "src/index.ts"', `main = ${JSON.stringify(entry)}`));
  return root;
}

export class RecordedStack {
  readonly stack: Stack;
  readonly proxy: RecordingProxy;
  readonly runnerProxy: RecordingProxy;
  readonly folder: string;
  readonly wrappers: RecordedWrapper[] = [];
  readonly #runner: ContainerRunner;

  private constructor(
    stack: Stack,
    runner: ContainerRunner,
    proxies: { proxy: RecordingProxy; runnerProxy: RecordingProxy },
    folder: string,
  ) {
    this.stack = stack;
    this.#runner = runner;
    this.proxy = proxies.proxy;
    this.runnerProxy = proxies.runnerProxy;
    this.folder = folder;
  }

  get runnerToken(): string {
    return this.#runner.token;
  }

  static async start(): Promise<RecordedStack> {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-record-'));
    const [port, runnerPort] = [await freePort(), await freePort()];
    const proxy = await RecordingProxy.start(`http://127.0.0.1:${port}`);
    const runnerProxy = await RecordingProxy.start(`http://127.0.0.1:${runnerPort}`);
    const runner = startContainerRunner(folder, runnerPort);
    try {
      await until(() => answers(`http://127.0.0.1:${runnerPort}`), 'the runner of the container answers');
      const stack = await Stack.start({
        data: join(folder, 'data'),
        root: recordingRoot(folder),
        port,
        publicUrl: proxy.url,
        variables: { HOLDFAST_LAUNCHER: 'none' },
      });
      return new RecordedStack(stack, runner, { proxy, runnerProxy }, folder);
    } catch (error) {
      runner.process.kill('SIGKILL');
      await Promise.all([proxy.close(), runnerProxy.close()]);
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  async close(): Promise<void> {
    for (const { process } of this.wrappers) process.kill('SIGKILL');
    endJobsIn(this.folder);
    await this.stack.stop();
    const { process: runner } = this.#runner;
    if (runner.exitCode === null && runner.kill('SIGTERM')) await once(runner, 'exit');
    await Promise.all([this.proxy.close(), this.runnerProxy.close()]);
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }

  // ── callers ───────────────────────────────────────────────────────────────────────────────────

  async api(
    method: string,
    path: string,
    { body, headers = {} }: { body?: unknown; headers?: Record<string, string> } = {},
  ): Promise<Response> {
    const answer = await fetch(`${this.proxy.url}${path}`, {
      method,
      headers: {
        authorization: `Bearer ${this.stack.apiKey}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return new Response(await answer.arrayBuffer().then((bytes) => (bytes.byteLength > 0 ? bytes : null)), {
      status: answer.status,
      headers: answer.headers,
    });
  }

  async start(session: string, request: { id: string; command: readonly string[] } & Record<string, unknown>): Promise<StartedRun> {
    const answer = await this.api('POST', `/v1/sessions/${session}/executions`, { body: request });
    const { ingest } = (await answer.json()) as { ingest?: { url: string; token: string } };
    if (!ingest) throw new Error(`start answered ${answer.status}`);
    return { session, id: request.id, ...ingest };
  }

  /** As the session's container object asks the runner in its container. */
  async launchInContainer(
    run: StartedRun,
    job: Omit<LaunchRequest, 'id' | 'session' | 'tenant' | 'ingest'>,
  ): Promise<LaunchOutcome> {
    const { id, session, url, token } = run;
    const request = { id, session, tenant: 'local', ...job, ingest: { url, token } };
    return launchOnRunner({ url: this.runnerProxy.url, token: this.runnerToken, send: fetch }, request, Date.now());
  }

  wrapper(run: StartedRun, command: readonly string[], { args = [] as string[], env = {}, spool = '' } = {}): RecordedWrapper {
    const directory = spool || mkdtempSync(join(this.folder, 'spool-'));
    const child = spawn(process.execPath, [join(ROOT, 'wrapper', 'main.ts'), 'run', ...args, '--', ...command], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: {
        PATH: process.env.PATH,
        HOLDFAST_INGEST_URL: run.url,
        HOLDFAST_INGEST_TOKEN: run.token,
        HOLDFAST_SPOOL: directory,
        HOLDFAST_JOB_ENV: JSON.stringify(env),
      },
    });
    const ended = new Promise<number | null>((resolve) => child.on('close', (code) => resolve(code)));
    const wrapper = { process: child, spool: directory, ended };
    this.wrappers.push(wrapper);
    return wrapper;
  }

  /**
   * A viewer that records nothing itself: the proxy does. `acks`: acknowledges each frame of
   * events.
   */
  view(session: string, query: string, { acks = false } = {}): { ended: Promise<number>; close: () => void; frames: string[] } {
    const frames: string[] = [];
    const socket = new WebSocket(
      `${this.proxy.url.replace(/^http/, 'ws')}/v1/sessions/${session}/stream${query}`,
      [STREAM_SUBPROTOCOL],
      {
        headers: { authorization: `Bearer ${this.stack.apiKey}` },
      },
    );
    socket.on('message', (data) => {
      const text = data.toString();
      frames.push(text);
      const frame = JSON.parse(text) as { type: string; offset?: number; offsets?: number[]; events?: unknown[] };
      if (!acks || frame.type !== 'events') return;
      const last = frame.offsets?.at(-1) ?? (frame.offset ?? 0) + (frame.events?.length ?? 1) - 1;
      socket.send(JSON.stringify({ type: 'ack', offset: last }));
    });
    const ended = new Promise<number>((resolve, reject) => {
      socket.on('close', (code) => resolve(code));
      socket.on('error', reject);
    });
    return { ended, close: () => socket.close(1000, 'done'), frames };
  }

  // ── what was recorded ─────────────────────────────────────────────────────────────────────────

  /** Entries of the connections and requests whose path passes. */
  entries(passes: (path: string) => boolean, proxy = this.proxy): Entry[] {
    const ours = new Set<number>();
    for (const entry of proxy.entries) {
      const path =
        'open' in entry
          ? entry.open.path
          : 'refused' in entry
            ? entry.refused.path
            : 'request' in entry
              ? entry.request.path
              : null;
      if (path !== null && passes(path)) ours.add(entry.connection);
    }
    return proxy.entries.filter(({ connection }) => ours.has(connection));
  }

  ingest = (session: string): Entry[] =>
    this.entries((path) => path.startsWith(`/v1/sessions/${session}/`) && path.endsWith('/ingest'));

  /** Highest seq that was acknowledged in this session, whether or not the ack arrived. */
  acked(session: string): number {
    const acks = this.ingest(session).map((entry) => {
      const texts =
        'frame' in entry && entry.from === 'callee' ? [entry.frame] : 'response' in entry ? entry.response.body.split('\n') : [];
      return Math.max(0, ...texts.map((text) => Number(/^\{"type":"ack","seq":(\d+)\}$/.exec(text)?.[1] ?? 0)));
    });
    return Math.max(0, ...acks);
  }

  /** Highest seq that its wrapper sent, whether or not it arrived. */
  sent(session: string): number {
    const sent = this.ingest(session).map((entry) => {
      if ('frame' in entry && entry.from === 'caller') return entry.by ? 0 : lastSeqIn(entry.frame);
      return 'request' in entry ? highestSeqIn(entry.request.body) : 0;
    });
    return Math.max(0, ...sent);
  }

  /** Lets each line pass when the event before it was sent, until the wrapper has ended. */
  async pace(session: string, gates: Gates, wrapper: RecordedWrapper): Promise<number | null> {
    let running = true;
    void wrapper.ended.then(() => {
      running = false;
    });
    await until(() => {
      gates.open(this.sent(session));
      return !running;
    }, `the wrapper of ${session} ends`);
    return wrapper.ended;
  }

  /** Calls between the Worker and its objects, from the coordinator's log. */
  calls(): (RecordedCall & { name: string })[] {
    const lines = readFileSync(join(this.stack.data, 'coordinator.log'), 'utf8').split('\n');
    return lines.flatMap((line) => {
      const begin = line.indexOf('HOLDFAST_CALL ');
      return begin === -1 ? [] : [JSON.parse(line.slice(begin + 'HOLDFAST_CALL '.length)) as RecordedCall & { name: string }];
    });
  }
}

/** Of a posted body: several frames, one after the other. */
export const highestSeqIn = (body: string): number =>
  Math.max(
    0,
    ...[...body.matchAll(/^\{"type":"events","seq":(\d+),"count":(\d+)\}$/gm)].map(
      ([, seq, count]) => Number(seq) + Number(count) - 1,
    ),
  );
