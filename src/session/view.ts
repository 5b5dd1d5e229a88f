/**
 * An execution as callers see it now. Only the log knows the length of a running execution's log;
 * from the verdict on it is in the row.
 */

import type { Execution } from '../../protocol/index.ts';
import { type ExecutionRecord, executionView } from '../core/execution.ts';
import type { SessionContext } from './context.ts';

export function currentView({ session, store }: Pick<SessionContext, 'session' | 'store'>, record: ExecutionRecord): Execution {
  if (record.status !== 'running') return executionView(session, record);
  return executionView(session, { ...record, logBytes: store.log.bytesOf(record.id, record.firstOffset) });
}
