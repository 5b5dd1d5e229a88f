/**
 * Who reads, and what they may: an API key reads all of its tenant, a ticket what it names. The same for WebSocket and for HTTP; only the way in which a
 * refusal is said differs, because a browser sees the status of an HTTP answer but not of a refused upgrade.
 */

import { CREDENTIAL_CHARS_MAX, type Failure, isId, TICKET_SUBPROTOCOL_PREFIX } from '../../protocol/index.ts';
import { failure } from '../contract/failure.ts';
import type { Config } from '../platform/config.ts';
import type { Env } from '../platform/env.ts';
import { guessedTooOften, refusalByRate } from '../platform/rate-limits.ts';
import { type TicketClaims, untilOf, verifyTicket } from '../platform/tokens.ts';
import { TICKET_EXPIRED, type ViewerRequest } from '../session/viewers.ts';
import { bearerOf, originAllowed, tenantOf, tooManyGuesses } from './auth.ts';

export const offeredProtocols = (request: Request): string[] =>
  (request.headers.get('sec-websocket-protocol') ?? '')
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');

/** What a ticket allows, and when a connection ends that is made with it. */
export type ReadingTicket = TicketClaims & { until: number };

export type Reader =
  | { ok: true; tenant: string; ticket: ReadingTicket | null }
  /** `limited`: it was not the credential, or not it alone. */
  | { ok: false; reason: string; limited?: Failure };

/** Who reads; and that this is not one read too many (rate-limits.ts). */
export async function authenticateReader(request: Request, env: Env, config: Config, session: string): Promise<Reader> {
  const reader = await identifyReader(request, env, config, session);
  const limited = reader.ok ? await refusalByRate(env, 'read', reader.tenant) : null;
  return limited ? { ok: false, reason: limited.code, limited } : reader;
}

async function identifyReader(request: Request, env: Env, config: Config, session: string): Promise<Reader> {
  const subprotocol = offeredProtocols(request).find((item) => item.startsWith(TICKET_SUBPROTOCOL_PREFIX));
  const ticket = new URL(request.url).searchParams.get('ticket') ?? subprotocol?.slice(TICKET_SUBPROTOCOL_PREFIX.length);
  if (ticket !== undefined) return byTicket(config, session, ticket);
  const bearer = bearerOf(request);
  if (bearer === null) return { ok: false, reason: 'credential_needed' };
  const tenant = await tenantOf(config, bearer);
  if (tenant !== null) return { ok: true, tenant, ticket: null };
  const ticketed: Reader = JWT_SHAPE.test(bearer)
    ? await byTicket(config, session, bearer)
    : { ok: false, reason: 'credential_needed' };
  // What was signed here, if long ago, is no guess.
  if (ticketed.ok || ticketed.reason === 'ticket_expired') return ticketed;
  return (await guessedTooOften(request, env)) ? { ok: false, reason: 'rate_limited', limited: tooManyGuesses() } : ticketed;
}

/** What is no API key but looks like this was meant as a ticket, and is told what is wrong with it as one. */
const JWT_SHAPE = /^[\w-]+\.[\w-]+\.[\w-]*$/;

async function byTicket(config: Config, session: string, ticket: string): Promise<Reader> {
  if (ticket.length > CREDENTIAL_CHARS_MAX) return { ok: false, reason: 'ticket_invalid' };
  const now = Date.now();
  const verified = await verifyTicket(config.signingKeys, ticket, now);
  if (!verified.ok) return { ok: false, reason: `ticket_${verified.reason}` };
  const { claims } = verified;
  const until = untilOf(ticket);
  if (until === null || claims.session !== session) return { ok: false, reason: 'ticket_invalid' };
  if (until <= now) return { ok: false, reason: TICKET_EXPIRED };
  return { ok: true, tenant: claims.tenant, ticket: { ...claims, until } };
}

/** What the ticket allows of what was asked, or null when more was asked than it allows. */
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

export type HttpReader = { ok: true; tenant: string; ticket: ReadingTicket | null } | Failure;

/** HTTP: ids before origin, origin before credential; nothing of it touches a session. */
export async function httpReader(
  request: Request,
  env: Env,
  config: Config,
  session: string,
  execution?: string,
): Promise<HttpReader> {
  if (!isId(session) || (execution !== undefined && !isId(execution))) {
    return failure('bad_request', 'The path holds an id that is not valid.');
  }
  if (!originAllowed(request, config)) return failure('forbidden_origin', 'Pages of this origin may not read here.');
  const reader = await authenticateReader(request, env, config, session);
  return reader.ok ? reader : readerRefused(reader);
}

export const readerRefused = ({ reason, limited }: Reader & { ok: false }): Failure => limited ?? credentialRefused(reason);

/** The reader's ticket is over, though it was good when the answer began. */
export const ticketOver = (): Failure => credentialRefused(TICKET_EXPIRED);

const credentialRefused = (reason: string): Failure =>
  failure('unauthorized', 'A ticket or an API key is needed: Authorization: Bearer <ticket or api key>, or ?ticket=<ticket>.', {
    reason,
  });

export const beyondTicket = (): Failure =>
  failure('unauthorized', 'The ticket does not reach as far as what was asked for.', { reason: 'ticket_scope' });

/** Headers of an answer that a page of an allowed origin may use. Only to be asked for requests whose origin was checked. */
const EXPOSED = 'etag, retry-after, stream-closed, stream-cursor, stream-next-offset, stream-up-to-date, x-request-id';

/** Lets a page of an allowed origin see the answer, refusals too. Any other page is told nothing. */
export function withCors(request: Request, config: Config, response: Response): Response {
  response.headers.append('vary', 'Origin');
  const origin = request.headers.get('origin');
  if (origin === null || !originAllowed(request, config)) return response;
  response.headers.set('access-control-allow-origin', origin);
  response.headers.set('access-control-expose-headers', EXPOSED);
  return response;
}

/** What a browser asks before it sends a request with headers of its own. No credential comes with it. */
export function preflight(request: Request, config: Config): Response | null {
  const asks = request.method === 'OPTIONS' && request.headers.has('access-control-request-method');
  if (!asks || !originAllowed(request, config)) return null;
  const headers = {
    'access-control-allow-methods': 'GET, HEAD',
    'access-control-allow-headers': 'authorization, if-none-match, last-event-id',
    'access-control-max-age': '600',
  };
  return withCors(request, config, new Response(null, { status: 204, headers }));
}
