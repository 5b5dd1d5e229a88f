/**
 * The environment of the runs: the real stack, with a proxy in front of the coordinator for each of
 * its two kinds of peers.
 *
 *    viewers, API calls ──► viewer link ──► coordinator ◄── wrapper link ◄── wrapper ── job
 *                                           ▲                                ▲ starts
 *                                           └───────────── runner ───────────┘
 *
 * The coordinator is `wrangler dev`.
 * Owns a folder for everything, the processes, and the proxies. `close()` leaves no process that
 * has the folder among its arguments.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient, type HoldfastClient } from '../../client/index.ts';
import { copyPrograms, freePort, Stack } from '../../scripts/stack.ts';
import { endJobsIn } from '../../test/support/held-jobs.ts';
import { processesWith } from '../../test/support/real-stack.ts';
import { TcpProxy } from '../../test/support/tcp-proxy.ts';
import { identityOf, signalProcess } from '../../wrapper/processes.ts';
import { FullDisk } from './disk.ts';

export class Stage {
  readonly folder: string;
  readonly stack: Stack;
  readonly wrapperLink: TcpProxy;
  readonly viewerLink: TcpProxy;
  /** Below the spools of all wrappers. */
  readonly disk: FullDisk;
  /** Goes through the viewers' link. */
  readonly client: HoldfastClient;

  private constructor(folder: string, stack: Stack, wrapperLink: TcpProxy, viewerLink: TcpProxy, disk: FullDisk) {
    this.folder = folder;
    this.disk = disk;
    this.stack = stack;
    this.wrapperLink = wrapperLink;
    this.viewerLink = viewerLink;
    // Times out early enough that a call over a half-open link can be repeated.
    this.client = createClient({
      url: viewerLink.url,
      apiKey: stack.apiKey,
      attemptTimeoutMs: 4000,
      retryBudgetMs: 120_000,
    });
  }

  static async open(): Promise<Stage> {
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-chaos-'));
    const links: TcpProxy[] = [];
    try {
      const root = join(folder, 'programs');
      // The repository may be edited during fifty runs, and `wrangler dev` would reload at each save.
      copyPrograms(root);
      const port = await freePort();
      for (let i = 0; i < 2; i += 1) links.push(await TcpProxy.start({ targetPort: port }));
      const [wrapperLink, viewerLink] = links as [TcpProxy, TcpProxy];
      const disk = new FullDisk(join(folder, 'disk'));
      const stack = await Stack.start({
        data: join(folder, 'data'),
        port,
        root,
        publicUrl: wrapperLink.url,
        wrapper: [process.execPath, ...disk.nodeArguments, join(root, 'wrapper', 'main.ts')],
      });
      return new Stage(folder, stack, wrapperLink, viewerLink, disk);
    } catch (error) {
      for (const link of links) await link.close();
      rmSync(folder, { recursive: true, force: true });
      throw error;
    }
  }

  /** Call it before reading the coordinator's data, and at the end. Idempotent. */
  async stop(): Promise<void> {
    await this.stack.stop();
    // A failed run may have left the runner dead. Its wrappers then have no process that stops
    // them.
    for (const { pid } of processesWith(this.folder)) {
      const identity = identityOf(pid);
      if (identity) signalProcess(identity, 'SIGKILL');
    }
  }

  async close({ keepFolder = false } = {}): Promise<void> {
    await this.stop();
    for (const link of [this.wrapperLink, this.viewerLink]) await link.close().catch(() => {});
    if (!keepFolder) {
      await sleep(50);
      endJobsIn(this.folder);
      rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
    }
  }
}
