/**
 * Authenticates holders of tickets and limits what they may do: an API key may do everything in its
 * tenant, a ticket what it names. The same for WebSocket and HTTP.
 */

import {
  type Author,
  CREDENTIAL_CHARS_MAX,
  type Failure,
  TICKET_SUBPROTOCOL_PREFIX,
  type TicketRight,
} from '../../protocol/index.ts';
import { failure } from '../contract/failure.ts';
import type { Caller } from '../operations/service.ts';
import type { Config } from '../platform/config.ts';
import type { Env } from '../platform/env.ts';
import { checkRateLimit, type RateKind } from '../platform/rate-limits.ts';
import { type TicketClaims, ticketUntil, verifyTicket } from '../platform/tokens.ts';
import { TICKET_EXPIRED, type ViewerRequest } from '../session/contract.ts';
import { bearerToken, countGuess, findKeyHolder } from './auth.ts';

export const offeredProtocols = (request: Request): string[] =>
  (request.headers.get('sec-websocket-protocol') ?? '')
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');

/** The claims of a ticket, and when a connection that is made with it ends. */
export type ReadingTicket = TicketClaims & { until: number };

/** The authenticated reader; the ticket is null for an API key. */
export interface Reader {
  caller: Caller;
  ticket: ReadingTicket | null;
}

/** Who asks, by which credential. */
export interface Identity {
  tenant: string;
  author: Author;
  /** Null for an API key. */
  ticket: ReadingTicket | null;
}

type Identified =
  | ({ ok: true } & Identity)
  /** `limited`: the refusal of a rate limit, which replaces that of the credential. */
  | { ok: false; reason: string; limited?: Failure };

/**
 * Identifies the caller of a session, and counts the request (rate-limits.ts). `right`: what a
 * ticket must allow.
 */
export async function authenticateTicketHolder(
  request: Request,
  env: Env,
  config: Config,
  session: string,
  { right, counts }: { right: TicketRight; counts: RateKind },
): Promise<({ ok: true } & Identity) | Failure> {
  const caller = await identify(request, env, config, session);
  if (!caller.ok) return caller.limited ?? credentialRefused(caller.reason);
  if (caller.ticket && !rightsOf(caller.ticket).includes(right)) return outsideTicketScope();
  return (await checkRateLimit(env, counts, caller.tenant)) ?? caller;
}

/** A ticket without the claim `can` reads. */
const rightsOf = ({ can }: TicketClaims): readonly TicketRight[] => can ?? ['read'];

async function identify(request: Request, env: Env, config: Config, session: string): Promise<Identified> {
  const subprotocol = offeredProtocols(request).find((item) => item.startsWith(TICKET_SUBPROTOCOL_PREFIX));
  const ticket = new URL(request.url).searchParams.get('ticket') ?? subprotocol?.slice(TICKET_SUBPROTOCOL_PREFIX.length);
  if (ticket !== undefined) return byTicket(config, session, ticket);
  const bearer = bearerToken(request);
  if (bearer === null) return { ok: false, reason: 'credential_needed' };
  const holder = await findKeyHolder(config, bearer);
  if (holder !== null) return { ok: true, ...holder, ticket: null };
  const ticketed: Identified = JWT_SHAPE.test(bearer)
    ? await byTicket(config, session, bearer)
    : { ok: false, reason: 'credential_needed' };
  if (ticketed.ok) return ticketed;
  const limited = await countGuess(request, env, config, bearer);
  return limited ? { ok: false, reason: 'rate_limited', limited } : ticketed;
}

/**
 * A bearer credential of this shape that is not an API key is a malformed ticket, and gets a ticket
 * error.
 */
const JWT_SHAPE = /^[\w-]+\.[\w-]+\.[\w-]*$/;

async function byTicket(config: Config, session: string, ticket: string): Promise<Identified> {
  if (ticket.length > CREDENTIAL_CHARS_MAX) return { ok: false, reason: 'ticket_invalid' };
  const now = Date.now();
  const verified = await verifyTicket(config.signingKeys, ticket, now);
  if (!verified.ok) return { ok: false, reason: `ticket_${verified.reason}` };
  const { claims } = verified;
  const until = ticketUntil(ticket);
  if (until === null || claims.session !== session) return { ok: false, reason: 'ticket_invalid' };
  if (until <= now) return { ok: false, reason: TICKET_EXPIRED };
  const author: Author = { kind: 'ticket', id: claims.id ?? 'unnamed' };
  return { ok: true, tenant: claims.tenant, author, ticket: { ...claims, until } };
}

/** The request, limited to what the ticket allows; null when it asks for more. */
export function narrowByTicket(request: ViewerRequest, ticket: ReadingTicket | null): ViewerRequest | null {
  if (!ticket) return request;
  const executions = narrow(request.executions, ticket.execution === undefined ? null : [ticket.execution]);
  const types = narrow(request.types, ticket.types ?? null);
  return executions.ok && types.ok ? { ...request, executions: executions.value, types: types.value, until: ticket.until } : null;
}

function narrow(asked: string[] | null, allowed: string[] | null): { ok: true; value: string[] | null } | { ok: false } {
  if (allowed === null) return { ok: true, value: asked };
  if (asked === null) return { ok: true, value: allowed };
  return asked.every((item) => allowed.includes(item)) ? { ok: true, value: asked } : { ok: false };
}

/** The ticket has expired since the answer began. */
export const ticketExpired = (): Failure => credentialRefused(TICKET_EXPIRED);

const credentialRefused = (reason: string): Failure =>
  failure('unauthorized', 'A ticket or an API key is needed: Authorization: Bearer <ticket or api key>, or ?ticket=<ticket>.', {
    reason,
  });

export const outsideTicketScope = (): Failure =>
  failure('unauthorized', 'The ticket does not allow this request. Ask for a ticket with a wider scope.', {
    reason: 'ticket_scope',
  });
