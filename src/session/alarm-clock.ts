/**
 * The one alarm of the object, as a projection of rows and sockets (G5). `arm()` after every change; it sets the alarm only when it must come
 * earlier than it would.
 */

import { alarmToSet, type Horizon, nextWake } from '../core/deadlines.ts';
import type { SessionRuntime } from '../core/ports.ts';
import { messageOf, type SessionLog } from '../platform/log.ts';

export class AlarmClock {
  readonly #runtime: Pick<SessionRuntime, 'getAlarm' | 'setAlarm'>;
  readonly #horizon: () => Horizon | null;
  readonly #log: SessionLog;
  #current: number | null = null;

  /** `horizon` is null for a session that does not exist: it needs no wake. */
  constructor(runtime: Pick<SessionRuntime, 'getAlarm' | 'setAlarm'>, horizon: () => Horizon | null, log: SessionLog) {
    this.#runtime = runtime;
    this.#horizon = horizon;
    this.#log = log;
  }

  /** What the platform has. Asking is asynchronous, so it is done once per wake, before anything else runs. */
  async load(): Promise<void> {
    this.#current = await this.#runtime.getAlarm();
  }

  /** A fired alarm is used up, whatever becomes of its handler. */
  fired(): void {
    this.#current = null;
  }

  /** All of the object's storage went, and the alarm with it. */
  gone(): void {
    this.#current = null;
  }

  /**
   * What the alarm was set for at `at` came about without it. Setting it again costs a row, as firing for nothing would, but no wake. An alarm that was set
   * for something else is left alone.
   */
  release(at: number, now: number): void {
    if (this.#current === at) this.#current = null;
    this.arm(now);
  }

  arm(now: number): void {
    const horizon = this.#horizon();
    if (!horizon) return;
    const at = alarmToSet(this.#current, nextWake(horizon, now), now);
    if (at === null) return;
    this.#current = at;
    // Part of the same turn as the change it belongs to, so the two are written together. A failed write resets the object.
    this.#runtime.setAlarm(at).catch((error: unknown) => {
      this.#current = null;
      this.#log('error', 'alarm_not_set', { message: messageOf(error) });
    });
  }
}
