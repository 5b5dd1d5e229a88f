/**
 * The Worker with a stand-in for `ctx.container`, for test/e2e/containers.long.test.ts: an engine
 * of the test performs the platform's part over HTTP (test/support/container-engine.ts). The only
 * other difference: the object observes its container more often than every WATCH_MS, so that a
 * test does not wait.
 *
 * One difference to the platform remains: `running` on the platform is always current. Here it is
 * the state at the start of the event, or at the last request.
 */

import type { LaunchRequest } from '../../../protocol/launch.ts';
import { JobContainer as RealJobContainer } from '../../../src/container/job-container.ts';
import type { ContainerPort } from '../../../src/container/keeper.ts';
import type { LaunchTerms } from '../../../src/launch/container-calls.ts';
import type { Env } from '../../../src/platform/env.ts';

export { default, Holdfast, RunnerPool, SessionCoordinator, TenantDirectory } from '../../../src/index.ts';

const LOOK_MS = 1500;

interface TestEnv extends Env {
  TEST_ENGINE_URL: string;
}

class EngineContainer implements ContainerPort {
  running = false;
  readonly #engine: string;
  readonly #name: string;
  #starting: Promise<unknown> = Promise.resolve();

  constructor(engine: string, name: string) {
    this.#engine = engine;
    this.#name = name;
  }

  async refresh(): Promise<number> {
    const { running, port } = (await (await this.#ask('GET')).json()) as { running: boolean; port: number };
    this.running = running;
    return port;
  }

  start({ env }: { env: Record<string, string> }): void {
    if (this.running) throw new Error('start() cannot be called on a container that is already running.');
    this.running = true;
    this.#starting = this.#ask('POST', env);
  }

  async destroy(): Promise<void> {
    await this.#ask('DELETE');
    this.running = false;
  }

  async setInactivityTimeout(): Promise<void> {}

  getTcpPort(expected: number) {
    return {
      fetch: async (url: string, init?: RequestInit): Promise<Response> => {
        await this.#starting;
        const port = await this.refresh();
        const to = new URL(url);
        if (!this.running || to.port !== String(expected)) throw new Error('the container is not listening');
        return fetch(`http://127.0.0.1:${port}${to.pathname}`, init);
      },
    };
  }

  #ask(method: string, body?: object): Promise<Response> {
    return fetch(`${this.#engine}/${encodeURIComponent(this.#name)}`, { method, ...(body ? { body: JSON.stringify(body) } : {}) });
  }
}

export class JobContainer extends RealJobContainer {
  declare standIn: EngineContainer;

  /** Called by the base's constructor. */
  protected override containerPort(): ContainerPort {
    this.standIn = new EngineContainer((this.env as TestEnv).TEST_ENGINE_URL, this.ctx.id.name ?? '');
    this.ctx.blockConcurrencyWhile(() => this.standIn.refresh());
    return this.standIn;
  }

  override async launch(request: LaunchRequest, terms: LaunchTerms) {
    await this.standIn.refresh();
    const outcome = await super.launch(request, terms);
    await this.#hurry();
    return outcome;
  }

  override async release() {
    await this.standIn.refresh();
    await super.release();
  }

  override async alarm() {
    await this.standIn.refresh();
    await super.alarm();
    await this.#hurry();
  }

  async #hurry(): Promise<void> {
    const at = await this.ctx.storage.getAlarm();
    if (at !== null && at > Date.now() + LOOK_MS) await this.ctx.storage.setAlarm(Date.now() + LOOK_MS);
  }
}
