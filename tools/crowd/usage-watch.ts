/** Samples the processes of a stage every few seconds during a crowd. */

import type { CrowdStage } from './stage.ts';
import type { Usage } from './usage.ts';

const EVERY_MS = 3000;

export interface Row {
  at: number;
  coordinator: Usage | null;
  runner: Usage | null;
  wrappers: {
    count: number;
    rssMiB: { all: number; most: number };
    fds: { most: number };
    heapMiB: { most: number };
  };
}

export class UsageWatch {
  readonly rows: Row[] = [];
  readonly #stage: CrowdStage;
  readonly #timer: NodeJS.Timeout;

  constructor(stage: CrowdStage) {
    this.#stage = stage;
    this.look();
    this.#timer = setInterval(() => this.look(), EVERY_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  look(): Row {
    const stage = this.#stage;
    const wrappers = stage
      .wrapperPids()
      .map((pid) => stage.usageOf(pid))
      .filter((usage) => usage !== null);
    const most = (of: (usage: Usage) => number): number => wrappers.reduce((highest, usage) => Math.max(highest, of(usage)), 0);
    const row: Row = {
      at: Date.now(),
      coordinator: stage.usageOf(stage.coordinatorPid),
      runner: stage.usageOf(stage.runnerPid),
      wrappers: {
        count: wrappers.length,
        rssMiB: { all: wrappers.reduce((sum, { rssMiB }) => sum + rssMiB, 0), most: most(({ rssMiB }) => rssMiB) },
        fds: { most: most(({ fds }) => fds) },
        heapMiB: { most: most(({ heapMiB }) => heapMiB ?? 0) },
      },
    };
    this.rows.push(row);
    return row;
  }
}
