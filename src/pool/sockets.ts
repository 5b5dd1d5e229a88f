/**
 * Sockets of runners. The attachment says whose it is; the platform keeps it while the object
 * sleeps. A socket that is given up is marked `detached` before it is closed, so nothing that still
 * comes from it counts.
 */

import { closeReason, sendableCloseCode } from '../../protocol/index.ts';
import type { SessionSocket } from '../core/ports.ts';

export interface RunnerAttachment {
  role: 'runner';
  keyId: string;
  /** Of the key. */
  expiresAt: number | null;
  acceptedAt: number;
  /** Null before its hello. */
  runnerId: string | null;
  bootId: string | null;
  detached?: true;
}

export const RUNNER_TAG = 'runner';

/** It ends at a time, whatever its runner does. */
export const isTimed = ({ runnerId, expiresAt }: RunnerAttachment): boolean => runnerId === null || expiresAt !== null;

const OPEN = 1;

export const isOpen = (ws: SessionSocket): boolean => ws.readyState === OPEN;

const decoded = new WeakMap<SessionSocket, RunnerAttachment>();

export function attachmentOf(ws: SessionSocket): RunnerAttachment | null {
  const known = decoded.get(ws);
  if (known) return known;
  const stored = ws.deserializeAttachment() as RunnerAttachment | null;
  if (stored) decoded.set(ws, stored);
  return stored;
}

export function attach(ws: SessionSocket, attachment: RunnerAttachment): void {
  decoded.set(ws, attachment);
  ws.serializeAttachment(attachment);
}

export function closeRunner(ws: SessionSocket, code: number, reason: string): void {
  const attachment = attachmentOf(ws);
  if (attachment) attach(ws, { ...attachment, detached: true });
  try {
    ws.close(code, closeReason(reason));
  } catch {
    // It is closed already.
  }
}

/** A hibernatable socket stays half open until its close is answered. */
export function answerRunnerClose(ws: SessionSocket, code: number, reason: string): void {
  try {
    ws.close(sendableCloseCode(code), closeReason(reason));
  } catch {
    // The platform has answered it.
  }
}
