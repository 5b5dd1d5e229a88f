/**
 * Which log of its name a session has. A session that is deleted and made again has another log, whose offsets begin at 1 again; its generation, made of
 * the time of its creation, tells the two apart (STR29, STR30).
 */

import { type Failure, generationOf } from '../../protocol/index.ts';
import type { OutboxRecord } from './outbox.ts';

/**
 * The time at which a session is made: later than that of each earlier session of this name, so that no two logs have the same generation, however fast one
 * was deleted and made again. `last` is what the object remembers. After an eviction the outbox row of the deleted session says the same: its version is not
 * below the time at which that session was made (O2). When the directory has taken that row, all of it is gone; then an object that starts within the same
 * millisecond could repeat a time. An object takes longer than that to start.
 */
export const createdAtAfter = (last: number, record: OutboxRecord | null, now: number): number =>
  Math.max(now, last + 1, (record?.version ?? 0) + 1);

/** Why a reader that means the log `wanted` is refused, or null. A reader that names none takes the log that is there. */
export function refusalOfGeneration(createdAt: number, wanted: string | null | undefined): Failure | null {
  const generation = generationOf(createdAt);
  if (wanted === null || wanted === undefined || wanted === generation) return null;
  return {
    ok: false,
    code: 'log_replaced',
    message: 'The session was deleted and made again, and has another log now. Start from its beginning, without a generation.',
    facts: { generation },
  };
}
