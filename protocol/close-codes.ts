/** Close codes of /ingest and /stream. next-step.ts has what a peer does after each of them. */

import { CLOSE_REASON_BYTES_MAX, RETRY_AFTER_MS_MAX, utf8Bytes } from './limits.ts';

export const CLOSE = {
  /** A viewer's stream is complete: the requested execution has ended and everything was sent. */
  done: 1000,
  goingAway: 1001,
  tryAgainLater: 1013,
  /** The execution has its verdict. The regular end of an ingest connection, not a disconnect. */
  settled: 4000,
  /** A newer connection of the same wrapper took over. */
  superseded: 4001,
  badFrame: 4400,
  credentialRefused: 4401,
  notFound: 4404,
  helloTimeout: 4408,
  claimed: 4409,
  offsetUnavailable: 4410,
  tooSlow: 4413,
  tooManyConnections: 4429,
} as const;

/**
 * The reason of a 4404 when the object itself knows that its session was deleted. Without it, 4404
 * may come from a coordinator with other data.
 */
export const DELETED_REASON = 'deleted';
/** The reason of a 4409. */
export const CLAIMED_REASON = 'another wrapper has this execution';
/**
 * The reason of a 4000 whose sender does not know the verdict. With it, the reason is
 * `{"status":"…"}`.
 */
export const SETTLED_REASON = 'settled';
/** The reason of a 1013 to a wrapper whose execution waits behind another. */
export const QUEUED_REASON = 'queued';

/**
 * `Sun, 06 Nov 1994 08:49:37 GMT` or the older `Sunday, 06-Nov-94 08:49:37 GMT`. Date.parse alone
 * would accept "-5" or "soon 1" as a date.
 */
const HTTP_DATE = /^[A-Z][a-z]{2,8}, \d{2}[ -][A-Z][a-z]{2}[ -]\d{2,4} \d{2}:\d{2}:\d{2} GMT$/;

/**
 * Milliseconds that a Retry-After header asks for (seconds or an HTTP date), at most a day; null
 * when the header is unusable.
 */
export function retryAfterMs(header: string | null | undefined, now: number): number | null {
  if (!header) return null;
  const text = header.trim();
  if (/^\d+$/.test(text)) return Math.min(Number(text) * 1000, RETRY_AFTER_MS_MAX);
  const at = HTTP_DATE.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(at) ? null : Math.min(Math.max(0, at - now), RETRY_AFTER_MS_MAX);
}

/** Cuts a close reason to the 123 bytes that fit a close frame, never inside a character. */
export function closeReason(text: string): string {
  if (utf8Bytes(text) <= CLOSE_REASON_BYTES_MAX) return text;
  let cut = '';
  let bytes = 0;
  for (const character of text) {
    bytes += utf8Bytes(character);
    if (bytes > CLOSE_REASON_BYTES_MAX) break;
    cut += character;
  }
  return cut;
}

/**
 * Codes that a peer may put on the wire; 1005, 1006 and 1015 only ever appear locally and become
 * 1000.
 */
export function sendableCloseCode(code: number): number {
  return code === 1000 || (code >= 3000 && code <= 4999) ? code : 1000;
}
