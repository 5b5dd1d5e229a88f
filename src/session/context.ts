/** What the parts of a session share. */

import type { AlarmClock } from './alarm-clock.ts';
import type { Delivery } from './outbox.ts';
import type { Announce, Enqueue, Launch, SessionRuntime, Store } from './ports.ts';
import type { Viewers } from './viewers.ts';

export interface SessionContext {
  runtime: SessionRuntime;
  store: Store;
  launch: Launch;
  announce: Announce;
  enqueue: Enqueue;
  /** The session's name, as its viewers and callers know it. */
  session: string;
  viewers: Viewers;
  alarm: AlarmClock;
  delivery: Delivery;
}
