/** What the parts of a session share. */

import type { Outside, SessionRuntime, Store } from '../core/ports.ts';
import type { SessionLog } from '../platform/log.ts';
import type { AlarmClock } from './alarm-clock.ts';
import type { Viewers } from './viewers.ts';

export interface SessionContext {
  readonly runtime: SessionRuntime;
  readonly store: Store;
  readonly outside: Outside;
  /** Its lines name the tenant and the session. */
  readonly log: SessionLog;
  /** The session's name, as its viewers and callers know it. */
  readonly session: string;
  readonly viewers: Viewers;
  readonly alarm: AlarmClock;
  /** The delivery to the directory that is under way (outbox.ts, OB1). */
  delivery: Promise<void> | null;
}
