/**
 * The credential of a client: an API key, a ticket, or a function that returns tickets. Over HTTP
 * each is sent as a Bearer token.
 *
 * A ticket from a function is reused until the server refuses it or its own `exp` has passed.
 * Concurrent calls share one replacement.
 */

import { HoldfastError } from './error.ts';
import { ReplaceOnce } from './replace-once.ts';
import { readTicket } from './ticket.ts';

export type TicketSource = string | (() => string | Promise<string>);

export type ClientCredential = { apiKey: string; ticket?: never } | { ticket: TicketSource; apiKey?: never };

/** A ticket is not used just before its expiry: it would have expired on arrival. */
const EXPIRY_MARGIN_MS = 2_000;

export interface Credential {
  /** Rejects with `no_ticket`, or with the reason of `signal`. */
  current(signal?: AbortSignal): Promise<string>;
  /** The server refused this one. True when there may be another. */
  refused(bearer: string): boolean;
}

export function credentialOf({ apiKey, ticket }: ClientCredential, giveUpMs: number): Credential {
  const fixed = apiKey ?? (typeof ticket === 'string' ? ticket : undefined);
  if (fixed !== undefined) return { current: async () => fixed, refused: () => false };
  if (typeof ticket !== 'function') throw new TypeError('apiKey or ticket is needed');
  const tickets = new ReplaceOnce<string>({
    giveUpMs,
    make: ticket,
    isAlive: (text) => (readTicket(text).expiresAt ?? Number.POSITIVE_INFINITY) - EXPIRY_MARGIN_MS > Date.now(),
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

/** Retried, unless the error of the ticket function has `retryable: false`. */
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

/** An abort rejects one caller and leaves the shared promise alone. */
function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return promise;
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort));
  });
}
