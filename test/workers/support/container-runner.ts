/**
 * Containers for sessions under test: real container objects, over a stand-in for the platform's
 * container. The file's own function is the runner in each of them, and sees its launches.
 */

import { beforeEach, vi } from 'vitest';
import type { ContainerPort } from '../../../src/container/keeper.ts';
import { JobContainer } from '../../../src/index.ts';
import { testEnv } from './peers.ts';

/** Sees each launch request. What it throws is a port that does not answer. */
type Runner = (request: Request) => Response | Promise<Response>;

/** The protected part of a container's object. */
interface Platform {
  containerPort(): ContainerPort | null;
}

class StandIn implements ContainerPort {
  running = false;
  readonly #runner: Runner;

  constructor(runner: Runner) {
    this.#runner = runner;
  }

  start(): void {
    this.running = true;
  }

  async destroy(): Promise<void> {
    this.running = false;
  }

  async setInactivityTimeout(): Promise<void> {}

  getTcpPort() {
    return { fetch: async (url: string, init?: RequestInit) => this.#answer(new Request(url, init)) };
  }

  #answer(request: Request): Response | Promise<Response> {
    if (request.method === 'POST') return this.#runner(request);
    // Ready, and without the execution that it is asked for.
    return Response.json({ ok: true, program: 'holdfast-runner', inFlight: 1 }, { status: 404 });
  }
}

/** For each test of the file, `launcher: 'container'` is configured and reaches `runner`. */
export function provideContainers(runner: Runner): void {
  beforeEach(() => {
    testEnv.HOLDFAST_CONTAINERS = '1';
    const spy = vi.spyOn(JobContainer.prototype as unknown as Platform, 'containerPort');
    spy.mockImplementation(() => new StandIn(runner));
    return () => {
      delete testEnv.HOLDFAST_CONTAINERS;
      spy.mockRestore();
    };
  });
}
