/**
 * Waits for the end of an execution in the stateless Worker, over a feed, so the session's object
 * sleeps meanwhile. The caller then reads the row; this only says when to read it.
 */

import { TERMINAL_STATUSES, verdictType } from '../../protocol/index.ts';
import type { Env } from '../platform/env.ts';
import { openFeed } from './feed.ts';

export async function waitForEnd(env: Env, tenant: string, session: string, execution: string, timeoutMs: number): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  const opened = await openFeed(env, tenant, session, {
    after: null,
    tail: 0,
    executions: [execution],
    types: TERMINAL_STATUSES.map(verdictType),
  });
  // The caller reads the row in any case, so a wait that fails is only a short one.
  if (!opened.ok) return;
  const { feed } = opened;
  for (let left = timeoutMs; left > 0; left = deadline - Date.now()) {
    const item = await feed.next(left);
    if (item.type === 'end' || item.type === 'quiet' || item.type === 'closed') break;
  }
  feed.close();
}
