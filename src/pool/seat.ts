/** A runner of the pool as its object sees it: the stored record, and its connection. */

import type { PoolIndex } from '../core/pool-index.ts';
import type { PoolRuntime } from '../core/pool-ports.ts';
import { isSilent, type RunnerRecord, type RunnerStatus } from '../core/pool-runner.ts';
import { lookAt } from '../core/pool-silence.ts';
import type { SessionSocket } from '../core/ports.ts';
import { isOpen } from './sockets.ts';

/** A runner, with its connection while there is one. */
export class Seat implements RunnerStatus {
  record: RunnerRecord;
  ws: SessionSocket | null = null;
  /** When this instance of the object got its last frame. */
  frameAt = 0;
  /** Of the last look. Memory only: after a wake the next look is the first. */
  doubtedAt: number | null = null;
  /** The newest `heardAt` that was read. */
  #heardAt = 0;
  readonly #runtime: Pick<PoolRuntime, 'lastPingAt' | 'now'>;
  readonly #index: () => PoolIndex;

  constructor(record: RunnerRecord, runtime: Pick<PoolRuntime, 'lastPingAt' | 'now'>, index: () => PoolIndex) {
    this.record = record;
    this.#runtime = runtime;
    this.#index = index;
  }

  get open(): boolean {
    return this.ws !== null && isOpen(this.ws);
  }
  /** False when the connection takes nothing. */
  send(text: string): boolean {
    try {
      this.ws?.send(text);
      return this.ws !== null;
    } catch {
      return false;
    }
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
  /** When it was last heard, or when its connection was found to be gone. */
  get signAt(): number {
    return this.open ? this.heardAt : (this.record.goneAt ?? this.record.helloAt);
  }
  /** P6. Whether it is believed to be lost; the first look only doubts. */
  look(now: number): boolean {
    if (!this.#mayBeLost(now)) return false;
    const { doubtedAt, isLost } = lookAt(this.signAt, this.doubtedAt, now);
    this.doubtedAt = doubtedAt;
    return isLost;
  }
  /** Ends a doubt. True when its connection is heard again. */
  endDoubt(now: number): boolean {
    if (this.doubtedAt === null || this.#mayBeLost(now)) return false;
    this.doubtedAt = null;
    return this.open;
  }
  #mayBeLost(now: number): boolean {
    return this.open ? this.isSilent(now) : this.heldByRows > 0 && !this.record.lost;
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
