/** What the parts of a session share. */

import type { Announce, Enqueue, Launch, Measure, SessionRuntime, Store } from '../core/ports.ts';
import type { SessionLog } from '../platform/log.ts';
import type { AlarmClock } from './alarm-clock.ts';
import type { Viewers } from './viewers.ts';

export interface SessionContext {
  runtime: SessionRuntime;
  store: Store;
  launch: Launch;
  announce: Announce;
  enqueue: Enqueue;
  /** Lines that say whose session this is. */
  log: SessionLog;
  /** Null where nobody counts. */
  measure: Measure | null;
  /** The session's name, as its viewers and callers know it. */
  session: string;
  viewers: Viewers;
  alarm: AlarmClock;
  delivery: Teller;
}

/** Who tells the directory: Delivery in outbox.ts, which takes this context and so is not named by it. */
export interface Teller {
  /** After a change. Resolves when there is nothing more to try now. */
  begin(context: SessionContext): Promise<void>;
  /** At the alarm. */
  beginDue(context: SessionContext, now: number): void;
}
