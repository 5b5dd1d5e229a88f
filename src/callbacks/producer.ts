/** How a session gives a callback to its queue. */

import { TELL_TIMEOUT_MS } from '../core/outbox.ts';
import type { Enqueue } from '../core/ports.ts';
import type { Env } from '../platform/env.ts';
import { logLine, messageOf } from '../platform/log.ts';
import { callbackMessage } from './message.ts';

/** One attempt; the session's alarm makes the next. An answer that comes too late is for nobody: the queue then gets the message twice, under one id. */
export function callbackQueueOf({ CALLBACKS }: Env, tenant: string): Enqueue {
  return async (callback, execution) => {
    const told = { callback: callback.id, tenant, session: execution.session, execution: execution.id };
    if (!CALLBACKS) {
      logLine('error', 'callback_queue_missing', told);
      return false;
    }
    let timer: ReturnType<typeof setTimeout> | null = null;
    try {
      const late = new Promise<false>((resolve) => {
        timer = setTimeout(() => resolve(false), TELL_TIMEOUT_MS);
      });
      const sent = CALLBACKS.send(callbackMessage(callback, tenant, execution), { contentType: 'json' }).then(() => true);
      return await Promise.race([sent, late]);
    } catch (error) {
      logLine('warn', 'callback_queue_failed', { ...told, message: messageOf(error) });
      return false;
    } finally {
      if (timer !== null) clearTimeout(timer);
    }
  };
}
