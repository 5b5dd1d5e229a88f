/**
 * What one file of browser tests stands on: a real stack, a proxy between the browser and the
 * coordinator that can be cut, and Chromium.
 *
 *   browser ──viewers (TCP proxy)──▶ coordinator ◀──real.proxy (TCP proxy)── wrapper ── job
 *
 * Pages are opened at the viewers' proxy, and watched (page-watch). `checkPages` fails on whatever
 * a page did that it must not; call it after each test.
 */

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BrowserContext, BrowserContextOptions, Page } from 'playwright-core';
import type { Execution, StartRequest } from '../../../protocol/index.ts';
import type { StackOptions } from '../../../scripts/stack.ts';
import { RealStack, until } from '../../support/real-stack.ts';
import { TcpProxy } from '../../support/tcp-proxy.ts';
import { launchChromium, type OwnBrowser } from './chromium.ts';
import { PageWatch } from './page-watch.ts';

export const DESKTOP = { width: 1280, height: 800 };
export const PHONE = { width: 390, height: 844 };

export interface WatchedPage {
  page: Page;
  watch: PageWatch;
  context: BrowserContext;
}

export interface PageOptions extends BrowserContextOptions {
  /** Origins other than the deployment's that the page may talk to. */
  origins?: string[];
  /** A second tab: shares the storage. */
  beside?: BrowserContext;
}

export class Stage {
  readonly real: RealStack;
  /** Between the browser and the coordinator. */
  readonly viewers: TcpProxy;
  readonly #chromium: OwnBrowser;
  #pages: WatchedPage[] = [];
  #jobs = 0;

  private constructor(real: RealStack, viewers: TcpProxy, own: OwnBrowser) {
    this.real = real;
    this.viewers = viewers;
    this.#chromium = own;
  }

  static async start(options: Partial<StackOptions> = {}): Promise<Stage> {
    const own = await launchChromium(); // First: it fails at once when there is none.
    try {
      const real = await RealStack.start(options);
      const viewers = await TcpProxy.start({ targetPort: real.stack.port });
      return new Stage(real, viewers, own);
    } catch (error) {
      await own.close();
      throw error;
    }
  }

  /** Where pages find the deployment. */
  get url(): string {
    return this.viewers.url;
  }

  get apiKey(): string {
    return this.real.stack.apiKey;
  }

  get chromium(): OwnBrowser {
    return this.#chromium;
  }

  async open({ origins = [], beside, ...options }: PageOptions = {}): Promise<WatchedPage> {
    const context = beside ?? (await this.#chromium.browser.newContext({ viewport: DESKTOP, reducedMotion: 'reduce', ...options }));
    context.setDefaultTimeout(60_000);
    const page = await context.newPage();
    const opened = { page, context, watch: await PageWatch.begin(page, [this.url, this.url.replace(/^http/, 'ws'), ...origins]) };
    this.#pages.push(opened);
    return opened;
  }

  /** Closes every page, and throws when one of them did what it must not. */
  async checkPages(): Promise<void> {
    const pages = this.#pages;
    this.#pages = [];
    const problems = pages.flatMap(({ watch }) => watch.unexpected);
    for (const context of new Set(pages.map(({ context }) => context))) await context.close();
    if (problems.length > 0) throw new Error(`the page complained:\n  ${[...new Set(problems)].join('\n  ')}`);
  }

  /**
   * Starts a job that is a Node program. `HOLD` in its environment is a file: a job may wait until
   * it exists (`release`). With a `command` in the request, its first word is the program: found in
   * a folder of its own, at the front of the job's PATH.
   */
  async start(session: string, program: string, request: Partial<StartRequest> = {}): Promise<Job> {
    this.#jobs += 1;
    const folder = join(this.real.folder, 'jobs', String(this.#jobs));
    mkdirSync(folder, { recursive: true });
    const file = join(folder, 'job.mjs');
    writeFileSync(file, program);
    const [name] = request.command ?? [];
    if (name) writeFileSync(join(folder, name), `#!/bin/sh\nexec '${process.execPath}' '${file}'\n`, { mode: 0o755 });
    const hold = join(folder, 'release');
    const { execution } = await this.real.client.start(session, {
      command: [process.execPath, file],
      ...request,
      env: { HOLD: hold, PATH: `${folder}:${process.env.PATH}`, ...request.env },
    });
    return new Job(this.real, execution, hold);
  }

  /** Ends all of it, also what the rest of this could not. */
  async close(): Promise<void> {
    const ends = await Promise.allSettled([this.#chromium.close(), this.viewers.close(), this.real.close()]);
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
  }
}

export class Job {
  readonly execution: Execution;
  readonly #real: RealStack;
  readonly #hold: string;

  constructor(real: RealStack, execution: Execution, hold: string) {
    this.#real = real;
    this.execution = execution;
    this.#hold = hold;
  }

  get session(): string {
    return this.execution.session;
  }

  get id(): string {
    return this.execution.id;
  }

  get path(): string {
    return `/sessions/${this.session}/executions/${this.id}`;
  }

  release(): void {
    writeFileSync(this.#hold, '');
  }

  running(): Promise<Execution> {
    return until(async () => {
      const execution = await this.#real.client.get(this.session, this.id);
      return execution.status === 'running' ? execution : null;
    }, `${this.id} runs`);
  }

  ended(): Promise<Execution> {
    return this.#real.client.wait(this.session, this.id);
  }
}
