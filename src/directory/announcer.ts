/** How a session reaches the directory of its tenant. */

import { TELL_TIMEOUT_MS } from '../core/outbox.ts';
import type { Announce } from '../core/ports.ts';
import type { Env } from '../platform/env.ts';
import { logLine, messageOf } from '../platform/log.ts';
import { directoryStub } from './calls.ts';

/** One attempt; the outbox makes the next. An answer that comes too late is for nobody: what it said is told again. */
export function announcerTo(env: Env, tenant: string): Announce {
  return async (announcement) => {
    let timer: ReturnType<typeof setTimeout> | null = null;
    try {
      const late = new Promise<null>((resolve) => {
        timer = setTimeout(() => resolve(null), TELL_TIMEOUT_MS);
      });
      return await Promise.race([directoryStub(env, tenant).announce(announcement), late]);
    } catch (error) {
      logLine('warn', 'announcement_failed', { tenant, session: announcement.session, message: messageOf(error) });
      return null;
    } finally {
      if (timer !== null) clearTimeout(timer);
    }
  };
}
