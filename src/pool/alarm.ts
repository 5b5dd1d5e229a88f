/**
 * The one alarm of a pool.
 *
 * Owns: when it is set, and the sockets that end at a time whatever their runner does.
 *
 * P5  All times are deadlines in rows, or are computed from rows and sockets after every turn.
 */

import { alarmToSet } from '../core/deadlines.ts';
import { nextPoolWake } from '../core/pool-deadlines.ts';
import type { PoolRuntime } from '../core/pool-ports.ts';
import type { SessionSocket } from '../core/ports.ts';
import { errorMessage, type PoolLog } from '../platform/log.ts';
import type { PoolLedger } from './ledger.ts';
import { attachmentOf, isOpen, isTimed, type RunnerAttachment } from './sockets.ts';
import type { WaitReasons } from './wait-reasons.ts';

export class PoolAlarm {
  readonly #runtime: Pick<PoolRuntime, 'getAlarm' | 'setAlarm'>;
  readonly #ledger: PoolLedger;
  readonly #reasons: WaitReasons;
  readonly #log: PoolLog;
  readonly #timed = new Set<SessionSocket>();
  #at: number | null = null;

  constructor(
    runtime: Pick<PoolRuntime, 'getAlarm' | 'setAlarm'>,
    { ledger, reasons, log }: { ledger: PoolLedger; reasons: WaitReasons; log: PoolLog },
  ) {
    this.#runtime = runtime;
    this.#ledger = ledger;
    this.#reasons = reasons;
    this.#log = log;
  }

  async load(): Promise<void> {
    this.#at = await this.#runtime.getAlarm();
  }

  /** The socket has no hello, or its key expires. */
  watch(ws: SessionSocket): void {
    this.#timed.add(ws);
  }

  hasFired(): void {
    this.#at = null;
  }

  arm(now: number): void {
    const next = this.#next(now);
    const wanted = next === null ? null : alarmToSet(this.#at, next, now);
    if (wanted === null) return;
    this.#at = wanted;
    this.#runtime.setAlarm(wanted).catch((error: unknown) => {
      this.#at = null;
      this.#log('error', 'alarm_not_set', { message: errorMessage(error) });
    });
  }

  #next(now: number): number | null {
    const sockets: RunnerAttachment[] = [];
    for (const ws of this.#timed) {
      const attachment = attachmentOf(ws);
      const waits = attachment && !attachment.detached && isOpen(ws) && isTimed(attachment);
      if (waits) sockets.push(attachment);
      else this.#timed.delete(ws);
    }
    const { index, seats } = this.#ledger;
    const [active, heads, runners] = [index.active.values(), [...index.heads.values()], seats.values()];
    return nextPoolWake({ active, heads, runners, sockets, tellAt: this.#reasons.at }, now);
  }
}
