/** What the parts of a session share. */

import type { Env } from '../env.ts';
import type { SessionStore } from '../storage/store.ts';
import type { AlarmClock } from './alarm-clock.ts';
import type { Viewers } from './viewers.ts';

export interface SessionContext {
  ctx: DurableObjectState;
  env: Env;
  store: SessionStore;
  /** Whose session this is, from the object's name `tenant/session`. */
  tenant: string;
  session: string;
  viewers: Viewers;
  alarm: AlarmClock;
}
