/**
 * Tells sessions why their executions wait, without telling of every moment: a reason must hold for
 * two rounds, and a round tells a bounded number of sessions.
 *
 * Owns: when the next round is. That and the reasons of the last round are memory only. Without them
 * a reason is told one round later; the row says which one was told.
 */

import type { PoolEntry } from '../core/pool-entry.ts';
import type { Head } from '../core/pool-index.ts';
import { type PoolScene, reasonOf } from '../core/pool-match.ts';
import type { PoolRuntime, PoolServices, PoolStore } from '../core/pool-ports.ts';
import type { WaitReason } from '../core/pool-terms.ts';

/** Between two rounds. */
const TELL_PAUSE_MS = 2_000;
/** Sessions that are told in one round. */
const TELL_AT_ONCE = 50;

export class WaitReasons {
  /** When the next round is due; null: none. */
  at: number | null = null;
  readonly #store: Pick<PoolStore, 'notTold' | 'noteTold'>;
  readonly #runtime: Pick<PoolRuntime, 'waitUntil'>;
  readonly #services: Pick<PoolServices, 'tellReason'>;

  constructor(
    store: Pick<PoolStore, 'notTold' | 'noteTold'>,
    runtime: Pick<PoolRuntime, 'waitUntil'>,
    services: Pick<PoolServices, 'tellReason'>,
  ) {
    this.#store = store;
    this.#runtime = runtime;
    this.#services = services;
  }

  lookAgain(now: number): void {
    this.at ??= now + TELL_PAUSE_MS;
  }

  tellOne(entry: PoolEntry, reason: WaitReason): void {
    this.#runtime.waitUntil(this.#services.tellReason(entry, reason));
  }

  tell(heads: Iterable<Head>, scene: PoolScene, now: number): void {
    this.at = null;
    let left = TELL_AT_ONCE;
    for (const head of heads) {
      const reason = reasonOf(head.lane, scene);
      if (reason === head.told) {
        head.found = null;
        continue;
      }
      if (head.found === reason && left > 0) {
        const entries = this.#store.notTold(head.text, reason, left);
        for (const entry of entries) {
          this.#store.noteTold(entry, reason);
          this.tellOne(entry, reason);
        }
        const toldAll = entries.length < left;
        left -= entries.length;
        if (toldAll) {
          head.told = reason;
          head.found = null;
          continue;
        }
      }
      head.found = reason;
      this.lookAgain(now);
    }
  }
}
