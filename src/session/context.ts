/** What the parts of a session share. */

import type { ExternalServices, SessionRuntime, Store } from '../core/ports.ts';
import type { SessionLog } from '../platform/log.ts';
import type { AlarmClock } from './alarm-clock.ts';
import type { Viewers } from './viewers.ts';

export interface SessionContext {
  readonly runtime: SessionRuntime;
  readonly store: Store;
  readonly services: ExternalServices;
  /** Adds the tenant and the session to each line. */
  readonly log: SessionLog;
  /** The session's name, as its viewers and callers know it. */
  readonly session: string;
  readonly viewers: Viewers;
  readonly alarm: AlarmClock;
  /** The delivery to the directory that is in progress (outbox.ts). */
  delivery: Promise<void> | null;
}
