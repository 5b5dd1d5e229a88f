/**
 * Ingest by HTTP POST, for networks without WebSocket and for a last flush. The body has the same
 * frames, and the response has the same answers, one per line. A body is a connection while it is
 * processed, and each body begins with a hello. A close becomes a last line
 * `{"type":"close","code":…,"reason":…}`, so both transports share one table of codes.
 */

import { CLOSE, isTerminal, type Result, splitFrames } from '../../protocol/index.ts';
import { takesLate } from '../core/late.ts';
import type { SessionSocket } from '../core/ports.ts';
import { settledReason } from './commit.ts';
import type { SessionContext } from './context.ts';
import { notFoundFailure } from './deletion.ts';
import { onIngestMessage } from './ingest.ts';
import { findExecution } from './operations.ts';
import { attach, attachmentOf, isOpen } from './sockets.ts';

/**
 * A post is written as a sign of life when this fraction of the silence limit has passed since the
 * last one. So there is a row now and then instead of one per post.
 */
const HEARD_FRACTION = 4;

/** A body in the role of a socket. It collects what would be sent. */
class PostedConnection implements SessionSocket {
  readonly lines: string[] = [];
  readyState = WEBSOCKET_OPEN;
  #attachment: unknown = null;

  send(text: string): void {
    this.lines.push(text);
  }
  close(code: number, reason: string): void {
    if (this.readyState !== WEBSOCKET_OPEN) return;
    this.readyState = WEBSOCKET_CLOSED;
    this.lines.push(JSON.stringify({ type: 'close', code, reason }));
  }
  serializeAttachment(attachment: unknown): void {
    this.#attachment = attachment;
  }
  deserializeAttachment(): unknown {
    return this.#attachment;
  }
}

const WEBSOCKET_OPEN = 1;
const WEBSOCKET_CLOSED = 3;

/**
 * One turn: processes the frames of a body in order, until one of them closes the connection. A
 * failure when the execution is not here.
 */
export function postIngest(context: SessionContext, execution: string, body: string, now: number): Result<{ lines: string[] }> {
  const { store } = context;
  const found = findExecution(context, execution);
  if (!found.ok) return notFoundFailure(context, found, now);
  const connection = new PostedConnection();
  attach(connection, { role: 'ingest', execution, epoch: null, acceptedAt: now, posted: true });
  for (const frame of splitFrames(body)) {
    const attachment = attachmentOf(connection);
    if (attachment?.role !== 'ingest' || !isOpen(connection)) break;
    onIngestMessage(context, connection, attachment, frame, now);
  }
  const record = store.executions.get(execution);
  const after = attachmentOf(connection);
  const delivers = record && after?.role === 'ingest' && after.late && takesLate(record, now);
  if (record && isTerminal(record.status) && !delivers) connection.close(CLOSE.settled, settledReason(record));
  const heardLongAgo =
    record?.transport === 'http' && now - (record.heardAt ?? 0) > record.policy.silenceTimeoutMs / HEARD_FRACTION;
  if (record?.connected && heardLongAgo && isOpen(connection)) store.executions.update(execution, { heardAt: now });
  return { ok: true, lines: connection.lines };
}
