/**
 * For end-to-end tests: the real stack in a temporary folder, and functions to use it. `close()`
 * ends every process that it starts.
 */

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import {
  connectSession,
  createClient,
  type HoldfastClient,
  type SessionStream,
  type WebSocketConstructor,
} from '../../client/index.ts';
import type { LoggedEvent } from '../../protocol/index.ts';
import { foldersIn, readRecord } from '../../runner/folder.ts';
import type { RunRecord } from '../../runner/record.ts';
import { freePort, ROOT, Stack, type StackOptions } from '../../scripts/stack.ts';
import { listProcesses, type ProcessInfo } from '../../wrapper/processes.ts';
import { endJobsIn } from './held-jobs.ts';
import { TcpProxy } from './tcp-proxy.ts';

export class RealStack {
  readonly stack: Stack;
  /** Between wrappers and the coordinator. */
  readonly proxy: TcpProxy;
  readonly client: HoldfastClient;
  readonly folder: string;

  private constructor(stack: Stack, proxy: TcpProxy, folder: string) {
    this.stack = stack;
    this.proxy = proxy;
    this.folder = folder;
    this.client = createClient({ url: stack.url, apiKey: stack.apiKey });
  }

  static async start(options: Partial<StackOptions> = {}): Promise<RealStack> {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-e2e-'));
    const port = await freePort();
    const proxy = await TcpProxy.start({ targetPort: port });
    try {
      const stack = await Stack.start({ data: join(folder, 'data'), port, publicUrl: proxy.url, ...options });
      return new RealStack(stack, proxy, folder);
    } catch (error) {
      await proxy.close();
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** The environment of a user who has the URL and the key. */
  get userEnv(): NodeJS.ProcessEnv {
    return { ...process.env, HOLDFAST_URL: this.stack.url, HOLDFAST_API_KEY: this.stack.apiKey };
  }

  /** The built command line, as that user. */
  holdfast(...args: string[]): Promise<{ code: number | null; stdout: Buffer; stderr: string }> {
    return new Promise((done) => {
      const child = spawn(process.execPath, [join(ROOT, 'packages', 'holdfast', 'bin', 'holdfast.mjs'), ...args], {
        env: this.userEnv,
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      const stdout: Buffer[] = [];
      let stderr = '';
      child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
      child.stderr.on('data', (chunk) => {
        stderr += chunk;
      });
      child.on('close', (code) => done({ code, stdout: Buffer.concat(stdout), stderr }));
    });
  }

  /** What the runner has on disk: a record for each run. */
  runs(): RunRecord[] {
    const folders = foldersIn(join(this.stack.data, 'runner')).flatMap(foldersIn);
    return folders.flatMap((folder) => readRecord(folder) ?? []);
  }

  run(session: string, id: string): RunRecord | undefined {
    return this.runs().find((run) => run.session === session && run.id === id);
  }

  follow(session: string, execution?: string, after = 0): SessionStream {
    return connectSession({
      url: this.stack.url,
      apiKey: this.stack.apiKey,
      session,
      after,
      WebSocketImpl: WebSocket as unknown as WebSocketConstructor,
      ...(execution === undefined ? {} : { execution }),
    });
  }

  /** The log of an execution up to its verdict. */
  async read(session: string, execution: string): Promise<LoggedEvent[]> {
    const events: LoggedEvent[] = [];
    for await (const event of this.follow(session, execution)) events.push(event);
    return events;
  }

  async close(): Promise<void> {
    await this.stack.stop();
    await this.proxy.close();
    endJobsIn(this.folder);
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Processes that have this text among their arguments, without this process. */
export const processesWith = (text: string): ProcessInfo[] =>
  listProcesses().filter(({ pid, command }) => pid !== process.pid && command.includes(text));

export async function until<T>(look: () => T | Promise<T>, what: string, ms = 60_000): Promise<NonNullable<T>> {
  const end = Date.now() + ms;
  for (;;) {
    const value = await look();
    if (value) return value;
    if (Date.now() > end) throw new Error(`${what}: not within ${ms} ms`);
    await sleep(50);
  }
}
