/**
 * What operators see of a transition: a log line and a data point for each verdict and each lost
 * connection, and a log line for each new connection. This runs after the write and after all other
 * announcements, so a failure here loses only the report.
 */

import { isTerminal } from '../../protocol/index.ts';
import type { ExecutionRecord } from '../core/execution.ts';
import type { CoordinatorEvent } from '../core/lifecycle.ts';
import { observeDisconnect, observeVerdict } from '../core/metrics.ts';
import { signalName } from '../core/signal.ts';
import { errorMessage } from '../platform/log.ts';
import type { SessionContext } from './context.ts';

export function recordTelemetry(context: SessionContext, record: ExecutionRecord, events: readonly CoordinatorEvent[]): void {
  try {
    for (const event of events) reportOne(context, record, event);
  } catch (error) {
    context.log('warn', 'metrics_failed', { execution: record.id, message: errorMessage(error) });
  }
}

function reportOne(context: SessionContext, record: ExecutionRecord, { type, data }: CoordinatorEvent): void {
  const { log, store, runtime } = context;
  const { measure } = context.services;
  const { id: execution, epoch } = record;
  switch (type) {
    case 'wrapper_connected':
      return log('info', 'wrapper_connected', { execution, epoch, transport: record.transport ?? undefined });
    case 'wrapper_reconnected':
      return log('info', 'wrapper_reconnected', {
        execution,
        epoch,
        transport: record.transport ?? undefined,
        downMs: Number(data.downMs),
        eventsLost: Number(data.eventsLost),
      });
    case 'wrapper_disconnected':
      // Without the close reason, which is text of the peer.
      log('warn', 'wrapper_disconnected', {
        execution,
        epoch,
        reason: record.disconnectReason ?? undefined,
        wsCloseCode: record.wsCloseCode ?? undefined,
      });
      return measure?.(observeDisconnect(record, store.log.ackedSeq(execution, record.firstOffset)));
    case 'execution_deadline_renewed':
      return log('warn', 'deadline_renewed', { execution, deadline: String(data.deadline), lateMs: Number(data.lateMs) });
    case `execution_${record.status}`:
      if (!isTerminal(record.status)) return;
      log('info', 'execution_ended', {
        execution,
        status: record.status,
        code: record.code ?? undefined,
        exitCode: record.exitCode ?? undefined,
        signal: signalName(record.signal),
        forced: record.forced || undefined,
        wsCloseCode: record.wsCloseCode ?? undefined,
        epoch,
        runMs: record.startedAt === null || record.endedAt === null ? undefined : record.endedAt - record.startedAt,
      });
      if (measure) runtime.waitUntil(countVerdict(context, record));
      return;
    default:
  }
}

/**
 * In a later turn: summing up a million rows takes most of a second, and ack, verdict and close
 * must not wait for it. A session that is deleted by then is not counted.
 */
async function countVerdict({ log, services, store, runtime }: SessionContext, record: ExecutionRecord): Promise<void> {
  try {
    await runtime.pause();
    if (store.exists) services.measure?.(observeVerdict(record, store.log.tally(record.id, record.firstOffset)));
  } catch (error) {
    log('warn', 'metrics_failed', { execution: record.id, message: errorMessage(error) });
  }
}
