/**
 * Workers on plain `workerd serve`: the bundle that `wrangler deploy --dry-run --outdir` writes,
 * SQLite on the local disk, and no proxy in front. The proxy of `wrangler dev` takes more time for
 * a message than the object does.
 *
 * Owns the process and the folder of each. `stop()` ends the process and removes the folder.
 */

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort, ROOT } from '../../scripts/stack.ts';
import { configText, type WorkerConfig } from './capnp.ts';

const WRANGLER = join(ROOT, 'node_modules', 'wrangler', 'bin', 'wrangler.js');
const WORKERD = join(ROOT, 'node_modules', '.bin', 'workerd');
const READY_TIMEOUT_MS = 20_000;
const STOP_TIMEOUT_MS = 5_000;

/** No process outlives the bench, however it ends. */
const running = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

export interface WorkerSource {
  /** Path of its wrangler.toml in this repository. */
  config: string;
  /** Another entry than that of the file, with the same bindings. */
  entry?: string;
  /** Text bindings in addition to those of the file: keys. */
  vars: Record<string, string>;
}

export class Workerd {
  readonly url: string;
  readonly inspectorPort: number | null;
  readonly #folder: string;
  #process: ChildProcess | null = null;

  private constructor(url: string, folder: string, inspectorPort: number | null) {
    this.url = url;
    this.#folder = folder;
    this.inspectorPort = inspectorPort;
  }

  /** With `inspect` its debugger port is open, which costs some speed; only for profiles. */
  static async serve(source: WorkerSource, { inspect = false } = {}): Promise<Workerd> {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-bench-'));
    try {
      const { modules, config } = await bundle(source, folder);
      const port = await freePort();
      const disk = join(folder, 'storage');
      mkdirSync(disk);
      writeFileSync(join(folder, 'bundle', 'config.capnp'), configText({ ...config, modules, port, disk }));
      const server = new Workerd(`http://127.0.0.1:${port}`, folder, inspect ? await freePort() : null);
      await server.#launch();
      return server;
    } catch (error) {
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  /** A new process on the same disk: its memory holds nothing of the earlier work. */
  async restart(): Promise<void> {
    await this.#end();
    await this.#launch();
  }

  async stop(): Promise<void> {
    await this.#end();
    rmSync(this.#folder, { recursive: true, force: true, maxRetries: 5 });
  }

  async #launch(): Promise<void> {
    const args = ['serve', join(this.#folder, 'bundle', 'config.capnp'), '--experimental'];
    if (this.inspectorPort !== null) args.push(`--inspector-addr=127.0.0.1:${this.inspectorPort}`);
    const child = spawn(WORKERD, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    running.add(child);
    child.once('exit', () => running.delete(child));
    this.#process = child;
    let said = '';
    child.stderr?.on('data', (bytes: Buffer) => {
      said = (said + bytes.toString()).slice(-4000);
    });
    for (const end = Date.now() + READY_TIMEOUT_MS; ; await sleep(20)) {
      if (child.exitCode !== null) throw new Error(`workerd ended with ${child.exitCode}: ${said}`);
      if (Date.now() > end) throw new Error(`workerd did not answer: ${said}`);
      const answer = await fetch(`${this.url}/healthz`).catch(() => null);
      if (answer?.ok) return;
    }
  }

  async #end(): Promise<void> {
    const child = this.#process;
    this.#process = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await ended;
    clearTimeout(timer);
  }
}

async function bundle(
  { config, entry, vars }: WorkerSource,
  folder: string,
): Promise<{ modules: string[]; config: Omit<WorkerConfig, 'modules' | 'port' | 'disk'> }> {
  const out = join(folder, 'bundle');
  const { unstable_readConfig } = await import('wrangler');
  const read = unstable_readConfig({ config: join(ROOT, config) });
  // It expects the dashboard, which is not requested here.
  if (read.assets?.directory) mkdirSync(read.assets.directory, { recursive: true });
  const run = spawnSync(
    process.execPath,
    [WRANGLER, 'deploy', ...(entry ? [join(ROOT, entry)] : []), '--dry-run', '--outdir', out, '--config', join(ROOT, config)],
    {
      cwd: ROOT,
      encoding: 'utf8',
      env: { ...process.env, WRANGLER_SEND_METRICS: 'false', CI: 'true' },
    },
  );
  if (run.status !== 0) throw new Error(`the Worker of ${config} could not be bundled: ${run.stdout}${run.stderr}`);
  return {
    modules: readdirSync(out).filter((name) => !/\.(map|md)$/.test(name)),
    config: {
      compatibilityDate: read.compatibility_date ?? '',
      compatibilityFlags: read.compatibility_flags,
      objects: read.durable_objects.bindings.map(({ name, class_name }: { name: string; class_name: string }) => ({
        binding: name,
        className: class_name,
      })),
      vars: { ...(read.vars as Record<string, string>), ...vars },
    },
  };
}
