/**
 * The environment of a crowd: the coordinator on plain workerd, one runner, a receiver of
 * callbacks, and a proxy in front of the coordinator for each of its two kinds of peers.
 *
 *    viewers ──► viewer link ──► coordinator ◄── wrapper link ◄── wrappers ── jobs
 *    API calls ─────────────────────┘ ▲                            ▲ starts
 *                                     └─────────── runner ─────────┘
 *
 * Owns a folder for everything, the processes, and the proxies. Worker and wrapper are bundled into
 * the folder when it opens, so edits during a run have no effect. `close()` leaves no process that
 * has the folder among its arguments.
 */

import { copyFileSync, mkdirSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient, type HoldfastClient } from '../../client/index.ts';
import { freePort, Stack } from '../../scripts/stack.ts';
import { CallbackReceiver } from '../../test/support/callback-receiver.ts';
import { endJobsIn } from '../../test/support/held-jobs.ts';
import { preparePlainWorkerd } from '../../test/support/plain-workerd.ts';
import { processesWith } from '../../test/support/real-stack.ts';
import { TcpProxy } from '../../test/support/tcp-proxy.ts';
import { bundleWrapper } from '../../test/support/wrapper-bundle.ts';
import { identityOf, signalProcess } from '../../wrapper/processes.ts';
import { memberOf, probeOptions, type Usage, usageOf, workerHeapMiB } from './usage.ts';

/**
 * Memory as a disk. A coordinator on one machine commits for all its sessions in one thread, each
 * commit with an fsync. On a slow disk the test would measure only that.
 */
const MEMORY_DISK = '/dev/shm';
const MEMORY_DISK_BYTES_MIN = 2 * 1024 ** 3;

function parentFolder(): string {
  try {
    const { bavail, bsize } = statfsSync(MEMORY_DISK);
    if (bavail * bsize > MEMORY_DISK_BYTES_MIN) return MEMORY_DISK;
  } catch {
    // The memory disk does not exist.
  }
  return tmpdir();
}

const JOB = join(import.meta.dirname, 'job.sh');

export interface CrowdStageOptions {
  /** Wrappers that may run at a time. */
  max: number;
  collect: 'runner' | 'all';
}

/** One in this many callbacks is refused, and is retried. */
const REFUSED_CALLBACKS = 29;

export class CrowdStage {
  readonly folder: string;
  readonly stack: Stack;
  readonly wrapperLink: TcpProxy;
  readonly viewerLink: TcpProxy;
  readonly receiver: CallbackReceiver;
  /** Directly to the coordinator. */
  readonly client: HoldfastClient;
  readonly job: string;
  readonly gate: string;
  readonly #inspectorPort: number;

  private constructor(
    folder: string,
    stack: Stack,
    links: [TcpProxy, TcpProxy],
    receiver: CallbackReceiver,
    inspectorPort: number,
  ) {
    this.folder = folder;
    this.stack = stack;
    [this.wrapperLink, this.viewerLink] = links;
    this.receiver = receiver;
    this.#inspectorPort = inspectorPort;
    this.job = join(folder, 'job.sh');
    this.gate = join(folder, 'gate');
    this.client = createClient({ url: stack.url, apiKey: stack.apiKey, attemptTimeoutMs: 15_000, retryBudgetMs: 120_000 });
  }

  static async open({ max, collect }: CrowdStageOptions): Promise<CrowdStage> {
    const folder = mkdtempSync(join(parentFolder(), 'holdfast-crowd-'));
    const links: TcpProxy[] = [];
    let stack: Stack | null = null;
    try {
      const wrapper = join(folder, 'holdfast-wrapper.mjs');
      bundleWrapper(wrapper);
      copyFileSync(JOB, join(folder, 'job.sh'));
      mkdirSync(join(folder, 'truth'));
      const inspectorPort = await freePort();
      const workerd = await preparePlainWorkerd(folder, inspectorPort);
      const port = await freePort();
      for (let i = 0; i < 2; i += 1) links.push(await TcpProxy.start({ targetPort: port }));
      const [wrapperLink, viewerLink] = links as [TcpProxy, TcpProxy];
      stack = await Stack.start({
        data: join(folder, 'data'),
        port,
        publicUrl: wrapperLink.url,
        slots: max,
        coordinator: workerd.command,
        wrapper: [process.execPath, ...probeOptions(join(folder, 'probes'), collect), wrapper],
      });
      const receiver = await CallbackReceiver.start(stack.callbackKey, (n) => (n % REFUSED_CALLBACKS === 0 ? 500 : 200));
      return new CrowdStage(folder, stack, [wrapperLink, viewerLink], receiver, inspectorPort);
    } catch (error) {
      await stack?.stop();
      for (const link of links) await link.close();
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  truthFile(session: string, execution: string): string {
    return join(this.folder, 'truth', `${session}-${execution}`);
  }

  get runnerSpool(): string {
    return join(this.stack.data, 'runner');
  }

  /** Runs that have a slot of the runner. */
  async running(): Promise<number> {
    const answer = await fetch(`${this.stack.runnerUrl}/health`, {
      headers: { connection: 'close' },
      signal: AbortSignal.timeout(10_000),
    });
    return ((await answer.json()) as { running: number }).running;
  }

  get coordinatorPid(): number | null {
    return memberOf(this.stack.coordinatorPid, ' serve ');
  }

  get runnerPid(): number | null {
    return memberOf(this.stack.runnerPid, ' serve ');
  }

  /** Wrappers that run now. */
  wrapperPids(): number[] {
    return processesWith(join(this.folder, 'holdfast-wrapper.mjs'))
      .filter(({ command }) => command.includes(' run '))
      .map(({ pid }) => pid);
  }

  usageOf(pid: number | null): Usage | null {
    return pid === null ? null : usageOf(pid, join(this.folder, 'probes'));
  }

  workerHeapMiB(): Promise<number | null> {
    return workerHeapMiB(this.#inspectorPort, this.stack.url);
  }

  /** Wrappers and jobs that are left. */
  leftovers(): { pid: number; command: string }[] {
    return processesWith(this.folder).filter(({ command }) => / run |job\.sh/.test(command));
  }

  /** Call it before reading the coordinator's data, and at the end. Idempotent. */
  async stop(): Promise<void> {
    await this.stack.stop();
    // A failed crowd may have left the runner dead. Its wrappers then have no process that stops
    // them.
    for (const { pid } of processesWith(this.folder)) {
      const identity = identityOf(pid);
      if (identity) signalProcess(identity, 'SIGKILL');
    }
  }

  async close({ keepFolder = false } = {}): Promise<void> {
    await this.stop();
    await this.receiver.close();
    for (const link of [this.wrapperLink, this.viewerLink]) await link.close().catch(() => {});
    if (keepFolder) return;
    await sleep(50);
    endJobsIn(this.folder);
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}
