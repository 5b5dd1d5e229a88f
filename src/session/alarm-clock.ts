/**
 * The one alarm of the object, computed from rows and sockets (G5). `arm()` runs after every
 * change. It sets the alarm only when the new time is earlier than the current one.
 */

import { alarmToSet, type DeadlineInputs, nextWake } from '../core/deadlines.ts';
import type { SessionRuntime } from '../core/ports.ts';
import { errorMessage, type SessionLog } from '../platform/log.ts';

export class AlarmClock {
  readonly #runtime: Pick<SessionRuntime, 'getAlarm' | 'setAlarm'>;
  readonly #horizon: () => DeadlineInputs | null;
  readonly #log: SessionLog;
  #current: number | null = null;

  /** `horizon` returns null for a session that does not exist. Such a session needs no wake. */
  constructor(runtime: Pick<SessionRuntime, 'getAlarm' | 'setAlarm'>, horizon: () => DeadlineInputs | null, log: SessionLog) {
    this.#runtime = runtime;
    this.#horizon = horizon;
    this.#log = log;
  }

  /**
   * Reads the alarm of the platform. The read is asynchronous, so it happens once per wake, before
   * anything else runs.
   */
  async load(): Promise<void> {
    this.#current = await this.#runtime.getAlarm();
  }

  /** The platform removes a fired alarm, even when its handler fails. */
  fired(): void {
    this.#current = null;
  }

  /** The object's storage was deleted, and the alarm with it. */
  storageDeleted(): void {
    this.#current = null;
  }

  /**
   * The work that the alarm at `at` was set for is done. Setting the alarm again costs a row, as an
   * alarm without work would, but saves a wake. An alarm that was set for other work stays.
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
    // In the same turn as the change, so both are written together. A failed write resets the
    // object.
    this.#runtime.setAlarm(at).catch((error: unknown) => {
      this.#current = null;
      this.#log('error', 'alarm_not_set', { message: errorMessage(error) });
    });
  }
}
