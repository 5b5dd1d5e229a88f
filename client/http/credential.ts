/**
 * The credential of a client: an API key, a ticket, or a way to get tickets. Over HTTP each travels as a Bearer token.
 *
 * A ticket that comes from a function is kept while it lives, by both signals: the server has not refused it, and by its own `exp` it is
 * not over. Concurrent calls share one replacement.
 */

import { HoldfastError } from './error.ts';
import { OneReplacement } from './one-replacement.ts';

export type TicketSource = string | (() => string | Promise<string>);

export type ClientCredential = { apiKey: string; ticket?: never } | { ticket: TicketSource; apiKey?: never };

/** A ticket is not used in its last moments: it would be over when it arrives. */
const EXPIRY_MARGIN_MS = 2_000;

export interface Credential {
  /** Rejects with `no_ticket`, or with the reason of `signal`. */
  current(signal?: AbortSignal): Promise<string>;
  /** The server refused this one. Whether asking for another makes sense. */
  refused(bearer: string): boolean;
}

export function credentialOf({ apiKey, ticket }: ClientCredential, giveUpMs: number): Credential {
  const fixed = apiKey ?? (typeof ticket === 'string' ? ticket : undefined);
  if (fixed !== undefined) return { current: async () => fixed, refused: () => false };
  if (typeof ticket !== 'function') throw new TypeError('apiKey or ticket is needed');
  const tickets = new OneReplacement<string>({
    giveUpMs,
    make: ticket,
    isAlive: (text) => (expiryOf(text) ?? Number.POSITIVE_INFINITY) - EXPIRY_MARGIN_MS > Date.now(),
  });
  return {
    current: (signal) =>
      untilAborted(
        tickets.get().catch((error) => {
          throw noTicket(error);
        }),
        signal,
      ),
    refused: (bearer) => {
      tickets.failed(bearer);
      return true;
    },
  };
}

/** Tried again, unless the ticket function's error says itself that this is of no use. */
function noTicket(error: unknown): HoldfastError {
  const { retryable, message } = (error ?? {}) as { retryable?: unknown; message?: unknown };
  return new HoldfastError({
    code: 'no_ticket',
    message: `no ticket: ${typeof message === 'string' ? message : String(error)}`,
    retryable: retryable !== false,
    status: 0,
    cause: error,
  });
}

/** `exp` of a JWT in milliseconds since the epoch; null for what is none. It is read, not checked: the server checks. */
export function expiryOf(ticket: string): number | null {
  try {
    const payload = (ticket.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/');
    const { exp } = JSON.parse(atob(payload)) as { exp?: unknown };
    return typeof exp === 'number' ? exp * 1000 : null;
  } catch {
    return null;
  }
}

/** One caller's leaving does not end what others share. */
function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
