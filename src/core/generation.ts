/**
 * The generation of a session's log. A session that is deleted and made again has a new log, whose
 * offsets begin at 1 again. Its generation, derived from the creation time, distinguishes the two
 * (STR29, STR30).
 */

import { type Failure, generationOf } from '../../protocol/index.ts';
import type { OutboxRecord } from './outbox.ts';

/**
 * The creation time of a new session. It is later than that of each earlier session of this name,
 * so no two logs share a generation, however fast one was deleted and made again.
 *
 * `last` is the newest creation time in memory. After an eviction the outbox row of the deleted
 * session replaces it, because its version is never below that session's creation time (O2). Once
 * the directory has that row, both are gone. An object that starts again within the same
 * millisecond could then repeat a time; starting an object takes longer than that.
 */
export const createdAtAfter = (last: number, record: OutboxRecord | null, now: number): number =>
  Math.max(now, last + 1, (record?.version ?? 0) + 1);

/**
 * Refuses a reader that asks for the log `wanted` when it is not the current one. A reader without
 * a generation gets the current log.
 */
export function checkGeneration(createdAt: number, wanted: string | null | undefined): Failure | null {
  const generation = generationOf(createdAt);
  if (wanted === null || wanted === undefined || wanted === generation) return null;
  return {
    ok: false,
    code: 'log_replaced',
    message: 'The session was deleted and made again, and has another log now. Start from its beginning, without a generation.',
    facts: { generation },
  };
}
