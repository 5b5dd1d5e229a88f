/** What a ticket says of itself. It is read and not verified: the coordinator verifies it. */

import { isObject, parseJson } from '../../protocol/json.ts';

export interface TicketClaims {
  /** Milliseconds since the epoch. Null: the ticket does not say. */
  expiresAt: number | null;
  /** The tenant whose session it shows. Null: the ticket does not say. */
  tenant: string | null;
  /** The only execution that it can read. Null: all of its session. */
  execution: string | null;
  /** What it allows. */
  can: readonly string[];
}

/** Every claim is null for text that is not a JWT. */
export function readTicket(ticket: string): TicketClaims {
  const claims = parseJson(decoded((ticket.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/')));
  const { exp, sub, eid, can } = isObject(claims) ? claims : {};
  return {
    expiresAt: typeof exp === 'number' ? exp * 1000 : null,
    tenant: typeof sub === 'string' ? sub : null,
    execution: typeof eid === 'string' ? eid : null,
    can: Array.isArray(can) ? can.filter((right) => typeof right === 'string') : ['read'],
  };
}

function decoded(base64: string): string {
  try {
    return atob(base64);
  } catch {
    return '';
  }
}
