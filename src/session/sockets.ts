/**
 * Sockets of a session. The runtime is the only register of connections: who is there is asked of `getWebSockets(tag)`, what each is lies in its
 * attachment. Nothing here survives in memory that the attachment does not also say.
 *
 * W1  A socket that is closing is still listed by the platform, so only open ones count.
 * W2  A socket we gave up is marked `detached` before it is closed: whatever it still delivers is ignored, and its close starts no grace.
 */

import { closeReason, sendableCloseCode } from '../../protocol/index.ts';
import type { SessionRuntime, SessionSocket } from '../core/ports.ts';
import type { ViewerState } from '../core/viewer.ts';

export interface IngestAttachment {
  role: 'ingest';
  execution: string;
  /** Null until its hello was accepted. */
  epoch: number | null;
  acceptedAt: number;
  /** One HTTP body in the place of a socket. */
  posted?: true;
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

/** Decoding an attachment for every frame would cost more than the frame; this remembers what was decoded or written last. */
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

/** Ingest sockets of an execution that were not given up, open or closing. */
export function ingestSockets(sockets: Sockets, execution?: string): IngestSocket[] {
  const found: IngestSocket[] = [];
  for (const ws of sockets.getWebSockets(execution === undefined ? INGEST_TAG : ingestTag(execution))) {
    const attachment = attachmentOf(ws);
    if (attachment?.role === 'ingest' && !attachment.detached) found.push({ ws, attachment });
  }
  return found;
}

export const ingestTag = (execution: string): string => `ingest:${execution}`;

/** W2: detach first, close second. */
export function detachAndClose({ ws, attachment }: IngestSocket, code: number, reason: string): void {
  attach(ws, { ...attachment, detached: true });
  closeSocket(ws, code, reason);
}

/** Closing what is closed already is no error worth a word: both ends may do it at once. */
export function closeSocket(ws: SessionSocket, code: number, reason: string): void {
  try {
    ws.close(code, closeReason(reason));
  } catch {
    // Already closed.
  }
}

/** The platform does not answer a close for hibernatable sockets; without this the peer waits and then sees 1006. */
export function answerClose(ws: SessionSocket, code: number, reason: string): void {
  closeSocket(ws, sendableCloseCode(code), reason);
}

/** False when the socket is gone; its close handler does the rest. */
export function sendText(ws: SessionSocket, text: string): boolean {
  try {
    ws.send(text);
    return true;
  } catch {
    return false;
  }
}
