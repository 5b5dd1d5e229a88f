/**
 * Measures `@durable-streams/server` on Node: appends over HTTP, one live reader by Server-Sent
 * Events.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ROOT } from '../../scripts/stack.ts';
import { eventLine, LAST_MARK } from './frames.ts';
import { Signal } from './socket.ts';

const PEER = join(ROOT, 'bench', 'peers', 'durable-streams-server.ts');
/** Appends in flight at once. More did not make it faster. */
const IN_FLIGHT = 8;

export class DurableStreamsServer {
  readonly pid: number;
  readonly url: string;
  readonly #process: ChildProcess;
  readonly #folder: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: IN_FLIGHT + 2 });

  private constructor(process: ChildProcess, url: string, folder: string) {
    this.#process = process;
    this.pid = process.pid as number;
    this.url = url;
    this.#folder = folder;
  }

  static async start(): Promise<DurableStreamsServer> {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-ds-'));
    const child = spawn(process.execPath, [PEER, folder], { stdio: ['pipe', 'pipe', 'inherit'] });
    const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream });
    const said = new Signal<string>();
    // It logs to stdout too.
    lines.on('line', (line) => line.startsWith('http://') && said.resolve(line));
    child.once('exit', () => said.reject(new Error('@durable-streams/server did not start')));
    const url = await said.promise;
    return new DurableStreamsServer(child, url, folder);
  }

  async stop(): Promise<void> {
    const ended = once(this.#process, 'exit');
    this.#process.stdin?.end();
    const timer = setTimeout(() => this.#process.kill('SIGKILL'), 3000);
    await ended;
    clearTimeout(timer);
    this.#agent.destroy();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /**
   * Appends `events` in bodies of `perBody` to a new stream that one reader follows. Milliseconds
   * from the first append to the last event at the reader.
   */
  async ingest(events: number, bytes: number, perBody: number): Promise<number> {
    const path = `/${randomUUID()}`;
    await this.#send('PUT', path, null);
    const reader = await this.#follow(`${path}?offset=-1&live=sse`);
    const body = `[${Array.from({ length: perBody }, (_, index) => eventLine(bytes, index)).join(',')}]`;
    const lastBody = `[${Array.from({ length: perBody }, (_, index) => eventLine(bytes, index, index === perBody - 1)).join(',')}]`;
    const bodies = Math.ceil(events / perBody);
    let next = 0;
    const begun = performance.now();
    // The order of concurrent bodies is not kept; this server numbers appends only through its own
    // producers.
    const worker = async (): Promise<void> => {
      while (next < bodies - 1) {
        next += 1;
        await this.#send('POST', path, body);
      }
    };
    await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
    await this.#send('POST', path, lastBody);
    await reader.seen;
    const ms = performance.now() - begun;
    reader.stop();
    return ms;
  }

  #send(method: string, path: string, body: string | null): Promise<void> {
    return new Promise((resolve, reject) => {
      const sent = request(
        `${this.url}${path}`,
        { method, agent: this.#agent, headers: { 'content-type': 'application/json' } },
        (answer) => {
          answer.resume();
          answer.on('end', () =>
            (answer.statusCode ?? 500) < 300 ? resolve() : reject(new Error(`${method} ${path} answered ${answer.statusCode}`)),
          );
        },
      );
      sent.on('error', reject);
      sent.end(body ?? undefined);
    });
  }

  async #follow(path: string): Promise<{ seen: Promise<void>; stop: () => void }> {
    const seen = new Signal<void>();
    const sent = request(`${this.url}${path}`, { agent: this.#agent });
    sent.end();
    const [answer] = (await once(sent, 'response')) as [NodeJS.ReadableStream & { destroy(): void }];
    let tail = '';
    answer.on('data', (bytes: Buffer) => {
      tail = (tail + bytes.toString('latin1')).slice(-(bytes.length + LAST_MARK.length));
      if (tail.includes(LAST_MARK)) seen.resolve();
      tail = tail.slice(-LAST_MARK.length);
    });
    answer.on('error', () => {});
    return { seen: seen.promise, stop: () => answer.destroy() };
  }
}
