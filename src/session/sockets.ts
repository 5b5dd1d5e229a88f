/**
 * Sockets of a session. The runtime is the only register of connections: `getWebSockets(tag)` lists
 * them, and the attachment of each says what it is. Memory holds nothing that the attachments do
 * not have.
 *
 * - The platform still lists a socket that is closing, so only open ones count.
 * - A socket that we give up is marked `detached` before it is closed. Its further messages are
 *   ignored, and its close starts no grace.
 */

import { closeReason, sendableCloseCode } from '../../protocol/index.ts';
import type { SessionRuntime, SessionSocket } from '../core/ports.ts';
import type { ViewerState } from '../core/viewer.ts';

export interface IngestAttachment {
  role: 'ingest';
  execution: string;
  /** Null until the hello was accepted. */
  epoch: number | null;
  acceptedAt: number;
  /** One HTTP body in the role of a socket. */
  posted?: true;
  /** Its hello was accepted after the verdict (core/late.ts). */
  late?: true;
  detached?: true;
}

export interface ViewerAttachment {
  role: 'viewer';
  state: ViewerState;
}

export type Attachment = IngestAttachment | ViewerAttachment;

export const INGEST_TAG = 'ingest';
export const VIEWER_TAG = 'viewer';

const OPEN = 1;

export const isOpen = (ws: SessionSocket): boolean => ws.readyState === OPEN;

/**
 * Caches the attachment that was read or written last. Decoding it for every frame would cost more
 * than the frame.
 */
const decoded = new WeakMap<SessionSocket, Attachment>();

export function attachmentOf(ws: SessionSocket): Attachment | null {
  const known = decoded.get(ws);
  if (known) return known;
  const stored = ws.deserializeAttachment() as Attachment | null;
  if (stored) decoded.set(ws, stored);
  return stored;
}

export function attach(ws: SessionSocket, attachment: Attachment): void {
  decoded.set(ws, attachment);
  ws.serializeAttachment(attachment);
}

export type Sockets = Pick<SessionRuntime, 'getWebSockets'>;

export interface IngestSocket {
  ws: SessionSocket;
  attachment: IngestAttachment;
}

/** Ingest sockets of an execution that are not detached, open or closing. */
export function ingestSockets(sockets: Sockets, execution?: string): IngestSocket[] {
  const found: IngestSocket[] = [];
  for (const ws of sockets.getWebSockets(execution === undefined ? INGEST_TAG : ingestTag(execution))) {
    const attachment = attachmentOf(ws);
    if (attachment?.role === 'ingest' && !attachment.detached) found.push({ ws, attachment });
  }
  return found;
}

export const ingestTag = (execution: string): string => `ingest:${execution}`;

/** Detaches first, then closes. */
export function detachAndClose({ ws, attachment }: IngestSocket, code: number, reason: string): void {
  attach(ws, { ...attachment, detached: true });
  closeSocket(ws, code, reason);
}

/** Closing a closed socket is no error, because both ends may close at once. */
export function closeSocket(ws: SessionSocket, code: number, reason: string): void {
  try {
    ws.close(code, closeReason(reason));
  } catch {
    // Already closed.
  }
}

/**
 * The platform does not answer a close for hibernatable sockets; without this the peer waits and
 * then sees 1006.
 */
export function answerClose(ws: SessionSocket, code: number, reason: string): void {
  closeSocket(ws, sendableCloseCode(code), reason);
}

/** False when the socket is gone. Its close handler does the rest. */
export function sendText(ws: SessionSocket, text: string): boolean {
  try {
    ws.send(text);
    return true;
  } catch {
    return false;
  }
}
