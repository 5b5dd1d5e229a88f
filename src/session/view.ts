/** An execution as others may see it now. How long the log of a running one is, only the log knows; from the verdict on its row says it. */

import type { Execution } from '../../protocol/index.ts';
import { type ExecutionRecord, viewOf } from '../core/execution.ts';
import type { SessionContext } from './context.ts';

export function show({ session, store }: Pick<SessionContext, 'session' | 'store'>, record: ExecutionRecord): Execution {
  if (record.status !== 'running') return viewOf(session, record);
  return viewOf(session, { ...record, logBytes: store.log.bytesOf(record.id, record.firstOffset) });
}
