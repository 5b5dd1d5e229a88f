/** A runner of the pool as its object sees it: the stored record, and its connection. */

import type { PoolIndex } from '../core/pool-index.ts';
import type { PoolRuntime } from '../core/pool-ports.ts';
import { isSilent, type RunnerRecord, type RunnerStatus } from '../core/pool-runner.ts';
import type { SessionSocket } from '../core/ports.ts';
import { isOpen } from './sockets.ts';

/** A runner, with its connection while there is one. */
export class Seat implements RunnerStatus {
  record: RunnerRecord;
  ws: SessionSocket | null = null;
  /** When this instance of the object got its last frame. */
  frameAt = 0;
  /** The newest `heardAt` that was read. */
  #heardAt = 0;
  readonly #runtime: PoolRuntime;
  readonly #index: () => PoolIndex;

  constructor(record: RunnerRecord, runtime: PoolRuntime, index: () => PoolIndex) {
    this.record = record;
    this.#runtime = runtime;
    this.#index = index;
  }

  get open(): boolean {
    return this.ws !== null && isOpen(this.ws);
  }
  get connected(): boolean {
    return this.open && !this.isSilent(this.#runtime.now());
  }
  /**
   * Asks the platform only when what it said last is too old: `heardAt` only grows, and there may be
   * ten thousand runners.
   */
  isSilent(now: number): boolean {
    if (isSilent(this.#heardAt, now)) this.#heardAt = this.heardAt;
    return isSilent(this.#heardAt, now);
  }
  get heardAt(): number {
    return Math.max(this.record.helloAt, this.frameAt, (this.ws && this.#runtime.lastPingAt(this.ws)) ?? 0);
  }
  get held(): number {
    return this.heldByRows + this.unknownRuns.length;
  }
  get heldByRows(): number {
    return this.#index().heldCount(this.record.id);
  }
  /** Of the runs in its hello, those that no entry of the pool stands for. */
  get unknownRuns(): string[] {
    const { id, extraRuns } = this.record;
    return extraRuns.filter((run) => !this.#index().isHeld(run, id));
  }
}
