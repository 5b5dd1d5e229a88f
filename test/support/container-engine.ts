/**
 * A container engine for tests: a "container" is the real runner as a process, with a folder as its
 * disk. When its main process ends, the container is gone: every process in it, and the disk.
 * The Worker's stand-in for `ctx.container` (test/workers/support/container-worker.ts) calls it
 * over HTTP, by the name of its object.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { listProcesses, processTree, signalProcess } from '../../wrapper/processes.ts';
import { MAIN } from './wrapper-run.ts';

export interface Started {
  name: string;
  env: Record<string, string>;
  /** Of the main process; null while it runs. */
  exitCode: number | null;
  disk: string;
  main: ChildProcess;
  port: number;
}

export class ContainerEngine {
  /** Every container that ever existed, oldest first. */
  readonly started: Started[] = [];
  readonly destroyed: string[] = [];
  readonly #folder: string;
  readonly #server: Server;

  private constructor(folder: string) {
    this.#folder = folder;
    this.#server = createServer(async (request, response) => {
      const name = decodeURIComponent((request.url ?? '/').slice(1));
      try {
        if (request.method === 'POST') this.#start(name, JSON.parse(await text(request)) as Record<string, string>);
        if (request.method === 'DELETE') {
          this.destroyed.push(name);
          await this.kill(name);
        }
        const container = this.running(name);
        response.end(JSON.stringify({ running: container !== null, port: container?.port ?? 0 }));
      } catch (error) {
        response.writeHead(500).end(String(error));
      }
    });
  }

  static async open(folder: string): Promise<ContainerEngine> {
    const engine = new ContainerEngine(folder);
    engine.#server.listen(0, '127.0.0.1');
    await once(engine.#server, 'listening');
    return engine;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The containers of one session, `tenant/session`. */
  of(name: string): Started[] {
    return this.started.filter((container) => container.name === name);
  }

  running(name: string): Started | null {
    return this.of(name).find(({ main }) => main.exitCode === null && main.signalCode === null) ?? null;
  }

  /**
   * Ends the container as the platform drains one: signals its main process, and removes the rest
   * when that has ended. Resolves then.
   */
  async terminate(name: string): Promise<void> {
    const container = this.running(name);
    if (!container) throw new Error(`${name} has no container`);
    const ended = once(container.main, 'exit');
    container.main.kill('SIGTERM');
    await ended;
    this.#remove(container);
  }

  /** Immediately, with everything in it. */
  async kill(name: string): Promise<void> {
    const container = this.running(name);
    if (!container) return;
    const ended = once(container.main, 'exit');
    this.#remove(container);
    await ended;
  }

  async close(): Promise<void> {
    for (const container of this.started) this.#remove(container);
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #start(name: string, env: Record<string, string>): void {
    if (this.running(name)) throw new Error(`${name} runs already`);
    const disk = join(this.#folder, `disk-${this.started.length}`);
    mkdirSync(disk, { recursive: true });
    // A container has its own network; here the runner picks a free port of the machine.
    const own = { HOLDFAST_RUNNER_HOST: '127.0.0.1', HOLDFAST_RUNNER_PORT: '0', HOLDFAST_RUNNER_SPOOL: disk };
    const main = spawn(process.execPath, [MAIN, 'serve'], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, ...env, ...own },
      cwd: disk,
    });
    const container: Started = { name, env, exitCode: null, disk, main, port: 0 };
    this.started.push(container);
    main.on('exit', (code) => {
      container.exitCode = code;
    });
    createInterface({ input: main.stdout }).once('line', (line) => {
      container.port = Number(/^runner on port (\d+),/.exec(line)?.[1]);
    });
  }

  /** The wrappers are found by their disk, and their jobs through them. */
  #remove({ main, disk }: Started): void {
    main.kill('SIGKILL');
    const inside = listProcesses().filter(({ pid, command }) => pid !== main.pid && command.includes(disk));
    for (const identity of inside.flatMap(({ pid }) => processTree(pid))) signalProcess(identity, 'SIGKILL');
    rmSync(disk, { recursive: true, force: true, maxRetries: 5 });
  }
}
